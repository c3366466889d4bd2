//! Every error answer: its code, its status, its text. The only place that holds error status codes.
//!
//! A handler fails with a [`Problem`]; [`Form::envelope`] writes it in the form that the caller accepts, and gives the same
//! form to whatever else failed on the way: an unknown route, a wrong method, a panic. Nothing internal leaves here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use workers::approvals::Rule;
use workers::store::Trouble;
use workflows::engine::Unreadable;
use workflows::payment::Denied;

use crate::desk::Unable;

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    message: Cow<'static, str>,
    details: Vec<Detail>,
    beside: Beside,
}

/// What an error answer says beside the error itself, member by member. It may be about somebody's money, so that `Debug`
/// shows nothing of it.
#[derive(Clone, Default, Serialize)]
#[serde(transparent)]
struct Beside(BTreeMap<String, Box<RawValue>>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Detail {
    /// Path of the field, such as `rates[0].to`; a header or query parameter by its name.
    #[schema(example = "amount")]
    pub field: String,
    /// What would be right.
    #[schema(example = "is required")]
    pub reason: String,
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub struct Envelope {
    /// Stable code in `snake_case`.
    #[schema(example = "validation_failed")]
    error: &'static str,
    /// A sentence for people.
    message: Cow<'static, str>,
    /// The fields at fault; empty when no field is.
    details: Vec<Detail>,
    #[serde(flatten)]
    #[schema(ignore)]
    beside: Beside,
}

/// The body of every error for callers that accept `application/problem+json` (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemDetails {
    /// Names the kind of error for ever: `urn:sluse:error:` and the code.
    #[schema(example = "urn:sluse:error:validation_failed")]
    r#type: String,
    /// The words of the status.
    #[schema(value_type = String, example = "Bad Request")]
    title: &'static str,
    /// The status.
    #[schema(example = 400)]
    status: u16,
    /// A sentence for people.
    detail: Cow<'static, str>,
    /// This occurrence: the id of the request.
    #[schema(example = "urn:uuid:0192f0c1-a2b3-4c4d-8e5f-60718293a4b5")]
    instance: Option<String>,
    /// The same code as in the plain envelope.
    error: &'static str,
    /// The fields at fault.
    details: Vec<Detail>,
    #[serde(flatten)]
    #[schema(ignore)]
    beside: Beside,
}

macro_rules! codes {
    ($($code:ident = $status:ident $word:literal $message:literal $(retry $seconds:literal)?;)+) => {
        /// What went wrong, as far as callers are concerned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $message] $code,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$code),+];

            /// The word in the envelope.
            pub const fn word(self) -> &'static str {
                match self { $(Code::$code => $word,)+ }
            }

            /// The status of the answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Code::$code => StatusCode::$status,)+ }
            }

            const fn message(self) -> &'static str {
                match self { $(Code::$code => $message,)+ }
            }

            /// Seconds until a repetition makes sense.
            const fn retry_after(self) -> Option<u32> {
                match self { $(Code::$code => codes!(@retry $($seconds)?),)+ }
            }
        }
    };
    (@retry $seconds:literal) => { Some($seconds) };
    (@retry) => { None };
}

