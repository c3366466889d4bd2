//! Balances: what the app shows, what the bank hears, and what is left when the bank says nothing.

use reqwest::Method;
use serde_json::json;

use crate::bank::Branch;
use crate::client::{Caller, Customer};
use crate::on_both_databases;
use crate::patience::eventually;
use crate::service::{Kind, World};

const V1: &str = "/v1/accounts/balance";
const ALIAS: &str = "/api/accounts/balance";

on_both_databases! {
    the_balance_is_the_banks_and_is_read_once_for_all_who_ask;
    a_bank_that_is_down_leaves_the_last_balance_or_none_but_never_zero;
    a_consent_that_has_ended_at_the_bank_is_told_with_the_last_balance;
    a_backend_reads_without_the_customer_as_often_as_the_bank_allows;
    a_customer_does_not_wait_for_a_bank_that_hangs;
    a_payment_holds_what_it_takes_from_its_link_until_nobody_approved_it;
}

/// A customer at a branch with this much on the account.
async fn customer(world: &World, branch: &Branch<'_>, kroner: &str) -> Customer {
    let customer = Customer::register(&world.service.base(), branch).await;
    branch.account(&customer.iban, kroner).await;
    let mut account = customer.account_body(branch);
    account["providerAccountId"] = json!(format!("acc-{}", customer.iban));
    let backend = Caller::backend(&world.service.base());
    crate::client::put(&backend, &customer.account_path(), &account).await;
    customer
}

/// How often the bank was asked for balances, whatever it answered.
async fn reads(branch: &Branch<'_>) -> u64 {
    let calls = branch.calls().await;
    calls["operations"]["balances"]["calls"].as_u64().unwrap_or_default()
}

