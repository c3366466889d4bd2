//! Payments: received, approved by a person, executed once.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Book, Fact, Subject, consent::ConsentId};
use crate::{
    banks::{self, Bank, BankId, Outcome, SettleWith},
    iban::Iban,
    money::Money,
    refusal::Refusal,
};

/// The bank's id of a payment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub String);

/// The product of the URL a payment was posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Abroad.
    SepaCreditTransfers,
    /// Within Norway, QR payments.
    DomesticTransfer,
}

/// ISO 20022 status, as the bank knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Received, waits for the person.
    Rcvd,
    /// Approved: the point of no return.
    Actc,
    /// Accepted for execution.
    Acsp,
    /// Settled at the debtor's bank.
    Acsc,
    /// Settled at the creditor's bank.
    Accc,
    /// Rejected.
    Rjct,
    /// Cancelled before approval.
    Canc,
}

/// Whom to pay: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Creditor {
    /// By IBAN.
    Iban(Iban),
    /// By a number of the country's own.
    Bban(String),
}

/// What was asked for. Two requests with the same order have the same body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The product.
    pub product: Product,
    /// Who pays.
    pub debtor: Iban,
    /// How much.
    #[serde(flatten)]
    pub money: Money,
    /// Who is paid.
    pub creditor_name: String,
    /// Where.
    pub creditor: Creditor,
    /// The creditor's bank (BIC).
    pub creditor_agent: Option<String>,
    /// The order's own id.
    pub end_to_end_identification: String,
    /// Text for the payee.
    pub remittance: String,
}

/// A payment as it was received.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// The payment's id.
    pub payment_id: PaymentId,
    /// The bank it was made at.
    pub bank: BankId,
    /// The order.
    #[serde(flatten)]
    pub order: Order,
    /// `X-Request-ID`.
    pub key: Uuid,
    /// SHA-256 of the body as it came, in hex.
    pub body_sha256: String,
    /// The consent it was made under.
    pub consent_id: Option<ConsentId>,
    /// Where the person goes afterwards.
    pub redirect: String,
    /// What happens if the person does nothing.
    pub due: Due,
}

/// Something that will happen by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub step: Step,
}

/// What a payment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// It approves itself.
    Approve,
    /// It is executed, or rejected after all.
    Settle,
    /// The person did not come: rejected.
    Expire,
}

/// A payment with all that happened to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id.
    pub payment_id: PaymentId,
    /// Its bank.
    pub bank: BankId,
    /// The order.
    #[serde(flatten)]
    pub order: Order,
    /// Where it stands.
    pub status: Status,
    /// Why, with RJCT.
    pub reason: Option<String>,
    /// Every status it had.
    pub status_history: Vec<StatusAt>,
    /// When money moved, as often as it did.
    pub executions: Vec<DateTime<Utc>>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// The requests that asked for it.
    pub requests: Vec<Request>,
    /// The consent it was made under.
    pub consent_id: Option<ConsentId>,
    /// Where the person goes afterwards.
    pub redirect: String,
    /// What the status query answers instead of the truth.
    pub reported: Option<String>,
    due: Option<Due>,
}

/// A status and when it was reached.
#[derive(Clone, Debug, Serialize)]
pub struct StatusAt {
    /// The status.
    pub status: Status,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// One request for a payment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its key.
    pub x_request_id: Uuid,
    /// When it came.
    pub at: DateTime<Utc>,
    /// SHA-256 of its body, in hex.
    pub body_sha256: String,
}

/// A request for a payment.
#[derive(Clone, Debug)]
pub(crate) struct Initiation {
    pub(crate) order: Order,
    pub(crate) key: Uuid,
    pub(crate) body_sha256: String,
    pub(crate) consent: Option<ConsentId>,
    pub(crate) redirect: String,
}

/// What a request for a payment led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Initiated {
    Created(PaymentId),
    Repeated(PaymentId),
}

