//! Which instance is a try at which order: the one thing that clients, bank and judge have in common.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use workflows::ids::{EndToEndId, TransactionId, WorkflowId};

/// The ids under which orders were tried to be started, with the order's number and the amount in hundredths.
#[derive(Debug, Default)]
pub struct Registry {
    tries: Mutex<BTreeMap<WorkflowId, (u64, i64)>>,
}

impl Registry {
    /// Notes a try.
    pub fn note(&self, id: WorkflowId, number: u64, minor: i64) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (number, minor));
    }

    /// The order of an instance, with its amount.
    pub fn of(&self, id: WorkflowId) -> Option<(u64, i64)> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    /// The order's number, or one that no order has.
    pub fn number(&self, id: WorkflowId) -> u64 {
        self.of(id).map_or(u64::MAX, |(number, _)| number)
    }

    /// The order of an end-to-end id, with its amount.
    pub fn of_end_to_end(&self, text: &str) -> Option<(u64, i64)> {
        self.of(instance(text)?)
    }
}

/// The instance that an end-to-end id names.
pub fn instance(end_to_end: &str) -> Option<WorkflowId> {
    let id: EndToEndId = end_to_end.parse().ok()?;
    id.transaction().map(|transaction: TransactionId| transaction.into())
}
