//! Reading everything in bounded pages, for whoever checks that what must hold does hold.
//!
//! No statement reads more than a page, and each page is one moment: an instance and its tasks are seen together.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use workflows::engine::{Lane, TaskName};
use workflows::ids::WorkflowId;
use workflows::time::At;

use super::driver::{Driver, Transaction};
use super::rows::{self, instance_columns};
use super::sql::{SqlStore, each, finish, lost};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Misread, Row, Value};
use super::{Instance, TaskRef, Trouble};

/// A store that can be read as a whole.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Counts the live instances with an id behind `after` and names those without any task.
    async fn census(&self, after: Option<WorkflowId>, limit: usize) -> Result<Page<Census>, Trouble>;

    /// The live instances with an id behind `after`, each with the tasks that it has at that moment.
    async fn live(&self, after: Option<WorkflowId>, limit: usize) -> Result<Page<Vec<Standing>>, Trouble>;

    /// The tasks behind `after` that nobody will perform: their instance has ended, or is not there, or their claim
    /// lapsed before `lapsed` and nobody took it up.
    async fn faulty(
        &self,
        after: Option<&(WorkflowId, TaskName)>,
        lapsed: At,
        limit: usize,
    ) -> Result<Page<Vec<Faulty>, (WorkflowId, TaskName)>, Trouble>;

    /// Removes those of these tasks whose instance has ended; answers how many there were.
    async fn sweep(&self, leftovers: &[TaskRef]) -> Result<u64, Trouble>;
}

/// One page, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C = WorkflowId> {
    /// What was found on it.
    pub found: T,
    /// The last thing that was looked at; `None` when this was the last page.
    pub next: Option<C>,
}

/// Live instances, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many there are in each status.
    pub statuses: BTreeMap<Arc<str>, u64>,
    /// Those without any task.
    pub idle: Vec<WorkflowId>,
    /// How many there are that nobody knows the outcome of.
    pub in_doubt: u64,
    /// Since when the first of them is so.
    pub doubted_since: Option<At>,
}

/// The phase of an instance that something was sent for, with an outcome that nobody knows.
pub(super) const IN_DOUBT: &str = "in_doubt";

/// A live instance as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub id: WorkflowId,
    /// Its row, unless this version cannot read it.
    pub instance: Option<Instance>,
    /// What is outstanding.
    pub tasks: Vec<TaskName>,
}

/// A task that nobody will perform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// Which.
    pub task: TaskRef,
    /// Where it queues.
    pub lane: Lane,
    /// Why.
    pub fault: Fault,
}

/// Why nobody will perform a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its instance has ended.
    Ended,
    /// Its instance is not there.
    Orphaned,
    /// Its claim lapsed long ago.
    Lapsed,
}

#[async_trait]
impl<D: Driver> Audit for SqlStore<D> {
    async fn census(&self, after: Option<WorkflowId>, limit: usize) -> Result<Page<Census>, Trouble> {
        const DOING: &str = "count live instances";
        let rows = self
            .read(
                DOING,
                "/* census */ with page as materialized ( \
                 select id, status, phase from instances where completed_at is null and id > $1 order by id limit $2) \
                 select p.status, max(p.id), count(*), string_agg(case when not exists \
                 (select 1 from tasks t where t.instance = p.id) then p.id end, ' '), \
                 count(case when p.phase = $3 then 1 end), \
                 min(case when p.phase = $3 then (select min(h.at) from history h where h.instance = p.id \
                 and h.seq > coalesce((select max(g.seq) from history g \
                 where g.instance = p.id and g.phase <> $3), 0)) end) \
                 from page p group by p.status",
                &[behind(after), size(limit), IN_DOUBT.into()],
            )
            .await?;
        let groups = each(DOING, rows, |mut row| {
            let group = (row.text()?, row.workflow()?, row.int()?, ids(row.maybe_text()?.as_deref())?);
            Ok((group, (row.int()?, row.maybe_at()?)))
        })?;
        let (mut census, mut last, mut seen) = (Census::default(), None, 0);
        for ((status, id, count, idle), (in_doubt, since)) in groups {
            census.in_doubt += u64::try_from(in_doubt).unwrap_or_default();
            census.doubted_since = census.doubted_since.into_iter().chain(since).min();
            let count = u64::try_from(count).unwrap_or_default();
            seen += count;
            last = last.max(Some(id));
            *census.statuses.entry(status).or_default() += count;
            census.idle.extend(idle);
        }
        census.idle.sort_unstable();
        Ok(Page { found: census, next: last.filter(|_| seen >= limit as u64) })
    }

