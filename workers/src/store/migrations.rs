//! The files in `/migrations`, compiled in; its README says how they are written.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};

use super::open::{Migrations, OpenError};
use super::statement::Dialect;

/// A migration of both databases: version, name, the twins.
type Twins = (i64, &'static str, &'static str, &'static str);

macro_rules! twins {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$((
            $version,
            $name,
            include_str!(concat!("../../../migrations/", $name, ".sqlite.sql")),
            include_str!(concat!("../../../migrations/", $name, ".postgres.sql")),
        )),+]
    };
}

const ALL: &[Twins] = twins![
    1 "0001_engine",
    2 "0002_registry",
    3 "0003_controls",
    4 "0004_limits",
    5 "0005_references",
    6 "0006_balances",
    7 "0007_approvals",
    8 "0008_live",
    9 "0009_bounds",
    10 "0010_operators",
];

/// Applies what is missing, or refuses when something is. Migrations that this process does not know are a newer
/// process' business and suit this one as well (expand, then contract).
pub(super) async fn bring_up<C: Migrate + Send>(
    connection: &mut C,
    dialect: Dialect,
    migrations: Migrations,
) -> Result<(), OpenError> {
    let mut migrator = Migrator::with_migrations(ALL.iter().map(|twins| migration(twins, dialect)).collect());
    migrator.set_ignore_missing(true);
    match migrations {
        Migrations::Apply => migrator.run_direct(None, connection, false).await.map_err(OpenError::Migrate),
        Migrations::Require => {
            // A database without a table of migrations has applied none.
            let applied = connection.list_applied_migrations(&migrator.table_name).await.unwrap_or_default();
            let is_applied = |version| applied.iter().any(|applied| applied.version == version);
            match migrator.iter().find(|migration| !is_applied(migration.version)) {
                None => Ok(()),
                Some(pending) => Err(OpenError::Pending { name: pending.description.to_string() }),
            }
        }
    }
}

fn migration(&(version, name, sqlite, postgres): &Twins, dialect: Dialect) -> Migration {
    let sql = match dialect {
        Dialect::Sqlite => sqlite,
        Dialect::Postgres => postgres,
    };
    Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
}
