use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{KEYS, World, code, order, order_at_nordea};

#[tokio::test]
async fn reset_after_leaves_a_payment_behind_and_no_answer() {
    let world = World::open().await;
    world.place(json!({ "operation": "initiate", "kind": "reset_after", "times": 1 })).await;
    let error = world.asking(KEYS[0], &order("e1")).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    let truth = world.truth("e1").await;
    assert_eq!((truth.len(), &truth[0]["status"]), (1, &json!("RCVD")));
    let (http, body) = world.ask(KEYS[0], &order("e1")).await;
    assert_eq!((http, &body["paymentId"]), (StatusCode::OK, &truth[0]["paymentId"]));
}

#[tokio::test]
async fn a_reset_is_a_tcp_reset_and_not_a_quiet_end() {
    use std::io::{ErrorKind, Read, Write};
    let world = World::open().await;
    world.place(json!({ "operation": "health", "kind": "reset_before", "times": 1 })).await;
    let address = world.bank.addr();
    let seen = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: bank\r\n\r\n").unwrap();
        stream.read(&mut [0; 64]).map_err(|error| error.kind())
    });
    assert_eq!(seen.await.unwrap(), Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn before_means_nothing_was_done_and_after_means_it_was() {
    for (kind, http, left) in [
        ("error_before", Some(StatusCode::INTERNAL_SERVER_ERROR), 0),
        ("error_after", Some(StatusCode::INTERNAL_SERVER_ERROR), 1),
        ("reset_before", None, 0),
        ("reset_after", None, 1),
        ("garbage", Some(StatusCode::CREATED), 1),
        ("outage", Some(StatusCode::SERVICE_UNAVAILABLE), 0),
        ("rate_limit", Some(StatusCode::TOO_MANY_REQUESTS), 0),
    ] {
        let world = World::open().await;
        world.place(json!({ "operation": "initiate", "kind": kind, "times": 1 })).await;
        let seen = world.asking(KEYS[0], &order("e1")).send().await.ok();
        assert_eq!(seen.as_ref().map(reqwest::Response::status), http, "{kind}");
        assert_eq!(world.truth("e1").await.len(), left, "{kind}");
        if let Some(answer) = seen {
            assert_eq!(answer.headers().contains_key("retry-after"), kind == "rate_limit", "{kind}");
            let text = answer.text().await.unwrap();
            let is_json = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(is_json, kind != "garbage", "{kind}");
        }
        assert!(world.ask(KEYS[0], &order("e1")).await.0.is_success(), "{kind} strikes once");
    }
}

#[tokio::test]
async fn an_error_is_the_one_asked_for() {
    let world = World::open().await;
    let fault = json!({
        "operation": "initiate", "bank": "dnb", "kind": "error_before",
        "status": 403, "code": "LIMIT_EXCEEDED", "retryAfter": 7, "times": 1,
    });
    world.place(fault).await;
    let answer = world.asking(KEYS[0], &order("e1")).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (StatusCode::FORBIDDEN, &"7".parse().unwrap())
    );
    let body = answer.json().await.unwrap();
    assert_eq!((code(&body), &body["bank"]), ("LIMIT_EXCEEDED", &json!("dnb")));
}

#[tokio::test]
async fn a_late_creation_comes_after_the_error() {
    let world = World::open().await;
    world
        .place(json!({ "operation": "initiate", "kind": "late_create", "latencyMs": 1500, "times": 1 }))
        .await;
    let (http, _) = world.ask(KEYS[0], &order("e1")).await;
    assert_eq!(http, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.locate("e1").await.1, json!([]));
    world.truth_once("e1", |truth| truth.len() == 1).await;
}

#[tokio::test]
async fn a_hanging_call_is_done_and_never_answered() {
    let world = World::open().await;
    world.place(json!({ "operation": "initiate", "kind": "hang_after" })).await;
    let patience = world.asking(KEYS[0], &order("e1")).timeout(Duration::from_millis(300));
    assert!(patience.send().await.unwrap_err().is_timeout());
    assert_eq!(world.truth("e1").await.len(), 1);
    // A bank with a call still hanging can be stopped.
    let hanging = tokio::spawn(world.asking(KEYS[0], &order("e1")).send());
    world.truth_once("e1", |truth| truth[0]["requests"].as_array().unwrap().len() == 2).await;
    tokio::time::timeout(Duration::from_secs(5), world.bank.stop()).await.unwrap();
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn latency_slows_without_changing_the_answer() {
    let world = World::open().await;
    let id = world.place(json!({ "operation": "health", "kind": "latency", "latencyMs": 1000 })).await;
    let impatient = world.call(Method::GET, "/health").timeout(Duration::from_millis(100));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    assert_eq!(world.get("/health").await.0, StatusCode::OK);
    let removed = world.call(Method::DELETE, &format!("/_control/faults/{id}")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let impatient = world.call(Method::GET, "/health").timeout(Duration::from_millis(900));
    assert_eq!(impatient.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(world.get("/_control/faults").await.1, json!([]));
}

#[tokio::test]
async fn an_offline_bank_takes_only_its_own_calls_down() {
    let world = World::open().await;
    let at_dnb = world.pay(KEYS[0], &order("at-dnb")).await;
    world.put("/_control/banks/dnb", json!({ "status": "offline" })).await;

    let (http, refusal) = world.ask(KEYS[1], &order("e2")).await;
    assert_eq!((http, &refusal["bank"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("dnb")));
    assert_eq!(world.get(&format!("/v1/payments/{at_dnb}/status")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.cancel(&at_dnb).await.0, StatusCode::SERVICE_UNAVAILABLE);
    for end_to_end in ["at-dnb", "e2"] {
        assert_eq!(world.locate(end_to_end).await.0, StatusCode::SERVICE_UNAVAILABLE, "{end_to_end}");
    }
    world.pay(KEYS[1], &order_at_nordea("e3")).await;
    assert_eq!(world.get("/health").await.0, StatusCode::OK);
    let (_, banks) = world.get("/banks").await;
    let states: Vec<_> =
        banks.as_array().unwrap().iter().map(|bank| (&bank["id"], &bank["status"])).collect();
    assert_eq!(states[0], (&json!("dnb"), &json!("offline")));
    assert_eq!(states[1], (&json!("nordea"), &json!("online")));

    world.put("/_control/banks/dnb", json!({ "status": "online" })).await;
    assert_eq!(world.status(&at_dnb).await, "RCVD");
    assert!(world.truth("e2").await.is_empty());
}

#[tokio::test]
async fn a_fault_of_one_bank_spares_the_others() {
    let world = World::open().await;
    world.place(json!({ "bank": "nordea", "kind": "outage" })).await;
    assert_eq!(world.ask(KEYS[0], &order_at_nordea("n")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.ask(KEYS[1], &order("d")).await.0, StatusCode::CREATED);
    // The consent decides where both could.
    let request = world.asking(KEYS[2], &order("c")).header("X-Consent-ID", "consent-demo-nordea");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}
