//! The only outgoing connections to banks: each question of a workflow becomes bytes here, and each answer a
//! [`Finding`].
//!
//! The one rule: what a provider did not provably say is [`Finding::Unknown`], and [`Finding::NotSent`] is said only
//! when nothing can have left. [`open_banking`] is the payments and accounts port, [`http`] the seam below it. Whether
//! a question may be asked at all is decided before it comes here, by [`crate::controls`].

mod consented;
pub mod http;
pub mod open_banking;
mod outcome;
mod register;
#[cfg(test)]
mod testing;
mod token;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;
use workflows::engine::Finding;
use workflows::ports::{Call, ConsentsCall};

pub use consented::Consented;
pub(crate) use http::is_own_fault;
pub(crate) use outcome::is_the_providers;
pub use outcome::{Outcome, Setback};
pub use register::Register;
pub use token::TokenSource;

use crate::limits::Pass;
use crate::ports::Ids;

/// One who answers the questions of workflows.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One attempt at a question. It neither repeats an effect nor fails: whatever happens is a finding.
    async fn perform(&self, call: &Call, context: &Context) -> Finding;
}

/// What one attempt knows and has beside its question.
#[derive(Debug)]
pub struct Context {
    /// The place among the calls that are open at the provider; nothing is sent without one. It is free again when this
    /// goes.
    pub pass: Pass,
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
    pub fn new(ids: &dyn Ids, timeout: Duration, pass: Pass) -> Self {
        let request_id = Uuid::from_u128(ids.random());
        Context { pass, request_id, timeout, traceparent: None, caused_by: None }
    }
}

#[async_trait]
impl<P: Provider + ?Sized> Provider for Arc<P> {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        self.as_ref().perform(call, context).await
    }
}

/// The providers behind all ports.
#[derive(Clone)]
pub struct Providers {
    banks: Arc<dyn Provider>,
    register: Arc<dyn Provider>,
}

impl Providers {
    /// With this one behind the ports that lead to banks, and this one behind those that stay in the house.
    pub fn new(banks: Arc<dyn Provider>, register: Arc<dyn Provider>) -> Self {
        Providers { banks, register }
    }
}

#[async_trait]
impl Provider for Providers {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        match call {
            Call::Payments(_) | Call::Consents(ConsentsCall::Ask { .. } | ConsentsCall::Read { .. }) => {
                self.banks.perform(call, context).await
            }
            Call::Consents(ConsentsCall::Find { .. } | ConsentsCall::Adopt { .. })
            | Call::Prices(_)
            | Call::Nothing { .. } => self.register.perform(call, context).await,
        }
    }
}
