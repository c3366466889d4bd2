//! Whatever is sent, nothing breaks: always a refusal in the envelope, nothing stored, and the service works on.

use reqwest::Method;
use serde_json::{Value, json};

use super::Corner;
use crate::client::{Answer, Caller, Customer, REMITTANCE, answer, try_answer, unique};
use crate::on_both_databases;
use crate::service::Kind;

on_both_databases! {
    no_body_breaks_a_route;
    no_address_breaks_a_route;
}

/// A path of the description with ids that exist.
pub fn concrete(path: &str, kari: &Customer) -> String {
    let id = match path {
        _ if path.contains("/transactions/") => format!("tx_{:032x}", 1),
        _ if path.contains("/bank-accounts/") => kari.account.clone(),
        _ if path.contains("/recipients/") => kari.recipient.clone(),
        _ if path.contains("/merchants/") => "mer_1".to_owned(),
        _ => kari.user.clone(),
    };
    path.replace("{userId}", &kari.user).replace("{id}", &id)
}

/// A method by its name in the description.
pub fn method(name: &str) -> Option<Method> {
    ["get", "put", "post", "patch", "delete"].contains(&name).then(|| name.to_uppercase().parse().unwrap())
}

/// A body that is no good anywhere, with the type it claims.
struct Bad {
    why: &'static str,
    kind: &'static str,
    body: Vec<u8>,
    status: Option<u16>,
}

