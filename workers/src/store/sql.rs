//! The store on a SQL database: every statement that both databases share.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use workflows::engine::{Audience, Lane, Message};
use workflows::ids::WorkflowId;
use workflows::money::Money;
use workflows::time::At;

use super::claim::claim;
use super::commit::{self, Failure};
use super::driver::{Driver, Transaction, Unwritten};
use super::gather::{Gather, Reading};
use super::listing::{conditions, listing};
use super::newest::Newest;
use super::postgres::is_dead;
use super::rows::{self, instance_columns};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Misread, Row, Value};
use super::{
    Backlog, Claimed, Fate, Filter, HistoryRow, InboxKey, Instance, LaneDue, Look, NodeId, Op, Overview,
    Store, TaskRef, TaskRow, Trouble, Upkeep, Written,
};
use crate::ports::{AnchoredClock, Clock};

/// A SQL database behind its driver.
pub(super) struct SqlStore<D> {
    pub(super) driver: D,
    clock: Arc<dyn Clock>,
    /// The same clock, where it is set by the database's time; `None` = somebody else's, which goes by itself.
    anchor: Option<Arc<AnchoredClock>>,
    /// Looks at single instances, by their ids.
    by_id: Gather<WorkflowId, Readable>,
    /// The same by what started them: scope and key.
    by_start: Gather<StartedBy, Readable>,
    /// What was committed last, where nobody else commits.
    newest: Option<Newest>,
}

/// Scope and key of a start.
type StartedBy = (Arc<str>, Arc<str>);

/// An instance, or why its row cannot be read.
type Readable = Result<Instance, Misread>;

/// A batch that another process' batch stands in a circle with is tried so often; each time one of the two goes on.
const DEADLOCK_ATTEMPTS: u32 = 5;

/// A machine's clock that is ahead by so much was set, or the machine was suspended; by less, it was merely adjusted.
const WORTH_TELLING: Duration = Duration::from_secs(1);

impl<D: Driver> SqlStore<D> {
    /// With the database's time for a clock.
    pub(super) async fn new(driver: D) -> Result<Self, Trouble> {
        let anchor = Arc::new(AnchoredClock::wall());
        let clock: Arc<dyn Clock> = Arc::<AnchoredClock>::clone(&anchor);
        let store = SqlStore { anchor: Some(anchor), ..SqlStore::by_clock(driver, clock) };
        store.resync().await?;
        Ok(store)
    }

    /// With a clock of somebody else's.
    pub(super) fn by_clock(driver: D, clock: Arc<dyn Clock>) -> Self {
        let newest = driver.is_ours_alone().then(Newest::default);
        SqlStore {
            driver,
            clock,
            anchor: None,
            by_id: Gather::default(),
            by_start: Gather::default(),
            newest,
        }
    }

    pub(super) async fn begin(&self, doing: &'static str) -> Result<D::Transaction, Trouble> {
        self.driver.begin().await.map_err(|source| not_committed(doing)(source.into()))
    }

