//! Those who call the service: the app for its customer, and the app's backend.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, header::HeaderMap, redirect::Policy};
use serde_json::{Value, json};

use crate::bank::{Branch, norwegian_iban};
use crate::tokens;

/// Longer than any wait that a caller can ask for.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a call was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when it is none.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// A header's value, empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The word of an error.
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    /// A text field of the body, empty when it is absent.
    pub fn word(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }

    /// Status and phase of a transaction.
    pub fn standing(&self) -> (String, String) {
        (self.word("status"), self.word("phase"))
    }

    /// The link to the bank's page.
    pub fn link(&self) -> String {
        let link = self.body["scaRedirect"]["href"].as_str();
        link.unwrap_or_else(|| panic!("no link in {}", self.text)).to_owned()
    }

    /// Requires this status.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Requires an error in the envelope that every error has.
    pub fn refused(self, status: u16, error: &str) -> Self {
        self.enveloped();
        assert_eq!((self.status, self.error()), (status, error), "{}", self.text);
        self
    }

    /// Every error has the same form and says no more than it should.
    pub fn enveloped(&self) {
        let body = &self.body;
        let form = body["error"].is_string() && body["message"].is_string() && body["details"].is_array();
        assert!(form, "{} without the envelope: {}", self.status, self.text);
        assert!(self.header("x-request-id").len() == 36, "no x-request-id on {}", self.text);
        assert!(self.header("content-type").starts_with("application/json"), "{:?}", self.headers);
        let lower = self.text.to_lowercase();
        for leak in ["sqlx", "select ", "insert ", ".rs:", "/src/", "panicked", "backtrace", "/tmp/"] {
            assert!(!lower.contains(leak), "{leak:?} leaks: {}", self.text);
        }
        if [429, 503].contains(&self.status) {
            assert!(!self.header("retry-after").is_empty(), "no Retry-After: {}", self.text);
        }
    }
}

/// Somebody who calls, with one token.
#[derive(Clone)]
pub struct Caller {
    http: Client,
    base: String,
    authorization: Option<String>,
}

impl Caller {
    /// With this token.
    pub fn with_token(base: &str, token: &str) -> Self {
        Caller { authorization: Some(format!("Bearer {token}")), ..Self::nobody(base) }
    }

    /// The app's backend.
    pub fn backend(base: &str) -> Self {
        Self::with_token(base, &tokens::service())
    }

    /// Without any credential.
    pub fn nobody(base: &str) -> Self {
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Caller { http, base: base.to_owned(), authorization: None }
    }

    /// With this header instead.
    pub fn authorized_as(&self, authorization: &str) -> Self {
        Caller { authorization: Some(authorization.to_owned()), ..self.clone() }
    }

    /// The same caller, sharing no connection with anybody.
    pub fn on_connections_of_its_own(&self) -> Self {
        Caller { authorization: self.authorization.clone(), ..Self::nobody(&self.base) }
    }

    /// A request to be completed and sent with [`answer`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// A start with its key.
    pub async fn start(&self, path: &str, key: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
    }
}

/// Sends a request to a service that is expected to answer.
pub async fn answer(request: RequestBuilder) -> Answer {
    try_answer(request).await.expect("the service answers")
}

/// Sends a request to a service that may be dead.
pub async fn try_answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await?;
    Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text })
}

/// A customer of the app with an account at a branch, somebody abroad to pay, and a phone to do it with.
#[derive(Clone)]
pub struct Customer {
    /// The app on their phone.
    pub app: Caller,
    /// `usr_…`.
    pub user: String,
    /// `bac_…`.
    pub account: String,
    /// The account's number.
    pub iban: String,
    /// `rec_…`.
    pub recipient: String,
    /// The name that the bank's ledger knows the payee by; nobody else pays them.
    pub payee: String,
}

/// A number that no other object of this test run has.
pub fn unique() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// A path for calls of the payments API.
pub const REMITTANCE: &str = "/v1/transactions/remittance";
/// The same for shops.
pub const QR_PAYMENT: &str = "/v1/transactions/qr-payment";

/// What is known of an adult who may pay.
pub fn adult() -> Value {
    json!({ "firstName": "Kari", "lastName": "Nordmann", "birthDate": "1990-05-17", "kycStatus": "approved",
            "email": "kari@example.no", "phone": "+4790000000" })
}

