//! The banks behind the aggregator: who they are, and how each one behaves.
//!
//! How a bank treats a repeated request, a lookup or an execution is its *class* (A to G). A class is a preset of
//! [`Conduct`]; every part of it can be set alone.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::iban::Iban;

/// A bank's id in the contract, as in `"dnb"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BankId(pub String);

/// One bank: its entry in `GET /banks` and its conduct.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bank {
    /// Its id.
    pub id: BankId,
    /// Its name for people.
    pub name: String,
    /// ISO 3166 country.
    pub country: String,
    /// What it says of itself; `offline` answers 503 to its own operations only.
    pub status: Availability,
    /// How it behaves.
    #[serde(flatten)]
    pub conduct: Conduct,
}

/// Whether a bank can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Works.
    Online,
    /// Works, and says that it may not.
    Degraded,
    /// 503 for its operations.
    Offline,
}

/// Capability class: what a client can rely on after an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// The request key is honoured for ever.
    A,
    /// The key is forgotten after a window (24 h).
    B,
    /// No key; a payment can be looked up by end-to-end id after a lag.
    C,
    /// No key and no lookup.
    D,
    /// An approved payment stays pending, then flips to rejected or executed.
    E,
    /// Creates and executes late, although the caller has timed out.
    F,
    /// Tells by webhook only, duplicated and reordered.
    G,
}

/// How a bank behaves. All times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conduct {
    /// The preset it started from.
    pub class: Class,
    /// How long it remembers `X-Request-ID` of a payment.
    pub key_memory: KeyMemory,
    /// Whether `GET /v1/payments?endToEndIdentification=` works.
    pub lookup: bool,
    /// Whether `GET /v1/payments/{id}/status` works.
    pub status_query: bool,
    /// How long a payment stays hidden from the lookup.
    pub visibility_lag_ms: u64,
    /// From approval to execution.
    pub execution_delay_ms: u64,
    /// What becomes of an approved payment.
    pub outcome: Outcome,
    /// The status it ends with when executed.
    pub settle_with: SettleWith,
    /// From receiving a payment request to creating the payment.
    pub late_create_ms: u64,
    /// How long a person may take to approve before the bank rejects.
    pub sca_timeout_ms: u64,
    /// How its webhooks travel; unset follows the general setting.
    pub webhooks: Option<Delivery>,
}

/// How long a request key is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyMemory {
    /// For ever.
    Forever,
    /// For so many milliseconds after the payment was received.
    WindowMs(u64),
    /// Not at all.
    None,
}

/// What becomes of an approved payment when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The money moves, if it is there.
    Executed,
    /// RJCT after it was accepted.
    Rejected,
}

/// The last status of an executed payment. Some banks stop at ACSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SettleWith {
    /// Settled at the debtor's bank.
    Acsc,
    /// Settled at the creditor's bank.
    Accc,
    /// Accepted; settlement is never reported.
    Acsp,
}

/// How webhooks travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Once, in order.
    Normal,
    /// Never.
    Lost,
    /// Twice each.
    Duplicated,
    /// Held back and sent last first.
    Reordered,
    /// Both.
    DuplicatedReordered,
}

/// What an operator changes about a bank. Absent fields stay; a class sets its whole preset first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BankChange {
    name: Option<String>,
    country: Option<String>,
    status: Option<Availability>,
    class: Option<Class>,
    key_memory: Option<KeyMemory>,
    lookup: Option<bool>,
    status_query: Option<bool>,
    visibility_lag_ms: Option<u64>,
    execution_delay_ms: Option<u64>,
    outcome: Option<Outcome>,
    settle_with: Option<SettleWith>,
    late_create_ms: Option<u64>,
    sca_timeout_ms: Option<u64>,
    webhooks: Option<Delivery>,
}

struct Entry {
    id: &'static str,
    name: &'static str,
    codes: &'static [RangeInclusive<u16>],
}

/// The banks at the start, with the account-number ranges (first four digits) that are theirs.
const DIRECTORY: [Entry; 3] = [
    Entry { id: "dnb", name: "DNB", codes: &[1200..=1299, 1500..=1699, 5000..=5499, 7000..=7199] },
    Entry { id: "nordea", name: "Nordea", codes: &[6000..=6699] },
    Entry { id: "sparebank1-smn", name: "SpareBank 1 SMN", codes: &[4200..=4499] },
];

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const SCA_TIMEOUT_MS: u64 = 30 * 60 * 1000;

