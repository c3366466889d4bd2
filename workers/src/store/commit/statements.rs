//! The statements of a batch, each with the rows that it is over.

use workflows::engine::{Audience, TaskName};
use workflows::planted;

use super::standing::{Change, Standing, claim, last_of_each_name};
use crate::store::rows::{instance_cells, task_cells};
use crate::store::statement::Batched;
use crate::store::statement::Column::{Int, Text};
use crate::store::value::Value;
use crate::store::{Drop, HistoryRow, InboxKey, Move, NewTask, NodeId, Op};

pub(in crate::store) static MOVE: Batched = Batched {
    columns: &[
        Text("id"),
        Int("version"),
        Text("state_doc"),
        Text("status"),
        Text("phase"),
        Text("attention"),
        Int("seq"),
        Text("hash"),
        Int("updated_at"),
        Int("completed_at"),
        Text("reference"),
    ],
    sql: "/* move */ with {d} \
          update instances set version = d.version, state_doc = d.state_doc, \
          status = d.status, phase = d.phase, attention = d.attention, seq = d.seq, hash = d.hash, \
          updated_at = d.updated_at, completed_at = d.completed_at, reference = d.reference \
          from d where instances.id = d.id and instances.seq = d.seq - 1",
    returning: "",
};

/// In the order of ids, as everywhere where rows of instances are locked.
pub(super) fn move_cells(ops: &Standing<'_>) -> Vec<Value> {
    let mut moves: Vec<&Move> = ops.moves().collect();
    moves.sort_unstable_by_key(|m| m.instance.id);
    moves.into_iter().flat_map(|m| instance_cells(&m.instance)).collect()
}

/// An order is written once, and anew only when a later version writes it otherwise.
pub(super) static UPCAST: Batched = Batched {
    columns: &[Text("id"), Text("order_doc")],
    sql: "/* upcast */ with {d} update instances set order_doc = d.order_doc from d where instances.id = d.id",
    returning: "",
};

pub(super) fn upcast_cells(ops: &Standing<'_>) -> Vec<Value> {
    let upcast = ops.moves().filter(|m| m.upcast);
    upcast.flat_map(|m| [m.instance.id.into(), (&m.instance.order).into()]).collect()
}

pub(super) static HEAR: Batched = Batched {
    columns: &[Text("source"), Text("event"), Text("instance"), Int("seq"), Int("received_at")],
    sql: "/* hear */ with {d} \
          insert into inbox (source, event, instance, seq, received_at) \
          select source, event, instance, seq, received_at from d \
          where source is not null order by source, event \
          on conflict do nothing",
    returning: "instance",
};

pub(super) fn heard_cells(ops: &Standing<'_>) -> Vec<Value> {
    ops.moves()
        .filter_map(|m| m.heard.as_ref().map(|key| (m, key)))
        .flat_map(|(m, key)| -> [Value; 5] {
            let InboxKey { source, event } = key;
            [source.into(), event.into(), m.instance.id.into(), m.instance.seq.into(), m.history.at.into()]
        })
        .collect()
}

/// The guard stands on the row itself: PostgreSQL looks at it again after it waited for somebody's lock.
pub(super) static CONSUME: Batched = Batched {
    columns: &[Text("instance"), Text("name"), Int("born"), Int("fence")],
    sql: "/* consume */ with {d} \
          delete from tasks \
          where (instance, name, born, fence) in (select instance, name, born, fence from d) \
          and lease is not null",
    returning: "instance",
};

pub(super) fn claim_cells(ops: &Standing<'_>) -> Vec<Value> {
    ops.iter().filter_map(claim).flat_map(task_cells).collect()
}

pub(super) static PUT_BACK: Batched = Batched {
    columns: &[
        Text("instance"),
        Text("name"),
        Int("born"),
        Int("fence"),
        Int("due_at"),
        Int("doubt"),
        Text("finding"),
    ],
    sql: "/* put back */ with {d} \
          update tasks set due_at = d.due_at, finding = d.finding, lease = null, \
          doubt = case when d.doubt = 1 then 1 else tasks.doubt end \
          from d where tasks.instance = d.instance and tasks.name = d.name \
          and tasks.born = d.born and tasks.fence = d.fence and tasks.lease is not null",
    returning: "tasks.instance",
};

