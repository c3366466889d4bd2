//! What goes wrong: every kind of fault, how often it strikes, and which ones may.
//!
//! Whether a fault strikes is decided by where it could, not by what was drawn before: the n-th call of a kind about a
//! workflow has its own throw. So a fault can be taken out of a run and the others stay where they were, which is what
//! [`crate::shrink`] lives on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chance::Chance;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The store refuses; nothing was written.
    StoreRefused,
    /// The store writes, and its answer is an error: nobody knows.
    StoreUnknownWritten,
    /// The store does not write, and nobody knows.
    StoreUnknownLost,
    /// The store takes its time.
    StoreSlow,
    /// The database restarts: neither reads nor writes for a while.
    StoreRestarts,
    /// The disk is full: no writes for a while.
    DiskFull,
    /// No connection is free: calls wait, and are refused, for a while.
    PoolEmpty,
    /// The database's clock goes forward, and the processes' one after the other.
    ClockJump,
    /// The process dies.
    Crash,
    /// The process that was started in place of a dead one dies too.
    CrashInRecovery,
    /// The process stands still beyond its leases, and goes on.
    Pause,
    /// The process is told to stop and another takes its place.
    Deploy,
    /// No connection comes about.
    ConnectionRefused,
    /// The connection is reset before the request arrives.
    ResetBefore,
    /// The connection is reset before the answer.
    ResetAfter,
    /// The answer never comes.
    ReplyLost,
    /// The answer comes after the time is up.
    ReplyLate,
    /// The request arrives late.
    RequestSlow,
    /// The request arrives twice.
    RequestDuplicated,
    /// The answer's body ends in the middle.
    ReplyTruncated,
    /// The answer's body is longer than anybody reads.
    ReplyOversized,
    /// The answer is JSON of another shape.
    ReplyAlien,
    /// A 5xx before anything was done.
    ErrorBefore,
    /// A 5xx after it was done.
    ErrorAfter,
    /// 429 with a wish.
    TooManyWithWish,
    /// 429 without one.
    TooMany,
    /// The token is refused.
    TokenExpired,
    /// "I do not know that payment", of one that is there.
    NotFound,
    /// A lookup misses a payment that is there.
    LookupMissed,
    /// A status from before.
    StatusStale,
    /// A repetition is refused before anybody looks at its key.
    RepetitionRefused,
    /// Nothing behind the aggregator can be reached for a while.
    Outage,
    /// A callback comes twice or more.
    CallbackDuplicated,
    /// A callback comes after a later one.
    CallbackLate,
    /// A callback comes days later, when all is over.
    CallbackDaysLate,
    /// A callback that no bank sent.
    CallbackForged,
    /// A callback about a payment that nobody has.
    NobodysCallback,
    /// A forged callback that says of a pending payment that it is executed, under the name of the word to come.
    CallbackClaims,
    /// Two starts under one key at once.
    StartTwice,
    /// A start under a key that another order has.
    StartOther,
    /// The client hangs up before the answer.
    HangUp,
    /// The client has no answer and never asks again.
    NeverRetries,
    /// Somebody wants it taken back. No fault, but something that a run may do without.
    CancelAsked,
    /// An operator holds payments back for a while. No fault either.
    Held,
}

impl Fault {
    /// Everything that is one.
    pub const ALL: [Fault; 42] = [
        Fault::StoreRefused,
        Fault::StoreUnknownWritten,
        Fault::StoreUnknownLost,
        Fault::StoreSlow,
        Fault::StoreRestarts,
        Fault::DiskFull,
        Fault::PoolEmpty,
        Fault::ClockJump,
        Fault::Crash,
        Fault::CrashInRecovery,
        Fault::Pause,
        Fault::Deploy,
        Fault::ConnectionRefused,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ReplyLost,
        Fault::ReplyLate,
        Fault::RequestSlow,
        Fault::RequestDuplicated,
        Fault::ReplyTruncated,
        Fault::ReplyOversized,
        Fault::ReplyAlien,
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::TooManyWithWish,
        Fault::TooMany,
        Fault::TokenExpired,
        Fault::NotFound,
        Fault::LookupMissed,
        Fault::StatusStale,
        Fault::RepetitionRefused,
        Fault::Outage,
        Fault::CallbackDuplicated,
        Fault::CallbackLate,
        Fault::CallbackDaysLate,
        Fault::CallbackForged,
        Fault::StartTwice,
        Fault::StartOther,
        Fault::HangUp,
        Fault::NeverRetries,
        Fault::NobodysCallback,
        Fault::CallbackClaims,
    ];

