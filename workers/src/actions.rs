//! Who asked for what, on which subject, and why: written before it is carried out (rest-api §6, X-70).

use async_trait::async_trait;
use workflows::time::At;

use crate::store::Trouble;

/// What people did. Each method is one transaction.
#[async_trait]
pub trait Actions: Send + Sync {
    /// Records that somebody asked for something. Nothing is carried out that is not recorded.
    async fn record(&self, action: &Action) -> Result<(), Trouble>;

    /// What was asked for on a subject, newest first.
    async fn actions(&self, subject: &str, limit: usize) -> Result<Vec<Action>, Trouble>;
}

/// One thing that somebody asked for. `Debug` leaves out the reason, which is free text.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    /// 128 bits that sort by time.
    pub id: u128,
    /// When.
    pub at: At,
    /// Who.
    pub actor: String,
    /// In which role.
    pub role: String,
    /// What, one word such as `cancel`.
    pub verb: String,
    /// On what: a workflow's id, or the name of a provider, bank or queue.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// When what was asked for ends by itself.
    pub expires_at: Option<At>,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action")
            .field("at", &self.at)
            .field("actor", &self.actor)
            .field("verb", &self.verb)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