/// The banks as they are before anybody changed them: class A, online.
pub(crate) fn directory() -> impl Iterator<Item = Bank> {
    DIRECTORY.iter().map(|entry| Bank::named(BankId(entry.id.to_owned()), entry.name.to_owned()))
}

/// The bank an IBAN's Norwegian bank code points to; DNB where the code is nobody's or the IBAN is foreign.
pub(crate) fn bank_of(iban: &Iban) -> BankId {
    let code = iban.norwegian_bank_code();
    let owner = DIRECTORY
        .iter()
        .find(|entry| code.is_some_and(|code| entry.codes.iter().any(|range| range.contains(&code))));
    BankId(owner.map_or("dnb", |entry| entry.id).to_owned())
}

impl Bank {
    /// A Norwegian bank of class A.
    pub(crate) fn named(id: BankId, name: String) -> Self {
        Self { id, name, country: "NO".to_owned(), status: Availability::Online, conduct: Class::A.conduct() }
    }

    /// The bank after an operator's change.
    pub(crate) fn changed(&self, change: BankChange) -> Self {
        let preset = change.class.map_or_else(|| self.conduct.clone(), Class::conduct);
        Self {
            id: self.id.clone(),
            name: change.name.unwrap_or_else(|| self.name.clone()),
            country: change.country.unwrap_or_else(|| self.country.clone()),
            status: change.status.unwrap_or(self.status),
            conduct: Conduct {
                class: preset.class,
                key_memory: change.key_memory.unwrap_or(preset.key_memory),
                lookup: change.lookup.unwrap_or(preset.lookup),
                status_query: change.status_query.unwrap_or(preset.status_query),
                visibility_lag_ms: change.visibility_lag_ms.unwrap_or(preset.visibility_lag_ms),
                execution_delay_ms: change.execution_delay_ms.unwrap_or(preset.execution_delay_ms),
                outcome: change.outcome.unwrap_or(preset.outcome),
                settle_with: change.settle_with.unwrap_or(preset.settle_with),
                late_create_ms: change.late_create_ms.unwrap_or(preset.late_create_ms),
                sca_timeout_ms: change.sca_timeout_ms.unwrap_or(preset.sca_timeout_ms),
                webhooks: change.webhooks.or(preset.webhooks),
            },
        }
    }
}

impl Class {
    /// The preset of the class.
    pub fn conduct(self) -> Conduct {
        let plain = Conduct {
            class: self,
            key_memory: KeyMemory::Forever,
            lookup: true,
            status_query: true,
            visibility_lag_ms: 0,
            execution_delay_ms: 0,
            outcome: Outcome::Executed,
            settle_with: SettleWith::Acsc,
            late_create_ms: 0,
            sca_timeout_ms: SCA_TIMEOUT_MS,
            webhooks: None,
        };
        match self {
            Self::A => plain,
            Self::B => Conduct { key_memory: KeyMemory::WindowMs(DAY_MS), ..plain },
            Self::C => Conduct { key_memory: KeyMemory::None, visibility_lag_ms: 2_000, ..plain },
            Self::D => Conduct { key_memory: KeyMemory::None, lookup: false, ..plain },
            Self::E => Conduct { execution_delay_ms: 5_000, ..plain },
            Self::F => Conduct { late_create_ms: 3_000, execution_delay_ms: 3_000, ..plain },
            Self::G => Conduct {
                lookup: false,
                status_query: false,
                webhooks: Some(Delivery::DuplicatedReordered),
                ..plain
            },
        }
    }
}

impl KeyMemory {
    /// Whether a key that came with a payment received at `received` still counts.
    pub(crate) fn remembers(self, received: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        match self {
            Self::Forever => true,
            Self::WindowMs(window) => now < later(received, window),
            Self::None => false,
        }
    }
}

/// `at` plus so many milliseconds, a century at most.
pub(crate) fn later(at: DateTime<Utc>, millis: u64) -> DateTime<Utc> {
    const CENTURY_MS: u64 = 100 * 365 * DAY_MS;
    at + Duration::from_millis(millis.min(CENTURY_MS))
}
