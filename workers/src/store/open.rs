//! Opening a database by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::postgres::PostgresDriver;
use super::sql::SqlStore;
use super::sqlite::SqliteDriver;
use super::{Audit, Neighbours, NodeId, Store, Trouble, Upkeep};
use crate::actions::Actions;
use crate::approvals::Approvals;
use crate::balances::BalanceStore;
use crate::controls::ControlStore;
use crate::notices::Notices;
use crate::ports::Clock;
use crate::registry::Registry;

/// One open database: what is kept in it, and its upkeep.
#[derive(Clone)]
pub struct Database {
    /// Instances and tasks.
    pub store: Arc<dyn Store>,
    /// The product's tables.
    pub registry: Arc<dyn Registry>,
    /// Balances and the right to read them.
    pub balances: Arc<dyn BalanceStore>,
    /// The other processes on it, and what each of them may ask.
    pub neighbours: Arc<dyn Neighbours>,
    /// What takes two people.
    pub approvals: Arc<dyn Approvals>,
    /// What people did.
    pub actions: Arc<dyn Actions>,
    /// What providers pushed.
    pub notices: Arc<dyn Notices>,
    /// Clock, log and figures.
    pub upkeep: Arc<dyn Upkeep>,
    /// What may be sent.
    pub controls: Arc<dyn ControlStore>,
    /// Reading everything, page by page.
    pub audit: Arc<dyn Audit>,
}

/// How to open.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to do about migrations that are missing.
    pub migrations: Migrations,
    /// What for.
    pub purpose: Purpose,
    /// Connections that read.
    pub readers: u32,
    /// Connections that write; SQLite always has one.
    pub writers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { migrations: Migrations::Apply, purpose: Purpose::Engine, readers: 4, writers: 4 }
    }
}

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To start workflows and perform their steps. A SQLite file has one engine at a time.
    Engine,
    /// To read it and to write the product's tables, beside an engine that may have it: nothing is claimed.
    Visit,
}

/// What to do about migrations that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrations {
    /// Apply them.
    Apply,
    /// Refuse to open.
    Require,
}

/// Why a database was not opened. No message repeats the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a database that this product knows.
    #[error("a database URL begins with sqlite: or postgres:, this one with {0:?}")]
    UnknownScheme(String),
    /// The SQLite file has an engine already.
    #[error("{} is in use by another engine", path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// A file or directory cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database would answer a commit before it is durable.
    #[error("{setting} is {found:?} and has to be {wanted}: a payment that was answered could be lost")]
    Durability {
        /// Which setting.
        setting: &'static str,
        /// What it has to be.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// No connection.
    #[error("cannot connect to the database")]
    Connect(#[source] Box<sqlx::Error>),
    /// A migration was not applied.
    #[error("cannot migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A migration is missing and was not to be applied.
    #[error("migration {name} has not been applied; run `sluse migrate`")]
    Pending {
        /// Which.
        name: String,
    },
    /// Connected, and yet the first question failed.
    #[error("the database does not answer")]
    Ask(#[source] Trouble),
}

impl OpenError {
    pub(super) fn connect(source: sqlx::Error) -> Self {
        OpenError::Connect(Box::new(source))
    }
}

/// How long a database server may take to come up: some three seconds, and a process begins soon after.
const A_MOMENT: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_millis(250))
    .with_max_times(14);

/// Opens `sqlite://path`, `sqlite:path`, or `postgres://user@host/name` (a socket's directory as `?host=/directory`).
///
/// # Errors
/// [`OpenError`], among others when a commit would not be durable, and when a SQLite file has an engine already.
pub async fn open(url: &str, options: &Options) -> Result<Database, OpenError> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    match scheme {
        "sqlite" => {
            let path = Path::new(rest.strip_prefix("//").unwrap_or(rest));
            let driver = SqliteDriver::open(path, options).await?;
            let store = SqlStore::new(driver).await.map_err(OpenError::Ask)?;
            taken_over(store, options).await
        }
        "postgres" | "postgresql" => {
            // A database that starts together with this process is there in a moment.
            let open = || Box::pin(PostgresDriver::open(url, options));
            let driver = open.retry(A_MOMENT).when(|error| matches!(error, OpenError::Connect(_))).await?;
            Ok(database(SqlStore::new(driver).await.map_err(OpenError::Ask)?))
        }
        other => Err(OpenError::UnknownScheme(other.to_owned())),
    }
}

/// Opens a SQLite file that goes by `clock` instead of the machine's: by a time that is not this machine's, such as a
/// simulation's.
///
/// # Errors
/// Those of [`open`].
pub async fn open_by_clock(
    path: &Path,
    options: &Options,
    clock: Arc<dyn Clock>,
) -> Result<Database, OpenError> {
    let driver = SqliteDriver::open(path, options).await?;
    taken_over(SqlStore::by_clock(driver, clock), options).await
}

/// A SQLite file with its new engine. The lock on the file says that every engine that claimed something before is
/// dead.
async fn taken_over(store: SqlStore<SqliteDriver>, options: &Options) -> Result<Database, OpenError> {
    if options.purpose == Purpose::Engine {
        store.bury_everybody().await.map_err(OpenError::Ask)?;
        let nobody = NodeId("".into());
        store.take_over(&nobody, store.clock().now()).await.map_err(OpenError::Ask)?;
    }
    Ok(database(store))
}

fn database<S>(store: S) -> Database
where
    S: Store
        + Registry
        + BalanceStore
        + Neighbours
        + Approvals
        + Actions
        + Notices
        + Audit
        + Upkeep
        + ControlStore
        + 'static,
{
    let store = Arc::new(store);
    Database {
        store: Arc::<S>::clone(&store),
        registry: Arc::<S>::clone(&store),
        balances: Arc::<S>::clone(&store),
        neighbours: Arc::<S>::clone(&store),
        approvals: Arc::<S>::clone(&store),
        actions: Arc::<S>::clone(&store),
        notices: Arc::<S>::clone(&store),
        audit: Arc::<S>::clone(&store),
        upkeep: Arc::<S>::clone(&store),
        controls: store,
    }
}
