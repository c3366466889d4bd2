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
mod bank;
mod client;
mod crash;
mod dev;
mod idle;
mod patience;
mod process;
mod service;
mod tokens;
mod unknown;
mod watch;

#[path = "../support/chance.rs"]
#[expect(dead_code, reason = "the store suite uses the rest")]
mod chance;
#[path = "../support/postgres.rs"]
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
