//! What was really struck: a blow at somebody who is not there is none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A kind of blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Struck {
    /// SIGKILL of a process of the product.
    Process,
    /// SIGKILL of a database backend.
    Backend,
    /// SIGKILL of the database server.
    Postmaster,
    /// SIGKILL of the bank.
    Bank,
    /// SIGSTOP of a process of the product, and SIGCONT after its lease.
    Stopped,
    /// There was no backend to kill.
    NoBackend,
}

impl Struck {
    /// Whether it is the death of a process of the product or of its database.
    fn is_kill(self) -> bool {
        matches!(self, Struck::Process | Struck::Backend | Struck::Postmaster)
    }
}

/// Counts blows as they are delivered, and those that are on their way.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    struck: BTreeMap<Struck, u64>,
    on_their_way: u64,
}

impl Tally {
    /// A blow that may be a kill sets out.
    pub fn sets_out(&self) {
        self.lock().on_their_way += 1;
    }

    /// It arrived, and was this; nothing when nobody was there.
    pub fn arrived(&self, struck: Option<Struck>) {
        let mut counts = self.lock();
        counts.on_their_way = counts.on_their_way.saturating_sub(1);
        if let Some(struck) = struck {
            *counts.struck.entry(struck).or_default() += 1;
        }
    }

    /// Kills of the product and its database that were delivered.
    pub fn kills(&self) -> u64 {
        self.lock().struck.iter().filter(|(struck, _)| struck.is_kill()).map(|(_, count)| count).sum()
    }

    /// The same with those that may yet be.
    pub fn kills_at_most(&self) -> u64 {
        let on_their_way = self.lock().on_their_way;
        self.kills() + on_their_way
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.lock();
        let count = |struck| counts.struck.get(&struck).copied().unwrap_or_default();
        write!(
            f,
            "SIGKILL of processes {}, of backends {} (nobody there {}), of the postmaster {}; besides, SIGSTOP {}, \
             SIGKILL of the bank {}",
            count(Struck::Process),
            count(Struck::Backend),
            count(Struck::NoBackend),
            count(Struck::Postmaster),
            count(Struck::Stopped),
            count(Struck::Bank),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deaths_of_the_product_and_its_database_are_kills() {
        let tally = Tally::default();
        let all = [
            Some(Struck::Process),
            Some(Struck::Backend),
            Some(Struck::Postmaster),
            Some(Struck::Bank),
            Some(Struck::Stopped),
            Some(Struck::NoBackend),
            None,
        ];
        for _ in all {
            tally.sets_out();
        }
        assert_eq!((tally.kills(), tally.kills_at_most()), (0, 7));
        for struck in all {
            tally.arrived(struck);
        }
        assert_eq!((tally.kills(), tally.kills_at_most()), (3, 3));
    }
}
