//! What the tests of this folder share: the whole front-end over an engine that performs nothing, with a clock that does
//! as it is told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use workers::engine::Engine;
use workers::ports::{Clock, SystemIds};
use workers::process::{Options, assemble};
use workers::providers::{Context, Mode, Provider, Switch};
use workers::store::{self, MemoryStore, Store};
use workflows::engine::{Book, Finding};
use workflows::ids::{TransactionId, WorkflowId};
use workflows::payment::Event;
use workflows::ports::Call;
use workflows::ports::payments::{ProviderPaymentId, TransactionStatus};
use workflows::qr_payment::QrPayment;
use workflows::remittance::Remittance;
use workflows::time::At;

use super::{App, Services, Settings, router};
use crate::config::{Config, Environment};

/// How the front-end is reached from outside.
pub const PUBLIC: &str = "https://pay.example";
/// 23 February 2026, 08:00 UTC, a whole second.
pub const BEGIN: At = At::from_millis(1_771_833_600_000);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The front-end, with its own store and tables.
pub struct Front {
    pub app: App,
    pub clock: Arc<StillClock>,
    store: Arc<dyn Store>,
    router: Router,
    _files: TempDir,
}

impl Front {
    /// Kari is registered, has an account at a bank and knows Marko abroad.
    pub async fn open() -> Self {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", files.path().join("sluse.db").display());
        let registry = store::open(&url, &store::Options::default()).await.unwrap().registry;
        let clock = Arc::new(StillClock(Mutex::new(BEGIN)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::<StillClock>::clone(&clock)));
        let engine = process_over(&store);
        let variables: Environment = [("JWT_SECRET", SECRET)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let settings = Settings::new(&Config::read(&variables).unwrap(), PUBLIC).unwrap();
        let app = Arc::new(Services { engine, registry, payments: Switch::new(Mode::Live), settings });
        let front = Front { router: router(Arc::clone(&app)), app, clock, store, _files: files };
        front.register().await;
        front
    }

    /// The engine of another process on the same store.
    pub fn another_process(&self) -> Engine {
        process_over(&self.store)
    }

    /// A remittance of Kari's that the bank has taken and that she has to approve.
    pub async fn payment_awaiting_approval(&self) -> TransactionId {
        let body = json!({"recipientId": "rec_marko", "amount": "2000.00"});
        let path = "/v1/transactions/remittance";
        let (status, started) = self.ask(Method::POST, path, Some(&self.kari()), &body.to_string()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        let transaction: TransactionId = started["id"].as_str().unwrap().parse().unwrap();
        let created = Event::Created {
            payment: ProviderPaymentId("pmt-7f".to_owned()),
            status: TransactionStatus::Rcvd,
            sca: Some("https://bank.example/sca".to_owned()),
        };
        self.app.engine.tell(WorkflowId::from(transaction), &created, "worker", None).await.unwrap();
        transaction
    }

    /// What a browser gets.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, None, "").await
    }

    /// Status and JSON of an answer, `null` when it has none. No start waits for its milestone: nothing is performed.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("prefer", "wait=0")
            .header("idempotency-key", body.len().to_string());
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Kari's token.
    pub fn kari(&self) -> String {
        self.token("usr_kari", "user")
    }

    /// The token of the app's backend.
    pub fn backend(&self) -> String {
        self.token("drop-app", "service")
    }

    /// A token of this front-end, good for a minute.
    pub fn token(&self, subject: &str, role: &str) -> String {
        let claims = json!({"sub": subject, "role": role, "exp": self.clock.now().as_secs() + 60});
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
    }

    async fn register(&self) {
        let backend = self.backend();
        for (path, body) in [
            (
                "/v1/users/usr_kari",
                json!({"firstName": "Kari", "lastName": "Nordmann", "birthDate": "1990-05-17",
                    "kycStatus": "approved"}),
            ),
            ("/v1/users/usr_kari/bank-accounts/bac_1", json!({"bankId": "dnb", "iban": "NO9386011117947"})),
            (
                "/v1/users/usr_kari/recipients/rec_marko",
                json!({"name": "Marko Petrovic", "country": "RS", "iban": "RS35265000000123456757",
                    "currency": "EUR"}),
            ),
            ("/v1/exchange-rates", json!({"rates": [{"from": "NOK", "to": "EUR", "rate": "0.0870"}]})),
        ] {
            let (status, answer) = self.ask(Method::PUT, path, Some(&backend), &body.to_string()).await;
            assert!(status.is_success(), "{path}: {answer}");
        }
    }
}

fn process_over(store: &Arc<dyn Store>) -> Engine {
    let book = Book::default().with::<Remittance>().with::<QrPayment>();
    let no_steps = Options { steps_in_flight: 0, lease: SECOND, grace: SECOND };
    assemble(Arc::clone(store), book, Arc::new(Nobody), Arc::new(SystemIds), no_steps).0
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// A clock that moves when it is set.
pub struct StillClock(Mutex<At>);

impl StillClock {
    pub fn set(&self, at: At) {
        *self.0.lock().unwrap() = at;
    }
}

impl Clock for StillClock {
    fn now(&self) -> At {
        *self.0.lock().unwrap()
    }
}

/// The provider of an engine that performs nothing.
struct Nobody;

#[async_trait::async_trait]
impl Provider for Nobody {
    async fn perform(&self, _: &Call, _: &Context) -> Finding {
        Finding::NotSent("this engine performs nothing")
    }
}
