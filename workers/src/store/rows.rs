//! Stored rows and what they mean.

use workflows::engine::{Lane, Status, TaskName};

use super::value::{Misread, Row, Value};
use super::{HistoryRow, Instance, NodeId, StartKey, TaskRef, TaskRow};

/// The columns that [`instance`] reads, of `instances i`.
macro_rules! instance_columns {
    () => {
        "i.id, i.kind, i.version, i.owner, i.order_doc, i.state_doc, i.status, i.phase, i.attention, i.seq, i.hash, \
         i.start_scope, i.start_key, i.start_hash, i.created_at, i.updated_at, i.completed_at, \
         i.reference"
    };
}
pub(super) use instance_columns;

/// An instance from [`instance_columns`].
pub(super) fn instance(mut row: Row) -> Result<Instance, Misread> {
    Ok(Instance {
        id: row.workflow()?,
        kind: row.text()?,
        version: row.int()?,
        owner: row.text()?,
        order: row.text()?,
        state: row.text()?,
        status: Status::parse(&row.text()?).ok_or(Misread { expected: "a status" })?,
        phase: row.text()?,
        attention: row.maybe_text()?,
        seq: row.int()?,
        hash: row.text()?,
        start: StartKey { scope: row.text()?, key: row.text()?, body_hash: row.text()? },
        created_at: row.at()?,
        updated_at: row.at()?,
        completed_at: row.maybe_at()?,
        reference: row.maybe_text()?,
    })
}

/// An instance from [`instance_columns`], or nothing when this version cannot read it: one that a newer version wrote must
/// not keep this one from everything else. No value is logged but the id.
pub(super) fn readable_instance(row: Row) -> Option<Instance> {
    let id = row.peek_workflow();
    match instance(row) {
        Ok(instance) => Some(instance),
        Err(misread) => {
            tracing::error!(workflow = ?id, %misread, "an instance cannot be read and is passed over");
            None
        }
    }
}

/// What of an instance changes with each transition, its id first: id, version, `state_doc`, status, phase, attention,
/// seq, hash, `updated_at`, `completed_at`, reference.
pub(super) fn instance_cells(instance: &Instance) -> [Value; 11] {
    [
        instance.id.into(),
        instance.version.into(),
        (&instance.state).into(),
        instance.status.as_str().into(),
        (&instance.phase).into(),
        instance.attention.as_ref().into(),
        instance.seq.into(),
        (&instance.hash).into(),
        instance.updated_at.into(),
        instance.completed_at.into(),
        instance.reference.as_ref().into(),
    ]
}

/// A history row from: instance, seq, at, occurrence, status, phase, actor, step, attempt, `latency_us`, hash.
pub(super) fn history(mut row: Row) -> Result<HistoryRow, Misread> {
    Ok(HistoryRow {
        instance: row.workflow()?,
        seq: row.int()?,
        at: row.at()?,
        occurrence: row.text()?,
        status: row.text()?,
        phase: row.text()?,
        actor: row.text()?,
        step: row.text()?,
        attempt: row.int()?,
        latency_us: row.int()?,
        hash: row.text()?,
    })
}

/// A claim's name: instance, name, born, fence.
pub(super) fn task_cells(task: &TaskRef) -> [Value; 4] {
    [task.instance.into(), task.name.as_str().into(), task.born.into(), task.fence.into()]
}

/// A claim's name from: instance, name, born, fence.
pub(super) fn task_ref(row: &mut Row) -> Result<TaskRef, Misread> {
    Ok(TaskRef {
        instance: row.workflow()?,
        name: TaskName::stored(row.text()?.to_string()),
        born: row.int()?,
        fence: row.int()?,
    })
}

/// A lane.
pub(super) fn lane(row: &mut Row) -> Result<Lane, Misread> {
    Ok(Lane::stored(row.text()?.to_string()))
}

/// A task from: instance, name, born, fence, lane, `due_at`, attempts, losses, doubt, lease, finding.
pub(super) fn task(mut row: Row) -> Result<TaskRow, Misread> {
    Ok(TaskRow {
        task: task_ref(&mut row)?,
        lane: lane(&mut row)?,
        due_at: row.at()?,
        attempts: row.count()?,
        losses: row.count()?,
        doubt: row.truth()?,
        lease: row.maybe_text()?.map(NodeId),
        finding: row.maybe_text()?.map(|word| word.to_string()),
    })
}
