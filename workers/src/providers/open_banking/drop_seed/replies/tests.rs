use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use workflows::engine::Finding;
use workflows::ports::{Call, Reply};

use super::*;
use crate::providers::outcome::finding;
use crate::providers::testing::every_call;

/// Answers as they were recorded: `### name`, then status line, headers, an empty line and the body.
const RECORDED: [(&str, &str); 6] = [
    ("initiate", include_str!("../fixtures/initiate.http")),
    ("status", include_str!("../fixtures/status.http")),
    ("locate", include_str!("../fixtures/locate.http")),
    ("cancel", include_str!("../fixtures/cancel.http")),
    ("probe", include_str!("../fixtures/probe.http")),
    ("accounts", include_str!("../fixtures/accounts.http")),
];

fn recorded(operation: &str) -> Vec<(&'static str, HttpReply)> {
    let (_, file) = RECORDED.iter().find(|(name, _)| *name == operation).expect("a file");
    file.split("### ").skip(1).map(reply).collect()
}

fn reply(recorded: &'static str) -> (&'static str, HttpReply) {
    let (name, message) = recorded.split_once('\n').expect("a name");
    let (head, body) = message.split_once("\n\n").expect("an empty line");
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    let headers = fields.lines().map(|field| {
        let (name, value) = field.split_once(": ").expect("a field");
        (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_static(value))
    });
    let headers = headers.collect();
    (name, HttpReply { status, headers, body: Bytes::from_static(body.trim_end().as_bytes()) })
}

fn call(operation: &str) -> PaymentsCall {
    let found = every_call().into_iter().find(|(name, _)| *name == operation);
    match found.expect("an operation") {
        (_, Call::Payments(call)) => call,
        (_, other) => panic!("{other:?} is not about a payment"),
    }
}

/// Reads every recorded answer of an operation and compares it with the table, which has a line for each.
fn claims(operation: &str, expected: &[(&str, Finding)]) {
    let call = call(operation);
    let recorded = recorded(operation);
    let names: BTreeSet<_> = recorded.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect(), "each has its line");
    for (name, reply) in recorded {
        let (_, expected) = expected.iter().find(|(line, _)| *line == name).expect("compared above");
        assert_eq!(finding(payment(&call, &reply, At::EPOCH)), *expected, "{operation}: {name}");
    }
}

fn created(status: TransactionStatus, sca: Option<&str>) -> Finding {
    let payment = ProviderPaymentId("pmt-7f".to_owned());
    Finding::Done(Reply::Payments(PaymentsReply::Created { payment, status, sca: sca.map(str::to_owned) }))
}

fn standing(status: TransactionStatus, reason: Option<&str>) -> Finding {
    Finding::Done(Reply::Payments(PaymentsReply::Standing { status, reason: reason.map(str::to_owned) }))
}

fn found(payments: &[(&str, TransactionStatus)]) -> Finding {
    let found = payments.iter().map(|(id, status)| FoundPayment {
        payment: ProviderPaymentId((*id).to_owned()),
        status: status.clone(),
    });
    Finding::Done(Reply::Payments(PaymentsReply::Found(found.collect())))
}

fn refused(code: &str, class: Class) -> Finding {
    Finding::Refused(Refusal { code: code.to_owned(), class })
}

fn limited(code: &str, seconds: Option<u64>) -> Finding {
    refused(code, Class::RateLimited { retry_after: seconds.map(Duration::from_secs) })
}

fn unknown(why: &'static str) -> Finding {
    Finding::Unknown(why)
}

const CANNOT_READ: &str = "an answer that cannot be read";
const NO_CODE: &str = "an error without a code";

