//! What is looked at in the stored rows themselves: now and then, after each death, and at the end.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use workers::store::{Filter, HistoryRow, Instance, Verdict, verify_chain};
use workflows::engine::{Effect, Live, Message, Moved, Outcome, Status, TaskName, UNCHANGED};

use crate::breach::Rule;
use crate::orders;
use crate::world::World;

/// I12: something that leads on is owed to every live instance.
pub async fn no_limbo(world: &World) {
    for instance in everything(world).await {
        let Ok(tasks) = world.store.tasks(instance.id).await else { continue };
        let Some(workflow) = world.book().get(&instance.kind) else { continue };
        let Ok(live) = workflow.open(instance.version, &instance.order, &instance.state) else {
            world.judge.breach(Rule::Audit, instance.id, "its state cannot be read".to_owned());
            continue;
        };
        let lifelines = live.lifelines();
        let leads_on = |name: &TaskName| lifelines.iter().any(|effect| named(effect) == Some(name));
        let at_rest = instance.status.is_final() && lifelines.is_empty();
        if !at_rest && !tasks.iter().any(|row| leads_on(&row.task.name)) {
            let left: Vec<_> = tasks.iter().map(|row| row.task.name.to_string()).collect();
            let what = format!("nothing leads on from {}: {left:?}", instance.phase);
            world.judge.breach(Rule::NoLimbo, instance.id, what);
        }
    }
}

/// I1: what clients were told is there after a death.
pub async fn after_a_death(world: &World) {
    let answers = world.answers().clone();
    for answer in answers {
        let stored = world.store.load(answer.id).await.ok().flatten();
        if stored.is_none_or(|stored| *stored.start.body_hash != *answer.body) {
            world.judge.breach(Rule::DurableAccept, answer.id, "an accepted order is gone".to_owned());
        }
    }
}

/// L1: the world did not come to its end in time.
pub async fn not_at_its_end(world: &World) {
    let live: Vec<Instance> =
        everything(world).await.into_iter().filter(|instance| !instance.status.is_final()).collect();
    for instance in &live {
        let what = format!("still {} / {}", instance.status, instance.phase);
        world.judge.breach(Rule::Liveness, instance.id, what);
    }
    if live.is_empty() {
        world.judge.breaches.add(Rule::Liveness, None, "an order was never answered".to_owned());
    }
}

/// Checks what only the end shows, and sums up the world.
pub async fn at_the_end(world: &Arc<World>) -> String {
    after_a_death(world).await;
    no_limbo(world).await;
    let mut digest = Sha256::new();
    let mut instances = everything(world).await;
    instances.sort_by_key(|instance| instance.id);
    for instance in &instances {
        let Ok(rows) = world.store.history(instance.id, 0, usize::MAX).await else { continue };
        if verify_chain(&rows, instance.seq, &instance.hash) != Verdict::Intact {
            world.judge.breach(Rule::Audit, instance.id, "its chain is broken".to_owned());
        }
        match told_by(world, instance, &rows) {
            Ok((state, promised)) => {
                if state != *instance.state {
                    let what = "its history tells another state".to_owned();
                    world.judge.breach(Rule::Audit, instance.id, what);
                }
                let told = world.store.messages(instance.id).await.unwrap_or_default();
                if told != promised {
                    let what = format!("told {told:?}, promised {promised:?}");
                    world.judge.breach(Rule::ToldOnce, instance.id, what);
                }
            }
            Err(Unread) => {
                world.judge.breach(Rule::Audit, instance.id, "its history cannot be read".to_owned());
            }
        }
        world.judge.shown(instance);
        for row in rows {
            digest.update(format!("{row:?}"));
        }
    }
    books(world, &instances);
    for row in world.bank.ledger().rows() {
        digest.update(format!("{row:?}"));
    }
    let mut answers = world.answers().clone();
    answers.sort();
    for answer in answers {
        digest.update(format!("{answer:?}"));
    }
    hex::encode(digest.finalize())
}

