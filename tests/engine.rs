//! The engine over every kind of store, with a bank of a few lines behind the payments port: what is performed, how
//! often, and what is left when a process stops in the middle.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what stands around the tests is test too")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use workers::engine::{Engine, Started, Told};
use workers::ports::{AnchoredClock, Ids, SystemIds};
use workers::process::{Drained, Options, assemble};
use workers::providers::{Context, Provider};
use workers::store::{Instance, MemoryStore, StartKey, Store, Verdict, open, verify_chain};
use workflows::accounts::Iban;
use workflows::engine::{Book, Finding, Refusal, Status};
use workflows::ids::{TransactionId, WorkflowId};
use workflows::money::{Currency, Money, Rate};
use workflows::payment::{By, Deal, Event, Payee, Payer, PaymentLimits, Terms};
use workflows::ports::payments::{
    BankId, CreditorAccount, FoundPayment, ProviderPaymentId, TransactionStatus,
};
use workflows::ports::{Call, PaymentsCall, PaymentsReply, Reply};
use workflows::remittance::{self, Remittance};
use workflows::text::Private;

const SOON: Duration = Duration::from_secs(20);

/// How the bank treats initiations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Creates them and says so.
    Kind,
    /// Creates the first of each and says nothing.
    Mute,
    /// Is not there.
    Away,
    /// The first attempt makes the process stop in its tracks.
    Panics,
}

/// A bank that remembers what it created.
struct Bank {
    manner: Mutex<Manner>,
    initiations: AtomicUsize,
    calls: AtomicUsize,
    payments: Mutex<HashMap<String, TransactionStatus>>,
}

impl Bank {
    fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Bank {
            manner: Mutex::new(manner),
            initiations: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            payments: Mutex::new(HashMap::new()),
        })
    }

    fn becomes(&self, manner: Manner) -> Manner {
        std::mem::replace(&mut *self.manner.lock().unwrap(), manner)
    }

    fn everybody_approves(&self) {
        for status in self.payments.lock().unwrap().values_mut() {
            *status = TransactionStatus::Acsc;
        }
    }

    fn created(&self) -> usize {
        self.payments.lock().unwrap().len()
    }
}

#[async_trait]
impl Provider for Bank {
    async fn perform(&self, call: &Call, _: &Context) -> Finding {
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let Call::Payments(call) = call;
        let done = |reply| Finding::Done(Reply::Payments(reply));
        let plant =
            matches!(call, PaymentsCall::Initiate(_)) && *self.manner.lock().unwrap() == Manner::Panics;
        assert!(!(plant && self.becomes(Manner::Kind) == Manner::Panics), "planted");
        let mut payments = self.payments.lock().unwrap();
        match call {
            PaymentsCall::Initiate(initiation) => {
                self.initiations.fetch_add(1, Ordering::SeqCst);
                let manner = *self.manner.lock().unwrap();
                let id = initiation.end_to_end.as_str().to_owned();
                match manner {
                    Manner::Away => return Finding::NotSent("nobody is there"),
                    Manner::Mute if !payments.contains_key(&id) => {
                        payments.insert(id, TransactionStatus::Rcvd);
                        return Finding::Unknown("no answer");
                    }
                    Manner::Kind | Manner::Mute | Manner::Panics => {}
                }
                let status = payments.entry(id.clone()).or_insert(TransactionStatus::Rcvd).clone();
                let sca = Some("https://bank.example/sca".to_owned());
                done(PaymentsReply::Created { payment: ProviderPaymentId(id), status, sca })
            }
            PaymentsCall::Status { payment, .. } => match payments.get(&payment.0) {
                Some(status) => done(PaymentsReply::Standing { status: status.clone(), reason: None }),
                None => refused(),
            },
            PaymentsCall::Locate { end_to_end, .. } => {
                let found = payments.get_key_value(end_to_end.as_str()).map(|(id, status)| FoundPayment {
                    payment: ProviderPaymentId(id.clone()),
                    status: status.clone(),
                });
                done(PaymentsReply::Found(found.into_iter().collect()))
            }
            PaymentsCall::Cancel { payment, .. } => match payments.get_mut(&payment.0) {
                Some(status) if *status == TransactionStatus::Rcvd => {
                    *status = TransactionStatus::Canc;
                    done(PaymentsReply::Cancelled)
                }
                _ => refused(),
            },
            PaymentsCall::Probe { .. } => match *self.manner.lock().unwrap() {
                Manner::Away => Finding::NotSent("nobody is there"),
                Manner::Kind | Manner::Mute | Manner::Panics => done(PaymentsReply::Ready),
            },
        }
    }
}

fn refused() -> Finding {
    let class = workflows::engine::Class::Final;
    Finding::Refused(Refusal { code: "STATUS_INVALID".to_owned(), class })
}

