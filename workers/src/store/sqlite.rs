//! SQLite: one file, one writer, one process.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, Connection, Either, Executor, Row as _, Sqlite, TypeInfo, ValueRef};
use workflows::time::At;

use super::commit::{Part, in_order};
use super::driver::{Driver, RoundTrips, Transaction, Unwritten, is_taken};
use super::migrations;
use super::open::{OpenError, Options, Purpose};
use super::statement::{Batched, CHUNK, Dialect, Texts, Wanted, padded};
use super::value::{Row, Value, hex, str_of};

/// An open SQLite file.
pub(super) struct SqliteDriver {
    /// One connection, so that writers queue here and never meet in the file.
    writer: SqlitePool,
    readers: SqlitePool,
    texts: Arc<Texts>,
    trips: Arc<RoundTrips>,
    /// Held for as long as this process is the file's engine.
    only_engine: Option<File>,
}

/// How long a connection waits for another one's lock. Only a checkpoint of a reader's leftovers makes it wait at all.
const BUSY: Duration = Duration::from_secs(5);
/// Holds every text in use: one for each size of each combination of parts that batches have, and those of claims and reads.
/// A text of the largest size takes some hundred kilobytes when it is prepared.
const STATEMENTS: usize = 512;
/// Pages of 4 KiB in the write-ahead log at which a commit moves them into the file: 16 MiB.
const CHECKPOINT_PAGES: &str = "4000";
/// Pages that the writer keeps in memory, in KiB with a minus: those that every commit touches.
const WRITERS_CACHE: &str = "-65536";
/// Those of each reader, which looks up single rows; together no more than the writer's, whatever the file's size.
const READERS_CACHE: &str = "-16384";
/// What the log is cut back to after it grew under a long reader: 64 MiB.
const LOG_LIMIT: &str = "67108864";

impl SqliteDriver {
    /// Opens or creates the file and makes sure that it is this process' own and that a commit survives a power cut.
    pub(super) async fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|source| OpenError::File { path: directory.to_owned(), source })?;
        }
        let path = &real_path(path)?;
        let only_engine = match options.purpose {
            Purpose::Engine => Some(lock(path)?),
            Purpose::Visit => None,
        };
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .statement_cache_capacity(STATEMENTS)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", LOG_LIMIT)
            .pragma("temp_store", "memory")
            .pragma("cache_size", WRITERS_CACHE)
            .pragma("trusted_schema", "off");
        let mut first = SqliteConnection::connect_with(&connect).await.map_err(OpenError::connect)?;
        verify_durability(&mut first).await?;
        migrations::bring_up(&mut first, Dialect::Sqlite, options.migrations).await?;
        first.close().await.map_err(OpenError::connect)?;

        let writer = pool(1).connect_with(connect.clone()).await.map_err(OpenError::connect)?;
        let readers = pool(options.readers)
            .connect_with(connect.pragma("query_only", "on").pragma("cache_size", READERS_CACHE))
            .await
            .map_err(OpenError::connect)?;
        Ok(SqliteDriver {
            writer,
            readers,
            texts: Arc::new(Texts::new(Dialect::Sqlite)),
            trips: Arc::default(),
            only_engine,
        })
    }
}

impl Driver for SqliteDriver {
    type Transaction = SqliteTransaction;
    /// The lock on the file says that it lives.
    type Life = ();

    /// There is one writer: while it works, the next batch is made ready for it.
    const COMMITS_AT_ONCE: usize = 2;

    const DEAD_NODES: Option<&'static str> = None;

    fn is_ours_alone(&self) -> bool {
        self.only_engine.is_some()
    }

    async fn write_exactly(&self, parts: &[Part]) -> Result<bool, Unwritten> {
        let mut tx = self.begin().await.map_err(Unwritten::not_committed)?;
        let whole = if parts.iter().all(|part| part.rows() <= CHUNK) {
            tx.all_at_once(parts).await
        } else {
            in_order(&mut tx, parts).await
        };
        match whole {
            Ok(true) => tx.commit().await.map(|()| true).map_err(Unwritten::unknown),
            Ok(false) => Ok(false),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(Unwritten::not_committed(error)),
        }
    }

