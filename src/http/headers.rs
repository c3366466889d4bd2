//! Headers that every answer carries: nothing is stored, guessed, framed or run by a browser.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Sets them where the handler said nothing else.
pub fn secure(headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, HeaderValue); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
    ];
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
}
