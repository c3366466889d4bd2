//! How many repetitions a provider gets: a part of the first attempts, so that an outage does not make everybody ask
//! many times as much (reliability, retry storm). Pure.
//!
//! First attempts earn, repetitions after a miss spend. Asking again because there is no news yet, and because the
//! provider wanted fewer calls, is neither. The balance is shared by all processes when they renew their shares;
//! between two renewals each goes by what it knows.

/// The thousandths in one repetition.
const WHOLE: i64 = 1_000;

/// The most that is saved up, in thousandths: what a quiet time may be worth when things go wrong.
pub const MOST: i64 = 100 * WHOLE;

/// The balance of one provider as one process knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What all processes had at the last renewal, in thousandths.
    shared: i64,
    /// What this one earned and spent since.
    own: i64,
    /// What one first attempt earns.
    earns: i64,
}

impl Budget {
    /// Full. Each first attempt earns `percent` of a repetition.
    pub fn full(percent: u32) -> Self {
        Budget { shared: MOST, own: 0, earns: i64::from(percent) * WHOLE / 100 }
    }

    /// A first attempt was made.
    pub fn earn(&mut self) {
        self.own = (self.own + self.earns).min(MOST - self.shared);
    }

    /// Pays for a repetition, if there is enough.
    pub fn spend(&mut self) -> bool {
        let enough = self.shared + self.own >= WHOLE;
        if enough {
            self.own -= WHOLE;
        }
        enough
    }

    /// What is to be told to the others: earned less spent, in thousandths.
    pub fn untold(&self) -> i64 {
        self.own
    }

    /// The others were told `told`, and all together have `shared`.
    pub fn agreed(&mut self, told: i64, shared: i64) {
        self.own -= told;
        self.shared = shared;
    }
}

/// The balance after somebody told what they earned and spent.
pub fn after(balance: i64, told: i64) -> i64 {
    balance.saturating_add(told).clamp(0, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_costs_what_was_saved_and_a_tenth_more() {
        let mut budget = Budget::full(10);
        let mut repeated = 0;
        for _ in 0..1_000 {
            budget.earn();
            for _ in 0..3 {
                repeated += u32::from(budget.spend());
            }
        }
        assert_eq!(repeated, 100 + 100 - 1, "the first earning found the budget full");
    }

    #[test]
    fn a_quiet_time_saves_up_no_more_than_the_most() {
        let mut budget = Budget::full(10);
        for _ in 0..10_000 {
            budget.earn();
        }
        let spent = std::iter::repeat_with(|| budget.spend()).take_while(|spent| *spent).count();
        assert_eq!(spent, 100);
    }

    #[test]
    fn what_one_process_spends_the_others_do_not_have() {
        let (mut one, mut other) = (Budget::full(10), Budget::full(10));
        let mut balance = MOST;
        for _ in 0..60 {
            assert!(one.spend());
        }
        for budget in [&mut one, &mut other] {
            let told = budget.untold();
            balance = after(balance, told);
            budget.agreed(told, balance);
        }
        assert_eq!(balance, 40 * WHOLE);
        let left = |budget: &mut Budget| std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert_eq!((left(&mut other), one.untold()), (40, 0));
    }

    #[test]
    fn what_is_earned_while_the_others_are_told_is_told_the_next_time() {
        let mut budget = Budget::full(10);
        assert!(budget.spend());
        let told = budget.untold();
        budget.earn();
        budget.agreed(told, after(MOST, told));
        assert_eq!(budget.untold(), WHOLE / 10);
    }
}
