//! What a store keeps of balances: the last one of each account, who is reading it, and the reads that banks count.

use std::time::Duration;

use async_trait::async_trait;
use workflows::ids::BankAccountId;
use workflows::money::{Currency, Money};
use workflows::ports::payments::BankId;
use workflows::time::At;

use crate::providers::open_banking::{AccountId, ConsentId};
use crate::store::Trouble;

/// How many reads without the customer a bank has to allow in [`WINDOW`] (RTS (EU) 2018/389 Art. 36(5)(b), AI-10).
pub const UNATTENDED_READS: i64 = 4;

/// In which time they are counted: 24 hours, and a minute more, since a read reaches the bank some time after it was
/// granted and the bank counts by its own clock.
pub const WINDOW: Duration = Duration::from_mins(24 * 60 + 1);

/// Balances and the right to read them. Each method is one transaction.
#[async_trait]
pub trait BalanceStore: Send + Sync {
    /// What is known of an account.
    async fn balance(&self, of: &Holding) -> Result<Cached, Trouble>;

    /// Asks for the right to one call to the bank. Of all processes one reads an account at a time, and reads without
    /// the customer are counted in the transaction that grants them. An attended read may ask
    /// again for its next attempt; an unattended one has a single attempt.
    async fn begin_read(&self, of: &Holding, read: &Read, now: At) -> Result<Begun, Trouble>;

    /// The end of a read that was granted, with what it brought. A balance is stored even when somebody else holds the
    /// right by now, unless theirs is newer.
    async fn end_read(&self, of: &Holding, id: ReadId, end: End) -> Result<(), Trouble>;
}

/// A bank account as it is read: ours, and under which names its bank knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holding {
    /// Our id.
    pub id: BankAccountId,
    /// Its bank.
    pub bank: BankId,
    /// Its id at the provider.
    pub account: AccountId,
    /// The consent that it is read under.
    pub consent: ConsentId,
    /// Its currency.
    pub currency: Currency,
}

/// What is known of an account's balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cached {
    /// The last one that the bank told.
    pub entry: Option<Entry>,
    /// Before when the bank wants no further read.
    pub bounds: Bounds,
}

/// Until when a bank wants no read of an account, by whom it concerns. Of each the latest holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Every read.
    pub everybody: Option<At>,
    /// Reads without the customer, for longer.
    pub unattended: Option<At>,
}

impl Bounds {
    /// With one limit more.
    #[must_use]
    pub fn with(mut self, limit: Limit) -> Self {
        let bound = match limit.whom {
            Limited::Everybody => &mut self.everybody,
            Limited::Unattended => &mut self.unattended,
        };
        *bound = (*bound).max(Some(limit.until));
        self.unattended = self.unattended.filter(|until| self.everybody < Some(*until));
        self
    }

    /// Until when a reader is kept out, at `now`.
    pub fn keep_out(&self, reader: Attendance, now: At) -> Option<At> {
        let until = match reader {
            Attendance::Attended => self.everybody,
            Attendance::Unattended => self.everybody.max(self.unattended),
        };
        until.filter(|until| now < *until)
    }
}

/// A balance as a bank told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How much.
    pub amount: Money,
    /// When the bank was asked: it is no older than that.
    pub synced_at: At,
}

/// A bank's wish to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Until when.
    pub until: At,
    /// Whom it concerns.
    pub whom: Limited,
}

/// Whom a limit concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Reads without the customer: their day's number is used up.
    Unattended,
    /// Every read.
    Everybody,
}

/// Names one read in all its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadId(pub u128);

/// Who wants to read, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which read.
    pub id: ReadId,
    /// Whether the customer is there.
    pub attendance: Attendance,
    /// A balance that was asked for at this time or later makes the read unnecessary.
    pub fresh_from: At,
    /// When the right lapses if its holder falls silent.
    pub lease_until: At,
}

/// Whether the customer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attendance {
    /// They asked for it, from their own device. Such reads are not counted.
    Attended,
    /// A program asks.
    Unattended,
}

/// The answer to somebody who wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Theirs is the one call.
    Granted,
    /// Somebody has just read it.
    Fresh(Entry),
    /// Somebody reads it, and has lost the right to by then.
    Underway(At),
    /// The bank wants to be left alone until then.
    Limited(At),
    /// The reads without the customer are used up until then.
    Spent(At),
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The bank told it.
    Told(Entry),
    /// The bank wants to be left alone.
    Limited(Limit),
    /// It never left, so that the bank cannot have counted it.
    Unsent,
    /// It left and brought nothing.
    Nothing,
}
