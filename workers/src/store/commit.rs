//! A batch of operations as one transaction of few statements.
//!
//! Of most batches every guard holds: they are written without a look, and the numbers of rows that were touched say so.
//! Where a number differs, the batch is written anew with care: every guard is decided before anything of its operation
//! is written, so that an operation either stands whole or leaves no trace. Revisions are locked, then claims, then
//! events are heard, then claims consumed; what still stands is written. Each phase is one statement over all operations
//! that need it, and none when none does.

use std::collections::BTreeSet;

use workflows::engine::{Audience, Message, TaskName};
use workflows::ids::WorkflowId;
use workflows::planted;

use super::driver::Transaction;
use super::rows::{instance_cells, task_cells};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Row, Value};
use super::{Drop, HistoryRow, InboxKey, Move, NewTask, NodeId, Op, Start, TaskRef, Written, unguarded};

/// What goes wrong inside a transaction; nothing was committed then.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Writes the batch and says what became of each operation, in order.
pub(super) async fn write<T: Transaction>(
    tx: &mut T,
    batch: &[Op],
    node: &NodeId,
) -> Result<Vec<Written>, Failure> {
    let mut ops = Standing::of(batch);
    lock_revisions(tx, &mut ops).await?;
    lock_claims(tx, &mut ops).await?;
    ops.refuse_repeated(heard, Written::Duplicate);
    let found = instances(tx.batch(&HEAR, &heard_cells(&ops)).await?)?;
    ops.keep(|op| heard(op).is_some(), &found, Written::Duplicate);
    let found =
        instances(tx.batch(unguarded::claim(&CONSUME, &unguarded::CONSUME).0, &claim_cells(&ops)).await?)?;
    ops.keep(|op| claim(op).is_some(), &found, Written::Stale);
    let found = instances(tx.batch(&PUT_BACK, &put_back_cells(&ops)).await?)?;
    ops.keep(|op| matches!(op, Op::PutBack(_)), &found, Written::Stale);
    ops.refuse_repeated(start_key, Written::Taken);
    let found = instances(tx.batch(&START, &start_cells(&ops)).await?)?;
    ops.keep(|op| matches!(op, Op::Start(_)), &found, Written::Taken);
    let (update, _) = unguarded::revision(&MOVE, &unguarded::MOVE);
    let (guarded, written) = (ops.moves().count(), tx.affect(update, &move_cells(&ops)).await?);
    if guarded as u64 != written {
        return Err(GuardBroken { guarded, written }.into());
    }
    tx.affect(&UPCAST, &upcast_cells(&ops)).await?;
    follow(tx, &ops, node).await?;
    Ok(ops.written)
}

/// The parts of a batch of which every guard holds, as most do: no row is looked at before it is written, and none is
/// answered, since the number that each part touches says enough. Nothing when something of it stands against that.
///
/// A database may carry the parts out as one statement, in which no two may touch the same row: what would is left to
/// [`write`].
pub(super) fn undisturbed(batch: &[Op], node: &NodeId) -> Option<Vec<Part>> {
    let mut ops = Standing::of(batch);
    ops.refuse_repeated(heard, Written::Duplicate);
    ops.refuse_repeated(start_key, Written::Taken);
    if ops.written.iter().any(|written| *written != Written::Committed) || ops.moves().any(is_entangled) {
        return None;
    }
    let follow = Follow::of(&ops, node, replaced);
    // Revisions first, as in `write`: two batches of two processes wait for each other and never in a circle.
    let parts = [
        Part::guarded(unguarded::revision(&MOVE, &unguarded::MOVE), move_cells(&ops)),
        Part::exactly(&HEAR, heard_cells(&ops)),
        Part::guarded(unguarded::claim(&REPLACE, &unguarded::REPLACE), replace_cells(&ops, node)),
        Part::guarded(
            unguarded::claim(&CONSUME, &unguarded::CONSUME),
            ops.iter().filter(|op| !is_replacing(op)).filter_map(claim).flat_map(task_cells).collect(),
        ),
        Part::exactly(&PUT_BACK, put_back_cells(&ops)),
        Part::exactly(&START, start_cells(&ops)),
        Part::guarded(unguarded::revision(&APPEND, &unguarded::APPEND), history_cells(&ops)),
        Part::any(&DROP_NAMED, follow.drop_named),
        Part::any(&DROP_ALL, follow.drop_all),
        Part::exactly(&PUT, follow.put),
        Part::guarded(unguarded::revision(&TELL, &unguarded::TELL), message_cells(&ops)),
    ];
    Some(parts.into_iter().filter(|part| !part.cells.is_empty()).collect())
}

