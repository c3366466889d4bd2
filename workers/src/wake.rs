//! When the feeder should look next, as far as this process knows.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;
use workflows::time::At;

/// The earliest due time that was committed here since the feeder last looked.
#[derive(Debug)]
pub(crate) struct Wake {
    due: AtomicI64,
    notify: Notify,
}

impl Wake {
    pub(crate) fn new() -> Self {
        Wake { due: AtomicI64::new(i64::MAX), notify: Notify::new() }
    }

    /// A task is due at `at` and nobody holds it.
    pub(crate) fn due(&self, at: At) {
        if self.due.fetch_min(at.as_micros(), Ordering::AcqRel) > at.as_micros() {
            self.notify.notify_one();
        }
    }

    /// Forgets what was known; called before the store is asked, so that nothing committed meanwhile is missed.
    pub(crate) fn forget(&self) {
        self.due.store(i64::MAX, Ordering::Release);
    }

    /// The earliest due time that is known.
    pub(crate) fn earliest(&self) -> At {
        At::from_micros(self.due.load(Ordering::Acquire))
    }

    /// Waits until something earlier becomes known.
    pub(crate) async fn earlier(&self) {
        self.notify.notified().await;
    }
}
