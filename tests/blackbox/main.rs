//! The product as its users, its bank and its operators meet it: real processes, real HTTP on loopback, both databases.
//!
//! Nothing that the service says about itself decides whether a test passes: the bank's ledger and what the clients
//! were told do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the helpers around the tests are tests too, and figures are printed"
)]

mod api;
mod balances;
mod bank;
mod client;
mod dev;
mod idle;
mod outage;
mod patience;
mod process;
mod service;
mod stop;
mod tokens;
mod unknown;
mod watch;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "the store suite kills the server")]
mod postgres;

/// Registers cases for SQLite and for PostgreSQL. A case is an async function that takes a database kind.
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* $case:ident;)+) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn $case() {
                    $crate::patience::bounded(super::$case($crate::service::Kind::Sqlite)).await;
                }
            )+
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn $case() {
                    $crate::patience::bounded(super::$case($crate::service::Kind::Postgres)).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_databases;
