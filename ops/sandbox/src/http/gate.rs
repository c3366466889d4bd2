//! Every call of the contract passes here: it is counted, and struck by what an operator has placed.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{
        Method, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{App, Premises, headers, lock};
use crate::{
    banks::{Availability, BankId},
    book::{AccountId, ConsentId, PaymentId},
    faults::{Fault, Kind, LateAnswer, Operation, Weather},
    iban::Iban,
    ports,
    refusal::Refusal,
    wire::Switch,
};

const BODY_LIMIT: usize = 256 * 1024;
/// Longer than any client waits.
const HANG: Duration = Duration::from_mins(10);

/// What the client gets.
enum Ending {
    Answer(Response),
    Reset,
    Hang,
}

pub(super) async fn pass(
    State(app): State<App>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let operation = Operation::of(&parts.method, parts.uri.path());
    let call = app.calls.begin(operation, ports::now().timestamp());
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        call.ended(StatusCode::PAYLOAD_TOO_LARGE.as_str());
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "FORMAT_ERROR", "the body is too large")
            .into_response();
    };
    let addressed = app.addressed(operation, &parts, &body);
    let request = Request::from_parts(parts, Body::from(body));

    match app.ending(operation, addressed, request, next).await {
        Ending::Answer(answer) => {
            call.ended(answer.status().as_str());
            answer
        }
        Ending::Reset => {
            call.ended("reset");
            cut(&switch)
        }
        Ending::Hang => {
            let mut closing = app.closing.clone();
            tokio::select! {
                () = tokio::time::sleep(HANG) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
            drop(call);
            cut(&switch)
        }
    }
}

/// The bank a call is for, and how that bank is.
struct Addressed {
    bank: BankId,
    offline: bool,
    late_create: Duration,
}

/// What the gate needs of a body, however wrong the rest of it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    #[serde(rename = "debtorAccount")]
    debtor_account: Option<Debtor>,
    #[serde(rename = "endToEndIdentification")]
    end_to_end: Option<String>,
    #[serde(rename = "bankId")]
    bank: Option<BankId>,
}

#[derive(Deserialize)]
struct Debtor {
    iban: Option<String>,
}

impl Premises {
    async fn ending(
        &self,
        operation: Operation,
        to: Option<Addressed>,
        request: Request,
        next: Next,
    ) -> Ending {
        if let Some(to) = to.as_ref().filter(|to| to.offline) {
            return Ending::Answer(unavailable("the bank is offline", None).at(&to.bank).into_response());
        }
        let bank = to.as_ref().map(|to| &to.bank);
        let Weather { latency_ms, fault } = lock(&self.faults).strike(operation, bank);
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
        let late = to.as_ref().map_or(Duration::ZERO, |to| to.late_create);
        let done = async move || perform(operation, late, request, next).await;
        let Some(fault) = fault else { return Ending::Answer(done().await) };
        match fault.kind {
            Kind::Latency => Ending::Answer(done().await),
            Kind::LateCreate => {
                let late = Duration::from_millis(fault.latency_ms);
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    done().await
                });
                match fault.answer {
                    LateAnswer::Error => Ending::Answer(error(&fault, bank)),
                    LateAnswer::Reset => Ending::Reset,
                    LateAnswer::Hang => Ending::Hang,
                }
            }
            Kind::ErrorBefore => Ending::Answer(error(&fault, bank)),
            Kind::ErrorAfter => {
                done().await;
                Ending::Answer(error(&fault, bank))
            }
            Kind::ResetBefore => Ending::Reset,
            Kind::ResetAfter => {
                done().await;
                Ending::Reset
            }
            Kind::HangAfter => {
                done().await;
                Ending::Hang
            }
            Kind::Garbage => Ending::Answer(garbled(done().await)),
            Kind::Outage => {
                Ending::Answer(named(unavailable("the bank cannot be reached", fault.retry_after), bank))
            }
            Kind::RateLimit => {
                let refusal =
                    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", "too many requests");
                Ending::Answer(named(refusal.retry_after(Some(fault.retry_after.unwrap_or(1))), bank))
            }
        }
    }

    fn addressed(&self, operation: Operation, parts: &Parts, body: &Bytes) -> Option<Addressed> {
        let id = || parts.uri.path().split('/').nth(3).unwrap_or_default().to_owned();
        let consent = headers::consent_id(&parts.headers).ok().flatten();
        let outline = if parts.method == Method::POST { serde_json::from_slice(body).ok() } else { None };
        let Outline { debtor_account, end_to_end, bank } = outline.unwrap_or_default();
        let looked_up = super::payments::end_to_end_of(&parts.uri).unwrap_or_default();
        let sent_to = lock(&self.orders).get(&looked_up).cloned();

        let addressed = self.office.peek(|book, _| {
            let of_consent = |id: &ConsentId| book.consent(id).map(|consent| consent.bank.clone());
            let consented = consent.as_ref().and_then(of_consent);
            let bank = match operation {
                Operation::Initiate => {
                    let debtor = debtor_account
                        .and_then(|debtor| debtor.iban)
                        .and_then(|iban| Iban::parse(&iban).ok());
                    book.bank_for(consent.as_ref(), debtor.as_ref())
                }
                Operation::Status | Operation::Cancel => {
                    book.payment(&PaymentId(id())).map(|payment| payment.bank.clone())
                }
                Operation::Consent => bank.or_else(|| of_consent(&ConsentId(id()))),
                Operation::Balances => {
                    consented.or_else(|| book.account(&AccountId(id())).map(|account| account.bank.clone()))
                }
                Operation::Locate => consented
                    .or(sent_to)
                    .or_else(|| book.payments_of(&looked_up).next().map(|payment| payment.bank.clone())),
                Operation::Token
                | Operation::Health
                | Operation::Banks
                | Operation::Other
                | Operation::Any => None,
            };
            let bank = book.bank(&bank?)?;
            Some(Addressed {
                bank: bank.id.clone(),
                offline: bank.status == Availability::Offline,
                late_create: Duration::from_millis(bank.conduct.late_create_ms),
            })
        })?;
        if let Some(order) = end_to_end.filter(|_| operation == Operation::Initiate) {
            lock(&self.orders).insert(order, addressed.bank.clone());
        }
        Some(addressed)
    }
}

/// Does the call. A bank that creates late does so even when the client has gone.
async fn perform(operation: Operation, late: Duration, request: Request, next: Next) -> Response {
    if operation != Operation::Initiate || late.is_zero() {
        return next.run(request).await;
    }
    tokio::spawn(perform_later(late, request, next))
        .await
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn perform_later(late: Duration, request: Request, next: Next) -> Response {
    tokio::time::sleep(late).await;
    next.run(request).await
}

fn error(fault: &Fault, bank: Option<&BankId>) -> Response {
    let refusal = Refusal::new(fault.http_status(), &fault.code, "this fault was asked for");
    named(refusal.retry_after(fault.retry_after), bank)
}

fn unavailable(text: &str, retry_after: Option<u64>) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "BANK_API_TIMEOUT", text).retry_after(retry_after)
}

fn named(refusal: Refusal, bank: Option<&BankId>) -> Response {
    Refusal { bank: bank.cloned(), ..refusal }.into_response()
}

/// The status of the true answer with a body that stops in the middle of something else.
fn garbled(mut answer: Response) -> Response {
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer.headers_mut().remove(CONTENT_TYPE);
    *answer.body_mut() = Body::from("{\"paymentId\":\"<html><body>Proxy err");
    answer
}

fn cut(switch: &Switch) -> Response {
    switch.cut();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
