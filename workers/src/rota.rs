//! Whose turn it is: lanes that hold due work take turns, the one that waited longest for its turn first.

use std::collections::{HashMap, HashSet};

use workflows::engine::Lane;

use crate::store::LaneDue;

/// When each lane had its turn last, by number.
#[derive(Debug, Default)]
pub(crate) struct Rota {
    count: u64,
    last: HashMap<Lane, u64>,
}

impl Rota {
    /// Puts lanes in the order of their turns; of those that never had one, the one with the oldest work is first.
    /// Lanes that hold nothing any more are forgotten.
    pub(crate) fn order(&mut self, lanes: &mut [LaneDue]) {
        let present: HashSet<&Lane> = lanes.iter().map(|due| &due.lane).collect();
        self.last.retain(|lane, _| present.contains(lane));
        lanes.sort_by_key(|due| (self.last.get(&due.lane).copied(), due.due_at));
    }

    /// These lanes had their turn, in this order.
    pub(crate) fn taken<'a>(&mut self, lanes: impl Iterator<Item = &'a Lane>) {
        for lane in lanes {
            self.count += 1;
            self.last.insert(lane.clone(), self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use workflows::time::At;

    use super::*;

    fn due(lane: &str, second: u64) -> LaneDue {
        LaneDue { lane: Lane::of("p", "dnb", lane), due_at: At::EPOCH.plus(Duration::from_secs(second)) }
    }

    #[test]
    fn a_lane_with_the_oldest_work_does_not_go_first_for_ever() {
        let mut rota = Rota::default();
        let mut went = vec![];
        for _ in 0..6 {
            let mut lanes = vec![due("initiate", 9), due("status", 1), due("cancel", 5)];
            rota.order(&mut lanes);
            let first = lanes.remove(0).lane;
            rota.taken([&first].into_iter());
            went.push(first.parts().expect("a bank's").2.to_owned());
        }
        assert_eq!(went, ["status", "cancel", "initiate", "status", "cancel", "initiate"]);
    }

    #[test]
    fn a_lane_that_was_empty_comes_first_when_it_comes_back() {
        let mut rota = Rota::default();
        let (status, initiate) = (due("status", 1), due("initiate", 9));
        rota.taken([&initiate.lane, &status.lane].into_iter());
        rota.order(&mut [status.clone()]);
        let mut lanes = [status, initiate.clone()];
        rota.order(&mut lanes);
        assert_eq!(lanes[0].lane, initiate.lane);
    }
}
