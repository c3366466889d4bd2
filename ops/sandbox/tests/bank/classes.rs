use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::world::{KEYS, World, code, order};

async fn bank_of_class(change: serde_json::Value) -> World {
    let world = World::open().await;
    world.put("/_control/banks/dnb", change).await;
    world
}

#[tokio::test]
async fn class_b_forgets_the_key_after_its_window() {
    let world = bank_of_class(json!({ "class": "B", "keyMemory": { "windowMs": 1500 } })).await;
    let first = world.pay(KEYS[0], &order("e1")).await;
    assert_eq!(world.ask(KEYS[0], &order("e1")).await.1["paymentId"], json!(first));
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_ne!(world.pay(KEYS[0], &order("e1")).await, first);
}

#[tokio::test]
async fn class_c_has_no_key_and_shows_a_payment_after_its_lag() {
    let world = bank_of_class(json!({ "class": "C", "visibilityLagMs": 1500 })).await;
    world.pay(KEYS[0], &order("e1")).await;
    world.pay(KEYS[0], &order("e1")).await;
    assert_eq!(world.locate("e1").await, (StatusCode::OK, json!([])));
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_eq!(world.locate("e1").await.1.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn class_d_refuses_the_lookup_whether_or_not_the_payment_exists() {
    let world = bank_of_class(json!({ "class": "D" })).await;
    world.pay(KEYS[0], &order("made")).await;
    world.place(json!({ "operation": "initiate", "kind": "reset_before", "times": 1 })).await;
    world.asking(KEYS[1], &order("not-made")).send().await.unwrap_err();
    for end_to_end in ["made", "not-made"] {
        let (http, refusal) = world.locate(end_to_end).await;
        assert_eq!(
            (http, code(&refusal)),
            (StatusCode::METHOD_NOT_ALLOWED, "SERVICE_INVALID"),
            "{end_to_end}"
        );
    }
}

#[tokio::test]
async fn class_e_stays_pending_and_then_flips() {
    for (outcome, status, executed) in [("executed", "ACCC", 1), ("rejected", "RJCT", 0)] {
        let change =
            json!({ "class": "E", "executionDelayMs": 1500, "outcome": outcome, "settleWith": "ACCC" });
        let world = bank_of_class(change).await;
        let id = world.pay(KEYS[0], &order("e1")).await;
        world.post(&format!("/sca/{id}/approve"), json!({})).await;
        assert_eq!(world.status(&id).await, "ACSP");
        assert_eq!(world.truth("e1").await[0]["executedCount"], 0);
        let truth = world.truth_once("e1", |truth| truth[0]["status"] == status).await;
        assert_eq!(truth[0]["executedCount"], executed, "{outcome}");
    }
}

#[tokio::test]
async fn class_f_creates_although_the_caller_has_gone() {
    let world = bank_of_class(json!({ "class": "F", "lateCreateMs": 1500, "executionDelayMs": 0 })).await;
    let impatient = world.asking(KEYS[0], &order("e1")).timeout(Duration::from_millis(100));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    assert!(world.truth("e1").await.is_empty());
    // A repeat while the first is on its way is the same payment.
    let (http, _) = world.ask(KEYS[0], &order("e1")).await;
    assert!(http.is_success());
    assert_eq!(world.truth("e1").await.len(), 1);
}

#[tokio::test]
async fn class_g_answers_no_question() {
    let world = bank_of_class(json!({ "class": "G" })).await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    assert_eq!(world.get(&format!("/v1/payments/{id}/status")).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.locate("e1").await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_bank_that_stops_at_acsp_executes_once_all_the_same() {
    let world = bank_of_class(json!({ "class": "E", "executionDelayMs": 50, "settleWith": "ACSP" })).await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    world.post(&format!("/_control/payments/{id}/approve"), json!({})).await;
    world.truth_once("e1", |truth| truth[0]["executedCount"] == 1).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let truth = &world.truth("e1").await[0];
    assert_eq!((&truth["executedCount"], &truth["status"]), (&json!(1), &json!("ACSP")));
    for action in ["execute", "reject", "approve"] {
        let (http, _) = world.post(&format!("/_control/payments/{id}/{action}"), json!({})).await;
        assert_eq!(http, StatusCode::CONFLICT, "{action}");
    }
}

#[tokio::test]
async fn nobody_comes_and_the_bank_rejects() {
    let world = bank_of_class(json!({ "scaTimeoutMs": 50 })).await;
    world.pay(KEYS[0], &order("e1")).await;
    let truth = world.truth_once("e1", |truth| truth[0]["status"] == "RJCT").await;
    assert_eq!(truth[0]["reason"], json!(null));
}

#[tokio::test]
async fn payments_approve_themselves_when_told_to() {
    let world = World::open().await;
    world.put("/_control/settings", json!({ "autoApprove": true, "autoApproveDelayMs": 20 })).await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    world.truth_once("e1", |truth| truth[0]["executedCount"] == 1).await;
    assert_eq!(world.status(&id).await, "ACSC");
}

#[tokio::test]
async fn an_operator_decides_over_the_banks_head() {
    let world =
        bank_of_class(json!({ "class": "E", "executionDelayMs": 3_600_000, "outcome": "rejected" })).await;
    let executed = world.pay(KEYS[0], &order("x")).await;
    world.post(&format!("/_control/payments/{executed}/execute"), json!({})).await;
    assert_eq!(world.truth("x").await[0]["executedCount"], 1);

    let rejected = world.pay(KEYS[1], &order("r")).await;
    world.post(&format!("/_control/payments/{rejected}/approve"), json!({})).await;
    let (_, truth) = world
        .post(&format!("/_control/payments/{rejected}/reject"), json!({ "reason": "PAYMENT_REJECTED" }))
        .await;
    assert_eq!((&truth["status"], &truth["executedCount"]), (&json!("RJCT"), &json!(0)));

    world
        .post(&format!("/_control/payments/{executed}/report"), json!({ "transactionStatus": "XXXX" }))
        .await;
    assert_eq!(world.status(&executed).await, "XXXX");
    world.post(&format!("/_control/payments/{executed}/report"), json!({ "transactionStatus": null })).await;
    assert_eq!(world.status(&executed).await, "ACSC");
}
