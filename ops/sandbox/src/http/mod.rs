//! The contract over HTTP: the provider's calls behind the gate, the pages for people, and the control API.
//!
//! Each half of the contract is a router of its own in [`routes`]: `open_banking` is here; KYC, accounts and messages
//! have their place beside it, behind the same gate.

mod accounts;
mod admission;
mod consents;
mod control;
mod gate;
mod headers;
mod payments;
mod sca;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    http::StatusCode,
    middleware,
    routing::{get, post},
};
use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    banks::BankId, book::ConsentId, calls::Calls, config::Config, faults::Faults, office::Office,
    refusal::Refusal,
};

/// What every request can reach.
pub(crate) struct Premises {
    pub(crate) office: Office,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) calls: Calls,
    pub(crate) tokens: admission::Tokens,
    pub(crate) base_url: String,
    pub(crate) closing: watch::Receiver<bool>,
    /// Unattended balance reads per consent on the day of the last one.
    reads: Mutex<HashMap<ConsentId, (NaiveDate, u32)>>,
    /// The bank each order was sent to, so that a lookup meets that bank's conduct whether or not a payment exists.
    orders: Mutex<HashMap<String, BankId>>,
}

type App = Arc<Premises>;

impl Premises {
    pub(crate) fn new(
        office: Office,
        config: &Config,
        base_url: String,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            office,
            faults: Mutex::default(),
            calls: Calls::default(),
            tokens: admission::Tokens::new(config),
            base_url,
            closing,
            reads: Mutex::default(),
            orders: Mutex::default(),
        }
    }
}

/// All routes.
pub(crate) fn routes(premises: App) -> Router {
    let open_banking = Router::new()
        .route("/health", get(accounts::health))
        .route("/auth/token", post(admission::token))
        .route("/banks", get(accounts::banks))
        .route("/v1/consents", post(consents::create))
        .route("/v1/consents/{id}", get(consents::read).delete(consents::end))
        .route("/v1/accounts/{id}/balances", get(accounts::balances))
        .route("/v1/payments", get(payments::locate))
        .route("/v1/payments/{id}", post(payments::initiate).delete(payments::cancel))
        .route("/v1/payments/{id}/status", get(payments::status))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "SERVICE_INVALID", "the contract has no such call")
        })
        .fallback(async || Refusal::unknown("call"))
        .layer(middleware::from_fn_with_state(Arc::clone(&premises), admission::admit))
        .layer(middleware::from_fn_with_state(Arc::clone(&premises), gate::pass));
    Router::new()
        .merge(sca::routes())
        .nest("/_control", control::routes())
        .merge(open_banking)
        .with_state(premises)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a JSON body; 400 `FORMAT_ERROR` says what is wrong with it.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::format(format!("body: {error}")))
}
