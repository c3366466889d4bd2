//! Two processes before a provider who counts everything that comes to its door, over real HTTP: payments, the tokens
//! that they need, which expire all the time and sooner than was said, questions that are asked again after a token was
//! refused, and balances that customers look at meanwhile.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use workers::balances::{
    Admission, Balances, Cause, Entrance, Leave, MemoryBalances, Mode, Parts, Patience, Presence, Source,
    Told, Verdict,
};
use workers::controls::{self, Switch};
use workers::limits::{self, Limit};
use workers::ports::{AnchoredClock, Clock, SystemIds};
use workers::process::{Neighbourhood, Options};
use workers::providers::TokenSource;
use workers::providers::open_banking::{OpenBanking, Settings};
use workers::registry::BankAccount;
use workers::store::{Database, open};
use workflows::accounts::Iban;
use workflows::engine::Lane;
use workflows::money::Currency;
use workflows::payment::Terms;
use workflows::ports::payments::BankId;
use workflows::time::At;

use crate::postgres::shared;
use crate::world::{Running, USUAL, eventually, run_among, terms};

const PER_SECOND: u32 = 20;
const AT_ONCE: u32 = 4;
/// How long there is more to do than the provider takes. Not a wait for something: the calls in it are what is counted.
const RUSH: Duration = Duration::from_secs(6);
const LATENCY: Duration = Duration::from_millis(60);
/// Tokens are refused after this, although they are said to last for longer.
const TOKEN: Duration = Duration::from_millis(300);
/// Neither a payment nor a balance ever waits so long that it is given up.
const ATTEMPT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_to_a_providers_door_counts() {
    let url = shared().create_database();
    let provider = Provider::opens();
    let processes = [Process::starts(&url, &provider).await, Process::starts(&url, &provider).await];
    let starts = processes.iter().enumerate().flat_map(|(p, process)| {
        let patient = || Terms { attempt: ATTEMPT, ..terms(true) };
        (0..40).map(move |n| process.running().start(format!("{p} {n}"), patient()))
    });
    join_all(starts).await;
    let mut customers = JoinSet::new();
    for (p, process) in processes.iter().enumerate() {
        for n in 0..8 {
            let (balances, account) = (process.balances.clone(), account(&format!("{p}{n}")));
            customers.spawn(async move { looks_again_and_again(&balances, &account).await });
        }
    }
    tokio::time::sleep(RUSH).await;
    let enough = |kind| provider.book().calls.get(kind).is_some_and(|count| *count > 2);
    let kinds = ["token", "initiate", "status", "balances", "refused"];
    eventually("every kind of call", async || kinds.into_iter().all(enough).then_some(())).await;
    customers.shutdown().await;
    for process in processes {
        process.stops().await;
    }
    let book = provider.book();
    println!(
        "{:?}, at most {} at once and {} in a second",
        book.calls,
        book.most_open,
        book.most_in_a_second()
    );
    assert!(book.most_open <= AT_ONCE, "{} calls at once", book.most_open);
    assert!(book.most_in_a_second() <= PER_SECOND as usize, "{} calls in a second", book.most_in_a_second());
}

