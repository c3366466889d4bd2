//! The bank's memory and its decisions, told the time and doing no I/O.
//!
//! A decision (`initiate`, `approve`, `cancel` ...) reads the book and returns [`Fact`]s; [`Book::apply`] is the only
//! thing that changes it. The ledger holds the same facts, so that reading it again gives the same book.

mod account;
mod consent;
mod fact;
mod payment;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub(crate) use self::{
    account::NewAccount,
    consent::NewConsent,
    payment::{Initiated, Initiation},
};
pub use self::{
    account::{Account, AccountId},
    consent::{Consent, ConsentId, ConsentStatus},
    fact::{Fact, Settings},
    payment::{Creditor, Order, Payment, PaymentId, Product, Status},
};
use crate::{
    banks::{self, Bank, BankId},
    iban::Iban,
    refusal::Refusal,
};

/// Everything the bank knows.
#[derive(Debug)]
pub struct Book {
    safe_replay: bool,
    settings: Settings,
    banks: BTreeMap<BankId, Bank>,
    accounts: BTreeMap<AccountId, Account>,
    account_of: HashMap<Iban, AccountId>,
    consents: BTreeMap<ConsentId, Consent>,
    payments: BTreeMap<PaymentId, Payment>,
    by_key: HashMap<Uuid, PaymentId>,
    by_end_to_end: HashMap<String, Vec<PaymentId>>,
    due: BTreeSet<(DateTime<Utc>, Subject)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Payment(PaymentId),
    Consent(ConsentId),
}

impl Book {
    /// A book with the banks, demo accounts and demo consents, and no payment.
    ///
    /// `safe_replay`: whether any bank honours `X-Request-ID` of a payment at all.
    pub fn open(safe_replay: bool) -> Self {
        let mut book = Self {
            safe_replay,
            settings: Settings::default(),
            banks: banks::directory().map(|bank| (bank.id.clone(), bank)).collect(),
            accounts: BTreeMap::new(),
            account_of: HashMap::new(),
            consents: BTreeMap::new(),
            payments: BTreeMap::new(),
            by_key: HashMap::new(),
            by_end_to_end: HashMap::new(),
            due: BTreeSet::new(),
        };
        for account in account::demo() {
            book.put_account(account);
        }
        let consents = book.banks.keys().map(consent::demo).collect::<Vec<_>>();
        for consent in consents {
            book.put_consent(consent);
        }
        book
    }

    /// Takes note of a fact that happened at `at`. Facts about things that do not exist change nothing.
    pub fn apply(&mut self, at: DateTime<Utc>, fact: Fact) {
        match fact {
            Fact::PaymentReceived(received) => self.put_payment(Payment::received(at, received)),
            Fact::RequestRepeated { payment_id, key, body_sha256, .. } => {
                if let Some(payment) = self.payments.get_mut(&payment_id) {
                    payment.note_request(key, at, body_sha256);
                }
            }
            Fact::StatusChanged { payment_id, status, reason, due, .. } => {
                if let Some(payment) = self.payments.get_mut(&payment_id) {
                    let subject = Subject::Payment(payment_id);
                    reschedule(&mut self.due, &subject, payment.due_at(), due.as_ref().map(|due| due.at));
                    payment.moved_to(status, at, reason, due);
                }
            }
            Fact::Executed { payment_id, .. } => {
                if let Some(payment) = self.payments.get_mut(&payment_id) {
                    payment.executed(at);
                    let order = payment.order.clone();
                    self.move_money(at, &order);
                }
            }
            Fact::ReportOverridden { payment_id, transaction_status } => {
                if let Some(payment) = self.payments.get_mut(&payment_id) {
                    payment.reported = transaction_status;
                }
            }
            Fact::ConsentPut { consent } => self.put_consent(consent),
            Fact::ConsentChanged { consent_id, consent_status } => {
                if let Some(consent) = self.consents.get_mut(&consent_id) {
                    reschedule(&mut self.due, &Subject::Consent(consent_id), consent.approve_at.take(), None);
                    consent.status = consent_status;
                }
            }
            Fact::AccountPut { account } => self.put_account(account),
            Fact::BankConfigured { bank } => {
                self.banks.insert(bank.id.clone(), bank);
            }
            Fact::SettingsChanged { settings } => self.settings = settings,
            Fact::Reset => *self = Self::open(self.safe_replay),
        }
    }

    /// When the next thing happens by itself.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What happens by itself at `now` to the one subject that has waited longest; `None` when nothing is due.
    pub fn due(&self, now: DateTime<Utc>) -> Option<Vec<Fact>> {
        let (_, subject) = self.due.first().filter(|(at, _)| *at <= now)?;
        Some(match subject {
            Subject::Payment(id) => {
                self.payments.get(id).map_or_else(Vec::new, |payment| self.due_payment(payment, now))
            }
            Subject::Consent(id) => {
                vec![Fact::ConsentChanged { consent_id: id.clone(), consent_status: ConsentStatus::Valid }]
            }
        })
    }

    /// The switches.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All banks.
    pub fn banks(&self) -> impl Iterator<Item = &Bank> {
        self.banks.values()
    }

    /// A bank by id.
    pub fn bank(&self, id: &BankId) -> Option<&Bank> {
        self.banks.get(id)
    }

    /// The bank a payment is made at: the consent's, else the one the debtor's IBAN names.
    pub(crate) fn bank_for(&self, consent: Option<&ConsentId>, debtor: Option<&Iban>) -> Option<BankId> {
        let consented = consent.and_then(|id| self.consents.get(id)).map(|consent| consent.bank.clone());
        consented.or_else(|| debtor.map(banks::bank_of))
    }

    fn known_bank(&self, id: &BankId) -> Result<&Bank, Refusal> {
        self.banks.get(id).ok_or_else(|| Refusal::unknown("bank").at(id))
    }
}

fn reschedule(
    due: &mut BTreeSet<(DateTime<Utc>, Subject)>,
    subject: &Subject,
    before: Option<DateTime<Utc>>,
    after: Option<DateTime<Utc>>,
) {
    if let Some(at) = before {
        due.remove(&(at, subject.clone()));
    }
    if let Some(at) = after {
        due.insert((at, subject.clone()));
    }
}
