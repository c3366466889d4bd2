//! One process' view of one provider: what it may ask at the moment, what it asks, and what it tells the others about
//! it. Pure, and told the time by a clock that never jumps.
//!
//! The one rule: what it obeys never exceeds what is stored as its share. It obeys less at once when told so, and more
//! only after that was stored; what it is not sure of, it does not have.

use std::time::Duration;

use workflows::time::At;

use super::budget::Budget;
use super::pace::Pace;
use super::shares::{Limit, Report, WINDOW};

/// How often a share is renewed that is used. Whoever comes and finds everything held waits for the others' next beat.
const BEAT: Duration = Duration::from_millis(500);
/// The beats of a second: what was begun within one beat says how many calls a second are wanted.
const BEATS_A_SECOND: u32 = 2;
/// After so long without a wish a share is given up.
const IDLE: Duration = Duration::from_secs(1);
/// How soon a process asks again that needs a share and got none.
const HUNGRY_BEAT: Duration = Duration::from_millis(250);
/// For how long a process goes on that cannot renew its share.
const UNRENEWED: Duration = Duration::from_secs(10);
/// When to come again where nobody knows the time; whoever frees something says so.
const LATER: Duration = Duration::from_secs(1);
/// So much of the time ahead is filled with calls that have been admitted: enough to leave no slot empty.
const AHEAD: u32 = 4;

const NOTHING: Limit = Limit { per_second: 0, in_flight: 0 };

/// What a provider allows, and what this product allows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it takes from all processes together.
    pub limit: Limit,
    /// How many repetitions a hundred first attempts pay for.
    pub retry_percent: u32,
    /// How long a call may take in all.
    pub longest_call: Duration,
}

/// The desk that every call to a provider passes.
#[derive(Debug)]
pub struct Desk {
    terms: Terms,
    /// What it obeys.
    share: Limit,
    /// From here on no call may begin under the share.
    until: At,
    /// What is stored, as far as it knows; at least the share.
    stored: Limit,
    pace: Pace,
    /// Repetitions.
    pub budget: Budget,
    /// Calls that are open.
    open: u32,
    /// Calls that were admitted and have yet to begin.
    admitted: u32,
    /// Since the last report: calls begun, the most that were open, and whether any was turned away by the share.
    begun: u32,
    peak: u32,
    hungry: bool,
    /// When somebody last wanted anything.
    wanted_at: At,
    /// When the share was last asked for.
    asked_at: At,
    /// Counts how often the share was lost: what was asked before is not believed afterwards.
    losses: u32,
}

/// What the desk needs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing until somebody wants something.
    Nothing,
    /// To renew its share at this time.
    Renewal(At),
    /// To give its share up: nobody wants anything here.
    Surrender,
}

/// A report on its way.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What is told.
    pub report: Report,
    /// What the budget tells, in thousandths.
    pub untold: i64,
    at: At,
    losses: u32,
}

impl Desk {
    /// Without a share.
    pub fn new(terms: Terms, now: At) -> Self {
        Desk {
            terms,
            share: NOTHING,
            until: At::MIN,
            stored: NOTHING,
            pace: Pace::from(now),
            budget: Budget::full(terms.retry_percent),
            open: 0,
            admitted: 0,
            begun: 0,
            peak: 0,
            hungry: false,
            wanted_at: At::MIN,
            asked_at: At::MIN,
            losses: 0,
        }
    }

    /// Sets what the provider takes from all processes together. Less is obeyed at once.
    pub fn set(&mut self, limit: Limit) {
        self.terms.limit = limit;
    }

    /// What the provider takes from all processes together.
    pub fn limit(&self) -> Limit {
        self.terms.limit
    }

    /// Begins a call, or says when to come again.
    ///
    /// # Errors
    /// When it may not begin: the next slot, or a time after which it is worth asking again.
    pub fn take(&mut self, now: At) -> Result<(), At> {
        self.wanted_at = now;
        let may = self.obeyed(now);
        if self.open >= may.in_flight {
            self.hungry = true;
            return Err(now.plus(LATER));
        }
        self.slot(may.per_second, now)?;
        self.open += 1;
        self.peak = self.peak.max(self.open);
        Ok(())
    }