    pub(super) async fn read(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<Row>, Trouble> {
        self.driver.read(sql, values).await.map_err(|source| not_committed(doing)(source.into()))
    }

    async fn write(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble> {
        const DOING: &str = "commit a batch";
        if let Some(parts) = commit::undisturbed(batch, node) {
            if parts.is_empty() {
                return Ok(vec![Written::Committed; batch.len()]);
            }
            match self.driver.write_exactly(&parts).await {
                Ok(true) => return Ok(vec![Written::Committed; batch.len()]),
                // Some guard does not hold: which one is found out with care.
                Ok(false) => {}
                Err(Unwritten { fate: Fate::NotCommitted, source }) if deadlocked(&source) => {}
                Err(Unwritten { fate, source }) => {
                    return Err(Trouble { doing: DOING, fate, source: source.into() });
                }
            }
        }
        let mut attempt = 1;
        loop {
            let mut tx = self.begin(DOING).await?;
            match commit::write(&mut tx, batch, node).await {
                Ok(written) => {
                    finish(DOING, tx).await?;
                    return Ok(written);
                }
                Err(failure) => {
                    let again = failure.downcast_ref().is_some_and(deadlocked) && attempt < DEADLOCK_ATTEMPTS;
                    if !again {
                        return Err(not_committed(DOING)(failure));
                    }
                    attempt += 1;
                }
            }
        }
    }
}

#[async_trait]
impl<D: Driver> Store for SqlStore<D> {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn commits_at_once(&self) -> usize {
        D::COMMITS_AT_ONCE
    }

    async fn commit(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble> {
        let writing = self.newest.as_ref().map(Newest::writing);
        let result = self.write(batch, node).await;
        if let Some(writing) = writing {
            writing.answered(batch, &result);
        }
        result
    }

    async fn overview(&self, look: Look) -> Result<Overview, Trouble> {
        const DOING: &str = "look for due lanes";
        // A jump from each lane to the next one in the index: the cost is that of the lanes, whatever the backlog. On
        // PostgreSQL a node is dead whose lock nobody holds; see `neighbours.rs`.
        let rows = self
            .read(
                DOING,
                concat!(
                    "/* overview */ with recursive l(lane) as ( \
                     select min(lane) from tasks \
                     union all \
                     select (select min(t.lane) from tasks t where t.lane > l.lane) from l \
                     where l.lane is not null) \
                     select r.revision, r.died, l.lane, \
                     (select min(t.due_at) from tasks t where t.lane = l.lane) \
                     from (select c.revision, 0 * $1{ + case when $1 = 1 and exists (select 1 from nodes n where ",
                    is_dead!(),
                    ") then 1 else 0 end} as died from controls_revision c) r left join l on l.lane is not null"
                ),
                &[Value::from(look == Look::AtNodesToo)],
            )
            .await?;
        // One row for each lane, or one without a lane: each carries the rest.
        let row = |mut row: Row| {
            let (controls, died) = (row.int()?, row.truth()?);
            let lane = row.maybe_text()?.map(|lane| Lane::stored(lane.to_string()));
            Ok((controls, died, lane.zip(row.maybe_at()?)))
        };
        let rows = each(DOING, rows, row)?;
        let (controls, somebody_died) =
            rows.first().map_or((0, false), |(controls, died, _)| (*controls, *died));
        let lanes = rows.into_iter().filter_map(|(.., lane)| lane);
        let lanes = lanes.map(|(lane, due_at)| LaneDue { lane, due_at }).collect();
        Ok(Overview { controls, lanes, somebody_died })
    }

    async fn claim(
        &self,
        lanes: &[(Lane, usize)],
        node: &NodeId,
        now: At,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Trouble> {
        const DOING: &str = "claim due tasks";
        let mut tx = self.begin(DOING).await?;
        let claimed = claim(&mut tx, lanes, node, now, lease).await.map_err(not_committed(DOING))?;
        finish(DOING, tx).await?;
        Ok(claimed)
    }

    async fn renew(&self, held: &[TaskRef], until: At) -> Result<Vec<TaskRef>, Trouble> {
        const DOING: &str = "renew claims";
        static RENEW: Batched = Batched {
            columns: &[Text("instance"), Text("name"), Int("born"), Int("fence"), Int("until")],
            sql: "/* renew */ with {d} \
                  update tasks set due_at = d.until \
                  from d where tasks.instance = d.instance and tasks.name = d.name \
                  and tasks.born = d.born and tasks.fence = d.fence and tasks.lease is not null \
                  returning tasks.instance, tasks.name, tasks.born, tasks.fence",
            returning: "",
        };
        let mut tx = self.begin(DOING).await?;
        let rows = tx.batch(&RENEW, &with_time(held, until)).await.map_err(lost(DOING))?;
        finish(DOING, tx).await?;
        each(DOING, rows, |mut row| rows::task_ref(&mut row))
    }

    async fn release(&self, unused: &[TaskRef], now: At) -> Result<(), Trouble> {
        const DOING: &str = "release claims";
        // A task whose only claim is handed back was never tried: its first attempt is still to come.
        static RELEASE: Batched = Batched {
            columns: &[Text("instance"), Text("name"), Int("born"), Int("fence"), Int("now")],
            sql: "/* release */ with {d} \
                  update tasks set due_at = d.now, lease = null, attempts = tasks.attempts - 1, \
                  first_at = case when tasks.attempts > 1 then tasks.first_at end \
                  from d where tasks.instance = d.instance and tasks.name = d.name \
                  and tasks.born = d.born and tasks.fence = d.fence and tasks.lease is not null",
            returning: "",
        };
        let mut tx = self.begin(DOING).await?;
        tx.batch(&RELEASE, &with_time(unused, now)).await.map_err(lost(DOING))?;
        finish(DOING, tx).await
    }

    async fn redirect(&self, unused: &TaskRef, lane: &Lane, due_at: At) -> Result<(), Trouble> {
        const DOING: &str = "hand a claim to another lane";
        static REDIRECT: Batched = Batched {
            columns: &[
                Text("instance"),
                Text("name"),
                Int("born"),
                Int("fence"),
                Int("due_at"),
                Text("lane"),
            ],
            sql: "/* redirect */ with {d} \
                  update tasks set lane = d.lane, due_at = d.due_at, lease = null, \
                  attempts = tasks.attempts - 1, \
                  first_at = case when tasks.attempts > 1 then tasks.first_at end \
                  from d where tasks.instance = d.instance and tasks.name = d.name \
                  and tasks.born = d.born and tasks.fence = d.fence and tasks.lease is not null",
            returning: "",
        };
        let mut tx = self.begin(DOING).await?;
        let mut cells = with_time(std::slice::from_ref(unused), due_at);
        cells.push(lane.as_str().into());
        tx.batch(&REDIRECT, &cells).await.map_err(lost(DOING))?;
        finish(DOING, tx).await
    }

    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble> {
        const DOING: &str = "take over the claims of dead nodes";
        let mut tx = self.begin(DOING).await?;
        let taken = tx
            .touch(
                "/* take over */ update tasks \
                 set due_at = case when due_at < $1 then due_at else $1 end \
                 where lease is not null and lease <> $2",
                &[now.into(), (&node.0).into()],
            )
            .await
            .map_err(lost(DOING))?;
        finish(DOING, tx).await?;
        Ok(taken)
    }

    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble> {
        const DOING: &str = "load an instance";
        static LOAD: Batched = Batched {
            columns: &[Text("id")],
            sql: concat!(
                "/* load */ with {d} select ",
                instance_columns!(),
                " from d join instances i on i.id = d.id"
            ),
            returning: "",
        };
        if let Some(newest) = self.newest.as_ref().and_then(|newest| newest.of(id)) {
            return Ok(Some(Instance::clone(&newest)));
        }
        let read = |ids: Vec<WorkflowId>| -> Reading<'_, WorkflowId, Readable> {
            async move {
                let cells: Vec<Value> = ids.into_iter().map(Value::from).collect();
                let rows = self.driver.look_up(&LOAD, &cells).await.map_err(lost(DOING))?;
                let named = |row: Row| Some((row.peek_workflow()?, rows::instance(row)));
                Ok(rows.into_iter().filter_map(named).collect())
            }
            .boxed()
        };
        readable(DOING, self.by_id.ask(id, read).await?)
    }

    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble> {
        const DOING: &str = "look for a start key";
        // What was asked for comes first, so that an instance that cannot be read is told of to whoever asked for it.
        static STARTED: Batched = Batched {
            columns: &[Text("scope"), Text("key")],
            sql: concat!(
                "/* started */ with {d} select d.scope, d.key, ",
                instance_columns!(),
                " from d join instances i on i.start_scope = d.scope and i.start_key = d.key"
            ),
            returning: "",
        };
        let read = |asked: Vec<StartedBy>| -> Reading<'_, StartedBy, Readable> {
            async move {
                let cells: Vec<Value> =
                    asked.iter().flat_map(|(scope, key)| [scope.into(), key.into()]).collect();
                let rows = self.driver.look_up(&STARTED, &cells).await.map_err(lost(DOING))?;
                let named = |mut row: Row| Ok(((row.text()?, row.text()?), rows::instance(row)));
                let found = rows.into_iter().map(named).collect::<Result<_, Misread>>();
                found.map_err(|misread| not_committed(DOING)(misread.into()))
            }
            .boxed()
        };
        readable(DOING, self.by_start.ask((scope.into(), key.into()), read).await?)
    }

    async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble> {
        const DOING: &str = "look for a reference";
        const SQL: &str = concat!(
            "/* by reference */ select ",
            instance_columns!(),
            " from instances i where i.reference = $1 order by i.id"
        );
        each(DOING, self.read(DOING, SQL, &[reference.into()]).await?, rows::instance)
    }

    async fn history(&self, id: WorkflowId, after: i64, limit: usize) -> Result<Vec<HistoryRow>, Trouble> {
        const DOING: &str = "read history";
        let rows = self
            .read(
                DOING,
                "/* history */ select instance, seq, at, occurrence, status, phase, actor, step, attempt, \
                 latency_us, hash from history where instance = $1 and seq > $2 order by seq limit $3",
                &[id.into(), after.into(), limit_value(limit)],
            )
            .await?;
        each(DOING, rows, rows::history)
    }

    async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble> {
        const DOING: &str = "read tasks";
        let rows = self
            .read(
                DOING,
                "/* tasks */ select instance, name, born, fence, lane, due_at, attempts, losses, doubt, lease, \
                 finding from tasks where instance = $1 order by name",
                &[id.into()],
            )
            .await?;
        each(DOING, rows, rows::task)
    }

    async fn messages(&self, id: WorkflowId) -> Result<Vec<Message>, Trouble> {
        const DOING: &str = "read messages";
        let rows = self
            .read(
                DOING,
                "/* messages */ select audience, about from outbox where instance = $1 order by seq, n",
                &[id.into()],
            )
            .await?;
        each(DOING, rows, message)
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble> {
        const DOING: &str = "list instances";
        let mut listed = Vec::new();
        let mut rest = filter.clone();
        loop {
            let (sql, values) = listing(&rest);
            let rows = self.read(DOING, &sql, &values).await?;
            let more = rows.len() == rest.limit;
            rest.before = rows.last().and_then(Row::peek_workflow);
            listed.extend(rows.into_iter().filter_map(rows::readable_instance));
            rest.limit = filter.limit - listed.len();
            // What is passed over is made up for: whoever gets fewer than asked for takes them for the last.
            if !more || rest.limit == 0 || rest.before.is_none() {
                return Ok(listed);
            }
        }
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Trouble> {
        const DOING: &str = "count what waits";
        let rows = self
            .read(
                DOING,
                "/* backlog */ select lane, count(*), min(due_at) from tasks where lease is null \
                 group by lane order by lane",
                &[],
            )
            .await?;
        each(DOING, rows, backlog)
    }

    async fn parked(&self) -> Result<Vec<Backlog>, Trouble> {
        const DOING: &str = "count what is parked";
        // A jump from each lane to the next one, as for the overview; only what is parked is counted.
        let rows = self
            .read(
                DOING,
                "/* parked */ with recursive l(lane) as ( \
                 select min(lane) from tasks \
                 union all \
                 select (select min(t.lane) from tasks t where t.lane > l.lane) from l \
                 where l.lane is not null) \
                 select l.lane, (select count(*) from tasks t where t.lane = l.lane), \
                 (select min(t.due_at) from tasks t where t.lane = l.lane) \
                 from l where l.lane like '%/queue' order by l.lane",
                &[],
            )
            .await?;
        each(DOING, rows, backlog)
    }

    async fn at_stake(&self, filter: &Filter) -> Result<Vec<Money>, Trouble> {
        const DOING: &str = "add up amounts";
        let (conditions, values) = conditions(&Filter { before: None, ..filter.clone() });
        let joined = if conditions.is_empty() { " where" } else { " and" };
        let sql = format!(
            "/* at stake */ select i.currency, cast(sum(i.amount) as bigint) from instances i{conditions}{joined} \
             i.completed_at is null and i.currency is not null group by i.currency order by i.currency"
        );
        let money = |mut row: Row| {
            let currency = row.parsed("a currency")?;
            Ok(Money { minor: row.int()?, currency })
        };
        each(DOING, self.read(DOING, &sql, &values).await?, money)
    }

    async fn count(&self, filter: &Filter) -> Result<u64, Trouble> {
        const DOING: &str = "count instances";
        let (conditions, values) = conditions(&Filter { before: None, ..filter.clone() });
        let sql = format!("/* count */ select count(*) from instances i{conditions}");
        let counted = first(DOING, self.read(DOING, &sql, &values).await?, |mut row| row.int())?;
        Ok(counted.and_then(|count| count.try_into().ok()).unwrap_or_default())
    }

    async fn heard(&self, key: &InboxKey) -> Result<Option<WorkflowId>, Trouble> {
        const DOING: &str = "look for an event";
        let rows = self
            .read(
                DOING,
                "/* heard */ select instance from inbox where source = $1 and event = $2",
                &[(&key.source).into(), (&key.event).into()],
            )
            .await?;
        first(DOING, rows, |mut row| row.workflow())
    }

    async fn ping(&self) -> Result<(), Trouble> {
        self.read("reach the database", "/* ping */ select 1", &[]).await.map(|_| ())
    }
}

#[async_trait]
impl<D: Driver> Upkeep for SqlStore<D> {
    fn statements(&self) -> u64 {
        self.driver.round_trips().total()
    }

    async fn resync(&self) -> Result<(), Trouble> {
        let Some(clock) = &self.anchor else { return Ok(()) };
        let asked = clock.now();
        let time = self.driver.time().await.map_err(lost("ask for the time"))?;
        if let Some(time) = time {
            // The answer was true when it was halfway.
            let travelled = clock.now().since(asked) / 2;
            clock.set(time.plus(travelled));
        } else {
            let ahead = clock.catch_up();
            if ahead >= WORTH_TELLING {
                tracing::warn!(seconds = ahead.as_secs(), "the clock went forward to the machine's");
            }
        }
        Ok(())
    }

    async fn checkpoint(&self) -> Result<(), Trouble> {
        self.driver.checkpoint().await.map_err(lost("move the log into the database file"))
    }

    async fn close(&self) {
        self.driver.close().await;
    }
}

fn backlog(mut row: Row) -> Result<Backlog, Misread> {
    let lane = rows::lane(&mut row)?;
    let waiting = u64::try_from(row.int()?).unwrap_or_default();
    Ok(Backlog { lane, waiting, oldest_at: row.maybe_at()? })
}

fn message(mut row: Row) -> Result<Message, Misread> {
    let word = row.text()?;
    let to = [Audience::Owner, Audience::Operator]
        .into_iter()
        .find(|audience| commit::audience_word(*audience) == &*word)
        .ok_or(Misread { expected: "an audience" })?;
    Ok(Message { to, about: row.text()?.to_string() })
}

fn with_time(tasks: &[TaskRef], at: At) -> Vec<Value> {
    let mut cells = Vec::with_capacity(tasks.len() * 5);
    for task in tasks {
        cells.extend(rows::task_cells(task));
        cells.push(at.into());
    }
    cells
}

pub(super) fn limit_value(limit: usize) -> Value {
    Value::Int(i64::try_from(limit).unwrap_or(i64::MAX))
}

/// Reads every row.
pub(super) fn each<R>(
    doing: &'static str,
    rows: Vec<Row>,
    read: impl Fn(Row) -> Result<R, Misread>,
) -> Result<Vec<R>, Trouble> {
    rows.into_iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|misread| not_committed(doing)(misread.into()))
}

/// Reads the first row, if there is one.
pub(super) fn first<R>(
    doing: &'static str,
    rows: Vec<Row>,
    read: impl Fn(Row) -> Result<R, Misread>,
) -> Result<Option<R>, Trouble> {
    let row = rows.into_iter().next().map(read).transpose();
    row.map_err(|misread| not_committed(doing)(misread.into()))
}

/// An instance that was looked up, if there is one.
fn readable(doing: &'static str, found: Option<Readable>) -> Result<Option<Instance>, Trouble> {
    found.transpose().map_err(|misread| not_committed(doing)(misread.into()))
}

/// Commits; only here is an error's outcome unknown.
pub(super) async fn finish<T: Transaction>(doing: &'static str, tx: T) -> Result<(), Trouble> {
    tx.commit().await.map_err(|source| Trouble { doing, fate: Fate::Unknown, source: source.into() })
}

pub(super) fn not_committed(doing: &'static str) -> impl Fn(Failure) -> Trouble {
    move |source| Trouble { doing, fate: Fate::NotCommitted, source }
}

pub(super) fn lost(doing: &'static str) -> impl Fn(sqlx::Error) -> Trouble {
    move |source| not_committed(doing)(source.into())
}

/// Whether PostgreSQL chose this transaction to break a circle of waiting ones (SQLSTATE `deadlock_detected`,
/// `serialization_failure`).
fn deadlocked(failure: &sqlx::Error) -> bool {
    failure
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(&*code, "40P01" | "40001"))
}

#[cfg(test)]
mod tests {
    use super::super::open::Options;
    use super::super::sqlite::SqliteDriver;
    use super::*;

    #[tokio::test]
    async fn the_clock_of_sqlite_catches_up_after_a_suspension_and_never_goes_back() {
        let files = tempfile::tempdir().unwrap();
        let driver = SqliteDriver::open(&files.path().join("sluse.db"), &Options::default()).await.unwrap();
        let store = SqlStore::new(driver).await.unwrap();
        let (hour, moment) = (Duration::from_hours(1), Duration::from_secs(5));
        let wall = AnchoredClock::wall();
        for (shown, expected) in [
            // As it stands after an hour in which the monotonic clock stood still.
            (wall.now().minus(hour), wall.now()),
            // As it stands when the wall clock was set back by an hour.
            (wall.now().plus(hour), wall.now().plus(hour)),
        ] {
            store.anchor.as_ref().unwrap().set(shown);
            store.resync().await.unwrap();
            let after = store.clock().now();
            let apart = after.since(expected).max(expected.since(after));
            assert!(apart < moment, "{shown:?} became {after:?}");
        }
    }
}
