//! PostgreSQL: many processes on one database, row locks, one array for each column of a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgListener, PgPool, PgPoolOptions, PgRow,
    PgSeverity,
};
use sqlx::{Arguments, AssertSqlSafe, Column as _, Connection, Postgres, Row as _, TypeInfo, ValueRef};
use workflows::time::At;

use super::arrays::add_arrays;
use super::commit::{Part, in_order};
use super::driver::{Driver, RoundTrips, Transaction, Unwritten, is_taken};
use super::migrations;
use super::open::{OpenError, Options};
use super::statement::{Batched, Column, Dialect, Texts, Wanted};
use super::value::{Row, Value, hex, str_of};

/// An open PostgreSQL database.
pub(super) struct PostgresDriver {
    writers: PgPool,
    /// What writes a batch in one statement. Nobody begins a transaction on these: in one that somebody left open, such a
    /// statement would be answered and not be committed.
    batches: PgPool,
    readers: PgPool,
    /// Reads that find each row by its key.
    lookups: PgPool,
    /// How the connection that shows that this process lives is made.
    life: PgConnectOptions,
    texts: Arc<Texts>,
    trips: Arc<RoundTrips>,
    caution: Caution,
}

const STATEMENTS: usize = 256;

/// Whether nobody holds the advisory lock of a node `n`. `pg_locks` shows the two halves of a lock's number apart.
macro_rules! is_dead {
    () => {
        "not exists ( \
         select 1 from pg_locks p where p.locktype = 'advisory' and p.objsubid = 1 and p.granted \
         and p.database = (select oid from pg_database where datname = current_database()) \
         and ((p.classid::bigint << 32) | p.objid::bigint) = n.number)"
    };
}
pub(super) use is_dead;

/// Nobody here waits longer than this: a statement, a lock, a transaction that its process left open.
const LIMITS: [(&str, &str); 5] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "5s"),
    // Every guard is looked at again after a wait, on the row as it is by then.
    ("default_transaction_isolation", "read committed"),
    // Every statement touches a few rows by their keys. Where tables are small or have no statistics yet, the planner
    // takes some for expensive enough to compile them first, which costs half a second of a core each time.
    ("jit", "off"),
];

/// How long anybody waits for a connection before they are told. While a server restarts, sqlx looks for it in growing
/// pauses of up to a fifth of this: with its default of 30 s, six seconds pass unused after the server is back.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// How long a connection may have lain idle and be taken for alive.
const IDLE: Duration = Duration::from_millis(5);

/// Connections of [`Driver::look_up`]: one reads while another answer is on its way.
const LOOKUPS: u32 = 2;

/// Writers and look-ups find each row by its key. Without statistics, right after a table was made or has grown, the planner may
/// think a scan of the whole table cheaper, and keep thinking so in a cached plan.
const BY_KEY: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

impl PostgresDriver {
    /// Connects, and makes sure that a commit survives a crash of the server.
    pub(super) async fn open(url: &str, options: &Options) -> Result<Self, OpenError> {
        let connect: PgConnectOptions = url.parse().map_err(OpenError::connect)?;
        let connect = connect.statement_cache_capacity(STATEMENTS).application_name("sluse");
        // A migration may take as long as it takes.
        let mut first = PgConnection::connect_with(&connect).await.map_err(OpenError::connect)?;
        verify_durability(&mut first).await?;
        migrations::bring_up(&mut first, Dialect::Postgres, options.migrations).await?;
        first.close().await.map_err(OpenError::connect)?;

        let limited = connect.options(LIMITS);
        let by_key = limited.clone().options(BY_KEY);
        let batches = pool(BATCHES).before_acquire(is_still_there).connect_with(by_key.clone());
        let writers = pool(options.writers).connect_with(by_key);
        let only_reads = limited.clone().options([("default_transaction_read_only", "on")]);
        let lookups = pool(LOOKUPS).connect_with(only_reads.clone().options(BY_KEY));
        let readers = pool(options.readers).connect_with(only_reads);
        Ok(PostgresDriver {
            writers: writers.await.map_err(OpenError::connect)?,
            batches: batches.await.map_err(OpenError::connect)?,
            readers: readers.await.map_err(OpenError::connect)?,
            lookups: lookups.await.map_err(OpenError::connect)?,
            life: limited,
            texts: Arc::new(Texts::new(Dialect::Postgres)),
            trips: Arc::default(),
            caution: Caution::new(),
        })
    }
}

