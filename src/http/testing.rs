//! What the tests of this folder share: the whole front-end over an engine that performs nothing, with a clock that does
//! as it is told.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use workers::balances::{Balances, Guarded, Parts, Patience};
use workers::controls::{self, Controls};
use workers::engine::Engine;
use workers::limits::{Limits, Pass};
use workers::ports::{Clock, SystemIds};
use workers::process::{Options, assemble};
use workers::providers::http::{HttpFault, HttpPort, HttpReply, HttpRequest};
use workers::providers::open_banking::OpenBanking;
use workers::providers::{Context, Provider, TokenSource};
use workers::store::{self, HistoryRow, Instance, MemoryStore, Move, NodeId, Op, Store};
use workflows::bench::Bench;
use workflows::engine::{Book, Finding};
use workflows::ids::{TransactionId, WorkflowId};
use workflows::payment::{Amended, Event, Progress, State, view};
use workflows::ports::Call;
use workflows::ports::payments::{ProviderPaymentId, TransactionStatus};
use workflows::qr_payment::QrPayment;
use workflows::remittance::Remittance;
use workflows::time::At;

use super::around::Around;
use super::{App, Services, Settings, service};
use crate::config::{Config, Environment};
use crate::desk::{Desk, Drawers};

/// How the front-end is reached from outside.
pub const PUBLIC: &str = "https://pay.example";
/// 23 February 2026, 08:00 UTC, a whole second.
pub const BEGIN: At = At::from_millis(1_771_833_600_000);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The front-end, with its own store and tables.
pub struct Front {
    pub app: App,
    pub clock: Arc<StillClock>,
    pub bank: Arc<TalkingBank>,
    pub drawers: Drawers,
    started: AtomicUsize,
    store: Arc<dyn Store>,
    service: Around<Router>,
    _files: TempDir,
}

impl Front {
    /// Kari is registered, has an account at a bank and knows Marko abroad.
    pub async fn open() -> Self {
        Self::told(&[]).await
    }

