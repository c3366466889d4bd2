//! What this process has done since it started, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Counts of one kind of thing, by a word.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Arc<str>, u64>>);

impl Tally {
    /// One more.
    pub(crate) fn count(&self, word: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(counts.insert(word.into(), 1)),
        }
    }

    /// Every word that was counted, with its count.
    pub fn counts(&self) -> BTreeMap<Arc<str>, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Upper bounds of what [`Spans`] tells apart, in microseconds.
const BOUNDS: [u64; 12] =
    [500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// How long one kind of thing took.
#[derive(Debug, Default)]
pub struct Spans {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Spans {
    /// One more.
    pub(crate) fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many took at most so long, for each bound; then how many there were.
    pub fn at_most(&self) -> (Vec<(Duration, u64)>, u64) {
        let mut sum = 0;
        let mut upto = |count: &AtomicU64| {
            sum += count.load(Ordering::Relaxed);
            sum
        };
        let bounded = BOUNDS
            .iter()
            .zip(&self.counts)
            .map(|(bound, count)| (Duration::from_micros(*bound), upto(count)));
        let bounded = bounded.collect();
        (bounded, self.counts.last().map_or(0, upto))
    }

    /// How long they took together.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

/// The counts of one process.
#[derive(Debug, Default)]
pub struct Meters {
    /// How long the database took to claim due tasks.
    pub claims: Spans,
    /// Workflows that were started, by kind.
    pub started: Tally,
    /// Workflows that came to their end here, by status.
    pub ended: Tally,
    /// What operators were told, by what it is about.
    pub alerts: Tally,
    /// Attempts and timers that were settled, by what they brought.
    pub settled: Tally,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_counted_up_to_its_bound_and_above() {
        let spans = Spans::default();
        for micros in [500, 501, 4_000, 2_000_000] {
            spans.count(Duration::from_micros(micros));
        }
        let (bounded, all) = spans.at_most();
        let upto = |millis: u64| {
            bounded.iter().find(|(bound, _)| *bound == Duration::from_millis(millis)).unwrap().1
        };
        assert_eq!((bounded[0].1, upto(1), upto(3), upto(5), upto(1_000), all), (1, 2, 2, 3, 3, 4));
        assert_eq!(spans.total(), Duration::from_micros(2_005_001));
    }
}