codes! {
    MalformedRequest = BAD_REQUEST "malformed_request" "The body is not a JSON object.";
    ValidationFailed = BAD_REQUEST "validation_failed" "Some fields are missing or wrong.";
    IdempotencyKeyRequired = BAD_REQUEST "idempotency_key_required" "The header Idempotency-Key is required.";
    ReasonRequired = BAD_REQUEST "reason_required" "Every action needs a reason.";
    InvalidState = BAD_REQUEST "invalid_state" "This return address does not belong to a payment.";
    Unauthenticated = UNAUTHORIZED "unauthenticated" "A valid token or API key is required.";
    Forbidden = FORBIDDEN "forbidden" "This caller may not do that.";
    OwnRequest = FORBIDDEN "own_request" "Whoever asked for it cannot approve it.";
    NotFound = NOT_FOUND "not_found" "There is no such thing.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed" "This address does not know that method.";
    NotAcceptable = NOT_ACCEPTABLE "not_acceptable" "The answer has no such form.";
    TooLateToCancel = CONFLICT "too_late_to_cancel" "The payment can no longer be cancelled.";
    NotAwaitingUser = CONFLICT "not_awaiting_user" "The payment does not wait for its payer.";
    ActionNotAllowed = CONFLICT "action_not_allowed" "A rule forbids that here.";
    AlreadyDecided = CONFLICT "already_decided" "It has been decided already.";
    ApprovalExpired = CONFLICT "approval_expired" "It has expired: it has to be asked for anew.";
    KycRequired = CONFLICT "kyc_required" "Identity verification is required before the first payment.";
    ConsentExpired = CONFLICT "consent_expired" "The consent for this bank account has expired.";
    // One word with the status that each address gives it: clients of /v1 are not logged out by it.
    ReadingConsentExpired = FORBIDDEN "consent_expired" "The consent for this bank account has expired.";
    AliasConsentExpired = UNAUTHORIZED "consent_expired" "The consent for this bank account has expired.";
    PayloadTooLarge = PAYLOAD_TOO_LARGE "payload_too_large" "The body is larger than 256 KB.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The body must be application/json.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency_key_reused"
        "This Idempotency-Key was used for a different request.";
    Underage = FORBIDDEN "underage" "Only people of 18 years or older can pay.";
    AmountOutOfRange = UNPROCESSABLE_ENTITY "amount_out_of_range" "The amount is outside the limits.";
    InvalidIban = UNPROCESSABLE_ENTITY "invalid_iban" "The IBAN is not valid.";
    RateOfABank = UNPROCESSABLE_ENTITY "rate_of_a_bank" "Rates are for a whole provider, not for one bank.";
    QrInvalid = UNPROCESSABLE_ENTITY "qr_invalid" "This QR code was not made by this service.";
    CurrencyNotSupported = UNPROCESSABLE_ENTITY "currency_not_supported" "This currency is not supported.";
    Internal = INTERNAL_SERVER_ERROR "internal" "Something went wrong on our side.";
    PaymentsDisabled = SERVICE_UNAVAILABLE "payments_disabled" "Payment service unavailable" retry 60;
    Overloaded = SERVICE_UNAVAILABLE "overloaded" "The service takes no new work at the moment." retry 5;
    DatabaseUnavailable = SERVICE_UNAVAILABLE "database_unavailable"
        "The service cannot reach its database." retry 5;
}

impl Problem {
    /// A code with a sentence of its own.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Problem { code, message: message.into(), details: Vec::new(), beside: Beside::default() }
    }

    /// Fields that are missing or wrong.
    pub fn validation(details: Vec<Detail>) -> Self {
        Problem { details, ..Code::ValidationFailed.into() }
    }

    /// One field that is missing or wrong.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::validation(vec![Detail { field: field.into(), reason: reason.into() }])
    }

    /// The same with the fields it is about.
    #[must_use]
    pub fn about(mut self, details: Vec<Detail>) -> Self {
        self.details = details;
        self
    }

    /// The same with the members of `body` beside the error.
    #[must_use]
    pub fn beside(mut self, body: &impl Serialize) -> Self {
        let members = serde_json::to_string(body).and_then(|text| serde_json::from_str(&text));
        match members {
            Ok(members) => {
                self.beside = Beside(members);
                self
            }
            Err(error) => Problem::internal("write what stands beside an error", error),
        }
    }

    /// A bug or a document that cannot be read: logged in full, answered without a word about it.
    pub fn internal(doing: &'static str, why: impl std::fmt::Display) -> Self {
        tracing::error!(doing, %why, "a request failed inside");
        Code::Internal.into()
    }

    /// What it is.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Problem::new(code, code.message())
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        let cause = trouble.source().map(ToString::to_string).unwrap_or_default();
        if trouble.source.is::<Unreadable>() {
            return Problem::internal(trouble.doing, cause);
        }
        tracing::error!(doing = trouble.doing, fate = ?trouble.fate, cause, "the database failed a request");
        Code::DatabaseUnavailable.into()
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (code, field) = match denied {
            Denied::KycRequired => (Code::KycRequired, None),
            Denied::Underage => (Code::Underage, None),
            Denied::ConsentExpired => (Code::ConsentExpired, None),
            Denied::AmountOutOfRange { .. } => (Code::AmountOutOfRange, Some("amount")),
            Denied::CurrencyNotSupported(_) => (Code::CurrencyNotSupported, None),
        };
        let reason = denied.to_string();
        let details = field.map(|field| Detail { field: field.to_owned(), reason: reason.clone() });
        Problem::new(code, reason).about(details.into_iter().collect())
    }
}

