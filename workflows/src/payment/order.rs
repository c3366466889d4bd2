//! The immutable part of an order that a payment is made from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{BankAccountId, UserId};
use crate::ports::payments::Initiation;
use crate::ports::prices::Price;
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
    /// The price that was promised, where it is one that may run out while the payment waits.
    #[serde(default)]
    pub price: Option<Price>,
    /// How a new consent is asked for, should the bank want one.
    #[serde(default)]
    pub access: Option<Access>,
}

/// What a new consent is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Whose account.
    pub user: UserId,
    /// Which one.
    pub account: BankAccountId,
    /// Its id at the provider.
    pub provider_account: Option<String>,
    /// Where the bank sends the customer's browser after the approval of a consent.
    pub redirect_uri: String,
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
    /// How long a queued payment waits for its payer, and a new consent for its approval.
    pub user_deadline: Duration,
    /// After how long an operator should look.
    pub overdue: Duration,
    /// Within what a queued payment was promised to be processed (PI-39, X-48: 2 h).
    #[serde(default = "two_hours")]
    pub sla: Duration,
    /// After how long in the queue a payment is no longer wanted and is not sent any more.
    #[serde(default = "two_days")]
    pub queue_expiry: Duration,
}

impl Terms {
    /// When an operator is warned that a promise is about to be broken: at three quarters of its time.
    pub fn sla_warning(&self) -> Duration {
        self.sla * 3 / 4
    }
}

fn two_hours() -> Duration {
    Duration::from_hours(2)
}

fn two_days() -> Duration {
    Duration::from_hours(48)
}
