//! Payments that a customer makes, held against the bank's ledger.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::Corner;
use crate::bank::at_the_page;
use crate::client::{Caller, QR_PAYMENT, REMITTANCE, answer, put, unique};
use crate::on_both_databases;
use crate::patience::eventually;
use crate::service::{Kind, World};
use crate::tokens;
use crate::watch::{Watch, judge};

on_both_databases! {
    a_remittance_moves_the_amount_without_the_fee_once;
    a_qr_payment_pays_the_shop_without_a_fee;
    a_norwegian_recipient_is_paid_on_the_domestic_rail;
    a_denied_payment_is_refused;
    a_payment_without_cover_says_so;
    a_payment_that_nobody_approved_is_taken_back_at_the_bank;
    a_payment_is_cancelled_before_its_approval;
    an_approved_payment_can_no_longer_be_cancelled;
    an_early_answer_is_followed_by_the_link;
    the_return_from_the_bank_is_a_hint_and_a_forged_one_is_nothing;
    a_backend_pays_for_its_user_and_nobody_else_can;
}

async fn a_remittance_moves_the_amount_without_the_fee_once(kind: Kind) {
    let corner = Corner::of(kind, "plain");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("2000.00").await;
    for (field, expected) in [
        ("type", "remittance"),
        ("amount", "2000.00"),
        ("currency", "NOK"),
        ("fee", "10.00"),
        ("total", "2010.00"),
        ("exchangeRate", "0.0870"),
        ("receiveAmount", "174.00"),
        ("receiveCurrency", "EUR"),
        ("recipientId", &kari.recipient),
        ("bankAccountId", &kari.account),
    ] {
        assert_eq!(started.word(field), expected, "{field} in {}", started.text);
    }
    for absent in ["merchantId", "errorCode", "message", "completedAt"] {
        assert!(started.body[absent].is_null(), "{absent} in {}", started.text);
    }
    let id = started.word("id");
    assert!(id.starts_with("tx_") && started.word("workflowId").starts_with("wf_"), "{}", started.text);
    assert_eq!(started.header("location"), format!("/v1/transactions/{id}"));
    assert!(!started.header("retry-after").is_empty());
    assert!(started.word("scaExpiresAt") > started.word("createdAt"));

    let watch = Watch::begin(&kari.app, &id);
    let back = at_the_page(&started.link(), "approve").await;
    assert!(back.starts_with(&corner.base()) && back.contains("state="), "{back}");
    let returned = kari.app.get(&back).await.is(303);
    assert_eq!(returned.header("location"), format!("https://app.example/payments?transactionId={id}"));
    let done = kari.once(&id, "completed").await;
    assert_eq!(done.word("phase"), "settled");
    assert!(
        done.word("completedAt") >= done.word("createdAt") && done.body["scaRedirect"].is_null(),
        "{}",
        done.text
    );

    let truth = branch.truth(&kari.payee, "2000.00");
    assert_eq!((truth.executed, truth.payments.len(), truth.keys.len()), (1, 1, 1));
    assert_eq!(truth.payments, [done.word("providerPaymentId")]);
    // The payment's own UUID, whatever the alphabet of the id that the app knows.
    assert_eq!(truth.keys[0].replace('-', ""), id["tx_".len()..]);
    let payments = branch.payments().await;
    let payment = payments.iter().find(|payment| payment["creditorName"] == kari.payee.as_str()).unwrap();
    assert_eq!(payment["product"], "sepa-credit-transfers");
    assert_eq!(payment["debtor"], kari.iban.as_str());
    assert_eq!(payment["creditor"]["iban"], "DE89370400440532013000");
    judge(&watch.end().await, &truth, false);
}

