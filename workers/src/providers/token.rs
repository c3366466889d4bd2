//! Who we are to the provider: nobody, a key, or a token that is fetched, kept for as long as it says, and fetched
//! once for all who wait for it.
//!
//! The one rule: without a token nothing of a payment leaves, so a token that cannot be had is never an unknown
//! outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderName, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::debug;
use uuid::Uuid;
use workflows::engine::{Class, Refusal};
use workflows::time::At;

use super::http::{HttpFault, HttpPort, HttpReply, HttpRequest, is_own_fault};
use super::outcome::{Outcome, Setback};
use crate::limits::Pass;
use crate::ports::{Clock, Ids};

/// Where the authorisation of a call comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The provider asks for none.
    None,
    /// A key that is sent as it is.
    StaticKey(SecretString),
    /// `POST /auth/token` with `grant_type=client_credentials` (RFC 6749 §4.4).
    ClientCredentials {
        /// Our name at the provider.
        id: String,
        /// Its secret.
        secret: SecretString,
    },
}

/// The authorisations of one provider.
pub(super) struct Tokens {
    source: TokenSource,
    http: Arc<dyn HttpPort>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    held: Mutex<Held>,
    /// Fetches that came to an end, well or not.
    fetches: AtomicU64,
}

/// What one call is authorised with.
#[derive(Clone)]
pub(super) struct Bearer {
    header: Option<HeaderValue>,
    fetch: u64,
}

impl Bearer {
    /// The request as this bearer's.
    pub(super) fn sign(&self, mut request: HttpRequest) -> HttpRequest {
        if let Some(header) = &self.header {
            request.headers.insert(AUTHORIZATION, header.clone());
        }
        request
    }
}

impl Tokens {
    pub(super) fn new(
        source: TokenSource,
        http: Arc<dyn HttpPort>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        let held = Mutex::new(Held { bearer: None, last: Ok(()) });
        Tokens { source, http, clock, ids, held, fetches: AtomicU64::new(0) }
    }

    /// An authorisation, fetched if there is none at hand.
    pub(super) async fn bearer(&self, pass: &Pass, within: Duration) -> Outcome<Bearer> {
        match &self.source {
            TokenSource::None => Ok(Bearer { header: None, fetch: 0 }),
            TokenSource::StaticKey(key) => {
                Ok(Bearer { header: Some(header(key.expose_secret()).ok_or(UNUSABLE)?), fetch: 0 })
            }
            TokenSource::ClientCredentials { id, secret } => {
                self.shared(Credentials { id, secret }, None, (pass, within)).await
            }
        }
    }

    /// Another authorisation than `spent`, which the provider refused; `None` where there can be no other.
    pub(super) async fn another(
        &self,
        spent: &Bearer,
        pass: &Pass,
        within: Duration,
    ) -> Outcome<Option<Bearer>> {
        match &self.source {
            TokenSource::None | TokenSource::StaticKey(_) => Ok(None),
            TokenSource::ClientCredentials { id, secret } => {
                self.shared(Credentials { id, secret }, Some(spent.fetch), (pass, within)).await.map(Some)
            }
        }
    }

    /// The token at hand, or the result of the one fetch that all who came in the meantime wait for.
    async fn shared(
        &self,
        who: Credentials<'_>,
        spent: Option<u64>,
        (pass, within): (&Pass, Duration),
    ) -> Outcome<Bearer> {
        let seen = self.fetches.load(Ordering::Acquire);
        let waited = tokio::time::timeout(within, async {
            let mut held = self.held.lock().await;
            if let Some(bearer) = held.usable(self.clock.now(), spent) {
                return Ok(bearer);
            }
            if self.fetches.load(Ordering::Acquire) != seen {
                held.last.clone()?;
            }
            let fetched = self.fetch(who, pass, within).await;
            let fetch = self.fetches.fetch_add(1, Ordering::AcqRel) + 1;
            held.keep(fetched, fetch)
        });
        waited.await.unwrap_or(Err(Setback::NotSent("no token in time")))
    }

