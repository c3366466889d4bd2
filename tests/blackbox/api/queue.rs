//! Payments while the bank cannot be reached, or while payments are switched off.

use reqwest::Method;
use serde_json::json;

use crate::bank::at_the_page;
use crate::client::{Customer, REMITTANCE, answer, unique};
use crate::on_both_databases;
use crate::patience::eventually;
use crate::service::{Kind, World};
use crate::watch::{Watch, judge};

/// M-14, word for word.
const QUEUED: &str = "Betaling satt i kø. Vil bli behandlet innen 2 timer.";

on_both_databases! {
    a_payment_is_queued_while_the_bank_is_away_and_goes_on_when_its_payer_does;
    a_queued_payment_starts_by_itself_where_that_is_wanted;
    a_queued_payment_is_cancelled_without_the_bank;
    payments_that_are_switched_off_leave_no_trace;
}

async fn a_payment_is_queued_while_the_bank_is_away_and_goes_on_when_its_payer_does(kind: Kind) {
    let world = World::with(kind, &[]);
    let branch = world.bank.open_branch("away").await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    world.bank.kill();
    let queued = kari.remit("2000.00").await.is(202);
    let id = queued.word("id");
    assert_eq!(queued.standing(), ("queued".into(), "parked".into()));
    assert_eq!(queued.word("message"), QUEUED);
    assert!(!queued.header("retry-after").is_empty() && !queued.header("location").is_empty());
    assert!(
        queued.body["scaRedirect"].is_null() && queued.body["providerPaymentId"].is_null(),
        "{}",
        queued.text
    );
    assert_eq!(branch.truth(&kari.payee, "2000.00"), crate::bank::Truth::default());
    // There is nothing to continue yet.
    let go_on =
        async || answer(kari.app.request(Method::POST, &format!("/v1/transactions/{id}/continue"))).await;
    let early = go_on().await;
    early.enveloped();
    assert_eq!(early.status, 409, "{}", early.text);

    let watch = Watch::begin(&kari.app, &id);
    world.bank.restart();
    let ready = kari.once_in_phase(&id, "awaiting_user").await;
    assert_eq!(ready.word("status"), "queued");
    assert_eq!(branch.truth(&kari.payee, "2000.00").keys.len(), 0, "sent without its payer");
    let going = go_on().await.is(200);
    assert_eq!(going.word("phase"), "awaiting_sca");
    kari.app.get(&at_the_page(&going.link(), "approve").await).await.is(303);
    kari.once(&id, "completed").await;
    let truth = branch.truth(&kari.payee, "2000.00");
    assert_eq!((truth.executed, truth.keys.len()), (1, 1));
    judge(&watch.end().await, &truth, true);
}

async fn a_queued_payment_starts_by_itself_where_that_is_wanted(kind: Kind) {
    let world = World::with(kind, &[("QUEUE_AUTO_START", "true")]);
    let branch = world.bank.open_branch("auto").await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    world.bank.kill();
    let queued = kari.remit("2000.00").await.is(202);
    assert_eq!(queued.word("status"), "queued");
    let watch = Watch::begin(&kari.app, &queued.word("id"));
    world.bank.restart();
    let ready = kari.once_in_phase(&queued.word("id"), "awaiting_sca").await;
    at_the_page(&ready.link(), "approve").await;
    kari.once(&queued.word("id"), "completed").await;
    let truth = branch.truth(&kari.payee, "2000.00");
    assert_eq!((truth.executed, truth.keys.len()), (1, 1));
    judge(&watch.end().await, &truth, true);
}

async fn a_queued_payment_is_cancelled_without_the_bank(kind: Kind) {
    let world = World::with(kind, &[]);
    let branch = world.bank.open_branch("never").await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    world.bank.kill();
    let queued = kari.remit("900.00").await.is(202);
    let cancelled = kari.cancel(&queued.word("id")).await.is(200);
    assert_eq!(cancelled.word("status"), "cancelled");
    world.bank.restart();
    // The bank is reached again, by somebody else's payment; the cancelled one stays where it is.
    let next = eventually("a payment goes through", async || {
        let started = kari.remit("901.00").await;
        (started.status == 201).then_some(started)
    });
    next.await.link();
    assert_eq!(kari.look(&queued.word("id")).await.word("status"), "cancelled");
    assert_eq!(branch.truth(&kari.payee, "900.00").keys.len(), 0);
}

async fn payments_that_are_switched_off_leave_no_trace(kind: Kind) {
    let world = World::with(kind, &[("PISP_MODE", "disabled")]);
    let branch = world.bank.open_branch("off").await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    for _ in 0..2 {
        kari.app
            .start(REMITTANCE, "the-same-key", &kari.order("2000.00"))
            .await
            .refused(503, "payments_disabled");
    }
    kari.app
        .start(
            crate::client::QR_PAYMENT,
            &format!("key-{}", unique()),
            &json!({ "merchantId": "mer_1", "amount": "10" }),
        )
        .await
        .refused(503, "payments_disabled");
    assert_eq!(kari.count().await, 0);
    assert!(branch.payments().await.is_empty());
}