fn bad_bodies() -> Vec<Bad> {
    let bad = |why, body: &[u8]| Bad { why, kind: "application/json", body: body.to_vec(), status: None };
    let mut bodies = vec![
        bad("no JSON", b"garbage"),
        bad("broken off", br#"{"amount":"#),
        bad("a second value", b"{} {}"),
        bad("a trailing comma", br#"{"amount":"1",}"#),
        bad("single quotes", b"{'amount':'1'}"),
        bad("a comment", b"{/* */}"),
        bad("a byte order mark", b"\xef\xbb\xbf{}"),
        bad("null", b"null"),
        bad("true", b"true"),
        bad("a number", b"17"),
        bad("a string", br#""{}""#),
        bad("an empty array", b"[]"),
        bad("an array of objects", b"[{}]"),
        bad("invalid UTF-8", b"{\"name\":\"\xff\xfe\"}"),
        bad("half a surrogate", br#"{"name":"\ud800"}"#),
        bad("a raw NUL", b"{\"name\":\"a\0b\"}"),
        bad("an unknown field", br#"{"surprise":1}"#),
        bad("a field of the wrong case", br#"{"Amount":"1","Name":"x"}"#),
        bad("a prototype", br#"{"__proto__":{"role":"admin"}}"#),
        bad("deep arrays", [vec![b'['; 20_000], vec![b']'; 20_000]].concat().as_slice()),
        bad(
            "deep objects",
            [br#"{"a":"#.repeat(10_000), b"1".to_vec(), vec![b'}'; 10_000]].concat().as_slice(),
        ),
        bad(
            "deep in a field",
            [br#"{"name":"#.to_vec(), vec![b'['; 50_000], vec![b']'; 50_000], b"}".to_vec()]
                .concat()
                .as_slice(),
        ),
        Bad {
            status: Some(413),
            ..bad("300 KB", &[b"{\"name\":\"".to_vec(), vec![b'x'; 300 * 1024], b"\"}".to_vec()].concat())
        },
        Bad { status: Some(413), ..bad("300 KB of space", &vec![b' '; 300 * 1024]) },
    ];
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/xml",
        "json",
    ] {
        bodies.push(Bad { kind, status: Some(415), ..bad("another type", b"{}") });
    }
    bodies
}

/// What may stand in a field that something is expected of, and is wrong in every field there is.
fn bad_values() -> Vec<&'static str> {
    vec![
        "[]",
        "{}",
        "[[]]",
        "{\"a\":{}}",
        "1e400",
        "-1e400",
        "99999999999999999999999999999999",
        "-0.000000000000000001",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\u202e\\u0007\"",
        "\"'; drop table users; --\"",
        "\"../../etc/passwd\"",
        "\"{{7*7}}\"",
        "\"<script>alert(1)</script>\"",
        "true",
        "\"\"",
        "\" \"",
    ]
}

/// What operators call.
const OPERATORS: &[&str] =
    &["/v1/approvals", "/v1/workflows", "/v1/providers", "/v1/queues", "/v1/holds", "/v1/switches"];

async fn no_body_breaks_a_route(kind: Kind) {
    let corner = Corner::of(kind, "bodies");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let payment = kari.remit_to_link("100.00").await;
    let api = corner.backend().get("/openapi.json").await.is(200).body;
    let before = stored(&corner, &kari).await;
    let mut count = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            let Some(method) = method(name).filter(|_| operation["requestBody"].is_object()) else {
                continue;
            };
            let concrete = concrete(path, &kari).replace(&format!("tx_{:032x}", 1), &payment.word("id"));
            let caller = if OPERATORS.iter().any(|prefix| path.starts_with(prefix)) {
                corner.admin()
            } else if method == Method::PUT {
                corner.backend()
            } else {
                kari.app.clone()
            };
            // What operators ask for is not there, and what a provider pushes here is not signed: that is said before
            // the body is looked at.
            let early =
                path.starts_with("/v1/webhooks") || OPERATORS.iter().any(|prefix| path.starts_with(prefix));
            let send = async |kind: &str, body: Vec<u8>| {
                // Who is refused before the whole body was read loses the connection, which nobody else shall share.
                let large = body.len() > 256 * 1024;
                let caller = if large { caller.on_connections_of_its_own() } else { caller.clone() };
                let mut request = caller.request(method.clone(), &concrete).body(body);
                if !kind.is_empty() {
                    request = request.header("Content-Type", kind);
                }
                try_answer(request.header("Idempotency-Key", format!("key-{}", unique()))).await.ok()
            };
            for bad in bad_bodies() {
                let Some(refused) = send(bad.kind, bad.body).await else {
                    assert!(early || bad.status == Some(413), "{name} {path}: {} got no answer", bad.why);
                    continue;
                };
                count += 1;
                refused_well(&refused, &format!("{name} {path}: {}", bad.why));
                assert!(
                    early || bad.status.is_none_or(|status| status == refused.status),
                    "{name} {path}: {}: {}",
                    bad.why,
                    refused.status
                );
            }
            for field in fields(&api, operation) {
                for value in bad_values() {
                    let body = format!("{{\"{field}\":{value},\"{field}\":{value}}}");
                    let twice = send("application/json", body.into_bytes()).await.expect("an answer");
                    refused_well(&twice, &format!("{name} {path}: {field} twice, {value}"));
                    let mut valid = valid_body(path, &kari, &branch);
                    let value: Value = serde_json::from_str(value).unwrap_or(json!(1e308));
                    valid[&field] = value.clone();
                    let one =
                        send("application/json", valid.to_string().into_bytes()).await.expect("an answer");
                    count += 2;
                    harmless(&one, &format!("{name} {path}: {field} = {value}"));
                }
            }
        }
    }
    assert!(count > 1000, "only {count} requests");
    assert_eq!(stored(&corner, &kari).await, before, "a bad body was stored or sent as a payment");
    // What is left after all that is as good as ever.
    let fresh = corner.customer(&branch).await;
    fresh.remit("100.00").await.is(201);
    assert_eq!(kari.look(&payment.word("id")).await.word("id"), payment.word("id"));
}

/// Refused, in the envelope, and never because something broke.
fn refused_well(refused: &Answer, what: &str) {
    assert!((400..500).contains(&refused.status), "{what}: {} {}", refused.status, refused.text);
    refused.enveloped();
}

/// Some values are fine in some fields; none breaks anything.
fn harmless(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text);
    if answer.status >= 400 {
        answer.enveloped();
    }
}

/// The fields of an operation's body, by the description.
fn fields(api: &Value, operation: &Value) -> Vec<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let reference = [&schema["$ref"], &schema["oneOf"][1]["$ref"], &schema["oneOf"][0]["$ref"]];
    let reference = reference.into_iter().find_map(Value::as_str);
    let schema =
        reference.and_then(|reference| api.pointer(reference.trim_start_matches('#'))).unwrap_or(schema);
    if schema["type"] == "string" {
        // Taken as it comes.
        return vec![];
    }
    let fields = schema["properties"].as_object().unwrap_or_else(|| panic!("no fields in {schema}"));
    fields.keys().cloned().collect()
}

/// A body that the route takes, so that the one bad field in it is what is judged. Payments lack what they need, so
/// that none is made by a value that turns out to be fine.
fn valid_body(path: &str, kari: &Customer, branch: &crate::bank::Branch<'_>) -> Value {
    match path {
        _ if path.contains("/bank-accounts/") => kari.account_body(branch),
        _ if path.contains("/recipients") => {
            json!({ "name": "Marko", "country": "DE", "iban": "DE89370400440532013000", "currency": "EUR" })
        }
        _ if path.contains("/merchants/") => json!({ "name": "Kiosk", "iban": "NO9386011117947" }),
        _ if path.contains("/exchange-rates") => json!({ "rates": [] }),
        _ if path.contains("/users/") => crate::client::adult(),
        _ => json!({}),
    }
}

/// What there is of payments: the customer's, and the bank's.
async fn stored(corner: &Corner, kari: &Customer) -> (usize, usize) {
    let branch = corner.branch().await;
    (kari.count().await, branch.payments().await.len())
}

async fn no_address_breaks_a_route(kind: Kind) {
    let corner = Corner::of(kind, "addresses");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let backend = corner.backend();
    let long = "x".repeat(8000);
    let ids = [
        "x",
        "tx_",
        "tx_1",
        "tx_zz",
        "wf_1",
        "usr_",
        "TX_0192f0c1a2b37c4d8e5f60718293a4b5",
        "tx_0192F0C1A2B37C4D8E5F60718293A4B5",
        "%00",
        "tx_%00",
        "%ff",
        "tx_%ff%fe",
        "..%2f..%2fetc",
        "%2e%2e",
        "tx_'%20or%201=1",
        "tx_%22",
        "💸",
        "%f0%9f%92%b8",
        "-1",
        "null",
        "0",
        "tx_00000000000000000000000000000000000000",
        &long,
    ];
    for id in ids {
        for path in [
            format!("/v1/transactions/{id}"),
            format!("/v1/transactions/{id}/events"),
            format!("/v1/recipients/{id}"),
        ] {
            refused_well(&kari.app.get(&path).await, &path);
        }
        for action in ["cancel", "continue"] {
            let path = format!("/v1/transactions/{id}/{action}");
            refused_well(&answer(kari.app.request(Method::POST, &path)).await, &path);
        }
        if !id.starts_with("usr_") || id == "usr_" {
            let path = format!("/v1/users/{id}");
            refused_well(&backend.put(&path, &crate::client::adult()).await, &path);
        }
    }
    for query in [
        "limit=%00",
        "limit=%ff",
        "limit=1&limit=2",
        "status=%27",
        "from=%00",
        "cursor=%F0%28%8C%28",
        "=",
        "&&&=&",
        "limit",
        "from=0000-00-00T00:00:00Z",
        "from=9999999-01-01T00:00:00Z",
        "to=2026-02-30T00:00:00Z",
        "%",
        "a=b",
        &format!("cursor={long}"),
        &format!("status={long}"),
        &format!("{long}={long}"),
    ] {
        let path = format!("/v1/transactions?{query}");
        harmless(&kari.app.get(&path).await, &path[..path.len().min(80)]);
    }
    harmless(
        &kari.app.get(&format!("/v1/transactions?limit={}", "1".repeat(60_000))).await,
        "a very long query",
    );
    for (name, value) in [
        ("x-request-id", "not-a-uuid"),
        ("x-request-id", "'; drop table"),
        ("Accept", "\u{7f}".trim_end_matches('\u{7f}')),
        ("Accept", "application/xml"),
        ("If-None-Match", "\"x"),
        ("Range", "bytes=0-1"),
        ("Content-Length", "0"),
        ("X-Forwarded-For", "127.0.0.1, ::1"),
        ("Forwarded", "for=garbage"),
        ("Cookie", "drop_token=; drop_token=x"),
    ] {
        let request = kari.app.request(Method::GET, "/v1/transactions").header(name, value);
        harmless(&answer(request).await, &format!("{name}: {value}"));
    }
    let key = kari.app.request(Method::POST, REMITTANCE).header("Idempotency-Key", &b"\xff\xfe"[..]);
    refused_well(&answer(key.json(&kari.order("100.00"))).await, "a key that is no text");
    assert_eq!(kari.count().await, 0);
    Caller::nobody(&corner.base()).get("/readyz").await.is(200);
}
