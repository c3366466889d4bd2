//! Time, chance and ids: the only place in the process that asks the operating system for them.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
/// no deadline. [`AnchoredClock::set`] anchors it anew, to a database's time for instance.
#[derive(Debug)]
pub struct AnchoredClock {
    anchor: Mutex<(Instant, At)>,
}

impl AnchoredClock {
    /// Anchored to the machine's wall clock.
    #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
    pub fn wall() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        AnchoredClock { anchor: Mutex::new((Instant::now(), At::EPOCH.plus(since_epoch))) }
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
