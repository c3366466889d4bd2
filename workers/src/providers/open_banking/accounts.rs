//! What is said about accounts and consents, beside payments.

use std::net::IpAddr;

use chrono::NaiveDate;
use workflows::accounts::Iban;
use workflows::money::{Currency, Money};
use workflows::ports::payments::BankId;
use workflows::time::At;

/// An account's id at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub String);

/// A consent's id at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsentId(pub String);

/// What a consent is asked for. It is recurring, with the four unattended reads a day that RTS (EU) 2018/389
/// Art. 36(5)(b) allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRequest {
    /// Whose accounts.
    pub bank: BankId,
    /// Which account; all of the customer's when absent.
    pub account: Option<AccountId>,
    /// The last day we want it for; the bank may shorten it.
    pub valid_until: NaiveDate,
    /// Where the bank sends the customer's browser afterwards.
    pub redirect_uri: String,
    /// The customer's address.
    pub psu_ip: Option<IpAddr>,
}

/// A consent that was asked for and waits for the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedConsent {
    /// Its id at the provider.
    pub id: ConsentId,
    /// Where it stands.
    pub status: ConsentStatus,
    /// Where the customer approves it.
    pub sca: Option<String>,
}

/// A consent as the bank has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Where it stands.
    pub status: ConsentStatus,
    /// Its last day, if the bank says so.
    pub valid_until: Option<NaiveDate>,
    /// What it covers; empty unless it is valid.
    pub accounts: Vec<ConsentedAccount>,
}

/// An account that a consent covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentedAccount {
    /// Its id at the provider.
    pub id: AccountId,
    /// Its number.
    pub iban: Iban,
    /// Its currency.
    pub currency: Currency,
}

/// Where a consent stands (domain contracts §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentStatus {
    /// Asked for.
    Received,
    /// Some of several approvals are there.
    PartiallyAuthorised,
    /// In force.
    Valid,
    /// The customer or the bank said no.
    Rejected,
    /// The customer took it back at the bank.
    RevokedByPsu,
    /// Its time is over.
    Expired,
    /// We ended it.
    TerminatedByTpp,
    /// A word that we do not know: neither in force nor at its end.
    Unrecognised,
}

/// One balance of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which balance, in the bank's word, such as `expected`.
    pub kind: String,
    /// How much.
    pub amount: Money,
    /// As of when, if the bank says so.
    pub changed_at: Option<At>,
}

/// A bank behind the aggregator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    /// Its id.
    pub id: BankId,
    /// Its name for people.
    pub name: String,
    /// ISO 3166 alpha-2.
    pub country: String,
    /// How it is.
    pub status: Availability,
    /// When the aggregator last looked.
    pub last_checked: Option<At>,
}

/// How a bank is, by the aggregator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Works.
    Online,
    /// Works, and may not.
    Degraded,
    /// Does not work.
    Offline,
    /// A word that we do not know.
    Unrecognised,
}