impl Status {
    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Rcvd => "RCVD",
            Self::Actc => "ACTC",
            Self::Acsp => "ACSP",
            Self::Acsc => "ACSC",
            Self::Accc => "ACCC",
            Self::Rjct => "RJCT",
            Self::Canc => "CANC",
        }
    }
}

impl Payment {
    pub(super) fn received(at: DateTime<Utc>, received: Received) -> Self {
        Self {
            payment_id: received.payment_id,
            bank: received.bank,
            order: received.order,
            status: Status::Rcvd,
            reason: None,
            status_history: vec![StatusAt { status: Status::Rcvd, at }],
            executions: Vec::new(),
            received_at: at,
            requests: vec![Request { x_request_id: received.key, at, body_sha256: received.body_sha256 }],
            consent_id: received.consent_id,
            redirect: received.redirect,
            reported: None,
            due: Some(received.due),
        }
    }

    /// The code the contract's calls answer: the truth, unless an operator has them say something else.
    pub fn told(&self) -> String {
        self.reported.clone().unwrap_or_else(|| self.status.code().to_owned())
    }

    pub(super) fn due_at(&self) -> Option<DateTime<Utc>> {
        self.due.as_ref().map(|due| due.at)
    }

    pub(super) fn note_request(&mut self, key: Uuid, at: DateTime<Utc>, body_sha256: String) {
        self.requests.push(Request { x_request_id: key, at, body_sha256 });
    }

    pub(super) fn moved_to(
        &mut self,
        status: Status,
        at: DateTime<Utc>,
        reason: Option<String>,
        due: Option<Due>,
    ) {
        self.status = status;
        self.reason = reason;
        self.due = due;
        self.status_history.push(StatusAt { status, at });
    }

    pub(super) fn executed(&mut self, at: DateTime<Utc>) {
        self.executions.push(at);
    }

    fn to(&self, status: Status) -> Fact {
        self.fact(status, None, None)
    }

    fn rejected(&self, reason: Option<&str>) -> Fact {
        self.fact(Status::Rjct, reason.map(str::to_owned), None)
    }

    fn fact(&self, status: Status, reason: Option<String>, due: Option<Due>) -> Fact {
        Fact::StatusChanged {
            payment_id: self.payment_id.clone(),
            end_to_end_identification: self.order.end_to_end_identification.clone(),
            status,
            reason,
            due,
        }
    }
}

impl Book {
    /// A payment by id.
    pub fn payment(&self, id: &PaymentId) -> Option<&Payment> {
        self.payments.get(id)
    }

