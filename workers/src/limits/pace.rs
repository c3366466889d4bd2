//! At what times a process may ask a provider: evenly spaced slots, and no bursts. Pure, and told the time.
//!
//! The one rule: whoever counts at the provider's door finds no more than `per_second` calls in any second. A slot may
//! be used a little late, and the way to the door takes one call a little longer than the next; both together are
//! [`SLACK`], by which the slots are stretched.

use std::time::Duration;

use workflows::time::At;

/// The second in which the provider counts.
pub const SECOND: Duration = Duration::from_secs(1);
/// A slot that is not used for so long has lapsed: what was missed is not made up for.
pub const LAPSE: Duration = Duration::from_millis(20);
/// By how much one call's way to the provider may be longer than the next one's.
pub const JITTER: Duration = Duration::from_millis(30);
/// So much longer than a second do `per_second` slots take: at most 95 % of the nominal rate is used.
pub const SLACK: Duration = LAPSE.saturating_add(JITTER);

/// The slots of one process at one provider. Generic cell rate algorithm (ITU-T I.371) with [`LAPSE`] for its tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The next slot.
    next: At,
}

impl Pace {
    /// With a slot from `now` on.
    pub fn from(now: At) -> Self {
        Pace { next: now }
    }

    /// When a call may begin: `now`, or the next slot.
    pub fn earliest(&self, now: At) -> At {
        self.next.max(now)
    }

    /// Uses the slot at `now`; the next one comes by the rate. Nothing is used, and the answer is the time to come
    /// again, when it is too early. A rate of nothing has no slots.
    pub fn take(&mut self, per_second: u32, now: At) -> Result<(), At> {
        let Some(apart) = (SECOND + SLACK).checked_div(per_second) else { return Err(At::MAX) };
        if now < self.next {
            return Err(self.next);
        }
        self.next = self.next.max(now.minus(LAPSE)).plus(apart + MICROSECOND);
        Ok(())
    }
}

/// Instants drop parts of a microsecond; so slots are rounded up.
const MICROSECOND: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: i64) -> At {
        At::from_millis(millis)
    }

    /// `SplitMix64`.
    fn below(seed: &mut u64, bound: u64) -> u64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    #[test]
    fn nobody_counts_more_than_the_rate_in_any_second_however_the_calls_come() {
        let mut seed = 7;
        for per_second in [1, 2, 3, 10, 50, 333] {
            for hurry in [1, 10, 50, 400] {
                let (mut pace, mut now, mut arrived) = (Pace::from(ms(0)), ms(0), Vec::new());
                while arrived.len() < 1_500 {
                    now = now.plus(Duration::from_micros(below(&mut seed, hurry * 1_000)));
                    if pace.take(per_second, now).is_ok() {
                        let on_the_way = below(&mut seed, 30_000);
                        arrived.push(now.plus(Duration::from_micros(on_the_way)));
                    }
                }
                arrived.sort();
                let window = per_second as usize;
                for (first, beyond) in arrived.iter().zip(&arrived[window..]) {
                    assert!(
                        beyond.since(*first) >= SECOND,
                        "{per_second}/s, {hurry} ms: {first} to {beyond}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_backlog_uses_95_of_100_slots_and_a_late_one_costs_nothing_within_the_lapse() {
        for late in [0, 10, 19] {
            let (mut pace, mut now, mut taken) = (Pace::from(ms(0)), ms(0), 0);
            while now < ms(10_000) {
                match pace.take(50, now) {
                    Ok(()) => taken += 1,
                    Err(at) => now = at.plus(Duration::from_millis(late)),
                }
            }
            assert!((475..=478).contains(&taken), "{taken} in ten seconds, {late} ms late");
        }
    }

    #[test]
    fn what_was_not_used_lapses() {
        let mut pace = Pace::from(ms(0));
        assert_eq!(pace.take(10, ms(60_000)), Ok(()));
        let again = pace.take(10, ms(60_000)).unwrap_err();
        assert!(again >= ms(60_085), "{again}: a minute of silence allows no burst");
    }

    #[test]
    fn a_rate_of_nothing_has_no_slots() {
        assert_eq!(Pace::from(ms(0)).take(0, ms(5)), Err(At::MAX));
    }
}
