//! A batch of which every guard holds: its parts touch as many rows as they should, and nothing is looked at first.

use super::standing::{Change, Standing, as_move, claim, heard, last_of_each_name, start_key};
use super::statements::{
    APPEND, CONSUME, DROP_ALL, DROP_NAMED, Follow, HEAR, MOVE, PUT, PUT_BACK, START, TELL, heard_cells,
    history_cells, message_cells, move_cells, new_task_cells, put_back_cells, start_cells,
};
use crate::store::driver::Transaction;
use crate::store::rows::task_cells;
use crate::store::statement::Batched;
use crate::store::statement::Column::{Int, Text};
use crate::store::value::Value;
use crate::store::{Drop, Move, NewTask, NodeId, Op, TaskRef, Written, unguarded};

/// The parts of a batch of which every guard holds, as most do: no row is looked at before it is written, and none is
/// answered, since the number that each part touches says enough. Nothing when something of it stands against that.
///
/// A database may carry the parts out as one statement, in which no two may touch the same row: what would is left to
/// [`write`].
pub(in crate::store) fn undisturbed(batch: &[Op], node: &NodeId) -> Option<Vec<Part>> {
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
pub(in crate::store) struct Part {
    /// The statement.
    pub(in crate::store) statement: &'static Batched,
    /// The rows, one behind the other.
    pub(in crate::store) cells: Vec<Value>,
    /// How many rows of the database it has to touch; `None` = as many as there are.
    pub(in crate::store) touches: Option<u64>,
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
    pub(in crate::store) fn rows(&self) -> usize {
        self.cells.len() / self.statement.columns.len()
    }
}

/// Carries parts out one after the other, as long as each touches as many rows as it must. Answers whether all did.
pub(in crate::store) async fn in_order<T: Transaction>(
    tx: &mut T,
    parts: &[Part],
) -> Result<bool, sqlx::Error> {
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
pub(in crate::store) static REPLACE: Batched = Batched {
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
