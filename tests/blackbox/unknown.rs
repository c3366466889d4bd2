//! Outcomes that nobody knows: whatever the bank and the network do, what is shown is never wrong, and money moves at
//! most once.
//!
//! Each story runs with and without the provider's promise to honour a repeated request, on both databases. While it
//! runs, everything that the service shows is recorded; at its end the bank's ledger judges.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bank::{Branch, Truth, at_the_page};
use crate::client::{Answer, Caller, Customer, answer};
use crate::on_both_databases;
use crate::patience::{eventually, within};
use crate::service::{Kind, World};
use crate::watch::{Sighting, Watch, judge};

on_both_databases! {
    with_the_promise_of_safe_replay;
    without_the_promise_of_safe_replay;
}

async fn with_the_promise_of_safe_replay(kind: Kind) {
    tell_all(kind, Promise::SafeReplay).await;
}

async fn without_the_promise_of_safe_replay(kind: Kind) {
    tell_all(kind, Promise::None).await;
}

/// What the provider promises about a repeated request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// It is the same payment.
    SafeReplay,
    /// It is another one.
    None,
}

impl Promise {
    /// What a story ends with under each promise.
    fn choose<T>(self, safe_replay: T, none: T) -> T {
        match self {
            Promise::SafeReplay => safe_replay,
            Promise::None => none,
        }
    }
}

/// Every story, by what goes wrong.
const STORIES: &[(&str, Story)] = &[
    ("reset-after-create", |on| reset_after_create(on).boxed_local()),
    ("reset-before-create", |on| reset_before_create(on).boxed_local()),
    ("error-after-create", |on| error_after_create(on).boxed_local()),
    ("error-before-create", |on| error_before_create(on).boxed_local()),
    ("hang-after-create", |on| hang_after_create(on).boxed_local()),
    ("garbage-after-create", |on| garbage_after_create(on).boxed_local()),
    ("late-create", |on| late_create(on).boxed_local()),
    ("late-create-and-hidden", |on| late_create_and_hidden(on).boxed_local()),
    ("rate-limit", |on| rate_limit(on).boxed_local()),
    ("lost-return", |on| lost_return(on).boxed_local()),
    ("late-execution", |on| late_execution(on).boxed_local()),
    ("cancel-crosses-approval", |on| cancel_crosses_approval(on).boxed_local()),
    ("lost-cancellation", |on| lost_cancellation(on).boxed_local()),
    ("cancel-in-doubt", |on| cancel_in_doubt(on).boxed_local()),
    ("status-fails-for-a-while", |on| status_fails_for_a_while(on).boxed_local()),
    ("repeated-and-forged-returns", |on| repeated_and_forged_returns(on).boxed_local()),
    ("unknown-status-code", |on| unknown_status_code(on).boxed_local()),
    ("rejected-after-approval", |on| rejected_after_approval(on).boxed_local()),
];

type Story = for<'a> fn(&'a Stage<'a>) -> LocalBoxFuture<'a, ()>;

/// Where a story plays.
struct Stage<'a> {
    promise: Promise,
    branch: Branch<'a>,
    kari: Customer,
}

/// What every story orders.
const AMOUNT: &str = "2000.00";

async fn tell_all(kind: Kind, promise: Promise) {
    let replay = promise.choose("true", "false");
    let settings = [
        ("NEONOMICS_SAFE_REPLAY", replay),
        ("NEONOMICS_READ_TIMEOUT_MS", "2500"),
        // Longer than any story waits for its payer, shorter than the bank executes late.
        ("SCA_TIMEOUT", "5s"),
        ("NEONOMICS_VISIBILITY_LAG_MS", "3000"),
    ];
    let world = World::with(kind, &settings);
    let ended = join_all(STORIES.iter().map(|(name, story)| tell(&world, promise, name, *story))).await;
    let failed: Vec<_> = ended.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{promise:?} on {kind:?}:\n{}", failed.join("\n"));
    if promise == Promise::None {
        // Over all stories: no order was sent twice, but for the two that were provably not taken.
        let calls = world.bank.open_branch("observer").await.calls().await;
        let sent = calls["operations"]["initiate"]["calls"].as_u64().expect("a count");
        assert!(
            sent <= STORIES.len() as u64 + RATE_LIMITED,
            "{sent} initiations for {} orders",
            STORIES.len()
        );
    }
}

