//! From status and body to what they prove. Replies are untrusted: unknown fields are ignored, absurd values make the
//! whole answer one that proves nothing.

use chrono::NaiveDate;
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use workflows::accounts::Iban;
use workflows::engine::{Class, Refusal};
use workflows::ids::EndToEndId;
use workflows::money::{Currency, Money};
use workflows::planted;
use workflows::ports::payments::{BankId, FoundPayment, ProviderPaymentId, TransactionStatus};
use workflows::ports::{PaymentsCall, PaymentsReply};
use workflows::time::At;

use super::super::accounts::{
    AccountId, AskedConsent, Availability, Balance, Bank, Consent, ConsentId, ConsentStatus, ConsentedAccount,
};
use super::errors::{code, is_code, is_consent, setback};
use crate::providers::http::HttpReply;
use crate::providers::outcome::{Outcome, Setback};

/// The answer to a question about a payment.
pub(in super::super) fn payment(call: &PaymentsCall, reply: &HttpReply, now: At) -> Outcome<PaymentsReply> {
    match call {
        PaymentsCall::Initiate(_) => created(reply, now),
        PaymentsCall::Status { .. } => standing(reply, now),
        PaymentsCall::Locate { end_to_end, .. } => found(end_to_end, reply, now),
        PaymentsCall::Cancel { .. } => cancelled(reply, now),
        PaymentsCall::Probe { bank } => ready(bank, reply, now),
    }
}

/// Whether the provider says "no" because of the customer's consent and not because of us.
pub(in super::super) fn about_consent(reply: &HttpReply) -> bool {
    code(reply).is_some_and(|code| is_consent(&code))
}

/// The answer of `GET /banks`.
pub(in super::super) fn banks(reply: &HttpReply, now: At) -> Outcome<Vec<Bank>> {
    let banks: Vec<WireBank> = ok(reply, now)?;
    banks.into_iter().map(|bank| bank.read().ok_or(UNREADABLE)).collect()
}

/// The answer of `GET /banks`, asked to see whether the provider is there, knows us, and reaches a bank. A bank that it
/// does not list may be one that it does not watch.
fn ready(bank: &BankId, reply: &HttpReply, now: At) -> Outcome<PaymentsReply> {
    #[derive(Deserialize)]
    struct Watched {
        id: Value,
        status: Value,
    }
    match reply.status {
        StatusCode::OK => {}
        StatusCode::FORBIDDEN => {
            let code = code(reply).unwrap_or_else(|| "FORBIDDEN".to_owned());
            return Err(Setback::Refused(Refusal { code, class: Class::Credential }));
        }
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => return Err(setback(reply, now)),
        status if status.is_server_error() => return Err(setback(reply, now)),
        _ => return Err(Setback::Unknown("the provider is not healthy")),
    }
    let banks: Vec<Value> = parsed(reply)?;
    let mut watched = banks.into_iter().filter_map(|bank| serde_json::from_value::<Watched>(bank).ok());
    let is_offline = |found: Watched| {
        found.id == *bank.0 && found.status.as_str().map(availability) == Some(Availability::Offline)
    };
    if watched.any(is_offline) {
        return Err(Setback::Unknown("the provider does not reach the bank"));
    }
    Ok(PaymentsReply::Ready)
}

/// The answer of `POST /v1/consents`.
pub(in super::super) fn consent_created(reply: &HttpReply, now: At) -> Outcome<AskedConsent> {
    let asked: WireAskedConsent = match reply.status {
        StatusCode::OK | StatusCode::CREATED => parsed(reply)?,
        _ => return Err(effect_setback(reply, now)),
    };
    Ok(AskedConsent {
        id: header_id(asked.consent_id).map(ConsentId).ok_or(UNREADABLE)?,
        status: consent_status(&asked.consent_status),
        sca: sca_link(&asked.links),
    })
}

/// The answer of `GET /v1/consents/{id}`.
pub(in super::super) fn consent(reply: &HttpReply, now: At) -> Outcome<Consent> {
    let consent: WireConsent = ok(reply, now)?;
    let accounts = consent.accounts.into_iter().map(|account| account.read().ok_or(UNREADABLE));
    Ok(Consent {
        status: consent_status(&consent.consent_status),
        valid_until: consent.valid_until,
        accounts: accounts.collect::<Outcome<_>>()?,
    })
}

/// The answer of `DELETE /v1/consents/{id}`.
pub(in super::super) fn consent_revoked(reply: &HttpReply, now: At) -> Outcome<()> {
    match reply.status {
        StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
        StatusCode::NOT_FOUND => Err(no_such(reply)),
        _ => Err(effect_setback(reply, now)),
    }
}

