//! The same random life on a store and on the model.

use std::sync::Arc;

use workers::store::{Claimed, Drop, Instance, Move, NewTask, Op, Start, Store, TaskRef, Written};
use workflows::engine::Message;
use workflows::time::At;

use crate::made::{LEASE, T0, TICK, back, event, lane, name, next, node, order, task, to_operator, with_key};
use crate::subject::Subject;
use crate::support::chance::Chance;

/// The same random life on this store and on the model, batch by batch: same answers, same rows in the end.
pub async fn a_random_life_equals_the_model(on: &Subject) {
    for seed in 1..=6 {
        let (subject, model) = (on.another().await, Subject::memory());
        let mut chance = Chance::of(seed);
        let mut life = Life::default();
        for round in 0..40 {
            let now = T0.plus(TICK * round * 10);
            let batch = life.batch(&mut chance, now);
            let (written, meant) = (subject.commit(batch.clone()).await, model.commit(batch.clone()).await);
            assert_eq!(written, meant, "seed {seed}, round {round}: {batch:#?}");
            life.learn(&batch, &meant);

            let (claims, meant) = (subject.claim_sorted(now).await, model.claim_sorted(now).await);
            assert_eq!(claims, meant, "seed {seed}, round {round}");
            life.claims.extend(claims);
            life.hold_and_release(&mut chance, now, [&subject.store, &model.store]).await;
            assert_eq!(subject.lanes().await, model.lanes().await, "seed {seed}, round {round}");
        }
        assert!(life.instances.len() > 100, "the life was worth living");
        assert_eq!(subject.everything().await, model.everything().await, "seed {seed}");
    }
}

/// What a random life knows of its instances and claims, right and outdated.
#[derive(Default)]
struct Life {
    instances: Vec<Instance>,
    claims: Vec<Claimed>,
    born: u128,
}

impl Life {
    fn batch(&mut self, chance: &mut Chance, now: At) -> Vec<Op> {
        let size = if chance.one_in(5) { chance.below(300) } else { chance.below(20) } + 1;
        (0..size).map(|_| self.op(chance, now)).collect()
    }

    fn op(&mut self, chance: &mut Chance, now: At) -> Op {
        let claim = chance.pick(&self.claims).cloned();
        let instance = chance.pick(&self.instances).cloned();
        match (chance.below(10), instance, claim) {
            (0..=3, Some(instance), _) => Op::Move(Box::new(Life::step(chance, &instance, None, now))),
            (4..=5, _, Some(claim)) => {
                let known = self.instances.iter().find(|one| one.id == claim.task.instance).cloned();
                let instance = known.unwrap_or_else(|| (*claim.instance).clone());
                Op::Move(Box::new(Life::step(chance, &instance, Some(claim.task), now)))
            }
            (6, _, Some(claim)) => back(&claim, now.plus(TICK * chance.below(40)), chance.one_in(2)),
            (7, _, Some(claim)) => Op::Discard(claim.task),
            _ => {
                self.born += 1;
                let key = if chance.one_in(6) {
                    chance.below(20)
                } else {
                    1000 + u32::try_from(self.born).unwrap()
                };
                let start = with_key(order(self.born), &format!("key-{key}"));
                Op::Start(Box::new(Start { put: tasks(chance, now), ..start }))
            }
        }
    }

    fn step(chance: &mut Chance, instance: &Instance, consume: Option<TaskRef>, now: At) -> Move {
        let mut step = next(instance);
        if chance.one_in(8) {
            Arc::make_mut(&mut step.instance).seq += 1;
        }
        Arc::make_mut(&mut step.instance).state = format!("{{\"n\":{}}}", chance.below(1000)).into();
        Arc::make_mut(&mut step.instance).updated_at = now;
        step.consume = consume;
        step.heard = chance.one_in(3).then(|| event(&format!("e{}", chance.below(60))));
        step.drop = match chance.below(6) {
            0 => Drop::All,
            1 => Drop::Named(vec![name("t0"), name("t1")]),
            _ => Drop::Named(vec![]),
        };
        step.put = tasks(chance, now);
        step.tell = if chance.one_in(4) { vec![to_operator("one"), Message::owner("two")] } else { vec![] };
        step
    }

    fn learn(&mut self, batch: &[Op], written: &[Written]) {
        for (op, written) in batch.iter().zip(written) {
            match (op, written) {
                (Op::Start(start), Written::Committed) => self.instances.push((*start.instance).clone()),
                (Op::Move(step), Written::Committed) => {
                    let known = self.instances.iter_mut().find(|one| one.id == step.instance.id);
                    *known.expect("what moved had started") = (*step.instance).clone();
                }
                _ => {}
            }
        }
    }

    async fn hold_and_release(&mut self, chance: &mut Chance, now: At, stores: [&Arc<dyn Store>; 2]) {
        let some: Vec<TaskRef> =
            self.claims.iter().filter(|_| chance.one_in(10)).map(|claimed| claimed.task.clone()).collect();
        let kind = chance.below(3);
        let mut answers = Vec::new();
        for store in stores {
            let mut answer = match kind {
                0 => store.renew(&some, now.plus(LEASE * 2)).await.unwrap(),
                1 => store.release(&some, now).await.map(|()| vec![]).unwrap(),
                _ => vec![],
            };
            answer.sort_by(|a, b| (a.instance, &a.name).cmp(&(b.instance, &b.name)));
            answers
                .push((answer, if kind == 2 { store.take_over(&node("b"), now).await.unwrap() } else { 0 }));
        }
        assert_eq!(answers[0], answers[1]);
        let many = self.claims.len().saturating_sub(400);
        self.claims.drain(..many);
    }
}

fn tasks(chance: &mut Chance, now: At) -> Vec<NewTask> {
    let one = |chance: &mut Chance| NewTask {
        lane: lane(["x", "y", "z"][chance.below(3) as usize]),
        claimed: chance.one_in(4),
        ..task(["t0", "t1", "t2", "@t3"][chance.below(4) as usize], now.plus(TICK * chance.below(60)))
    };
    (0..chance.below(4)).map(|_| one(chance)).collect()
}
