//! Health, banks and balances.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{App, headers, lock};
use crate::{
    book::{Account, AccountId, Consent},
    ports,
    refusal::Refusal,
};

/// `GET /health`
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /banks`
pub(super) async fn banks(State(app): State<App>) -> Result<Json<Value>, Refusal> {
    let banks = app.office.read(|book, now| {
        let entries = book.banks().map(|bank| {
            json!({
                "id": bank.id, "name": bank.name, "country": bank.country,
                "status": bank.status, "lastChecked": now,
            })
        });
        Ok(entries.collect::<Value>())
    });
    banks.await.map(Json)
}

/// `GET /v1/accounts/{accountId}/balances`
pub(super) async fn balances(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let consent = headers::consent_id(&headers)?.ok_or_else(|| Refusal::format("X-Consent-ID is missing"))?;
    let unattended = headers::psu_ip(&headers)?.is_none();
    let balances = app.office.read(|book, now| {
        let consent = book.consent_in_force(&consent, now)?;
        let account = book.account(&AccountId(id)).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, "ACCOUNT_NOT_FOUND", "no such account").at(&consent.bank)
        })?;
        if !consent.covers(account) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "ACCOUNT_NOT_ACCESSIBLE",
                "the consent does not cover this account",
            )
            .at(&consent.bank));
        }
        if unattended && book.settings().enforce_frequency {
            app.count_read(consent, now)?;
        }
        Ok(shown(account))
    });
    balances.await.map(Json)
}

impl super::Premises {
    /// Counts a read without a person; RTS (EU) 2018/389 Art. 36(5)(b) limits them per day.
    fn count_read(&self, consent: &Consent, now: DateTime<Utc>) -> Result<(), Refusal> {
        let mut reads = lock(&self.reads);
        let today = now.date_naive();
        let (day, count) = reads.entry(consent.consent_id.clone()).or_insert((today, 0));
        if *day != today {
            (*day, *count) = (today, 0);
        }
        if *count >= consent.frequency_per_day {
            let text = "more unattended reads than the consent allows per day";
            return Err(
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "ACCESS_EXCEEDED", text).at(&consent.bank)
            );
        }
        *count += 1;
        Ok(())
    }
}

/// The pots, the account's own currency first.
fn shown(account: &Account) -> Value {
    let changed = account.changed_at.unwrap_or_else(ports::now);
    let home = account.currency();
    let (first, others): (Vec<_>, Vec<_>) = account.pots.iter().partition(|(currency, _)| **currency == home);
    let balances = first.into_iter().chain(others).map(|(currency, minor)| {
        json!({
            "balanceType": "expected",
            "balanceAmount": { "currency": currency, "amount": currency.written(*minor) },
            "lastChangeDateTime": changed,
        })
    });
    json!({ "balances": balances.collect::<Vec<_>>() })
}
