//! The provider is away, slow, lying or rate-limiting: people read honest words, nothing is lost, nothing is sent twice,
//! and it all goes on by itself.
//!
//! What takes hours in life takes seconds here, by the settings. The bank's ledger judges.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::bank::{Branch, at_the_page};
use crate::client::{Answer, Customer, answer};
use crate::on_both_databases;
use crate::patience::{eventually, within};
use crate::service::{Kind, World};
use crate::watch::{Watch, judge};

/// M-14, word for word.
const QUEUED: &str = "Betaling satt i kø. Vil bli behandlet innen 2 timer.";
/// When the promise of M-14 is broken.
const DELAYED: &str = "Det tar lengre tid enn lovet fordi betalingstjenesten er nede. Ingen penger er trukket. \
                       Betalingen behandles så snart tjenesten er tilbake, eller du kan avbryte den.";
/// The queue is open again and the payer has to approve.
const READY: &str = "Banken er tilgjengelig igjen. Godkjenn betalingen for å fullføre den.";
/// M-37, word for word.
const RECONNECT: &str = "Bank connection expired, tap to reconnect";

on_both_databases! {
    a_day_without_the_provider;
    one_bank_is_away_and_the_others_are_not;
    a_storm_of_429;
    a_provider_that_takes_29_seconds;
    a_provider_that_comes_and_goes;
    a_consent_that_expires_in_the_middle;
}

/// A day in seconds: breakers that look again soon, a promise of three seconds, a short ramp.
const DAY: &[(&str, &str)] = &[
    ("QUEUE_AUTO_START", "true"),
    ("QUEUE_RAMP", "600,6000"),
    ("PENDING_PAYMENT_SLA", "3s"),
    ("NEONOMICS_BREAKER_OPEN_MS", "500"),
];

async fn a_day_without_the_provider(kind: Kind) {
    let world = World::with(kind, DAY);
    let branch = world.bank.open_branch("day").await;
    let crowd = crowd(&world, &branch, 12).await;
    // One payment stands at the bank before it goes away.
    let before = crowd[0].remit_to_link("100.00").await;
    world.bank.kill();

    let queued = join_all(crowd.iter().map(|kari| kari.remit("2000.00"))).await;
    for queued in &queued {
        assert_eq!((queued.status, queued.word("message")), (202, QUEUED.to_owned()), "{}", queued.text);
        assert_eq!(queued.standing(), ("queued".into(), "parked".into()));
    }
    let watches: Vec<_> =
        crowd.iter().zip(&queued).map(|(kari, queued)| Watch::begin(&kari.app, &queued.word("id"))).collect();
    // The promise breaks: the payer reads so, and may take it back.
    for (kari, queued) in crowd.iter().zip(&queued) {
        let delayed = eventually("the payer is told that it takes longer", async || {
            let seen = kari.look(&queued.word("id")).await;
            (seen.word("message") == DELAYED).then_some(seen)
        });
        assert_eq!(delayed.await.standing(), ("queued".into(), "parked".into()));
    }
    let cancelled = crowd[1].cancel(&queued[1].word("id")).await.is(200);
    assert_eq!(cancelled.word("status"), "cancelled");
    // What stood at the bank is neither failed nor lost while nobody can ask.
    assert_eq!(crowd[0].look(&before.word("id")).await.word("status"), "processing");

    world.bank.restart();
    for (kari, queued) in crowd.iter().zip(&queued).filter(|(_, one)| one.word("id") != cancelled.word("id"))
    {
        let ready = kari.once_in_phase(&queued.word("id"), "awaiting_sca").await;
        at_the_page(&ready.link(), "approve").await;
    }
    at_the_page(&before.link(), "approve").await;
    crowd[0].once(&before.word("id"), "completed").await;
    for (n, ((kari, queued), watch)) in crowd.iter().zip(&queued).zip(watches).enumerate() {
        let taken_back = n == 1;
        kari.once(&queued.word("id"), if taken_back { "cancelled" } else { "completed" }).await;
        let truth = branch.truth(&kari.payee, "2000.00");
        assert_eq!((truth.executed, truth.keys.len()), if taken_back { (0, 0) } else { (1, 1) });
        judge(&watch.end().await, &truth, true);
    }
}

