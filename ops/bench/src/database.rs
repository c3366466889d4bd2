//! The database under measurement: what it has done so far, and what this machine could do with it at best.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, Row};
use tokio::time::Instant;

use crate::figures::share;
use crate::machine;
use crate::postgres::Cluster;
use crate::sqlite::Watch;

/// Rows of one transaction of the second floor: what a full batch of the service holds.
const BATCH: usize = 256;
/// A document of the floor's rows, about as long as a state of a workflow.
const DOCUMENT: &str = "{\"state\":\"a document about as long as that of a workflow, which is some two hundred bytes\",\
    \"reference\":\"0192f0c1a2b37c4d8e5f60718293a4b5\",\"hash\":\"0192f0c1a2b37c4d8e5f60718293a4b50192f0c1a2b37c4d\"}";

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server of our own.
    Postgres,
}

/// Where databases are made: a directory, and a server in it where there is one.
pub struct Site {
    directory: PathBuf,
    cluster: Option<Cluster>,
}

/// One database that the service works on.
pub struct Database {
    /// As the service is told it.
    pub url: String,
    counting: Counting,
}

enum Counting {
    Sqlite(Watch),
    Postgres { asks: PgPool, postmaster: u32 },
}

/// What a database has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Transactions that were committed.
    pub commits: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// Rows inserted, updated and deleted, where the database counts them.
    pub rows: Option<u64>,
    /// CPU time of its own processes in milliseconds, where it has any.
    pub cpu_ms: Option<u64>,
}

/// What the machine does with nothing but the database: one connection, durable commits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Floor {
    /// Transactions of one row each, in a second.
    pub commits_per_second: f64,
    /// Rows in a second, 256 to a transaction.
    pub rows_per_second: f64,
}

impl Site {
    /// Opens one in this directory; `settings` are PostgreSQL's, beside those that every server has.
    ///
    /// # Errors
    /// When the server does not start.
    pub async fn open(kind: Kind, directory: &Path, settings: &[(String, String)]) -> Result<Self, String> {
        let cluster = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(Cluster::make(directory, settings).await?),
        };
        Ok(Site { directory: directory.to_owned(), cluster })
    }

    /// A new, empty database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn database(&self, name: &str) -> Result<Database, String> {
        let Some(cluster) = &self.cluster else {
            let file = self.file(name);
            let counting = Counting::Sqlite(Watch::start(&file));
            return Ok(Database { url: format!("sqlite://{}", file.display()), counting });
        };
        let url = cluster.database(name).await?;
        let options: PgConnectOptions = url.parse().map_err(shown)?;
        let asks = PgPoolOptions::new().max_connections(1).connect_with(options).await.map_err(shown)?;
        Ok(Database { url, counting: Counting::Postgres { asks, postmaster: cluster.process() } })
    }

    /// Measures the floor on a database of its own, for about this long each.
    ///
    /// # Errors
    /// When the database does not do as it is told.
    pub async fn floor(&self, lasts: Duration) -> Result<Floor, String> {
        match &self.cluster {
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(self.file("floor"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .pragma("wal_autocheckpoint", "4000");
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
                let pool = pool.map_err(shown)?;
                let floor = measure(&pool, "integer primary key", lasts).await;
                pool.close().await;
                floor
            }
            Some(cluster) => {
                let options: PgConnectOptions = cluster.database("floor").await?.parse().map_err(shown)?;
                let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await;
                let pool = pool.map_err(shown)?;
                let floor = measure(&pool, "bigint generated always as identity primary key", lasts).await;
                pool.close().await;
                floor
            }
        }
    }

    /// Ends the server, if there is one.
    pub async fn end(self) {
        if let Some(cluster) = self.cluster {
            cluster.end().await;
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.db"))
    }
}

/// A transaction that stays open and sees everything as it was when it began.
pub struct Snapshot(sqlx::pool::PoolConnection<sqlx::Postgres>);

impl Snapshot {
    /// Ends it.
    ///
    /// # Errors
    /// When the server had ended it before.
    pub async fn end(mut self) -> Result<(), String> {
        self.0.execute("commit").await.map(drop).map_err(shown)
    }
}

impl Database {
    /// Begins a report that takes its time; PostgreSQL only.
    ///
    /// # Errors
    /// When the database has no such thing or does not answer.
    pub async fn snapshot(&self) -> Result<Snapshot, String> {
        if let Counting::Sqlite(_) = &self.counting {
            return Err("readers of SQLite keep nothing from being claimed: measure PostgreSQL".to_owned());
        }
        let options: PgConnectOptions = self.url.parse().map_err(shown)?;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.map_err(shown)?;
        let mut connection = pool.acquire().await.map_err(shown)?;
        connection.execute("begin isolation level repeatable read read only").await.map_err(shown)?;
        connection.execute("select count(*) from instances").await.map_err(shown)?;
        Ok(Snapshot(connection))
    }

    /// What it has done so far. PostgreSQL's backends tell up to a second late; at an even load both ends of a
    /// measurement are as late as each other.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn counts(&self) -> Result<Counts, String> {
        match &self.counting {
            Counting::Sqlite(watch) => {
                let (commits, log_bytes) = watch.counts();
                Ok(Counts { commits, log_bytes, rows: None, cpu_ms: None })
            }
            Counting::Postgres { asks, postmaster } => {
                let sql = "select (select xact_commit from pg_stat_database where datname = current_database()), \
                           (pg_current_wal_insert_lsn() - '0/0')::bigint, \
                           (select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint \
                            from pg_stat_user_tables)";
                let row = asks.fetch_one(sql).await.map_err(shown)?;
                let count = |at: usize| row.try_get::<i64, _>(at).map(i64::unsigned_abs).map_err(shown);
                Ok(Counts {
                    commits: count(0)?,
                    log_bytes: count(1)?,
                    rows: Some(count(2)?),
                    cpu_ms: Some(machine::family_cpu_ms(*postmaster)),
                })
            }
        }
    }
}

async fn measure<D>(pool: &sqlx::Pool<D>, key: &str, lasts: Duration) -> Result<Floor, String>
where
    D: sqlx::Database,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let mut connection = pool.acquire().await.map_err(shown)?;
    let make = format!("create table floor (id {key}, document text not null)");
    connection.execute(sqlx::AssertSqlSafe(make)).await.map_err(shown)?;
    let mut rates = [0.0; 2];
    for (rate, rows) in rates.iter_mut().zip([1, BATCH]) {
        // The rows are made where they are stored, so that neither sending nor reading them is measured.
        let insert = format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows}) \
             insert into floor (document) select '{DOCUMENT}' from n"
        );
        let (began, mut done) = (Instant::now(), 0);
        while began.elapsed() < lasts {
            connection.execute(sqlx::AssertSqlSafe(insert.clone())).await.map_err(shown)?;
            done += rows;
        }
        *rate = share(done, began.elapsed().as_secs_f64());
    }
    Ok(Floor { commits_per_second: rates[0], rows_per_second: rates[1] })
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named where errors are mapped")]
fn shown(error: sqlx::Error) -> String {
    format!("the database: {error}")
}
