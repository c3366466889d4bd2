//! How SQLite finds the rows of each statement: by a key, whatever the size of the tables.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use workflows::engine::{Lane, Message, Status, TaskName};
use workflows::ids::WorkflowId;
use workflows::time::At;

use super::driver::{Driver, Transaction};
use super::open::Options;
use super::sqlite::{SqliteDriver, SqliteTransaction};
use super::statement::{Batched, Wanted};
use super::value::{Row, Value};
use super::{
    Drop, HistoryRow, InboxKey, Instance, Move, NewTask, NodeId, Op, PutBack, Start, StartKey, TaskRef,
    claim, commit,
};

#[tokio::test]
async fn no_statement_of_a_batch_or_a_claim_scans_a_table() {
    let files = tempfile::tempdir().unwrap();
    let driver = SqliteDriver::open(&files.path().join("sluse.db"), &Options::default()).await.unwrap();
    let mut tx = Explained { tx: driver.begin().await.unwrap(), plans: Vec::new() };

    let node = NodeId("a".into());
    let whole = [
        Op::Start(Box::new(start())),
        Op::Move(Box::new(step(2, Drop::All))),
        Op::Move(Box::new(step(3, Drop::Named(vec![TaskName::stored("capture".to_owned())])))),
        Op::PutBack(PutBack { task: claim_of(4), due_at: NOW, doubt: false, finding: "unknown" }),
        Op::Discard(claim_of(5)),
    ];
    // The moves find nothing to move, so a second batch takes them one step further.
    commit::write(&mut tx, &whole, &node).await.unwrap();
    commit::write(&mut tx, &[Op::Move(Box::new(step(1, Drop::All)))], &node).await.unwrap();
    let mut named = step(1, Drop::Named(vec![TaskName::stored("notify".to_owned())]));
    named.upcast = true;
    Arc::make_mut(&mut named.instance).seq = 3;
    named.history.seq = 3;
    named.heard = None;
    named.consume = None;
    commit::write(&mut tx, &[Op::Move(Box::new(named))], &node).await.unwrap();
    let parts = commit::undisturbed(&[Op::Start(Box::new(start())), Op::Move(Box::new(replacing()))], &node);
    for part in parts.unwrap() {
        tx.explain_batch(part.statement, Wanted::Number, &part.cells).await;
    }
    claim::claim(&mut tx, &[(Lane::timers(), 5)], &node, NOW, Duration::from_secs(30)).await.unwrap();

    let named: std::collections::BTreeSet<_> = tx.plans.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "append history",
        "claim",
        "claimed instances",
        "consume",
        "drop all tasks",
        "drop named tasks",
        "hear",
        "lock claims",
        "lock revisions",
        "move",
        "put back",
        "put tasks",
        "replace",
        "start",
        "tell",
        "upcast",
    ];
    assert_eq!(named.into_iter().collect::<Vec<_>>(), expected, "each statement was seen");
    let tables = ["instances", "history", "tasks", "inbox", "outbox", " i", " t"];
    for (name, line) in &tx.plans {
        let scanned = line.strip_prefix("SCAN").unwrap_or_default();
        assert!(!tables.iter().any(|table| scanned.ends_with(table)), "{name}: {line}");
    }
}

/// A transaction that asks for each statement's plan before it runs it.
struct Explained {
    tx: SqliteTransaction,
    /// A statement's name and a line of its plan.
    plans: Vec<(String, String)>,
}

impl Explained {
    /// A plan that is right for the longest list of rows.
    async fn explain_batch(&mut self, statement: &Batched, wanted: Wanted, cells: &[Value]) {
        if !cells.is_empty() {
            for rows in [1, super::statement::CHUNK] {
                self.explain(super::statement::Dialect::Sqlite.batched(statement, wanted, rows)).await;
            }
        }
    }

    async fn explain(&mut self, sql: String) {
        let name = sql.trim_start_matches("/* ").split(" */").next().unwrap_or_default().to_owned();
        let explain = sqlx::AssertSqlSafe(format!("explain query plan {sql}"));
        let lines = sqlx::query(explain).fetch_all(self.tx.connection()).await.unwrap();
        self.plans.push((name.clone(), String::new()));
        self.plans.extend(lines.iter().map(|line| (name.clone(), line.get::<String, _>("detail"))));
    }
}

impl Transaction for Explained {
    async fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        self.explain(super::statement::Dialect::Sqlite.plain(sql)).await;
        self.tx.run(sql, values).await
    }

    async fn touch(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, sqlx::Error> {
        self.explain(super::statement::Dialect::Sqlite.plain(sql)).await;
        self.tx.touch(sql, values).await
    }

    async fn batch(&mut self, statement: &'static Batched, cells: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        self.explain_batch(statement, Wanted::Rows, cells).await;
        self.tx.batch(statement, cells).await
    }

    async fn affect(&mut self, statement: &'static Batched, cells: &[Value]) -> Result<u64, sqlx::Error> {
        self.explain_batch(statement, Wanted::Number, cells).await;
        self.tx.affect(statement, cells).await
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await
    }
}

const NOW: At = At::EPOCH;

/// Instance 1, with a task that is held and one that is due.
fn start() -> Start {
    let instance = Instance {
        id: WorkflowId::new(1),
        kind: "payment".into(),
        version: 1,
        owner: "usr_1".into(),
        order: "{}".into(),
        state: "{}".into(),
        status: Status::Processing,
        phase: "begin".into(),
        attention: None,
        seq: 1,
        hash: "".into(),
        start: StartKey { scope: "s".into(), key: "k".into(), body_hash: "h".into() },
        created_at: NOW,
        updated_at: NOW,
        completed_at: None,
        reference: None,
    };
    let history = history(&instance);
    let put = vec![
        NewTask {
            name: TaskName::stored("hold".to_owned()),
            lane: Lane::timers(),
            due_at: At::MAX,
            claimed: true,
        },
        NewTask {
            name: TaskName::stored("@due".to_owned()),
            lane: Lane::timers(),
            due_at: NOW,
            claimed: false,
        },
    ];
    let instance = Arc::new(instance);
    Start { instance, history, put, tell: vec![], weight: None }
}

/// A transition to revision 2 that uses everything.
fn step(id: u128, drop: Drop) -> Move {
    let instance = Instance { id: WorkflowId::new(id), seq: 2, ..Instance::clone(&start().instance) };
    let history = history(&instance);
    let heard = Some(InboxKey { source: "s".into(), event: "e".into() });
    let put = vec![NewTask {
        name: TaskName::stored("capture".to_owned()),
        lane: Lane::timers(),
        due_at: NOW,
        claimed: false,
    }];
    Move {
        instance: Arc::new(instance),
        upcast: false,
        consume: Some(claim_of(id)),
        heard,
        history,
        drop,
        put,
        tell: vec![Message::owner("done")],
    }
}

/// One whose claim is replaced by the next task.
fn replacing() -> Move {
    Move { heard: None, ..step(6, Drop::Named(vec![])) }
}

fn claim_of(id: u128) -> TaskRef {
    TaskRef { instance: WorkflowId::new(id), name: TaskName::stored("hold".to_owned()), born: 1, fence: 1 }
}

fn history(instance: &Instance) -> HistoryRow {
    HistoryRow {
        instance: instance.id,
        seq: instance.seq,
        at: NOW,
        occurrence: "{}".into(),
        status: "processing".into(),
        phase: "begin".into(),
        actor: "worker".into(),
        step: "".into(),
        attempt: 0,
        latency_us: 0,
        hash: "".into(),
    }
}