impl From<Unable> for Problem {
    fn from(unable: Unable) -> Self {
        match unable {
            Unable::NotFound => Code::NotFound.into(),
            Unable::Forbidden(rule) => Problem::new(Code::ActionNotAllowed, sentence(&rule)),
            Unable::Rule(Rule::OwnRequest) => Code::OwnRequest.into(),
            Unable::Rule(Rule::AlreadyDecided) => Code::AlreadyDecided.into(),
            Unable::Rule(Rule::Expired) => Code::ApprovalExpired.into(),
            Unable::Rule(rule @ (Rule::Moved | Rule::Altered)) => {
                Problem::new(Code::ActionNotAllowed, sentence(&rule.to_string()))
            }
            Unable::Store(trouble) => trouble.into(),
        }
    }
}

/// A rule as people read it: with a capital letter and a full stop.
fn sentence(rule: &str) -> String {
    let mut letters = rule.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(letters).chain(std::iter::once('.')).collect()
}

impl IntoResponse for Problem {
    /// The status and headers; [`envelope`] writes the body, since only it knows what the caller accepts.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(seconds) = self.code.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::PayloadTooLarge {
            // The rest of the body is not read, so the connection cannot be used for another request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The form that a caller wants errors in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// [`Envelope`].
    Plain,
    /// [`ProblemDetails`].
    ProblemJson,
}

impl Form {
    /// What a request says.
    pub fn wanted(headers: &HeaderMap) -> Self {
        if accepts_problem_json(headers) { Form::ProblemJson } else { Form::Plain }
    }

    /// Writes every failure in this form: a [`Problem`], whatever the framework refuses by itself, a panic.
    pub fn envelope(self, answered: std::thread::Result<Response>, request_id: &str) -> Response {
        let response = match answered {
            Ok(response) => response,
            Err(panic) => Problem::internal("answer a request", panic_text(panic.as_ref())).into_response(),
        };
        match problem_of(&response) {
            Some(problem) => problem.write(response, self, request_id),
            None => response,
        }
    }
}

/// The answer to a route that does not exist.
pub async fn unknown_route() -> Problem {
    Problem::new(Code::NotFound, "There is no such address.")
}

impl Problem {
    fn write(self, response: Response, form: Form, request_id: &str) -> Response {
        let (mut parts, _) = response.into_parts();
        let Problem { code, message, details, beside } = self;
        let (kind, body) = if form == Form::Plain {
            let envelope = Envelope { error: code.word(), message, details, beside };
            ("application/json", serde_json::to_vec(&envelope))
        } else {
            let details = ProblemDetails {
                r#type: format!("urn:sluse:error:{}", code.word()),
                instance: Some(format!("urn:uuid:{request_id}")),
                title: code.status().canonical_reason().unwrap_or_default(),
                status: code.status().as_u16(),
                detail: message,
                error: code.word(),
                details,
                beside,
            };
            ("application/problem+json", serde_json::to_vec(&details))
        };
        parts.status = code.status();
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(body.unwrap_or_default()))
    }
}