impl PostgresDriver {
    /// In one statement and so in one exchange: it is its own transaction. A guard that does not hold, and a key that is
    /// there already, make it fail; so does whatever else is wrong, and then nothing of it is written.
    async fn write_at_once(&self, parts: &[Part]) -> Result<bool, Unwritten> {
        let mut arguments = PgArguments::default();
        for part in parts {
            add_arrays(&mut arguments, part.statement.columns, &part.cells)
                .map_err(Unwritten::not_committed)?;
        }
        for touches in parts.iter().filter_map(|part| part.touches) {
            let touches = i64::try_from(touches).unwrap_or(i64::MAX);
            arguments.add(touches).map_err(|error| Unwritten::not_committed(sqlx::Error::Encode(error)))?;
        }
        let mut connection = self.batches.acquire().await.map_err(Unwritten::not_committed)?;
        self.trips.count();
        let text = AssertSqlSafe(self.texts.of_all(parts, 0));
        match sqlx::query_with(text, arguments).execute(&mut *connection).await {
            Ok(_) => Ok(true),
            Err(error) if is_of_the_statement(&error) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                match code.as_deref() {
                    Some(BROKEN_GUARD | TAKEN_KEY) => Ok(false),
                    _ => Err(Unwritten::not_committed(error)),
                }
            }
            Err(error) => Err(Unwritten::unknown(error)),
        }
    }

    /// Statement by statement, so that what fails before the commit is known not to be there, and a connection that died
    /// while idle does no harm.
    async fn write_in_order(&self, parts: &[Part]) -> Result<bool, Unwritten> {
        let mut tx = self.begin().await.map_err(Unwritten::not_committed)?;
        match in_order(&mut tx, parts).await {
            Ok(true) => tx.commit().await.map(|()| true).map_err(Unwritten::unknown),
            Ok(false) => Ok(false),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(Unwritten::not_committed(error)),
        }
    }
}

/// Whether the server refused the statement and goes on. What ends the connection, or the server, may have come behind the
/// commit.
fn is_of_the_statement(error: &sqlx::Error) -> bool {
    let told = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    told.is_some_and(|error| error.severity() == PgSeverity::Error)
}

/// Connections of batches: as many as are under way at once.
const BATCHES: u32 = 2;

/// SQLSTATE `invalid_text_representation`: what the one statement makes of a guard that does not hold.
const BROKEN_GUARD: &str = "22P02";
/// SQLSTATE `unique_violation`.
const TAKEN_KEY: &str = "23505";

/// After a guard did not hold, so many batches are written statement by statement: whatever disturbed it is rarely alone,
/// and the server's log has a line for each statement that fails.
const DISTURBED: u32 = 8;
/// The same after anything else went wrong.
const FAILED: u32 = 64;

/// How many batches are still to be written with caution.
#[derive(Debug)]
struct Caution(AtomicU32);

impl Caution {
    fn new() -> Self {
        Caution(AtomicU32::new(0))
    }

    fn take(&self, batches: u32) {
        self.0.fetch_max(batches, Ordering::Relaxed);
    }

