//! The seam on reqwest: rustls, no proxy, no redirect, nothing sent twice behind anybody's back, nothing sent before
//! its turn.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::Extensions;
use reqwest::redirect;
use reqwest::{Client, Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{
    Jitter, RetryError, RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_failure,
};
use thiserror::Error;

use super::{
    BAD_ADDRESS, BAD_REQUEST, BODY_LIMIT, HttpFault, HttpPort, HttpReply, HttpRequest, NO_TURN, Sendings,
};
use crate::limits::{Pass, Turns};

/// How patient a [`Wire`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For a connection, name resolution and TLS included (PI-09: 5 s).
    pub connect: Duration,
    /// For the next byte of an answer (PI-09: 30 s). The first is waited for from the start, so a value below
    /// `connect` makes a connection that does not come about an unknown outcome.
    pub read: Duration,
    /// Before a read is sent the second time; doubled before the third and the fourth (profile: 1 s).
    pub retry_base: Duration,
}

/// Why no connection can be made at all.
#[derive(Debug, Error)]
pub enum Unusable {
    /// The base address is none.
    #[error("the base address must be http:// or https:// with a host and without user, query or fragment")]
    Address,
    /// TLS could not be set up.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Connections to one provider.
pub struct Wire {
    base: String,
    once: Client,
    again: ClientWithMiddleware,
}

impl Wire {
    /// For the provider at `base`, such as `https://api.neonomics.io`. Opens no connection yet.
    pub fn open(base: &str, waits: Waits) -> Result<Self, Unusable> {
        let url = Url::parse(base).map_err(|_| Unusable::Address)?;
        let anonymous = url.username().is_empty() && url.password().is_none();
        let only_path = url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !anonymous || !only_path {
            return Err(Unusable::Address);
        }
        // One connection per call: when HTTP/2 loses a connection, it loses every payment that is under way on it.
        let once = Client::builder()
            .http1_only()
            .tls_backend_rustls()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(waits.connect)
            .read_timeout(waits.read)
            // Shorter than common servers keep a silent connection, so that few requests meet a closing one.
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(16)
            .tcp_keepalive(Duration::from_secs(15))
            .build()
            .map_err(Unusable::Client)?;
        let ladder = ExponentialBackoff::builder()
            .retry_bounds(waits.retry_base, waits.retry_base.saturating_mul(4))
            .jitter(Jitter::Bounded)
            .build_with_max_retries(READ_RETRIES);
        let again = ClientBuilder::new(once.clone())
            .with(RetryTransientMiddleware::new_with_policy_and_strategy(ladder, Passing))
            .with(InTurn)
            .build();
        Ok(Wire { base: url.as_str().trim_end_matches('/').to_owned(), once, again })
    }

    fn url(&self, target: &str) -> Result<Url, HttpFault> {
        let url =
            Url::parse(&format!("{}{target}", self.base)).map_err(|_| HttpFault::NotSent(BAD_ADDRESS))?;
        // A parser that turns `/a/../b` into `/b`, or the base into a user's name, would ask about something else than
        // was meant, or somebody else.
        if target.starts_with('/') && url.as_str().strip_prefix(&self.base) == Some(target) {
            Ok(url)
        } else {
            Err(HttpFault::NotSent(BAD_ADDRESS))
        }
    }
}

#[async_trait]
impl HttpPort for Wire {
    async fn send(
        &self,
        request: HttpRequest,
        pass: &Pass,
        timeout: Duration,
    ) -> Result<HttpReply, HttpFault> {
        let url = self.url(&request.target)?;
        let HttpRequest { method, headers, body, sendings, .. } = request;
        let turns = pass.turns();
        let mut time = pin!(tokio::time::sleep(timeout));
        tokio::select! {
            biased;
            () = turns.come() => {}
            () = &mut time => return Err(HttpFault::NotSent(NO_TURN)),
        }
        let sent = async {
            match sendings {
                Sendings::One => {
                    turns.leave().await;
                    let response =
                        self.once.request(method, url).headers(headers).body(body).timeout(timeout).send();
                    read(response.await.map_err(|error| fault(&error))?).await
                }
                Sendings::Several => {
                    let request =
                        self.again.request(method, url).headers(headers).body(body).timeout(timeout);
                    let response = request.with_extension(turns).send();
                    read(response.await.map_err(|error| last_fault(&error))?).await
                }
            }
        };
        tokio::select! {
            biased;
            reply = sent => reply,
            () = &mut time => Err(HttpFault::Unknown("no answer in time")),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Retries of a read after the first attempt (profile: 3).
const READ_RETRIES: u32 = 3;

/// What may pass by itself. "Too many calls" is not of that kind: the provider says when to come back, and whoever
/// asked hears it.
struct Passing;

impl RetryableStrategy for Passing {
    fn handle(&self, outcome: &Result<Response, reqwest_middleware::Error>) -> Option<Retryable> {
        match outcome {
            Ok(response) => {
                matches!(response.status().as_u16(), 500 | 502 | 503 | 504).then_some(Retryable::Transient)
            }
            Err(error) => default_on_request_failure(error),
        }
    }
}

/// Sends each time when its turn has come.
struct InTurn;

#[async_trait]
impl Middleware for InTurn {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if let Some(turns) = extensions.get::<Turns>().cloned() {
            turns.leave().await;
        }
        next.run(request, extensions).await
    }
}

async fn read(mut response: Response) -> Result<HttpReply, HttpFault> {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = body(&mut response).await?;
    Ok(HttpReply { status, headers, body })
}

async fn body(response: &mut Response) -> Result<Bytes, HttpFault> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken_off(&error))? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(HttpFault::Unknown("the answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A connection error is one that hyper reports before it has a connection to write to: name resolution, TCP, TLS or
/// the time for all three. Everything else may have come after the first byte.
fn fault(error: &reqwest::Error) -> HttpFault {
    if error.is_builder() {
        HttpFault::NotSent(BAD_REQUEST)
    } else if error.is_dns() {
        HttpFault::NotSent("the name could not be resolved")
    } else if error.is_connect() && error.is_timeout() {
        HttpFault::NotSent("no connection in time")
    } else if error.is_connect() {
        HttpFault::NotSent("no connection")
    } else if error.is_timeout() {
        HttpFault::Unknown("no answer in time")
    } else {
        HttpFault::Unknown("the connection broke before an answer")
    }
}

/// Of a request that was sent several times the last attempt speaks; such requests have no effect that could be
/// repeated.
fn last_fault(error: &reqwest_middleware::Error) -> HttpFault {
    match error {
        reqwest_middleware::Error::Reqwest(error) => fault(error),
        reqwest_middleware::Error::Middleware(wrapped) => match wrapped.downcast_ref::<RetryError>() {
            Some(RetryError::WithRetries { err, .. } | RetryError::Error(err)) => last_fault(err),
            None => HttpFault::Unknown("the connection broke before an answer"),
        },
    }
}

fn broken_off(error: &reqwest::Error) -> HttpFault {
    HttpFault::Unknown(if error.is_timeout() { "no answer in time" } else { "the answer broke off" })
}

#[cfg(test)]
mod tests;
