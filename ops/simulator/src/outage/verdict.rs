//! What is looked at in the end: every stored payment beside the bank's books and beside what was told about it.

use std::time::Duration;

use workers::ports::Clock as _;
use workers::store::{Filter, Instance, Store, Verdict, verify_chain};
use workflows::engine::Status;
use workflows::time::At;

use super::bank::{Row, Standing};
use super::customers::number_of;
use super::scene::Scene;
use super::witness::{Story, Told};
use crate::breach::Rule;
use crate::plan::Order;

/// Payments that are read at a time.
const PAGE: usize = 500;

/// A timer may be so late.
const MOMENT: Duration = Duration::from_secs(5);

/// How many payments came to what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// Settled.
    pub completed: u32,
    /// Sent, and denied or not approved in time.
    pub unapproved: u32,
    /// Never sent: nobody wanted them any more when the provider was back, or before.
    pub expired: u32,
    /// Never sent: their payers did not come back.
    pub abandoned: u32,
    /// Those that ran out in the queue and were sent all the same.
    pub sent_expired: u32,
}

/// Looks at everything.
pub async fn of(scene: &Scene, store: &dyn Store) -> Ends {
    let (mut ends, mut found) = (Ends::default(), 0);
    let mut filter = Filter { limit: PAGE, ..Filter::default() };
    loop {
        let page = store.list(&filter).await.unwrap_or_default();
        for instance in &page {
            found += 1;
            look_at(scene, store, instance, &mut ends).await;
        }
        filter.before = page.last().map(|last| last.id);
        if page.len() < PAGE {
            break;
        }
    }
    if found != scene.days.payments {
        let what = format!("{found} payments are stored and {} were accepted", scene.days.payments);
        scene.breaches.add(Rule::DurableAccept, None, what);
    }
    ends
}

async fn look_at(scene: &Scene, kept: &dyn Store, instance: &Instance, ends: &mut Ends) {
    let number = number_of(instance.id);
    let breach = |rule, what: String| scene.breaches.add(rule, Some(number.into()), what);
    let (row, story) = (scene.bank.books().row(number), scene.witness.seen().of(number));
    let order = scene.customers.number(number).order;
    let stands = row.map(|row| row.standing(scene.clock.now()));
    let agrees = match instance.status {
        Status::Completed => stands == Some(Standing::Executed),
        Status::Failed | Status::Cancelled => {
            matches!(stands, None | Some(Standing::Rejected | Standing::Cancelled))
        }
        Status::Processing | Status::Queued => {
            return breach(Rule::Liveness, format!("still {} / {}", instance.status, instance.phase));
        }
    };
    if !agrees {
        breach(Rule::Truthful, format!("{} / {} while {stands:?}", instance.status, instance.phase));
    }
    match kept.history(instance.id, 0, usize::MAX).await {
        Ok(rows) if verify_chain(&rows, instance.seq, &instance.hash) == Verdict::Intact => {}
        _ => breach(Rule::Audit, "its chain is broken".to_owned()),
    }
    let left = kept.tasks(instance.id).await.map_or(usize::MAX, |tasks| tasks.len());
    if left > 0 {
        breach(Rule::NoLimbo, format!("{left} tasks are left of it"));
    }
    if let Some(what) = told_wrongly(&order, &story) {
        breach(Rule::Truthful, what);
    }
    count(&order, &story, row, instance.status, ends);
}

fn count(order: &Order, story: &Story, row: Option<Row>, status: Status, ends: &mut Ends) {
    // Who leaves the queue to come back has a deadline of its own from then on.
    let ran_out = story.left.zip(wanted_until(order, story)).is_some_and(|(left, until)| left >= until);
    ends.sent_expired += u32::from(ran_out && (row.is_some() || story.released));
    match (status, row) {
        (Status::Completed, _) => ends.completed += 1,
        (_, Some(_)) => ends.unapproved += 1,
        (_, None) if ran_out => ends.expired += 1,
        (_, None) => ends.abandoned += 1,
    }
}

fn wanted_until(order: &Order, story: &Story) -> Option<At> {
    story.accepted.map(|accepted| accepted.plus(order.terms.queue_expiry))
}

/// What was told about a payment, unless it is what had to be: that it is queued, that a promise is in danger and that it
/// is broken, each once and only if it came to that.
fn told_wrongly(order: &Order, story: &Story) -> Option<String> {
    let waited = story.parked.zip(story.left).map(|(parked, left)| left.since(parked));
    let told = |after: Duration| {
        let once = |least| u8::from(waited.is_some_and(|waited| waited > least));
        let (warned, breached) = (once(order.terms.sla_warning() + after), once(order.terms.sla + after));
        Told { queued: waited.map_or(0, |_| 1), warned, delayed: breached, breached }
    };
    // Who leaves the queue within the moment of a promise may or may not be told.
    let right = [told(Duration::ZERO), told(MOMENT)].contains(&story.told);
    (!right).then(|| format!("{:?} after {waited:?}", story.told))
}
