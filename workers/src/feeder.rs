//! Finds due work, lane by lane, and claims as much of it as there are hands free.
//!
//! One query says which lanes hold work and when; a quiet system asks once a second, a busy one whenever something is
//! due. What this process commits itself it knows without asking.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use workflows::engine::{Lane, Live};
use workflows::time::At;

use crate::committer::chain;
use crate::lanes::{Lanes, Place};
use crate::store::{Claimed, NodeId, Store, TaskRef, Trouble};
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
    pub(crate) place: Place,
    pub(crate) hand: OwnedSemaphorePermit,
}

/// The hands of a process that performs tasks, and the way to them.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) free: Arc<Semaphore>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) jobs: mpsc::UnboundedSender<Job>,
}

impl Hands {
    /// A free hand, if there is one: its owner may bear a claimed task.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Gives a task that was born claimed to the hand that was taken for it. Answers the claim when nobody performs any
    /// more.
    pub(crate) fn give(&self, hot: Hot, hand: OwnedSemaphorePermit) -> Result<(), TaskRef> {
        let Hot { claimed, live, lapses_at, place } = hot;
        let job = Job { claimed, live: Some(live), lapses_at, place, hand };
        self.jobs.send(job).map_err(|unsent| unsent.0.claimed.task)
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
    /// Feeds until the end begins. A claim is never cut off in the middle.
    pub(crate) async fn run(self, mut ending: watch::Receiver<bool>) {
        while !*ending.borrow() {
            let next = match self.feed().await {
                Ok(next) => next,
                Err(trouble) => {
                    tracing::error!(error = %chain(&trouble), "looking for work failed");
                    self.now().plus(TROUBLE)
                }
            };
            tokio::select! {
                () = self.rest(next) => {}
                _ = ending.wait_for(|ending| *ending) => {}
            }
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
        // Every lane gets the same share of them, and no more than its own limit.
        let share = (hands.len() / due.len()).max(1);
        let wanted: Vec<(Lane, usize)> = due
            .into_iter()
            .map(|lane| (self.hands.lanes.room(&lane).min(share), lane))
            .filter(|(room, _)| *room > 0)
            .map(|(room, lane)| (lane, room))
            .take(hands.len())
            .collect();
        if wanted.is_empty() {
            // Every lane that has due work is full; the first place that is free again says so.
            return Ok(now.plus(QUIET));
        }
        let claimed = self.store.claim(&wanted, &self.node, now, self.lease).await?;
        let next = if claimed.is_empty() { now.plus(CONTENDED) } else { now };
        let (lapses_at, mut unused) = (now.plus(self.lease), vec![]);
        for claimed in claimed {
            // A start may have taken the last place meanwhile.
            let place = self.hands.lanes.enter(&claimed.lane);
            match (place, hands.pop()) {
                (Some(place), Some(hand)) => {
                    let job = Job { claimed, live: None, lapses_at, place, hand };
                    unused.extend(self.hands.jobs.send(job).err().map(|unsent| unsent.0.claimed.task));
                }
                _ => unused.push(claimed.task),
            }
        }
        if !unused.is_empty() {
            self.store.release(&unused, now).await?;
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
