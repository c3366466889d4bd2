//! What a transition wants somebody to be told.

use serde::{Deserialize, Serialize};

/// A row of the outbox: written in the transaction of the transition that caused it, delivered afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who is told.
    pub to: Audience,
    /// Which message: a name that templates are keyed by, such as `payment.completed`.
    pub about: String,
}

impl Message {
    /// A message to the person who started the workflow.
    pub fn owner(about: &str) -> Self {
        Message { to: Audience::Owner, about: about.to_owned() }
    }
}

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The person who started the workflow.
    Owner,
    /// Whoever is on call.
    Operator,
}