async fn a_qr_payment_pays_the_shop_without_a_fee(kind: Kind) {
    let corner = Corner::of(kind, "shop");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let merchant = format!("mer_{}", unique());
    let shop = json!({ "name": format!("Kiosk {merchant}"), "iban": "NO9386011117947" });
    put(&corner.backend(), &format!("/v1/merchants/{merchant}"), &shop).await;

    let order = json!({ "merchantId": merchant, "amount": "149.00", "currency": "NOK" });
    let started = kari.app.start(QR_PAYMENT, &format!("key-{}", unique()), &order).await.is(201);
    for (field, expected) in [
        ("type", "qr_payment"),
        ("amount", "149.00"),
        ("fee", "0.00"),
        ("total", "149.00"),
        ("merchantId", &merchant),
    ] {
        assert_eq!(started.word(field), expected, "{field} in {}", started.text);
    }
    assert!(started.body["recipientId"].is_null(), "{}", started.text);
    let id = started.word("id");
    let watch = Watch::begin(&kari.app, &id);
    kari.app.get(&at_the_page(&started.link(), "approve").await).await.is(303);
    kari.once(&id, "completed").await;
    let payee = shop["name"].as_str().unwrap();
    let payments = branch.payments().await;
    let payment = payments.iter().find(|payment| payment["creditorName"] == payee).unwrap();
    assert_eq!(payment["product"], "domestic-transfer");
    let truth = branch.truth(payee, "149.00");
    assert_eq!((truth.executed, truth.keys.len()), (1, 1));
    judge(&watch.end().await, &truth, false);
    // The limits of shops are their own: what is too little for a remittance is not for a coffee.
    let small = json!({ "merchantId": merchant, "amount": "1.00" });
    kari.app.start(QR_PAYMENT, &format!("key-{}", unique()), &small).await.is(201);
}

async fn a_norwegian_recipient_is_paid_on_the_domestic_rail(kind: Kind) {
    let corner = Corner::of(kind, "domestic");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let ola = json!({ "name": kari.payee, "country": "NO", "town": "Oslo", "iban": "NO9386011117947", "currency": "NOK" });
    put(&corner.backend(), &kari.recipient_path(), &ola).await;
    let started = kari.remit_to_link("300.00").await;
    assert_eq!(
        (started.word("receiveAmount").as_str(), started.word("receiveCurrency").as_str()),
        ("300.00", "NOK")
    );
    kari.app.get(&at_the_page(&started.link(), "approve").await).await.is(303);
    kari.once(&started.word("id"), "completed").await;
    let payments = branch.payments().await;
    let payment = payments.iter().find(|payment| payment["creditorName"] == kari.payee.as_str()).unwrap();
    assert_eq!((&payment["product"], &payment["executedCount"]), (&json!("domestic-transfer"), &json!(1)));
}

async fn a_denied_payment_is_refused(kind: Kind) {
    let corner = Corner::of(kind, "denied");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("500.00").await;
    let watch = Watch::begin(&kari.app, &started.word("id"));
    kari.app.get(&at_the_page(&started.link(), "deny").await).await.is(303);
    let failed = kari.once(&started.word("id"), "failed").await;
    assert_eq!(
        (failed.word("phase").as_str(), failed.word("errorCode").as_str()),
        ("refused", "PAYMENT_REJECTED")
    );
    assert!(failed.body["message"].is_string(), "{}", failed.text);
    judge(&watch.end().await, &branch.truth(&kari.payee, "500.00"), false);
}

async fn a_payment_without_cover_says_so(kind: Kind) {
    let corner = Corner::of(kind, "poor");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    branch.account(&kari.iban, "50.00").await;
    let started = kari.remit_to_link("100.00").await;
    let watch = Watch::begin(&kari.app, &started.word("id"));
    at_the_page(&started.link(), "approve").await;
    let failed = kari.once(&started.word("id"), "failed").await;
    assert_eq!(failed.word("errorCode"), "INSUFFICIENT_FUNDS");
    assert!(failed.word("message").starts_with("Payment failed: Insufficient funds"), "{}", failed.text);
    judge(&watch.end().await, &branch.truth(&kari.payee, "100.00"), false);
}