    fn is_due(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

impl Driver for PostgresDriver {
    type Transaction = PostgresTransaction;
    /// A connection of its own that holds the advisory lock of the node's number. The server frees the lock in the
    /// moment in which the process' end closes the connection; while the process merely stands still, it is held.
    type Life = PgListener;

    /// While one waits for the disk, others are executed; with more, each holds less.
    const COMMITS_AT_ONCE: usize = BATCHES as usize;

    const DEAD_NODES: Option<&'static str> =
        Some(concat!("/* dead nodes */ select n.node from nodes n where n.node <> $1 and ", is_dead!()));

    fn is_ours_alone(&self) -> bool {
        false
    }

    async fn write_exactly(&self, parts: &[Part]) -> Result<bool, Unwritten> {
        let written = if self.caution.is_due() {
            self.write_in_order(parts).await
        } else {
            self.write_at_once(parts).await
        };
        match written {
            Ok(whole) => {
                if !whole {
                    self.caution.take(DISTURBED);
                }
                Ok(whole)
            }
            Err(unwritten) => {
                self.caution.take(FAILED);
                Err(unwritten)
            }
        }
    }

    async fn begin(&self) -> Result<PostgresTransaction, sqlx::Error> {
        // A connection that died while idle shows here, where nothing has been asked yet; after each has failed once,
        // all are fresh.
        let mut spare = self.writers.size() + 1;
        let inner = loop {
            self.trips.count();
            match self.writers.begin().await {
                Err(error) if severed(&error) && spare > 0 => spare -= 1,
                begun => break begun?,
            }
        };
        Ok(PostgresTransaction { inner, texts: Arc::clone(&self.texts), trips: Arc::clone(&self.trips) })
    }

    async fn read(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        let sql: Arc<str> = Dialect::Postgres.plain(sql).into();
        let mut spare = self.readers.size() + 1;
        let rows = loop {
            self.trips.count();
            let query = sqlx::query_with(AssertSqlSafe(Arc::clone(&sql)), arguments(values)?);
            match query.fetch_all(&self.readers).await {
                Err(error) if severed(&error) && spare > 0 => spare -= 1,
                answered => break answered?,
            }
        };
        rows.iter().map(read_row).collect()
    }

    async fn look_up(&self, statement: &'static Batched, cells: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        if cells.is_empty() {
            return Ok(Vec::new());
        }
        let text = self.texts.of(statement, Wanted::Rows, 0);
        let mut spare = self.lookups.size() + 1;
        let rows = loop {
            self.trips.count();
            let arguments = arrays(statement.columns, cells)?;
            let query = sqlx::query_with(AssertSqlSafe(Arc::clone(&text)), arguments);
            match query.fetch_all(&self.lookups).await {
                Err(error) if severed(&error) && spare > 0 => spare -= 1,
                answered => break answered?,
            }
        };
        rows.iter().map(read_row).collect()
    }

    async fn time(&self) -> Result<Option<At>, sqlx::Error> {
        let sql = "/* time */ select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let micros = self.read(sql, &[]).await?.into_iter().next().and_then(|mut row| row.int().ok());
        Ok(micros.map(At::from_micros))
    }

    async fn live(&self, number: i64) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let mut life = PgListener::connect_with(&pool.connect_with(self.life.clone()).await?).await?;
        // A connection that was made anew would hold nothing.
        life.eager_reconnect(false);
        self.trips.count();
        sqlx::query("/* live */ select pg_advisory_lock($1)").bind(number).execute(&mut life).await?;
        Ok(life)
    }

    async fn outlive(&self, mut life: PgListener) {
        // Nobody notifies anything: waiting for it is how the end of the connection is noticed at once.
        while let Ok(Some(_)) = life.try_recv().await {}
    }

    async fn checkpoint(&self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.lookups.close().await;
        self.batches.close().await;
        self.writers.close().await;
    }

    fn round_trips(&self) -> &RoundTrips {
        &self.trips
    }
}

/// A writer's connection, for the length of a transaction.
pub(super) struct PostgresTransaction {
    inner: sqlx::Transaction<'static, Postgres>,
    texts: Arc<Texts>,
    trips: Arc<RoundTrips>,
}

