//! One key, one payment.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::Corner;
use crate::bank::at_the_page;
use crate::client::{REMITTANCE, answer, unique};
use crate::on_both_databases;
use crate::service::Kind;

on_both_databases! {
    twenty_equal_starts_at_once_are_one_payment;
    a_key_belongs_to_what_it_was_used_for;
    a_key_is_required_where_the_contract_asks_for_one;
    a_repetition_shows_how_it_stands_by_then;
}

async fn twenty_equal_starts_at_once_are_one_payment(kind: Kind) {
    let corner = Corner::of(kind, "twenty");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let key = format!("key-{}", unique());
    let order = kari.order("2000.00");
    let answers = join_all((0..20).map(|_| kari.app.start(REMITTANCE, &key, &order))).await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.word("id")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let fresh: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let repeated = answers.iter().filter(|answer| answer.status == 200);
    let marked = repeated.filter(|answer| answer.header("idempotency-replayed") == "true").count();
    assert_eq!(
        (fresh.len(), marked),
        (1, 19),
        "{:?}",
        answers.iter().map(|one| one.status).collect::<Vec<_>>()
    );
    assert!(fresh[0].header("idempotency-replayed").is_empty());
    assert_eq!(kari.count().await, 1);
    let truth = branch.truth(&kari.payee, "2000.00");
    assert_eq!((truth.payments.len(), truth.keys.len()), (1, 1));
}

async fn a_key_belongs_to_what_it_was_used_for(kind: Kind) {
    let corner = Corner::of(kind, "reuse");
    let branch = corner.branch().await;
    let (kari, ola) = (corner.customer(&branch).await, corner.customer(&branch).await);
    let key = format!("key-{}", unique());
    let first = kari.app.start(REMITTANCE, &key, &kari.order("200.00")).await.is(201);
    for other in
        [kari.order("201.00"), json!({ "recipientId": kari.recipient, "amount": "200.00", "note": "rent" })]
    {
        kari.app.start(REMITTANCE, &key, &other).await.refused(422, "idempotency_key_reused");
    }
    // The same wish in other words is the same wish.
    let same = json!({ "amount": 200, "recipientId": kari.recipient });
    let again = kari.app.start(REMITTANCE, &key, &same).await.is(200);
    assert_eq!(again.word("id"), first.word("id"));
    // An alias is the same address.
    let alias = kari.app.start("/api/transactions/remittance", &key, &kari.order("200.00")).await.is(200);
    assert_eq!(alias.word("id"), first.word("id"));
    // Somebody else's key is another key.
    let theirs = ola.app.start(REMITTANCE, &key, &ola.order("200.00")).await.is(201);
    assert_ne!(theirs.word("id"), first.word("id"));
    assert_eq!((kari.count().await, ola.count().await), (1, 1));
}

async fn a_key_is_required_where_the_contract_asks_for_one(kind: Kind) {
    let corner = Corner::of(kind, "keyless");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let order = kari.order("100.00");
    kari.app.post(REMITTANCE, &order).await.refused(400, "idempotency_key_required");
    let long = "k".repeat(256);
    for bad in ["", &long, "tab\there", "nøkkel"] {
        let request = kari.app.request(Method::POST, REMITTANCE).json(&order);
        let refused = answer(request.header("Idempotency-Key", bad.as_bytes())).await;
        refused.enveloped();
        assert_eq!(refused.status, 400, "{bad:?}: {}", refused.text);
    }
    let twice = kari.app.request(Method::POST, REMITTANCE).header("Idempotency-Key", "one");
    assert_eq!(answer(twice.header("Idempotency-Key", "two").json(&order)).await.status, 400);
    assert_eq!(kari.count().await, 0);
    kari.app.start(REMITTANCE, &"k".repeat(255), &order).await.is(201);
    // The runbooks' addresses are called by hand: there, every call is a wish of its own.
    let alias = "/api/transactions/remittance";
    let (one, other) =
        (kari.app.post(alias, &order).await.is(201), kari.app.post(alias, &order).await.is(201));
    assert_ne!(one.word("id"), other.word("id"));
    assert_eq!(kari.count().await, 3);
}

async fn a_repetition_shows_how_it_stands_by_then(kind: Kind) {
    let corner = Corner::of(kind, "replayed");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let key = format!("key-{}", unique());
    let first = kari.app.start(REMITTANCE, &key, &kari.order("250.00")).await.is(201);
    at_the_page(&first.link(), "approve").await;
    kari.once(&first.word("id"), "completed").await;
    let again = kari.app.start(REMITTANCE, &key, &kari.order("250.00")).await.is(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.word("id"), again.word("status").as_str()), (first.word("id"), "completed"));
    // A rule that has changed since does not touch what was accepted before it.
    let mut minor = crate::client::adult();
    minor["kycStatus"] = json!("rejected");
    crate::client::put(&corner.backend(), &kari.path(""), &minor).await;
    kari.app.start(REMITTANCE, &key, &kari.order("250.00")).await.is(200);
    assert_eq!(branch.truth(&kari.payee, "250.00").keys.len(), 1);
}
