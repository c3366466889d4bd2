//! From a question to method, path, headers and body.

use std::net::IpAddr;

use chrono::NaiveDate;
use http::{HeaderName, Method};
use serde::Serialize;
use uuid::Uuid;
use workflows::accounts::Bic;
use workflows::planted;
use workflows::ports::PaymentsCall;
use workflows::ports::payments::{CreditorAccount, Initiation, Product, ReplayKey};

use super::super::accounts::{AccountId, ConsentId, ConsentRequest};
use crate::providers::http::{HttpFault, HttpRequest, escaped};

type Drafted = Result<HttpRequest, HttpFault>;

/// A question about a payment. `fresh` names the attempt where the payment has no key of its own.
pub(in super::super) fn payment(call: &PaymentsCall, fresh: Uuid) -> Drafted {
    match call {
        PaymentsCall::Initiate(initiation) => initiate(initiation, fresh),
        PaymentsCall::Status { payment, .. } => {
            new(Method::GET, format!("/v1/payments/{}/status", escaped(&payment.0)), fresh)
        }
        PaymentsCall::Locate { end_to_end, .. } => {
            let wanted = escaped(end_to_end.as_str());
            new(Method::GET, format!("/v1/payments?endToEndIdentification={wanted}"), fresh)
        }
        PaymentsCall::Cancel { payment, .. } => {
            new(Method::DELETE, format!("/v1/payments/{}", escaped(&payment.0)), fresh)
        }
        // Real contracts have no call for it, and one that asks for no credentials would not show whether we have any.
        PaymentsCall::Probe { .. } => banks(fresh),
    }
}

/// `GET /banks`
pub(in super::super) fn banks(fresh: Uuid) -> Drafted {
    new(Method::GET, "/banks", fresh)
}

/// `POST /v1/consents`
pub(in super::super) fn consent_create(wanted: &ConsentRequest, fresh: Uuid) -> Drafted {
    new(Method::POST, "/v1/consents", fresh)?
        .with(REDIRECT_URI, &wanted.redirect_uri)?
        .with_any(PSU_IP_ADDRESS, ip(wanted.psu_ip).as_deref())?
        .json(&ConsentBody {
            bank_id: &wanted.bank.0,
            account_id: wanted.account.as_ref().map(|account| account.0.as_str()),
            valid_until: wanted.valid_until,
            frequency_per_day: 4,
            recurring_indicator: true,
        })
}

/// `GET /v1/consents/{id}`
pub(in super::super) fn consent_status(consent: &ConsentId, fresh: Uuid) -> Drafted {
    new(Method::GET, format!("/v1/consents/{}", escaped(&consent.0)), fresh)
}

/// `DELETE /v1/consents/{id}`
pub(in super::super) fn consent_revoke(consent: &ConsentId, fresh: Uuid) -> Drafted {
    new(Method::DELETE, format!("/v1/consents/{}", escaped(&consent.0)), fresh)
}

/// `GET /v1/accounts/{accountId}/balances`
pub(in super::super) fn balances(
    account: &AccountId,
    consent: &ConsentId,
    psu_ip: Option<IpAddr>,
    fresh: Uuid,
) -> Drafted {
    new(Method::GET, format!("/v1/accounts/{}/balances", escaped(&account.0)), fresh)?
        .with(CONSENT_ID, &consent.0)?
        .with_any(PSU_IP_ADDRESS, ip(psu_ip).as_deref())
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CONSENT_ID: HeaderName = HeaderName::from_static("x-consent-id");
const REDIRECT_URI: HeaderName = HeaderName::from_static("tpp-redirect-uri");
const PSU_IP_ADDRESS: HeaderName = HeaderName::from_static("psu-ip-address");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody<'a> {
    debtor_account: Account<'a>,
    instructed_amount: Amount<'a>,
    creditor_name: &'a str,
    creditor_account: Account<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creditor_agent: Option<&'a str>,
    end_to_end_identification: &'a str,
    remittance_information_unstructured: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Account<'a> {
    Iban(&'a str),
    Bban(&'a str),
}

#[derive(Serialize)]
struct Amount<'a> {
    currency: &'a str,
    amount: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsentBody<'a> {
    bank_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    valid_until: NaiveDate,
    frequency_per_day: u8,
    recurring_indicator: bool,
}

fn new(method: Method, target: impl Into<String>, request_id: Uuid) -> Drafted {
    HttpRequest::new(method, target).with(REQUEST_ID, &request_id.to_string())
}

/// The payment's own key on every attempt makes a repetition safe (profile, replay rule).
fn initiate(initiation: &Initiation, fresh: Uuid) -> Drafted {
    let product = match initiation.product {
        Product::CreditTransfer => "sepa-credit-transfers",
        Product::Domestic => "domestic-transfer",
    };
    new(Method::POST, format!("/v1/payments/{product}"), fresh)?
        .with_any(REQUEST_ID, key_of(initiation))?
        .with_any(CONSENT_ID, initiation.consent.as_deref())?
        .with(REDIRECT_URI, &initiation.redirect_uri)?
        .with_any(PSU_IP_ADDRESS, ip(initiation.psu_ip).as_deref())?
        .json(&PaymentBody {
            debtor_account: Account::Iban(initiation.debtor.as_str()),
            instructed_amount: Amount {
                currency: initiation.amount.currency.as_str(),
                amount: amount_of(initiation),
            },
            creditor_name: initiation.creditor_name.as_str(),
            creditor_account: match &initiation.creditor {
                CreditorAccount::Iban(iban) => Account::Iban(iban.as_str()),
                CreditorAccount::Bban(bban) => Account::Bban(bban.as_str()),
            },
            creditor_agent: initiation.creditor_agent.as_ref().map(Bic::as_str),
            end_to_end_identification: initiation.end_to_end.as_str(),
            remittance_information_unstructured: initiation.remittance_information.as_str(),
        })
}

/// The key that makes a repetition safe.
fn key_of(initiation: &Initiation) -> Option<&str> {
    if planted::is("a new key for each attempt") {
        return None;
    }
    initiation.replay_key.as_ref().map(ReplayKey::as_str)
}

fn amount_of(initiation: &Initiation) -> String {
    let mut amount = initiation.amount;
    if planted::is("an amount without its øre") {
        amount.minor -= amount.minor % 100;
    }
    amount.to_decimal_string()
}

fn ip(address: Option<IpAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

#[cfg(test)]
mod tests;