#[test]
fn an_initiation_is_created_refused_or_unknown() {
    let link = Some("https://dnb.example/sca/pmt-7f");
    let rcvd = TransactionStatus::Rcvd;
    claims(
        "initiate",
        &[
            ("created", created(rcvd.clone(), link)),
            ("replayed", created(TransactionStatus::Acsc, link)),
            ("created without link", created(TransactionStatus::Actc, None)),
            (
                "created with fields of tomorrow",
                created(rcvd.clone(), Some("http://localhost:4000/sca?x=1#top")),
            ),
            ("link that runs a script", created(rcvd.clone(), None)),
            ("link without host", created(rcvd.clone(), None)),
            ("link with a line break", created(rcvd.clone(), None)),
            ("links that are none", created(rcvd, None)),
            ("unknown status", created(TransactionStatus::Unrecognised("PART".to_owned()), None)),
            ("garbage", unknown(CANNOT_READ)),
            ("created but empty", unknown(CANNOT_READ)),
            ("created but a list", unknown(CANNOT_READ)),
            ("without id", unknown(CANNOT_READ)),
            ("empty id", unknown(CANNOT_READ)),
            ("id of dots", unknown(CANNOT_READ)),
            ("id with control character", unknown(CANNOT_READ)),
            ("id without end", unknown(CANNOT_READ)),
            ("id that is a number", unknown(CANNOT_READ)),
            ("two ids", unknown(CANNOT_READ)),
            ("without status", unknown(CANNOT_READ)),
            ("status that is prose", unknown(CANNOT_READ)),
            ("accepted", unknown("an answer that the contract does not know")),
            ("no content", unknown("an answer that the contract does not know")),
            ("moved", unknown("the provider redirects")),
            ("not modified", unknown("the provider redirects")),
            ("invalid iban", refused("INVALID_IBAN", Class::Final)),
            ("insufficient funds", refused("INSUFFICIENT_FUNDS", Class::Final)),
            ("warning before the error", refused("LIMIT_EXCEEDED", Class::Final)),
            ("problem", refused("PAYMENT_FAILED", Class::Final)),
            ("json that is no problem", unknown(NO_CODE)),
            ("bad request of a proxy", unknown(NO_CODE)),
            ("bad request with only a warning", unknown(NO_CODE)),
            ("code that is prose", unknown(NO_CODE)),
            ("code without end", unknown(NO_CODE)),
            ("bank timed out in a 400", unknown("the bank timed out")),
            ("consent expired", refused("CONSENT_EXPIRED", Class::Consent)),
            ("consent invalid in a 403", refused("CONSENT_INVALID", Class::Consent)),
            ("key unknown", refused("invalid_api_key", Class::Credential)),
            ("key unknown in a 403", refused("invalid_api_key", Class::Credential)),
            ("unauthorised without a word", refused("UNAUTHORIZED", Class::Credential)),
            ("product unknown", refused("PRODUCT_UNKNOWN", Class::Final)),
            ("not found by a proxy", unknown(NO_CODE)),
            ("method not allowed by a proxy", unknown(NO_CODE)),
            ("timed out", unknown("the provider timed out")),
            ("something stands there", unknown("something stands there already")),
            ("key of another body", unknown("the key belongs to another request")),
            ("too many calls", limited("RATE_LIMIT_EXCEEDED", Some(7))),
            ("too many calls until a date", limited("RATE_LIMIT_EXCEEDED", Some(90))),
            ("too many calls until long ago", limited("RATE_LIMIT_EXCEEDED", Some(0))),
            ("too many calls for ever", limited("ACCESS_EXCEEDED", Some(86_400))),
            ("too many calls, some time", limited("RATE_LIMIT_EXCEEDED", None)),
            ("access exceeded in a 403", limited("ACCESS_EXCEEDED", Some(60))),
            ("failed with a code", unknown("the provider failed")),
            ("bad gateway", unknown("the provider failed")),
            ("unavailable", unknown("the bank failed")),
            ("gateway timed out", unknown("the bank failed")),
        ],
    );
}

#[test]
fn a_status_is_what_the_bank_says_and_nothing_else() {
    claims(
        "status",
        &[
            ("settled", standing(TransactionStatus::Acsc, None)),
            ("rejected", standing(TransactionStatus::Rjct, Some("INSUFFICIENT_FUNDS"))),
            ("rejected in prose", standing(TransactionStatus::Rjct, None)),
            ("rejected with an object", standing(TransactionStatus::Rjct, None)),
            ("unknown status", standing(TransactionStatus::Unrecognised("XYZ".to_owned()), None)),
            ("status without end", unknown(CANNOT_READ)),
            ("empty object", unknown(CANNOT_READ)),
            ("garbage", unknown(CANNOT_READ)),
            ("created is no status", unknown("an answer that the contract does not know")),
            ("unknown payment", refused("RESOURCE_UNKNOWN", Class::Final)),
            ("not found by a proxy", refused("RESOURCE_UNKNOWN", Class::Final)),
            ("not offered", refused("SERVICE_INVALID", Class::Final)),
            ("too many calls", limited("RATE_LIMIT_EXCEEDED", Some(7))),
            ("key unknown", refused("invalid_api_key", Class::Credential)),
            ("unavailable", unknown("the bank failed")),
        ],
    );
}

