//! The days of the outage: a quiet beginning, the provider away, and the time after it.

use std::time::Duration;

use crate::chance::Chance;

/// Payments before the provider goes away: some of them are under way when it does.
const BEFORE: Duration = Duration::from_mins(10);
/// For this part of the outage new payments come after it, as they did all the time.
const AFTER: u32 = 12;

/// When what happens, from the beginning on.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    /// From one arrival to the next.
    spacing: Duration,
    /// For how long the provider is away.
    pub away: Duration,
    /// Payments in all.
    pub payments: u32,
}

impl Days {
    /// With so many payments in the queue when the provider comes back: a tenth more come while it is away, evenly over
    /// the time, since some run out. Before and after as many come in an hour.
    pub fn with(parked: u32, away: Duration) -> Self {
        let spacing = away / (parked + parked.div_ceil(10)).max(1);
        let days = Days { spacing, away, payments: 0 };
        Days { payments: days.payments_until(BEFORE + away + away / AFTER), ..days }
    }

    /// When it is back.
    pub fn returns(self) -> Duration {
        BEFORE + self.away
    }

    /// Whether it is away after so long.
    pub fn is_away(self, after: Duration) -> bool {
        (BEFORE..self.returns()).contains(&after)
    }

    /// When a payment is started.
    pub fn arrival(self, number: u32, chance: &mut Chance) -> Duration {
        self.spacing * number + chance.between(Duration::ZERO, self.spacing)
    }

    /// How many payments are started within so long.
    pub fn payments_until(self, after: Duration) -> u32 {
        u32::try_from(after.as_micros() / self.spacing.as_micros().max(1)).unwrap_or(u32::MAX)
    }

    /// For how long a payment that is started at `at` is wanted in the queue: mostly for as long as settings say, for some
    /// only within the outage, and for some until the very time at which the queue is let through.
    pub fn expiry(self, at: Duration, chance: &mut Chance) -> Duration {
        let hour = Duration::from_hours(1);
        let left = self.returns().saturating_sub(at);
        match chance.below(100) {
            0..8 if left > 2 * hour => chance.between(hour, left.saturating_sub(hour)),
            8..12 if left > 2 * hour => {
                left.saturating_sub(hour / 12) + chance.between(Duration::ZERO, 3 * hour)
            }
            _ => 48 * hour,
        }
    }
}