/// A statement over rows.
pub(super) struct Part {
    /// The statement.
    pub(super) statement: &'static Batched,
    /// The rows, one behind the other.
    pub(super) cells: Vec<Value>,
    /// How many rows of the database it has to touch; `None` = as many as there are.
    pub(super) touches: Option<u64>,
}

impl Part {
    /// It touches one row for each of its own, or a guard does not hold.
    fn exactly(statement: &'static Batched, cells: Vec<Value>) -> Self {
        let rows = cells.len() / statement.columns.len();
        Part { statement, cells, touches: Some(rows as u64) }
    }

    /// The same, unless the guard is missing.
    fn guarded((statement, is_guarded): (&'static Batched, bool), cells: Vec<Value>) -> Self {
        if is_guarded { Part::exactly(statement, cells) } else { Part::any(statement, cells) }
    }

    fn any(statement: &'static Batched, cells: Vec<Value>) -> Self {
        Part { statement, cells, touches: None }
    }

    /// How many rows it is over.
    pub(super) fn rows(&self) -> usize {
        self.cells.len() / self.statement.columns.len()
    }
}

/// Carries parts out one after the other, as long as each touches as many rows as it must. Answers whether all did.
pub(super) async fn in_order<T: Transaction>(tx: &mut T, parts: &[Part]) -> Result<bool, sqlx::Error> {
    for part in parts {
        let touched = tx.affect(part.statement, &part.cells).await?;
        if part.touches.is_some_and(|touches| touches != touched) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two parts of a batch would touch one row of this transition.
fn is_entangled(m: &Move) -> bool {
    m.upcast || (m.drop == Drop::All && !m.put.is_empty())
}

/// The task that takes the place of the one that a transition consumes: the row is changed instead of one taken away and
/// another put. Of the same name if there is one, since there is only one row of a name.
fn replacement(m: &Move) -> Option<(&TaskRef, &NewTask)> {
    let consumed = m.consume.as_ref().filter(|_| m.drop != Drop::All)?;
    let mut put = last_of_each_name(&m.put);
    let first = put.next()?;
    let same = std::iter::once(first).chain(put).find(|task| task.name == consumed.name);
    Some((consumed, same.unwrap_or(first)))
}

fn replaced<'a>(change: &Change<'a>) -> Option<&'a NewTask> {
    replacement(change.moved?).map(|(_, task)| task)
}

fn is_replacing(op: &Op) -> bool {
    as_move(op).and_then(replacement).is_some()
}

/// A name that is another task's already breaks the key: the batch is then written with care.
pub(super) static REPLACE: Batched = Batched {
    columns: &[
        Text("instance"),
        Text("consumed"),
        Int("consumed_born"),
        Int("consumed_fence"),
        Text("name"),
        Int("born"),
        Text("lane"),
        Int("due_at"),
        Int("claims"),
        Text("lease"),
        Int("first_at"),
    ],
    sql: "/* replace */ with {d} \
          update tasks set name = d.name, born = d.born, lane = d.lane, due_at = d.due_at, \
          attempts = d.claims, losses = 0, doubt = 0, fence = d.claims, lease = d.lease, \
          first_at = d.first_at, finding = null \
          from d where tasks.instance = d.instance and tasks.name = d.consumed \
          and tasks.born = d.consumed_born and tasks.fence = d.consumed_fence and tasks.lease is not null",
    returning: "",
};

fn replace_cells(ops: &Standing<'_>, node: &NodeId) -> Vec<Value> {
    let mut cells = Vec::new();
    for m in ops.moves() {
        if let Some((consumed, task)) = replacement(m) {
            cells.extend(task_cells(consumed));
            // The instance is known already.
            cells.extend(new_task_cells(task, &m.history, node).into_iter().skip(1));
        }
    }
    cells
}

/// Writes what follows from the operations that stand.
async fn follow<T: Transaction>(tx: &mut T, ops: &Standing<'_>, node: &NodeId) -> Result<(), Failure> {
    let Follow { drop_named, drop_all, put } = Follow::of(ops, node, |_| None);
    tx.affect(unguarded::revision(&APPEND, &unguarded::APPEND).0, &history_cells(ops)).await?;
    tx.affect(&DROP_NAMED, &drop_named).await?;
    tx.affect(&DROP_ALL, &drop_all).await?;
    tx.affect(&PUT, &put).await?;
    tx.affect(unguarded::revision(&TELL, &unguarded::TELL).0, &message_cells(ops)).await?;
    Ok(())
}

/// A guard held and yet its row was not written.
#[derive(Debug, thiserror::Error)]
#[error("{guarded} rows were guarded and {written} written")]
struct GuardBroken {
    guarded: usize,
    written: u64,
}

async fn lock_revisions<T: Transaction>(tx: &mut T, ops: &mut Standing<'_>) -> Result<(), Failure> {
    // In the order of ids, so that two batches of two processes wait for each other and never in a circle.
    static LOCK: Batched = Batched {
        columns: &[Text("id"), Int("seq")],
        sql: "/* lock revisions */ with {d} \
              select i.id from d join instances i on i.id = d.id and i.seq = d.seq \
              order by i.id{ for no key update of i}",
        returning: "",
    };
    let cells: Vec<Value> =
        ops.moves().flat_map(|m| [m.instance.id.into(), (m.instance.seq - 1).into()]).collect();
    let (lock, _) = unguarded::revision(&LOCK, &unguarded::LOCK);
    let found = instances(tx.batch(lock, &cells).await?)?;
    ops.keep(|op| as_move(op).is_some(), &found, Written::Stale);
    Ok(())
}

/// A transition with a claim and an event must not leave the event behind when its claim is gone, nor the other way
/// round; so its claim is made certain first.
async fn lock_claims<T: Transaction>(tx: &mut T, ops: &mut Standing<'_>) -> Result<(), Failure> {
    static LOCK: Batched = Batched {
        columns: &[Text("instance"), Text("name"), Int("born"), Int("fence")],
        sql: "/* lock claims */ with {d} \
              select t.instance from d join tasks t \
              on t.instance = d.instance and t.name = d.name and t.born = d.born and t.fence = d.fence \
              where t.lease is not null{ for update of t}",
        returning: "",
    };
    let both = |op: &Op| as_move(op).is_some_and(|m| m.consume.is_some() && m.heard.is_some());
    let cells: Vec<Value> = ops.iter().filter(|op| both(op)).filter_map(claim).flat_map(task_cells).collect();
    let found = instances(tx.batch(&LOCK, &cells).await?)?;
    ops.keep(both, &found, Written::Stale);
    Ok(())
}

static HEAR: Batched = Batched {
    columns: &[Text("source"), Text("event"), Text("instance"), Int("seq"), Int("received_at")],
    sql: "/* hear */ with {d} \
          insert into inbox (source, event, instance, seq, received_at) \
          select source, event, instance, seq, received_at from d \
          where source is not null order by source, event \
          on conflict do nothing",
    returning: "instance",
};

fn heard_cells(ops: &Standing<'_>) -> Vec<Value> {
    ops.moves()
        .filter_map(|m| m.heard.as_ref().map(|key| (m, key)))
        .flat_map(|(m, key)| -> [Value; 5] {
            let InboxKey { source, event } = key;
            [source.into(), event.into(), m.instance.id.into(), m.instance.seq.into(), m.history.at.into()]
        })
        .collect()
}

/// The guard stands on the row itself: PostgreSQL looks at it again after it waited for somebody's lock.
static CONSUME: Batched = Batched {
    columns: &[Text("instance"), Text("name"), Int("born"), Int("fence")],
    sql: "/* consume */ with {d} \
          delete from tasks \
          where (instance, name, born, fence) in (select instance, name, born, fence from d) \
          and lease is not null",
    returning: "instance",
};

fn claim_cells(ops: &Standing<'_>) -> Vec<Value> {
    ops.iter().filter_map(claim).flat_map(task_cells).collect()
}

static PUT_BACK: Batched = Batched {
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

fn put_back_cells(ops: &Standing<'_>) -> Vec<Value> {
    let mut cells = Vec::new();
    for op in ops.iter() {
        if let Op::PutBack(back) = op {
            cells.extend(task_cells(&back.task));
            cells.extend([back.due_at.into(), back.doubt.into(), back.finding.into()]);
        }
    }
    cells
}

static START: Batched = Batched {
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

fn start_cells(ops: &Standing<'_>) -> Vec<Value> {
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

pub(super) static MOVE: Batched = Batched {
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

/// An order is written once, and anew only when a later version writes it otherwise.
static UPCAST: Batched = Batched {
    columns: &[Text("id"), Text("order_doc")],
    sql: "/* upcast */ with {d} update instances set order_doc = d.order_doc from d where instances.id = d.id",
    returning: "",
};

fn upcast_cells(ops: &Standing<'_>) -> Vec<Value> {
    let upcast = ops.moves().filter(|m| m.upcast);
    upcast.flat_map(|m| [m.instance.id.into(), (&m.instance.order).into()]).collect()
}

/// In the order of ids, as everywhere where rows of instances are locked.
fn move_cells(ops: &Standing<'_>) -> Vec<Value> {
    let mut moves: Vec<&Move> = ops.moves().collect();
    moves.sort_unstable_by_key(|m| m.instance.id);
    moves.into_iter().flat_map(|m| instance_cells(&m.instance)).collect()
}

pub(super) static APPEND: Batched = Batched {
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

fn history_cells(ops: &Standing<'_>) -> Vec<Value> {
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

static DROP_NAMED: Batched = Batched {
    columns: &[Text("instance"), Text("name")],
    sql: "/* drop named tasks */ with {d} \
          delete from tasks where (instance, name) in (select instance, name from d)",
    returning: "",
};
static DROP_ALL: Batched = Batched {
    columns: &[Text("instance")],
    sql: "/* drop all tasks */ with {d} \
          delete from tasks where instance in (select instance from d)",
    returning: "",
};

/// What follows from a batch in the table of tasks.
#[derive(Default)]
struct Follow {
    /// Which tasks are taken back by name.
    drop_named: Vec<Value>,
    /// Of which instances all are.
    drop_all: Vec<Value>,
    /// Which are put.
    put: Vec<Value>,
}

impl Follow {
    /// Without the task of each change that is `apart`.
    fn of<'a>(ops: &Standing<'a>, node: &NodeId, apart: impl Fn(&Change<'a>) -> Option<&'a NewTask>) -> Self {
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

static PUT: Batched = Batched {
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
fn new_task_cells(task: &NewTask, armed_by: &HistoryRow, node: &NodeId) -> [Value; 8] {
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

pub(super) static TELL: Batched = Batched {
    columns: &[Text("instance"), Int("seq"), Int("n"), Text("audience"), Text("about"), Int("created_at")],
    sql: "/* tell */ with {d} \
          insert into outbox (instance, seq, n, audience, about, created_at) \
          select instance, seq, n, audience, about, created_at from d where instance is not null",
    returning: "",
};

fn message_cells(ops: &Standing<'_>) -> Vec<Value> {
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
pub(super) fn audience_word(audience: Audience) -> &'static str {
    match audience {
        Audience::Owner => "owner",
        Audience::Operator => "operator",
    }
}

/// The operations of a batch that no guard has turned down so far.
struct Standing<'a> {
    ops: &'a [Op],
    written: Vec<Written>,
}

/// What a start and a transition have in common.
struct Change<'a> {
    /// The transition, unless it is a start.
    moved: Option<&'a Move>,
    /// Whose, and of which revision.
    history: &'a HistoryRow,
    put: &'a [NewTask],
    tell: &'a [Message],
}

impl<'a> Standing<'a> {
    /// All, but for those that concern an instance that an earlier one concerns: that is the caller's mistake, and
    /// which of the two should win is not known here.
    fn of(ops: &'a [Op]) -> Self {
        let mut standing = Standing { ops, written: vec![Written::Committed; ops.len()] };
        standing.refuse_repeated(|op| Some(concerns(op)), Written::Stale);
        standing
    }

    fn iter(&self) -> impl Iterator<Item = &'a Op> {
        let standing = self.written.iter().map(|written| *written == Written::Committed);
        self.ops.iter().zip(standing).filter_map(|(op, standing)| standing.then_some(op))
    }

    fn moves(&self) -> impl Iterator<Item = &'a Move> {
        self.iter().filter_map(as_move)
    }

    fn starts(&self) -> impl Iterator<Item = &'a Start> {
        self.iter().filter_map(|op| match op {
            Op::Start(start) => Some(&**start),
            Op::Move(_) | Op::PutBack(_) | Op::Discard(_) => None,
        })
    }

    fn changes(&self) -> impl Iterator<Item = Change<'a>> {
        self.iter().filter_map(|op| match op {
            Op::Start(start) => {
                let Start { history, put, tell, .. } = &**start;
                Some(Change { moved: None, history, put, tell })
            }
            Op::Move(m) => Some(Change { moved: Some(m), history: &m.history, put: &m.put, tell: &m.tell }),
            Op::PutBack(_) | Op::Discard(_) => None,
        })
    }

    /// Turns down those that a guard concerns and that the database did not confirm.
    fn keep(&mut self, guarded: impl Fn(&Op) -> bool, confirmed: &BTreeSet<WorkflowId>, otherwise: Written) {
        for (op, written) in self.ops.iter().zip(&mut self.written) {
            if *written == Written::Committed && guarded(op) && !confirmed.contains(&concerns(op)) {
                *written = otherwise;
            }
        }
    }

    /// Turns down those whose key an earlier one that stands has.
    fn refuse_repeated<K: Ord>(&mut self, key: impl Fn(&'a Op) -> Option<K>, otherwise: Written) {
        let mut seen = BTreeSet::new();
        for (op, written) in self.ops.iter().zip(&mut self.written) {
            if *written == Written::Committed
                && let Some(key) = key(op)
                && !seen.insert(key)
            {
                *written = otherwise;
            }
        }
    }
}

/// The instance that an operation concerns.
pub(super) fn concerns(op: &Op) -> WorkflowId {
    match op {
        Op::Start(start) => start.instance.id,
        Op::Move(m) => m.instance.id,
        Op::PutBack(back) => back.task.instance,
        Op::Discard(task) => task.instance,
    }
}

/// Of tasks with the same name, the last: it would replace those before it.
pub(super) fn last_of_each_name(put: &[NewTask]) -> impl Iterator<Item = &NewTask> {
    let repeated = |n: usize, task: &NewTask| put.iter().skip(n + 1).any(|later| later.name == task.name);
    put.iter().enumerate().filter(move |(n, task)| !repeated(*n, task)).map(|(_, task)| task)
}

fn as_move(op: &Op) -> Option<&Move> {
    match op {
        Op::Move(m) => Some(m),
        Op::Start(_) | Op::PutBack(_) | Op::Discard(_) => None,
    }
}

/// The claim that an operation uses up.
fn claim(op: &Op) -> Option<&TaskRef> {
    match op {
        Op::Move(m) => m.consume.as_ref(),
        Op::Discard(task) => Some(task),
        Op::Start(_) | Op::PutBack(_) => None,
    }
}

fn heard(op: &Op) -> Option<(&str, &str)> {
    as_move(op)?.heard.as_ref().map(|key| (&*key.source, &*key.event))
}

fn start_key(op: &Op) -> Option<(&str, &str)> {
    match op {
        Op::Start(start) => Some((&start.instance.start.scope, &start.instance.start.key)),
        Op::Move(_) | Op::PutBack(_) | Op::Discard(_) => None,
    }
}

fn instances(rows: Vec<Row>) -> Result<BTreeSet<WorkflowId>, Failure> {
    Ok(rows.into_iter().map(|mut row| row.workflow()).collect::<Result<_, _>>()?)
}
