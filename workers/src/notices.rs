//! What providers push: kept before it is answered, applied afterwards, whatever happens in between (X-09,
//! reliability I9).

use async_trait::async_trait;
use workflows::time::At;

use crate::store::Trouble;

/// The inbox of pushed notices. Each method is one transaction.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Keeps a notice; `false` when one of that source and event is there already, which stays as it is.
    async fn receive(&self, notice: &Notice) -> Result<bool, Trouble>;

    /// Notices that wait to be applied and are due, earliest first.
    async fn due(&self, now: At, limit: usize) -> Result<Vec<Notice>, Trouble>;

    /// Puts a notice off until `due_at`, while it waits to be applied.
    async fn put_off(&self, source: &str, event: &str, due_at: At) -> Result<(), Trouble>;

    /// Records what a notice came to. The first word counts; `false` when there is one already.
    async fn handled(&self, source: &str, event: &str, outcome: &str, at: At) -> Result<bool, Trouble>;

    /// A notice.
    async fn notice(&self, source: &str, event: &str) -> Result<Option<Notice>, Trouble>;

    /// Whether anything that people decided or providers pushed waits to be applied at `now`: one query for both.
    async fn owed(&self, now: At) -> Result<bool, Trouble>;
}

/// What a provider pushed. `Debug` leaves out the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who sent it.
    pub source: String,
    /// The sender's id for it.
    pub event: String,
    /// The sender's id of the payment that it is about, when it names one.
    pub reference: Option<String>,
    /// What was sent, as text.
    pub body: String,
    /// When it came.
    pub received_at: At,
    /// When it is to be applied.
    pub due_at: At,
    /// What it came to and when, once it was applied or passed over.
    pub handled: Option<(String, At)>,
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notice")
            .field("source", &self.source)
            .field("event", &self.event)
            .field("received_at", &self.received_at)
            .field("due_at", &self.due_at)
            .field("handled", &self.handled)
            .finish_non_exhaustive()
    }
}
