//! What the service is like where no payment is concerned.

use reqwest::Method;
use serde_json::Value;

use super::Corner;
use crate::client::{Caller, answer};
use crate::on_both_databases;
use crate::service::Kind;

on_both_databases! {
    every_error_wears_the_envelope_or_problem_json;
    every_answer_names_its_request;
    it_is_healthy_and_describes_itself;
}

async fn every_error_wears_the_envelope_or_problem_json(kind: Kind) {
    let corner = Corner::of(kind, "errors");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let large = format!("{{\"note\":\"{}\"}}", "x".repeat(257 * 1024));
    for (method, path, kind, body, status, error) in [
        (Method::GET, "/v1", "", "", 404, "not_found"),
        (Method::GET, "/v1/nothing", "", "", 404, "not_found"),
        (Method::GET, "/v2/transactions", "", "", 404, "not_found"),
        (Method::DELETE, "/v1/transactions", "", "", 405, "method_not_allowed"),
        (Method::PUT, "/v1/transactions/remittance", "application/json", "{}", 405, "method_not_allowed"),
        (Method::PATCH, "/livez", "", "", 405, "method_not_allowed"),
        (Method::POST, "/v1/transactions/remittance", "text/plain", "{}", 415, "unsupported_media_type"),
        (Method::POST, "/v1/transactions/remittance", "application/json", "{", 400, "malformed_request"),
        (Method::POST, "/v1/transactions/remittance", "application/json", "{}", 400, "validation_failed"),
        (Method::POST, "/v1/transactions/remittance", "application/json", &large, 413, "payload_too_large"),
    ] {
        let send = async |accept: &str| {
            // Who is refused before the whole body was read loses the connection, which nobody else shall share.
            let app = kari.app.on_connections_of_its_own();
            let mut request = app.request(method.clone(), path).header("Accept", accept);
            if !kind.is_empty() {
                request = request.header("Content-Type", kind).body(body.to_owned());
            }
            answer(request.header("Idempotency-Key", "key")).await
        };
        let plain = send("*/*").await.refused(status, error);
        assert_eq!(plain.headers.contains_key("allow"), status == 405, "{method} {path}");
        let problem = send("application/problem+json").await.is(status);
        assert_eq!(problem.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(
            (&problem.body["error"], &problem.body["status"]),
            (&plain.body["error"], &Value::from(status))
        );
        assert!(problem.body["title"].is_string() && problem.body["type"].is_string(), "{}", problem.text);
    }
    let details = kari.app.start("/v1/transactions/remittance", "key", &serde_json::json!({})).await;
    let fields = details.body["details"].as_array().unwrap().iter();
    let fields: Vec<_> = fields.map(|detail| detail["field"].as_str().unwrap().to_owned()).collect();
    assert_eq!(fields, ["recipientId", "amount"], "{}", details.text);
}

async fn every_answer_names_its_request(kind: Kind) {
    let corner = Corner::of(kind, "names");
    let nobody = Caller::nobody(&corner.base());
    let own = "0191e0f0-0000-7000-8000-0000000000aa";
    for (path, status) in
        [("/livez", 200), ("/v1/transactions", 401), ("/nothing", 404), ("/openapi.json", 200)]
    {
        let echoed = answer(nobody.request(Method::GET, path).header("x-request-id", own)).await.is(status);
        assert_eq!(echoed.header("x-request-id"), own, "{path}");
        let made =
            answer(nobody.request(Method::GET, path).header("x-request-id", "evil\tid")).await.is(status);
        assert_eq!(made.header("x-request-id").len(), 36, "{path}");
        assert_eq!(made.headers.get_all("x-request-id").iter().count(), 1);
    }
}

async fn it_is_healthy_and_describes_itself(kind: Kind) {
    let corner = Corner::of(kind, "health");
    let nobody = Caller::nobody(&corner.base());
    for path in ["/livez", "/readyz", "/v1/health"] {
        nobody.get(path).await.is(200);
    }
    let api = nobody.get("/openapi.json").await.is(200);
    assert!(api.word("openapi").starts_with("3.1"), "{}", api.word("openapi"));
    for path in
        ["/v1/transactions", "/v1/transactions/{id}", "/v1/transactions/{id}/cancel", "/v1/payments/callback"]
    {
        assert!(api.body["paths"][path].is_object(), "{path} is not described");
    }
    let home = nobody.get("/").await.is(200);
    assert!(home.text.contains("/docs"), "{}", home.text);
    let docs = nobody.get("/docs").await.is(200);
    assert!(docs.header("content-type").starts_with("text/html"));
    // Nothing is fetched from elsewhere.
    let text = docs.text.to_lowercase();
    for outside in
        ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "@import", "src='http", "href='http"]
    {
        assert!(!text.contains(outside), "{outside} in /docs");
    }
    assert!(docs.header("content-security-policy").contains("default-src 'none'"), "{:?}", docs.headers);
    for answer in [&docs, &api] {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}
