use reqwest::StatusCode;
use serde_json::json;

use crate::world::{KEYS, World, code, order};

#[tokio::test]
async fn the_same_request_again_is_the_same_payment() {
    let world = World::open().await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    let (http, body) = world.ask(KEYS[0], &order("e1")).await;
    assert_eq!((http, &body["paymentId"]), (StatusCode::OK, &json!(id)));
    let truth = world.truth("e1").await;
    assert_eq!(truth.len(), 1);
    let requests = truth[0]["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["bodySha256"], requests[1]["bodySha256"]);
    assert_eq!(requests[0]["xRequestId"], KEYS[0]);
}

#[tokio::test]
async fn the_same_request_at_once_from_many_is_one_payment() {
    let world = World::open().await;
    let order = order("e1");
    let asks = (0..16).map(|_| world.asking(KEYS[0], &order).send()).map(tokio::spawn).collect::<Vec<_>>();
    let mut created = 0;
    for ask in asks {
        let http = ask.await.unwrap().unwrap().status();
        created += usize::from(http == StatusCode::CREATED);
        assert!(http.is_success(), "{http}");
    }
    assert_eq!((created, world.truth("e1").await.len()), (1, 1));
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let world = World::open().await;
    world.pay(KEYS[0], &order("e1")).await;
    let mut other = order("e1");
    other["instructedAmount"]["amount"] = json!("2000.01");
    let (http, refusal) = world.ask(KEYS[0], &other).await;
    assert_eq!((http, code(&refusal)), (StatusCode::UNPROCESSABLE_ENTITY, "PARAMETER_NOT_CONSISTENT"));
    assert_eq!(world.truth("e1").await.len(), 1);
}

#[tokio::test]
async fn a_repeat_tells_how_the_payment_stands() {
    let world = World::open().await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    world.post(&format!("/_control/payments/{id}/approve"), json!({})).await;
    let (http, body) = world.ask(KEYS[0], &order("e1")).await;
    assert_eq!((http, &body["transactionStatus"]), (StatusCode::OK, &json!("ACSC")));
    assert_eq!(world.truth("e1").await[0]["executedCount"], 1);
}

#[tokio::test]
async fn without_safe_replay_two_requests_are_two_payments() {
    let world = World::open_with(|config| config.safe_replay = false).await;
    let first = world.pay(KEYS[0], &order("e1")).await;
    let second = world.pay(KEYS[0], &order("e1")).await;
    assert_ne!(first, second);
    assert_eq!(world.locate("e1").await.1.as_array().unwrap().len(), 2);
}