/// Tells one story; what went wrong, if anything did.
async fn tell(world: &World, promise: Promise, name: &str, story: Story) -> Option<String> {
    let branch = world.bank.open_branch(name).await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    let stage = Stage { promise, branch, kari };
    let ended = std::panic::AssertUnwindSafe(story(&stage)).catch_unwind().await.err()?;
    let text = ended.downcast_ref::<String>().cloned();
    let text = text.or_else(|| ended.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(format!("{name}: {}", text.unwrap_or_default()))
}

impl Stage<'_> {
    /// Starts the payment and watches it from then on.
    async fn start(&self) -> (Answer, Watch) {
        let started = self.kari.remit(AMOUNT).await;
        assert!([201, 202].contains(&started.status), "{}", started.text);
        let watch = Watch::begin(&self.kari.app, &started.word("id"));
        (started, watch)
    }

    fn truth(&self) -> Truth {
        self.branch.truth(&self.kari.payee, AMOUNT)
    }

    /// The payment that stands at the bank, as soon as one does.
    async fn at_the_bank(&self) -> String {
        eventually("a payment at the bank", async || self.branch.undecided().await.pop()).await
    }

    /// The payer approves at the bank, in the bank's own app: no link is needed and nobody returns.
    async fn approve(&self) -> String {
        let payment = self.at_the_bank().await;
        assert!(self.branch.decide(&payment, "approve").await, "{payment} could not be approved");
        payment
    }

    /// Waits for one of these ends and judges everything that was shown on the way.
    async fn ends(&self, id: &str, watch: Watch, status: &str, may_queue: bool) -> Vec<Sighting> {
        let what = format!("an end of {id}");
        let limit = Duration::from_secs(40);
        let last = within(limit, &what, async || {
            let seen = self.kari.look(id).await;
            ["completed", "failed", "cancelled"].contains(&seen.word("status").as_str()).then_some(seen)
        })
        .await;
        let shown = watch.end().await;
        let truth = self.truth();
        judge(&shown, &truth, may_queue);
        assert_eq!(last.word("status"), status, "{}\nshown: {shown:#?}\ntruth: {truth:#?}", last.text);
        match self.promise {
            Promise::SafeReplay => {
                let same = |all: &[String]| all.iter().all(|one| one == &all[0]);
                assert!(same(&truth.keys) && same(&truth.bodies), "repeated as something else: {truth:#?}");
            }
            Promise::None => assert!(truth.keys.len() <= 1, "sent again without a promise: {truth:#?}"),
        }
        shown
    }

    /// The story of an initiation that was carried out and whose answer was lost.
    async fn created_but_lost(&self, fault: Value) {
        self.branch.fault(fault).await;
        let (started, watch) = self.start().await;
        self.approve().await;
        let shown = self.ends(&started.word("id"), watch, "completed", false).await;
        assert_eq!(self.truth().executed, 1);
        if self.promise == Promise::None {
            assert!(shown.iter().any(|one| one.phase == "in_doubt"), "{shown:#?}");
        }
    }

    /// The story of an initiation that was never carried out and whose answer does not say so.
    async fn lost_before_it_was_created(&self, fault: Value) {
        self.branch.fault(fault).await;
        let (started, watch) = self.start().await;
        let id = started.word("id");
        if self.promise == Promise::SafeReplay {
            self.approve().await;
            self.ends(&id, watch, "completed", false).await;
            return;
        }
        let shown = self.ends(&id, watch, "failed", false).await;
        assert!(shown.iter().any(|one| one.phase == "in_doubt"), "{shown:#?}");
        assert_eq!(self.truth(), Truth::default());
    }
}

async fn reset_after_create(on: &Stage<'_>) {
    on.created_but_lost(json!({ "operation": "initiate", "kind": "reset_after", "times": 1 })).await;
}

