//! What stands around a case: a store, processes over it, orders, and the look back at what was stored.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use workers::controls::breaker::Rules;
use workers::controls::ramp::Stages;
use workers::controls::{Controls, Settings};
use workers::engine::{Engine, Started};
use workers::ports::{AnchoredClock, Clock, Ids, SystemIds};
use workers::process::{Drained, Neighbourhood, Options, Work, assemble, assemble_among};
use workers::providers::Provider;
use workers::store::{
    Audit, Filter, HistoryRow, Instance, MemoryStore, StartKey, Store, Verdict, open, verify_chain,
};
use workflows::accounts::Iban;
use workflows::engine::{Book, Live, Machine, begin};
use workflows::ids::{TransactionId, WorkflowId};
use workflows::money::{Currency, Money, Rate};
use workflows::payment::{Deal, Payee, Payer, PaymentLimits, Terms};
use workflows::ports::payments::{BankId, CreditorAccount};
use workflows::qr_payment::{self, QrPayment};
use workflows::remittance::{self, Remittance};
use workflows::text::Private;

/// What a case waits for at most, and never does when all is well.
pub const SOON: Duration = Duration::from_secs(20);

/// Eight hands, and claims that lapse while a case can wait for it.
pub const USUAL: Options =
    Options { steps_in_flight: 8, lease: Duration::from_millis(600), grace: Duration::from_secs(5) };

/// Where orders without a word about it go.
const BANK: &str = "dnb";
const SCOPE: &str = "test|remittance";

/// An empty store.
pub struct Subject {
    pub store: Arc<dyn Store>,
    pub audit: Arc<dyn Audit>,
    _files: Option<TempDir>,
}

impl Subject {
    pub fn memory() -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(AnchoredClock::wall())));
        Subject { audit: Arc::<MemoryStore>::clone(&store), store, _files: None }
    }

    pub async fn sqlite() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", files.path().join("sluse.db").display());
        Subject::opened(&url, Some(files)).await
    }

    pub async fn postgres() -> Self {
        Subject::opened(&crate::postgres::shared().create_database(), None).await
    }

    async fn opened(url: &str, files: Option<TempDir>) -> Self {
        let database = open(url, &workers::store::Options::default()).await.expect("the database opens");
        Subject { store: database.store, audit: database.audit, _files: files }
    }
}

/// A process over a store, with its performing half running.
pub struct Running {
    pub engine: Engine,
    pub controls: Controls,
    stop: Option<oneshot::Sender<()>>,
    work: tokio::task::JoinHandle<Drained>,
}

/// Starts a process whose breakers stay closed and whose queues need no ramp: for cases about single payments.
pub async fn run<P: Provider + 'static>(store: &Arc<dyn Store>, bank: &Arc<P>, options: Options) -> Running {
    run_with(store, bank, options, calm()).await
}

/// Starts a process whose breakers and queues are set so.
pub async fn run_with<P: Provider + 'static>(
    store: &Arc<dyn Store>,
    bank: &Arc<P>,
    options: Options,
    settings: Settings,
) -> Running {
    let bank: Arc<dyn Provider> = Arc::<P>::clone(bank);
    let controls = controls(store, settings).await;
    let assembled = assemble(Arc::clone(store), &controls, book(), bank, Arc::new(SystemIds), options);
    running(assembled, controls)
}

/// A process that performs nothing.
pub async fn front_end<P: Provider + 'static>(
    store: &Arc<dyn Store>,
    bank: &Arc<P>,
    options: Options,
) -> Engine {
    let bank: Arc<dyn Provider> = Arc::<P>::clone(bank);
    let controls = controls(store, calm()).await;
    let (engine, work) = assemble(Arc::clone(store), &controls, book(), bank, Arc::new(SystemIds), options);
    assert!(work.is_none(), "it has no hands");
    engine
}

/// Starts a process that has others beside it.
pub async fn run_among<P: Provider + 'static>(
    neighbourhood: Neighbourhood,
    store: &Arc<dyn Store>,
    bank: &Arc<P>,
    options: Options,
) -> Running {
    let bank: Arc<dyn Provider> = Arc::<P>::clone(bank);
    let (controls, ids) = (controls(store, calm()).await, Arc::new(SystemIds));
    let store = Arc::clone(store);
    let assembled = assemble_among(neighbourhood, (store, &controls), book(), bank, ids, options);
    running(assembled, controls)
}

fn book() -> Book {
    Book::default().with::<Remittance>().with::<QrPayment>()
}

