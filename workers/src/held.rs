//! The claims that this process holds at the moment, so that they can be prolonged and checked before a call leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workflows::time::At;

use crate::store::TaskRef;

/// Claims of this process with the time each lapses.
#[derive(Debug, Default)]
pub(crate) struct Held {
    until: Mutex<HashMap<TaskRef, At>>,
}

impl Held {
    /// Remembers a claim until the guard goes, however the work on it ends.
    pub(crate) fn hold(self: &Arc<Self>, task: TaskRef, until: At) -> Holding {
        self.lock().insert(task.clone(), until);
        Holding { held: Arc::clone(self), task }
    }

    /// Every claim that is held.
    pub(crate) fn all(&self) -> Vec<TaskRef> {
        self.lock().keys().cloned().collect()
    }

    /// The store prolonged these; every other one that was `asked` for is lost.
    pub(crate) fn prolonged(&self, asked: &[TaskRef], kept: &[TaskRef], until: At) {
        let mut held = self.lock();
        for task in asked {
            if !kept.contains(task) {
                held.remove(task);
            }
        }
        for task in kept {
            if let Some(lapses) = held.get_mut(task) {
                *lapses = until;
            }
        }
    }

    /// Whether a claim is still ours at `now`.
    pub(crate) fn is_ours(&self, task: &TaskRef, now: At) -> bool {
        self.lock().get(task).is_some_and(|until| now < *until)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskRef, At>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim that is being worked on.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Arc<Held>,
    task: TaskRef,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.lock().remove(&self.task);
    }
}