async fn a_payment_that_nobody_approved_is_taken_back_at_the_bank(kind: Kind) {
    let world = World::with(kind, &[("SCA_TIMEOUT", "1s")]);
    let branch = world.bank.open_branch("absent").await;
    let kari = crate::client::Customer::register(&world.service.base(), &branch).await;
    // The bank is slow to confirm, so that a failure that is announced too early has time to be seen.
    branch.fault(json!({ "operation": "cancel", "kind": "latency", "latencyMs": 700 })).await;
    let started = kari.remit_to_link("700.00").await;
    let watch = Watch::begin(&kari.app, &started.word("id"));
    let failed = eventually("the payment is given up", async || {
        let seen = kari.look(&started.word("id")).await;
        if seen.word("status") == "failed" {
            let truth = branch.truth(&kari.payee, "700.00");
            assert_eq!(truth.live(), 0, "failed before the bank confirmed: {truth:?}");
            return Some(seen);
        }
        None
    })
    .await;
    assert_eq!(
        (failed.word("phase").as_str(), failed.word("errorCode").as_str()),
        ("sca_timeout", "SCA_TIMEOUT")
    );
    let truth = branch.truth(&kari.payee, "700.00");
    assert_eq!(truth.statuses.values().collect::<Vec<_>>(), ["CANC"]);
    let shown = watch.end().await;
    assert!(shown.iter().any(|one| one.phase == "cancelling"), "{shown:?}");
    judge(&shown, &truth, false);
}

async fn a_payment_is_cancelled_before_its_approval(kind: Kind) {
    let corner = Corner::of(kind, "cancelled");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("400.00").await;
    let id = started.word("id");
    let watch = Watch::begin(&kari.app, &id);
    let cancelled = kari.cancel(&id).await.is(200);
    assert_eq!(cancelled.standing(), ("cancelled".into(), "cancelled".into()));
    let truth = branch.truth(&kari.payee, "400.00");
    assert_eq!(truth.statuses.values().collect::<Vec<_>>(), ["CANC"]);
    judge(&watch.end().await, &truth, false);
    // Once more changes nothing.
    assert_eq!(kari.cancel(&id).await.is(200).word("status"), "cancelled");
}

async fn an_approved_payment_can_no_longer_be_cancelled(kind: Kind) {
    let corner = Corner::of(kind, "too-late");
    let branch = corner.branch().await;
    branch.conduct(json!({ "executionDelayMs": 1500 })).await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("600.00").await;
    let id = started.word("id");
    let watch = Watch::begin(&kari.app, &id);
    at_the_page(&started.link(), "approve").await;
    kari.cancel(&id).await.refused(409, "too_late_to_cancel");
    kari.once(&id, "completed").await;
    kari.cancel(&id).await.refused(409, "too_late_to_cancel");
    judge(&watch.end().await, &branch.truth(&kari.payee, "600.00"), false);
}

async fn an_early_answer_is_followed_by_the_link(kind: Kind) {
    let corner = Corner::of(kind, "prefer");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let start = async |prefer: &str, amount: &str| {
        let request = kari.app.request(Method::POST, REMITTANCE).header("Prefer", prefer);
        let request = request.header("Idempotency-Key", format!("key-{}", unique()));
        answer(request.json(&kari.order(amount))).await
    };
    branch.fault(json!({ "operation": "initiate", "kind": "latency", "latencyMs": 1500 })).await;
    for (prefer, status) in
        [("wait=0", 202), ("wait=1", 202), ("respond-async, wait=0", 202), ("wait=10", 201)]
    {
        let started = start(prefer, "100.00").await.is(status);
        assert_eq!(
            started.header("location"),
            format!("/v1/transactions/{}", started.word("id")),
            "{prefer}"
        );
        assert!(!started.header("retry-after").is_empty(), "{prefer}");
        kari.once_in_phase(&started.word("id"), "awaiting_sca").await;
    }
    // More than is allowed, or nothing that can be understood, is no reason to refuse (RFC 7240 §2).
    for prefer in ["wait=31", "wait=99999999999999999999", "wait=-1", "wait=soon", "garbage", ";;==,", ""] {
        start(prefer, "101.00").await.is(201).link();
    }
}