/// A process over a store, with its performing half running.
struct Running {
    engine: Engine,
    stop: oneshot::Sender<()>,
    work: tokio::task::JoinHandle<Drained>,
}

fn run(store: &Arc<dyn Store>, bank: &Arc<Bank>, steps_in_flight: usize) -> Running {
    let bank: Arc<dyn Provider> = Arc::<Bank>::clone(bank);
    let options =
        Options { steps_in_flight, lease: Duration::from_millis(600), grace: Duration::from_secs(5) };
    let (engine, work) =
        assemble(Arc::clone(store), Book::default().with::<Remittance>(), bank, Arc::new(SystemIds), options);
    let (stop, stopped) = oneshot::channel();
    let work = tokio::spawn(work.expect("this process performs").run(async move {
        let _ = stopped.await;
    }));
    Running { engine, stop, work }
}

impl Running {
    async fn stop(self) -> Drained {
        let _ = self.stop.send(());
        self.work.await.expect("no panic")
    }

    async fn ended(&self, id: WorkflowId) -> Instance {
        self.reaches(id, |instance| instance.status.is_final()).await
    }

    async fn reaches(&self, id: WorkflowId, enough: impl Fn(&Instance) -> bool + Send + Sync) -> Instance {
        let instance = self.engine.wait(id, SOON, &enough).await.expect("answers").expect("is there");
        assert!(enough(&instance), "stuck in {} / {}", instance.status, instance.phase);
        instance
    }
}

fn terms(replay: bool, auto_start: bool) -> Terms {
    let short = Duration::from_millis(20);
    Terms {
        sca_timeout: Duration::from_secs(30),
        poll_first: short,
        poll_most: Duration::from_millis(200),
        retry_base: short,
        visibility_lag: Duration::from_millis(50),
        agreeing_reads: 3,
        replay: replay.then(|| Duration::from_hours(24)),
        lookup: true,
        auto_start,
        user_deadline: Duration::from_hours(1),
        overdue: Duration::from_hours(1),
    }
}

fn order(id: WorkflowId, terms: Terms) -> remittance::Order {
    let iban = |text| Iban::parse(text).expect("a valid account");
    let nok = |minor| Money::new(minor, Currency::NOK);
    let ask = remittance::Ask {
        transaction: TransactionId::from(id),
        user: "usr_kari".parse().expect("an id"),
        bank_account: "bac_1".parse().expect("an id"),
        recipient: "rec_marko".parse().expect("an id"),
        payer: Payer {
            birth_date: chrono::NaiveDate::from_ymd_opt(1990, 1, 1),
            identified: true,
            bank: BankId("dnb".to_owned()),
            account: iban("NO9386011117947"),
            currency: Currency::NOK,
            consent: None,
            consent_expires_at: None,
            ip: None,
        },
        payee: Payee {
            name: Private::from("Marko Petrovic".to_owned()),
            account: CreditorAccount::Iban(iban("RS35265000000123456757")),
            agent: None,
            domestic: false,
        },
        amount: nok(200_000),
        receive: Currency::EUR,
        rate: Some((Rate::parse("0.0870").expect("a rate"), None)),
        note: None,
        limits: PaymentLimits { least: nok(10_000), most: nok(5_000_000) },
        fee_basis_points: 50,
        deal: Deal { terms, redirect_uri: "http://localhost/".to_owned() },
    };
    let now = workflows::time::At::parse("2026-02-23T08:00:00Z").expect("a time");
    remittance::accept(ask, now).expect("lawful")
}

async fn start(engine: &Engine, key: &str, terms: Terms) -> Started {
    let id = WorkflowId::new(SystemIds.ordered());
    let start = StartKey { scope: "test|remittance".into(), key: key.into(), body_hash: "same".into() };
    engine
        .start::<Remittance>(id, "usr_kari", start, "test", order(id, terms))
        .await
        .expect("the store answers")
}

fn id_of(started: &Started) -> WorkflowId {
    match started {
        Started::New(instance) | Started::Existing(instance) => instance.id,
    }
}

