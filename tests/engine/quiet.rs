//! A process with nothing to do asks its database less than once a second, and notices work all the same.

use std::time::Duration;

use workers::store::open;

use crate::bank::{Bank, Manner};
use crate::world::{USUAL, run, terms};

/// How long nothing happens. Not a wait for something: it is the measure itself.
const QUIET: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_process_asks_sqlite_at_most_once_a_second() {
    let files = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}", files.path().join("sluse.db").display());
    let database = open(&url, &workers::store::Options::default()).await.expect("the database opens");
    let process = run(&database.store, &Bank::new(Manner::Kind), USUAL).await;
    let id = process.start("one", terms(true)).await;
    process
        .engine
        .tell(id, &workflows::payment::Event::CancelAsked { by: workflows::payment::By::User }, "kari", None)
        .await
        .expect("the store answers");
    process.ended(id).await;
    // The writes behind the end are over when the next look finds nothing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = database.upkeep.statements();
    tokio::time::sleep(QUIET).await;
    let asked = database.upkeep.statements() - before;
    assert!((1..=QUIET.as_secs()).contains(&asked), "{asked} statements in {QUIET:?}");
    process.stop().await;
}