async fn one_bank_is_away_and_the_others_are_not(kind: Kind) {
    let world = World::with(kind, &[("NEONOMICS_BREAKER_OPEN_MS", "1000"), ("QUEUE_RAMP", "600")]);
    let (away, well) = (world.bank.open_branch("away").await, world.bank.open_branch("well").await);
    let (ola, kari) = (one(&world, &away).await, one(&world, &well).await);
    // Nothing reaches this bank; what is sent may have, as far as anybody knows.
    away.fault(json!({ "kind": "outage" })).await;
    let doubtful = ola.remit("501.00").await;
    assert_eq!(doubtful.word("phase"), "in_doubt", "{}", doubtful.text);
    let queued = eventually("the breaker of that bank opens", async || {
        let started = ola.remit("502.00").await;
        (started.word("status") == "queued").then_some(started)
    });
    assert_eq!(queued.await.word("message"), QUEUED);
    // The other bank does not notice.
    for amount in ["601.00", "602.00", "603.00", "604.00", "605.00"] {
        let started = kari.remit_to_link(amount).await;
        kari.app.get(&at_the_page(&started.link(), "approve").await).await.is(303);
        kari.once(&started.word("id"), "completed").await;
        assert_eq!(well.truth(&kari.payee, amount).executed, 1);
    }
    let mine = ola.app.get("/v1/transactions?limit=200").await.is(200);
    assert!(
        mine.body["items"].as_array().unwrap().iter().all(|one| one["status"] != "failed"),
        "{}",
        mine.text
    );

    mend(&world).await;
    let ready = within(Duration::from_secs(40), "the queued payer is asked", async || {
        let list = ola.app.get("/v1/transactions?status=queued").await.is(200);
        let all = list.body["items"].as_array().unwrap().clone();
        all.iter().all(|one| one["phase"] == "awaiting_user").then_some(all)
    });
    let ready = ready.await;
    assert!(!ready.is_empty() && ready.iter().all(|one| one["message"] == READY), "{ready:#?}");
    let id = ready[0]["id"].as_str().unwrap();
    let going =
        answer(ola.app.request(Method::POST, &format!("/v1/transactions/{id}/continue"))).await.is(200);
    at_the_page(&going.link(), "approve").await;
    ola.once(id, "completed").await;
    // The one in doubt is found, or proven not to be there and sent under its own key.
    let sca = ola.once_in_phase(&doubtful.word("id"), "awaiting_sca").await;
    at_the_page(&sca.link(), "approve").await;
    ola.once(&doubtful.word("id"), "completed").await;
    assert_eq!(away.truth(&ola.payee, "501.00").executed, 1);
}

async fn a_storm_of_429(kind: Kind) {
    let world = World::with(kind, &[("QUEUE_AUTO_START", "true"), ("QUEUE_RAMP", "6000")]);
    let branch = world.bank.open_branch("storm").await;
    let crowd = crowd(&world, &branch, 8).await;
    branch.fault(json!({ "kind": "rate_limit", "retryAfter": 1 })).await;
    let began = Instant::now();
    let started = join_all(crowd.iter().map(|kari| kari.remit("300.00"))).await;
    assert!(started.iter().all(|one| one.status == 202), "{started:#?}");
    sleep(Duration::from_secs(3)).await;
    let asked = asked(&branch).await;
    let took = began.elapsed();
    let most = 15 * (took.as_secs() + 1);
    assert!(asked <= most, "{asked} calls within {took:?} at a bank that asks to wait one second");
    for (kari, started) in crowd.iter().zip(&started) {
        let seen = kari.look(&started.word("id")).await;
        assert!(["processing", "queued"].contains(&seen.word("status").as_str()), "{}", seen.text);
        says_that_it_is_queued(&seen);
    }
    mend(&world).await;
    for (kari, started) in crowd.iter().zip(&started) {
        let ready = kari.once_in_phase(&started.word("id"), "awaiting_sca").await;
        at_the_page(&ready.link(), "approve").await;
        kari.once(&started.word("id"), "completed").await;
        let truth = branch.truth(&kari.payee, "300.00");
        assert_eq!((truth.executed, truth.live()), (1, 1));
    }
}

async fn a_provider_that_takes_29_seconds(kind: Kind) {
    let world = World::with(kind, &[("NEONOMICS_READ_TIMEOUT_MS", "40000")]);
    let (slow, quick) = (world.bank.open_branch("slow").await, world.bank.open_branch("quick").await);
    let (ola, kari) = (one(&world, &slow).await, one(&world, &quick).await);
    slow.fault(json!({ "operation": "initiate", "kind": "latency", "latencyMs": 29_000 })).await;
    let crowd: Vec<Answer> = join_all((0..6).map(|n| {
        let ola = ola.clone();
        async move { ola.remit(&format!("{}.00", 700 + n)).await }
    }))
    .await;
    for started in &crowd {
        assert_eq!(
            (started.status, started.word("phase")),
            (202, "initiating".to_owned()),
            "{}",
            started.text
        );
    }
    let watch = Watch::begin(&ola.app, &crowd[0].word("id"));
    // Others are served as if nothing were.
    for amount in ["801.00", "802.00", "803.00"] {
        let started = kari.remit_to_link(amount).await;
        at_the_page(&started.link(), "approve").await;
        kari.once(&started.word("id"), "completed").await;
    }
    for (n, started) in crowd.iter().enumerate() {
        let what = "the slow bank answers";
        let ready = within(Duration::from_mins(1), what, async || {
            let seen = ola.look(&started.word("id")).await;
            says_that_it_is_queued(&seen);
            assert_ne!(seen.word("status"), "failed", "{}", seen.text);
            (seen.word("phase") == "awaiting_sca").then_some(seen)
        });
        at_the_page(&ready.await.link(), "approve").await;
        ola.once(&started.word("id"), "completed").await;
        let truth = slow.truth(&ola.payee, &format!("{}.00", 700 + n));
        assert_eq!((truth.executed, truth.keys.len()), (1, 1), "asked once, answered late");
    }
    judge(&watch.end().await, &slow.truth(&ola.payee, "700.00"), false);
}

