//! Who changed a control, and why.

use serde::{Deserialize, Serialize};
use workflows::time::At;

/// What an operator's change carries; stored with it (rest-api §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Who: the subject of their token.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// When the change ends by itself; `None` = when somebody ends it.
    pub expires_at: Option<At>,
}

impl Cause {
    /// Whether the change is still in force.
    pub fn holds_at(&self, now: At) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