async fn error_after_create(on: &Stage<'_>) {
    on.created_but_lost(json!({ "operation": "initiate", "kind": "error_after", "status": 500, "times": 1 }))
        .await;
}

async fn hang_after_create(on: &Stage<'_>) {
    on.created_but_lost(json!({ "operation": "initiate", "kind": "hang_after", "times": 1 })).await;
}

async fn garbage_after_create(on: &Stage<'_>) {
    on.created_but_lost(json!({ "operation": "initiate", "kind": "garbage", "times": 1 })).await;
}

async fn late_create(on: &Stage<'_>) {
    let fault = json!({ "operation": "initiate", "kind": "late_create", "latencyMs": 1200, "answer": "reset", "times": 1 });
    on.created_but_lost(fault).await;
}

/// The bank takes its time, and then keeps the payment from the lookup for a while: both within the promised lag.
async fn late_create_and_hidden(on: &Stage<'_>) {
    on.branch.conduct(json!({ "visibilityLagMs": 1000 })).await;
    let fault = json!({ "operation": "initiate", "kind": "late_create", "latencyMs": 800, "answer": "error", "times": 1 });
    on.created_but_lost(fault).await;
}

async fn reset_before_create(on: &Stage<'_>) {
    on.lost_before_it_was_created(json!({ "operation": "initiate", "kind": "reset_before", "times": 1 }))
        .await;
}

async fn error_before_create(on: &Stage<'_>) {
    on.lost_before_it_was_created(
        json!({ "operation": "initiate", "kind": "error_before", "status": 502, "times": 1 }),
    )
    .await;
}

/// How many initiations are answered with a 429.
const RATE_LIMITED: u64 = 2;

/// A 429 says that nothing was done: the payment may wait its turn, and may be queued while it does.
async fn rate_limit(on: &Stage<'_>) {
    let fault =
        json!({ "operation": "initiate", "kind": "rate_limit", "retryAfter": 1, "times": RATE_LIMITED });
    on.branch.fault(fault).await;
    let (started, watch) = on.start().await;
    let id = started.word("id");
    let payment = eventually("a payment at the bank", async || {
        let seen = on.kari.look(&id).await;
        if seen.word("phase") == "awaiting_user" {
            answer(on.kari.app.request(Method::POST, &format!("/v1/transactions/{id}/continue"))).await;
        }
        assert_ne!(seen.word("status"), "failed", "a 429 is no failure: {}", seen.text);
        on.branch.undecided().await.pop()
    });
    let payment = payment.await;
    assert!(on.branch.decide(&payment, "approve").await);
    on.ends(&id, watch, "completed", true).await;
}

async fn lost_return(on: &Stage<'_>) {
    let (started, watch) = on.start().await;
    on.approve().await;
    on.ends(&started.word("id"), watch, "completed", false).await;
}

/// Approved in time, executed after our patience: followed to its end.
async fn late_execution(on: &Stage<'_>) {
    on.branch.conduct(json!({ "executionDelayMs": 7000 })).await;
    let (started, watch) = on.start().await;
    on.approve().await;
    on.ends(&started.word("id"), watch, "completed", false).await;
}

/// The payer approves while our cancellation is on its way: the bank refuses it, and the payment is followed.
async fn cancel_crosses_approval(on: &Stage<'_>) {
    on.branch.conduct(json!({ "executionDelayMs": 2000 })).await;
    on.branch.fault(json!({ "operation": "cancel", "kind": "latency", "latencyMs": 1500 })).await;
    let (started, watch) = on.start().await;
    let id = started.word("id");
    let payment = on.at_the_bank().await;
    let (cancelled, approved) = tokio::join!(on.kari.cancel(&id), async {
        on.kari.once_in_phase(&id, "cancelling").await;
        on.branch.decide(&payment, "approve").await
    });
    assert!(approved, "the approval came too late for this story");
    cancelled.refused(409, "too_late_to_cancel");
    let shown = on.ends(&id, watch, "completed", false).await;
    assert!(shown.iter().any(|one| one.phase == "confirming"), "{shown:#?}");
}

