//! A store under test, and shorthand for talking to it.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;
use workers::actions::Actions;
use workers::approvals::Approvals;
use workers::balances::{BalanceStore, MemoryBalances};
use workers::notices::Notices;
use workers::ports::AnchoredClock;
use workers::store::{
    Claimed, Database, Filter, Instance, Look, MemoryStore, Move, Neighbours, Op, Options, StartKey, Store,
    Verdict, Written, open, verify_chain,
};
use workflows::engine::Lane;
use workflows::time::At;

use crate::made::{LEASE, id, lane, next, node, start};
use crate::support::postgres;

/// A store under test, empty.
pub struct Subject {
    pub store: Arc<dyn Store>,
    pub balances: Arc<dyn BalanceStore>,
    pub neighbours: Arc<dyn Neighbours>,
    pub approvals: Arc<dyn Approvals>,
    pub actions: Arc<dyn Actions>,
    pub notices: Arc<dyn Notices>,
    /// What it is a part of, unless it is the model.
    pub database: Option<Database>,
    pub url: Option<String>,
    pub _files: Option<TempDir>,
}

impl Subject {
    pub fn memory() -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(AnchoredClock::wall())));
        Subject {
            balances: Arc::new(MemoryBalances::default()),
            neighbours: Arc::<MemoryStore>::clone(&store),
            approvals: Arc::<MemoryStore>::clone(&store),
            actions: Arc::<MemoryStore>::clone(&store),
            notices: Arc::<MemoryStore>::clone(&store),
            store,
            database: None,
            url: None,
            _files: None,
        }
    }

    pub async fn sqlite() -> Self {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", files.path().join("sluse.db").display());
        Subject::opened(url, Some(files)).await
    }

    pub async fn postgres() -> Self {
        Subject::opened(postgres::shared().create_database(), None).await
    }

    pub async fn opened(url: String, files: Option<TempDir>) -> Self {
        let database = open(&url, &Options::default()).await.expect("the database opens");
        let store = Arc::clone(&database.store);
        Subject {
            balances: Arc::clone(&database.balances),
            neighbours: Arc::clone(&database.neighbours),
            approvals: Arc::clone(&database.approvals),
            actions: Arc::clone(&database.actions),
            notices: Arc::clone(&database.notices),
            store,
            database: Some(database),
            url: Some(url),
            _files: files,
        }
    }

    /// Closes a database and lets go of every handle on it; answers where it is.
    pub async fn closed(self) -> (String, Option<TempDir>) {
        self.database.as_ref().expect("a database").upkeep.close().await;
        // Field by field: what is not taken goes here.
        let Subject { url, _files: files, .. } = self;
        (url.expect("a database has one"), files)
    }

    /// An empty one of the same kind.
    pub async fn another(&self) -> Self {
        match &self.url {
            None => Subject::memory(),
            Some(url) if url.starts_with("sqlite") => Subject::sqlite().await,
            Some(_) => Subject::postgres().await,
        }
    }

    /// The URL of a database of the same kind that nobody has opened.
    pub fn fresh_url(&self) -> String {
        match self.url.as_deref() {
            Some(url) if url.starts_with("sqlite") => format!("{url}.fresh"),
            _ => postgres::shared().create_database(),
        }
    }

    pub async fn commit(&self, batch: impl IntoIterator<Item = Op>) -> Vec<Written> {
        let batch: Vec<Op> = batch.into_iter().collect();
        self.store.commit(&batch, &node("a")).await.expect("the batch is written")
    }

    pub async fn apply(&self, step: Move) -> Written {
        self.commit([Op::Move(Box::new(step))]).await.remove(0)
    }

    pub async fn load(&self, n: u128) -> Option<Instance> {
        self.store.load(id(n)).await.unwrap()
    }

    pub async fn list(&self, filter: Filter) -> Vec<Instance> {
        let limit = if filter.limit == 0 { 10_000 } else { filter.limit };
        self.store.list(&Filter { limit, ..filter }).await.unwrap()
    }

    pub async fn lanes(&self) -> Vec<(Lane, At)> {
        self.store
            .overview(Look::AtNodesToo)
            .await
            .unwrap()
            .lanes
            .into_iter()
            .map(|due| (due.lane, due.due_at))
            .collect()
    }

    pub async fn claim_at(&self, now: At) -> Vec<Claimed> {
        let lanes = ["x", "y", "z"].map(|name| (lane(name), 10_000));
        self.store.claim(&lanes, &node("a"), now, LEASE).await.unwrap()
    }

    pub async fn claim_sorted(&self, now: At) -> Vec<Claimed> {
        let mut claims = self.claim_at(now).await;
        claims.sort_by(|a, b| (a.task.instance, &a.task.name).cmp(&(b.task.instance, &b.task.name)));
        claims
    }

    pub async fn grow_history(&self, length: i64) {
        self.commit([start(1)]).await;
        for _ in 1..length {
            let step = next(&self.load(1).await.unwrap());
            assert_eq!(self.apply(step).await, Written::Committed);
        }
    }

    pub async fn verdict(&self) -> Verdict {
        let instance = self.load(1).await.unwrap();
        let rows = self.store.history(id(1), 0, 100).await.unwrap();
        verify_chain(&rows, instance.seq, &instance.hash)
    }

    /// Every row that the store tells, one line each.
    pub async fn everything(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for instance in self.list(Filter::default()).await {
            let StartKey { key, body_hash, .. } = &instance.start;
            lines.push(format!("{instance:?} {} {} {key} {body_hash}", instance.order, instance.state));
            let rows = self.store.history(instance.id, 0, 1000).await.unwrap();
            lines.extend(rows.iter().map(|row| format!("{row:?} {}", row.occurrence)));
            let tasks = self.store.tasks(instance.id).await.unwrap();
            lines.extend(tasks.iter().map(|row| format!("{row:?}")));
            lines.push(format!("{:?}", self.store.messages(instance.id).await.unwrap()));
        }
        lines
    }

    /// A statement past the store, as somebody with the database's password would give it.
    pub async fn raw(&self, sql: &str) -> Result<(), sqlx::Error> {
        let url = self.url.as_deref().expect("a database");
        let sql = AssertSqlSafe(sql);
        if url.starts_with("sqlite") {
            SqliteConnection::connect(url).await?.execute(sqlx::raw_sql(sql)).await.map(|_| ())
        } else {
            PgConnection::connect(url).await?.execute(sqlx::raw_sql(sql)).await.map(|_| ())
        }
    }

    /// The one column of a query that reads the database beside the engine, as the runbooks do.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        let url = self.url.as_deref().expect("a database");
        let sql = AssertSqlSafe(sql);
        let read = if url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await
        } else {
            let mut connection = PgConnection::connect(url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await
        };
        read.unwrap()
    }

    pub async fn disarm_history_triggers(&self) {
        let is_sqlite = self.url.as_ref().unwrap().starts_with("sqlite");
        let disarm = if is_sqlite {
            "drop trigger history_refuses_update; drop trigger history_refuses_delete"
        } else {
            "alter table history disable trigger all"
        };
        self.raw(disarm).await.unwrap();
    }
}
