//! The bank's own pages, where a person approves or denies; programs ask with `Accept: application/json`.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::ACCEPT, header::LOCATION},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::App;
use crate::{
    book::{ConsentId, ConsentStatus, Creditor, Payment, PaymentId, Status},
    refusal::Refusal,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/sca/{id}", get(payment_page))
        .route("/sca/{id}/approve", post(approve))
        .route("/sca/{id}/deny", post(deny))
        .route("/sca/consents/{id}", get(consent_page))
        .route("/sca/consents/{id}/approve", post(approve_consent))
        .route("/sca/consents/{id}/deny", post(deny_consent))
}

async fn payment_page(State(app): State<App>, Path(id): Path<String>) -> Response {
    let seen = app.office.read(|book, _| {
        let payment = book.payment(&PaymentId(id)).ok_or_else(|| Refusal::unknown("payment"))?;
        let bank = book.bank(&payment.bank).map_or("the bank", |bank| &bank.name).to_owned();
        Ok((bank, payment.clone()))
    });
    match seen.await {
        Ok((bank, payment)) => Html(payment_html(&bank, &payment)).into_response(),
        Err(refusal) => refused_page(&refusal),
    }
}

async fn approve(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let id = PaymentId(id);
    let decided = app.office.commit(|book, now| book.approve(&id, now).map(|facts| (facts, ()))).await;
    leave_payment(&app, &id, decided, &headers).await
}

async fn deny(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let id = PaymentId(id);
    let decided = app.office.commit(|book, _| book.deny(&id).map(|facts| (facts, ()))).await;
    leave_payment(&app, &id, decided, &headers).await
}

async fn leave_payment(
    app: &App,
    id: &PaymentId,
    decided: Result<(), Refusal>,
    headers: &HeaderMap,
) -> Response {
    let left = match decided {
        Ok(()) => {
            app.office
                .read(|book, _| {
                    let payment = book.payment(id).ok_or_else(|| Refusal::unknown("payment"))?;
                    let redirect = returning(&payment.redirect, "paymentId", &id.0);
                    Ok((json!({ "transactionStatus": payment.status, "redirect": redirect }), redirect))
                })
                .await
        }
        Err(refusal) => Err(refusal),
    };
    leave(left, headers)
}

async fn consent_page(State(app): State<App>, Path(id): Path<String>) -> Response {
    let seen = app.office.read(|book, now| {
        let consent = book.consent(&ConsentId(id)).ok_or_else(|| Refusal::unknown("consent"))?;
        let bank = book.bank(&consent.bank).map_or("the bank", |bank| &bank.name).to_owned();
        let accounts =
            book.accounts_of(consent).map(|account| account.iban.as_str().to_owned()).collect::<Vec<_>>();
        Ok((bank, consent.clone(), consent.status_on(now), accounts))
    });
    match seen.await {
        Ok((bank, consent, status, accounts)) => {
            let facts = [
                ("Accounts", accounts.join(", ")),
                ("May read", "balances".to_owned()),
                ("Until", consent.valid_until.to_string()),
            ];
            let open = status == ConsentStatus::Received;
            let action = format!("/sca/consents/{}", consent.consent_id.0);
            Html(page(&bank, "Share account information?", &facts, open.then_some(&*action))).into_response()
        }
        Err(refusal) => refused_page(&refusal),
    }
}

async fn approve_consent(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer_consent(&app, ConsentId(id), ConsentStatus::Valid, &headers).await
}

async fn deny_consent(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer_consent(&app, ConsentId(id), ConsentStatus::Rejected, &headers).await
}

async fn answer_consent(app: &App, id: ConsentId, answer: ConsentStatus, headers: &HeaderMap) -> Response {
    let left = app.office.commit(|book, _| {
        let facts = book.answer_consent(&id, answer)?;
        let redirect = book.consent(&id).and_then(|consent| consent.redirect.as_deref());
        let redirect = returning(redirect.unwrap_or_default(), "consentId", &id.0);
        Ok((facts, (json!({ "consentStatus": answer, "redirect": redirect }), redirect)))
    });
    leave(left.await, headers)
}

