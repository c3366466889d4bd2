//! The least that still leads to a breach: fewer orders, then fewer faults, halves at first and single ones at last.

use crate::breach::Breach;
use crate::campaign::{Args, only, run_plan};
use crate::faults::{Fault, Strike};
use crate::files::NoRoom;
use crate::plan::Plan;
use crate::world::{Manner, Outcome};

/// The shortest run that was found.
#[derive(Debug)]
pub struct Shortest {
    /// The numbers of its orders.
    pub orders: Vec<u64>,
    /// Its faults.
    pub faults: Vec<Fault>,
    /// The same by where they struck, to run it again.
    pub strikes: Vec<Strike>,
    /// Its log.
    pub lines: Vec<String>,
}

/// At most so many runs are spent on it.
const RUNS: u32 = 300;

struct Search {
    args: Args,
    number: u64,
    rule: crate::breach::Rule,
    left: u32,
}

/// Makes the run that led to `breach` as short as it gets.
///
/// # Errors
/// [`NoRoom`].
pub fn shortest(args: Args, number: u64, outcome: &Outcome, breach: &Breach) -> Result<Shortest, NoRoom> {
    let mut search = Search { args, number, rule: breach.rule, left: RUNS };
    let mut orders: Vec<u64> = search.plan().orders.iter().map(|order| order.number).collect();
    let mut faults = outcome.strikes.clone();
    // The order with the breach is enough more often than not.
    let alone = breach.order.map(|order| vec![order]);
    if let Some(alone) = alone.filter(|alone| search.still_fails(alone, &faults)) {
        orders = alone;
    } else {
        let kept = faults.clone();
        reduce(&mut orders, |fewer| search.still_fails(fewer, &kept));
    }
    let kept = orders.clone();
    reduce(&mut faults, |fewer| search.still_fails(&kept, fewer));
    let lines = search.run(&orders, &faults, true)?.lines;
    let kinds = faults.iter().map(|strike| strike.fault).collect();
    Ok(Shortest { orders, faults: kinds, strikes: faults, lines })
}

/// Runs the shortest run of a world again.
///
/// # Errors
/// [`NoRoom`].
pub fn again(args: Args, number: u64, shortest: &Shortest) -> Result<Outcome, NoRoom> {
    run(args, number, (&shortest.orders, &shortest.strikes), true)
}

fn run(
    args: Args,
    number: u64,
    (orders, faults): (&[u64], &[Strike]),
    told: bool,
) -> Result<Outcome, NoRoom> {
    let mut plan = Plan::drawn(args.seed, number, args.workflows_per_world);
    plan.orders.retain(|order| orders.contains(&order.number));
    run_plan(plan, Manner { allowed: only(faults), told, ..Manner::default() }, args.store)
}

/// Takes away halves, quarters, and at last single ones, as long as it fails without them.
fn reduce<T: Clone>(from: &mut Vec<T>, mut still_fails: impl FnMut(&[T]) -> bool) {
    let mut size = from.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < from.len() {
            let mut fewer = from.clone();
            fewer.drain(at..(at + size).min(from.len()));
            if still_fails(&fewer) {
                *from = fewer;
            } else {
                at += size;
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2);
    }
}

impl Search {
    fn plan(&self) -> Plan {
        Plan::drawn(self.args.seed, self.number, self.args.workflows_per_world)
    }

    fn still_fails(&mut self, orders: &[u64], faults: &[Strike]) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        // A run that there was no room for is not one that failed; the next one says so too.
        self.run(orders, faults, false)
            .is_ok_and(|outcome| outcome.breaches.iter().any(|breach| breach.rule == self.rule))
    }

    fn run(&self, orders: &[u64], faults: &[Strike], told: bool) -> Result<Outcome, NoRoom> {
        run(self.args, self.number, (orders, faults), told)
    }
}
