//! Four outcomes for every answer of a provider, whatever it is an answer to.

use workflows::engine::{Finding, Refusal};
use workflows::ports::{PaymentsReply, Reply};

use super::http::HttpFault;

/// The provider answered that it failed, and blamed no bank for it.
pub const PROVIDER_FAILED: &str = "the provider failed";

/// Whether an unknown outcome is a failure of the provider's own, as far as can be told from one.
pub fn is_the_providers(why: &str) -> bool {
    why == PROVIDER_FAILED
}

/// What one attempt brought: the answer, or one of three setbacks that stay different (domain contracts §0).
pub type Outcome<T> = Result<T, Setback>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// The provider confirmed that nothing happened.
    Refused(Refusal),
    /// Provably never left us.
    NotSent(&'static str),
    /// It left us and no trustworthy answer came back.
    Unknown(&'static str),
}

impl Setback {
    /// One word for logs, the same as [`Finding::word`].
    pub fn word(&self) -> &'static str {
        match self {
            Setback::Refused(_) => "refused",
            Setback::NotSent(_) => "not_sent",
            Setback::Unknown(_) => "unknown",
        }
    }
}

impl From<HttpFault> for Setback {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::NotSent(why) => Setback::NotSent(why),
            HttpFault::Unknown(why) => Setback::Unknown(why),
        }
    }
}

/// An outcome of the payments port as workflows hear it.
pub(super) fn finding(outcome: Outcome<PaymentsReply>) -> Finding {
    finding_of(outcome.map(Reply::Payments))
}

/// An outcome of any port as workflows hear it.
pub(super) fn finding_of(outcome: Outcome<Reply>) -> Finding {
    match outcome {
        Ok(reply) => Finding::Done(reply),
        Err(Setback::Refused(no)) => Finding::Refused(no),
        Err(Setback::NotSent(why)) => Finding::NotSent(why),
        Err(Setback::Unknown(why)) => Finding::Unknown(why),
    }
}
