//! Processes die at any moment: the service, the bank, the database. Whatever was answered reaches the truth; money
//! moves at most once; nothing is lost and nothing is shown as failed that went through.
//!
//! The clients are outside of everything that dies. They log every answer; what was never answered is asked again with
//! the same key. `SEED` in the environment repeats a run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::bank::Branch;
use crate::chance::Chance;
use crate::client::{Customer, REMITTANCE, try_answer, unique};
use crate::on_both_databases;
use crate::patience::{eventually, within};
use crate::postgres::Cluster;
use crate::service::{Kind, World};
use crate::watch::{Sighting, events, judge};

on_both_databases! {
    two_hundred_remittances_outlive_a_service_that_is_killed_again_and_again;
    a_service_that_is_asked_to_stop_ends_its_steps_first;
    remittances_outlive_a_bank_that_is_killed;
}

/// How long everything may take to reach the truth once nothing dies any more.
const CALM: Duration = Duration::from_secs(90);

async fn two_hundred_remittances_outlive_a_service_that_is_killed_again_and_again(kind: Kind) {
    let world = Arc::new(World::with(kind, &[]));
    let mut chance = chance();
    let crowd = Crowd::enter(&world, 200, Duration::from_secs(2), &mut chance).await;
    let branch = world.bank.open_branch(BRANCH).await;
    let kills = 3 + chance.below(3);
    let unfinished = Arc::clone(&crowd.unfinished);
    let disrupt = async {
        for kill in 1..=kills {
            sleep(millis(150 + chance.below(600))).await;
            blocking(&world, |world| world.service.kill()).await;
            sleep(millis(chance.below(150))).await;
            let before = asked(&branch).await;
            let down = Instant::now();
            blocking(&world, |world| world.service.restart()).await;
            let up = down.elapsed();
            // Where everybody has their answer, there is no progress to be made.
            within(CALM, "progress after a restart", async || {
                let idle = unfinished.load(Ordering::Relaxed) == 0;
                (idle || asked(&branch).await > before).then_some(())
            })
            .await;
            println!(
                "{kind:?}: kill {kill} of {kills}: listens after {up:?}, first call to the bank after {:?}",
                down.elapsed()
            );
        }
    };
    crowd.outlives(&branch, disrupt, false).await;
}