async fn sqlite(directory: &tempfile::TempDir) -> Arc<dyn Store> {
    let url = format!("sqlite://{}", directory.path().join("test.db").display());
    open(&url, &workers::store::Options::default()).await.expect("opens").store
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Arc::new(AnchoredClock::wall())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remittance_runs_end_to_end_and_its_history_is_intact() {
    let directory = tempfile::tempdir().expect("a directory");
    for store in [memory(), sqlite(&directory).await] {
        let bank = Bank::new(Manner::Kind);
        let process = run(&store, &bank, 8);
        let id = id_of(&start(&process.engine, "one", terms(true, false)).await);
        process.reaches(id, |instance| &*instance.phase == "awaiting_sca").await;
        bank.everybody_approves();
        let told = process.engine.tell(id, &Event::Returned { payment: None }, "usr_kari", None).await;
        assert!(matches!(told, Ok(Told::Moved(_))), "{told:?}");
        let settled = process.ended(id).await;
        assert_eq!((settled.status, &*settled.phase), (Status::Completed, "settled"));
        let history = store.history(id, 0, 100).await.expect("answers");
        assert_eq!(verify_chain(&history, settled.seq, &settled.hash), Verdict::Intact);
        assert!(store.tasks(id).await.expect("answers").is_empty(), "nothing is owed after the end");
        assert_eq!(bank.initiations.load(Ordering::SeqCst), 1);
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_initiation_is_found_or_repeated_but_never_doubled() {
    for replay in [true, false] {
        let (store, bank) = (memory(), Bank::new(Manner::Mute));
        let process = run(&store, &bank, 8);
        let id = id_of(&start(&process.engine, "one", terms(replay, false)).await);
        process.reaches(id, |instance| &*instance.phase == "awaiting_sca").await;
        assert_eq!(bank.created(), 1);
        assert_eq!(bank.initiations.load(Ordering::SeqCst), if replay { 2 } else { 1 });
        bank.everybody_approves();
        assert_eq!(process.ended(id).await.status, Status::Completed);
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_away_parks_the_payment_and_its_return_releases_it() {
    let (store, bank) = (memory(), Bank::new(Manner::Away));
    let process = run(&store, &bank, 8);
    let waits = id_of(&start(&process.engine, "asks", terms(true, false)).await);
    let goes = id_of(&start(&process.engine, "goes", terms(true, true)).await);
    for id in [waits, goes] {
        let parked = process.reaches(id, |instance| instance.status == Status::Queued).await;
        assert_eq!(&*parked.phase, "parked");
    }
    bank.becomes(Manner::Kind);
    process.reaches(waits, |instance| &*instance.phase == "awaiting_user").await;
    process.reaches(goes, |instance| &*instance.phase == "awaiting_sca").await;
    assert_eq!(bank.created(), 1, "nothing is sent for a payer who is not there");
    let told = process.engine.tell(waits, &Event::Continued, "usr_kari", None).await;
    assert!(matches!(told, Ok(Told::Moved(_))), "{told:?}");
    process.reaches(waits, |instance| &*instance.phase == "awaiting_sca").await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_starts_once() {
    let directory = tempfile::tempdir().expect("a directory");
    for store in [memory(), sqlite(&directory).await] {
        let bank = Bank::new(Manner::Kind);
        let process = run(&store, &bank, 8);
        let starts = (0..20).map(|_| start(&process.engine, "twenty", terms(true, false)));
        let started = futures::future::join_all(starts).await;
        let fresh = started.iter().filter(|started| matches!(started, Started::New(_))).count();
        let ids: std::collections::HashSet<_> = started.iter().map(id_of).collect();
        assert_eq!((fresh, ids.len()), (1, 1));
        process.reaches(id_of(&started[0]), |instance| &*instance.phase == "awaiting_sca").await;
        assert_eq!(bank.created(), 1);
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_cancel_that_meets_the_initiation_is_kept() {
    let (store, bank) = (memory(), Bank::new(Manner::Kind));
    let process = run(&store, &bank, 8);
    for round in 0..50 {
        let id = id_of(&start(&process.engine, &format!("key {round}"), terms(true, false)).await);
        let wish = Event::CancelAsked { by: By::User };
        process.engine.tell(id, &wish, "usr_kari", None).await.expect("answers");
        assert_eq!(process.ended(id).await.status, Status::Cancelled);
    }
    assert!(bank.payments.lock().unwrap().values().all(|status| *status == TransactionStatus::Canc));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_harms_nobody_else_and_its_task_comes_back() {
    let (store, bank) = (memory(), Bank::new(Manner::Panics));
    let process = run(&store, &bank, 8);
    let starts = (0..10).map(|n| start(&process.engine, n.to_string().leak(), terms(true, false)));
    let started = futures::future::join_all(starts).await;
    for started in &started {
        process.reaches(id_of(started), |instance| &*instance.phase == "awaiting_sca").await;
    }
    assert_eq!(bank.created(), 10);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_leaves_nothing_behind_that_another_does_not_take_up() {
    let (store, bank) = (memory(), Bank::new(Manner::Kind));
    let first = run(&store, &bank, 4);
    let starts = (0..100).map(|n| start(&first.engine, n.to_string().leak(), terms(true, false)));
    let started = futures::future::join_all(starts).await;
    let drained = first.stop().await;
    assert_eq!(drained.cut_off, 0, "steps in flight finish");
    let second = run(&store, &bank, 64);
    for started in &started {
        second.reaches(id_of(started), |instance| &*instance.phase == "awaiting_sca").await;
    }
    assert_eq!(bank.initiations.load(Ordering::SeqCst), 100, "each was sent once");
    bank.everybody_approves();
    for started in &started {
        assert_eq!(second.ended(id_of(started)).await.status, Status::Completed);
    }
    second.stop().await;
}