    /// Whether it is what people may do at any time.
    fn is_everyday(self) -> bool {
        matches!(self, Fault::CancelAsked | Fault::Held)
    }
}

/// Which faults may strike.
#[derive(Clone, Debug, Default)]
pub enum Allowed {
    /// All that come up.
    #[default]
    All,
    /// None.
    None,
    /// These strikes.
    Only(BTreeSet<u64>),
}

/// One strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Names the place in the run where it struck.
    pub id: u64,
    /// What it was.
    pub fault: Fault,
}

/// A fault that is about to strike; it counts once it has had an effect.
#[derive(Clone, Copy, Debug)]
pub struct Blow {
    strike: Strike,
    /// Decides how hard.
    pub chance: Chance,
}

impl Blow {
    /// What it is.
    pub fn fault(&self) -> Fault {
        self.strike.fault
    }
}

/// Kinds of fault, each with how often it strikes in 10,000 calls.
pub type Rates = [(Fault, u32)];

/// The faults of a world.
#[derive(Debug)]
pub struct Faults {
    chance: Chance,
    /// In hundredths of the stated rates.
    mood: u32,
    allowed: Allowed,
    struck: Mutex<Struck>,
}

#[derive(Debug, Default)]
struct Struck {
    over: bool,
    /// How often something could have struck at a place.
    throws: HashMap<(&'static str, u64), u64>,
    strikes: Vec<Strike>,
    counted: HashSet<u64>,
}

impl Faults {
    /// Those of this stream, at `mood` hundredths of their usual rates.
    pub fn of(chance: Chance, mood: u32, allowed: Allowed) -> Self {
        Faults { chance, mood, allowed, struck: Mutex::default() }
    }

    /// What strikes at a place this time, if anything, with the chance that decides how hard.
    pub fn at(&self, place: &'static str, subject: u64, rates: &Rates) -> Option<(Fault, Chance)> {
        let blow = self.threat(place, subject, rates)?;
        self.struck(&blow);
        Some((blow.fault(), blow.chance))
    }

    /// What is about to strike there, where that would have any effect; for the caller to count.
    pub fn threat(&self, place: &'static str, subject: u64, rates: &Rates) -> Option<Blow> {
        let mut struck = self.lock();
        let nth = struck.throws.entry((place, subject)).or_insert(0);
        *nth += 1;
        if struck.over || self.mood == 0 {
            return None;
        }
        let nth = struck.throws.get(&(place, subject)).copied().unwrap_or(0);
        let mut chance = self.chance.fork(place, subject).fork("nth", nth);
        let id = chance.bits();
        let total: u32 = rates.iter().map(|(_, rate)| rate).sum();
        if !chance.hits(total * self.mood / 100) || !self.allowed.allows(id) {
            return None;
        }
        let fault = chance.weighted(rates)?;
        Some(Blow { strike: Strike { id, fault }, chance })
    }

    /// A blow had its effect.
    pub fn struck(&self, blow: &Blow) {
        self.took_place(blow.strike);
    }

    /// What was planned with the world had its effect. It counts once.
    pub fn took_place(&self, strike: Strike) {
        let mut struck = self.lock();
        if struck.counted.insert(strike.id) {
            struck.strikes.push(strike);
        }
    }

    /// Whether what was planned with the world may take place.
    pub fn may(&self, id: u64) -> bool {
        self.allowed.allows(id)
    }

    /// Whether one kind of fault strikes at a place this time.
    pub fn one(&self, place: &'static str, subject: u64, fault: Fault, rate: u32) -> Option<Chance> {
        self.at(place, subject, &[(fault, rate)]).map(|(_, chance)| chance)
    }

    /// A strike that was planned with the world, if it may take place.
    pub fn planned(&self, fault: Fault, id: u64) -> bool {
        let may = self.may(id);
        if may {
            self.took_place(Strike { id, fault });
        }
        may
    }

    /// Nothing strikes from here on.
    pub fn end(&self) {
        self.lock().over = true;
    }

    /// Everything that struck, in order.
    pub fn strikes(&self) -> Vec<Strike> {
        self.lock().strikes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Struck> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowed {
    fn allows(&self, id: u64) -> bool {
        match self {
            Allowed::All => true,
            Allowed::None => false,
            Allowed::Only(ids) => ids.contains(&id),
        }
    }
}

/// How often each kind struck.
pub fn counted(strikes: &[Strike]) -> BTreeMap<Fault, u64> {
    let mut counts = BTreeMap::new();
    for strike in strikes.iter().filter(|strike| !strike.fault.is_everyday()) {
        *counts.entry(strike.fault).or_insert(0) += 1;
    }
    counts
}
