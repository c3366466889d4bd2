//! A batch of operations as one transaction of few statements.
//!
//! Of most batches every guard holds: they are written without a look, and the numbers of rows that were touched say so;
//! see `parts.rs`. Where a number differs, the batch is written anew with care, here: every guard is decided before
//! anything of its operation is written, so that an operation either stands whole or leaves no trace. Revisions are
//! locked, then claims, then events are heard, then claims consumed; what still stands is written. Each phase is one
//! statement over all operations that need it, and none when none does.

mod parts;
mod standing;
mod statements;

use std::collections::BTreeSet;

use workflows::ids::WorkflowId;

pub(super) use self::parts::{Part, REPLACE, in_order, undisturbed};
use self::standing::{Standing, as_move, claim, heard, start_key};
pub(super) use self::statements::{APPEND, MOVE, TELL, audience_word};
use self::statements::{
    CONSUME, DROP_ALL, DROP_NAMED, Follow, HEAR, PUT, PUT_BACK, START, UPCAST, claim_cells, heard_cells,
    history_cells, message_cells, move_cells, put_back_cells, start_cells, upcast_cells,
};
use super::driver::Transaction;
use super::rows::task_cells;
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Row, Value};
use super::{NodeId, Op, Written, unguarded};

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

fn instances(rows: Vec<Row>) -> Result<BTreeSet<WorkflowId>, Failure> {
    Ok(rows.into_iter().map(|mut row| row.workflow()).collect::<Result<_, _>>()?)
}
