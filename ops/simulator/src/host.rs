//! One machine with one process: its ports stand still when it does, and never answer again once it is dead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use workers::ports::Clock as _;
use workers::store::NodeId;

use crate::boundary::{Act, Boundaries, Edge};
use crate::chance::Chance;
use crate::faults::{Blow, Fault, Faults};
use crate::log::Log;
use crate::ports::Virtual;

/// What a process is able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Still,
    Dead,
}

/// How a boundary was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// The call goes on.
    On,
    /// Its answer is lost.
    Unanswered,
}

/// A process as its ports know it.
pub struct Host {
    /// The place that it was started in.
    pub slot: usize,
    /// Which start of a process this is, over the whole world.
    pub start: u64,
    /// The name that it claims under, once it has used it.
    node: OnceLock<NodeId>,
    life: Mutex<Life>,
    /// Told when it goes on. Whoever waits goes on in the order of waiting, which a `watch` leaves to chance.
    goes_on: Arc<Notify>,
    /// Port calls that are left to it; more than it ever makes unless it is to die early.
    fuse: AtomicU64,
    /// What blows the fuse.
    early: Option<Blow>,
    surroundings: Surroundings,
}

/// What is around a process.
#[derive(Clone)]
pub struct Surroundings {
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// The time.
    pub clock: Arc<Virtual>,
    /// What is told.
    pub log: Arc<Log>,
    /// The boundaries that are crossed.
    pub boundaries: Arc<Boundaries>,
    /// Where deaths are reported, by slot and start.
    pub deaths: mpsc::UnboundedSender<(usize, u64)>,
    /// How long its claims last.
    pub lease: Duration,
    /// Counts crossings: a world that makes too many goes in circles.
    pub crossings: Arc<Mutex<u64>>,
}

/// More port calls than any world makes that comes to its end.
pub const MOST_CROSSINGS: u64 = 3_000_000;
/// Of a world that makes more, so many of the last ones are told.
const TOLD: u64 = 60;

/// How often a process dies or stands still at a boundary of 10,000.
const AT_BOUNDARIES: [(Fault, u32); 2] = [(Fault::Crash, 25), (Fault::Pause, 15)];

impl Host {
    /// A process that runs.
    pub fn running(slot: usize, start: u64, early: Option<Blow>, surroundings: Surroundings) -> Arc<Self> {
        let fuse = AtomicU64::new(early.map_or(u64::MAX, |mut blow| 1 + blow.chance.below(12)));
        let (node, life, goes_on) = (OnceLock::new(), Mutex::new(Life::Running), Arc::default());
        let host = Host { slot, start, node, life, goes_on, fuse, early, surroundings };
        host.tell("starts");
        Arc::new(host)
    }

    /// Before or after the effect of a port call: here processes die and stand still. Does not come back in a dead one.
    pub async fn cross(
        self: &Arc<Self>,
        place: &'static str,
        subject: u64,
        name: &(dyn Fn() -> String + Sync),
        edge: Edge,
    ) -> Crossed {
        self.counts(name, edge).await;
        let mut crossed = Crossed::On;
        // Nothing happens to a process that is dead, nor to one that stands still before it goes on.
        self.is_able().await;
        match self.acts(place, subject, name, edge) {
            Some(Act::Crash) => self.crash(),
            Some(Act::Pause(still)) => self.stands_still(still),
            Some(Act::Unknown) => crossed = Crossed::Unanswered,
            None => {}
        }
        self.is_able().await;
        crossed
    }

    /// Counts a crossing. A process that goes in circles while no time goes by would do so for ever: it is stopped.
    async fn counts(&self, name: &(dyn Fn() -> String + Sync), edge: Edge) {
        let nth = {
            let mut crossings = self.surroundings.crossings.lock().unwrap_or_else(PoisonError::into_inner);
            *crossings += 1;
            *crossings
        };
        if nth + TOLD > MOST_CROSSINGS {
            self.tell(&format!("is at {} ({edge:?})", name()));
        }
        if nth > MOST_CROSSINGS {
            std::future::pending::<()>().await;
        }
    }

    fn acts(
        &self,
        place: &'static str,
        subject: u64,
        name: &(dyn Fn() -> String + Sync),
        edge: Edge,
    ) -> Option<Act> {
        let Surroundings { faults, boundaries, lease, .. } = &self.surroundings;
        if let Some(act) = boundaries.crossed(name, edge) {
            return Some(act);
        }
        if self.fuse.fetch_sub(1, Ordering::AcqRel) == 0 {
            if let Some(early) = &self.early {
                faults.struck(early);
            }
            return Some(Act::Crash);
        }
        let place = match (place, edge) {
            // A look that changes nothing is no place to die at.
            ("lanes" | "load" | "started" | "history" | "tasks", _) => return None,
            (_, Edge::Before) => "before",
            (_, Edge::After) => "after",
        };
        let (fault, chance) = faults.at(place, subject, &AT_BOUNDARIES)?;
        Some(if fault == Fault::Crash { Act::Crash } else { Act::Pause(beyond(*lease, chance)) })
    }

    /// It is called so in claims.
    pub fn is_called(&self, node: &NodeId) {
        self.node.get_or_init(|| node.clone());
    }

    /// What it is called in claims.
    pub fn node(&self) -> Option<&NodeId> {
        self.node.get()
    }

    /// Dies.
    pub fn crash(&self) {
        if self.becomes(Life::Dead) != Life::Dead {
            self.tell("is dead");
            // Nobody starts another at the end of a world.
            let _ = self.surroundings.deaths.send((self.slot, self.start));
        }
    }

    /// Ends without being replaced by whoever watches for deaths; false when it died before.
    pub fn retire(&self) -> bool {
        let retires = self.becomes(Life::Dead) != Life::Dead;
        if retires {
            self.tell("has drained");
        }
        retires
    }

    /// Whether it lives, if perhaps not at this moment.
    pub fn is_alive(&self) -> bool {
        *self.life() != Life::Dead
    }

    fn stands_still(self: &Arc<Self>, still: Duration) {
        if *self.life() != Life::Running {
            return;
        }
        self.becomes(Life::Still);
        self.tell(&format!("stands still for {still:?}"));
        let host = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(still).await;
            if *host.life() == Life::Still {
                host.becomes(Life::Running);
                host.goes_on.notify_waiters();
            }
        });
    }

    async fn is_able(&self) {
        loop {
            let goes_on = self.goes_on.notified();
            if *self.life() == Life::Running {
                return;
            }
            goes_on.await;
        }
    }

    /// Changes what it is able to do; answers what it was before.
    fn becomes(&self, life: Life) -> Life {
        std::mem::replace(&mut *self.life(), life)
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: &str) {
        self.surroundings.log.tell(self.surroundings.clock.now(), || {
            format!("process {} in place {} {what}", self.start, self.slot)
        });
    }
}

/// Longer than a claim lasts, and now and then much longer.
fn beyond(lease: Duration, mut chance: Chance) -> Duration {
    chance.spread(lease + Duration::from_secs(1), lease * 2 + Duration::from_mins(8))
}