/// A balance that is always too old.
async fn looks_again_and_again(balances: &Balances, account: &BankAccount) {
    loop {
        let presence = Presence::Customer(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let told = balances.of(account, presence, Cause::default()).await.unwrap();
        let Told::Balance(shown) = told else { panic!("{told:?}") };
        // It may be the earlier one, when it took the provider long to have a turn.
        assert!(matches!(
            shown.figure.map(|figure| figure.source),
            Some(Source::Live | Source::Cached) | None
        ));
    }
}

fn account(name: &str) -> BankAccount {
    BankAccount {
        id: format!("bac_{name}").parse().unwrap(),
        owner: "usr_kari".parse().unwrap(),
        bank: BankId("dnb".to_owned()),
        bank_name: "DNB".to_owned(),
        iban: Iban::parse("NO9386011117947").unwrap(),
        provider_account: format!("acc-{name}"),
        currency: Currency::NOK,
        provider_consent: Some("cns-1".to_owned()),
        consent_expires_at: None,
        primary: true,
    }
}

/// A process with its runtime, its connections and its own token.
struct Process {
    runtime: Runtime,
    running: Option<Running>,
    balances: Balances,
}

impl Process {
    async fn starts(url: &str, provider: &Provider) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let (url, base_url) = (url.to_owned(), provider.url.clone());
        let starting = runtime.spawn(async move {
            let database = open(&url, &workers::store::Options::default()).await.expect("it opens");
            let limit = Limit { per_second: PER_SECOND, in_flight: AT_ONCE };
            let limits = limits::Terms { limit, retry_percent: 10, longest_call: ATTEMPT };
            let neighbourhood = Neighbourhood {
                clock: Arc::new(AnchoredClock::wall()),
                neighbours: Arc::clone(&database.neighbours),
                limits: BTreeMap::from([("neonomics".into(), limits)]),
            };
            let bank = Arc::new(connected(base_url, &database));
            let options = Options { steps_in_flight: 32, lease: Duration::from_mins(1), ..USUAL };
            let running = run_among(neighbourhood, &database.store, &bank, options).await;
            // Operators say what is obeyed, and the controls of a case say more.
            let rate = Switch::Rate("neonomics".to_owned(), PER_SECOND);
            running.controls.set(&rate, slow()).await.expect("the store answers");
            let balances = Balances::new(Parts {
                store: Arc::new(MemoryBalances::default()),
                registry: Arc::clone(&database.registry),
                bank,
                admission: Arc::new(Everybody),
                limits: running.engine.limits().clone(),
                clock: database.store.clock(),
                ids: Arc::new(SystemIds),
                patience: Patience::new(ATTEMPT, Duration::from_millis(20)),
            });
            (running, balances)
        });
        let (running, balances) = starting.await.expect("it starts");
        Process { runtime, running: Some(running), balances }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    async fn stops(mut self) {
        self.running.take().expect("it runs").stop().await;
        self.runtime.shutdown_background();
    }
}

fn slow() -> controls::Cause {
    controls::Cause { actor: "opr_ola".to_owned(), reason: "a case".to_owned(), expires_at: None }
}

fn connected(base_url: String, database: &Database) -> OpenBanking {
    let settings = Settings {
        provider: "neonomics".into(),
        base_url,
        token: TokenSource::ClientCredentials { id: "sluse".to_owned(), secret: "secret".into() },
        connect_timeout: ATTEMPT,
        read_timeout: ATTEMPT,
        retry_base: Duration::from_millis(20),
        consent_days: 90,
    };
    OpenBanking::open(settings, database.store.clock(), Arc::new(SystemIds)).expect("an address")
}

/// Everybody may ask at any time, and nothing is fresh.
struct Everybody;

#[async_trait]
impl Admission for Everybody {
    fn mode(&self, _: &Lane) -> Mode {
        Mode::Live
    }

    fn cache_ttl(&self, _: &Lane) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn is_down(&self, _: &Lane) -> bool {
        false
    }

    async fn enter(&self, _: &Lane) -> Entrance {
        Entrance::Open(Box::new(Everybody))
    }
}

#[async_trait]
impl Leave for Everybody {
    async fn brought(self: Box<Self>, _: Verdict) {}

    async fn unused(self: Box<Self>) {}
}

/// A provider on a loopback socket, with a thread of its own, that counts what comes.
struct Provider {
    url: String,
    office: Arc<Office>,
    runtime: Option<Runtime>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Office {
    clock: AnchoredClock,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    begun: Vec<At>,
    open: u32,
    most_open: u32,
    calls: BTreeMap<&'static str, usize>,
    /// When each token was granted.
    tokens: Vec<At>,
}

impl Book {
    fn most_in_a_second(&self) -> usize {
        let within = |first: usize| {
            let end = self.begun[first].plus(Duration::from_secs(1));
            self.begun[first..].iter().take_while(|at| **at < end).count()
        };
        (0..self.begun.len()).map(within).max().unwrap_or(0)
    }

    fn counts(&mut self, kind: &'static str) {
        *self.calls.entry(kind).or_default() += 1;
    }
}

impl Provider {
    fn opens() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread");
        let office = Arc::new(Office { clock: AnchoredClock::wall(), book: Mutex::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&office));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, router).await
        });
        Provider { url, office, runtime: Some(runtime) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.office.book.lock().unwrap()
    }
}

