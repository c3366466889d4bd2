//! The newest revisions of a store that nobody else writes to: they need not be read again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workflows::ids::WorkflowId;

use super::{Fate, Instance, Op, Trouble, Written};
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
    fn wrote(&self, batch: &[Op], written: &[Written]) {
        let mut recent = self.lock();
        for (op, written) in batch.iter().zip(written) {
            match op {
                Op::Start(start) if *written == Written::Committed => recent.put(&start.instance, false),
                Op::Move(moved) if *written == Written::Committed => recent.put(&moved.instance, false),
                // Decided on a revision that is not the newest: what there is is read anew.
                Op::Move(moved) => recent.forget(moved.instance.id),
                Op::Start(_) | Op::PutBack(_) | Op::Discard(_) => {}
            }
        }
    }

    /// A batch is being written: nobody knows what becomes of it unless the answer is told.
    pub(super) fn writing(&self) -> Writing<'_> {
        Writing { newest: self, is_answered: false }
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch on its way.
pub(super) struct Writing<'a> {
    newest: &'a Newest,
    is_answered: bool,
}

impl Writing<'_> {
    /// What the database said.
    pub(super) fn answered(mut self, batch: &[Op], result: &Result<Vec<Written>, Trouble>) {
        match result {
            Ok(written) => self.newest.wrote(batch, written),
            Err(Trouble { fate: Fate::NotCommitted, .. }) => {}
            Err(Trouble { fate: Fate::Unknown, .. }) => return,
        }
        self.is_answered = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.newest.doubtful.store(true, Ordering::Release);
        }
    }
}
