//! Consents: what a person allowed the client to read and to initiate.

use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Book, Fact,
    account::{Account, AccountId},
};
use crate::{
    banks::{self, BankId},
    refusal::Refusal,
};
use axum::http::StatusCode;

/// A consent's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConsentId(pub String);

/// Berlin Group consent status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConsentStatus {
    /// Waits for the person.
    Received,
    /// In force.
    Valid,
    /// Denied.
    Rejected,
    /// Taken back by the person.
    RevokedByPsu,
    /// Past its last day.
    Expired,
    /// Ended by the client.
    TerminatedByTpp,
}

/// A consent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Its id.
    pub consent_id: ConsentId,
    /// The bank it was given at.
    pub bank: BankId,
    /// The one account it covers; all of the bank's when absent.
    pub account_id: Option<AccountId>,
    /// As it was last set; see [`Consent::status_on`].
    pub status: ConsentStatus,
    /// The last day it is valid.
    pub valid_until: NaiveDate,
    /// Unattended reads per day.
    pub frequency_per_day: u32,
    /// For more than one read.
    pub recurring_indicator: bool,
    /// Where the person goes afterwards.
    pub redirect: Option<String>,
    /// When it approves itself.
    pub approve_at: Option<DateTime<Utc>>,
}

/// A consent as it is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewConsent {
    pub(crate) bank_id: BankId,
    pub(crate) account_id: Option<AccountId>,
    pub(crate) valid_until: NaiveDate,
    pub(crate) frequency_per_day: u32,
    pub(crate) recurring_indicator: bool,
}

/// The longest a consent can last: RTS (EU) 2018/389 Art. 10a, 180 days.
const LONGEST: Days = Days::new(180);

/// A consent that is in force from the start, so that balances and payments can be tried without one's own.
pub(super) fn demo(bank: &BankId) -> Consent {
    Consent::in_force(ConsentId(format!("consent-demo-{}", bank.0)), bank.clone())
}

impl Consent {
    /// A consent to all of a bank's accounts that nobody had to give and that does not end.
    pub(crate) fn in_force(id: ConsentId, bank: BankId) -> Self {
        Self {
            consent_id: id,
            bank,
            account_id: None,
            status: ConsentStatus::Valid,
            valid_until: NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or(NaiveDate::MAX),
            frequency_per_day: 4,
            recurring_indicator: true,
            redirect: None,
            approve_at: None,
        }
    }

    /// Its status on the day of `now`.
    pub fn status_on(&self, now: DateTime<Utc>) -> ConsentStatus {
        let over = self.valid_until < now.date_naive();
        if self.status == ConsentStatus::Valid && over { ConsentStatus::Expired } else { self.status }
    }

    /// Whether it covers an account.
    pub fn covers(&self, account: &Account) -> bool {
        self.bank == account.bank && self.account_id.as_ref().is_none_or(|id| *id == account.account_id)
    }
}

impl Book {
    /// A consent by id.
    pub fn consent(&self, id: &ConsentId) -> Option<&Consent> {
        self.consents.get(id)
    }

    /// The accounts a consent covers: the one it names, else the bank's listed ones.
    pub fn accounts_of<'a>(&'a self, consent: &'a Consent) -> impl Iterator<Item = &'a Account> {
        self.accounts
            .values()
            .filter(|account| consent.covers(account))
            .filter(|account| account.listed || consent.account_id.as_ref() == Some(&account.account_id))
    }

    /// Asks for a consent.
    pub(crate) fn ask_consent(
        &self,
        asked: &NewConsent,
        redirect: String,
        id: ConsentId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Fact>, Refusal> {
        let bank = self.known_bank(&asked.bank_id)?;
        if let Some(id) = &asked.account_id {
            let account = self.account(id).filter(|account| account.bank == bank.id);
            account.ok_or_else(|| {
                Refusal::new(StatusCode::NOT_FOUND, "ACCOUNT_NOT_FOUND", "the bank has no such account")
                    .at(&bank.id)
            })?;
        }
        let today = now.date_naive();
        if asked.valid_until < today {
            return Err(Refusal::format("validUntil is past").at(&bank.id));
        }
        if asked.frequency_per_day == 0 {
            return Err(Refusal::format("frequencyPerDay must be at least 1").at(&bank.id));
        }
        let longest = today.checked_add_days(LONGEST).unwrap_or(today);
        let consent = Consent {
            consent_id: id,
            bank: bank.id.clone(),
            account_id: asked.account_id.clone(),
            status: ConsentStatus::Received,
            valid_until: asked.valid_until.min(longest),
            frequency_per_day: asked.frequency_per_day,
            recurring_indicator: asked.recurring_indicator,
            redirect: Some(redirect),
            approve_at: self
                .settings
                .auto_approve
                .then(|| banks::later(now, self.settings.auto_approve_delay_ms)),
        };
        Ok(vec![Fact::ConsentPut { consent }])
    }

    /// The person says yes or no.
    pub(crate) fn answer_consent(&self, id: &ConsentId, answer: ConsentStatus) -> Result<Vec<Fact>, Refusal> {
        let consent = self.consents.get(id).ok_or_else(|| Refusal::unknown("consent"))?;
        if consent.status != ConsentStatus::Received {
            return Err(Refusal::status_invalid("this consent was answered already").at(&consent.bank));
        }
        Ok(vec![Fact::ConsentChanged { consent_id: id.clone(), consent_status: answer }])
    }

    /// The client ends a consent; once ended it stays as it ended.
    pub(crate) fn end_consent(&self, id: &ConsentId) -> Result<Vec<Fact>, Refusal> {
        let consent = self.consents.get(id).ok_or_else(|| Refusal::unknown("consent"))?;
        Ok(match consent.status {
            ConsentStatus::Received | ConsentStatus::Valid => {
                vec![Fact::ConsentChanged {
                    consent_id: id.clone(),
                    consent_status: ConsentStatus::TerminatedByTpp,
                }]
            }
            ConsentStatus::Rejected
            | ConsentStatus::RevokedByPsu
            | ConsentStatus::Expired
            | ConsentStatus::TerminatedByTpp => Vec::new(),
        })
    }

    /// The consent, if it is in force: else 401 `CONSENT_EXPIRED` or `CONSENT_INVALID`.
    pub(crate) fn consent_in_force(&self, id: &ConsentId, now: DateTime<Utc>) -> Result<&Consent, Refusal> {
        let refuse = |code, text| Refusal::new(StatusCode::UNAUTHORIZED, code, text);
        let consent = self.consents.get(id).ok_or_else(|| refuse("CONSENT_INVALID", "no such consent"))?;
        match consent.status_on(now) {
            ConsentStatus::Valid => Ok(consent),
            ConsentStatus::Expired => {
                Err(refuse("CONSENT_EXPIRED", "the consent has expired").at(&consent.bank))
            }
            ConsentStatus::Received
            | ConsentStatus::Rejected
            | ConsentStatus::RevokedByPsu
            | ConsentStatus::TerminatedByTpp => {
                Err(refuse("CONSENT_INVALID", "the consent is not in force").at(&consent.bank))
            }
        }
    }

    pub(super) fn put_consent(&mut self, consent: Consent) {
        let id = consent.consent_id.clone();
        let before = self.consents.get(&id).and_then(|replaced| replaced.approve_at);
        super::reschedule(&mut self.due, &super::Subject::Consent(id.clone()), before, consent.approve_at);
        self.consents.insert(id, consent);
    }
}
