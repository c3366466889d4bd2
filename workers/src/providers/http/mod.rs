//! The seam between what is said to a provider and the socket it is said through.
//!
//! The one rule: [`HttpFault::NotSent`] is a proof. Whatever may have left, even in part, is
//! [`HttpFault::Unknown`].

mod wire;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::Duration;

pub use wire::{Unusable, Waits, Wire};

use crate::limits::Pass;

/// The longest body of an answer that is read, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// One provider, reached over HTTP.
#[async_trait]
pub trait HttpPort: Send + Sync {
    /// Sends a request and reads its answer to the end, all within `timeout`. Any status is an answer. Each sending waits
    /// for its turn under `pass`; one that does not come within `timeout` is [`NO_TURN`].
    async fn send(
        &self,
        request: HttpRequest,
        pass: &Pass,
        timeout: Duration,
    ) -> Result<HttpReply, HttpFault>;
}

/// A request, relative to the provider's base address. It has no `Debug`: it carries credentials and account numbers.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Path and query, beginning with a slash.
    pub target: String,
    /// What is said beside the body.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// How often it may be sent.
    pub sendings: Sendings,
}

/// How often the transport may send a request before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sendings {
    /// Once: whoever asks decides about a second attempt.
    One,
    /// Again after a lost connection or a 500, 502, 503 or 504: for reads outside workflows and for tokens.
    Several,
}

/// A complete answer.
#[derive(Clone)]
pub struct HttpReply {
    /// The status.
    pub status: StatusCode,
    /// Untrusted.
    pub headers: HeaderMap,
    /// Untrusted, at most [`BODY_LIMIT`] long.
    pub body: Bytes,
}

pub(super) const BAD_HEADER: &str = "a value does not fit into a header";
pub(super) const BAD_BODY: &str = "the body could not be written";
pub(super) const BAD_ADDRESS: &str = "the address could not be built";
pub(super) const BAD_REQUEST: &str = "the request could not be built";

/// Nothing left, since the provider takes no more at the moment.
pub const NO_TURN: &str = "no turn at the provider in time";

/// Whether a request never left because of what we put into it, or of limits that we keep to: that says nothing about
/// the provider.
pub fn is_own_fault(why: &str) -> bool {
    [BAD_HEADER, BAD_BODY, BAD_ADDRESS, BAD_REQUEST, NO_TURN].contains(&why)
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// Not a byte of the request left: it could not be built, or no connection came about.
    NotSent(&'static str),
    /// Some of it may have left.
    Unknown(&'static str),
}

impl HttpRequest {
    /// A request without body that is sent once and asks for JSON.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let (target, body) = (target.into(), Bytes::new());
        HttpRequest { method, target, headers, body, sendings: Sendings::One }
    }

    /// With a header, which no log of the transport shows. A value that no header can carry makes the request
    /// unsendable.
    pub fn with(mut self, name: HeaderName, value: &str) -> Result<Self, HttpFault> {
        let mut value = HeaderValue::from_str(value).map_err(|_| HttpFault::NotSent(BAD_HEADER))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// With a header where there is a value.
    pub fn with_any(self, name: HeaderName, value: Option<&str>) -> Result<Self, HttpFault> {
        match value {
            Some(value) => self.with(name, value),
            None => Ok(self),
        }
    }

    /// With a JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, HttpFault> {
        let body = serde_json::to_vec(body).map_err(|_| HttpFault::NotSent(BAD_BODY))?;
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.into();
        Ok(self)
    }

    /// With a form as body.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.body = pairs.join("&").into();
        self
    }

    /// Sent again by the transport when that may help.
    #[must_use]
    pub fn several(self) -> Self {
        HttpRequest { sendings: Sendings::Several, ..self }
    }
}

/// Text as one path segment, query value or form value: everything but unreserved characters escaped (RFC 3986 §2.3).
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_from_a_segment() {
        let table =
            [("pay_1-A.~", "pay_1-A.~"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("é +&=%", "%C3%A9%20%2B%26%3D%25")];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn a_value_with_a_line_break_is_not_sent() {
        let name = HeaderName::from_static("tpp-redirect-uri");
        let fault = HttpRequest::new(Method::GET, "/").with(name, "a\r\nEvil: 1").err();
        assert_eq!(fault, Some(HttpFault::NotSent("a value does not fit into a header")));
    }
}
