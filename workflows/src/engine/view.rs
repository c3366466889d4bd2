//! What a state means to everybody outside the machine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The five words that the API, the database and the console share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted and under way; the truth may be unknown.
    Processing,
    /// Accepted, and nothing was sent yet.
    Queued,
    /// Evidence of success exists.
    Completed,
    /// Evidence exists that nothing happened.
    Failed,
    /// Taken back before the point of no return.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] =
        [Status::Processing, Status::Queued, Status::Completed, Status::Failed, Status::Cancelled];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Processing => "processing",
            Status::Queued => "queued",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of that word; `pending` is an alias of `processing`.
    pub fn parse(word: &str) -> Option<Status> {
        match word {
            "pending" => Some(Status::Processing),
            other => Status::ALL.into_iter().find(|status| status.as_str() == other),
        }
    }

    /// Whether nothing can follow.
    pub fn is_final(self) -> bool {
        match self {
            Status::Processing | Status::Queued => false,
            Status::Completed | Status::Failed | Status::Cancelled => true,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The public face of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The word for everybody.
    pub status: Status,
    /// The finer word; which ones exist is the workflow's business.
    pub phase: &'static str,
    /// Whether a caller that waits for something worth knowing has it by now.
    pub milestone: bool,
    /// Why an operator should look, if one should.
    pub attention: Option<&'static str>,
}
