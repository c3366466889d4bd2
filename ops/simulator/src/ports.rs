//! The clock and the ids of a world.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use workers::ports::{Clock, Ids};
use workflows::time::At;

use crate::chance::Chance;

/// The time of a world: what its runtime's timers run by. The wall clock of a simulated machine may jump as it likes;
/// the engine never asks it, so there is none. A database's clock may jump, and its processes follow.
#[derive(Debug)]
pub struct Virtual {
    epoch: At,
    began: Instant,
    jump: Option<Jump>,
    seen: Arc<AtomicI64>,
}

/// A clock goes forward.
#[derive(Clone, Copy, Debug)]
pub struct Jump {
    /// When, from the beginning.
    pub at: Duration,
    /// How far.
    pub by: Duration,
}

/// What a world's clock showed when it was last looked at: the time of a database, for which the world stands still. It
/// may be read outside the world's runtime.
#[derive(Clone, Debug)]
pub struct Shown(Arc<AtomicI64>);

impl Virtual {
    /// Standing at `epoch`. To be made within the runtime whose time it shows.
    pub fn beginning(epoch: At) -> Self {
        let seen = Arc::new(AtomicI64::new(epoch.as_micros()));
        Virtual { epoch, began: Instant::now(), jump: None, seen }
    }

    /// Another clock of the same world, which jumps.
    #[must_use]
    pub fn jumping(&self, jump: Option<Jump>) -> Self {
        let seen = Arc::new(AtomicI64::new(self.epoch.as_micros()));
        Virtual { epoch: self.epoch, began: self.began, jump, seen }
    }

    /// How much time went by since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it shows to those outside.
    pub fn shown(&self) -> Shown {
        Shown(Arc::clone(&self.seen))
    }
}

impl Clock for Virtual {
    fn now(&self) -> At {
        let elapsed = self.began.elapsed();
        let ahead = self.jump.filter(|jump| jump.at <= elapsed).map_or(Duration::ZERO, |jump| jump.by);
        let now = self.epoch.plus(elapsed + ahead);
        self.seen.store(now.as_micros(), Ordering::Release);
        now
    }
}

impl Clock for Shown {
    fn now(&self) -> At {
        At::from_micros(self.0.load(Ordering::Acquire))
    }
}

/// Ids that a seed decides.
#[derive(Debug)]
pub struct Seeded {
    clock: std::sync::Arc<Virtual>,
    chance: Mutex<Chance>,
}

impl Seeded {
    /// Of this stream.
    pub fn of(chance: Chance, clock: std::sync::Arc<Virtual>) -> Self {
        Seeded { clock, chance: Mutex::new(chance) }
    }
}

impl Ids for Seeded {
    fn ordered(&self) -> u128 {
        ordered(self.clock.now(), self.random())
    }

    fn random(&self) -> u128 {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        u128::from(chance.bits()) << 64 | u128::from(chance.bits())
    }
}

/// 128 bits that sort by their time: 48 bits of milliseconds in front of chance.
pub fn ordered(now: At, chance: u128) -> u128 {
    let millis = u128::try_from(now.as_millis()).unwrap_or(0);
    millis << 80 | chance & ((1 << 80) - 1)
}
