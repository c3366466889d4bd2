//! Answers as bytes, in the aggregator's shapes.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use workers::providers::http::HttpReply;

/// A JSON body.
pub fn json(status: StatusCode, body: &Value) -> HttpReply {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    HttpReply { status, headers, body: Bytes::from(body.to_string()) }
}

/// No body.
pub fn empty(status: StatusCode) -> HttpReply {
    HttpReply { status, headers: HeaderMap::new(), body: Bytes::new() }
}

/// A "no" with a code.
pub fn no(status: StatusCode, code: &str) -> HttpReply {
    json(status, &json!({"tppMessages": [{"category": "ERROR", "code": code, "text": "no"}]}))
}

/// 429, with a wish or without.
pub fn too_many(wish: Option<&str>) -> HttpReply {
    let mut reply = no(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED");
    if let Some(Ok(wish)) = wish.map(HeaderValue::from_str) {
        reply.headers.insert(RETRY_AFTER, wish);
    }
    reply
}

/// What some proxy says.
pub fn proxy(status: StatusCode) -> HttpReply {
    HttpReply { status, headers: HeaderMap::new(), body: Bytes::from_static(b"<html>Bad gateway</html>") }
}