/// The answer of `GET /v1/accounts/{accountId}/balances`.
pub(in super::super) fn balances(reply: &HttpReply, now: At) -> Outcome<Vec<Balance>> {
    let balances: WireBalances = ok(reply, now)?;
    balances.balances.into_iter().map(|balance| balance.read().ok_or(UNREADABLE)).collect()
}

const UNREADABLE: Setback = Setback::Unknown("an answer that cannot be read");

/// The longest id or name that is taken from a provider, in characters.
const ID_LENGTH: usize = 256;

/// The longest link, in bytes: what browsers and proxies carry everywhere.
const LINK_LENGTH: usize = 2048;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCreated {
    payment_id: String,
    transaction_status: String,
    #[serde(rename = "_links", default)]
    links: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStanding {
    transaction_status: String,
    #[serde(default)]
    reason: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFound {
    payment_id: Option<String>,
    transaction_status: Option<String>,
    end_to_end_identification: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBank {
    id: String,
    name: String,
    country: String,
    status: String,
    last_checked: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAskedConsent {
    consent_id: String,
    consent_status: String,
    #[serde(rename = "_links", default)]
    links: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireConsent {
    consent_status: String,
    valid_until: Option<NaiveDate>,
    #[serde(default)]
    accounts: Vec<WireAccount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAccount {
    resource_id: String,
    iban: String,
    currency: String,
}

#[derive(Deserialize)]
struct WireBalances {
    balances: Vec<WireBalance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBalance {
    balance_type: String,
    balance_amount: WireAmount,
    last_change_date_time: Option<String>,
}

#[derive(Deserialize)]
struct WireAmount {
    currency: String,
    amount: String,
}

/// 200 repeats what the first attempt under the same key created (profile, replay rule).
fn created(reply: &HttpReply, now: At) -> Outcome<PaymentsReply> {
    let created: WireCreated = match reply.status {
        StatusCode::OK | StatusCode::CREATED => parsed(reply)?,
        _ => return Err(effect_setback(reply, now)),
    };
    Ok(PaymentsReply::Created {
        payment: payment_id(created.payment_id).ok_or(UNREADABLE)?,
        status: status(created.transaction_status).ok_or(UNREADABLE)?,
        sca: sca_link(&created.links),
    })
}

fn standing(reply: &HttpReply, now: At) -> Outcome<PaymentsReply> {
    if reply.status == StatusCode::NOT_FOUND {
        return Err(no_such(reply));
    }
    let standing: WireStanding = ok(reply, now)?;
    Ok(PaymentsReply::Standing {
        status: status(standing.transaction_status).ok_or(UNREADABLE)?,
        reason: standing.reason.as_str().filter(|reason| is_code(reason)).map(str::to_owned),
    })
}

/// A payment of somebody else is left out, since a provider may ignore the filter. "There is none" is a proof and must
/// not come from skipping: one that may be ours and cannot be read spoils the answer, and so does a list of nothing but
/// somebody else's, because a provider that ignores the filter may have ours on its next page.
fn found(ours: &EndToEndId, reply: &HttpReply, now: At) -> Outcome<PaymentsReply> {
    let listed: Vec<WireFound> = ok(reply, now)?;
    let is_empty = listed.is_empty();
    let is_ours = |one: &WireFound| one.end_to_end_identification.trim().eq_ignore_ascii_case(ours.as_str());
    let found = listed.into_iter().filter(is_ours).map(|one| {
        let payment = one.payment_id.and_then(payment_id).ok_or(UNREADABLE)?;
        let status = one.transaction_status.and_then(status).ok_or(UNREADABLE)?;
        Ok(FoundPayment { payment, status })
    });
    let found = found.collect::<Outcome<Vec<_>>>()?;
    if found.is_empty() && !is_empty {
        return Err(Setback::Unknown("a list of other payments"));
    }
    Ok(PaymentsReply::Found(found))
}

/// Only these refusals are the bank's word about the payment. 202 says that the payer has to confirm the cancellation
/// first (domain contracts §2.7).
fn cancelled(reply: &HttpReply, now: At) -> Outcome<PaymentsReply> {
    match reply.status {
        StatusCode::OK | StatusCode::NO_CONTENT => Ok(PaymentsReply::Cancelled),
        StatusCode::NOT_FOUND => Err(no_such(reply)),
        StatusCode::CONFLICT if planted::is("a refused cancellation is one") => Ok(PaymentsReply::Cancelled),
        StatusCode::CONFLICT | StatusCode::METHOD_NOT_ALLOWED => Err(last_word(reply, "STATUS_INVALID")),
        StatusCode::UNAUTHORIZED if !about_consent(reply) => Err(setback(reply, now)),
        StatusCode::TOO_MANY_REQUESTS => Err(setback(reply, now)),
        _ => Err(Setback::Unknown("the cancellation was not confirmed")),
    }
}

/// After a request with an effect: 408 says nothing, with 409 something stands there, and with 422 the key belongs to
/// another body, so something may stand there too.
fn effect_setback(reply: &HttpReply, now: At) -> Setback {
    match reply.status {
        StatusCode::REQUEST_TIMEOUT => Setback::Unknown("the provider timed out"),
        StatusCode::CONFLICT => Setback::Unknown("something stands there already"),
        StatusCode::UNPROCESSABLE_ENTITY => Setback::Unknown("the key belongs to another request"),
        _ => setback(reply, now),
    }
}

fn no_such(reply: &HttpReply) -> Setback {
    last_word(reply, "RESOURCE_UNKNOWN")
}

fn last_word(reply: &HttpReply, unnamed: &str) -> Setback {
    let code = code(reply).unwrap_or_else(|| unnamed.to_owned());
    Setback::Refused(Refusal { code, class: Class::Final })
}

fn ok<T: DeserializeOwned>(reply: &HttpReply, now: At) -> Outcome<T> {
    if reply.status == StatusCode::OK { parsed(reply) } else { Err(setback(reply, now)) }
}

/// The parser stops at a depth of 128 by itself, and the transport at [`crate::providers::http::BODY_LIMIT`].
fn parsed<T: DeserializeOwned>(reply: &HttpReply) -> Outcome<T> {
    serde_json::from_slice(&reply.body).map_err(|_| UNREADABLE)
}

fn payment_id(text: String) -> Option<ProviderPaymentId> {
    id(text).map(ProviderPaymentId)
}

fn status(code: String) -> Option<TransactionStatus> {
    is_code(&code).then(|| TransactionStatus::from(code))
}

/// An id that can be asked about again: a dot or two would be another address.
fn id(text: String) -> Option<String> {
    plain(text).filter(|text| !matches!(text.as_str(), "." | ".."))
}

/// An id that goes into a header.
fn header_id(text: String) -> Option<String> {
    id(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn plain(text: String) -> Option<String> {
    let length = text.chars().count();
    ((1..=ID_LENGTH).contains(&length) && !text.chars().any(char::is_control)).then_some(text)
}

/// The link where a person approves. One that a browser should not be sent to is left out.
fn sca_link(links: &Value) -> Option<String> {
    let href = links.pointer("/scaRedirect/href")?.as_str()?;
    if href.len() > LINK_LENGTH || !href.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let uri: Uri = href.split('#').next()?.parse().ok()?;
    let of_the_web = matches!(uri.scheme_str(), Some("http" | "https"));
    (of_the_web && uri.host().is_some_and(|host| !host.is_empty())).then(|| href.to_owned())
}

fn consent_status(word: &str) -> ConsentStatus {
    match word {
        "received" => ConsentStatus::Received,
        "partiallyAuthorised" => ConsentStatus::PartiallyAuthorised,
        "valid" => ConsentStatus::Valid,
        "rejected" => ConsentStatus::Rejected,
        "revokedByPsu" => ConsentStatus::RevokedByPsu,
        "expired" => ConsentStatus::Expired,
        "terminatedByTpp" => ConsentStatus::TerminatedByTpp,
        _ => ConsentStatus::Unrecognised,
    }
}

fn availability(word: &str) -> Availability {
    match word {
        "online" => Availability::Online,
        "degraded" => Availability::Degraded,
        "offline" => Availability::Offline,
        _ => Availability::Unrecognised,
    }
}

impl WireBank {
    fn read(self) -> Option<Bank> {
        Some(Bank {
            id: BankId(id(self.id)?),
            name: plain(self.name)?,
            country: plain(self.country)?,
            status: availability(&self.status),
            last_checked: instant(self.last_checked.as_deref()),
        })
    }
}

impl WireAccount {
    fn read(self) -> Option<ConsentedAccount> {
        Some(ConsentedAccount {
            id: AccountId(id(self.resource_id)?),
            iban: Iban::parse(&self.iban).ok()?,
            currency: currency(&self.currency)?,
        })
    }
}

impl WireBalance {
    fn read(self) -> Option<Balance> {
        let WireAmount { currency: code, amount } = self.balance_amount;
        Some(Balance {
            kind: plain(self.balance_type)?,
            amount: Money::parse(&amount, currency(&code)?).ok()?,
            changed_at: instant(self.last_change_date_time.as_deref()),
        })
    }
}

fn currency(code: &str) -> Option<Currency> {
    code.parse().ok()
}

fn instant(text: Option<&str>) -> Option<At> {
    text.and_then(|text| At::parse(text).ok())
}

#[cfg(test)]
mod tests;