    /// Lets another request leave under a call that is open, or says when to come again: it keeps its place and has a
    /// slot of its own. `losses` is what [`Desk::losses`] said when the call began.
    ///
    /// # Errors
    /// As those of [`Desk::take`].
    pub fn again(&mut self, losses: u32, now: At) -> Result<(), At> {
        self.wanted_at = now;
        let may = self.obeyed(now);
        // A place that was lost with its share may be somebody else's.
        if losses != self.losses && self.open > may.in_flight {
            self.hungry = true;
            return Err(now.plus(LATER));
        }
        self.slot(may.per_second, now)
    }

    /// How often its share was lost.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    /// How many calls it may have open: its share, or the whole limit where it has none yet.
    pub fn places(&self, now: At) -> u32 {
        let may = self.obeyed(now);
        if may == NOTHING { self.terms.limit.in_flight } else { may.in_flight }
    }

    /// A call has ended.
    pub fn end(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// How many more calls are worth admitting: as many as can begin within a quarter of a second.
    pub fn room(&self, now: At) -> u32 {
        let may = self.obeyed(now);
        // Without a share nobody knows; the whole limit is the most that there can be.
        let may = if may == NOTHING { self.terms.limit } else { may };
        let soon = may.per_second.div_ceil(AHEAD);
        // Where every place is taken, a few wait at the door.
        let places = may.in_flight.saturating_sub(self.open) + may.in_flight.div_ceil(AHEAD);
        // Somebody has to wait, or nobody would know that a share is wanted.
        soon.min(places).max(1).saturating_sub(self.admitted)
    }

    /// Admits a call that will begin when its turn comes, if there is room.
    pub fn admit(&mut self, now: At) -> bool {
        self.wanted_at = now;
        let room = self.room(now) > 0;
        self.admitted += u32::from(room);
        room
    }

    /// A call that was admitted has begun, or will not.
    pub fn dismiss(&mut self) {
        self.admitted = self.admitted.saturating_sub(1);
    }

    /// What it needs, once it is time. A share that is to be given up is not used from here on.
    pub fn next(&mut self, now: At) -> Need {
        let need = self.need(now);
        if need == Need::Surrender {
            self.lose();
        }
        need
    }

    /// What it needs from the others, and when.
    pub fn need(&self, now: At) -> Need {
        let holds = now < self.until;
        let busy = self.open > 0 || self.admitted > 0;
        if !busy && now.since(self.wanted_at) >= IDLE {
            return if self.stored == NOTHING { Need::Nothing } else { Need::Surrender };
        }
        let cedes = self.share.per_second < self.stored.per_second
            || self.share.in_flight.max(self.open) < self.stored.in_flight;
        let next = if holds && cedes {
            // Whoever waits for it should not wait for the next beat.
            self.asked_at
        } else if holds && self.share.per_second > 0 && self.share.in_flight > 0 {
            let idle = self.wanted_at.plus(IDLE);
            if busy { self.asked_at.plus(BEAT) } else { self.asked_at.plus(BEAT).min(idle) }
        } else {
            self.asked_at.plus(HUNGRY_BEAT)
        };
        Need::Renewal(next.max(now))
    }

    /// What it tells the others when it renews its share.
    pub fn report(&mut self, now: At) -> Asked {
        let Terms { limit, longest_call, .. } = self.terms;
        let obeyed = self.obeyed(now);
        let obeys = Limit { in_flight: obeyed.in_flight.max(self.open), ..obeyed };
        // In steps, so that a little more or less changes nobody's share.
        let stepped = |used: u32, most: u32| (used + 1).checked_next_power_of_two().unwrap_or(most).min(most);
        let wants = if self.hungry {
            limit
        } else {
            Limit {
                per_second: stepped(self.begun.saturating_mul(BEATS_A_SECOND), limit.per_second),
                in_flight: stepped(self.peak, limit.in_flight),
            }
        };
        (self.begun, self.peak, self.hungry, self.asked_at) = (0, self.open, false, now);
        let report = Report { limit, obeys, wants, lasts: longest_call.max(WINDOW) + UNRENEWED };
        Asked { report, untold: self.budget.untold(), at: now, losses: self.losses }
    }

    /// Its share was renewed as it was asked for.
    pub fn renewed(&mut self, asked: &Asked, obey: Limit, balance: i64) {
        self.budget.agreed(asked.untold, balance);
        if asked.losses != self.losses {
            return;
        }
        let obeys = asked.report.obeys;
        self.stored = Limit {
            per_second: obey.per_second.max(obeys.per_second),
            in_flight: obey.in_flight.max(obeys.in_flight),
        };
        self.share = obey;
        // Counted from before it was asked for: the others count from a moment after that.
        self.until = asked.at.plus(UNRENEWED);
    }

    /// Something became free: who has nothing asks at once, however lately it asked before. The others come with their
    /// next beat, so that what a dead process held is there for the one that takes its place.
    pub fn look(&mut self) {
        if self.share.per_second == 0 || self.share.in_flight == 0 {
            self.asked_at = At::MIN;
        }
    }

    /// Its share is gone: somebody may have taken this process for dead.
    pub fn lose(&mut self) {
        self.losses = self.losses.wrapping_add(1);
        (self.share, self.stored, self.until) = (NOTHING, NOTHING, At::MIN);
    }

    fn slot(&mut self, per_second: u32, now: At) -> Result<(), At> {
        if per_second == 0 {
            self.hungry = true;
            return Err(now.plus(LATER));
        }
        self.pace.take(per_second, now).inspect_err(|_| self.hungry = true)?;
        self.begun = self.begun.saturating_add(1);
        Ok(())
    }

    /// What may be done at `now`.
    fn obeyed(&self, now: At) -> Limit {
        if now >= self.until {
            return NOTHING;
        }
        Limit {
            per_second: self.share.per_second.min(self.terms.limit.per_second),
            in_flight: self.share.in_flight.min(self.terms.limit.in_flight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Limit = Limit { per_second: 50, in_flight: 2 };

    fn at(millis: i64) -> At {
        At::from_millis(millis)
    }

    fn holds(desk: &mut Desk, share: Limit, now: At) {
        let asked = desk.report(now);
        desk.renewed(&asked, share, 0);
    }

    #[test]
    fn a_call_that_is_open_takes_another_slot_and_no_other_place() {
        let terms = Terms { limit: WHOLE, retry_percent: 10, longest_call: Duration::from_secs(1) };
        let mut desk = Desk::new(terms, at(0));
        holds(&mut desk, WHOLE, at(0));
        assert_eq!(desk.take(at(0)), Ok(()));
        let next = desk.again(desk.losses(), at(0)).expect_err("a slot each");
        assert_eq!(desk.again(desk.losses(), next), Ok(()));
        assert_eq!(desk.take(at(100)), Ok(()), "the other place is free");
        assert!(desk.take(at(200)).is_err(), "all places are taken");
        // A share that shrinks takes no place from a call that is open.
        holds(&mut desk, Limit { in_flight: 1, ..WHOLE }, at(300));
        assert_eq!(desk.again(desk.losses(), at(300)), Ok(()));
        // One that was lost does: somebody else may have it.
        let before = desk.losses();
        desk.lose();
        assert!(desk.again(before, at(400)).is_err(), "there is no share");
        holds(&mut desk, Limit { in_flight: 1, ..WHOLE }, at(400));
        assert!(desk.again(before, at(500)).is_err(), "two are open, one may be");
        desk.end();
        assert_eq!(desk.again(before, at(500)), Ok(()));
    }
}