async fn a_provider_that_comes_and_goes(kind: Kind) {
    let settings =
        [("QUEUE_AUTO_START", "true"), ("QUEUE_RAMP", "6000"), ("NEONOMICS_BREAKER_OPEN_MS", "300")];
    let world = World::with(kind, &settings);
    let branch = world.bank.open_branch("flapping").await;
    let crowd = crowd(&world, &branch, 20).await;
    let flap = async {
        for n in 0..6 {
            let kind = if n % 2 == 0 { "error_after" } else { "outage" };
            branch.fault(json!({ "kind": kind, "status": 503 })).await;
            sleep(Duration::from_millis(400)).await;
            mend(&world).await;
            sleep(Duration::from_millis(400)).await;
        }
    };
    let pay = async {
        let mut started = vec![];
        for kari in &crowd {
            let answer = kari.remit("400.00").await;
            assert!([201, 202].contains(&answer.status), "{}", answer.text);
            says_that_it_is_queued(&answer);
            started.push((Watch::begin(&kari.app, &answer.word("id")), answer.word("id")));
        }
        started
    };
    let ((), started) = tokio::join!(flap, pay);
    for (kari, (watch, id)) in crowd.iter().zip(started) {
        let what = format!("{id} completes");
        let ended = within(Duration::from_mins(1), &what, async || {
            branch.decide_all(|_| false).await;
            let seen = kari.look(&id).await;
            says_that_it_is_queued(&seen);
            assert_ne!(seen.word("status"), "failed", "{}", seen.text);
            (seen.word("status") == "completed").then_some(seen)
        });
        ended.await;
        judge(&watch.end().await, &branch.truth(&kari.payee, "400.00"), true);
    }
}

async fn a_consent_that_expires_in_the_middle(kind: Kind) {
    let world = World::with(kind, &[]);
    let branch = world.bank.open_branch("lapsed").await;
    let kari = one(&world, &branch).await;
    // Nobody on our side knows yet.
    branch.consent_is("expired").await;
    let started = kari.remit("2000.00").await;
    assert_eq!(started.word("phase"), "awaiting_consent", "{}", started.text);
    assert_eq!(
        (started.word("status"), started.word("message")),
        ("processing".into(), RECONNECT.to_owned())
    );
    let id = started.word("id");
    let watch = Watch::begin(&kari.app, &id);
    // The customer approves the new consent at the bank and comes back; the same payment goes on.
    kari.app.get(&at_the_page(&started.link(), "approve").await).await.is(303);
    let ready = kari.once_in_phase(&id, "awaiting_sca").await;
    assert_ne!(ready.link(), started.link());
    kari.app.get(&at_the_page(&ready.link(), "approve").await).await.is(303);
    kari.once(&id, "completed").await;
    let truth = branch.truth(&kari.payee, "2000.00");
    assert_eq!((truth.executed, truth.payments.len()), (1, 1));
    judge(&watch.end().await, &truth, false);
    // The account uses the new consent from here on.
    kari.remit_to_link("2001.00").await;
}

async fn one(world: &World, branch: &Branch<'_>) -> Customer {
    Customer::register(&world.service.base(), branch).await
}

async fn crowd(world: &World, branch: &Branch<'_>, size: usize) -> Vec<Customer> {
    let mut crowd = vec![];
    for _ in 0..size {
        crowd.push(one(world, branch).await);
    }
    crowd
}

/// Whoever waits in the queue reads so, word for word; nobody else does.
fn says_that_it_is_queued(seen: &Answer) {
    if seen.standing() == ("queued".into(), "parked".into()) {
        assert_eq!(seen.word("message"), QUEUED, "{}", seen.text);
    } else {
        assert_ne!(seen.word("message"), QUEUED, "{}", seen.text);
    }
}

/// Nothing goes wrong at the bank from here on.
async fn mend(world: &World) {
    let branch = world.bank.open_branch("workshop").await;
    branch.mend().await;
}

/// Calls of every kind so far.
async fn asked(branch: &Branch<'_>) -> u64 {
    let calls = branch.calls().await;
    let operations = calls["operations"].as_object().expect("a map");
    operations.values().map(|operation| operation["calls"].as_u64().unwrap_or_default()).sum()
}