pub(super) fn put_back_cells(ops: &Standing<'_>) -> Vec<Value> {
    let mut cells = Vec::new();
    for op in ops.iter() {
        if let Op::PutBack(back) = op {
            cells.extend(task_cells(&back.task));
            cells.extend([back.due_at.into(), back.doubt.into(), back.finding.into()]);
        }
    }
    cells
}

pub(super) static START: Batched = Batched {
    columns: &[
        Text("id"),
        Int("version"),
        Text("state_doc"),
        Text("status"),
        Text("phase"),
        Text("attention"),
        Int("seq"),
        Text("hash"),
        Int("updated_at"),
        Int("completed_at"),
        Text("reference"),
        Text("order_doc"),
        Text("kind"),
        Text("owner"),
        Text("start_scope"),
        Text("start_key"),
        Text("start_hash"),
        Int("created_at"),
        Text("bank"),
        Int("amount"),
        Text("currency"),
    ],
    sql: "/* start */ with {d} \
          insert into instances (id, version, state_doc, status, phase, attention, seq, hash, \
          updated_at, completed_at, reference, order_doc, kind, owner, start_scope, start_key, start_hash, \
          created_at, bank, amount, currency) \
          select id, version, state_doc, status, phase, attention, seq, hash, \
          updated_at, completed_at, reference, order_doc, kind, owner, start_scope, start_key, start_hash, \
          created_at, bank, amount, currency from d \
          where id is not null order by start_scope, start_key \
          on conflict do nothing",
    returning: "id",
};

pub(super) fn start_cells(ops: &Standing<'_>) -> Vec<Value> {
    let mut cells = Vec::new();
    for start in ops.starts() {
        let instance = &start.instance;
        cells.extend(instance_cells(instance));
        cells.extend([
            (&instance.order).into(),
            (&instance.kind).into(),
            (&instance.owner).into(),
            (&instance.start.scope).into(),
            if planted::is("two starts under one key") {
                instance.id.into()
            } else {
                (&instance.start.key).into()
            },
            (&instance.start.body_hash).into(),
            instance.created_at.into(),
        ]);
        let weight = start.weight.as_ref();
        cells.extend([
            weight.map(|weight| weight.bank.as_str()).into(),
            weight.map(|weight| weight.money.minor).into(),
            weight.map(|weight| weight.money.currency.to_string()).into(),
        ]);
    }
    cells
}

pub(in crate::store) static APPEND: Batched = Batched {
    columns: &[
        Text("instance"),
        Int("seq"),
        Int("at"),
        Text("occurrence"),
        Text("status"),
        Text("phase"),
        Text("actor"),
        Text("step"),
        Int("attempt"),
        Int("latency_us"),
        Text("hash"),
    ],
    sql: "/* append history */ with {d} \
          insert into history \
          (instance, seq, at, occurrence, status, phase, actor, step, attempt, latency_us, hash) \
          select instance, seq, at, occurrence, status, phase, actor, step, attempt, latency_us, hash from d \
          where instance is not null",
    returning: "",
};

pub(super) fn history_cells(ops: &Standing<'_>) -> Vec<Value> {
    ops.changes()
        .flat_map(|change| -> [Value; 11] {
            let row = change.history;
            [
                row.instance.into(),
                row.seq.into(),
                row.at.into(),
                (&row.occurrence).into(),
                (&row.status).into(),
                (&row.phase).into(),
                (&row.actor).into(),
                (&row.step).into(),
                row.attempt.into(),
                row.latency_us.into(),
                (&row.hash).into(),
            ]
        })
        .collect()
}

pub(super) static DROP_NAMED: Batched = Batched {
    columns: &[Text("instance"), Text("name")],
    sql: "/* drop named tasks */ with {d} \
          delete from tasks where (instance, name) in (select instance, name from d)",
    returning: "",
};

pub(super) static DROP_ALL: Batched = Batched {
    columns: &[Text("instance")],
    sql: "/* drop all tasks */ with {d} \
          delete from tasks where instance in (select instance from d)",
    returning: "",
};