#[test]
fn no_payment_is_found_only_when_the_bank_says_so() {
    claims(
        "locate",
        &[
            ("none", found(&[])),
            ("one", found(&[("pmt-7f", TransactionStatus::Rcvd)])),
            (
                "several and somebody else's",
                found(&[("pmt-7f", TransactionStatus::Rcvd), ("pmt-9", TransactionStatus::Rjct)]),
            ),
            ("only somebody else's", unknown("a list of other payments")),
            ("somebody else's that is broken", found(&[("pmt-7f", TransactionStatus::Rcvd)])),
            ("in capitals", found(&[("pmt-7f", TransactionStatus::Rcvd)])),
            ("ours without id", unknown(CANNOT_READ)),
            ("ours with an absurd id", unknown(CANNOT_READ)),
            ("ours without status", unknown(CANNOT_READ)),
            ("without end-to-end id", unknown(CANNOT_READ)),
            ("no list", unknown(CANNOT_READ)),
            ("null", unknown(CANNOT_READ)),
            ("empty body", unknown(CANNOT_READ)),
            ("no content", unknown("an answer that the contract does not know")),
            ("not found", refused("RESOURCE_UNKNOWN", Class::Final)),
            ("not found by a proxy", unknown(NO_CODE)),
            ("not offered", refused("SERVICE_INVALID", Class::Final)),
            ("consent expired", refused("CONSENT_EXPIRED", Class::Consent)),
            ("failed", unknown("the provider failed")),
        ],
    );
}

#[test]
fn a_cancellation_is_confirmed_refused_by_the_payments_state_or_unknown() {
    let unconfirmed = || unknown("the cancellation was not confirmed");
    claims(
        "cancel",
        &[
            ("cancelled", Finding::Done(Reply::Payments(PaymentsReply::Cancelled))),
            ("cancelled with a body", Finding::Done(Reply::Payments(PaymentsReply::Cancelled))),
            ("to be confirmed", unconfirmed()),
            ("under execution", refused("STATUS_INVALID", Class::Final)),
            ("under execution, wordless", refused("STATUS_INVALID", Class::Final)),
            ("cancellation invalid", refused("CANCELLATION_INVALID", Class::Final)),
            ("unknown payment", refused("RESOURCE_UNKNOWN", Class::Final)),
            ("unknown payment, wordless", refused("RESOURCE_UNKNOWN", Class::Final)),
            ("format error", unconfirmed()),
            ("consent expired", unconfirmed()),
            ("key unknown", refused("invalid_api_key", Class::Credential)),
            ("too many calls", limited("RATE_LIMIT_EXCEEDED", Some(7))),
            ("other body", unconfirmed()),
            ("timed out", unconfirmed()),
            ("failed", unconfirmed()),
        ],
    );
}

#[test]
fn a_provider_is_ready_when_it_says_so() {
    claims(
        "probe",
        &[
            ("ready", Finding::Done(Reply::Payments(PaymentsReply::Ready))),
            ("ready, a bank that is not listed", Finding::Done(Reply::Payments(PaymentsReply::Ready))),
            ("ready, another bank offline", Finding::Done(Reply::Payments(PaymentsReply::Ready))),
            ("ready, entries that cannot be read", Finding::Done(Reply::Payments(PaymentsReply::Ready))),
            ("the bank offline", unknown("the provider does not reach the bank")),
            ("a page of somebody else", unknown(CANNOT_READ)),
            ("nothing said", unknown("the provider is not healthy")),
            ("key unknown", refused("invalid_api_key", Class::Credential)),
            ("forbidden", refused("FORBIDDEN", Class::Credential)),
            ("too many calls", limited("RATE_LIMIT_EXCEEDED", Some(7))),
            ("not found", unknown("the provider is not healthy")),
            ("unavailable", unknown("the provider failed")),
            ("moved", unknown("the provider is not healthy")),
        ],
    );
}