async fn answer(State(office): State<Arc<Office>>, request: Request) -> Response {
    let _open = Open::new(&office);
    tokio::time::sleep(LATENCY).await;
    let mut book = office.book.lock().unwrap();
    let path = request.uri().path().to_owned();
    if path == "/auth/token" {
        book.counts("token");
        book.tokens.push(office.clock.now());
        let token = format!("t{}", book.tokens.len() - 1);
        return ok(json!({ "access_token": token, "expires_in": 1, "token_type": "Bearer" }));
    }
    let bearer = request.headers().get("authorization").and_then(|header| header.to_str().ok());
    let token =
        bearer.and_then(|bearer| bearer.strip_prefix("Bearer t")).and_then(|token| token.parse().ok());
    let granted = token.and_then(|token: usize| book.tokens.get(token).copied());
    if granted.is_none_or(|at| office.clock.now().since(at) > TOKEN) {
        book.counts("refused");
        let no = json!({ "tppMessages": [{ "category": "ERROR", "code": "invalid_api_key", "text": "no" }] });
        return (StatusCode::UNAUTHORIZED, Json(no)).into_response();
    }
    if path.starts_with("/v1/accounts/") {
        book.counts("balances");
        let amount = json!({ "currency": "NOK", "amount": "1.00" });
        return ok(json!({ "balances": [{ "balanceType": "expected", "balanceAmount": amount }] }));
    }
    if request.method() == axum::http::Method::POST {
        book.counts("initiate");
        let payment = format!("p{}", book.begun.len());
        return ok(json!({ "paymentId": payment, "transactionStatus": "RCVD" }));
    }
    book.counts("status");
    ok(json!({ "transactionStatus": "RCVD" }))
}

fn ok(body: Value) -> Response {
    Json(body).into_response()
}

/// A call that is open.
struct Open<'a>(&'a Office);

impl<'a> Open<'a> {
    fn new(office: &'a Office) -> Self {
        let mut book = office.book.lock().unwrap();
        let now = office.clock.now();
        book.begun.push(now);
        book.open += 1;
        book.most_open = book.most_open.max(book.open);
        Open(office)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.book.lock().unwrap().open -= 1;
    }
}

/// A process that asks by hand counts too: it joins the shares of those that work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_has_a_share_and_gives_it_back() {
    let url = shared().create_database();
    let database = open(&url, &workers::store::Options::default()).await.expect("it opens");
    let limit = Limit { per_second: PER_SECOND, in_flight: 1 };
    let limits = limits::Terms { limit, retry_percent: 10, longest_call: ATTEMPT };
    let begin = || {
        let neighbourhood = Neighbourhood {
            clock: Arc::new(AnchoredClock::wall()),
            neighbours: Arc::clone(&database.neighbours),
            limits: BTreeMap::from([("neonomics".into(), limits)]),
        };
        workers::process::Visit::begin(neighbourhood, &SystemIds)
    };
    let (first, second) = (begin(), begin());
    let pass = first.pass("neonomics", ATTEMPT).await.expect("nobody else is there");
    let brief = Duration::from_millis(300);
    assert!(second.pass("neonomics", brief).await.is_none(), "the only place is taken");
    drop(pass);
    first.end().await;
    drop(eventually("a place", async || second.pass("neonomics", brief).await).await);
    second.end().await;
}