async fn the_balance_is_the_banks_and_is_read_once_for_all_who_ask(kind: Kind) {
    let world = World::with(kind, &[]);
    let branch = world.bank.open_branch("crowd").await;
    let kari = customer(&world, &branch, "15000.50").await;
    let asked = futures::future::join_all((0..100).map(|_| kari.app.get(V1))).await;
    for answer in asked {
        let answer = answer.is(200);
        assert_eq!(answer.word("balance"), "15000.50", "{}", answer.text);
        assert_eq!(
            (&answer.body["balanceMinor"], &answer.body["warning"]),
            (&json!(1_500_050), &json!(null))
        );
    }
    assert_eq!(reads(&branch).await, 1);
    let alias = kari.app.get(ALIAS).await.is(200);
    assert!(alias.text.contains(r#""balance":15000.50,"#), "{}", alias.text);
    assert_eq!(alias.word("source"), "cached");
}

async fn a_bank_that_is_down_leaves_the_last_balance_or_none_but_never_zero(kind: Kind) {
    let world = World::with(kind, &[]);
    let branch = world.bank.open_branch("down").await;
    let (kari, ola) = (customer(&world, &branch, "10.00").await, customer(&world, &branch, "20.00").await);
    assert_eq!(kari.app.get(V1).await.is(200).word("source"), "live");
    branch.fault(json!({ "operation": "balances", "kind": "error_before", "status": 503 })).await;
    assert_eq!(kari.app.get(V1).await.is(200).word("balance"), "10.00");
    let unknown = ola.app.get(V1).await.is(200);
    for field in ["balance", "balanceMinor", "lastUpdated", "source"] {
        assert!(unknown.body[field].is_null(), "{field}: {}", unknown.text);
    }
    assert_eq!(unknown.word("warning"), "The Branch opplever tekniske problemer. Saldo kan være utdatert.");
}

async fn a_consent_that_has_ended_at_the_bank_is_told_with_the_last_balance(kind: Kind) {
    let world = World::with(kind, &[]);
    let branch = world.bank.open_branch("ended").await;
    let kari = customer(&world, &branch, "10.00").await;
    branch.end_consent().await;
    for _ in 0..2 {
        let refused = kari.app.get(V1).await.refused(403, "consent_expired");
        assert!(refused.body["balance"].is_null(), "{}", refused.text);
        kari.app.get(ALIAS).await.refused(401, "consent_expired");
    }
    assert_eq!(reads(&branch).await, 1, "whoever knows it does not ask");
    let accounts = kari.app.get("/v1/bank-accounts").await.is(200);
    let account = &accounts.body["items"][0];
    assert_eq!(account["providerConsentId"], json!(branch.consent()), "it is kept: {}", accounts.text);
    assert!(account["consentExpiresAt"].is_string(), "{}", accounts.text);
}

async fn a_backend_reads_without_the_customer_as_often_as_the_bank_allows(kind: Kind) {
    // A bank that fails three times would not be asked a fourth time.
    let world = World::with(kind, &[("NEONOMICS_BREAKER_FAILURES", "10")]);
    let branch = world.bank.open_branch("backend").await;
    let kari = customer(&world, &branch, "10.00").await;
    let backend = Caller::backend(&world.service.base());
    let path = format!("{V1}?onBehalfOf={}", kari.user);
    // Each fails at the bank and may have been counted there.
    branch.fault(json!({ "operation": "balances", "kind": "error_after", "times": 4 })).await;
    for calls in [1, 2, 3, 4, 4] {
        let answer = backend.get(&path).await.is(200);
        assert!(answer.body["balance"].is_null() && answer.body["warning"].is_string(), "{}", answer.text);
        assert_eq!(reads(&branch).await, calls);
    }
    world.service.kill();
    world.service.restart();
    backend.get(&path).await.is(200);
    assert_eq!(reads(&branch).await, 4, "the count survives the process");
    assert_eq!(
        kari.app.get(V1).await.is(200).word("balance"),
        "10.00",
        "the customer's own read is not limited"
    );
    assert_eq!(backend.get(&path).await.is(200).word("source"), "cached");
    let nobody = crate::client::answer(backend.request(Method::GET, V1)).await;
    nobody.refused(400, "validation_failed");
}

async fn a_customer_does_not_wait_for_a_bank_that_hangs(kind: Kind) {
    let world = World::with(kind, &[("NEONOMICS_READ_TIMEOUT_MS", "2000")]);
    let branch = world.bank.open_branch("hangs").await;
    let kari = customer(&world, &branch, "10.00").await;
    branch.fault(json!({ "operation": "balances", "kind": "hang_after", "times": 1 })).await;
    // The first attempt hangs until it is given up, and the repetition brings the balance.
    let shown = eventually("the balance is there", async || {
        let answer = kari.app.get(V1).await.is(200);
        (!answer.body["balance"].is_null()).then_some(answer)
    })
    .await;
    assert_eq!(shown.word("balance"), "10.00");
    assert_eq!(reads(&branch).await, 2);
}

/// PI-19 and X-13: what a payment takes is held beside the balance and released by its end, whatever that is.
async fn a_payment_holds_what_it_takes_from_its_link_until_nobody_approved_it(kind: Kind) {
    let world = World::with(kind, &[("SCA_TIMEOUT", "1s")]);
    let branch = world.bank.open_branch("held").await;
    let kari = customer(&world, &branch, "15000.50").await;
    let shown = async || {
        let answer = kari.app.get(V1).await.is(200);
        assert_eq!(answer.word("balance"), "15000.50", "the bank's word stays: {}", answer.text);
        (answer.word("held"), answer.body["heldMinor"].clone())
    };
    assert_eq!(shown().await, ("0.00".to_owned(), json!(0)));
    let started = kari.remit_to_link("2000.00").await;
    assert_eq!(shown().await, (started.word("total"), json!(201_000)));
    let failed = kari.once(&started.word("id"), "failed").await;
    assert_eq!(failed.word("errorCode"), "SCA_TIMEOUT");
    assert_eq!(shown().await, ("0.00".to_owned(), json!(0)));
}
