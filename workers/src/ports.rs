//! Time, chance and ids: the only place in the process that asks the operating system for them.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use workflows::time::At;

/// What time it is for leases, deadlines and history: the database's time as this process knows it.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> At;
}

/// Fresh identifiers.
pub trait Ids: Send + Sync {
    /// 128 bits that sort by time of creation (`UUIDv7`).
    fn ordered(&self) -> u128;
    /// 128 bits that nobody can guess (`UUIDv4`).
    fn random(&self) -> u128;
}

/// A clock that was set once and then advances by the monotonic clock, so that a jump of the machine's wall clock moves
/// no deadline. [`AnchoredClock::set`] anchors it anew, to a database's time for instance; [`AnchoredClock::catch_up`]
/// makes up for a time in which the machine was suspended.
#[derive(Debug)]
pub struct AnchoredClock {
    anchor: Mutex<(Instant, At)>,
}

impl AnchoredClock {
    /// Anchored to the machine's wall clock.
    pub fn wall() -> Self {
        AnchoredClock { anchor: Mutex::new(wall()) }
    }

    /// Anchors it anew to the machine's wall clock when that is ahead: the monotonic clock stands still while a virtual
    /// machine is suspended. It never goes back. Answers by how much it went forward.
    pub fn catch_up(&self) -> Duration {
        let mut anchor = self.lock();
        let (instant, at) = wall();
        let here = anchor.1.plus(instant.saturating_duration_since(anchor.0));
        if at > here {
            *anchor = (instant, at);
        }
        at.since(here)
    }

    /// Sets it: `at` is now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
    pub fn set(&self, at: At) {
        *self.lock() = (Instant::now(), at);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Instant, At)> {
        self.anchor.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the machine's wall clock shows, with the monotonic clock's instant of it.
#[expect(clippy::disallowed_methods, reason = "this is the clock port")]
fn wall() -> (Instant, At) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), At::EPOCH.plus(since_epoch))
}

impl Clock for AnchoredClock {
    fn now(&self) -> At {
        let (then, at) = *self.lock();
        at.plus(then.elapsed())
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the id port")]
    fn ordered(&self) -> u128 {
        uuid::Uuid::now_v7().as_u128()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the id port")]
    fn random(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }
}
