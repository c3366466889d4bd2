//! Made-up instances, tasks and transitions.

use std::sync::Arc;
use std::time::Duration;

use workers::store::{
    Claimed, Drop, HistoryRow, InboxKey, Instance, Move, NewTask, NodeId, Op, PutBack, Start, StartKey,
};
use workflows::engine::{Audience, Lane, Message, Status, TaskName};
use workflows::ids::WorkflowId;
use workflows::time::At;

pub const T0: At = At::from_micros(1_771_833_600_000_000);
pub const LEASE: Duration = Duration::from_secs(30);
pub const TICK: Duration = Duration::from_secs(1);

pub fn id(n: u128) -> WorkflowId {
    WorkflowId::new(n)
}

pub fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

pub fn lane(operation: &str) -> Lane {
    Lane::of("drop", "dnb", operation)
}

pub fn name(name: &str) -> TaskName {
    TaskName::stored(name.to_owned())
}

pub fn event(id: &str) -> InboxKey {
    InboxKey { source: "drop".into(), event: id.into() }
}

pub fn to_operator(about: &str) -> Message {
    Message { to: Audience::Operator, about: about.to_owned() }
}

pub fn task(task_name: &str, due_at: At) -> NewTask {
    // The lanes of the cases are made up: `x` unless they say otherwise.
    let stored = lane("x");
    NewTask { name: name(task_name), lane: stored, due_at, claimed: false }
}

pub fn start(n: u128) -> Op {
    Op::Start(Box::new(order(n)))
}

/// A start with one task due at once.
pub fn order(n: u128) -> Start {
    let mut instance = Instance {
        id: id(n),
        kind: "remittance".into(),
        version: 1,
        owner: "usr_1".into(),
        order: r#"{"amount":100}"#.into(),
        state: r#"{"at":"begin"}"#.into(),
        status: Status::Processing,
        phase: "begin".into(),
        attention: None,
        seq: 1,
        hash: "".into(),
        start: StartKey {
            scope: "usr_1 POST /x".into(),
            key: format!("key-{n}").into(),
            body_hash: "f00".into(),
        },
        created_at: T0,
        updated_at: T0,
        completed_at: None,
        reference: None,
    };
    let history = row(&instance, "");
    instance.hash = Arc::clone(&history.hash);
    let instance = Arc::new(instance);
    Start { instance, history, put: vec![task("capture", T0)], tell: vec![], weight: None }
}

pub fn with_key(mut start: Start, key: &str) -> Start {
    Arc::make_mut(&mut start.instance).start.key = key.into();
    start
}

pub fn with_tasks(start: Start, put: Vec<NewTask>) -> Start {
    Start { put, ..start }
}

/// The plainest transition from here.
pub fn next(from: &Instance) -> Move {
    let mut instance = Instance { seq: from.seq + 1, phase: "next".into(), ..from.clone() };
    let history = row(&instance, &from.hash);
    instance.hash = Arc::clone(&history.hash);
    let drop = Drop::Named(vec![]);
    let instance = Arc::new(instance);
    Move { instance, upcast: false, consume: None, heard: None, history, drop, put: vec![], tell: vec![] }
}

pub fn row(instance: &Instance, previous: &str) -> HistoryRow {
    HistoryRow {
        instance: instance.id,
        seq: instance.seq,
        at: T0,
        occurrence: r#"{"fired":"x"}"#.into(),
        status: instance.status.as_str().into(),
        phase: Arc::clone(&instance.phase),
        actor: "worker".into(),
        step: "capture".into(),
        attempt: 1,
        latency_us: 1500,
        hash: "".into(),
    }
    .chained(previous)
}

pub fn back(claimed: &Claimed, due_at: At, doubt: bool) -> Op {
    Op::PutBack(PutBack { task: claimed.task.clone(), due_at, doubt, finding: "not_sent" })
}
