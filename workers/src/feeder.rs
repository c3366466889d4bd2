//! Finds due work, lane by lane, and claims as much of it as there are hands free.
//!
//! One query says which lanes hold work and when; a quiet system asks once a second, a busy one whenever something is
//! due. What this process commits itself it knows without asking.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use workflows::engine::{Lane, Live};
use workflows::time::At;

use crate::committer::chain;
use crate::store::{Claimed, NodeId, Store, Trouble};
use crate::transition::Hot;
use crate::wake::Wake;

/// How often a quiet process looks for work that another one committed.
const QUIET: Duration = Duration::from_millis(1_050);
/// How long to wait after the database did not answer.
const TROUBLE: Duration = Duration::from_millis(500);
/// How long to wait when due work was there and others had it.
const CONTENDED: Duration = Duration::from_millis(20);

/// A claimed task on its way to being performed, with the hand that will.
pub(crate) struct Job {
    pub(crate) claimed: Claimed,
    pub(crate) live: Option<Arc<dyn Live>>,
    pub(crate) lapses_at: At,
    pub(crate) hand: OwnedSemaphorePermit,
}

/// The hands of a process that performs tasks, and the way to them.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) free: Arc<Semaphore>,
    pub(crate) jobs: mpsc::UnboundedSender<Job>,
}

impl Hands {
    /// A free hand, if there is one: its owner may bear a claimed task.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Gives a task that was born claimed to the hand that was taken for it.
    pub(crate) fn give(&self, hot: Hot, hand: OwnedSemaphorePermit) {
        let Hot { claimed, live, lapses_at } = hot;
        // Nobody performs any more: the claim lapses, or is handed back by whoever drains.
        let _ = self.jobs.send(Job { claimed, live: Some(live), lapses_at, hand });
    }
}

/// Claims due work for a process.
pub(crate) struct Feeder {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) node: NodeId,
    pub(crate) hands: Hands,
    pub(crate) wake: Arc<Wake>,
    pub(crate) lease: Duration,
}

impl Feeder {
    /// Feeds until dropped.
    pub(crate) async fn run(self) {
        loop {
            let next = match self.feed().await {
                Ok(next) => next,
                Err(trouble) => {
                    tracing::error!(error = %chain(&trouble), "looking for work failed");
                    self.now().plus(TROUBLE)
                }
            };
            self.rest(next).await;
        }
    }

    /// Looks once. Answers when to look again.
    async fn feed(&self) -> Result<At, Trouble> {
        // The semaphore is never closed. While every hand is busy there is nothing to look for.
        drop(self.hands.free.acquire().await);
        self.wake.forget();
        let mut lanes = self.store.lanes().await?;
        let now = self.now();
        // Where hands are fewer than lanes, who waited longest goes first.
        lanes.sort_by_key(|lane| lane.due_at);
        let due: Vec<Lane> =
            lanes.iter().filter(|lane| lane.due_at <= now).map(|lane| lane.lane.clone()).collect();
        if due.is_empty() {
            let quiet = now.plus(QUIET);
            return Ok(lanes.first().map_or(quiet, |next| next.due_at.min(quiet)));
        }
        // Hands first: a claim that had to wait for one could lapse before it is begun.
        let mut hands = self.free_hands();
        // Every lane gets the same share of them: one slow bank must not stop the others.
        let room = (hands.len() / due.len()).max(1);
        let wanted: Vec<(Lane, usize)> = due.into_iter().take(hands.len()).map(|lane| (lane, room)).collect();
        let claimed = self.store.claim(&wanted, &self.node, now, self.lease).await?;
        let next = if claimed.is_empty() { now.plus(CONTENDED) } else { now };
        let lapses_at = now.plus(self.lease);
        for claimed in claimed {
            let Some(hand) = hands.pop() else { break };
            // Nobody performs any more: the claim lapses.
            let _ = self.hands.jobs.send(Job { claimed, live: None, lapses_at, hand });
        }
        Ok(next)
    }

    fn free_hands(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| self.hands.take()).collect()
    }

    async fn rest(&self, until: At) {
        loop {
            let until = until.min(self.wake.earliest());
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                () = self.wake.earlier() => {}
            }
        }
    }

    fn now(&self) -> At {
        self.store.clock().now()
    }
}
