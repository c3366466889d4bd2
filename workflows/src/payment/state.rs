//! Where a payment can stand, what proves its end, and what the world can say about it.

use serde::{Deserialize, Serialize};

use super::ErrorCode;
use crate::ports::consents::{ConsentStanding, ProviderConsentId};
use crate::ports::payments::{ProviderPaymentId, TransactionStatus};
use crate::ports::prices::Price;
use crate::time::At;

/// Where a payment stands, and what changed since its order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// What changed.
    #[serde(default)]
    pub amended: Amended,
}

/// What took the place of something in the order, and what came to light after the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amended {
    /// The consent that it is sent under in place of the order's: the account's by then, or one renewed for it.
    pub consent: Option<ProviderConsentId>,
    /// The price in place of a promised one that had run out.
    pub price: Option<Price>,
    /// Whether the customer was asked to renew the consent for this payment: once is enough.
    #[serde(default)]
    pub renewed: bool,
    /// What became of the promise of the queue, over all times that it was parked.
    #[serde(default)]
    pub promise: Promise,
    /// Whether it waited in the queue: its end is told in other words (M-15).
    pub queued: bool,
    /// Whether the customer was told that the bank wants its connection renewed before it answers.
    pub disconnected: bool,
    /// What came to light after the end.
    pub late: Option<Late>,
}

/// What became of the promise that a queued payment is processed within two hours of its acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// There is time left.
    #[default]
    Stands,
    /// Three quarters of the time are over, and operators were warned.
    Warned,
    /// The time is over, and the customer was told so.
    Broken,
}

/// What comes after the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// Somebody hinted at news and the bank is asked.
    Asking {
        /// How often it was asked without an answer.
        tries: u8,
    },
    /// The bank says otherwise than was reported; an operator decides with proof.
    Conflict {
        /// What it says.
        status: TransactionStatus,
    },
}

/// A consent that the bank was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Consent {
    /// Its id there.
    pub id: ProviderConsentId,
    /// Where the customer approves it.
    pub sca: Option<String>,
    /// Whether it may be used by now.
    pub valid: bool,
    /// Whether the account uses it: what is left is to look at the price.
    #[serde(default)]
    pub adopted: bool,
    /// Until when, by the bank's word.
    pub valid_until: Option<At>,
}

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The initiation is being sent.
    Initiating {
        /// 0 for the first sending; +1 for each sending after a doubt.
        round: u8,
        /// Since when the key may have been in use.
        since: At,
        /// Somebody wants it taken back as soon as that is possible.
        cancel: Option<By>,
        /// How often it was parked before.
        parked: u8,
    },
    /// The bank wants a new consent first. Nothing was sent but the order that it refused for that.
    AwaitingConsent {
        /// What the bank refused it with.
        code: String,
        /// Whether the account's own consent was looked up: another payment may have renewed it already.
        #[serde(default)]
        looked: bool,
        /// The consent that was asked for.
        consent: Option<Consent>,
        /// Until when the customer may approve it.
        until: At,
        /// How often it was parked before.
        parked: u8,
    },
    /// An initiation may have reached the bank; nobody knows.
    InDoubt {
        /// As in `Initiating`.
        round: u8,
        /// As in `Initiating`.
        since: At,
        /// As in `Initiating`.
        cancel: Option<By>,
        /// Whether the bank's "I know of none" counts by now.
        ripe: bool,
        /// How many such answers agree.
        agreeing: u8,
        /// Whether it has been so for so long that somebody should look.
        overdue: bool,
    },
    /// Nothing was sent; the provider does not take payments at the moment.
    Parked {
        /// How often it was parked before.
        before: u8,
    },
    /// Nothing was sent; the provider is back and the payer has to be present to approve.
    AwaitingUser {
        /// Until when.
        until: At,
        /// How often it was parked.
        parked: u8,
        /// Whether the payer is back and the price is being looked at.
        #[serde(default)]
        coming: bool,
    },
    /// The payer has to approve at the bank.
    AwaitingSca {
        /// The bank's payment.
        payment: Placed,
        /// When we take it back.
        until: At,
    },
    /// It is to be taken back, and the bank has not confirmed that yet.
    Closing {
        /// The bank's payment.
        payment: Placed,
        /// Why.
        why: Why,
        /// How often the bank was asked without an end; the wait grows with it.
        tries: u8,
        /// Whether it takes so long that somebody should look.
        overdue: bool,
        /// What the bank made of it so far.
        #[serde(default)]
        answer: Cancellation,
    },
    /// Past the point of no return: it is followed to its end.
    Confirming {
        /// The bank's payment.
        payment: Placed,
        /// The bank's last word.
        seen: TransactionStatus,
        /// Whether it takes so long that somebody should look.
        overdue: bool,
    },
    /// Money moved.
    Settled {
        /// The bank's payment.
        payment: Option<Placed>,
        /// The proof.
        evidence: Evidence,
        /// When we knew.
        at: At,
    },
    /// No money moved, and there is proof.
    Failed {
        /// Which way.
        how: Failure,
        /// The code for people.
        code: ErrorCode,
        /// The bank's payment, if there was one.
        payment: Option<Placed>,
        /// The proof.
        evidence: Evidence,
        /// When we knew.
        at: At,
    },
    /// Taken back before the point of no return, and there is proof.
    Cancelled {
        /// The bank's payment, if there was one.
        payment: Option<Placed>,
        /// The proof.
        evidence: Evidence,
        /// When we knew.
        at: At,
    },
}

