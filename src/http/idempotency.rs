//! What makes a start happen once: the caller's key, the route, and a fingerprint of what was asked (FE-37, X-19).

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use serde::Serialize;
use sha2::{Digest, Sha256};
use workers::store::StartKey;

use super::App;
use super::auth::Caller;
use super::error::{Code, Problem};

/// The header that holds the key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that repeats an earlier one.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key.
const MOST: usize = 255;

/// The caller's key. The runbooks' `/api` addresses are called by hand: there, a missing one is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The start that this key stands for. An alias and its canonical address are one `route`.
    ///
    /// # Errors
    /// A request that cannot be written down, which would be a bug.
    pub fn start_key(
        &self,
        caller: &Caller,
        route: &'static str,
        request: &impl Serialize,
    ) -> Result<StartKey, Problem> {
        Ok(StartKey {
            scope: format!("{}|{route}", caller.subject).into(),
            key: self.0.as_str().into(),
            body_hash: fingerprint(request)?.into(),
        })
    }
}

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(IDEMPOTENCY_KEY).into_iter();
        let is_alias = parts.uri.path().starts_with("/api/");
        match (given.next(), given.next()) {
            (Some(key), None) => read(key.as_bytes()),
            (Some(_), Some(_)) => Err(Problem::field(IDEMPOTENCY_KEY.as_str(), "must be given once")),
            (None, _) if is_alias => Ok(IdempotencyKey(format!("alias-{:032x}", app.engine.ids().random()))),
            (None, _) => Err(Code::IdempotencyKeyRequired.into()),
        }
    }
}

fn read(key: &[u8]) -> Result<IdempotencyKey, Problem> {
    let printable = key.iter().all(|byte| (b' '..=b'~').contains(byte));
    match std::str::from_utf8(key) {
        Ok(text) if printable && (1..=MOST).contains(&key.len()) => Ok(IdempotencyKey(text.to_owned())),
        Ok(_) | Err(_) => Err(Problem::field(
            IDEMPOTENCY_KEY.as_str(),
            format!("must have 1 to {MOST} printable ASCII characters"),
        )),
    }
}

/// SHA-256 of what was understood, so that spaces, the order of fields and `100` for `"100.00"` make no difference.
fn fingerprint(request: &impl Serialize) -> Result<String, Problem> {
    let canonical =
        serde_json::to_vec(request).map_err(|error| Problem::internal("write a request down", error))?;
    Ok(hex::encode(Sha256::digest(canonical)))
}

#[cfg(test)]
mod tests {
    use super::super::auth::Role;
    use super::*;

    #[test]
    fn a_key_is_printable_ascii() {
        for (key, expected) in [
            (&b"k"[..], true),
            (b"order 17/2026-02-23", true),
            (&[b'a'; 255], true),
            (&[b'a'; 256], false),
            (b"", false),
            (b"a\tb", false),
            ("nøkkel".as_bytes(), false),
            (&[0xff], false),
        ] {
            assert_eq!(read(key).is_ok(), expected, "{key:?}");
        }
    }

    #[test]
    fn a_key_counts_for_one_caller_and_one_route() {
        let caller = |subject: &str| Caller { subject: subject.to_owned(), role: Role::User };
        let key = IdempotencyKey("k".to_owned());
        let scope = |caller: &Caller, route| key.start_key(caller, route, &()).unwrap().scope;
        assert_eq!(scope(&caller("usr_a"), "remittance"), scope(&caller("usr_a"), "remittance"));
        assert_ne!(scope(&caller("usr_a"), "remittance"), scope(&caller("usr_b"), "remittance"));
        assert_ne!(scope(&caller("usr_a"), "remittance"), scope(&caller("usr_a"), "qr-payment"));
    }
}