    async fn begin(&self) -> Result<SqliteTransaction, sqlx::Error> {
        self.trips.count();
        Ok(SqliteTransaction {
            inner: self.writer.begin_with("begin immediate").await?,
            texts: Arc::clone(&self.texts),
            trips: Arc::clone(&self.trips),
        })
    }

    async fn read(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        self.trips.count();
        let sql = AssertSqlSafe(Dialect::Sqlite.plain(sql));
        let rows = sqlx::query_with(sql, arguments(values)?).fetch_all(&self.readers).await?;
        rows.iter().map(read_row).collect()
    }

    async fn look_up(&self, statement: &'static Batched, cells: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        let mut answer = Vec::new();
        for chunk in cells.chunks(CHUNK * statement.columns.len()) {
            self.trips.count();
            let (text, arguments) = chunked(&self.texts, statement, Wanted::Rows, chunk)?;
            for row in sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(&self.readers).await? {
                answer.push(read_row(&row)?);
            }
        }
        Ok(answer)
    }

    async fn time(&self) -> Result<Option<At>, sqlx::Error> {
        Ok(None)
    }

    async fn live(&self, _: i64) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn outlive(&self, (): ()) {
        std::future::pending::<()>().await;
    }

    async fn checkpoint(&self) -> Result<(), sqlx::Error> {
        self.trips.count();
        sqlx::query("pragma wal_checkpoint(passive)").execute(&self.writer).await?;
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn round_trips(&self) -> &RoundTrips {
        &self.trips
    }
}

/// The writer, for the length of a transaction.
pub(super) struct SqliteTransaction {
    inner: sqlx::Transaction<'static, Sqlite>,
    texts: Arc<Texts>,
    trips: Arc<RoundTrips>,
}

impl SqliteTransaction {
    /// Carries parts out in one go: each exchange with the connection's thread costs more than most statements. All are
    /// padded to one size, so that few texts exist.
    async fn all_at_once(&mut self, parts: &[Part]) -> Result<bool, sqlx::Error> {
        let rows = padded(parts.iter().map(Part::rows).max().unwrap_or(1));
        let mut arguments = SqliteArguments::default();
        arguments.reserve(parts.iter().map(|part| part.statement.columns.len()).sum::<usize>() * rows, 0);
        for part in parts {
            for cell in &part.cells {
                add(&mut arguments, cell)?;
            }
            for _ in part.cells.len()..rows * part.statement.columns.len() {
                add(&mut arguments, &Value::Null)?;
            }
        }
        self.trips.count();
        let text = self.texts.of_all(parts, rows);
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let mut results = Executor::fetch_many(&mut *self.inner, query);
        let mut expected = parts.iter();
        let mut whole = true;
        while let Some(result) = results.try_next().await? {
            let Either::Left(done) = result else { continue };
            let touches = expected.next().and_then(|part| part.touches);
            whole &= touches.is_none_or(|touches| touches == done.rows_affected());
        }
        Ok(whole && expected.next().is_none())
    }

    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

impl Transaction for SqliteTransaction {
    async fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        self.trips.count();
        let sql = AssertSqlSafe(Dialect::Sqlite.plain(sql));
        let rows = sqlx::query_with(sql, arguments(values)?).fetch_all(&mut *self.inner).await?;
        rows.iter().map(read_row).collect()
    }

