//! The immutable part of an order that a payment is made from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ports::payments::Initiation;
use crate::time::At;

/// What is to be paid, and under which rules. Copied into the order at acceptance, so that neither a deployment nor a
/// changed setting alters a payment that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Everything that the initiation says.
    pub initiation: Initiation,
    /// When the order was accepted: the key was not used before.
    pub accepted_at: At,
    /// The rules.
    pub terms: Terms,
}

/// The provider's capabilities and our patience, as they were when the order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How long the payer has to approve (300 s; Drop's policy, X-85).
    pub sca_timeout: Duration,
    /// The first wait before asking for the status.
    pub poll_first: Duration,
    /// The longest wait between two questions.
    pub poll_most: Duration,
    /// The first wait before repeating an attempt.
    pub retry_base: Duration,
    /// How long one attempt may take: a process that stood still may have it on the wire for so long.
    pub attempt: Duration,
    /// How long after an unknown initiation the bank's "I know of none" starts to count.
    pub visibility_lag: Duration,
    /// How many such answers must agree.
    pub agreeing_reads: u8,
    /// How long the provider honours the replay key; `None` = it promises nothing.
    pub replay: Option<Duration>,
    /// Whether the provider can be asked by end-to-end id.
    pub lookup: bool,
    /// Whether a queued payment is sent without the payer being asked again.
    pub auto_start: bool,
    /// How long a queued payment waits for its payer.
    pub user_deadline: Duration,
    /// After how long an operator should look.
    pub overdue: Duration,
}