/// The bank cancels and its answer is lost: asked again, it says so.
async fn lost_cancellation(on: &Stage<'_>) {
    on.branch.fault(json!({ "operation": "cancel", "kind": "reset_after", "times": 1 })).await;
    let (started, watch) = on.start().await;
    let id = started.word("id");
    on.kari.once_in_phase(&id, "awaiting_sca").await;
    let cancelled = on.kari.cancel(&id).await;
    assert!([200, 202].contains(&cancelled.status), "{}", cancelled.text);
    on.ends(&id, watch, "cancelled", false).await;
}

/// Cancelled while nobody knows whether it exists: the wish is kept until that is known.
async fn cancel_in_doubt(on: &Stage<'_>) {
    for operation in ["initiate", "locate"] {
        let times = if operation == "initiate" { 4 } else { 3 };
        let fault = json!({ "operation": operation, "kind": "error_after", "status": 500, "times": times });
        on.branch.fault(fault).await;
    }
    let (started, watch) = on.start().await;
    let id = started.word("id");
    on.kari.once_in_phase(&id, "in_doubt").await;
    let cancelled = on.kari.cancel(&id).await;
    assert!([200, 202].contains(&cancelled.status), "{}", cancelled.text);
    on.ends(&id, watch, "cancelled", false).await;
    assert_eq!(on.truth().live(), 0);
}

async fn status_fails_for_a_while(on: &Stage<'_>) {
    on.branch
        .fault(json!({ "operation": "status", "kind": "error_before", "status": 500, "times": 8 }))
        .await;
    let (started, watch) = on.start().await;
    on.approve().await;
    on.ends(&started.word("id"), watch, "completed", false).await;
}

async fn repeated_and_forged_returns(on: &Stage<'_>) {
    let (started, watch) = on.start().await;
    on.kari.once_in_phase(&started.word("id"), "awaiting_sca").await;
    let link = on.kari.look(&started.word("id")).await.link();
    let payments = on.branch.payments().await;
    let back = payments[0]["redirect"].as_str().expect("the way back").to_owned();
    let nobody = Caller::nobody("");
    // The payer comes back without having decided; then somebody guesses.
    for _ in 0..5 {
        nobody.get(&back).await.is(303);
        nobody.get(&format!("{back}0")).await.refused(400, "invalid_state");
        nobody.get(&format!("{back}&paymentId=another")).await.refused(400, "invalid_state");
    }
    let back = at_the_page(&link, "approve").await;
    let returns = join_all((0..10).map(|_| nobody.get(&back))).await;
    assert!(returns.iter().all(|one| one.status == 303), "{returns:?}");
    on.ends(&started.word("id"), watch, "completed", false).await;
    nobody.get(&back).await.is(303);
}

/// A code that nobody knows says nothing, neither success nor failure.
async fn unknown_status_code(on: &Stage<'_>) {
    let (started, watch) = on.start().await;
    let id = started.word("id");
    let payment = on.at_the_bank().await;
    on.branch.report(&payment, json!("XXXX")).await;
    assert!(on.branch.decide(&payment, "approve").await);
    // Several questions are answered with it before the truth is told again.
    let asked =
        async || on.branch.calls().await["operations"]["status"]["calls"].as_u64().unwrap_or_default();
    let before = asked().await;
    eventually("the status is asked for", async || (asked().await > before + 3).then_some(())).await;
    assert_eq!(on.kari.look(&id).await.word("status"), "processing");
    on.branch.report(&payment, Value::Null).await;
    on.ends(&id, watch, "completed", false).await;
}

async fn rejected_after_approval(on: &Stage<'_>) {
    on.branch.conduct(json!({ "executionDelayMs": 4000, "outcome": "rejected" })).await;
    let (started, watch) = on.start().await;
    on.approve().await;
    let shown = on.ends(&started.word("id"), watch, "failed", false).await;
    assert!(shown.iter().any(|one| one.phase == "confirming"), "{shown:#?}");
    assert_eq!(on.truth().executed, 0);
}
