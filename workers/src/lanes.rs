//! What of each lane this process may begin: as much as its controls allow, and so little at a time that one slow bank
//! cannot take every hand.
//!
//! [`Lanes::enter`] is the one way into a lane, for what the feeder claimed and for what is born claimed alike.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workflows::engine::Lane;
use workflows::time::At;

use crate::controls::{Controls, Gate, Trial, turns_away};
use crate::limits::{Admission, Limits};
use crate::wake::Wake;

/// For each place at a provider that is free, one of its banks may take so many: whatever one bank takes, there is
/// something left for the others.
const OF_EACH_FREE: usize = 2;

/// Tasks in flight by lane.
pub(crate) struct Lanes {
    /// The most of one lane.
    most: usize,
    /// What each provider takes from all processes.
    limits: Limits,
    in_flight: Mutex<InFlight>,
    /// Whether somebody was turned away because a bank had its part of the provider.
    turned_away: AtomicBool,
    /// The providers of which everything that is free is spoken for by work that is due.
    crowded: Mutex<HashSet<String>>,
    /// Until when nothing more of a lane is claimed here, so that something else comes first.
    resting: Mutex<HashMap<Lane, At>>,
    wake: Arc<Wake>,
    controls: Controls,
}

/// What is under way.
#[derive(Default)]
struct InFlight {
    lanes: HashMap<Lane, usize>,
    /// Calls by provider and bank, where the provider has limits.
    banks: HashMap<(String, String), usize>,
}

impl InFlight {
    /// How many more of `places` at its provider a bank may have.
    fn part_of(&self, provider: &str, bank: &str, places: usize) -> usize {
        let of = |(key, count): (&(String, String), &usize)| (key.0 == provider).then_some(*count);
        let taken: usize = self.banks.iter().filter_map(of).sum();
        let own = self.banks.get(&(provider.to_owned(), bank.to_owned())).copied().unwrap_or(0);
        let leaves_some =
            |more: &usize| own + more < (OF_EACH_FREE * places.saturating_sub(taken + more)).max(1);
        (0..places.max(1)).take_while(leaves_some).count()
    }
}

impl Lanes {
    /// For so many hands: a lane gets at most a quarter of them.
    pub(crate) fn new(hands: usize, limits: Limits, controls: Controls, wake: Arc<Wake>) -> Self {
        let (in_flight, turned_away) = (Mutex::default(), AtomicBool::new(false));
        let (crowded, resting) = (Mutex::default(), Mutex::default());
        Lanes { most: hands.div_ceil(4), limits, in_flight, turned_away, crowded, resting, wake, controls }
    }

    /// What may be sent.
    pub(crate) fn controls(&self) -> &Controls {
        &self.controls
    }

    /// What each provider takes.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many more tasks of a lane may begin, as far as the lane itself and its bank's part of the provider go.
    pub(crate) fn room(&self, lane: &Lane) -> usize {
        let in_flight = self.lock();
        let room = self.most.saturating_sub(in_flight.lanes.get(lane).copied().unwrap_or(0));
        let Some((provider, bank, places)) = self.part(lane) else { return room };
        let part = in_flight.part_of(provider, bank, places);
        if part == 0 {
            self.turned_away.store(true, Ordering::Release);
        }
        room.min(part)
    }

    /// Says of which providers everything that is free is spoken for.
    pub(crate) fn are_crowded(&self, providers: HashSet<String>) {
        *self.crowded.lock().unwrap_or_else(PoisonError::into_inner) = providers;
    }

    fn is_crowded(&self, lane: &Lane) -> bool {
        let crowded = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        self.limited(lane).is_some_and(|provider| crowded.contains(provider))
    }