    async fn live(&self, after: Option<WorkflowId>, limit: usize) -> Result<Page<Vec<Standing>>, Trouble> {
        const DOING: &str = "read live instances";
        const SQL: &str = concat!(
            "/* live */ select i.id, (select string_agg(t.name, ' ') from tasks t where t.instance = i.id), ",
            instance_columns!(),
            " from instances i where i.completed_at is null and i.id > $1 order by i.id limit $2"
        );
        let rows = self.read(DOING, SQL, &[behind(after), size(limit)]).await?;
        let found = each(DOING, rows, |mut row| {
            let id = row.workflow()?;
            let names = row.maybe_text()?;
            let name = |name: &str| TaskName::stored(name.to_owned());
            let tasks = names.iter().flat_map(|names| names.split(' ')).map(name).collect();
            Ok(Standing { id, tasks, instance: rows::instance(row).ok() })
        })?;
        let next = found.last().map(|standing| standing.id).filter(|_| found.len() >= limit);
        Ok(Page { found, next })
    }

    async fn faulty(
        &self,
        after: Option<&(WorkflowId, TaskName)>,
        lapsed: At,
        limit: usize,
    ) -> Result<Page<Vec<Faulty>, (WorkflowId, TaskName)>, Trouble> {
        const DOING: &str = "look through the tasks";
        let name = after.map_or("", |(_, name)| name.as_str());
        // The last row of a full page is answered whatever it is: it says where the next page begins.
        let rows = self
            .read(
                DOING,
                "/* faulty tasks */ with page as materialized ( \
                 select instance, name, born, fence, lane, due_at, lease, \
                 row_number() over (order by instance, name) as n \
                 from tasks where (instance, name) > ($1, $2) order by instance, name limit $3), \
                 judged as (select p.instance, p.name, p.born, p.fence, p.lane, p.n, case \
                 when i.id is null then 'orphaned' when i.completed_at is not null then 'ended' \
                 when p.lease is not null and p.due_at < $4 then 'lapsed' else '' end as fault \
                 from page p left join instances i on i.id = p.instance) \
                 select instance, name, born, fence, lane, n, fault from judged \
                 where fault <> '' or n = $3 order by n",
                &[behind(after.map(|(id, _)| *id)), name.into(), size(limit), lapsed.into()],
            )
            .await?;
        let (mut found, mut next) = (Vec::new(), None);
        let read = |mut row: Row| Ok((rows::task_ref(&mut row)?, row.text()?, row.int()?, row.text()?));
        for (task, lane, n, word) in each(DOING, rows, read)? {
            if u64::try_from(n).unwrap_or_default() == limit as u64 {
                next = Some((task.instance, task.name.clone()));
            }
            let fault = match &*word {
                "ended" => Fault::Ended,
                "orphaned" => Fault::Orphaned,
                "lapsed" => Fault::Lapsed,
                _ => continue,
            };
            found.push(Faulty { task, lane: Lane::stored(lane.to_string()), fault });
        }
        Ok(Page { found, next })
    }

    async fn sweep(&self, leftovers: &[TaskRef]) -> Result<u64, Trouble> {
        const DOING: &str = "remove tasks of ended instances";
        static SWEEP: Batched = Batched {
            columns: &[Text("instance"), Text("name"), Int("born"), Int("fence")],
            sql: "/* sweep */ with {d} \
                  delete from tasks \
                  where (instance, name, born) in (select instance, name, born from d) and exists \
                  (select 1 from instances i where i.id = tasks.instance and i.completed_at is not null) \
                  returning instance",
            returning: "",
        };
        let mut tx = self.begin(DOING).await?;
        let cells: Vec<Value> = leftovers.iter().flat_map(rows::task_cells).collect();
        let swept = tx.batch(&SWEEP, &cells).await.map_err(lost(DOING))?.len();
        finish(DOING, tx).await?;
        Ok(swept as u64)
    }
}

/// The id behind which a page begins: before all of them, the empty text is.
fn behind(after: Option<WorkflowId>) -> Value {
    after.map_or_else(|| "".into(), Value::from)
}

fn size(limit: usize) -> Value {
    Value::Int(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// Ids with spaces between them.
fn ids(text: Option<&str>) -> Result<Vec<WorkflowId>, Misread> {
    let one = |text: &str| u128::from_str_radix(text, 16).map(WorkflowId::new);
    text.unwrap_or_default()
        .split_whitespace()
        .map(|text| one(text).map_err(|_| Misread { expected: "a workflow id" }))
        .collect()
}
