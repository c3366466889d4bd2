//! `/_control`: what tests and operators see and set. Asks for no credentials: this bank is to practise on.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, lock, parse};
use crate::{
    banks::{Bank, BankChange, BankId, Delivery},
    book::{
        Account, AccountId, Consent, ConsentId, ConsentStatus, Fact, NewAccount, Payment, PaymentId, Settings,
    },
    faults::{Fault, Placed},
    refusal::Refusal,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/banks", get(banks))
        .route("/banks/{id}", put(change_bank))
        .route("/faults", get(faults).post(place_fault).delete(clear_faults))
        .route("/faults/{id}", axum::routing::delete(remove_fault))
        .route("/payments", get(payments))
        .route("/payments/{id}", get(payment))
        .route("/payments/{id}/{action}", post(act))
        .route("/consents/{id}", get(consent).put(put_consent))
        .route("/accounts", get(accounts))
        .route("/accounts/{id}", put(put_account))
        .route("/ledger", get(ledger))
        .route("/calls", get(calls).delete(clear_calls))
        .route("/settings", get(settings).put(change_settings))
        .route("/reset", post(reset))
        .fallback(async || Refusal::unknown("control call"))
}

/// A payment as the bank knows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Truth {
    #[serde(flatten)]
    payment: Payment,
    executed_count: usize,
    executed_at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PaymentQuery {
    end_to_end_identification: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Approve,
    Deny,
    Execute,
    Reject,
    Report,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ActionBody {
    reason: Option<String>,
    transaction_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsChange {
    auto_approve: Option<bool>,
    auto_approve_delay_ms: Option<u64>,
    webhooks: Option<Delivery>,
    enforce_frequency: Option<bool>,
    opening_balance: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConsentChange {
    bank_id: Option<BankId>,
    account_id: Option<AccountId>,
    status: Option<ConsentStatus>,
    valid_until: Option<NaiveDate>,
    frequency_per_day: Option<u32>,
}

async fn banks(State(app): State<App>) -> Result<Json<Vec<Bank>>, Refusal> {
    app.office.read(|book, _| Ok(book.banks().cloned().collect())).await.map(Json)
}

/// Changes a bank; a bank nobody knew is added.
async fn change_bank(
    State(app): State<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Bank>, Refusal> {
    let change: BankChange = parse(&body)?;
    let id = BankId(id);
    let changed = app.office.commit(|book, _| {
        let bank =
            book.bank(&id).cloned().unwrap_or_else(|| Bank::named(id.clone(), id.0.clone())).changed(change);
        Ok((vec![Fact::BankConfigured { bank: bank.clone() }], bank))
    });
    changed.await.map(Json)
}

async fn faults(State(app): State<App>) -> Json<Vec<Placed>> {
    Json(lock(&app.faults).placed().to_vec())
}

async fn place_fault(State(app): State<App>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let fault: Fault = parse(&body)?;
    Ok(Json(json!({ "id": lock(&app.faults).place(fault) })))
}

async fn clear_faults(State(app): State<App>) -> StatusCode {
    lock(&app.faults).clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(app): State<App>, Path(id): Path<u64>) -> Result<StatusCode, Refusal> {
    if lock(&app.faults).remove(id) { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::unknown("fault")) }
}

async fn payments(
    State(app): State<App>,
    Query(query): Query<PaymentQuery>,
) -> Result<Json<Vec<Truth>>, Refusal> {
    let truths = app.office.read(|book, _| {
        Ok(match &query.end_to_end_identification {
            Some(id) => book.payments_of(id).cloned().map(Truth::of).collect(),
            None => book.payments().cloned().map(Truth::of).collect(),
        })
    });
    truths.await.map(Json)
}

async fn payment(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Truth>, Refusal> {
    app.truth(&PaymentId(id)).await.map(Json)
}

/// What a person or an operator does to a payment without the browser coming back.
async fn act(
    State(app): State<App>,
    Path((id, action)): Path<(String, Action)>,
    body: Bytes,
) -> Result<Json<Truth>, Refusal> {
    let ActionBody { reason, transaction_status } =
        if body.is_empty() { ActionBody::default() } else { parse(&body)? };
    let id = PaymentId(id);
    let done = app.office.commit(|book, now| {
        let facts = match action {
            Action::Approve => book.approve(&id, now),
            Action::Deny => book.deny(&id),
            Action::Execute => book.force_execution(&id),
            Action::Reject => book.force_rejection(&id, reason.as_deref()),
            Action::Report => book
                .payment(&id)
                .map(|_| vec![Fact::ReportOverridden { payment_id: id.clone(), transaction_status }])
                .ok_or_else(|| Refusal::unknown("payment")),
        };
        facts.map(|facts| (facts, ()))
    });
    done.await?;
    app.truth(&id).await.map(Json)
}

async fn consent(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Consent>, Refusal> {
    let found = app
        .office
        .read(|book, _| book.consent(&ConsentId(id)).cloned().ok_or_else(|| Refusal::unknown("consent")));
    found.await.map(Json)
}

/// Changes a consent; one nobody knew is made, valid and without end, and then needs a `bankId`.
async fn put_consent(
    State(app): State<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Consent>, Refusal> {
    let change: ConsentChange = parse(&body)?;
    let id = ConsentId(id);
    let put = app.office.commit(|book, _| {
        let before = book.consent(&id).cloned();
        let bank = change.bank_id.or_else(|| before.as_ref().map(|consent| consent.bank.clone()));
        let bank = bank.filter(|bank| book.bank(bank).is_some());
        let bank = bank.ok_or_else(|| Refusal::format("bankId: the bank of the consent"))?;
        let before = before.unwrap_or_else(|| Consent::in_force(id.clone(), bank.clone()));
        let consent = Consent {
            bank,
            account_id: change.account_id.or(before.account_id),
            status: change.status.unwrap_or(before.status),
            valid_until: change.valid_until.unwrap_or(before.valid_until),
            frequency_per_day: change.frequency_per_day.unwrap_or(before.frequency_per_day),
            approve_at: None,
            ..before
        };
        Ok((vec![Fact::ConsentPut { consent: consent.clone() }], consent))
    });
    put.await.map(Json)
}

async fn accounts(State(app): State<App>) -> Result<Json<Vec<Account>>, Refusal> {
    app.office.read(|book, _| Ok(book.accounts().cloned().collect())).await.map(Json)
}

async fn put_account(
    State(app): State<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let account: NewAccount = parse(&body)?;
    app.office.commit(|book, _| book.set_account(AccountId(id), account).map(|facts| (facts, ()))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn ledger(State(app): State<App>) -> Result<Response, Refusal> {
    let lines = app.office.ledger_lines().await?;
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

async fn calls(State(app): State<App>) -> Json<Value> {
    Json(app.calls.seen())
}

async fn clear_calls(State(app): State<App>) -> StatusCode {
    app.calls.clear();
    StatusCode::NO_CONTENT
}

async fn settings(State(app): State<App>) -> Result<Json<Settings>, Refusal> {
    app.office.read(|book, _| Ok(book.settings().clone())).await.map(Json)
}

async fn change_settings(State(app): State<App>, body: Bytes) -> Result<Json<Settings>, Refusal> {
    let change: SettingsChange = parse(&body)?;
    let changed = app.office.commit(|book, _| {
        let before = book.settings();
        let settings = Settings {
            auto_approve: change.auto_approve.unwrap_or(before.auto_approve),
            auto_approve_delay_ms: change.auto_approve_delay_ms.unwrap_or(before.auto_approve_delay_ms),
            webhooks: change.webhooks.unwrap_or(before.webhooks),
            enforce_frequency: change.enforce_frequency.unwrap_or(before.enforce_frequency),
            opening_balance: change.opening_balance.unwrap_or(before.opening_balance),
        };
        Ok((vec![Fact::SettingsChanged { settings: settings.clone() }], settings))
    });
    changed.await.map(Json)
}

/// A bank as on its first day; the ledger keeps its lines.
async fn reset(State(app): State<App>) -> Result<StatusCode, Refusal> {
    app.office.commit(|_, _| Ok((vec![Fact::Reset], ()))).await?;
    app.forget();
    Ok(StatusCode::NO_CONTENT)
}

impl super::Premises {
    async fn truth(&self, id: &PaymentId) -> Result<Truth, Refusal> {
        let found = |book: &crate::book::Book, _| {
            book.payment(id).cloned().ok_or_else(|| Refusal::unknown("payment"))
        };
        self.office.read(found).await.map(Truth::of)
    }

    fn forget(&self) {
        lock(&self.faults).clear();
        self.calls.clear();
        lock(&self.reads).clear();
        lock(&self.orders).clear();
    }
}

impl Truth {
    fn of(payment: Payment) -> Self {
        Self {
            executed_count: payment.executions.len(),
            executed_at: payment.executions.first().copied(),
            payment,
        }
    }
}