/// A price for every pair that the tests use.
pub fn rates() -> Value {
    json!({ "rates": [{ "from": "NOK", "to": "EUR", "rate": "0.0870", "validUntil": null }] })
}

impl Customer {
    /// Registers one, with everything they need.
    pub async fn register(base: &str, branch: &Branch<'_>) -> Self {
        let number = unique();
        let iban = (0..)
            .find_map(|step| norwegian_iban(100_000_000 + number * 16 + step))
            .expect("most numbers are");
        let customer = Customer {
            app: Caller::with_token(base, &tokens::token(&format!("usr_{number}"), "user")),
            user: format!("usr_{number}"),
            account: format!("bac_{number}"),
            iban,
            recipient: format!("rec_{number}"),
            payee: format!("Payee {number}"),
        };
        let backend = Caller::backend(base);
        put(&backend, "/v1/exchange-rates", &rates()).await;
        put(&backend, &customer.path(""), &adult()).await;
        put(&backend, &customer.account_path(), &customer.account_body(branch)).await;
        let recipient = json!({ "name": customer.payee, "country": "DE", "town": "Berlin",
                                "iban": "DE89370400440532013000", "currency": "EUR" });
        put(&backend, &customer.recipient_path(), &recipient).await;
        customer
    }

    /// A path below this user.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/users/{}{rest}", self.user)
    }

    /// Where the backend puts the account.
    pub fn account_path(&self) -> String {
        self.path(&format!("/bank-accounts/{}", self.account))
    }

    /// Where the backend puts the recipient.
    pub fn recipient_path(&self) -> String {
        self.path(&format!("/recipients/{}", self.recipient))
    }

    /// The account as the backend puts it.
    pub fn account_body(&self, branch: &Branch<'_>) -> Value {
        json!({ "bankId": branch.id(), "bankName": "The Branch", "iban": self.iban, "currency": "NOK",
                "providerConsentId": branch.consent(), "primary": true })
    }

    /// A remittance of this amount.
    pub fn order(&self, amount: &str) -> Value {
        json!({ "recipientId": self.recipient, "amount": amount })
    }

    /// Starts one with a key of its own.
    pub async fn remit(&self, amount: &str) -> Answer {
        self.app.start(REMITTANCE, &format!("key-{}", unique()), &self.order(amount)).await
    }

    /// Starts one and requires the link.
    pub async fn remit_to_link(&self, amount: &str) -> Answer {
        let started = self.remit(amount).await.is(201);
        assert_eq!(started.standing(), ("processing".into(), "awaiting_sca".into()));
        started
    }

    /// How a transaction stands.
    pub async fn look(&self, id: &str) -> Answer {
        self.app.get(&format!("/v1/transactions/{id}")).await.is(200)
    }

    /// The transaction once it has this status; it must not take long.
    pub async fn once(&self, id: &str, status: &str) -> Answer {
        let what = format!("{id} is {status}");
        crate::patience::eventually(&what, async || {
            let seen = self.look(id).await;
            let ended = ["completed", "failed", "cancelled"].contains(&seen.word("status").as_str());
            assert!(!ended || seen.word("status") == status, "{what}: {}", seen.text);
            (seen.word("status") == status).then_some(seen)
        })
        .await
    }

    /// The transaction once it is in this phase.
    pub async fn once_in_phase(&self, id: &str, phase: &str) -> Answer {
        crate::patience::eventually(&format!("{id} is {phase}"), async || {
            let seen = self.look(id).await;
            (seen.word("phase") == phase).then_some(seen)
        })
        .await
    }

    /// How many transactions this customer has.
    pub async fn count(&self) -> usize {
        let list = self.app.get("/v1/transactions?limit=200").await.is(200);
        list.body["items"].as_array().expect("a list").len()
    }

    /// Cancels.
    pub async fn cancel(&self, id: &str) -> Answer {
        answer(self.app.request(Method::POST, &format!("/v1/transactions/{id}/cancel"))).await
    }
}

/// Provisions; created or replaced.
pub async fn put(backend: &Caller, path: &str, body: &Value) {
    let answer = backend.put(path, body).await;
    assert!([200, 201, 204].contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
}
