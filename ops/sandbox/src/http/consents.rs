//! Consents: ask, read, end.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{App, headers, parse};
use crate::{
    book::{ConsentId, NewConsent},
    ports,
    refusal::Refusal,
};

/// `POST /v1/consents`
pub(super) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    headers::json_body(&headers)?;
    let redirect = headers::redirect(&headers)?;
    let asked: NewConsent = parse(&body)?;
    let id = ConsentId(format!("cns-{}", ports::fresh_id().simple()));
    app.office
        .commit(|book, now| book.ask_consent(&asked, redirect, id.clone(), now).map(|facts| (facts, ())))
        .await?;
    let href = format!("{}/sca/consents/{}", app.base_url, id.0);
    let answer = json!({
        "consentId": id, "consentStatus": "received", "_links": { "scaRedirect": { "href": href } },
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `GET /v1/consents/{id}`: the accounts are shown while it is valid.
pub(super) async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let read = app.office.read(|book, now| {
        let consent = book.consent(&ConsentId(id)).ok_or_else(|| Refusal::unknown("consent"))?;
        let status = consent.status_on(now);
        let accounts = if book.consent_in_force(&consent.consent_id, now).is_ok() {
            book.accounts_of(consent)
                .map(|account| {
                    json!({ "resourceId": account.account_id, "iban": account.iban, "currency": account.currency() })
                })
                .collect()
        } else {
            Vec::new()
        };
        Ok(json!({ "consentStatus": status, "validUntil": consent.valid_until, "accounts": accounts }))
    });
    read.await.map(Json)
}

/// `DELETE /v1/consents/{id}`
pub(super) async fn end(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    app.office.commit(|book, _| book.end_consent(&ConsentId(id)).map(|facts| (facts, ()))).await?;
    Ok(StatusCode::NO_CONTENT)
}
