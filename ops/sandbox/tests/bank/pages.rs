use reqwest::StatusCode;
use serde_json::json;

use crate::world::{KEYS, REDIRECT, World, answer, order};

#[tokio::test]
async fn the_page_shows_what_is_paid_to_whom_from_where() {
    let world = World::open().await;
    let mut order = order("e1");
    order["creditorName"] = json!("Bakst & <b>Kaffe</b>");
    let id = world.pay(KEYS[0], &order).await;
    let page = world.client.get(format!("{}/sca/{id}", world.bank.base_url())).send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let html = page.text().await.unwrap();
    for shown in [
        "2000.00 NOK",
        "Bakst &amp; &lt;b&gt;Kaffe&lt;/b&gt;",
        "NO9386011117947",
        "RS35265000000123456757",
        "Approve",
    ] {
        assert!(html.contains(shown), "{shown} is not on the page");
    }
}

#[tokio::test]
async fn denying_rejects_without_a_reason_and_returns() {
    let world = World::open().await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    let url = format!("{}/sca/{id}", world.bank.base_url());
    let denied = world.client.post(format!("{url}/deny")).send().await.unwrap();
    assert_eq!(denied.status(), StatusCode::SEE_OTHER);
    assert_eq!(denied.headers()["location"], format!("{REDIRECT}&paymentId={id}"));
    let (_, body) = world.get(&format!("/v1/payments/{id}/status")).await;
    assert_eq!(body, json!({ "transactionStatus": "RJCT" }));
    let again = world.client.post(format!("{url}/approve")).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert!(again.text().await.unwrap().contains("the payment was rejected"));
}

#[tokio::test]
async fn a_program_gets_the_return_address_as_json() {
    let world = World::open().await;
    let id = world.pay(KEYS[0], &order("e1")).await;
    let approve = || {
        let url = format!("{}/sca/{id}/approve", world.bank.base_url());
        world.client.post(url).header("Accept", "application/json").send()
    };
    let (http, body) = answer(approve().await.unwrap()).await;
    assert_eq!(http, StatusCode::OK);
    assert_eq!(
        body,
        json!({ "transactionStatus": "ACSC", "redirect": format!("{REDIRECT}&paymentId={id}") })
    );
    let (http, body) = answer(approve().await.unwrap()).await;
    assert_eq!((http, crate::world::code(&body)), (StatusCode::CONFLICT, "STATUS_INVALID"));
    assert_eq!(world.truth("e1").await[0]["executedCount"], 1);
}
