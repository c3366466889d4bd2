//! What happens to a payment by itself: its payer, its execution, its end, and the callbacks about all that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use workers::ports::Clock as _;

use super::ledger::{Row, Standing};
use super::{Bank, Callback};
use crate::chance::Chance;
use crate::faults::Fault;
use crate::plan::{Class, Order, Payer, Verdict};

const DAY: Duration = Duration::from_hours(24);

/// Lets the payment at `place` live, from when the bank takes it out of its queue.
pub fn begin(bank: &Arc<Bank>, place: usize, order: &Order) {
    let (bank, order) = (Arc::clone(bank), order.clone());
    let chance = bank.plan.chance.fork("life", order.number);
    tokio::spawn(async move {
        sleep(order.queue).await;
        match order.verdict {
            Verdict::Waits | Verdict::Consent => wait_for_payer(&bank, place, &order, chance).await,
            Verdict::Exempt => underway(&bank, place, &order, chance).await,
            Verdict::AtOnce => execute(&bank, place, &order),
            Verdict::Rejected => {
                reject(&bank, place, &order, "AM04");
            }
            // Nothing was entered.
            Verdict::Refused(_) => {}
        }
    });
}

async fn wait_for_payer(bank: &Arc<Bank>, place: usize, order: &Order, chance: Chance) {
    let (acts_after, approves) = match order.payer {
        Payer::Approves(after) => (after, true),
        Payer::Denies(after) => (after, false),
        Payer::Sleeps => (Duration::MAX, false),
    };
    if acts_after >= order.lapse {
        sleep(order.lapse).await;
        change(bank, place, order, |row| {
            (row.standing == Standing::Pending).then_some((Standing::Rejected, "RJCT", Some("TIMEOUT")))
        });
        return;
    }
    sleep(acts_after).await;
    if approves {
        underway(bank, place, order, chance).await;
    } else {
        change(bank, place, order, |row| {
            (row.standing == Standing::Pending).then_some((Standing::Rejected, "RJCT", None))
        });
    }
}

async fn underway(bank: &Arc<Bank>, place: usize, order: &Order, mut chance: Chance) {
    let codes = [("ACTC", 3), ("ACCP", 3), ("ACSP", 3), ("ACWC", 1), ("PART", 1)];
    let code = chance.weighted(&codes).unwrap_or("ACSP");
    let approved = change(bank, place, order, |row| {
        (row.standing == Standing::Pending).then_some((Standing::Underway, code, None))
    });
    if !approved {
        return;
    }
    sleep(order.execution / 2).await;
    change(bank, place, order, |row| {
        (row.standing == Standing::Underway).then_some((Standing::Underway, "ACSP", None))
    });
    sleep(order.execution / 2).await;
    if order.bounces {
        reject(bank, place, order, "AM04");
    } else {
        execute(bank, place, order);
    }
}

fn reject(bank: &Arc<Bank>, place: usize, order: &Order, reason: &'static str) -> bool {
    change(bank, place, order, |row| {
        row.standing.is_live().then_some((Standing::Rejected, "RJCT", Some(reason)))
    })
}

fn execute(bank: &Arc<Bank>, place: usize, order: &Order) {
    let code = executed_code(order);
    let now = bank.clock.now();
    let executed = change(bank, place, order, |row| {
        row.standing.is_live().then(|| {
            row.executed += 1;
            row.executed_at = Some(now);
            (Standing::Executed, code, None)
        })
    });
    if executed {
        bank.moved(order.number);
    }
}

/// What the bank says of an order that is executed.
pub fn executed_code(order: &Order) -> &'static str {
    if order.minor % 2 == 0 { "ACSC" } else { "ACCC" }
}

/// A change of a payment: what it is, the code that is shown, the reason.
pub type Change = (Standing, &'static str, Option<&'static str>);

/// Changes a payment where it is still what it has to be, and tells of it; answers whether it did.
pub fn change(
    bank: &Arc<Bank>,
    place: usize,
    order: &Order,
    decide: impl FnOnce(&mut Row) -> Option<Change>,
) -> bool {
    let mut ledger = bank.ledger();
    let Some(row) = ledger.at(place) else { return false };
    let Some((standing, code, reason)) = decide(row) else { return false };
    row.standing = standing;
    row.before = std::mem::replace(&mut row.code, code);
    row.reason = reason;
    let (end_to_end, id) = (row.end_to_end.clone(), row.id.clone());
    drop(ledger);
    bank.log.tell(bank.clock.now(), || format!("bank: payment {id} of order {} is {code}", order.number));
    if order.class == Class::Callbacks || order.number.is_multiple_of(8) {
        call_back(bank, order.number, &end_to_end, code);
    }
    true
}

/// Calls back at least once: perhaps late, perhaps again and again.
fn call_back(bank: &Arc<Bank>, number: u64, end_to_end: &str, code: &'static str) {
    let event = format!("{end_to_end}-{code}");
    let twice = bank.faults.one("callback twice", number, Fault::CallbackDuplicated, 4_000);
    let times = 1 + twice.map_or(0, |mut chance| 1 + chance.below(2));
    for _ in 0..times {
        let late = bank.faults.one("callback late", number, Fault::CallbackLate, 4_000);
        let after = late.map_or(Duration::ZERO, |mut chance| {
            chance.spread(Duration::from_millis(100), Duration::from_mins(10))
        });
        // Processes that look every second would do little else for all those days.
        let rate = if bank.plan.quiet < Duration::from_secs(10) { 0 } else { 5 };
        let days = bank.faults.one("callback days late", number, Fault::CallbackDaysLate, rate);
        let after = days.map_or(after, |mut chance| chance.between(DAY, DAY * 3));
        let callback =
            Callback { end_to_end: end_to_end.to_owned(), event: event.clone(), under_way: bank.sets_out() };
        let sender = bank.callbacks.clone();
        tokio::spawn(async move {
            sleep(after).await;
            // Nobody listens at the end of a world.
            let _ = sender.send(callback);
        });
    }
}
