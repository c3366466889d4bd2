//! Switches, from outside.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::testing::{BEGIN, Front};

async fn ask(front: &Front, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    front.ask(method, path, Some(&front.staff("olga", "operator")), &body.to_string()).await
}

async fn switch(front: &Front, name: &str) -> Option<Value> {
    let (status, page) = ask(front, Method::GET, "/v1/switches", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["items"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned()
}

#[tokio::test]
async fn a_switch_is_turned_listed_and_taken_back_to_its_start_value() {
    let front = Front::open().await;
    let controls = &front.app.controls;
    for (name, start, value, shown) in [
        ("swan.mode", json!("live"), "degraded", "degraded"),
        ("pisp.mode", json!("live"), "queue", "queue"),
        ("aisp.mode", json!("live"), "cached", "cached"),
        ("aisp.cache_ttl", json!(null), "1h", "3600s"),
        ("rate:neonomics", json!("50"), "7", "7"),
        ("feature.cards", json!("enabled"), "disabled", "disabled"),
        ("pisp.mode:neonomics:dnb", json!(null), "disabled", "disabled"),
        ("aisp.cache_ttl:neonomics:RE5C/K+w=", json!(null), "250ms", "250ms"),
    ] {
        let path = format!("/v1/switches/{}", name.replace('/', "%2F"));
        let (status, turned) =
            ask(&front, Method::PUT, &path, json!({"value": value, "reason": "incident"})).await;
        assert_eq!(status, StatusCode::OK, "{turned}");
        let expected = json!({"name": name, "value": shown, "startValue": start, "source": "override",
            "actor": "olga", "reason": "incident", "since": BEGIN.to_rfc3339_millis(), "expiresAt": null,
            "then": null});
        assert_eq!(turned, expected);
        assert_eq!(switch(&front, name).await, Some(expected));
    }
    assert!(!controls.flag("cards"));
    assert_eq!(controls.swan().as_str(), "degraded");
    assert_eq!(controls.cache_ttl("neonomics", "nordea"), Duration::from_hours(1));
    assert_eq!(controls.cache_ttl("neonomics", "RE5C/K+w="), Duration::from_millis(250));

    let (path, why) = ("/v1/switches/feature.cards", json!({"reason": "over"}));
    let (status, released) = ask(&front, Method::DELETE, path, why.clone()).await;
    assert_eq!(
        (status, &released["value"], &released["source"], &released["actor"]),
        (StatusCode::OK, &json!("enabled"), &json!("start"), &json!(null))
    );
    assert!(controls.flag("cards"));
    assert_eq!(ask(&front, Method::DELETE, path, why).await.0, StatusCode::NOT_FOUND, "nobody turned it");
    let kept = front.drawers.actions.actions("feature.cards", 10).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|one| (one.verb.as_str(), one.reason.as_str())).collect();
    assert_eq!(kept, [("unset", "over"), ("set disabled", "incident")]);
}

#[tokio::test]
async fn a_switch_that_was_turned_for_a_while_falls_back_to_what_was_said_before() {
    let front = Front::open().await;
    let path = "/v1/switches/pisp.mode";
    ask(&front, Method::PUT, path, json!({"value": "disabled", "reason": "incident"})).await;
    let end = BEGIN.plus(Duration::from_mins(1)).to_rfc3339_millis();
    let body = json!({"value": "live", "reason": "a try", "expiresAt": end});
    let (_, turned) = ask(&front, Method::PUT, path, body).await;
    assert_eq!((&turned["value"], &turned["then"]), (&json!("live"), &json!("disabled")), "{turned}");
    assert_eq!(turned["expiresAt"], json!(end));
    let kept = front.drawers.actions.actions("pisp.mode", 1).await.unwrap();
    assert_eq!(
        kept[0].expires_at.map(::workflows::time::At::to_rfc3339_millis),
        Some(end),
        "the audit knows the end"
    );
    front.clock.set(BEGIN.plus(Duration::from_mins(1)));
    let fallen = switch(&front, "pisp.mode").await.unwrap();
    assert_eq!((&fallen["value"], &fallen["reason"]), (&json!("disabled"), &json!("incident")), "{fallen}");
    assert_eq!(fallen["since"], json!(BEGIN.to_rfc3339_millis()));
}

#[tokio::test]
async fn a_backend_reads_features_and_nothing_else_and_others_nothing() {
    let front = Front::open().await;
    ask(
        &front,
        Method::PUT,
        "/v1/switches/feature.cards",
        json!({"value": "disabled", "reason": "ola pays twice"}),
    )
    .await;
    let (status, page) = front.ask(Method::GET, "/v1/switches", Some(&front.backend()), "").await;
    let items = page["items"].as_array().unwrap();
    assert_eq!((status, items.len()), (StatusCode::OK, 1), "{page}");
    assert_eq!((&items[0]["name"], &items[0]["value"]), (&json!("feature.cards"), &json!("disabled")));
    assert_eq!((&items[0]["actor"], &items[0]["reason"]), (&json!(null), &json!(null)));
    assert_eq!(
        front.ask(Method::GET, "/v1/switches", Some(&front.kari()), "").await.0,
        StatusCode::FORBIDDEN
    );
    let body = json!({"value": "enabled", "reason": "r"}).to_string();
    for token in [front.backend(), front.kari(), front.staff("vera", "viewer")] {
        let path = "/v1/switches/feature.cards";
        for method in [Method::PUT, Method::DELETE] {
            let (status, _) = front.ask(method, path, Some(&token), &body).await;
            assert_eq!(status, StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test]
async fn bad_input_to_switches_is_refused() {
    let front = Front::open().await;
    for (name, body, error, field) in [
        ("pisp.mode", json!({"value": "queue"}), "reason_required", "reason"),
        ("pisp.mode", json!({"reason": "r"}), "validation_failed", "value"),
        ("pisp.mode", json!({"value": "off", "reason": "r"}), "validation_failed", "value"),
        ("pisp.mode", json!({"value": true, "reason": "r"}), "validation_failed", "value"),
        ("aisp.cache_ttl", json!({"value": "0", "reason": "r"}), "validation_failed", "value"),
        ("aisp.cache_ttl", json!({"value": "soon", "reason": "r"}), "validation_failed", "value"),
        ("rate:neonomics", json!({"value": "0", "reason": "r"}), "validation_failed", "value"),
        ("feature.cards", json!({"value": "on", "reason": "r"}), "validation_failed", "value"),
        (
            "feature.cards",
            json!({"value": "enabled", "reason": "r", "expiresAt": "2020-01-01T00:00:00Z"}),
            "validation_failed",
            "expiresAt",
        ),
    ] {
        let (status, answer) = ask(&front, Method::PUT, &format!("/v1/switches/{name}"), body.clone()).await;
        assert_eq!(
            (status, &answer["error"], &answer["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(error), &json!(field)),
            "{name} {body}: {answer}"
        );
    }
    let body = json!({"value": "live", "reason": "r"});
    for name in [
        "lights",
        "pisp.mode:swan",
        "pisp.mode:neonomics:d%20b",
        "pisp.mode%2Fneonomics",
        "feature.",
        "feature.CARDS",
        "feature.a%00",
        "rate:swan",
        "swan.mode:x",
        "pisp.mode:",
    ] {
        for method in [Method::PUT, Method::DELETE] {
            let (status, answer) =
                ask(&front, method.clone(), &format!("/v1/switches/{name}"), body.clone()).await;
            let expected =
                if method == Method::DELETE { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
            assert_eq!(status, expected, "{method} {name}: {answer}");
        }
        let (status, _) =
            ask(&front, Method::DELETE, &format!("/v1/switches/{name}"), json!({"reason": "r"})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{name}");
    }
}