impl Transaction for PostgresTransaction {
    async fn run(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        self.trips.count();
        let sql = AssertSqlSafe(Dialect::Postgres.plain(sql));
        let rows = sqlx::query_with(sql, arguments(values)?).fetch_all(&mut *self.inner).await?;
        rows.iter().map(read_row).collect()
    }

    async fn touch(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, sqlx::Error> {
        self.trips.count();
        let sql = AssertSqlSafe(Dialect::Postgres.plain(sql));
        Ok(sqlx::query_with(sql, arguments(values)?).execute(&mut *self.inner).await?.rows_affected())
    }

    async fn batch(&mut self, statement: &'static Batched, cells: &[Value]) -> Result<Vec<Row>, sqlx::Error> {
        if cells.is_empty() {
            return Ok(Vec::new());
        }
        self.trips.count();
        // The text is the same for every number of rows.
        let text = self.texts.of(statement, Wanted::Rows, 0);
        let query = sqlx::query_with(AssertSqlSafe(text), arrays(statement.columns, cells)?);
        query.fetch_all(&mut *self.inner).await?.iter().map(read_row).collect()
    }

    async fn affect(&mut self, statement: &'static Batched, cells: &[Value]) -> Result<u64, sqlx::Error> {
        if cells.is_empty() {
            return Ok(0);
        }
        self.trips.count();
        let text = self.texts.of(statement, Wanted::Number, 0);
        let query = sqlx::query_with(AssertSqlSafe(text), arrays(statement.columns, cells)?);
        Ok(query.execute(&mut *self.inner).await?.rows_affected())
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        self.trips.count();
        self.inner.commit().await
    }
}

async fn verify_durability(connection: &mut PgConnection) -> Result<(), OpenError> {
    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name, setting from pg_settings \
         where name in ('fsync', 'full_page_writes', 'synchronous_commit') order by name",
    )
    .fetch_all(connection)
    .await
    .map_err(OpenError::connect)?;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let found = settings.iter().find(|(name, _)| name == setting).map_or("", |(_, found)| found);
        if found.is_empty() || found == "off" {
            return Err(OpenError::Durability { setting, wanted: "on", found: found.to_owned() });
        }
    }
    Ok(())
}

/// A connection that died while idle is found out before anything is written on it: what is lost with it afterwards may
/// be there or not.
#[expect(clippy::needless_pass_by_value, reason = "the pool's form of it")]
fn is_still_there(
    connection: &mut PgConnection,
    about: PoolConnectionMetadata,
) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async move {
        if about.idle_for > IDLE {
            connection.ping().await?;
        }
        Ok(true)
    })
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .test_before_acquire(false)
        .acquire_timeout(PATIENCE)
}

/// Whether the connection is gone rather than the statement refused: an error of the socket, or one of the server's
/// last words (SQLSTATE class 57P: it is shutting down, or crashed, or starts up).
fn severed(error: &sqlx::Error) -> bool {
    let last_words = || error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(error, sqlx::Error::Io(_)) || last_words().is_some_and(|code| code.starts_with("57P"))
}

fn arguments(values: &[Value]) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<&str>),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(&**text),
            Value::Id(id) => arguments.add(str_of(&hex(*id))),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn arrays(columns: &[Column], cells: &[Value]) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    add_arrays(&mut arguments, columns, cells)?;
    Ok(arguments)
}

fn read_row(row: &PgRow) -> Result<Row, sqlx::Error> {
    let cell = |n: usize| {
        if row.try_get_raw(n)?.is_null() {
            return Ok(Value::Null);
        }
        match row.column(n).type_info().name() {
            "INT8" => row.try_get(n).map(Value::Int),
            "INT4" => row.try_get::<i32, _>(n).map(|number| Value::Int(number.into())),
            _ => row.try_get::<&str, _>(n).map(Value::from),
        }
    };
    (0..row.len()).map(cell).collect::<Result<_, _>>().map(Row::new)
}