/// The controls of one more process.
pub async fn controls(store: &Arc<dyn Store>, settings: Settings) -> Controls {
    let rows = Arc::<dyn Store>::clone(store);
    Controls::open(rows, store.clock(), &SystemIds, settings).await.expect("the store answers")
}

/// Breakers that stay closed and queues that need no ramp.
fn calm() -> Settings {
    let moment = Duration::from_millis(20);
    let breaker = Rules { failures: u32::MAX, window: Duration::from_mins(1), open_for: moment };
    let ramp = Stages { each: vec![], long: moment };
    Settings { breaker, ramp, ..Settings::default() }
}

fn running((engine, work): (Engine, Option<Work>), controls: Controls) -> Running {
    let (stop, stopped) = oneshot::channel();
    let work = tokio::spawn(work.expect("this process performs").run(async move {
        // A process that is dropped by a case that failed ends like one that is stopped.
        let _ = stopped.await;
    }));
    Running { engine, controls, stop: Some(stop), work }
}

impl Running {
    /// Tells it to stop; it drains from here on.
    pub fn is_told_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("it runs until it is told to stop");
        }
    }

    /// Tells it to stop, unless it was told, and waits until it has drained.
    pub async fn stop(mut self) -> Drained {
        self.is_told_to_stop();
        self.work.await.expect("no panic")
    }

    /// Starts a payment under a key, and answers its id.
    pub async fn start(&self, key: impl Display, terms: Terms) -> WorkflowId {
        id_of(&start(&self.engine, key, terms).await)
    }

    /// The instance at its end.
    pub async fn ended(&self, id: WorkflowId) -> Arc<Instance> {
        self.reaches(id, |instance| instance.status.is_final()).await
    }

    /// The instance as soon as it stands in this phase.
    pub async fn is_in(&self, id: WorkflowId, phase: &str) -> Arc<Instance> {
        self.reaches(id, |instance| &*instance.phase == phase).await
    }

    /// The instance as soon as it is `enough`.
    pub async fn reaches(
        &self,
        id: WorkflowId,
        enough: impl Fn(&Instance) -> bool + Send + Sync,
    ) -> Arc<Instance> {
        let instance = self.engine.wait(id, SOON, &enough).await.expect("answers").expect("is there");
        assert!(enough(&instance), "stuck in {} / {}", instance.status, instance.phase);
        instance
    }
}

/// Starts a payment under a key.
pub async fn start(engine: &Engine, key: impl Display, terms: Terms) -> Started {
    start_at(engine, BANK, key, terms).await
}

/// Starts a payment from an account of this bank.
pub async fn start_at(engine: &Engine, bank: &str, key: impl Display, terms: Terms) -> Started {
    let id = WorkflowId::new(SystemIds.ordered());
    let key = key.to_string().into();
    let key = StartKey { scope: SCOPE.into(), key, body_hash: "same".into() };
    let started = engine.start::<Remittance>(id, "usr_kari", key, "test", order(id, bank, terms)).await;
    started.expect("the store answers")
}

/// Starts a payment in a shop from an account of this bank.
pub async fn start_in_shop(engine: &Engine, bank: &str, key: impl Display, terms: Terms) -> WorkflowId {
    let id = WorkflowId::new(SystemIds.ordered());
    let key = StartKey { scope: SCOPE.into(), key: key.to_string().into(), body_hash: "same".into() };
    let ask = qr_payment::Ask {
        transaction: TransactionId::from(id),
        merchant: "mer_kiosk".parse().expect("an id"),
        payer: payer(bank),
        payee: payee(),
        amount: nok(14_900),
        limits: PaymentLimits { least: nok(100), most: nok(5_000_000) },
        deal: deal(terms),
    };
    let order = qr_payment::accept(ask, AnchoredClock::wall().now()).expect("lawful");
    let started = engine.start::<QrPayment>(id, "usr_kari", key, "test", order).await;
    id_of(&started.expect("the store answers"))
}

/// What was started under a key, as soon as it is there.
pub async fn is_started(store: &Arc<dyn Store>, key: &str) -> WorkflowId {
    eventually("a start", async || Some(store.started(SCOPE, key).await.expect("answers")?.id)).await
}

/// Whose start it was.
pub fn id_of(started: &Started) -> WorkflowId {
    match started {
        Started::New(instance) | Started::Existing(instance) => instance.id,
    }
}