#[test]
fn accounts_and_consents_are_read_with_the_same_four_outcomes() {
    let recorded = recorded("accounts");
    let reply = |name: &str| &recorded.iter().find(|(line, _)| *line == name).expect("recorded").1;
    let at = At::EPOCH;
    let cannot_read = Setback::Unknown(CANNOT_READ);
    let no = |code: &str, class| Setback::Refused(Refusal { code: code.to_owned(), class });
    let checked = At::parse("2026-02-23T08:00:00Z").expect("a time");

    let listed = banks(reply("banks"), at).expect("banks");
    let states: Vec<_> =
        listed.iter().map(|bank| (bank.id.0.as_str(), bank.status, bank.last_checked)).collect();
    let expected = [
        ("dnb", Availability::Online, Some(checked)),
        ("nordea", Availability::Degraded, None),
        ("x", Availability::Offline, None),
        ("y", Availability::Unrecognised, None),
    ];
    assert_eq!(states, expected);
    assert_eq!(banks(reply("banks, one without id"), at), Err(cannot_read.clone()));

    let asked = consent_created(reply("consent asked"), at).expect("a consent");
    assert_eq!((asked.id.0.as_str(), asked.status), ("cns-1", ConsentStatus::Received));
    assert_eq!(asked.sca.as_deref(), Some("https://dnb.example/sca/cns-1"));
    assert_eq!(consent_created(reply("consent with an id for no header"), at), Err(cannot_read.clone()));
    let exists = Setback::Unknown("something stands there already");
    assert_eq!(consent_created(reply("consent exists"), at), Err(exists));

    let valid = consent(reply("consent valid"), at).expect("a consent");
    assert_eq!(valid.status, ConsentStatus::Valid);
    assert_eq!(valid.valid_until, NaiveDate::from_ymd_opt(2027, 2, 20));
    assert_eq!(valid.accounts.len(), 1);
    assert_eq!(valid.accounts[0].iban.as_str(), "NO9386011117947");
    let expired = consent(reply("consent expired"), at).expect("a consent");
    assert_eq!((expired.status, expired.accounts.len()), (ConsentStatus::Expired, 0));
    assert_eq!(consent(reply("consent with a wrong account"), at), Err(cannot_read.clone()));
    assert_eq!(consent(reply("consent unknown"), at), Err(no("RESOURCE_UNKNOWN", Class::Final)));

    assert_eq!(consent_revoked(reply("consent revoked"), at), Ok(()));
    assert_eq!(consent_revoked(reply("consent unknown"), at), Err(no("RESOURCE_UNKNOWN", Class::Final)));
    assert_eq!(consent_revoked(reply("failed"), at), Err(Setback::Unknown("the provider failed")));

    let read = balances(reply("balances"), at).expect("balances");
    let amounts: Vec<_> = read.iter().map(|balance| (balance.amount, balance.changed_at)).collect();
    let expected =
        [(Money::new(4_523_000, Currency::NOK), Some(checked)), (Money::new(-150, Currency::EUR), None)];
    assert_eq!(amounts, expected);
    for name in ["balance as a number", "balance with too many decimals"] {
        assert_eq!(balances(reply(name), at), Err(cannot_read.clone()), "{name}");
    }
    let expired = no("CONSENT_EXPIRED", Class::Consent);
    assert_eq!(balances(reply("balance under an expired consent"), at), Err(expired));
    let often = no("ACCESS_EXCEEDED", Class::RateLimited { retry_after: None });
    assert_eq!(balances(reply("balance read too often"), at), Err(often));
}

#[test]
fn a_body_too_deep_to_read_proves_nothing() {
    let depth = 100_000;
    let body = format!(r#"{{"paymentId":"a","transactionStatus":"RCVD","x":{}"#, "[".repeat(depth));
    for (status, expected) in [(201, CANNOT_READ), (400, NO_CODE)] {
        let status = StatusCode::from_u16(status).expect("a status");
        let reply = HttpReply { status, headers: HeaderMap::new(), body: Bytes::from(body.clone()) };
        assert_eq!(finding(payment(&call("initiate"), &reply, At::EPOCH)), unknown(expected));
    }
}

/// Cuts every recorded body at every byte and breaks every byte, under its own status and under others.
#[test]
fn no_damage_to_a_body_makes_a_refusal_out_of_a_success_or_a_panic() {
    let others = [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED];
    let mut seen = BTreeSet::new();
    let mut read = 0_u32;
    for (operation, _) in RECORDED {
        for (name, whole) in recorded(operation) {
            if whole.body.len() > 150 || !seen.insert((operation, whole.body.clone())) {
                continue;
            }
            for body in damaged(&whole.body) {
                for status in others.iter().chain([&whole.status]) {
                    let reply =
                        HttpReply { status: *status, headers: whole.headers.clone(), body: body.clone() };
                    if operation == "accounts" {
                        let _ = (banks(&reply, At::EPOCH), consent_created(&reply, At::EPOCH));
                        let _ = (consent(&reply, At::EPOCH), balances(&reply, At::EPOCH));
                        continue;
                    }
                    let finding = finding(payment(&call(operation), &reply, At::EPOCH));
                    let sound = match &finding {
                        Finding::Done(_) => status.is_success(),
                        Finding::Refused(no) => status.is_client_error() && is_code(&no.code),
                        Finding::Unknown(_) => true,
                        Finding::NotSent(_) => false,
                    };
                    assert!(sound, "{operation}: {name} under {status}: {finding:?}");
                    read += 1;
                }
            }
        }
    }
    assert!(read > 20_000, "only {read} were read");
}

fn damaged(whole: &Bytes) -> Vec<Bytes> {
    let cut = (0..whole.len()).map(|length| whole.slice(..length));
    let broken = (0..whole.len()).map(|place| {
        let mut bytes = whole.to_vec();
        // Another bit each time, so that quotes, braces, digits and letters all turn into something else.
        bytes[place] ^= 1 << (place % 8);
        Bytes::from(bytes)
    });
    cut.chain(broken).collect()
}