async fn the_return_from_the_bank_is_a_hint_and_a_forged_one_is_nothing(kind: Kind) {
    let corner = Corner::of(kind, "return");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let (first, second) = (kari.remit_to_link("800.00").await, kari.remit_to_link("801.00").await);
    let back = at_the_page(&first.link(), "approve").await;
    let nobody = Caller::nobody(&corner.base());
    let (address, query) = back.split_once('?').unwrap();
    let value = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
    };
    let (state, payment) = (value("state"), value("paymentId"));
    let other = second.word("providerPaymentId");
    let bent: String = state.chars().rev().collect();
    for forged in [
        String::new(),
        "state=".to_owned(),
        format!("paymentId={payment}"),
        format!("state={bent}&paymentId={payment}"),
        format!("state={state}0&paymentId={payment}"),
        format!("state={}&paymentId={payment}", first.word("id")),
        format!("state={}&paymentId={payment}", "0".repeat(state.len())),
        format!("state={state}&paymentId={other}"),
        format!("state={}", "x".repeat(4000)),
    ] {
        nobody.get(&format!("{address}?{forged}")).await.refused(400, "invalid_state");
    }
    // A true one, by nobody in particular, as often as the browser likes, with whatever the bank adds.
    for true_one in [
        back.clone(),
        back.clone(),
        format!("{address}?state={state}"),
        format!("{address}?state={state}&resource_id={payment}&result=success"),
        format!("{address}?state={state}&paymentId={payment}&session=1"),
    ] {
        let returned = nobody.get(&true_one).await.is(303);
        let expected = format!("https://app.example/payments?transactionId={}", first.word("id"));
        assert_eq!(returned.header("location"), expected);
    }
    kari.once(&first.word("id"), "completed").await;
    nobody.get(&back).await.is(303);
    // The other one was never approved: no forged return moved it.
    assert_eq!(kari.look(&second.word("id")).await.word("phase"), "awaiting_sca");
    // A return that claims success proves nothing.
    let claimed = kari.remit_to_link("802.00").await;
    let payments = branch.payments().await;
    let mine =
        payments.iter().find(|one| one["paymentId"] == claimed.word("providerPaymentId").as_str()).unwrap();
    let redirect = mine["redirect"].as_str().unwrap();
    nobody.get(&format!("{redirect}&result=success")).await.is(303);
    let after = answer(
        kari.app
            .request(Method::GET, &format!("/v1/transactions/{}", claimed.word("id")))
            .header("Prefer", "wait=1"),
    );
    assert_eq!(after.await.is(200).word("phase"), "awaiting_sca");
    assert_eq!(branch.truth(&kari.payee, "802.00").executed, 0);
    tokio::time::timeout(Duration::from_secs(10), kari.cancel(&claimed.word("id"))).await.unwrap().is(200);
}

async fn a_backend_pays_for_its_user_and_nobody_else_can(kind: Kind) {
    let corner = Corner::of(kind, "on-behalf");
    let branch = corner.branch().await;
    let (kari, ola) = (corner.customer(&branch).await, corner.customer(&branch).await);
    let mut order = kari.order("150.00");
    order["onBehalfOf"] = json!(kari.user);
    let key = || format!("key-{}", unique());
    let backend = corner.backend();
    let started = backend.start(REMITTANCE, &key(), &order).await.is(201);
    assert_eq!(kari.look(&started.word("id")).await.word("amount"), "150.00");
    // Nobody is present: the bank is not told an address. That is the bank's business; here it is enough that it works.
    backend.start(REMITTANCE, &key(), &kari.order("150.00")).await.refused(400, "validation_failed");
    ola.app.start(REMITTANCE, &key(), &order).await.refused(403, "forbidden");
    for role in ["viewer", "operator", "approver", "admin"] {
        let staff = Caller::with_token(&corner.base(), &tokens::token("somebody", role));
        staff.start(REMITTANCE, &key(), &order).await.refused(403, "forbidden");
        put_is_forbidden(&staff, &kari.path("")).await;
        // They read everything.
        staff.get(&format!("/v1/transactions/{}", started.word("id"))).await.is(200);
    }
    put_is_forbidden(&kari.app, &kari.path("")).await;
    assert_eq!((kari.count().await, ola.count().await), (1, 0));
}

async fn put_is_forbidden(caller: &Caller, path: &str) {
    caller.put(path, &crate::client::adult()).await.refused(403, "forbidden");
}
