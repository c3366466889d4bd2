//! What this process has done since it started, counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The counts of one process.
#[derive(Debug, Default)]
pub struct Meters {
    /// Workflows that were started, by kind.
    pub started: Tally,
    /// Workflows that came to their end here, by status.
    pub ended: Tally,
    /// What operators were told, by what it is about.
    pub alerts: Tally,
    /// Attempts and timers that were settled, by what they brought.
    pub settled: Tally,
}
