//! Claims of due tasks, with the instances that they are about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use workflows::engine::Lane;
use workflows::ids::WorkflowId;
use workflows::time::At;

use super::commit::Failure;
use super::driver::Transaction;
use super::rows::{self, instance_columns};
use super::sql::limit_value;
use super::statement::Batched;
use super::statement::Column::Text;
use super::value::{Misread, Row, Value};
use super::{Claimed, Instance, NodeId, TaskRef};

/// Claims within a transaction.
pub(super) async fn claim<T: Transaction>(
    tx: &mut T,
    lanes: &[(Lane, usize)],
    node: &NodeId,
    now: At,
    lease: Duration,
) -> Result<Vec<Claimed>, Failure> {
    static INSTANCES: Batched = Batched {
        columns: &[Text("id")],
        sql: concat!(
            "/* claimed instances */ with {d} select ",
            instance_columns!(),
            " from d join instances i on i.id = d.id"
        ),
        returning: "",
    };
    let mut tasks = Vec::new();
    for (lane, room) in lanes {
        // What is due is picked before anything is changed, once: PostgreSQL may otherwise look again and pick more.
        let rows = tx
            .run(
                "/* claim */ with due as materialized ( \
                 select instance, name from tasks where lane = $1 and due_at <= $2 \
                 order by due_at limit $3{ for update skip locked}) \
                 update tasks set due_at = $4, lease = $5, fence = fence + 1, attempts = attempts + 1, \
                 losses = case when lease is null then losses else losses + 1 end, \
                 first_at = coalesce(first_at, $2) \
                 from due where tasks.instance = due.instance and tasks.name = due.name \
                 returning tasks.instance, tasks.name, tasks.born, tasks.fence, tasks.lane, \
                 tasks.attempts, tasks.losses, tasks.doubt, tasks.first_at",
                &[
                    lane.as_str().into(),
                    now.into(),
                    limit_value(*room),
                    now.plus(lease).into(),
                    (&node.0).into(),
                ],
            )
            .await?;
        tasks.extend(rows);
    }
    let tasks = tasks.into_iter().map(ClaimedTask::read).collect::<Result<Vec<_>, _>>()?;
    let mut ids: Vec<WorkflowId> = tasks.iter().map(|claimed| claimed.task.instance).collect();
    ids.sort_unstable();
    ids.dedup();
    let cells: Vec<Value> = ids.into_iter().map(Value::from).collect();
    let mut instances = BTreeMap::new();
    for instance in tx.batch(&INSTANCES, &cells).await?.into_iter().filter_map(rows::readable_instance) {
        instances.insert(instance.id, Arc::new(instance));
    }
    // A claim on an instance that this version cannot read is left to lapse: another version may take it up.
    let whole = |claimed: ClaimedTask| {
        let instance = Arc::clone(instances.get(&claimed.task.instance)?);
        Some(claimed.of(instance))
    };
    Ok(tasks.into_iter().filter_map(whole).collect())
}

/// A claim without the instance it is about.
struct ClaimedTask {
    task: TaskRef,
    lane: Lane,
    attempts: u32,
    losses: u32,
    doubt: bool,
    first_at: At,
}

impl ClaimedTask {
    fn read(mut row: Row) -> Result<Self, Misread> {
        Ok(ClaimedTask {
            task: rows::task_ref(&mut row)?,
            lane: rows::lane(&mut row)?,
            attempts: row.count()?,
            losses: row.count()?,
            doubt: row.truth()?,
            first_at: row.at()?,
        })
    }

    fn of(self, instance: Arc<Instance>) -> Claimed {
        let ClaimedTask { task, lane, attempts, losses, doubt, first_at } = self;
        Claimed { task, lane, attempts, losses, doubt, first_at, instance }
    }
}
