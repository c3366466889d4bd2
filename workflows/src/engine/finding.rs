//! What one attempt at a step brought.

use std::time::Duration;

use crate::ports::Reply;

/// The four kinds of outcome that an attempt can have; they decide what is allowed next and never blur into one
/// another (domain contracts §0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The provider confirmed.
    Done(Reply),
    /// The provider confirmed that nothing happened.
    Refused(Refusal),
    /// Provably never left us: name resolution, connection or TLS failed before the first byte.
    NotSent(&'static str),
    /// It left us and no trustworthy answer came back. Only evidence leads on.
    Unknown(&'static str),
}

impl Finding {
    /// One word for logs, metrics and history.
    pub fn word(&self) -> &'static str {
        match self {
            Finding::Done(_) => "done",
            Finding::Refused(_) => "refused",
            Finding::NotSent(_) => "not_sent",
            Finding::Unknown(_) => "unknown",
        }
    }
}

/// A provider's confirmed "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The provider's own code, upper case as it came.
    pub code: String,
    /// What kind of "no" it is.
    pub class: Class,
}

/// Who can do something about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asking again changes nothing.
    Final,
    /// The customer's consent has to be renewed first.
    Consent,
    /// Our own credentials are refused: an operator's matter, nothing was done.
    Credential,
    /// Too many calls; nothing was done. `retry_after` is the provider's wish.
    RateLimited {
        /// How long the provider asks us to wait.
        retry_after: Option<Duration>,
    },
}
