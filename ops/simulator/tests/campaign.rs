//! A life's worth of payments in every test run.

use std::io::Write;

use simulator::campaign::{Args, Kept, run};

/// 2,000 worlds of 50 orders are 100,000 workflows.
const ARGS: Args =
    Args { seed: 1, worlds: 2_000, from: 0, workflows_per_world: 50, store: Kept::Memory, json: false };

#[test]
fn a_hundred_thousand_payments_meet_fifty_thousand_faults_and_none_is_harmed() {
    let report = run(ARGS);
    // Past the capture of a passing test: the figures belong in every run's log.
    writeln!(std::io::stderr(), "{report}").expect("it is told");
    assert!(report.failed.is_none());
    assert!(report.workflows >= 100_000 && report.all_faults() >= 50_000);
}
