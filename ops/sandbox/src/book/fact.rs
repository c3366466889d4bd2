//! What can happen at the bank: one fact is one line of the ledger.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    account::Account,
    consent::{Consent, ConsentId, ConsentStatus},
    payment::{Creditor, Due, PaymentId, Received, Status},
};
use crate::{
    banks::{Bank, Delivery},
    iban::Iban,
    money::Money,
};

/// Something that happened, complete enough to rebuild the book from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fact {
    /// A payment exists from here on.
    PaymentReceived(Received),
    /// The same request came again.
    RequestRepeated {
        /// Its payment.
        payment_id: PaymentId,
        /// The order's own id.
        end_to_end_identification: String,
        /// `X-Request-ID`.
        key: Uuid,
        /// SHA-256 of the body as it came, in hex.
        body_sha256: String,
    },
    /// A payment's status.
    StatusChanged {
        /// Its payment.
        payment_id: PaymentId,
        /// The order's own id.
        end_to_end_identification: String,
        /// The status from here on.
        status: Status,
        /// Why, with RJCT.
        reason: Option<String>,
        /// What happens next by itself.
        due: Option<Due>,
    },
    /// Money moved.
    Executed {
        /// Its payment.
        payment_id: PaymentId,
        /// The order's own id.
        end_to_end_identification: String,
        /// How often this payment was executed, this time included.
        executed_count: usize,
        /// How much.
        #[serde(flatten)]
        money: Money,
        /// From whom.
        debtor: Iban,
        /// To whom.
        creditor: Creditor,
    },
    /// An operator made the status query answer something else (or, with `None`, the truth again).
    ReportOverridden {
        /// The payment.
        payment_id: PaymentId,
        /// The code that is answered.
        transaction_status: Option<String>,
    },
    /// A consent exists, or was replaced by an operator.
    ConsentPut {
        /// The consent.
        consent: Consent,
    },
    /// A consent's status.
    ConsentChanged {
        /// The consent.
        consent_id: ConsentId,
        /// The status from here on.
        consent_status: ConsentStatus,
    },
    /// An account exists, or was replaced by an operator.
    AccountPut {
        /// The account.
        account: Account,
    },
    /// A bank's conduct.
    BankConfigured {
        /// The bank from here on.
        bank: Bank,
    },
    /// The switches.
    SettingsChanged {
        /// The switches from here on.
        settings: Settings,
    },
    /// The book starts afresh; earlier lines stay in the ledger and count no more.
    Reset,
}

/// Switches for all banks at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Payments and consents approve themselves, without a browser and so without a return.
    pub auto_approve: bool,
    /// How long that takes, in milliseconds.
    pub auto_approve_delay_ms: u64,
    /// How webhooks travel.
    pub webhooks: Delivery,
    /// Whether unattended balance reads beyond the consent's `frequencyPerDay` answer `ACCESS_EXCEEDED`.
    pub enforce_frequency: bool,
    /// What an account that nobody set up holds when a payment first names it, in whole units of the currency.
    pub opening_balance: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto_approve: false,
            auto_approve_delay_ms: 0,
            webhooks: Delivery::Normal,
            enforce_frequency: true,
            opening_balance: 1_000_000,
        }
    }
}
