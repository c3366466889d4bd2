//! The append-only, hash-chained record of every transition.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use workflows::ids::WorkflowId;
use workflows::time::At;

/// One committed transition. Each row's hash covers its predecessor's, so that an edit, a gap or a swap shows. `Debug`
/// leaves out what happened: it holds the bank's links.
#[derive(Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Whose.
    pub instance: WorkflowId,
    /// Revision that this transition produced.
    pub seq: i64,
    /// When, by the database's clock.
    pub at: At,
    /// What happened: the machine's `On` as JSON.
    pub occurrence: Arc<str>,
    /// Status afterwards.
    pub status: Arc<str>,
    /// Phase afterwards.
    pub phase: Arc<str>,
    /// Who or what caused it: `worker`, `timer`, or a caller's id.
    pub actor: Arc<str>,
    /// The step whose finding this is; empty when it is none's.
    pub step: Arc<str>,
    /// Which attempt of that step; 0 when it is none's.
    pub attempt: i64,
    /// How long that attempt took, microseconds; 0 when it is none's.
    pub latency_us: i64,
    /// SHA-256 over the predecessor's hash and every field above, lower-case hex.
    pub hash: Arc<str>,
}

impl HistoryRow {
    /// The row with its place in the chain behind `previous` (empty for the first row).
    #[must_use]
    pub fn chained(mut self, previous: &str) -> Self {
        self.hash = self.link(previous);
        self
    }

    fn link(&self, previous: &str) -> Arc<str> {
        let mut hasher = Sha256::new();
        let numbers = [self.seq, self.at.as_micros(), self.attempt, self.latency_us];
        hasher.update(self.instance.as_u128().to_be_bytes());
        for number in numbers {
            hasher.update(number.to_be_bytes());
        }
        let texts = [previous, &self.occurrence, &self.status, &self.phase, &self.actor, &self.step];
        for text in texts {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hex::encode(hasher.finalize()).into()
    }
}

impl fmt::Debug for HistoryRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryRow")
            .field("instance", &self.instance)
            .field("seq", &self.seq)
            .field("at", &self.at)
            .field("status", &self.status)
            .field("phase", &self.phase)
            .field("actor", &self.actor)
            .field("step", &self.step)
            .field("attempt", &self.attempt)
            .field("latency_us", &self.latency_us)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// What a look at a chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every row follows from the one before, and the last is the head.
    Intact,
    /// The first revision that does not.
    Broken {
        /// Which.
        seq: i64,
    },
}

/// Checks a whole chain, oldest row first, against the head that the instance row holds.
pub fn verify_chain(rows: &[HistoryRow], head_seq: i64, head_hash: &str) -> Verdict {
    let mut previous: Arc<str> = "".into();
    for (expected, row) in (1..).zip(rows) {
        if row.seq != expected || row.link(&previous) != row.hash {
            return Verdict::Broken { seq: expected };
        }
        previous = Arc::clone(&row.hash);
    }
    let seen = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if seen != head_seq || *previous != *head_hash {
        return Verdict::Broken { seq: seen + 1 };
    }
    Verdict::Intact
}
