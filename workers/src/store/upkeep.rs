//! What a database needs beside its work.

use async_trait::async_trait;

use super::Trouble;

/// Looking after an open database.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// How many round trips to the database were made since it was opened: statements, `begin` and `commit` alike.
    fn statements(&self) -> u64;

    /// Sets the clock by the database's time. To be called every half minute: two quartzes part by less than a
    /// millisecond in that time, and leases are seconds long. On SQLite, whose time is this machine's, it catches up
    /// with the wall clock after a time in which the machine was suspended, and never goes back.
    async fn resync(&self) -> Result<(), Trouble>;

    /// Moves the write-ahead log into the database file, best when idle. Does nothing on PostgreSQL.
    async fn checkpoint(&self) -> Result<(), Trouble>;

    /// Closes every connection and waits for that.
    async fn close(&self);
}