/// What a bank made of our wish to take a payment back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancellation {
    /// Nothing yet.
    #[default]
    Open,
    /// It refused. That may mean that the payment is under execution, at its end, or cancelled by an attempt whose
    /// answer was lost: where it stands is being asked.
    Refused,
    /// It refused, and the payment still waits for its payer.
    Stands,
}

/// A payment that stands at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placed {
    /// Its id there.
    pub id: ProviderPaymentId,
    /// Where the payer approves it; a payment that was found again has no link.
    pub sca: Option<String>,
}

/// Who took a payment back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The payer.
    User,
    /// An operator, as a cancellation.
    Operator,
    /// An operator, as the compensation of a stuck payment.
    Compensation,
}

/// Why a payment is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nobody approved it in time.
    ScaTimeout,
    /// Somebody asked.
    Asked(By),
}

/// Which way a payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The bank said no, or never had it.
    Refused,
    /// Nobody approved it in time.
    ScaTimeout,
    /// An operator undid it.
    Compensated,
}

/// What proves the end of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The bank's status.
    Status(TransactionStatus),
    /// The bank confirmed our cancellation.
    CancellationConfirmed,
    /// The bank refused the initiation.
    InitiationRefused {
        /// The bank's code.
        code: String,
    },
    /// The bank said so often enough, late enough, that it knows no such payment.
    Absent {
        /// How many answers agreed.
        reads: u8,
    },
    /// No attempt ever left us.
    NeverSent,
    /// An operator's proof.
    Operator {
        /// Where the proof is filed.
        reference: String,
    },
}

/// What the world can say about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The bank took the initiation.
    Created {
        /// Its id there.
        payment: ProviderPaymentId,
        /// Where it stands.
        status: TransactionStatus,
        /// Where the payer approves it.
        sca: Option<String>,
    },
    /// The bank refused the initiation; nothing was created.
    Refused {
        /// The bank's code.
        code: String,
    },
    /// The bank's word on where the payment stands.
    StatusSeen {
        /// The code.
        status: TransactionStatus,
        /// With a rejection, why.
        reason: Option<String>,
    },
    /// A payment carries our end-to-end id.
    Found {
        /// Its id at the bank.
        payment: ProviderPaymentId,
        /// Where it stands.
        status: TransactionStatus,
    },
    /// No payment carries our end-to-end id; after the end, the bank does not know the payment.
    Absent,
    /// The bank confirmed the cancellation.
    CancellationConfirmed,
    /// The bank will not cancel: it is under execution, or at its end.
    CancellationRefused {
        /// The bank's code.
        code: String,
    },
    /// The bank wants a new consent before it takes the order; nothing was created.
    ConsentNeeded {
        /// The bank's code.
        code: String,
    },
    /// The bank wants a new consent before it answers a question about a payment that stands.
    Disconnected,
    /// The consent that the account has by now, if it may be used.
    ConsentKnown {
        /// Its id at the provider.
        consent: Option<ProviderConsentId>,
    },
    /// The bank gave a consent to be approved.
    ConsentAsked {
        /// Its id there.
        consent: ProviderConsentId,
        /// Where the customer approves it.
        sca: Option<String>,
    },
    /// The bank gives no consent.
    ConsentRefused {
        /// The bank's code.
        code: String,
    },
    /// The bank's word on where the consent stands.
    ConsentSeen {
        /// Whether it may be used.
        standing: ConsentStanding,
        /// Until when.
        valid_until: Option<At>,
    },
    /// The account uses the new consent from here on.
    ConsentAdopted,
    /// The promised price holds, or this one takes its place.
    Priced {
        /// Today's price; `None` = the promised one holds.
        price: Option<Price>,
    },
    /// Somebody wants it taken back.
    CancelAsked {
        /// Who.
        by: By,
    },
    /// The payer is back and wants to go on.
    Continued,
    /// The payer's browser came back from the bank: a hint, never proof.
    Returned {
        /// The id the bank put on the address, if it did.
        payment: Option<ProviderPaymentId>,
    },
    /// The provider pushed a notice about this payment: a hint too.
    Hinted,
    /// An operator found out, with proof, what became of a payment that the bank says nothing certain about.
    Resolved {
        /// What became of it.
        outcome: Truth,
        /// Where the proof is filed.
        reference: String,
    },
}

/// What an operator proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Money moved.
    Executed,
    /// It did not and will not.
    NotExecuted,
}