    async fn touch(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, sqlx::Error> {
        self.trips.count();
        let sql = AssertSqlSafe(Dialect::Sqlite.plain(sql));
        Ok(sqlx::query_with(sql, arguments(values)?).execute(&mut *self.inner).await?.rows_affected())
    }

    async fn batch(&mut self, statement: &'static Batched, cells: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        let mut answer = Vec::new();
        for chunk in cells.chunks(CHUNK * statement.columns.len()) {
            self.trips.count();
            let (text, arguments) = chunked(&self.texts, statement, Wanted::Rows, chunk)?;
            let query = sqlx::query_with(AssertSqlSafe(text), arguments);
            for row in query.fetch_all(&mut *self.inner).await? {
                answer.push(read_row(&row)?);
            }
        }
        Ok(answer)
    }

    async fn affect(&mut self, statement: &'static Batched, cells: &[Value]) -> Result<u64, sqlx::Error> {
        let mut touched = 0;
        for chunk in cells.chunks(CHUNK * statement.columns.len()) {
            self.trips.count();
            let (text, arguments) = chunked(&self.texts, statement, Wanted::Number, chunk)?;
            let query = sqlx::query_with(AssertSqlSafe(text), arguments);
            touched += query.execute(&mut *self.inner).await?.rows_affected();
        }
        Ok(touched)
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.trips.count();
        self.inner.commit().await
    }
}

/// A statement over some rows, padded with rows of nulls.
fn chunked(
    texts: &Texts,
    statement: &Batched,
    wanted: Wanted,
    cells: &[Value],
) -> Result<(Arc<str>, SqliteArguments), sqlx::Error> {
    let width = statement.columns.len();
    let rows = padded(cells.len() / width);
    let mut arguments = arguments(cells)?;
    for _ in cells.len()..rows * width {
        add(&mut arguments, &Value::Null)?;
    }
    Ok((texts.of(statement, wanted, rows), arguments))
}

/// The one path of a file that links may give many names, so that all of them lead to one lock. The file is created when
/// it is missing, since a path can only be followed to what is there.
fn real_path(path: &Path) -> Result<PathBuf, OpenError> {
    let unusable = |source| OpenError::File { path: path.to_owned(), source };
    match path.canonicalize() {
        // A file that is there is not touched: closing it would end this process' locks on it, an open engine's too.
        Err(missing) if missing.kind() == ErrorKind::NotFound => {
            File::options().create(true).append(true).open(path).map_err(unusable)?;
            path.canonicalize().map_err(unusable)
        }
        found => found.map_err(unusable),
    }
}

/// Holds `<path>.lock` until it is dropped or the process dies, however it dies.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| OpenError::File { path: name.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: name, source }),
    }
}

/// Reads back what was asked for: a file on a file system without shared memory silently stays in another mode.
async fn verify_durability(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let journal: String = sqlx::query_scalar("pragma journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(OpenError::connect)?;
    if journal != "wal" {
        return Err(OpenError::Durability { setting: "journal_mode", wanted: "wal", found: journal });
    }
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous")
        .fetch_one(&mut *connection)
        .await
        .map_err(OpenError::connect)?;
    // 2 is FULL: NORMAL may lose the last commits when the power goes.
    if synchronous < 2 {
        let found = synchronous.to_string();
        return Err(OpenError::Durability { setting: "synchronous", wanted: "2 (full)", found });
    }
    Ok(())
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn arguments(values: &[Value]) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        add(&mut arguments, value)?;
    }
    Ok(arguments)
}

fn add(arguments: &mut SqliteArguments, value: &Value) -> Result<(), sqlx::Error> {
    let added = match value {
        Value::Null => Arguments::add(arguments, None::<i64>),
        Value::Int(number) => Arguments::add(arguments, *number),
        Value::Text(text) => Arguments::add(arguments, Arc::clone(text)),
        Value::Id(id) => Arguments::add(arguments, Arc::<str>::from(str_of(&hex(*id)))),
    };
    added.map_err(sqlx::Error::Encode)
}

fn read_row(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    let cell = |n: usize| {
        let raw = row.try_get_raw(n)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        match raw.type_info().name() {
            "INTEGER" => row.try_get(n).map(Value::Int),
            _ => row.try_get::<&str, _>(n).map(Value::from),
        }
    };
    (0..row.len()).map(cell).collect::<Result<_, _>>().map(Row::new)
}