    /// The provider and bank that a task of a lane takes a place of, with the provider's places; nothing where there is
    /// no limit.
    fn part<'a>(&self, lane: &'a Lane) -> Option<(&'a str, &'a str, usize)> {
        let places = self.limits.places(self.limited(lane)?)?;
        lane.parts().map(|(provider, bank, _)| (provider, bank, places))
    }

    /// A place for a task that is performed the moment it is born, while its lane is open and has room, and nobody else
    /// waits for its provider: it takes its turn among them. One that would be turned away in a shut lane is performed
    /// too: that is how its payer hears of it.
    pub(crate) fn begin(self: &Arc<Self>, lane: &Lane) -> Option<Place> {
        match self.controls.gate(lane) {
            Gate::Open if self.is_crowded(lane) => None,
            Gate::Open => self.enter(lane),
            Gate::Shut(_) if turns_away(lane) => self.enter(lane),
            Gate::OneAtATime | Gate::Until(_) | Gate::Probed | Gate::Shut(_) => None,
        }
    }

    /// A task of this process is due at `at` and nobody holds it.
    pub(crate) fn due(&self, at: At) {
        self.wake.due(at);
    }

    /// Nothing of a lane is claimed here before `until`.
    pub(crate) fn rest(&self, lane: &Lane, until: At) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(lane.clone(), until);
    }

    /// Until when a lane rests, at `now`.
    pub(crate) fn rests(&self, lane: &Lane, now: At) -> Option<At> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, until| now < *until);
        resting.get(lane).copied()
    }

    /// The provider whose limits a task of a lane is under. What is turned away there is not sent, timers ask nobody.
    pub(crate) fn limited<'a>(&self, lane: &'a Lane) -> Option<&'a str> {
        let (provider, ..) = lane.parts()?;
        let shut = turns_away(lane) && matches!(self.controls.gate(lane), Gate::Shut(_));
        (!shut).then_some(provider)
    }

    /// A place in a lane, while it has room and its provider takes more.
    pub(crate) fn enter(self: &Arc<Self>, lane: &Lane) -> Option<Place> {
        let limited = self.limited(lane);
        let admission = match limited {
            Some(provider) => Some(self.limits.admit(provider)?),
            None => None,
        };
        let part = self.part(lane);
        let mut in_flight = self.lock();
        if let Some((provider, bank, places)) = part
            && in_flight.part_of(provider, bank, places) == 0
        {
            self.turned_away.store(true, Ordering::Release);
            return None;
        }
        let count = in_flight.lanes.entry(lane.clone()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let bank = part.map(|(provider, bank, _)| (provider.to_owned(), bank.to_owned()));
        if let Some(bank) = &bank {
            *in_flight.banks.entry(bank.clone()).or_insert(0) += 1;
        }
        drop(in_flight);
        Some(Place {
            lanes: Arc::clone(self),
            lane: lane.clone(),
            bank,
            trial: None,
            admission,
            counted_in: None,
            since: None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a lane; free again when it goes.
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    lane: Lane,
    /// Whose part of its provider it is.
    bank: Option<(String, String)>,
    /// The right to make the one attempt that a half-open breaker lets through.
    trial: Option<Trial>,
    /// Its place before the provider's desk, until the call begins.
    admission: Option<Admission>,
    /// The window of a queue's ramp that it is counted in.
    counted_in: Option<At>,
    /// From when on its task has been due; nothing where it was born now.
    since: Option<At>,
}

impl Place {
    /// With the right to make a trial.
    pub(crate) fn trying(mut self, trial: Option<Trial>) -> Self {
        self.trial = trial;
        self
    }

    /// For a task that has been due since then.
    pub(crate) fn due_since(mut self, since: At) -> Self {
        self.since = Some(since);
        self
    }

    /// From when on its task has been due: where it comes again when it is handed back, so that nobody overtakes it.
    pub(crate) fn since(&self) -> Option<At> {
        self.since
    }

    /// As one that was let out of a queue, and is counted in this window of its ramp.
    pub(crate) fn counted_in(mut self, window: Option<At>) -> Self {
        self.counted_in = window;
        self
    }

    /// The queue and the window of its ramp that it is counted in, to be given back.
    pub(crate) fn take_count(&mut self) -> Option<(&Lane, At)> {
        self.counted_in.take().map(|window| (&self.lane, window))
    }

    /// Takes the right to make a trial, to use it or to give it back.
    pub(crate) fn take_trial(&mut self) -> Option<Trial> {
        self.trial.take()
    }

    /// The provider whose limits it is under; timers are under nobody's.
    pub(crate) fn provider(&self) -> &str {
        self.lane.parts().map_or("", |(provider, _, _)| provider)
    }

    /// The call begins, or is given up: others may come before the desk.
    pub(crate) fn leave_the_line(&mut self) {
        self.admission = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_flight = self.lanes.lock();
        let mut was_full = false;
        if let Some(count) = in_flight.lanes.get_mut(&self.lane) {
            was_full = *count >= self.lanes.most;
            *count = count.saturating_sub(1);
            if *count == 0 {
                in_flight.lanes.remove(&self.lane);
            }
        }
        if let Some(bank) = &self.bank
            && let Some(count) = in_flight.banks.get_mut(bank)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                in_flight.banks.remove(bank);
            }
        }
        drop(in_flight);
        if self.lanes.turned_away.swap(false, Ordering::AcqRel) || was_full {
            // Somebody may wait in front of it.
            self.lanes.wake.due(At::MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::PispMode::Queue;
    use crate::controls::{Cause, Scope, Settings, Switch};
    use crate::ports::{AnchoredClock, SystemIds};
    use crate::store::MemoryStore;

    async fn lanes() -> Arc<Lanes> {
        let clock = Arc::new(AnchoredClock::wall());
        let store = Arc::new(MemoryStore::new(Arc::<AnchoredClock>::clone(&clock)));
        let controls = Controls::open(store, clock, &SystemIds, Settings::default()).await.unwrap();
        Arc::new(Lanes::new(8, Limits::none(), controls, Arc::new(Wake::new())))
    }

    #[tokio::test]
    async fn a_lane_takes_a_quarter_of_the_hands_and_gives_them_back() {
        let lanes = lanes().await;
        let (slow, other) = (Lane::of("p", "slow", "initiate"), Lane::of("p", "other", "initiate"));
        let places: Vec<_> = std::iter::from_fn(|| lanes.enter(&slow)).collect();
        assert_eq!((places.len(), lanes.room(&slow), lanes.room(&other)), (2, 0, 2));
        assert!(lanes.enter(&other).is_some());
        drop(places);
        assert_eq!(lanes.room(&slow), 2);
        assert!(lanes.lock().lanes.is_empty());
    }

    #[test]
    fn one_bank_leaves_something_of_its_provider_to_the_others() {
        let mut in_flight = InFlight::default();
        let room = in_flight.part_of("p", "slow", 10);
        let mut enters = |bank: &str| {
            let may = in_flight.part_of("p", bank, 10) > 0;
            if may {
                *in_flight.banks.entry(("p".to_owned(), bank.to_owned())).or_insert(0) += 1;
            }
            may
        };
        let slow = (0..20).filter(|_| enters("slow")).count();
        assert_eq!((slow, room), (7, 7), "of ten");
        assert!(enters("other") && enters("another"));
        assert!(!enters("slow"));
    }

    #[tokio::test]
    async fn nothing_is_born_claimed_in_a_shut_lane_but_what_is_turned_away_there() {
        let lanes = lanes().await;
        let cause = Cause { actor: "op".to_owned(), reason: "test".to_owned(), expires_at: None };
        let table = [("queue", false), ("initiate", true), ("status", true)];
        lanes.controls().set(&Switch::Pisp(Scope::All, Queue), cause).await.unwrap();
        for (operation, begins) in table {
            assert_eq!(lanes.begin(&Lane::of("p", "dnb", operation)).is_some(), begins, "{operation}");
        }
    }
}