async fn remittances_outlive_a_bank_that_is_killed(kind: Kind) {
    let settings = [("QUEUE_AUTO_START", "true"), ("NEONOMICS_READ_TIMEOUT_MS", "1000")];
    let world = Arc::new(World::with(kind, &settings));
    let mut chance = chance();
    let crowd = Crowd::enter(&world, 40, Duration::from_secs(3), &mut chance).await;
    let branch = world.bank.open_branch(BRANCH).await;
    let disrupt = async {
        for _ in 0..3 {
            sleep(millis(200 + chance.below(700))).await;
            blocking(&world, |world| world.bank.kill()).await;
            sleep(millis(100 + chance.below(500))).await;
            blocking(&world, |world| world.bank.restart()).await;
        }
    };
    crowd.outlives(&branch, disrupt, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remittances_outlive_a_postgres_that_crashes() {
    crate::patience::bounded(async {
        let cluster = Arc::new(Cluster::start_fresh());
        let database = cluster.create_database();
        let world = Arc::new(World::with(Kind::Postgres, &[("DATABASE_URL", &database)]));
        let mut chance = chance();
        let crowd = Crowd::enter(&world, 40, Duration::from_secs(3), &mut chance).await;
        let branch = world.bank.open_branch(BRANCH).await;
        let disrupt = async {
            sleep(millis(500 + chance.below(1500))).await;
            let crashing = Arc::clone(&cluster);
            let crash = tokio::task::spawn_blocking(move || crashing.crash_and_recover());
            crash.await.expect("it recovers");
        };
        crowd.outlives(&branch, disrupt, false).await;
    })
    .await;
}

/// In-flight requests to the bank are heard to their end, so that nothing is in doubt because of a deployment: with a
/// bank that promises nothing about repeated requests, that is what would show.
async fn a_service_that_is_asked_to_stop_ends_its_steps_first(kind: Kind) {
    let world = Arc::new(World::with(kind, &[("NEONOMICS_SAFE_REPLAY", "false")]));
    let branch = world.bank.open_branch(BRANCH).await;
    branch.fault(json!({ "operation": "initiate", "kind": "latency", "latencyMs": 1500 })).await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    let amounts: Vec<_> = (0..20).map(|number| format!("{}.00", 1000 + number)).collect();
    let starts = join_all(amounts.iter().map(async |amount| {
        let request = kari.app.request(Method::POST, REMITTANCE).header("Prefer", "wait=0");
        let request = request.header("Idempotency-Key", format!("key-{}", unique()));
        crate::client::answer(request.json(&kari.order(amount))).await.is(202).word("id")
    }));
    let ids = starts.await;
    let in_flight =
        async || branch.calls().await["operations"]["initiate"]["inFlight"].as_u64().unwrap_or_default();
    let sent =
        eventually("initiations in flight", async || Some(in_flight().await).filter(|count| *count >= 5))
            .await;
    let code = blocking(&world, |world| world.service.stop()).await;
    assert_eq!(code, Some(0), "the exit code after SIGTERM");
    assert_eq!(in_flight().await, 0, "a request to the bank was cut off; {sent} were in flight");
    blocking(&world, |world| world.service.restart()).await;
    for (id, amount) in ids.iter().zip(&amounts) {
        let payment = eventually("a payment at the bank", async || {
            branch.truth(&kari.payee, amount).payments.first().cloned()
        });
        assert!(branch.decide(&payment.await, "approve").await);
        kari.once(id, "completed").await;
        let story = events(&kari.app, id, None, Duration::from_secs(10)).await;
        let phases: Vec<_> =
            story.iter().map(|(_, body)| body["phase"].as_str().unwrap().to_owned()).collect();
        assert!(!phases.contains(&"in_doubt".to_owned()), "{id}: {phases:?}");
        let truth = branch.truth(&kari.payee, amount);
        assert_eq!((truth.executed, truth.keys.len()), (1, 1), "{truth:?}");
    }
}

/// The branch that the crowd banks at.
const BRANCH: &str = "crowd";

/// People who all want to pay at about the same time.
struct Crowd {
    orders: Vec<Order>,
    unfinished: Arc<AtomicU32>,
    tasks: Vec<tokio::task::JoinHandle<Log>>,
}

/// One order: nobody else has this payee and amount.
#[derive(Clone)]
struct Order {
    payee: String,
    amount: String,
}

/// What one client was told.
struct Log {
    id: String,
    answers: Vec<u16>,
    unanswered: u32,
    shown: Vec<Sighting>,
}

impl Order {
    fn is_denied(amount: &str) -> bool {
        amount.ends_with("7.00")
    }
}

impl Crowd {
    /// Everybody begins within `spread`.
    async fn enter(world: &World, orders: u32, spread: Duration, chance: &mut Chance) -> Self {
        let branch = world.bank.open_branch(BRANCH).await;
        let base = world.service.base();
        let customers = join_all((0..10).map(|_| Customer::register(&base, &branch))).await;
        let spread = u32::try_from(spread.as_millis()).expect("a short time");
        let mut crowd =
            Crowd { orders: Vec::new(), unfinished: Arc::new(AtomicU32::new(orders)), tasks: Vec::new() };
        for (number, customer) in (0..orders).zip(customers.iter().cycle()) {
            let order = Order { payee: customer.payee.clone(), amount: format!("{}.00", 1000 + number) };
            crowd.orders.push(order.clone());
            let (customer, begin) = (customer.clone(), millis(chance.below(spread)));
            let unfinished = Arc::clone(&crowd.unfinished);
            crowd.tasks.push(tokio::spawn(async move {
                let log = pay(customer, order, begin).await;
                unfinished.fetch_sub(1, Ordering::Relaxed);
                log
            }));
        }
        crowd
    }

    /// Waits until everybody knows how it ended, while things break and payers decide, and judges by the ledger.
    async fn outlives(self, branch: &Branch<'_>, disrupt: impl Future<Output = ()>, may_queue: bool) {
        let people = async {
            loop {
                branch.decide_all(Order::is_denied).await;
                sleep(millis(100)).await;
            }
        };
        let ended = async {
            disrupt.await;
            tokio::time::timeout(CALM, join_all(self.tasks)).await.expect("everything reaches the truth")
        };
        let logs = tokio::select! {
            logs = ended => logs,
            () = people => unreachable!("people never stop paying"),
        };
        let mut ids = BTreeSet::new();
        let mut unanswered = 0;
        for (order, log) in self.orders.iter().zip(logs) {
            let log = log.expect("no client fails");
            assert!(ids.insert(log.id.clone()), "{} is two orders", log.id);
            let truth = branch.truth(&order.payee, &order.amount);
            judge(&log.shown, &truth, may_queue);
            let denied = Order::is_denied(&order.amount);
            assert_eq!(truth.executed, usize::from(!denied), "{}: {:?}\n{truth:#?}", log.id, log.answers);
            assert!(truth.keys.iter().all(|key| key == &truth.keys[0]), "two keys for one order: {truth:#?}");
            assert!(
                truth.bodies.iter().all(|body| body == &truth.bodies[0]),
                "two bodies for one order: {truth:#?}"
            );
            unanswered += log.unanswered;
        }
        println!("{} orders, {unanswered} calls without an answer, each at its truth", ids.len());
    }
}

/// One client: asks until it is answered, always with the same key, and then looks until it knows the end.
async fn pay(customer: Customer, order: Order, begin: Duration) -> Log {
    sleep(begin).await;
    let key = format!("key-{}", unique());
    let mut log = Log { id: String::new(), answers: Vec::new(), unanswered: 0, shown: Vec::new() };
    let start = || {
        let request = customer.app.request(Method::POST, REMITTANCE).header("Idempotency-Key", &key);
        try_answer(request.json(&customer.order(&order.amount)))
    };
    let path = loop {
        match start().await {
            Ok(told) => {
                log.answers.push(told.status);
                if [200, 201, 202].contains(&told.status) {
                    log.id = told.word("id");
                    log.note(Sighting::of(&told.body, "answer"));
                    break format!("/v1/transactions/{}", log.id);
                }
                // A service that is about to end or cannot reach its database says so.
                assert_eq!(told.status, 503, "{}", told.text);
            }
            Err(_) => log.unanswered += 1,
        }
        sleep(millis(50)).await;
    };
    while !log.shown.iter().any(Sighting::is_final) {
        sleep(millis(150)).await;
        match try_answer(customer.app.request(Method::GET, &path)).await {
            Ok(told) if told.status == 200 => log.note(Sighting::of(&told.body, "answer")),
            Ok(told) => assert_eq!(told.status, 503, "{path} was answered before: {}", told.text),
            Err(_) => log.unanswered += 1,
        }
    }
    // The same key afterwards: still the same payment, and its end.
    let again = loop {
        match start().await {
            Ok(told) if told.status != 503 => break told,
            Ok(_) | Err(_) => sleep(millis(50)).await,
        }
    };
    assert_eq!((again.status, again.word("id")), (200, log.id.clone()), "{}", again.text);
    log.note(Sighting::of(&again.body, "answer"));
    log
}

impl Log {
    fn note(&mut self, sighting: Sighting) {
        if self.shown.last() != Some(&sighting) {
            self.shown.push(sighting);
        }
    }
}

/// How often the bank was asked something about payments.
async fn asked(branch: &Branch<'_>) -> u64 {
    let calls = branch.calls().await;
    let of = |operation: &str| calls["operations"][operation]["calls"].as_u64().unwrap_or_default();
    ["initiate", "status", "locate", "cancel"].into_iter().map(of).sum()
}

/// Does something that takes a while to a process, while the clients go on.
async fn blocking<T: Send + 'static>(
    world: &Arc<World>,
    act: impl FnOnce(&World) -> T + Send + 'static,
) -> T {
    let world = Arc::clone(world);
    tokio::task::spawn_blocking(move || act(&world)).await.expect("it does what it should")
}

/// A sequence of its own for each test; printed, so that a failure can be repeated.
fn chance() -> Chance {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seed = given.unwrap_or_else(|| 20_261_121 + NEXT.fetch_add(1, Ordering::Relaxed));
    println!("SEED={seed}");
    Chance::of(seed)
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}
