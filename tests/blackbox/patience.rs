//! Waiting for something to become true, never for time to pass.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long one test may take in all.
const TEST: Duration = Duration::from_secs(150);
/// How long anything may take that should happen soon; generous, since the machine may be busy.
pub const SOON: Duration = Duration::from_secs(20);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(25);

/// Looks until there is something to see; its absence is a failure that says what was missing.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(SOON, what, &mut look).await
}

/// The same with a deadline of its own.
pub async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(LOOK).await;
    }
}

/// Bounds a whole test.
pub async fn bounded(test: impl Future<Output = ()>) {
    timeout(TEST, test).await.expect("the test ends in time");
}
