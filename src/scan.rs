//! `sluse scan`: whether anything is stored that cannot be. It only looks; the scanner of a working process mends.

use std::sync::Arc;

use secrecy::ExposeSecret;
use workers::controls::Controls;
use workers::ports::SystemIds;
use workers::scanner::{Conduct, Findings, Scanner, Violation, Waits};
use workers::store::{self, Migrations, OpenError, Options, Purpose, Trouble};

use crate::config::Config;
use crate::service;

/// What to look at, and how to tell it.
#[derive(clap::Args)]
pub struct Args {
    /// Verify every history too, row by row.
    #[arg(long)]
    chains: bool,
    /// Tell it as JSON.
    #[arg(long)]
    json: bool,
}

/// Why a scan did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// No database.
    #[error("could not open the database")]
    Open(#[from] OpenError),
    /// The database, after it was opened.
    #[error("the database does not answer")]
    Ask(#[from] Trouble),
    /// It was looked at, and something is wrong; what was printed says what.
    #[error("{0} things are stored that cannot be")]
    Found(usize),
}

/// Looks at everything and prints what it found. A service may be running.
///
/// # Errors
/// [`ScanError`], among others when something is wrong.
pub async fn run(args: &Args, config: &Config) -> Result<(), ScanError> {
    let options = Options { migrations: Migrations::Require, purpose: Purpose::Visit, ..Options::default() };
    let database = store::open(config.database_url.expose_secret(), &options).await?;
    let (store, audit) = (Arc::clone(&database.store), Arc::clone(&database.audit));
    let rows = Arc::clone(&database.controls);
    let controls = Controls::open(rows, store.clock(), &SystemIds, config.controls.clone()).await?;
    let (book, lease) = (service::book(config), config.workers.lease);
    let scanner = Scanner::new(store, audit, book, lease, Conduct::Looks, Waits::of(controls));
    let found = scanner.sweep(args.chains).await;
    database.upkeep.close().await;
    let findings = found?;
    println!("{}", if args.json { serde_json::json!(findings).to_string() } else { in_words(&findings) });
    match Violation::ALL.into_iter().map(|violation| findings.count(violation)).sum() {
        0 => Ok(()),
        found => Err(ScanError::Found(found)),
    }
}

fn in_words(findings: &Findings) -> String {
    let live = findings.live.iter().map(|(status, count)| format!("live and {status}: {count}"));
    let stopped = format!("waiting for an operator: {}", findings.stopped);
    let broken = Violation::ALL.into_iter().flat_map(|violation| {
        let places = findings.violations.get(&violation).into_iter().flatten();
        let count = format!("{}: {}", violation.word(), findings.count(violation));
        std::iter::once(count).chain(places.map(|place| format!("  {place}")))
    });
    live.chain([stopped]).chain(broken).collect::<Vec<_>>().join("\n")
}