    /// The same with these settings.
    pub async fn told(settings: &[(&str, &str)]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", files.path().join("sluse.db").display());
        let database = store::open(&url, &store::Options::default()).await.unwrap();
        let clock = Arc::new(StillClock(Mutex::new(BEGIN)));
        let memory = Arc::new(MemoryStore::new(Arc::<StillClock>::clone(&clock)));
        let controls =
            Controls::open(memory.clone(), clock.clone(), &SystemIds, controls::Settings::default());
        let controls = controls.await.unwrap();
        let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&memory);
        let engine = process_over(&store, &controls);
        let drawers = Drawers {
            approvals: Arc::<MemoryStore>::clone(&memory),
            actions: Arc::<MemoryStore>::clone(&memory),
            notices: memory,
        };
        let desk = Desk::new(engine.clone(), drawers.clone(), DAY);
        let variables: Environment = [("JWT_SECRET", SECRET)]
            .into_iter()
            .chain(settings.iter().copied())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let settings = Settings::new(&Config::read(&variables).unwrap(), PUBLIC).unwrap();
        let bank = Arc::new(TalkingBank::default());
        let balances = balances(&database, &controls, &bank, &clock);
        let registry = database.registry;
        let app = Arc::new(Services { engine, registry, balances, desk, controls, settings });
        let front = Front {
            service: service(Arc::clone(&app), Router::new()),
            app,
            clock,
            bank,
            store,
            drawers,
            started: AtomicUsize::new(0),
            _files: files,
        };
        front.register().await;
        front
    }

    /// The engine of another process on the same store.
    pub fn another_process(&self) -> Engine {
        process_over(&self.store, &self.app.controls)
    }

    /// A remittance of Kari's that is about to be sent.
    pub async fn start_remittance(&self) -> TransactionId {
        // The key is the body's length: each is longer than the one before.
        let note = "n".repeat(1 + self.started.fetch_add(1, Ordering::Relaxed));
        let body = json!({"recipientId": "rec_marko", "amount": "2000.00", "note": note});
        let path = "/v1/transactions/remittance";
        let (status, started) = self.ask(Method::POST, path, Some(&self.kari()), &body.to_string()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        started["id"].as_str().unwrap().parse().unwrap()
    }

    /// A remittance of Kari's that the bank has taken and that she has to approve.
    pub async fn payment_awaiting_approval(&self) -> TransactionId {
        let transaction = self.start_remittance().await;
        let created = Event::Created {
            payment: ProviderPaymentId("pmt-7f".to_owned()),
            status: TransactionStatus::Rcvd,
            sca: Some("https://bank.example/sca".to_owned()),
        };
        self.app.engine.tell(WorkflowId::from(transaction), &created, "worker", None).await.unwrap();
        transaction
    }

    /// A remittance of Kari's of which nobody knows whether the bank has it.
    pub async fn payment_in_doubt(&self) -> WorkflowId {
        let id = WorkflowId::from(self.start_remittance().await);
        self.doubt(id).await;
        id
    }

    /// A payment that is being sent is stopped by an answer that fits no question, and an operator lets it go on:
    /// nobody knows what became of the sending.
    pub async fn doubt(&self, id: WorkflowId) {
        let node = NodeId("worker".into());
        let sending = self.store.tasks(id).await.unwrap().remove(0);
        let lane = [(sending.lane, 100)];
        let claimed = self.store.claim(&lane, &node, self.clock.now(), SECOND).await.unwrap();
        let (own, others): (Vec<_>, Vec<_>) =
            claimed.into_iter().map(|claimed| claimed.task).partition(|task| task.instance == id);
        self.store.release(&others, self.clock.now()).await.unwrap();
        let discards: Vec<_> = own.into_iter().map(Op::Discard).collect();
        self.store.commit(&discards, &node).await.unwrap();
        self.tell(id, &Event::StatusSeen { status: TransactionStatus::Rcvd, reason: None }).await;
        let path = format!("/v1/workflows/{id}/resume");
        let token = self.staff("olga", "operator");
        let (status, resumed) = self.ask(Method::POST, &path, Some(&token), r#"{"reason":"seen"}"#).await;
        assert_eq!((status, &resumed["phase"]), (StatusCode::OK, &json!("in_doubt")), "{resumed}");
    }

    /// The world says something about a payment.
    pub async fn tell(&self, id: WorkflowId, event: &Event) {
        self.app.engine.tell(id, event, "worker", None).await.unwrap();
    }

    /// A payment stands where only a bank and time could bring it.
    pub async fn put(&self, id: WorkflowId, state: State) {
        let progress = Progress { state, amended: Amended::default() };
        let seen = view(&progress);
        let before = self.store.load(id).await.unwrap().unwrap();
        let history = HistoryRow {
            instance: id,
            seq: before.seq + 1,
            at: self.clock.now(),
            occurrence: r#""resumed""#.into(),
            status: seen.status.as_str().into(),
            phase: seen.phase.into(),
            actor: "test".into(),
            step: "".into(),
            attempt: 0,
            latency_us: 0,
            hash: "".into(),
        }
        .chained(&before.hash);
        let instance = Instance {
            state: serde_json::to_string(&progress).unwrap().into(),
            status: seen.status,
            phase: seen.phase.into(),
            seq: history.seq,
            hash: history.hash.clone(),
            updated_at: history.at,
            ..before
        };
        let (drop, put, tell) = (workers::store::Drop::All, vec![], vec![]);
        let instance = Arc::new(instance);
        let moved = Move { instance, upcast: false, consume: None, heard: None, history, drop, put, tell };
        let node = NodeId("test".into());
        self.store.commit(&[Op::Move(Box::new(moved))], &node).await.unwrap();
    }

    /// What a provider pushes, with a signature if it has one.
    pub async fn push(&self, body: &[u8], signature: Option<&str>) -> StatusCode {
        let mut request = Request::builder().method(Method::POST).uri("/v1/webhooks/neonomics");
        if let Some(signature) = signature {
            request = request.header("x-signature", signature);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        self.service.clone().oneshot(request).await.unwrap().status()
    }

    /// The token of somebody on the operators' side.
    pub fn staff(&self, name: &str, role: &str) -> String {
        self.token(name, role)
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
        let (status, text) = self.written(method, path, token, body).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn written(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (StatusCode, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header("prefer", "wait=0")
            .header("idempotency-key", body.len().to_string())
            .extension(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000))));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// An answer as it is written.
    pub async fn text(&self, path: &str, token: &str) -> String {
        self.written(Method::GET, path, Some(token), "").await.1
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
            (
                "/v1/users/usr_kari/bank-accounts/bac_1",
                json!({"bankId": "dnb", "bankName": "DNB", "iban": "NO9386011117947",
                    "providerConsentId": "consent-1"}),
            ),
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

fn process_over(store: &Arc<dyn Store>, controls: &Controls) -> Engine {
    let book = Book::default().with::<Remittance>().with::<QrPayment>().with::<Bench>();
    let no_steps = Options { steps_in_flight: 0, lease: SECOND, grace: SECOND };
    assemble(Arc::clone(store), controls, book, Arc::new(Nobody), Arc::new(SystemIds), no_steps).0
}

const DAY: std::time::Duration = std::time::Duration::from_hours(24);
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

fn balances(
    database: &store::Database,
    controls: &Controls,
    bank: &Arc<TalkingBank>,
    clock: &Arc<StillClock>,
) -> Balances {
    let clock: Arc<dyn Clock> = Arc::<StillClock>::clone(clock);
    let port: Arc<dyn HttpPort> = Arc::<TalkingBank>::clone(bank);
    let (name, ids) = ("neonomics".into(), Arc::new(SystemIds));
    let bank = OpenBanking::over(port, name, TokenSource::None, Arc::clone(&clock), ids.clone());
    Balances::new(Parts {
        store: Arc::clone(&database.balances),
        registry: Arc::clone(&database.registry),
        bank: Arc::new(bank),
        admission: Arc::new(Guarded::new(controls.clone())),
        limits: Limits::none(),
        clock,
        ids,
        patience: Patience::new(SECOND, std::time::Duration::from_millis(1)),
    })
}

const BALANCE: &str = r#"{"balances":[{"balanceType":"expected",
    "balanceAmount":{"currency":"NOK","amount":"15000.50"}}]}"#;

/// A bank that says what it was told to say, and then that there are 15000.50 kroner.
#[derive(Default)]
pub struct TalkingBank {
    pub says: Mutex<VecDeque<(u16, &'static str)>>,
    pub attended: Mutex<Vec<bool>>,
}

#[async_trait::async_trait]
impl HttpPort for TalkingBank {
    async fn send(
        &self,
        request: HttpRequest,
        _: &Pass,
        _: std::time::Duration,
    ) -> Result<HttpReply, HttpFault> {
        self.attended.lock().unwrap().push(request.headers.contains_key("psu-ip-address"));
        let (status, body) = self.says.lock().unwrap().pop_front().unwrap_or((200, BALANCE));
        let status = StatusCode::from_u16(status).unwrap();
        Ok(HttpReply { status, headers: http::HeaderMap::new(), body: body.into() })
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
