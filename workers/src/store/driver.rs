//! What a database must be able to do. Everything above is written once; see `sqlite.rs` and `postgres.rs` for the rest.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use workflows::time::At;

use super::Fate;
use super::commit::Part;
use super::statement::Batched;
use super::value::{Row, Value};

/// A write that failed.
#[derive(Debug)]
pub struct Unwritten {
    /// Whether it may be there all the same.
    pub fate: Fate,
    /// Why.
    pub source: sqlx::Error,
}

/// Whether a key is there already.
pub fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

impl Unwritten {
    /// Nothing was written.
    pub fn not_committed(source: sqlx::Error) -> Self {
        Unwritten { fate: Fate::NotCommitted, source }
    }

    /// It may have been.
    pub fn unknown(source: sqlx::Error) -> Self {
        Unwritten { fate: Fate::Unknown, source }
    }
}

/// A database.
pub trait Driver: Send + Sync + 'static {
    /// A transaction that may write.
    type Transaction: Transaction;

    /// What others see for as long as this process lives, and no longer.
    type Life: Send;

    /// Whether nobody can change an instance but by this store, as long as it is open.
    fn is_ours_alone(&self) -> bool;

    /// See [`super::Store::commits_at_once`].
    const COMMITS_AT_ONCE: usize;

    /// Tells the nodes whose processes are dead; nothing where there is one process.
    const DEAD_NODES: Option<&'static str>;

    /// Writes parts in one transaction, in their order, when each touches as many rows as it must; otherwise, and when
    /// a key is there already, nothing is written and the answer is `false`. No two parts touch one row, but that what
    /// an end consumes is among all that it takes back.
    fn write_exactly(&self, parts: &[Part]) -> impl Future<Output = Result<bool, Unwritten>> + Send;

    /// Begins one.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, sqlx::Error>> + Send;

    /// Reads outside any transaction, on a connection of the readers. Parameters are never null.
    fn read(&self, sql: &str, values: &[Value])
    -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// Reads outside any transaction, for every row of `cells`; the statement finds each by its key.
    fn look_up(
        &self,
        statement: &'static Batched,
        cells: &[Value],
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// The database's time; `None` when it has none of its own.
    fn time(&self) -> impl Future<Output = Result<Option<At>, sqlx::Error>> + Send;

    /// Shows that the node of this number lives. Waits for whoever is burying it.
    fn live(&self, number: i64) -> impl Future<Output = Result<Self::Life, sqlx::Error>> + Send;

    /// Returns when others can no longer see that it lives.
    fn outlive(&self, life: Self::Life) -> impl Future<Output = ()> + Send;

    /// See [`super::Upkeep::checkpoint`].
    fn checkpoint(&self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Closes every connection.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// What was asked so far.
    fn round_trips(&self) -> &RoundTrips;
}

/// A transaction. Dropped, it is rolled back.
pub trait Transaction: Send {
    /// Runs a plain statement and answers its rows. Parameters are never null.
    fn run(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// Runs a plain statement and answers how many rows it touched.
    fn touch(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Runs a batched statement; `cells` holds the rows of `d`, one behind the other. Answers its rows, and does
    /// nothing at all when there are none to run it over.
    fn batch(
        &mut self,
        statement: &'static Batched,
        cells: &[Value],
    ) -> impl Future<Output = Result<Vec<Row>, sqlx::Error>> + Send;

    /// Runs a batched statement and answers how many rows it touched, in all its parts.
    fn affect(
        &mut self,
        statement: &'static Batched,
        cells: &[Value],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Commits. An error leaves open whether it did.
    fn commit(self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// How often the database was asked anything: statements, `begin` and `commit` alike.
#[derive(Debug, Default)]
pub struct RoundTrips(AtomicU64);

impl RoundTrips {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