/// What follows from a batch in the table of tasks.
#[derive(Default)]
pub(super) struct Follow {
    /// Which tasks are taken back by name.
    pub(super) drop_named: Vec<Value>,
    /// Of which instances all are.
    pub(super) drop_all: Vec<Value>,
    /// Which are put.
    pub(super) put: Vec<Value>,
}

impl Follow {
    /// Without the task of each change that is `apart`.
    pub(super) fn of<'a>(
        ops: &Standing<'a>,
        node: &NodeId,
        apart: impl Fn(&Change<'a>) -> Option<&'a NewTask>,
    ) -> Self {
        let mut follow = Follow::default();
        for m in ops.moves() {
            match &m.drop {
                Drop::Named(names) => {
                    // What is consumed is gone, and what is put takes the place of its namesake.
                    let stays = |name: &&TaskName| {
                        m.consume.as_ref().is_none_or(|consumed| consumed.name != **name)
                            && m.put.iter().all(|task| task.name != **name)
                    };
                    let gone = names.iter().filter(stays);
                    follow
                        .drop_named
                        .extend(gone.flat_map(|name| [m.instance.id.into(), name.as_str().into()]));
                }
                Drop::All => follow.drop_all.push(m.instance.id.into()),
            }
        }
        for change in ops.changes() {
            let apart = apart(&change);
            for task in last_of_each_name(change.put) {
                if apart.is_none_or(|apart| !std::ptr::eq(apart, task)) {
                    follow.put.extend(new_task_cells(task, change.history, node));
                }
            }
        }
        follow
    }
}

pub(super) static PUT: Batched = Batched {
    columns: &[
        Text("instance"),
        Text("name"),
        Int("born"),
        Text("lane"),
        Int("due_at"),
        Int("claims"),
        Text("lease"),
        Int("first_at"),
    ],
    sql: "/* put tasks */ with {d} \
          insert into tasks (instance, name, born, lane, due_at, attempts, losses, doubt, fence, lease, first_at) \
          select instance, name, born, lane, due_at, claims, 0, 0, claims, lease, first_at from d \
          where instance is not null \
          on conflict (instance, name) do update set born = excluded.born, lane = excluded.lane, \
          due_at = excluded.due_at, attempts = excluded.attempts, losses = 0, doubt = 0, \
          fence = excluded.fence, lease = excluded.lease, first_at = excluded.first_at, finding = null",
    returning: "",
};

/// As `PUT` has them.
pub(super) fn new_task_cells(task: &NewTask, armed_by: &HistoryRow, node: &NodeId) -> [Value; 8] {
    [
        armed_by.instance.into(),
        task.name.as_str().into(),
        armed_by.seq.into(),
        task.lane.as_str().into(),
        task.due_at.into(),
        task.claimed.into(),
        task.claimed.then_some(&node.0).into(),
        task.claimed.then_some(armed_by.at).into(),
    ]
}

pub(in crate::store) static TELL: Batched = Batched {
    columns: &[Text("instance"), Int("seq"), Int("n"), Text("audience"), Text("about"), Int("created_at")],
    sql: "/* tell */ with {d} \
          insert into outbox (instance, seq, n, audience, about, created_at) \
          select instance, seq, n, audience, about, created_at from d where instance is not null",
    returning: "",
};

pub(super) fn message_cells(ops: &Standing<'_>) -> Vec<Value> {
    let mut cells = Vec::new();
    for change in ops.changes().filter(|_| !planted::is("a message is lost")) {
        let row = change.history;
        for (n, message) in (0_i64..).zip(change.tell) {
            cells.extend::<[Value; 6]>([
                row.instance.into(),
                row.seq.into(),
                n.into(),
                audience_word(message.to).into(),
                message.about.as_str().into(),
                row.at.into(),
            ]);
        }
    }
    cells
}

/// How an audience is stored.
pub(in crate::store) fn audience_word(audience: Audience) -> &'static str {
    match audience {
        Audience::Owner => "owner",
        Audience::Operator => "operator",
    }
}
