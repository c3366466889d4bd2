//! The same seed is the same run: in this process, in another one, and over a database.

use std::process::Command;

use simulator::campaign::{Args, Kept, Report, run};
use simulator::files::NoRoom;

const ARGS: Args =
    Args { seed: 3, worlds: 12, from: 0, workflows_per_world: 40, store: Kept::Memory, json: false };

/// Set where the digest is to be printed for whoever started this process.
const TELL: &str = "SLUSE_SIMULATION_DIGEST";

#[test]
fn the_same_seed_makes_the_same_run_in_every_process() {
    let report = clean(ARGS).unwrap();
    if std::env::var_os(TELL).is_some() {
        println!("digest={}", report.digest);
        return;
    }
    assert_eq!(report.digest, clean(ARGS).unwrap().digest);
    let another = Command::new(std::env::current_exe().unwrap())
        .args(["the_same_seed_makes_the_same_run_in_every_process", "--exact", "--nocapture"])
        .env(TELL, "1")
        .output()
        .unwrap();
    let told = String::from_utf8(another.stdout).unwrap();
    assert!(told.contains(&format!("digest={}", report.digest)), "{told}");
}

#[test]
fn another_seed_makes_another_run() {
    let few = Args { worlds: 1, ..ARGS };
    assert_ne!(clean(few).unwrap().digest, clean(Args { seed: 4, ..few }).unwrap().digest);
}

#[test]
fn a_database_makes_the_same_run_twice() {
    let over_files = Args { worlds: 2, workflows_per_world: 12, store: Kept::Sqlite, ..ARGS };
    assert_eq!(clean(over_files).unwrap().digest, clean(over_files).unwrap().digest);
}

fn clean(args: Args) -> Result<Report, NoRoom> {
    let report = run(args)?;
    assert!(report.failed.is_none(), "{report}");
    Ok(report)
}
