//! The people whose remittances are measured: registered with the service, with an account at the bank.

use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::http::{Ask, Client};
use crate::world::{World, token};

/// The bank's branch where everybody has an account.
pub const BANK: &str = "dnb";
/// How many are registered at the same time.
const AT_ONCE: usize = 8;

/// The user of a client.
pub fn user(person: usize) -> String {
    format!("usr_{person}")
}

/// Whom they pay.
pub fn recipient(person: usize) -> String {
    format!("rec_{person}")
}

/// Tells service and bank everything that so many people need.
///
/// # Errors
/// What was refused.
pub async fn register(world: &World, people: usize) -> Result<(), String> {
    let backend = token("app-backend", "service")?;
    let rates = json!({ "rates": [{ "from": "NOK", "to": "EUR", "rate": "0.0870", "validUntil": null }] });
    put(&mut Client::new(world.server(0), &backend), "/v1/exchange-rates", &rates).await?;
    let some = async |first: usize| {
        let mut service = Client::new(world.server(0), &backend);
        let mut bank = Client::new(world.bank.address, "");
        for person in (first..people).step_by(AT_ONCE) {
            one(&mut service, &mut bank, person).await?;
        }
        Ok::<(), String>(())
    };
    try_join_all((0..AT_ONCE).map(some)).await.map(drop)
}

async fn one(service: &mut Client, bank: &mut Client, person: usize) -> Result<(), String> {
    let path = format!("/v1/users/{}", user(person));
    let iban = norwegian_iban(person);
    let balances = json!([{ "amount": "900000000.00", "currency": "NOK" }]);
    let account = json!({ "iban": iban, "bank": BANK, "balances": balances });
    put(bank, &format!("/_control/accounts/acc-{iban}"), &account).await?;
    let named = json!({ "firstName": "Kari", "lastName": "Nordmann", "birthDate": "1990-05-17",
                        "kycStatus": "approved", "email": "kari@example.no", "phone": "+4790000000" });
    put(service, &path, &named).await?;
    let account = json!({ "bankId": BANK, "bankName": "DNB", "iban": iban, "currency": "NOK",
                          "providerConsentId": format!("consent-demo-{BANK}"), "primary": true });
    put(service, &format!("{path}/bank-accounts/bac_{person}"), &account).await?;
    let abroad = json!({ "name": format!("Payee {person}"), "country": "DE", "town": "Berlin",
                         "iban": "DE89370400440532013000", "currency": "EUR" });
    put(service, &format!("{path}/recipients/{}", recipient(person)), &abroad).await
}

async fn put(client: &mut Client, path: &str, body: &Value) -> Result<(), String> {
    let body = body.to_string();
    let reply = client.ask(&Ask { method: "PUT", path, headers: "", body: &body }).await?;
    if (200..300).contains(&reply.status) {
        Ok(())
    } else {
        Err(format!("{path}: {} {}", reply.status, reply.body))
    }
}

/// A Norwegian account number that only this person has; both of its check digits are right.
fn norwegian_iban(person: usize) -> String {
    let weights = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    let bban = (person * 16..).find_map(|number| {
        let ten = format!("{:010}", 1_000_000_000 + number);
        let sum: u64 = ten.bytes().zip(weights).map(|(digit, weight)| u64::from(digit - b'0') * weight).sum();
        match 11 - sum % 11 {
            11 => Some(format!("{ten}0")),
            // There is no account with such a number.
            10 => None,
            check => Some(format!("{ten}{check}")),
        }
    });
    let bban = bban.unwrap_or_default();
    let digits = format!("{bban}232400");
    let rest = digits.bytes().fold(0, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 97);
    format!("NO{:02}{bban}", 98 - rest)
}
