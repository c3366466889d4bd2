//! A life's worth of payments in every test run.

#![expect(clippy::expect_used, reason = "what a test cannot have, it fails without")]

use std::io::Write;

use simulator::campaign::{Args, Kept, Report, run};
use simulator::faults::Fault;

/// 2,010 worlds of 50 orders are 100,000 workflows, without those whose clients gave up too early.
const ARGS: Args =
    Args { seed: 1, worlds: 2_010, from: 0, workflows_per_world: 50, store: Kept::Memory, json: false };

/// As many worlds over files as fit into half a minute or so.
const OVER_FILES: Args =
    Args { seed: 2, worlds: 60, from: 0, workflows_per_world: 20, store: Kept::Sqlite, json: false };

#[test]
fn a_hundred_thousand_payments_meet_fifty_thousand_faults_and_none_is_harmed() {
    let report = clean(ARGS);
    assert!(report.workflows >= 100_000 && report.all_faults() >= 50_000);
    let absent: Vec<Fault> =
        Fault::ALL.into_iter().filter(|fault| !report.faults.contains_key(fault)).collect();
    assert!(absent.is_empty(), "never struck: {absent:?}");
}

#[test]
fn nor_is_any_over_the_statements_of_production() {
    let report = clean(OVER_FILES);
    assert!(report.workflows >= 1_000 && report.all_faults() >= 1_000);
}

fn clean(args: Args) -> Report {
    let report = run(args).expect("there is room");
    // Past the capture of a passing test: the figures belong in every run's log.
    writeln!(std::io::stderr(), "{report}").expect("it is told");
    assert!(report.failed.is_none());
    report
}
