//! Two processes on one PostgreSQL and one bank: together they keep to what the bank takes, as the bank counts it, and
//! neither waits for a lease when the other is dead. Each process has a runtime of its own, so that one can be killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use sluse::desk::{Desk, Drawers};
use tokio::runtime::Runtime;
use workers::approvals::{Asked, Decided, Decision, Outcome, Request, Verdict};
use workers::limits::{self, Limit};
use workers::ports::{AnchoredClock, Clock, Ids, SystemIds};
use workers::process::{Neighbourhood, Options};
use workers::providers::{Context, Provider};
use workers::store::{Database, Store, open};
use workflows::engine::Finding;
use workflows::ids::{ApprovalId, WorkflowId};
use workflows::payment::Terms;
use workflows::ports::payments::TransactionStatus;
use workflows::ports::{Call, PaymentsCall};
use workflows::time::At;

use crate::bank::{creates, finds_none, stands};
use crate::postgres::{Cluster, shared};
use crate::world::{Running, USUAL, eventually, every_history_tells_its_state, run_among, terms, within};

const PER_SECOND: usize = 50;
const AT_ONCE: usize = 10;
/// How many calls are counted while there is more to do than the bank takes: a few seconds' worth.
const RUSH: usize = 5 * PER_SECOND;
/// Claims that never lapse while a case runs: whoever takes one over knows that its holder is dead.
const UNLAPSING: Options = Options { steps_in_flight: 64, lease: Duration::from_hours(1), ..USUAL };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_keep_to_what_one_bank_takes() {
    let url = shared().create_database();
    let bank = Counting::new(Duration::from_millis(60));
    let processes = [Process::starts(&url, &bank).await, Process::starts(&url, &bank).await];
    rush(&processes, "rush", &terms(true)).await;
    let worked_off = async || (bank.after(At::MIN) >= RUSH).then_some(());
    within(Duration::from_mins(2), "the backlog is worked off", worked_off).await;
    let store = Arc::clone(&processes[0].database.store);
    for process in processes {
        process.stops().await;
    }
    bank.was_never_asked_too_much();
    every_history_tells_its_state(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_many_payments_keep_no_new_one_waiting() {
    let url = shared().create_database();
    let bank = Counting::new(Duration::from_millis(10));
    // No call is given up on a busy machine: a breaker would keep new payments waiting, and rightly.
    let patient = Terms { attempt: Duration::from_secs(20), ..terms(true) };
    let process = Process::starts_with(&url, &bank, patient.attempt).await;
    // Each is asked about five times a second: several times what the bank takes.
    let asked_about = rush(std::slice::from_ref(&process), "asked about", &patient).await;
    let all = async || (bank.initiations() >= asked_about.len()).then_some(());
    within(Duration::from_mins(1), "all are at the bank", all).await;
    for n in 0..10 {
        let id = process.running().start(format!("new {n}"), patient.clone()).await;
        process.running().is_in(id, "awaiting_sca").await;
    }
    bank.was_never_asked_too_much();
    process.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_process_is_taken_over_at_once_whatever_the_lease() {
    let url = shared().create_database();
    let bank = Counting::new(Duration::from_millis(20));
    let (first, second) = (Process::starts(&url, &bank).await, Process::starts(&url, &bank).await);
    bank.hangs(true);
    let id = first.running().start("one", terms(true)).await;
    eventually("a call", async || (bank.open() > 0).then_some(())).await;
    first.dies();
    bank.hangs(false);
    let killed = bank.clock.now();
    second.running().is_in(id, "awaiting_sca").await;
    println!("taken over {:?} after the kill", bank.clock.now().since(killed));
    bank.was_never_asked_too_much();
    let store = Arc::clone(&second.database.store);
    assert_eq!(bank.initiations(), 2, "the lost attempt, and the one that was heard");
    second.stops().await;
    every_history_tells_its_state(&store).await;
}

/// What two people decided and a process died before telling is told by another one, as soon as that is known to be dead
/// and long before it would look by itself (30 s).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_was_to_tell_is_told_by_another_one_at_once() {
    let url = shared().create_database();
    let bank = Counting::new(Duration::from_millis(20));
    let (first, second) = (Process::starts(&url, &bank).await, Process::starts(&url, &bank).await);
    let id = second.running().start("one", terms(true)).await;
    let instance = second.running().is_in(id, "awaiting_sca").await;
    let Database { approvals, actions, notices, .. } = &second.database;
    let drawers =
        Drawers { approvals: approvals.clone(), actions: actions.clone(), notices: notices.clone() };
    let desk = Desk::new(second.running().engine.clone(), drawers, Duration::from_hours(1));
    let following_up = tokio::spawn(desk.clone().follow_up());
    // It has looked once by then, and found nothing.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let now = bank.clock.now();
    let request = Request {
        id: ApprovalId::new(SystemIds.ordered()),
        action: "resolve".to_owned(),
        proposal: "nothing that could be told".to_owned(),
        instance: id,
        revision: instance.seq,
        target: String::new(),
        requested_by: "olga".to_owned(),
        reason: "a case".to_owned(),
        evidence: "none".to_owned(),
        created_at: now,
        expires_at: now.plus(Duration::from_hours(1)),
    };
    assert_eq!(approvals.ask(&request).await.unwrap(), Asked::Filed);
    let (by, reason) = ("eva".to_owned(), "read it".to_owned());
    let decision = Decision { verdict: Verdict::Approved, by, reason, at: now };
    let decided = approvals.decide(request.id, &decision, instance.seq).await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    first.dies();
    let killed = bank.clock.now();
    let concluded = async || approvals.approval(request.id).await.unwrap().unwrap().result;
    assert_eq!(eventually("a conclusion", concluded).await.0, Outcome::Void);
    println!("followed up {:?} after the kill", bank.clock.now().since(killed));
    following_up.abort();
    second.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_a_crash_of_the_database_let_no_call_too_many_through() {
    let cluster = Arc::new(Cluster::start_fresh());
    let url = cluster.create_database();
    let bank = Counting::new(Duration::from_millis(60));
    let mut processes = vec![Process::starts(&url, &bank).await, Process::starts(&url, &bank).await];
    rush(&processes, "first", &terms(true)).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        processes.remove(0).dies();
        processes.push(Process::starts(&url, &bank).await);
    }
    let crashing = Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || crashing.crash_and_recover()).await.expect("it recovers");
    let recovered = bank.clock.now();
    eventually("a call after the crash", async || (bank.after(recovered) > AT_ONCE).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for process in processes {
        process.stops().await;
    }
    bank.was_never_asked_too_much();
}

/// More payments than the bank can be asked about, each of which is asked about again and again.
async fn rush(processes: &[Process], name: &str, terms: &Terms) -> Vec<WorkflowId> {
    let starts = processes.iter().enumerate().flat_map(|(p, process)| {
        (0..60).map(move |n| process.running().start(format!("{name} {p} {n}"), terms.clone()))
    });
    join_all(starts).await
}

/// A process with its runtime and its connections.
struct Process {
    runtime: Option<Runtime>,
    database: Database,
    running: Option<Running>,
}

impl Process {
    async fn starts(url: &str, bank: &Arc<Counting>) -> Self {
        Process::starts_with(url, bank, Duration::from_secs(1)).await
    }

    async fn starts_with(url: &str, bank: &Arc<Counting>, longest_call: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let (url, bank) = (url.to_owned(), Arc::clone(bank));
        let starting = runtime.spawn(async move {
            let database = open(&url, &workers::store::Options::default()).await.expect("it opens");
            let limit = Limit { per_second: 50, in_flight: 10 };
            let terms = limits::Terms { limit, retry_percent: 10, longest_call };
            let neighbourhood = Neighbourhood {
                neighbours: Arc::clone(&database.neighbours),
                limits: BTreeMap::from([("neonomics".into(), terms)]),
                clock: Arc::new(AnchoredClock::wall()),
            };
            let store: Arc<dyn Store> = Arc::clone(&database.store);
            let running = run_among(neighbourhood, &store, &bank, UNLAPSING).await;
            (database, running)
        });
        let (database, running) = starting.await.expect("it starts");
        Process { runtime: Some(runtime), database, running: Some(running) }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// Everything that it was doing ends where it stands, and its connections close.
    fn dies(mut self) {
        self.runtime.take().expect("it runs").shutdown_background();
    }

    async fn stops(mut self) {
        self.running.take().expect("it runs").stop().await;
        self.runtime.take().expect("it runs").shutdown_background();
    }
}

/// A bank that counts.
struct Counting {
    clock: AnchoredClock,
    latency: Duration,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    begun: Vec<At>,
    open: usize,
    most_open: usize,
    initiations: usize,
    hangs: bool,
}

impl Counting {
    fn new(latency: Duration) -> Arc<Self> {
        Arc::new(Counting { clock: AnchoredClock::wall(), latency, book: Mutex::default() })
    }

    /// Whoever asks gets no answer.
    fn hangs(&self, hangs: bool) {
        self.book.lock().unwrap().hangs = hangs;
    }

    fn open(&self) -> usize {
        self.book.lock().unwrap().open
    }

    fn initiations(&self) -> usize {
        self.book.lock().unwrap().initiations
    }

    fn after(&self, from: At) -> usize {
        self.book.lock().unwrap().begun.iter().filter(|at| **at >= from).count()
    }

    fn was_never_asked_too_much(&self) {
        let book = self.book.lock().unwrap();
        assert!(book.most_open <= AT_ONCE, "{} calls at once", book.most_open);
        for (first, beyond) in book.begun.iter().zip(book.begun.iter().skip(PER_SECOND)) {
            let apart = beyond.since(*first);
            assert!(
                apart >= Duration::from_secs(1),
                "{} calls within {apart:?} from {first}",
                PER_SECOND + 1
            );
        }
    }
}

#[async_trait]
impl Provider for Counting {
    async fn perform(&self, call: &Call, _: &Context) -> Finding {
        let _open = Open::new(self, call);
        let hangs = self.book.lock().unwrap().hangs;
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.latency).await;
        match call {
            Call::Payments(PaymentsCall::Initiate(initiation)) => creates(initiation.end_to_end.as_str()),
            Call::Payments(PaymentsCall::Locate { .. }) => finds_none(),
            Call::Payments(
                PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. },
            )
            | Call::Consents(_)
            | Call::Prices(_)
            | Call::Nothing { .. } => stands(TransactionStatus::Rcvd),
        }
    }
}

/// A call that is open.
struct Open<'a>(&'a Counting);

impl<'a> Open<'a> {
    fn new(bank: &'a Counting, call: &Call) -> Self {
        let mut book = bank.book.lock().unwrap();
        book.begun.push(bank.clock.now());
        book.open += 1;
        book.most_open = book.most_open.max(book.open);
        book.initiations += usize::from(matches!(call, Call::Payments(PaymentsCall::Initiate(_))));
        Open(bank)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.book.lock().unwrap().open -= 1;
    }
}
