//! The people around the service: who they are, what they carry, and how their backend provisions them.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::order::payee;

/// What the service is told as `JWT_SECRET`. It opens nothing but a database that lives as long as the run.
pub const SECRET: &str = "a-secret-of-the-crash-test-with-more-than-32-bytes";
/// The first of January 2100.
const FAR: i64 = 4_102_444_800;
/// The bank's branch where every client has an account.
const BANK: &str = "dnb";

/// Somebody who speaks HTTP and has a token.
#[derive(Clone)]
pub struct Caller {
    http: Client,
    token: String,
}

impl Caller {
    /// A client on behalf of its own user.
    ///
    /// # Errors
    /// When no token can be made.
    pub fn user(client: u64, patience: Duration) -> Result<Self, String> {
        Self::with(&user(client), "user", patience)
    }

    fn backend() -> Result<Self, String> {
        Self::with("app-backend", "service", Duration::from_secs(10))
    }

    fn with(subject: &str, role: &str, patience: Duration) -> Result<Self, String> {
        let claims = json!({ "sub": subject, "role": role, "exp": FAR });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = encode(&Header::default(), &claims, &key).map_err(|error| error.to_string())?;
        Ok(Caller { http: http(patience)?, token })
    }

    /// A request that says who asks.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url).bearer_auth(&self.token)
    }
}

/// A plain HTTP client on loopback.
///
/// # Errors
/// When none can be made.
pub fn http(patience: Duration) -> Result<Client, String> {
    let builder = Client::builder().redirect(Policy::none()).no_proxy().timeout(patience);
    builder.build().map_err(|error| error.to_string())
}

/// The user of a client.
pub fn user(client: u64) -> String {
    format!("usr_{client}")
}

/// The recipient that a client pays.
pub fn recipient(client: u64) -> String {
    format!("rec_{client}")
}

/// Tells a service everything that its clients need.
///
/// # Errors
/// What it refused.
pub async fn provision(base: &str, bank: &str, clients: u64) -> Result<(), String> {
    let backend = Caller::backend()?;
    let rates = json!({ "rates": [{ "from": "NOK", "to": "EUR", "rate": "0.0870", "validUntil": null }] });
    put(&backend, &format!("{base}/v1/exchange-rates"), &rates).await?;
    for client in 0..clients {
        let path = format!("{base}/v1/users/{}", user(client));
        let iban = norwegian_iban(client);
        let account = json!({ "iban": iban, "bank": BANK, "balances": [{ "amount": "900000000.00", "currency": "NOK" }] });
        put(&backend, &format!("{bank}/_control/accounts/acc-{iban}"), &account).await?;
        let person = json!({ "firstName": "Kari", "lastName": "Nordmann", "birthDate": "1990-05-17",
                             "kycStatus": "approved", "email": "kari@example.no", "phone": "+4790000000" });
        put(&backend, &path, &person).await?;
        let account = json!({ "bankId": BANK, "bankName": "DNB", "iban": iban, "currency": "NOK",
                              "providerConsentId": format!("consent-demo-{BANK}"), "primary": true });
        put(&backend, &format!("{path}/bank-accounts/bac_{client}"), &account).await?;
        let abroad = json!({ "name": payee(client), "country": "DE", "town": "Berlin",
                             "iban": "DE89370400440532013000", "currency": "EUR" });
        put(&backend, &format!("{path}/recipients/{}", recipient(client)), &abroad).await?;
    }
    Ok(())
}

async fn put(backend: &Caller, url: &str, body: &Value) -> Result<(), String> {
    let answer = backend.request(Method::PUT, url).json(body).send().await;
    let answer = answer.map_err(|error| format!("{url}: {error}"))?;
    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
    if status.is_success() { Ok(()) } else { Err(format!("{url}: {status} {text}")) }
}

/// A Norwegian account number that only this client has; both of its check digits are right.
fn norwegian_iban(client: u64) -> String {
    let weights = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    let bban = (client * 16..).find_map(|number| {
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
