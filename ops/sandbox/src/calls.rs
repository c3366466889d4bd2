//! What the bank saw: calls per operation and outcome, the most at once and the most in one second.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::faults::Operation;

/// The counters, shared by every connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<Tallies>>);

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tallies {
    all: Tally,
    operations: BTreeMap<Operation, Tally>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    calls: u64,
    /// HTTP status, or `reset`, or `abandoned` when the client went away first.
    outcomes: BTreeMap<String, u64>,
    in_flight: u64,
    peak_in_flight: u64,
    peak_per_second: u64,
    #[serde(skip)]
    second: (i64, u64),
}

/// A call under way; dropping it unfinished counts it as abandoned.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Calls,
    operation: Operation,
    outcome: Option<String>,
}

impl Calls {
    /// Counts a call that came in the given second of the Unix epoch.
    pub(crate) fn begin(&self, operation: Operation, second: i64) -> Call {
        self.tallies().each(operation, |tally| tally.begin(second));
        Call { calls: self.clone(), operation, outcome: None }
    }

    /// The counters as JSON.
    pub(crate) fn seen(&self) -> serde_json::Value {
        serde_json::to_value(&*self.tallies()).unwrap_or_default()
    }

    /// Starts counting afresh; calls under way stay in flight.
    pub(crate) fn clear(&self) {
        let mut tallies = self.tallies();
        tallies.all.clear();
        tallies.operations.values_mut().for_each(Tally::clear);
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// The call was answered, or ended as `outcome` says.
    pub(crate) fn ended(mut self, outcome: impl Into<String>) {
        self.outcome = Some(outcome.into());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| "abandoned".to_owned());
        self.calls.tallies().each(self.operation, |tally| tally.end(&outcome));
    }
}

impl Tallies {
    fn each(&mut self, operation: Operation, count: impl Fn(&mut Tally)) {
        count(&mut self.all);
        count(self.operations.entry(operation).or_default());
    }
}

impl Tally {
    fn begin(&mut self, second: i64) {
        self.calls += 1;
        self.in_flight += 1;
        self.peak_in_flight = self.peak_in_flight.max(self.in_flight);
        self.second = if self.second.0 == second { (second, self.second.1 + 1) } else { (second, 1) };
        self.peak_per_second = self.peak_per_second.max(self.second.1);
    }

    fn end(&mut self, outcome: &str) {
        self.in_flight -= 1;
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    fn clear(&mut self) {
        *self = Self { in_flight: self.in_flight, peak_in_flight: self.in_flight, ..Self::default() };
    }
}
