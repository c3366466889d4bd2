//! `Prefer: wait=N` (RFC 7240): how long a caller is willing to wait for something worth knowing.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The answer's echo of a preference that was followed.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long a start waits when its caller says nothing, in seconds (rest-api §1).
const USUAL: u64 = 5;
/// The longest wait, in seconds.
const MOST: u64 = 30;

/// The wait that a request asks for, in whole seconds; `None` when it says nothing understandable, as the standard
/// has servers ignore preferences that they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefer(Option<u64>);

impl Prefer {
    /// How long to wait for a milestone.
    pub fn for_milestone(self) -> Duration {
        Duration::from_secs(self.0.unwrap_or(USUAL))
    }

    /// How long to wait for a change, for those who asked to.
    pub fn for_change(self) -> Option<Duration> {
        self.0.filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// Says on an answer that the preference was followed.
    pub fn applied(self, headers: &mut HeaderMap) {
        let Some(seconds) = self.0 else { return };
        if let Ok(value) = HeaderValue::try_from(format!("wait={seconds}")) {
            headers.insert(PREFERENCE_APPLIED, value);
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(read(&parts.headers))
    }
}

fn read(headers: &HeaderMap) -> Prefer {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    let mut preferences =
        values.flat_map(|value| value.split([',', ';'])).filter_map(|part| part.split_once('='));
    let wait = preferences.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"));
    let seconds = wait.and_then(|(_, value)| value.trim().trim_matches('"').parse::<u64>().ok());
    Prefer(seconds.map(|seconds| seconds.min(MOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_up_to_thirty() {
        for (text, expected) in [
            ("wait=0", Some(0)),
            ("wait=10", Some(10)),
            ("respond-async, wait=10", Some(10)),
            ("Wait = \"7\"", Some(7)),
            ("wait=31", Some(30)),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("wait", None),
            ("handling=lenient", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(text));
            assert_eq!(read(&headers), Prefer(expected), "{text}");
        }
        assert_eq!(Prefer(None).for_milestone(), Duration::from_secs(5));
        assert_eq!((Prefer(None).for_change(), Prefer(Some(0)).for_change()), (None, None));
    }

    #[test]
    fn only_a_preference_that_was_given_is_echoed() {
        let mut headers = HeaderMap::new();
        Prefer(None).applied(&mut headers);
        assert!(headers.is_empty());
        Prefer(Some(7)).applied(&mut headers);
        assert_eq!(headers[PREFERENCE_APPLIED], "wait=7");
    }
}
