//! What must never happen, and where it is noted when it does.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// The invariants (reliability §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// I1: what was accepted is stored.
    DurableAccept,
    /// I2: money moves once, and as ordered.
    MoneyOnce,
    /// I3: whatever the bank was asked for was committed before.
    NoOrphan,
    /// I4: what is shown is true, and an end is an end.
    Truthful,
    /// I5: a payment that failed leaves nothing at the bank.
    Compensated,
    /// I6: revisions without gaps, and no word of a claim that is gone.
    SingleWriter,
    /// I7: no timer is early, and none is late while nothing is wrong.
    Punctual,
    /// I8: the history is whole and tells the state.
    Audit,
    /// I9: events once, in any order.
    EventsOnce,
    /// I10: what a transition promises to tell is told once, and nothing else is.
    ToldOnce,
    /// I11: one start for a key, and whoever uses it for another order learns that it is taken.
    StartsOnce,
    /// I12: something leads on from every live instance.
    NoLimbo,
    /// I14: nothing is sent that is held back.
    Held,
    /// L1: all comes to its end once faults stop, and nothing happens that the machine refuses.
    Liveness,
}

impl Rule {
    /// As in the list.
    pub fn id(self) -> &'static str {
        match self {
            Rule::DurableAccept => "I1",
            Rule::MoneyOnce => "I2",
            Rule::NoOrphan => "I3",
            Rule::Truthful => "I4",
            Rule::Compensated => "I5",
            Rule::SingleWriter => "I6",
            Rule::Punctual => "I7",
            Rule::Audit => "I8",
            Rule::EventsOnce => "I9",
            Rule::ToldOnce => "I10",
            Rule::StartsOnce => "I11",
            Rule::NoLimbo => "I12",
            Rule::Held => "I14",
            Rule::Liveness => "L1",
        }
    }
}

/// One breach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Of which rule.
    pub rule: Rule,
    /// With which order, if it is one's.
    pub order: Option<u64>,
    /// What was seen.
    pub what: String,
}

/// The breaches of a world.
#[derive(Debug, Default)]
pub struct Breaches {
    found: Mutex<Vec<Breach>>,
    news: Notify,
}

impl Breaches {
    /// Notes one.
    pub fn add(&self, rule: Rule, order: Option<u64>, what: String) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(Breach { rule, order, what });
        self.news.notify_one();
    }

    /// Waits for the first one.
    pub async fn first(&self) {
        while self.all().is_empty() {
            self.news.notified().await;
        }
    }

    /// All so far.
    pub fn all(&self) -> Vec<Breach> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
