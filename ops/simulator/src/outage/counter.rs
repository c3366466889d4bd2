//! What the provider counts at its door: calls in any second, calls at once, and calls over time.

use std::collections::VecDeque;
use std::time::Duration;

use workflows::time::At;

/// In which a provider counts.
const WINDOW: Duration = Duration::from_secs(1);

/// The counts of one provider.
#[derive(Debug, Default)]
pub struct Counter {
    /// The calls of the last second.
    latest: VecDeque<At>,
    /// The most that arrived within any second.
    pub most_in_a_second: usize,
    open: usize,
    /// The most that were open at once.
    pub most_at_once: usize,
    /// Calls in each second since the beginning.
    seconds: Vec<u16>,
    /// Calls in all.
    pub calls: u64,
}

impl Counter {
    /// A call arrived at `now`, so long after the beginning. To be told in the order of time.
    pub fn arrived(&mut self, now: At, after: Duration) {
        // Any second: the one that ends with this call.
        while self.latest.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            self.latest.pop_front();
        }
        self.latest.push_back(now);
        self.most_in_a_second = self.most_in_a_second.max(self.latest.len());
        self.open += 1;
        self.most_at_once = self.most_at_once.max(self.open);
        let second = usize::try_from(after.as_secs()).unwrap_or(usize::MAX);
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, 0);
        }
        if let Some(count) = self.seconds.get_mut(second) {
            *count = count.saturating_add(1);
        }
        self.calls += 1;
    }

    /// A call was answered.
    pub fn answered(&mut self) {
        self.open -= 1;
    }

    /// The calls between two times, by whole seconds within them, and how many seconds those are.
    pub fn between(&self, from: Duration, to: Duration) -> (u64, u64) {
        let (first, end) = (from.as_secs() + 1, to.as_secs());
        let place = |second| usize::try_from(second).unwrap_or(usize::MAX).min(self.seconds.len());
        let seconds = self.seconds.get(place(first)..place(end)).unwrap_or_default();
        (seconds.iter().map(|count| u64::from(*count)).sum(), end.saturating_sub(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(millis: &[i64]) -> Counter {
        let mut counter = Counter::default();
        for at in millis {
            counter.arrived(At::from_millis(*at), Duration::from_millis(at.unsigned_abs()));
            counter.answered();
        }
        counter
    }

    #[test]
    fn a_second_begins_anywhere_and_ends_before_its_end() {
        for (millis, most) in [
            (&[0, 999][..], 2),
            (&[0, 1_000], 1),
            (&[900, 950, 1_000, 1_899, 1_901], 4),
            (&[0, 400, 800, 1_200, 1_600], 3),
        ] {
            assert_eq!(counted(millis).most_in_a_second, most, "{millis:?}");
        }
    }

    #[test]
    fn calls_over_time_are_those_of_the_whole_seconds_within_it() {
        let counter = counted(&[500, 1_500, 1_900, 2_500, 3_500]);
        let millis = Duration::from_millis;
        assert_eq!(counter.between(millis(700), millis(3_200)), (3, 2));
        assert_eq!(counter.between(millis(3_000), millis(9_000)), (0, 5), "from the fourth second on");
        assert_eq!(counter.between(millis(5_000), millis(2_000)), (0, 0));
    }
}
