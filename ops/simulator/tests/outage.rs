//! Hours without the provider, small enough for every test run.

use std::io::Write;
use std::time::Duration;

use simulator::outage::report::MOST_MEMORY;
use simulator::outage::{Args, run};

/// Of a hundred of the calls allowed. So short a queue is empty soon after it reached its rate, which a whole day's keeps
/// for hours: there it is `LEAST_USED`.
const USED: f64 = 70.0;

#[test]
fn what_hours_without_the_provider_left_waiting_is_drained_at_its_rate_and_never_above_it() {
    let (away, stage) = (Duration::from_hours(4), Duration::from_secs(10));
    let report = run(Args { seed: 1, parked: 1_000, away, stage }).expect("there is room");
    // Past the capture of a passing test: the figures belong in every run's log.
    writeln!(std::io::stderr(), "{report}").expect("it is told");
    assert_eq!(report.breaches, []);
    assert!(report.most_parked >= 1_000, "{} waited", report.most_parked);
    assert_eq!((report.left_over, report.ends.sent_expired), (0, 0));
    assert!(report.ends.expired > 20, "{} ran out", report.ends.expired);
    assert!(report.most_in_a_second <= 50 && report.most_at_once <= 10);
    assert!(report.drain.used_after_ramp >= USED);
    assert!(report.memory.is_some_and(|bytes| bytes < MOST_MEMORY));
}
