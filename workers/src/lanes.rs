//! How much of each lane this process performs at a time, so that one slow bank cannot take every hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workflows::engine::Lane;
use workflows::time::At;

use crate::wake::Wake;

/// Tasks in flight by lane.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// The most of one lane.
    most: usize,
    in_flight: Mutex<HashMap<Lane, usize>>,
    wake: Arc<Wake>,
}

impl Lanes {
    /// For so many hands: a lane gets at most a quarter of them.
    pub(crate) fn new(hands: usize, wake: Arc<Wake>) -> Self {
        Lanes { most: hands.div_ceil(4), in_flight: Mutex::default(), wake }
    }

    /// How many more tasks of a lane may begin.
    pub(crate) fn room(&self, lane: &Lane) -> usize {
        self.most.saturating_sub(self.lock().get(lane).copied().unwrap_or(0))
    }

    /// A place in a lane, while it has room.
    pub(crate) fn enter(self: &Arc<Self>, lane: &Lane) -> Option<Place> {
        let mut in_flight = self.lock();
        let count = in_flight.entry(lane.clone()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(in_flight);
        Some(Place { lanes: Arc::clone(self), lane: lane.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, usize>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a lane; free again when it goes.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    lane: Lane,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_flight = self.lanes.lock();
        let Some(count) = in_flight.get_mut(&self.lane) else { return };
        let was_full = *count >= self.lanes.most;
        *count = count.saturating_sub(1);
        if *count == 0 {
            in_flight.remove(&self.lane);
        }
        drop(in_flight);
        if was_full {
            // Somebody may wait in front of it.
            self.lanes.wake.due(At::MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_takes_a_quarter_of_the_hands_and_gives_them_back() {
        let lanes = Arc::new(Lanes::new(8, Arc::new(Wake::new())));
        let (slow, other) = (Lane::of("p", "slow", "initiate"), Lane::of("p", "other", "initiate"));
        let places: Vec<_> = std::iter::from_fn(|| lanes.enter(&slow)).collect();
        assert_eq!((places.len(), lanes.room(&slow), lanes.room(&other)), (2, 0, 2));
        assert!(lanes.enter(&other).is_some());
        drop(places);
        assert_eq!(lanes.room(&slow), 2);
        assert!(lanes.lock().is_empty());
    }
}