/// I2, I4, I5: each order against the bank's books, whatever was stored: one payment at most that was or will be
/// executed, as its client ordered it, and executed where it is shown so and nowhere else.
fn books(world: &World, instances: &[Instance]) {
    let ledger = world.bank.ledger();
    for order in &world.plan.orders {
        let breach = |rule, what| world.judge.breaches.add(rule, Some(order.number), what);
        let executed: u32 = ledger.of_order(order.number).map(|row| row.executed).sum();
        let live = ledger.of_order(order.number).filter(|row| row.standing.is_live()).count();
        if executed > 1 || live > 0 {
            breach(Rule::MoneyOnce, format!("at rest, and executed {executed} times, {live} still live"));
        }
        let of_order = |instance: &&Instance| world.registry.number(instance.id) == order.number;
        let completed = instances.iter().filter(of_order).any(|one| one.status == Status::Completed);
        if completed != (executed == 1) {
            breach(Rule::Truthful, format!("completed: {completed}, executed {executed} times"));
        }
        for row in ledger.of_order(order.number) {
            let tried = world.registry.of_end_to_end(&row.end_to_end);
            let as_ordered = tried.is_some_and(|(number, minor)| {
                number == order.number && orders::is_as_ordered(order, minor, Some(row.minor), &row.said)
            });
            if !as_ordered {
                breach(Rule::MoneyOnce, format!("{row:?} is not what was ordered: {tried:?}"));
            }
        }
    }
}

/// A row of history that no machine can have written.
struct Unread;

/// I8, I10: the state that the machine comes to when it is told what each row says that happened, and the messages that
/// it promises on the way.
fn told_by(
    world: &World,
    instance: &Instance,
    rows: &[HistoryRow],
) -> Result<(String, Vec<Message>), Unread> {
    let workflow = world.book().get(&instance.kind).ok_or(Unread)?;
    let mut live = workflow.first(instance.version, &instance.order).map_err(|_| Unread)?;
    let mut promised = Vec::new();
    for row in rows.iter().skip(1) {
        if let Some(Moved { next, effects, .. }) = happened(&*live, row)? {
            for effect in effects {
                if let Effect::Tell(message) = effect {
                    promised.push(message);
                }
            }
            live = next;
        }
    }
    Ok((live.state_doc(), promised))
}

/// What the occurrence of a row does to an instance, where it does anything.
fn happened(live: &dyn Live, row: &HistoryRow) -> Result<Option<Moved>, Unread> {
    if *row.occurrence == *UNCHANGED {
        return Ok(None);
    }
    let occurrence: Value = serde_json::from_str(&row.occurrence).map_err(|_| Unread)?;
    let mut all = occurrence.as_object().into_iter().flatten();
    let (what, body) = all.next().ok_or(Unread)?;
    let text = |body: Option<&Value>| body.and_then(Value::as_str).map(str::to_owned).ok_or(Unread);
    let outcome = match what.as_str() {
        "said" => live.said(&body.to_string(), row.at),
        "fired" => live.fired(&TaskName::stored(format!("@{}", text(Some(body))?)), row.at),
        "gave_up" => {
            let step = TaskName::stored(text(body.get(0))?);
            let cause = body.get(1).cloned().unwrap_or_default();
            live.gave_up(&step, serde_json::from_value(cause).map_err(|_| Unread)?, row.at)
        }
        _ => return Err(Unread),
    };
    match outcome.map_err(|_| Unread)? {
        Outcome::Moved(moved) => Ok(Some(moved)),
        Outcome::Ignored | Outcome::Refused { .. } => Ok(None),
    }
}

async fn everything(world: &World) -> Vec<Instance> {
    let all = Filter { limit: 100_000, ..Filter::default() };
    world.store.list(&all).await.unwrap_or_default()
}

fn named(effect: &Effect<TaskName, TaskName>) -> Option<&TaskName> {
    match effect {
        Effect::Run(name)
        | Effect::RunIn(name, _)
        | Effect::Arm(name, _)
        | Effect::ArmAt(name, _)
        | Effect::Queue(name, _)
        | Effect::Withdraw(name)
        | Effect::Disarm(name) => Some(name),
        Effect::Tell(_) => None,
    }
}
