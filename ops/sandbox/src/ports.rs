//! Where the world comes in: the clock and fresh ids. Everything else is told.

use std::time::SystemTime;

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// The time, in whole milliseconds, as the bank stamps it on its lines.
#[expect(clippy::disallowed_methods, reason = "this module is the clock port")]
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()).trunc_subsecs(3)
}

/// A fresh, time-ordered id.
#[expect(clippy::disallowed_methods, reason = "this module is the id port")]
pub(crate) fn fresh_id() -> Uuid {
    Uuid::now_v7()
}

/// A fresh id that cannot be guessed from the last one, for access tokens.
#[expect(clippy::disallowed_methods, reason = "this module is the id port")]
pub(crate) fn secret_id() -> Uuid {
    Uuid::new_v4()
}
