//! The first thing that anybody tries: `sluse dev --once`.

use std::time::Duration;

use crate::process;

#[test]
fn the_demonstration_shows_a_remittance_and_the_ledger_that_proves_it() {
    let directory = tempfile::tempdir().unwrap();
    // Other tests may run at the usual ports; the demonstration takes free ones then.
    let (status, said) = process::run(&["dev", "--once"], &[], directory.path(), Duration::from_mins(1));
    assert_eq!(status.code(), Some(0), "{said}");
    for expected in ["awaiting_sca", "completed", "ms", "executed"] {
        assert!(said.contains(expected), "{expected:?} is not shown:\n{said}");
    }
    // The proof is the bank's: its ledger, left behind, has the money moved once.
    let ledger = std::fs::read_to_string(directory.path().join("data/bank.jsonl")).unwrap();
    assert_eq!(ledger.lines().filter(|line| line.contains(r#""fact":"executed""#)).count(), 1, "{ledger}");
    // And again, on what the first run left behind.
    let (status, said) = process::run(&["dev", "--once"], &[], directory.path(), Duration::from_mins(1));
    assert_eq!(status.code(), Some(0), "{said}");
}
