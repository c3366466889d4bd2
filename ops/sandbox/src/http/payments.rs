//! Payments: initiate, status, lookup, cancel.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, Uri},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{App, headers, lock, parse};
use crate::{
    book::{Creditor, Initiated, Initiation, Order, PaymentId, Product},
    iban::Iban,
    money::Money,
    ports,
    refusal::Refusal,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    debtor_account: Debtor,
    instructed_amount: Amount,
    creditor_name: String,
    creditor_account: CreditorAccount,
    creditor_agent: Option<String>,
    end_to_end_identification: String,
    remittance_information_unstructured: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Debtor {
    iban: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    currency: String,
    amount: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum CreditorAccount {
    Iban(String),
    Bban(String),
}

#[derive(Deserialize)]
struct Lookup {
    #[serde(rename = "endToEndIdentification")]
    end_to_end: String,
}

/// `POST /v1/payments/{product}`: 201, or 200 for a repeat of the same request.
pub(super) async fn initiate(
    State(app): State<App>,
    Path(product): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let product = match product.as_str() {
        "sepa-credit-transfers" => Product::SepaCreditTransfers,
        "domestic-transfer" => Product::DomesticTransfer,
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "PRODUCT_UNKNOWN", "no such payment product")),
    };
    headers::json_body(&headers)?;
    let asked = Initiation {
        key: headers::request_id(&headers)?,
        consent: headers::consent_id(&headers)?,
        redirect: headers::redirect(&headers)?,
        body_sha256: hex::encode(Sha256::digest(&body)),
        order: parse::<Body>(&body)?.order(product)?,
    };
    let fresh = PaymentId(format!("pmt-{}", ports::fresh_id().simple()));
    let initiated = app.office.commit(|book, now| book.initiate(asked, fresh, now)).await?;
    let (http, id) = match initiated {
        Initiated::Created(id) => (StatusCode::CREATED, id),
        Initiated::Repeated(id) => (StatusCode::OK, id),
    };
    let status = match http {
        StatusCode::CREATED => "RCVD".to_owned(),
        _ => app.reported(&id).await?,
    };
    let href = format!("{}/sca/{}", app.base_url, id.0);
    let answer = json!({ "paymentId": id, "transactionStatus": status, "_links": { "scaRedirect": { "href": href } } });
    Ok((http, Json(answer)))
}

/// `GET /v1/payments/{paymentId}/status`
pub(super) async fn status(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let answer = app.office.read(|book, _| {
        let payment = book.payment(&PaymentId(id)).ok_or_else(|| Refusal::unknown("payment"))?;
        if book.bank(&payment.bank).is_some_and(|bank| !bank.conduct.status_query) {
            return Err(Refusal::not_offered("status query").at(&payment.bank));
        }
        let mut answer = json!({ "transactionStatus": payment.told() });
        if let (None, Some(reason)) = (&payment.reported, &payment.reason) {
            answer["reason"] = json!(reason);
        }
        Ok(answer)
    });
    answer.await.map(Json)
}

/// `GET /v1/payments?endToEndIdentification=`
pub(super) async fn locate(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    let end_to_end = end_to_end_of(&uri)
        .ok_or_else(|| Refusal::format("endToEndIdentification is missing in the query"))?;
    let consent = headers::consent_id(&headers)?;
    let sent_to = lock(&app.orders).get(&end_to_end).cloned();
    let found = app.office.read(|book, now| {
        let consented = book.bank_for(consent.as_ref(), None);
        let banks =
            consented.into_iter().chain(sent_to).chain(book.payments_of(&end_to_end).map(|p| p.bank.clone()));
        for bank in banks {
            if book.bank(&bank).is_some_and(|bank| !bank.conduct.lookup) {
                return Err(Refusal::not_offered("lookup").at(&bank));
            }
        }
        let entries = book.located(&end_to_end, now).map(|payment| {
            json!({
                "paymentId": payment.payment_id,
                "transactionStatus": payment.told(),
                "endToEndIdentification": payment.order.end_to_end_identification,
            })
        });
        Ok(entries.collect::<Value>())
    });
    found.await.map(Json)
}

/// `DELETE /v1/payments/{paymentId}`
pub(super) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    app.office.commit(|book, _| book.cancel(&PaymentId(id)).map(|facts| (facts, ()))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The `endToEndIdentification` of a lookup's query.
pub(super) fn end_to_end_of(uri: &Uri) -> Option<String> {
    Query::<Lookup>::try_from_uri(uri).ok().map(|Query(lookup)| lookup.end_to_end).filter(|id| !id.is_empty())
}

impl super::Premises {
    async fn reported(&self, id: &PaymentId) -> Result<String, Refusal> {
        let told = |book: &crate::book::Book, _| {
            book.payment(id).map(crate::book::Payment::told).ok_or_else(|| Refusal::unknown("payment"))
        };
        self.office.read(told).await
    }
}

impl Body {
    fn order(self, product: Product) -> Result<Order, Refusal> {
        let invalid_iban = |what| {
            Refusal::new(StatusCode::BAD_REQUEST, "INVALID_IBAN", format!("{what} is not a valid IBAN"))
        };
        let money = Money::parse(&self.instructed_amount.amount, &self.instructed_amount.currency)
            .map_err(|error| Refusal::format(format!("instructedAmount: {error}")))?;
        if money.minor() == 0 {
            return Err(Refusal::format("instructedAmount: must be more than nothing"));
        }
        let creditor = match self.creditor_account {
            CreditorAccount::Iban(iban) => {
                Creditor::Iban(Iban::parse(&iban).map_err(|_| invalid_iban("creditorAccount.iban"))?)
            }
            CreditorAccount::Bban(bban) => Creditor::Bban(bounded(bban, "creditorAccount.bban", 1..=30)?),
        };
        if let Creditor::Bban(bban) = &creditor
            && !bban.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(Refusal::format("creditorAccount.bban: letters and digits only"));
        }
        if self.creditor_agent.as_ref().is_some_and(|bic| !is_bic(bic)) {
            return Err(Refusal::format("creditorAgent: not a BIC"));
        }
        Ok(Order {
            product,
            debtor: Iban::parse(&self.debtor_account.iban).map_err(|_| invalid_iban("debtorAccount.iban"))?,
            money,
            creditor_name: bounded(self.creditor_name, "creditorName", 1..=70)?,
            creditor,
            creditor_agent: self.creditor_agent,
            end_to_end_identification: bounded(
                self.end_to_end_identification,
                "endToEndIdentification",
                1..=35,
            )?,
            remittance: bounded(
                self.remittance_information_unstructured,
                "remittanceInformationUnstructured",
                0..=140,
            )?,
        })
    }
}

fn bounded(text: String, name: &str, length: std::ops::RangeInclusive<usize>) -> Result<String, Refusal> {
    if length.contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(Refusal::format(format!("{name}: {} to {} characters", length.start(), length.end())))
    }
}

/// ISO 9362: four letters or digits, a country, two or five more.
fn is_bic(bic: &str) -> bool {
    let all = bic.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let country = bic.get(4..6).is_some_and(|country| country.bytes().all(|byte| byte.is_ascii_uppercase()));
    all && country && matches!(bic.len(), 8 | 11)
}
