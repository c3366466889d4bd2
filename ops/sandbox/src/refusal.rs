//! An answer that says no, as the contract writes it: `tppMessages` with a code.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::banks::BankId;

/// Why a request was not done, and the HTTP status that says so.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) bank: Option<BankId>,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &str, text: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), text: text.into(), bank: None, retry_after_s: None }
    }

    /// 400 `FORMAT_ERROR`: the request is not what the contract describes.
    pub(crate) fn format(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "FORMAT_ERROR", text)
    }

    /// 404 `RESOURCE_UNKNOWN`.
    pub(crate) fn unknown(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN", format!("no such {what}"))
    }

    /// 409 `STATUS_INVALID`: the resource is in a state that forbids it.
    pub(crate) fn status_invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "STATUS_INVALID", text)
    }

    /// 405 `SERVICE_INVALID`: this bank does not offer the call.
    pub(crate) fn not_offered(what: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "SERVICE_INVALID", format!("this bank offers no {what}"))
    }

    pub(crate) fn at(mut self, bank: &BankId) -> Self {
        self.bank = Some(bank.clone());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after_s = seconds;
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body =
            json!({ "tppMessages": [{ "category": "ERROR", "code": self.code, "text": self.text }] });
        if let (Some(bank), Some(fields)) = (self.bank, body.as_object_mut()) {
            fields.insert("bank".to_owned(), json!(bank));
        }
        let mut answer = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}
