//! The only outgoing connections to banks: each question of a workflow becomes bytes here, and each answer a
//! [`Finding`].
//!
//! The one rule: what a provider did not provably say is [`Finding::Unknown`], and [`Finding::NotSent`] is said only
//! when nothing can have left. [`open_banking`] is the payments and accounts port, [`http`] the seam below it,
//! [`Gate`] the switch that holds payments back.

mod gate;
pub mod http;
pub mod open_banking;
mod outcome;
#[cfg(test)]
mod testing;
mod token;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;
use workflows::engine::Finding;
use workflows::ports::Call;

pub use gate::{Gate, Mode, Switch};
pub use outcome::{Outcome, Setback};
pub use token::TokenSource;

use crate::ports::Ids;

/// One who answers the questions of workflows.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One attempt at a question. It neither repeats an effect nor fails: whatever happens is a finding.
    async fn perform(&self, call: &Call, context: &Context) -> Finding;
}

/// What one attempt knows beside its question.
#[derive(Clone, Debug)]
pub struct Context {
    /// Names this attempt at the provider, unless the question has a replay key.
    pub request_id: Uuid,
    /// How long the attempt may take in all, a token that has to be fetched first included.
    pub timeout: Duration,
    /// W3C trace context of what caused the call; passed on.
    pub traceparent: Option<String>,
    /// The `X-Request-ID` of the request to us that caused the call; for the log only.
    pub caused_by: Option<String>,
}

impl Context {
    /// An attempt of its own, caused by nobody's request.
    pub fn new(ids: &dyn Ids, timeout: Duration) -> Self {
        Context { request_id: Uuid::from_u128(ids.random()), timeout, traceparent: None, caused_by: None }
    }
}

/// The providers behind all ports.
#[derive(Clone)]
pub struct Providers {
    payments: Arc<dyn Provider>,
}

impl Providers {
    /// With this one behind the payments port.
    pub fn new(payments: Arc<dyn Provider>) -> Self {
        Providers { payments }
    }
}

#[async_trait]
impl Provider for Providers {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        match call {
            Call::Payments(_) => self.payments.perform(call, context).await,
        }
    }
}