    /// All payments, oldest first.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.payments.values()
    }

    /// All payments of an order, oldest first.
    pub fn payments_of(&self, end_to_end: &str) -> impl Iterator<Item = &Payment> {
        self.by_end_to_end.get(end_to_end).into_iter().flatten().filter_map(|id| self.payments.get(id))
    }

    /// What the lookup by end-to-end id shows at `now`: payments whose bank lets them be seen by then.
    pub(crate) fn located(&self, end_to_end: &str, now: DateTime<Utc>) -> impl Iterator<Item = &Payment> {
        self.payments_of(end_to_end).filter(move |payment| {
            let lag = self.banks.get(&payment.bank).map_or(0, |bank| bank.conduct.visibility_lag_ms);
            banks::later(payment.received_at, lag) <= now
        })
    }

    /// Receives a payment; the replay rule comes first, so that a repeat is answered even if the consent has ended.
    pub(crate) fn initiate(
        &self,
        asked: Initiation,
        id: PaymentId,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Fact>, Initiated), Refusal> {
        let bank_id = self
            .bank_for(asked.consent.as_ref(), Some(&asked.order.debtor))
            .ok_or_else(|| Refusal::unknown("bank"))?;
        let bank = self.known_bank(&bank_id)?;
        if let Some(first) = self.same_key(asked.key, bank, now) {
            if first.order != asked.order {
                return Err(Refusal::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "PARAMETER_NOT_CONSISTENT",
                    "this X-Request-ID came with another body before",
                )
                .at(&bank.id));
            }
            let repeated = Fact::RequestRepeated {
                payment_id: first.payment_id.clone(),
                end_to_end_identification: asked.order.end_to_end_identification,
                key: asked.key,
                body_sha256: asked.body_sha256,
            };
            return Ok((vec![repeated], Initiated::Repeated(first.payment_id.clone())));
        }
        if let Some(consent) = &asked.consent {
            self.consent_in_force(consent, now)?;
        }
        let due = if self.settings.auto_approve {
            Due { at: banks::later(now, self.settings.auto_approve_delay_ms), step: Step::Approve }
        } else {
            Due { at: banks::later(now, bank.conduct.sca_timeout_ms), step: Step::Expire }
        };
        let mut facts = Vec::from_iter(self.opened_for(&asked.order, &bank.id));
        facts.push(Fact::PaymentReceived(Received {
            payment_id: id.clone(),
            bank: bank_id,
            order: asked.order,
            key: asked.key,
            body_sha256: asked.body_sha256,
            consent_id: asked.consent,
            redirect: asked.redirect,
            due,
        }));
        Ok((facts, Initiated::Created(id)))
    }

    /// The person approves: ACTC, ACSP and, where the bank is quick, executed and settled at once.
    pub(crate) fn approve(&self, id: &PaymentId, now: DateTime<Utc>) -> Result<Vec<Fact>, Refusal> {
        let payment = self.waiting_for_person(id)?;
        if !self.covers(&payment.order) {
            return Ok(vec![payment.rejected(Some("INSUFFICIENT_FUNDS"))]);
        }
        let delay = self.banks.get(&payment.bank).map_or(0, |bank| bank.conduct.execution_delay_ms);
        let mut facts = vec![payment.to(Status::Actc)];
        if delay == 0 {
            facts.push(payment.to(Status::Acsp));
            facts.extend(self.settled(payment, Status::Acsp));
        } else {
            let due = Due { at: banks::later(now, delay), step: Step::Settle };
            facts.push(payment.fact(Status::Acsp, None, Some(due)));
        }
        Ok(facts)
    }

    /// The person denies: RJCT without a reason.
    pub(crate) fn deny(&self, id: &PaymentId) -> Result<Vec<Fact>, Refusal> {
        Ok(vec![self.waiting_for_person(id)?.rejected(None)])
    }

    /// The client cancels. Possible until the person has approved (PSD2 Art. 80(2)); again and again once cancelled.
    pub(crate) fn cancel(&self, id: &PaymentId) -> Result<Vec<Fact>, Refusal> {
        let payment = self.known_payment(id)?;
        match payment.status {
            Status::Rcvd => Ok(vec![payment.to(Status::Canc)]),
            Status::Canc => Ok(Vec::new()),
            Status::Actc | Status::Acsp | Status::Acsc | Status::Accc => {
                Err(Refusal::status_invalid("the payment is under execution").at(&payment.bank))
            }
            Status::Rjct => Err(Refusal::status_invalid("the payment was rejected").at(&payment.bank)),
        }
    }

    /// An operator has the payment executed whatever its bank's outcome would be, approved or not; once only.
    pub(crate) fn force_execution(&self, id: &PaymentId) -> Result<Vec<Fact>, Refusal> {
        let payment = self.unfinished(id)?;
        let mut facts = match payment.status {
            Status::Rcvd => vec![payment.to(Status::Actc), payment.to(Status::Acsp)],
            Status::Actc | Status::Acsp | Status::Acsc | Status::Accc | Status::Rjct | Status::Canc => {
                Vec::new()
            }
        };
        facts.extend(self.executed(payment, Status::Acsp));
        Ok(facts)
    }

    /// An operator has the payment rejected although it may have been accepted.
    pub(crate) fn force_rejection(&self, id: &PaymentId, reason: Option<&str>) -> Result<Vec<Fact>, Refusal> {
        Ok(vec![self.unfinished(id)?.rejected(reason)])
    }

    pub(super) fn put_payment(&mut self, payment: Payment) {
        let id = payment.payment_id.clone();
        if let Some(at) = payment.due_at() {
            self.due.insert((at, Subject::Payment(id.clone())));
        }
        self.by_key.extend(payment.requests.iter().map(|request| (request.x_request_id, id.clone())));
        self.by_end_to_end
            .entry(payment.order.end_to_end_identification.clone())
            .or_default()
            .push(id.clone());
        self.payments.insert(id, payment);
    }

    pub(super) fn due_payment(&self, payment: &Payment, now: DateTime<Utc>) -> Vec<Fact> {
        match payment.due.as_ref().map(|due| due.step) {
            Some(Step::Approve) => self.approve(&payment.payment_id, now).unwrap_or_default(),
            Some(Step::Settle) => self.settled(payment, payment.status),
            Some(Step::Expire) => vec![payment.rejected(None)],
            None => Vec::new(),
        }
    }

    /// The end of an approved payment that stands at `status`.
    fn settled(&self, payment: &Payment, status: Status) -> Vec<Fact> {
        match self.banks.get(&payment.bank).map(|bank| bank.conduct.outcome) {
            Some(Outcome::Rejected) => vec![payment.rejected(Some("PAYMENT_REJECTED"))],
            Some(Outcome::Executed) | None => self.executed(payment, status),
        }
    }

    fn executed(&self, payment: &Payment, status: Status) -> Vec<Fact> {
        if !self.covers(&payment.order) {
            return vec![payment.rejected(Some("INSUFFICIENT_FUNDS"))];
        }
        let executed = Fact::Executed {
            payment_id: payment.payment_id.clone(),
            end_to_end_identification: payment.order.end_to_end_identification.clone(),
            executed_count: payment.executions.len() + 1,
            money: payment.order.money.clone(),
            debtor: payment.order.debtor.clone(),
            creditor: payment.order.creditor.clone(),
        };
        let last = match self.banks.get(&payment.bank).map(|bank| bank.conduct.settle_with) {
            Some(SettleWith::Acsc) | None => Status::Acsc,
            Some(SettleWith::Accc) => Status::Accc,
            Some(SettleWith::Acsp) => Status::Acsp,
        };
        // A payment that stays at ACSP still leaves its timer behind, or it would be executed again.
        let still_due = payment.due.as_ref().is_some_and(|due| due.step == Step::Settle);
        let change = (last != status || still_due).then(|| payment.to(last));
        std::iter::once(executed).chain(change).collect()
    }

    fn same_key(&self, key: Uuid, bank: &Bank, now: DateTime<Utc>) -> Option<&Payment> {
        let first = self.by_key.get(&key).and_then(|id| self.payments.get(id))?;
        (self.safe_replay && bank.conduct.key_memory.remembers(first.received_at, now)).then_some(first)
    }

    fn known_payment(&self, id: &PaymentId) -> Result<&Payment, Refusal> {
        self.payments.get(id).ok_or_else(|| Refusal::unknown("payment"))
    }

    fn waiting_for_person(&self, id: &PaymentId) -> Result<&Payment, Refusal> {
        let payment = self.known_payment(id)?;
        match payment.status {
            Status::Rcvd => Ok(payment),
            Status::Actc | Status::Acsp | Status::Acsc | Status::Accc => {
                Err(Refusal::status_invalid("the payment was approved already").at(&payment.bank))
            }
            Status::Rjct => Err(Refusal::status_invalid("the payment was rejected").at(&payment.bank)),
            Status::Canc => Err(Refusal::status_invalid("the payment was cancelled").at(&payment.bank)),
        }
    }

    fn unfinished(&self, id: &PaymentId) -> Result<&Payment, Refusal> {
        let payment = self.known_payment(id)?;
        match payment.status {
            Status::Rcvd | Status::Actc | Status::Acsp if payment.executions.is_empty() => Ok(payment),
            Status::Rcvd
            | Status::Actc
            | Status::Acsp
            | Status::Acsc
            | Status::Accc
            | Status::Rjct
            | Status::Canc => Err(Refusal::status_invalid("the payment is finished").at(&payment.bank)),
        }
    }
}