    async fn fetch(&self, who: Credentials<'_>, pass: &Pass, within: Duration) -> Outcome<Fetched> {
        let request_id = Uuid::from_u128(self.ids.random()).to_string();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", who.id),
            ("client_secret", who.secret.expose_secret()),
        ];
        let request = HttpRequest::new(Method::POST, "/auth/token")
            .with(HeaderName::from_static("x-request-id"), &request_id)?
            .form(&fields)
            .several();
        let asked = self.clock.now();
        let outcome = match self.http.send(request, pass, within).await {
            Ok(reply) => {
                debug!(operation = "token", status = reply.status.as_u16(), "provider call");
                fetched(&reply, asked)
            }
            Err(HttpFault::NotSent(why)) if is_own_fault(why) => Err(Setback::NotSent(why)),
            // Whether the request for a token left or not: the payment did not.
            Err(HttpFault::NotSent(_) | HttpFault::Unknown(_)) => Err(Setback::NotSent("no token")),
        };
        if let Err(setback) = &outcome {
            debug!(operation = "token", finding = setback.word(), "no token from the provider");
        }
        outcome
    }
}

const UNUSABLE: Setback = Setback::NotSent("the key does not fit into a header");

/// What a lifetime is cut by at most, so that a token does not expire between us and the provider.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
struct Credentials<'a> {
    id: &'a str,
    secret: &'a SecretString,
}

struct Held {
    bearer: Option<(Bearer, At)>,
    last: Outcome<()>,
}

impl Held {
    fn usable(&self, now: At, spent: Option<u64>) -> Option<Bearer> {
        let (bearer, until) = self.bearer.as_ref()?;
        (now < *until && spent != Some(bearer.fetch)).then(|| bearer.clone())
    }

    fn keep(&mut self, fetched: Outcome<Fetched>, fetch: u64) -> Outcome<Bearer> {
        self.bearer = None;
        match fetched {
            Ok(Fetched { header, until }) => {
                let bearer = Bearer { header: Some(header), fetch };
                self.bearer = Some((bearer.clone(), until));
                self.last = Ok(());
                Ok(bearer)
            }
            Err(setback) => {
                self.last = Err(setback.clone());
                Err(setback)
            }
        }
    }
}

struct Fetched {
    header: HeaderValue,
    until: At,
}

/// RFC 6749 §5.1. A token without a lifetime serves the call it was fetched for.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
    token_type: Option<String>,
}

fn fetched(reply: &HttpReply, asked: At) -> Outcome<Fetched> {
    if reply.status != StatusCode::OK {
        return Err(refused(reply));
    }
    let odd = Setback::NotSent("the token's answer is not readable");
    let granted: Granted = serde_json::from_slice(&reply.body).map_err(|_| odd.clone())?;
    if !granted.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(odd);
    }
    let header = header(&granted.access_token).ok_or(odd)?;
    let lifetime = Duration::from_secs(granted.expires_in);
    Ok(Fetched { header, until: asked.plus(lifetime.saturating_sub(MARGIN.min(lifetime / 10))) })
}

/// RFC 6749 §5.2: 401, and by some 400 or 403, when it is us who are not known.
fn refused(reply: &HttpReply) -> Setback {
    #[derive(Deserialize)]
    struct Denied {
        error: String,
    }
    let denied = serde_json::from_slice::<Denied>(&reply.body).ok();
    let ours = denied
        .is_some_and(|denied| matches!(denied.error.as_str(), "invalid_client" | "unauthorized_client"));
    match reply.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => credential(),
        StatusCode::BAD_REQUEST if ours => credential(),
        _ => Setback::NotSent("no token"),
    }
}

fn credential() -> Setback {
    Setback::Refused(Refusal { code: "invalid_client".to_owned(), class: Class::Credential })
}

fn header(token: &str) -> Option<HeaderValue> {
    if token.is_empty() {
        return None;
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests;
