//! Chance that a seed decides: `SplitMix64`, in whole numbers alone, so that every machine draws the same.

use std::time::Duration;

/// A stream of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub fn of(seed: u64) -> Self {
        Chance(mixed(seed ^ 0x5150_5345_0000_0001))
    }

    /// Another stream, which what is drawn from this one does not disturb.
    pub fn fork(self, what: &str, which: u64) -> Self {
        // FNV-1a.
        let word = what.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Chance(mixed(self.0 ^ mixed(word ^ mixed(which))))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// Whether something comes to pass that does so in `of` of 10,000 cases.
    pub fn hits(&mut self, of: u32) -> bool {
        self.below(10_000) < u64::from(of)
    }

    /// Any time in between, the later one left out.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_micros()).unwrap_or(u64::MAX);
        from + Duration::from_micros(self.below(span))
    }

    /// A time in between of which every doubling is as likely as the next: minutes as often as days.
    pub fn spread(&mut self, from: Duration, to: Duration) -> Duration {
        let mut doublings = 0;
        while from * (2 << doublings) <= to {
            doublings += 1;
        }
        let low = from * (1 << self.below(doublings + 1));
        self.between(low, (low * 2).min(to))
    }

    /// One of these, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, from: &[(T, u32)]) -> Option<T> {
        let total: u64 = from.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut drawn = self.below(total);
        from.iter().find_map(|(one, weight)| {
            let weight = u64::from(*weight);
            if drawn < weight {
                return Some(*one);
            }
            drawn -= weight;
            None
        })
    }
}

/// `SplitMix64`'s finaliser.
fn mixed(seed: u64) -> u64 {
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
