//! The payments port: initiate, ask, find, cancel.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::accounts::{Bban, Bic, Iban};
use crate::ids::EndToEndId;
use crate::money::Money;
use crate::text::Private;

/// A question about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentsCall {
    /// Create a payment at the provider.
    Initiate(Box<Initiation>),
    /// Where a payment stands that the provider gave an id to.
    Status {
        /// The bank, for the lane and the error text.
        bank: BankId,
        /// The provider's id.
        payment: ProviderPaymentId,
    },
    /// Which payments carry our end-to-end id.
    Locate {
        /// The bank.
        bank: BankId,
        /// Ours, the same for every attempt.
        end_to_end: EndToEndId,
    },
    /// Cancel a payment that is not under execution.
    Cancel {
        /// The bank.
        bank: BankId,
        /// The provider's id.
        payment: ProviderPaymentId,
    },
    /// Whether the provider accepts payments at all.
    Probe {
        /// The bank.
        bank: BankId,
    },
}

/// Everything that a payment initiation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiation {
    /// The key that makes a repetition safe, where the provider honours one; the same on every attempt.
    pub replay_key: Option<ReplayKey>,
    /// Which rail.
    pub product: Product,
    /// The payer's bank.
    pub bank: BankId,
    /// The consent at the provider under which the payment is made, if there is one.
    pub consent: Option<String>,
    /// Where the bank sends the payer's browser afterwards.
    pub redirect_uri: String,
    /// The payer's address; its absence tells the bank that nobody is present.
    pub psu_ip: Option<IpAddr>,
    /// The payer's account.
    pub debtor: Iban,
    /// What the bank moves, the fee not included.
    pub amount: Money,
    /// The payee's name.
    pub creditor_name: Private,
    /// The payee's account.
    pub creditor: CreditorAccount,
    /// The payee's bank, where the account alone does not say it.
    pub creditor_agent: Option<Bic>,
    /// Found on the statement and by [`PaymentsCall::Locate`].
    pub end_to_end: EndToEndId,
    /// Free text to the payee.
    pub remittance_information: Private,
}

/// A payee's account as the payment order names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditorAccount {
    /// By IBAN.
    Iban(Iban),
    /// By national number, in countries without IBAN.
    Bban(Bban),
}

/// The rail that the order asks for; the provider profile knows its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// NOK within Norway.
    Domestic,
    /// Abroad.
    CreditTransfer,
}

/// A bank's id at the aggregator, such as `dnb`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BankId(pub String);

impl fmt::Display for BankId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A payment's id at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderPaymentId(pub String);

impl fmt::Display for ProviderPaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UUID that names one payment intent for ever, in the form the provider wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayKey(String);

impl ReplayKey {
    /// The key of these 128 bits, which are a UUID's.
    pub fn of(bits: u128) -> Self {
        let hex = format!("{bits:032x}");
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        ReplayKey(parts.join("-"))
    }

    /// In the usual hyphenated form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A definite answer about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentsReply {
    /// The payment stands at the provider.
    Created {
        /// Its id there.
        payment: ProviderPaymentId,
        /// Where it stands.
        status: TransactionStatus,
        /// Where the payer approves it, when the bank wants a redirect.
        sca: Option<String>,
    },
    /// Where a payment stands.
    Standing {
        /// The code.
        status: TransactionStatus,
        /// The provider's reason, which comes with a rejection.
        reason: Option<String>,
    },
    /// The payments that carry our end-to-end id; none is an answer too.
    Found(Vec<FoundPayment>),
    /// The cancellation is done.
    Cancelled,
    /// The provider is there.
    Ready,
}

/// One payment found by its end-to-end id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPayment {
    /// Its id at the provider.
    pub payment: ProviderPaymentId,
    /// Where it stands.
    pub status: TransactionStatus,
}

/// ISO 20022 / Berlin Group `transactionStatus` (domain contracts §2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TransactionStatus {
    /// Received.
    Rcvd,
    /// More checks are pending.
    Pdng,
    /// Not authorised yet (Neonomics).
    Naut,
    /// Some of several authorisations are done.
    Patc,
    /// Authenticated, technically valid.
    Actc,
    /// Customer profile checked. Not a completion, whatever the seeds say.
    Accp,
    /// Funds checked.
    Acfc,
    /// Accepted with a change.
    Acwc,
    /// Accepted for execution.
    Acsp,
    /// Accepted, not posted to the creditor.
    Acwp,
    /// On hold at the bank (Neonomics).
    Prsy,
    /// Settled at the debtor's bank.
    Acsc,
    /// Settled at the creditor's bank.
    Accc,
    /// Rejected.
    Rjct,
    /// Cancelled before execution.
    Canc,
    /// A code that we do not know: never success, never failure.
    Unrecognised(String),
}

