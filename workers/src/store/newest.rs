//! The newest revisions of a store that nobody else writes to: they need not be read again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workflows::ids::WorkflowId;

use super::{Fate, Instance, Op, Written};
use crate::recent::Recent;

/// Revisions that were committed here last.
#[derive(Default)]
pub(super) struct Newest {
    recent: Mutex<Recent>,
    /// Set for good when nobody knows what became of a commit: what is remembered may be older than what is there.
    doubtful: AtomicBool,
}

impl Newest {
    /// The instance as it is in the store, while that is remembered.
    pub(super) fn of(&self, id: WorkflowId) -> Option<Arc<Instance>> {
        if self.doubtful.load(Ordering::Acquire) {
            return None;
        }
        self.lock().get(id).map(|moved| Arc::clone(&moved.instance))
    }

    /// A batch was committed.
    pub(super) fn wrote(&self, batch: &[Op], written: &[Written]) {
        let mut recent = self.lock();
        for (op, written) in batch.iter().zip(written) {
            match op {
                Op::Start(start) if *written == Written::Committed => recent.put(&start.instance, false),
                Op::Move(moved) if *written == Written::Committed => recent.put(&moved.instance, false),
                Op::Start(_) | Op::Move(_) | Op::PutBack(_) | Op::Discard(_) => {}
            }
        }
    }

    /// A batch was not committed as far as anybody knows.
    pub(super) fn failed(&self, fate: Fate) {
        if fate == Fate::Unknown {
            self.doubtful.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