/// The problem that an answer carries, or that its bare status stands for.
fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    // Whatever the framework refuses by itself: a wrong method, an undecodable path.
    let known = [Code::NotFound, Code::MethodNotAllowed, Code::PayloadTooLarge, Code::UnsupportedMediaType];
    let code = known.into_iter().find(|code| code.status() == status);
    let fallback = if status.is_server_error() { Code::Internal } else { Code::MalformedRequest };
    Some(code.unwrap_or(fallback).into())
}

fn accepts_problem_json(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let wanted = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/problem+json"));
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        wanted && !refused
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::to_bytes;
    use axum::extract::Request;
    use axum::routing::get;
    use futures::FutureExt;
    use serde_json::{Value, json};
    use std::panic::AssertUnwindSafe;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: &str, path: &str, accept: &str) -> (Response<()>, Value) {
        async fn panics() -> StatusCode {
            panic!("select secret from users")
        }
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/denied", get(async || Problem::field("amount", "is required")))
            .route("/busy", get(async || Problem::from(Code::Overloaded)))
            .route("/who", get(async || Problem::from(Code::Unauthenticated)))
            .fallback(unknown_route);
        let request = Request::builder().method(method).uri(path).header("accept", accept);
        let request = request.body(Body::empty()).unwrap();
        let form = Form::wanted(request.headers());
        let answered = AssertUnwindSafe(router.oneshot(request)).catch_unwind().await;
        let response = form.envelope(answered.map(Result::unwrap), "0192f0c1-a2b3-4c4d-8e5f-60718293a4b5");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 10_000).await.unwrap();
        (Response::from_parts(parts, ()), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn every_failure_wears_the_envelope() {
        for (method, path, status, error) in [
            ("GET", "/nowhere", 404, "not_found"),
            ("POST", "/denied", 405, "method_not_allowed"),
            ("GET", "/denied", 400, "validation_failed"),
            ("GET", "/panics", 500, "internal"),
            ("GET", "/busy", 503, "overloaded"),
            ("GET", "/who", 401, "unauthenticated"),
        ] {
            let (response, body) = ask(method, path, "*/*").await;
            assert_eq!((response.status().as_u16(), &body["error"]), (status, &json!(error)), "{path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            assert!(body["message"].is_string() && body["details"].is_array(), "{body}");
            assert!(!body.to_string().contains("secret"), "{body}");
            assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
            assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{path}");
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{path}");
        }
    }

    #[tokio::test]
    async fn callers_that_accept_problem_json_get_the_same_code_in_it() {
        for (accept, kind) in [
            ("application/problem+json", "application/problem+json"),
            ("application/json, application/problem+json;q=0.9", "application/problem+json"),
            ("application/problem+json;q=0", "application/json"),
            ("application/json", "application/json"),
        ] {
            let (response, body) = ask("GET", "/denied", accept).await;
            assert_eq!(response.headers()["content-type"], kind, "{accept}");
            assert_eq!(body["error"], "validation_failed");
            assert_eq!(body["details"], json!([{"field": "amount", "reason": "is required"}]));
        }
        let (_, body) = ask("GET", "/denied", "application/problem+json").await;
        assert_eq!((&body["status"], &body["title"]), (&json!(400), &json!("Bad Request")));
    }

    #[test]
    fn a_code_has_one_word_and_busy_ones_say_when_to_come_back() {
        let mut words = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let by_address = matches!(code, Code::ReadingConsentExpired | Code::AliasConsentExpired);
            assert!(words.insert(code.word()) != by_address, "{} stands twice", code.word());
            assert!(code.status().is_client_error() || code.status().is_server_error());
            let busy = matches!(code.status().as_u16(), 429 | 503);
            assert_eq!(code.retry_after().is_some(), busy, "{}", code.word());
        }
    }
}
