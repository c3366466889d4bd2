//! The front-end: REST under `/v1`, the runbooks' `/api` aliases, health, and its own description.
//!
//! A handler parses, makes one call and answers; every error goes through [`error`]. No SQL is known here.

#![expect(unused_qualifications, reason = "utoipa writes the paths of parameter types in full")]

mod approvals;
mod around;
mod auth;
mod balance;
mod bank_accounts;
mod bench;
mod body;
mod callback;
mod consents;
mod control;
mod docs;
mod error;
mod events;
mod exchange_rates;
mod headers;
mod health;
mod holds;
mod idempotency;
mod merchants;
mod money;
mod paging;
mod payments;
mod prefer;
mod providers;
mod qr_payment;
mod queues;
mod recipients;
mod remittance;
mod request;
mod request_id;
mod switches;
#[cfg(test)]
mod testing;
mod transaction;
mod transactions;
mod users;
mod validation;
mod webhooks;
mod workflows;

use std::sync::Arc;

use ::workflows::payment::Terms;
use axum::Router;
use axum::routing::{get, post};
use reqwest::Url;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use workers::balances::Balances;
use workers::controls::Controls;
use workers::engine::Engine;
use workers::registry::Registry;

pub use around::Around;
pub use auth::{KEY_PREFIX, Role, TokenRules, key_hash};
pub use callback::Callback;
pub use payments::terms;
pub(crate) use transaction::{KINDS, Payment};
pub use webhooks::Signers;

use crate::config::{Config, Payments, ServiceMode};
use crate::desk::Desk;

/// What every handler can reach.
pub struct Services {
    /// The workflows.
    pub engine: Engine,
    /// People, accounts, prices, keys.
    pub registry: Arc<dyn Registry>,
    /// What is on people's accounts.
    pub balances: Balances,
    /// What operators do, and what providers push.
    pub desk: Desk,
    /// What may be sent.
    pub controls: Controls,
    /// What was told from outside.
    pub settings: Settings,
}

/// What the handlers need of the settings.
pub struct Settings {
    /// Practice or money.
    pub mode: ServiceMode,
    /// Limits and fee.
    pub payments: Payments,
    /// The terms that new payments are accepted under.
    pub terms: Terms,
    /// What a token has to satisfy.
    pub tokens: TokenRules,
    /// Makes and checks return addresses.
    pub callback: Callback,
    /// Where a browser goes after a payment.
    pub return_url: Url,
    /// The origins that may use the session cookie.
    pub origins: Vec<String>,
    /// Who may push notices of payments.
    pub signers: Signers,
    /// Whether the bench workflow is served.
    pub bench: bool,
}

/// As handlers take it.
pub type App = Arc<Services>;

/// A public address that is not one.
#[derive(Debug, thiserror::Error)]
#[error("the front-end could not {doing}")]
pub struct Unusable {
    doing: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Settings {
    /// What the handlers need, once it is known how the service is reached.
    ///
    /// # Errors
    /// A public address that cannot be read.
    pub fn new(config: &Config, public_base: &str) -> Result<Self, Unusable> {
        let own = Url::parse(&format!("{public_base}/"))
            .map_err(|error| Unusable { doing: "read its public address", source: error.into() })?;
        let callback =
            Callback::new(public_base, crate::config::bytes(&config.tokens.secret)).map_err(|error| {
                Unusable { doing: "derive the key of return addresses", source: error.into() }
            })?;
        let return_urls = config.front.app_return_urls.clone().unwrap_or_default();
        Ok(Settings {
            mode: config.front.mode,
            bench: config.bench,
            payments: config.payments.clone(),
            terms: terms(&config.payments, &config.neonomics),
            signers: Signers::new(&config.neonomics.webhook_secrets),
            tokens: TokenRules::new(&config.tokens),
            callback,
            origins: auth::origins(return_urls.iter().chain([&own])),
            return_url: return_urls.into_iter().next().unwrap_or(own),
        })
    }
}

/// Everything that is served, and what is served beside it.
pub fn service(app: App, beside: Router) -> Around<Router> {
    let (described, api) = described().split_for_parts();
    let api = completed(api);
    let described = if app.settings.bench { described.merge(bench::routes()) } else { described };
    let router = described
        // The runbooks' addresses (rest-api §9), the same handlers.
        .route("/api/transactions/remittance", post(remittance::start))
        .route("/api/transactions/qr-payment", post(qr_payment::start))
        .route("/api/payments/callback", get(callback::returned))
        .route("/api/accounts/balance", get(balance::read_alias))
        .merge(docs::routes(&api))
        .fallback(error::unknown_route)
        .with_state(Arc::clone(&app))
        .merge(beside);
    Around::new(router, app)
}

/// The description of everything that is served, as OpenAPI 3.1.
pub fn description() -> OpenApi {
    completed(described().into_openapi())
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::base())
        // Payments.
        .routes(routes!(remittance::start))
        .routes(routes!(qr_payment::start))
        .routes(routes!(transactions::list))
        .routes(routes!(transactions::read))
        .routes(routes!(events::follow))
        .routes(routes!(transactions::cancel))
        .routes(routes!(transactions::go_on))
        .routes(routes!(callback::returned))
        .routes(routes!(consents::returned))
        // A user's own things.
        .routes(routes!(balance::read))
        .routes(routes!(bank_accounts::list))
        .routes(routes!(recipients::list, recipients::create))
        .routes(routes!(recipients::read, recipients::change, recipients::remove))
        // What the app's backend provisions.
        .routes(routes!(users::put))
        .routes(routes!(bank_accounts::put))
        .routes(routes!(recipients::put))
        .routes(routes!(merchants::put))
        .routes(routes!(exchange_rates::put, exchange_rates::read))
        // Operators.
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::read))
        .routes(routes!(workflows::history))
        .routes(routes!(workflows::cancel))
        .routes(routes!(workflows::compensate))
        .routes(routes!(workflows::resume))
        .routes(routes!(workflows::resolve))
        .routes(routes!(workflows::hold))
        .routes(routes!(workflows::release))
        .routes(routes!(providers::list))
        .routes(routes!(providers::change))
        .routes(routes!(providers::change_bank))
        .routes(routes!(providers::breaker))
        .routes(routes!(providers::bank_breaker))
        .routes(routes!(switches::list))
        .routes(routes!(switches::turn, switches::release))
        .routes(routes!(queues::list))
        .routes(routes!(queues::drain))
        .routes(routes!(holds::list, holds::create))
        .routes(routes!(holds::remove))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::read))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::reject))
        // What providers push.
        .routes(routes!(webhooks::reach, webhooks::receive))
        // Health.
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::public))
}

fn completed(mut api: OpenApi) -> OpenApi {
    docs::complete(&mut api);
    api
}
