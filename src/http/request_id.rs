//! The id of a request: the caller's, when it is a UUID, else ours. It stands on the answer and in every log line
//! (FE-17).

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use tracing::Span;
use workflows::time::At;

use super::App;

/// The header, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that has its id.
pub struct Named {
    id: String,
    span: Span,
    begun: At,
}

impl Named {
    /// Gives a request its id.
    pub fn give(app: &App, request: &mut Request) -> Self {
        let id = given(request.headers()).unwrap_or_else(|| hyphenated(app.engine.ids().random()));
        if let Ok(header) = HeaderValue::from_str(&id) {
            request.headers_mut().insert(X_REQUEST_ID, header);
        }
        let span =
            tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
        Named { id, span, begun: app.engine.now() }
    }

    /// Which.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What everything is logged within that is done for it.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Logs the answer, and puts the id on it.
    pub fn answered(self, app: &App, response: &mut Response) {
        let took_ms = app.engine.now().since(self.begun).as_millis();
        self.span.in_scope(|| tracing::info!(status = response.status().as_u16(), took_ms, "answered"));
        if let Ok(header) = HeaderValue::try_from(self.id) {
            response.headers_mut().insert(X_REQUEST_ID, header);
        }
    }
}

/// The caller's own id, if it is one UUID in the usual form.
fn given(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(X_REQUEST_ID).into_iter();
    let id = values.next()?.to_str().ok()?;
    (values.next().is_none() && is_uuid(id)).then(|| id.to_owned())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn hyphenated(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_kept_and_anything_else_replaced() {
        let uuid = "0192f0c1-a2b3-4c4d-8e5f-60718293a4b5";
        for (text, expected) in [
            (uuid, true),
            ("0192F0C1-A2B3-4C4D-8E5F-60718293A4B5", true),
            ("0192f0c1a2b34c4d8e5f60718293a4b5", false),
            ("0192f0c1-a2b3-4c4d-8e5f-60718293a4bz", false),
            ("x\" onload=\"", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(text).unwrap());
            assert_eq!(given(&headers).is_some(), expected, "{text}");
        }
        assert_eq!(hyphenated(0x0192_f0c1_a2b3_4c4d_8e5f_6071_8293_a4b5), uuid);
    }
}
