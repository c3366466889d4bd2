//! What is looked at in the stored rows themselves: now and then, after each death, and at the end.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use workers::store::{Filter, HistoryRow, Instance, Verdict, verify_chain};
use workflows::engine::{Effect, TaskName};

use crate::breach::Rule;
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
        if !tells_its_state(world, instance, &rows) {
            world.judge.breach(Rule::Audit, instance.id, "its history tells another state".to_owned());
        }
        world.judge.shown(instance);
        for row in rows {
            digest.update(format!("{row:?}"));
        }
    }
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

/// How many workflows a world had.
pub fn workflows(world: &World) -> usize {
    let mut ids: Vec<_> = world.answers().iter().map(|answer| answer.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

/// I8: the machine, told what each row says that happened, comes to the state that is stored.
fn tells_its_state(world: &World, instance: &Instance, rows: &[HistoryRow]) -> bool {
    let Some(workflow) = world.book().get(&instance.kind) else { return false };
    let Ok(mut live) = workflow.first(instance.version, &instance.order) else { return false };
    for row in rows.iter().skip(1) {
        match live.replayed(&row.occurrence, row.at) {
            Ok(next) => live = next.unwrap_or(live),
            Err(_) => return false,
        }
    }
    live.state_doc() == *instance.state
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