/// Sends the person back: 303 for a browser, 200 with the URL for a program.
fn leave(left: Result<(Value, String), Refusal>, headers: &HeaderMap) -> Response {
    let program = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("text/html"));
    match left {
        Ok((answer, _)) if program => Json(answer).into_response(),
        Ok((_, redirect)) => match HeaderValue::try_from(redirect) {
            Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
            Err(_) => StatusCode::NO_CONTENT.into_response(),
        },
        Err(refusal) if program => refusal.into_response(),
        Err(refusal) => refused_page(&refusal),
    }
}

/// The return address with the id in its query, before any fragment.
fn returning(redirect: &str, name: &str, id: &str) -> String {
    let (address, fragment) = redirect.find('#').map_or((redirect, ""), |at| redirect.split_at(at));
    let joint = match address {
        address if address.ends_with(['?', '&']) => "",
        address if address.contains('?') => "&",
        _ => "?",
    };
    format!("{address}{joint}{name}={id}{fragment}")
}

fn payment_html(bank: &str, payment: &Payment) -> String {
    let order = &payment.order;
    let payee = match &order.creditor {
        Creditor::Iban(iban) => iban.as_str(),
        Creditor::Bban(bban) => bban,
    };
    let mut facts = vec![
        ("Amount", format!("{} {}", order.money.amount(), order.money.currency().as_str())),
        ("To", order.creditor_name.clone()),
        ("Their account", payee.to_owned()),
        ("From your account", order.debtor.as_str().to_owned()),
        ("Message", order.remittance.clone()),
    ];
    let open = payment.status == Status::Rcvd;
    if !open {
        facts.push(("Status", payment.status.code().to_owned()));
    }
    let action = format!("/sca/{}", payment.payment_id.0);
    page(bank, "Approve this payment?", &facts, open.then_some(&*action))
}

fn refused_page(refusal: &Refusal) -> Response {
    let facts = [("Answer", refusal.text.clone())];
    (refusal.status, Html(page("Sandbox bank", "This cannot be done", &facts, None))).into_response()
}

fn page(bank: &str, title: &str, facts: &[(&str, String)], action: Option<&str>) -> String {
    let rows: Vec<_> = facts
        .iter()
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value)))
        .collect();
    let buttons = action.map_or_else(
        || "<p>There is nothing to decide here.</p>".to_owned(),
        |action| {
            let action = escaped(action);
            format!(
                "<form method=post action=\"{action}/approve\"><button class=yes>Approve</button></form>\
                 <form method=post action=\"{action}/deny\"><button>Deny</button></form>"
            )
        },
    );
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,\
         initial-scale=1\"><title>{bank}: {title}</title><style>\
         body{{font:17px/1.5 system-ui,sans-serif;background:#f3f5f7;color:#1b2430;margin:0}}\
         main{{max-width:28rem;margin:8vh auto;padding:2rem;background:#fff;border-radius:12px;\
         box-shadow:0 1px 4px #0002}}\
         h1{{font-size:1.4rem;margin:.2rem 0 1.2rem}}header{{color:#5a6675}}\
         dt{{color:#5a6675;font-size:.85rem}}dd{{margin:0 0 .8rem;overflow-wrap:anywhere}}\
         button{{width:100%;font:inherit;padding:.7rem;margin-top:.6rem;border:1px solid #5a6675;border-radius:8px;\
         background:#fff;color:inherit;cursor:pointer}}.yes{{background:#0b5d3b;border-color:#0b5d3b;color:#fff}}\
         footer{{font-size:.8rem;color:#5a6675;margin-top:1.5rem}}\
         </style></head><body><main><header>{bank}</header><h1>{title}</h1><dl>{rows}</dl>{buttons}\
         <footer>This is a bank to practise on. No money moves.</footer></main></body></html>",
        bank = escaped(bank),
        title = escaped(title),
        rows = rows.concat(),
    )
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, letter| {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_joins_the_return_address_as_it_fits() {
        for (redirect, expected) in [
            ("https://app/cb", "https://app/cb?paymentId=p"),
            ("https://app/cb?state=s", "https://app/cb?state=s&paymentId=p"),
            ("https://app/cb?", "https://app/cb?paymentId=p"),
            ("https://app/cb?state=s#top", "https://app/cb?state=s&paymentId=p#top"),
        ] {
            assert_eq!(returning(redirect, "paymentId", "p"), expected);
        }
    }

    #[test]
    fn what_others_wrote_is_text_on_the_page() {
        let html = page("B", "T", &[("To", "<script>alert('x')</script>".to_owned())], None);
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"));
    }
}