/// What a status proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The payer can still approve it; it can still be cancelled.
    Pending,
    /// Past the point of no return, outcome open. Codes we do not know count here.
    Underway,
    /// Money moved.
    Executed,
    /// Proof that it will not happen.
    Rejected,
    /// Proof that it was taken back.
    Cancelled,
}

impl TransactionStatus {
    /// The code as it stands in the contract.
    pub fn code(&self) -> &str {
        match self {
            TransactionStatus::Rcvd => "RCVD",
            TransactionStatus::Pdng => "PDNG",
            TransactionStatus::Naut => "NAUT",
            TransactionStatus::Patc => "PATC",
            TransactionStatus::Actc => "ACTC",
            TransactionStatus::Accp => "ACCP",
            TransactionStatus::Acfc => "ACFC",
            TransactionStatus::Acwc => "ACWC",
            TransactionStatus::Acsp => "ACSP",
            TransactionStatus::Acwp => "ACWP",
            TransactionStatus::Prsy => "PRSY",
            TransactionStatus::Acsc => "ACSC",
            TransactionStatus::Accc => "ACCC",
            TransactionStatus::Rjct => "RJCT",
            TransactionStatus::Canc => "CANC",
            TransactionStatus::Unrecognised(code) => code,
        }
    }

    /// What it proves.
    pub fn standing(&self) -> Standing {
        match self {
            TransactionStatus::Accp if crate::planted::is("accepted is done") => Standing::Executed,
            TransactionStatus::Rcvd
            | TransactionStatus::Pdng
            | TransactionStatus::Naut
            | TransactionStatus::Patc => Standing::Pending,
            TransactionStatus::Actc
            | TransactionStatus::Accp
            | TransactionStatus::Acfc
            | TransactionStatus::Acwc
            | TransactionStatus::Acsp
            | TransactionStatus::Acwp
            | TransactionStatus::Prsy
            | TransactionStatus::Unrecognised(_) => Standing::Underway,
            TransactionStatus::Acsc | TransactionStatus::Accc => Standing::Executed,
            TransactionStatus::Rjct => Standing::Rejected,
            TransactionStatus::Canc => Standing::Cancelled,
        }
    }
}

impl From<String> for TransactionStatus {
    fn from(code: String) -> Self {
        match code.as_str() {
            "RCVD" => TransactionStatus::Rcvd,
            "PDNG" => TransactionStatus::Pdng,
            "NAUT" => TransactionStatus::Naut,
            "PATC" => TransactionStatus::Patc,
            "ACTC" => TransactionStatus::Actc,
            "ACCP" => TransactionStatus::Accp,
            "ACFC" => TransactionStatus::Acfc,
            "ACWC" => TransactionStatus::Acwc,
            "ACSP" => TransactionStatus::Acsp,
            "ACWP" => TransactionStatus::Acwp,
            "PRSY" => TransactionStatus::Prsy,
            "ACSC" => TransactionStatus::Acsc,
            "ACCC" => TransactionStatus::Accc,
            "RJCT" => TransactionStatus::Rjct,
            "CANC" => TransactionStatus::Canc,
            _ => TransactionStatus::Unrecognised(code),
        }
    }
}

impl From<TransactionStatus> for String {
    fn from(status: TransactionStatus) -> Self {
        status.code().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settlement_completes_and_only_a_no_from_the_bank_fails() {
        let table = [
            ("RCVD PDNG NAUT PATC", Standing::Pending),
            ("ACTC ACCP ACFC ACWC ACSP ACWP PRSY PART XYZ", Standing::Underway),
            ("ACSC ACCC", Standing::Executed),
            ("RJCT", Standing::Rejected),
            ("CANC", Standing::Cancelled),
        ];
        for (codes, standing) in table {
            for code in codes.split(' ') {
                let status = TransactionStatus::from(code.to_owned());
                assert_eq!(status.standing(), standing, "{code}");
                assert_eq!(status.code(), code);
            }
        }
    }
}
