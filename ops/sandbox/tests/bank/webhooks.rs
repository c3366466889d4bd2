use std::time::Duration;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::world::{KEYS, World, anywhere, order};

const SECRET: &str = "whsec";

/// A receiver that checks each signature and passes the events on.
async fn receiver() -> (String, UnboundedReceiver<Value>) {
    async fn take(State(events): State<UnboundedSender<Value>>, headers: HeaderMap, body: Bytes) {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&body);
        assert_eq!(headers["x-signature"], hex::encode(mac.finalize().into_bytes()));
        events.send(serde_json::from_slice(&body).unwrap()).unwrap();
    }
    let (events, received) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind(anywhere()).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = Router::new().route("/hook", post(take)).with_state(events);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, received)
}

async fn codes(setting: &str, count: usize) -> Vec<Value> {
    let (url, mut received) = receiver().await;
    let webhook = sandbox::Webhook { url, secret: SECRET.to_owned() };
    let world = World::open_with(|config| config.webhook = Some(webhook)).await;
    world.put("/_control/settings", json!({ "webhooks": setting })).await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    world.post(&format!("/_control/payments/{id}/approve"), json!({})).await;
    let mut seen = Vec::new();
    for _ in 0..count {
        let event = tokio::time::timeout(Duration::from_secs(10), received.recv()).await.unwrap().unwrap();
        assert_eq!(event["paymentId"], json!(id));
        assert!(event["eventId"].is_string() && event["occurredAt"].is_string());
        seen.push(event["transactionStatus"].clone());
    }
    let more = tokio::time::timeout(Duration::from_millis(400), received.recv()).await;
    assert!(more.is_err(), "more than {count}: {more:?}");
    seen
}

#[tokio::test]
async fn status_changes_are_told_signed_and_in_order() {
    assert_eq!(codes("normal", 3).await, ["ACTC", "ACSP", "ACSC"]);
}

#[tokio::test]
async fn hints_can_be_lost_doubled_and_turned_around() {
    assert_eq!(codes("lost", 0).await, [""; 0]);
    assert_eq!(codes("duplicated", 6).await, ["ACTC", "ACTC", "ACSP", "ACSP", "ACSC", "ACSC"]);
    assert_eq!(codes("reordered", 3).await, ["ACSC", "ACSP", "ACTC"]);
}
