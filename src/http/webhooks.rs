//! What providers push: the bytes are proven, kept, and answered; they are applied afterwards (rest-api §4).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde::Serialize;
use sha2::Sha256;
use utoipa::ToSchema;

use super::App;
use super::body;
use super::error::{Code, Problem};
use crate::config;

/// The most that a notice may have (rest-api §1).
const MOST_BYTES: usize = 1024 * 1024;
/// Where the signature stands (provider profile, optional push).
const SIGNATURE: &str = "x-signature";
/// Under which name its notices are kept.
const NEONOMICS: &str = "neonomics";

/// The keys that a provider may have signed with: the current one and, while they are being changed, the one before.
#[derive(Clone)]
pub struct Signers(Arc<[Hmac<Sha256>]>);

impl Signers {
    /// With these secrets; without any, nothing is believed.
    pub fn new(secrets: &[SecretString]) -> Self {
        let keyed = |secret: &SecretString| Hmac::new_from_slice(config::bytes(secret)).ok();
        Signers(secrets.iter().filter_map(keyed).collect())
    }

    /// Whether one of the keys made this signature, hex(HMAC-SHA256(key, body)), compared in constant time.
    fn believe(&self, signature: &[u8], body: &[u8]) -> bool {
        // Every key is tried, so that the time says nothing about which one it was.
        self.0.iter().fold(false, |believed, key| {
            let mut mac = key.clone();
            mac.update(body);
            believed | mac.verify_slice(signature).is_ok()
        })
    }
}

/// A notice was taken.
#[derive(Serialize, ToSchema)]
pub struct Received {
    /// Always `true`: anything else is an error.
    received: bool,
}

const RECEIVED: axum::Json<Received> = axum::Json(Received { received: true });

/// Whether notices of payments can be pushed here.
#[utoipa::path(get, path = "/v1/webhooks/neonomics", tag = "Webhooks", operation_id = "reachNeonomicsWebhook", security(()),
    responses((status = 200, body = Received)))]
pub async fn reach() -> axum::Json<Received> {
    RECEIVED
}

/// Take a notice about a payment. It proves nothing: it has the payment's status asked for.
///
/// Signed as `X-Signature: hex(HMAC-SHA256(secret, body))` over the bytes of the body. A notice is kept before it is
/// answered; one that comes again is answered alike and applied once.
#[utoipa::path(post, path = "/v1/webhooks/neonomics", tag = "Webhooks", operation_id = "pushNeonomicsNotice", security(()),
    params(("X-Signature" = String, Header, description = "hex(HMAC-SHA256(secret, body))")),
    request_body(content = String, description = "eventId, paymentId, transactionStatus, occurredAt", content_type = "application/json"),
    responses(
        (status = 200, description = "Kept, or known already", body = Received),
        (status = 401, description = "`unauthenticated`: the signature is missing or wrong"),
        (status = 413, description = "`payload_too_large`"),
    ))]
pub async fn receive(State(app): State<App>, request: Request) -> Result<axum::Json<Received>, Problem> {
    let signature = signature(request.headers());
    let body = body::read(request, MOST_BYTES).await?;
    let proven = signature.is_some_and(|signature| app.settings.signers.believe(&signature, &body));
    if !proven {
        return Err(Code::Unauthenticated.into());
    }
    app.desk.receive(NEONOMICS, &body).await?;
    Ok(RECEIVED)
}

/// The one signature of a request, if it is well formed.
fn signature(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut given = headers.get_all(SIGNATURE).into_iter();
    let signature = hex::decode(given.next()?.as_bytes()).ok()?;
    given.next().is_none().then_some(signature)
}

#[cfg(test)]
mod tests;