/// Asks until there is an answer; for what nobody reports by itself.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    within(SOON, what, ask).await
}

/// The same with a time of its own.
pub async fn within<T>(time: Duration, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(time, asking).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// Terms whose waits are short. The provider honours the key of a payment, or it does not.
pub fn terms(replay: bool) -> Terms {
    let short = Duration::from_millis(20);
    Terms {
        sca_timeout: Duration::from_secs(30),
        poll_first: short,
        poll_most: Duration::from_millis(200),
        retry_base: short,
        attempt: Duration::from_secs(1),
        visibility_lag: Duration::from_millis(50),
        agreeing_reads: 3,
        replay: replay.then(|| Duration::from_hours(24)),
        lookup: true,
        auto_start: false,
        user_deadline: Duration::from_hours(1),
        overdue: Duration::from_hours(1),
        sla: Duration::from_hours(2),
        queue_expiry: Duration::from_hours(48),
    }
}

/// Every transition of an instance, oldest first.
pub async fn history(store: &Arc<dyn Store>, id: WorkflowId) -> Vec<HistoryRow> {
    store.history(id, 0, 10_000).await.expect("answers")
}

/// Every chain is whole, and the machine, told what each row says that happened, comes to the status and phase of that
/// row and in the end to the very state that is stored.
pub async fn every_history_tells_its_state(store: &Arc<dyn Store>) {
    let everybodys = Filter { limit: 1_000, ..Filter::default() };
    let instances = store.list(&everybodys).await.expect("answers");
    assert!(!instances.is_empty(), "a case that starts nothing shows nothing");
    for instance in instances {
        let id = instance.id;
        let rows = history(store, id).await;
        assert_eq!(verify_chain(&rows, instance.seq, &instance.hash), Verdict::Intact, "{id}");
        let mut live = match &*instance.kind {
            "qr_payment" => born::<QrPayment>(&instance),
            _ => born::<Remittance>(&instance),
        };
        for row in &rows {
            // The first row says that it was started, which needs no telling.
            if row.seq > 1 {
                let next = live.replayed(&row.occurrence, row.at).expect("the occurrence is readable");
                // Nothing follows from what the machine refused and an operator was called for.
                live = next.unwrap_or(live);
            }
            let (view, told) = (live.view(), (&*row.status, &*row.phase));
            assert_eq!((view.status.as_str(), view.phase), told, "{id} after {}", row.occurrence);
        }
        assert_eq!(live.state_doc(), *instance.state, "{id}");
    }
}

/// An instance as its order makes it.
fn born<M: Machine>(instance: &Instance) -> Arc<dyn Live> {
    begin::<M>(serde_json::from_str(&instance.order).expect("the order is readable")).0
}

fn iban(text: &str) -> Iban {
    Iban::parse(text).expect("a valid account")
}

fn nok(minor: i64) -> Money {
    Money::new(minor, Currency::NOK)
}

fn payer(bank: &str) -> Payer {
    Payer {
        user: "usr_kari".parse().expect("an id"),
        bank_account: "bac_1".parse().expect("an id"),
        provider_account: None,
        birth_date: chrono::NaiveDate::from_ymd_opt(1990, 1, 1),
        identified: true,
        bank: BankId(bank.to_owned()),
        account: iban("NO9386011117947"),
        currency: Currency::NOK,
        consent: None,
        consent_expires_at: None,
        ip: None,
    }
}

fn payee() -> Payee {
    Payee {
        name: Private::from("Marko Petrovic".to_owned()),
        account: CreditorAccount::Iban(iban("RS35265000000123456757")),
        agent: None,
        domestic: false,
    }
}

fn deal(terms: Terms) -> Deal {
    Deal {
        terms,
        redirect_uri: "http://localhost/".to_owned(),
        consent_redirect_uri: "http://localhost/".to_owned(),
    }
}

fn order(id: WorkflowId, bank: &str, terms: Terms) -> remittance::Order {
    let ask = remittance::Ask {
        transaction: TransactionId::from(id),
        recipient: "rec_marko".parse().expect("an id"),
        payer: payer(bank),
        payee: payee(),
        amount: nok(200_000),
        receive: Currency::EUR,
        rate: Some((Rate::parse("0.0870").expect("a rate"), None)),
        note: None,
        limits: PaymentLimits { least: nok(10_000), most: nok(5_000_000) },
        fee_basis_points: 50,
        deal: deal(terms),
    };
    remittance::accept(ask, AnchoredClock::wall().now()).expect("lawful")
}
