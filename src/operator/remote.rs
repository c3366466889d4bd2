//! The running service, over HTTP.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Call;
use crate::config;

/// Longer than anything that the service takes its time for.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running service, and as whom it is asked.
pub(super) struct Remote {
    http: Client,
    base: Url,
    key: SecretString,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Nobody would be asking.
    #[error("SLUSE_API_KEY is not set: make a key with `sluse keys create --role operator --subject NAME`")]
    NoKey,
    /// No address that can be asked.
    #[error("SLUSE_URL cannot be used")]
    Address,
    /// The service did not answer.
    #[error("the service did not answer")]
    Unanswered(#[source] reqwest::Error),
    /// It said no.
    #[error("{}", sentence(*.status, body))]
    Answer {
        /// Its status.
        status: StatusCode,
        /// What it said.
        body: Value,
    },
}

impl Remote {
    pub(super) fn new(settings: &config::Remote) -> Result<Self, Refused> {
        let key = settings.key.clone().ok_or(Refused::NoKey)?;
        let base = Url::parse(&settings.url).map_err(|_| Refused::Address)?;
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build();
        Ok(Remote { http: http.map_err(Refused::Unanswered)?, base, key })
    }

    /// Makes one call. It is not repeated: whoever gave the command sees what became of it.
    pub(super) async fn ask(&self, call: Call) -> Result<Value, Refused> {
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| Refused::Address)?.pop_if_empty().push("v1").extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.http.request(call.method, url).bearer_auth(self.key.expose_secret());
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| Refused::Unanswered(error.without_url()))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| Refused::Unanswered(error.without_url()))?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() { Ok(body) } else { Err(Refused::Answer { status, body }) }
    }
}

impl Refused {
    /// The exit code, the same for ever.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Refused::NoKey | Refused::Address => 2,
            Refused::Unanswered(_) => 1,
            Refused::Answer { status, .. } => match *status {
                StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => 2,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => 3,
                StatusCode::NOT_FOUND => 4,
                StatusCode::CONFLICT => 5,
                _ => 1,
            },
        }
    }
}

/// What the service said, for people: its message and the fields at fault.
fn sentence(status: StatusCode, body: &Value) -> String {
    let message = body["message"].as_str().unwrap_or("the service gave no reason");
    let fields: Vec<String> = body["details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| Some(format!("{} {}", detail["field"].as_str()?, detail["reason"].as_str()?)))
        .collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join("; ")) };
    format!("{}: {message}{fields}", status.as_u16())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exit_codes_say_whose_fault_it_is() {
        for (status, code) in [(400, 2), (401, 3), (403, 3), (404, 4), (409, 5), (429, 1), (500, 1), (503, 1)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Refused::Answer { status, body: Value::Null }.exit_code(), code, "{status}");
        }
    }

    #[test]
    fn a_refusal_is_shown_with_the_fields_at_fault() {
        let body = json!({"error": "validation_failed", "message": "Some fields are wrong.",
            "details": [{"field": "mode", "reason": "must be live"}]});
        assert_eq!(
            sentence(StatusCode::BAD_REQUEST, &body),
            "400: Some fields are wrong. (mode must be live)"
        );
        assert_eq!(sentence(StatusCode::BAD_GATEWAY, &Value::Null), "502: the service gave no reason");
    }
}
