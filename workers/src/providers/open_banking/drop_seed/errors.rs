//! Which "no" is a proof that nothing happened, and who can do something about it.
//!
//! A 4xx proves it when its body names a code, and a 401 and a 429 do without one. Nothing else does: a 5xx, a 408, a
//! page of some proxy or a bank that timed out behind the aggregator may all follow a payment that was created.

use std::time::Duration;

use chrono::DateTime;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;
use workflows::engine::{Class, Refusal};
use workflows::planted;
use workflows::time::At;

use crate::providers::http::HttpReply;
use crate::providers::outcome::{PROVIDER_FAILED, Setback};

/// What an answer proves that is not the one hoped for.
pub(super) fn setback(reply: &HttpReply, now: At) -> Setback {
    let code = code(reply);
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => {
            let class = Class::RateLimited { retry_after: retry_after(reply, now) };
            refused(code.unwrap_or_else(|| "RATE_LIMIT_EXCEEDED".to_owned()), class)
        }
        StatusCode::UNAUTHORIZED => {
            let code = code.unwrap_or_else(|| "UNAUTHORIZED".to_owned());
            let class = if is_consent(&code) { Class::Consent } else { Class::Credential };
            refused(code, class)
        }
        status if status.is_client_error() => match code {
            Some(code) if code == BANK_TIMED_OUT => Setback::Unknown("the bank timed out"),
            Some(code) => {
                let class = class(&code, reply, now);
                refused(code, class)
            }
            None => Setback::Unknown("an error without a code"),
        },
        status if status.is_server_error() && planted::is("a 5xx is a refusal") => {
            refused("PAYMENT_FAILED".to_owned(), Class::Final)
        }
        status if status.is_server_error() && blames_a_bank(reply) => Setback::Unknown(BANK_FAILED),
        status if status.is_server_error() => Setback::Unknown(PROVIDER_FAILED),
        status if status.is_redirection() => Setback::Unknown("the provider redirects"),
        _ => Setback::Unknown("an answer that the contract does not know"),
    }
}

/// The provider's own code, where the answer carries one in a form that can be trusted: `tppMessages`, or RFC 9457
/// with a `code` (domain contracts §2.5).
pub(super) fn code(reply: &HttpReply) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(&reply.body).ok()?;
    let told = body.tpp_messages.into_iter().find(|told| told.category.as_deref() != Some("WARNING"));
    let problem = is_problem(reply).then_some(body.code).flatten();
    told.map(|told| told.code).or(problem).filter(|code| is_code(code))
}

/// Whether an error says at which bank it happened.
fn blames_a_bank(reply: &HttpReply) -> bool {
    #[derive(Deserialize)]
    struct Blame {
        bank: String,
    }
    serde_json::from_slice::<Blame>(&reply.body).is_ok_and(|blame| !blame.bank.is_empty())
}

/// Whether a text has the form of a code, which keeps the provider's prose out of history and logs.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a code is about the customer's consent.
pub(super) fn is_consent(code: &str) -> bool {
    code.starts_with("CONSENT_")
}

/// The aggregator gave up on the bank: the bank may still do it.
const BANK_TIMED_OUT: &str = "BANK_API_TIMEOUT";

/// The bank behind the aggregator failed.
const BANK_FAILED: &str = "the bank failed";

/// The longest wait that a provider can ask for: the day after which a consent's reads are counted anew.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "tppMessages", default)]
    tpp_messages: Vec<Told>,
    code: Option<String>,
}

#[derive(Deserialize)]
struct Told {
    category: Option<String>,
    code: String,
}

fn class(code: &str, reply: &HttpReply, now: At) -> Class {
    match code {
        "RATE_LIMIT_EXCEEDED" | "ACCESS_EXCEEDED" => {
            Class::RateLimited { retry_after: retry_after(reply, now) }
        }
        "invalid_api_key" | "TOKEN_UNKNOWN" | "TOKEN_INVALID" | "TOKEN_EXPIRED" => Class::Credential,
        code if is_consent(code) => Class::Consent,
        _ => Class::Final,
    }
}

fn refused(code: String, class: Class) -> Setback {
    Setback::Refused(Refusal { code, class })
}

fn is_problem(reply: &HttpReply) -> bool {
    let kind = reply.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/problem+json"))
}

/// RFC 9110 §10.2.3: seconds or a date.
fn retry_after(reply: &HttpReply, now: At) -> Option<Duration> {
    let text = reply.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let until_date = || {
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        Some(At::from_millis(date.timestamp_millis()).since(now))
    };
    seconds.or_else(until_date).map(|wait| wait.min(LONGEST_WAIT))
}
