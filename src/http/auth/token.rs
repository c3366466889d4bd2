//! Tokens: HS256 and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use workflows::time::At;

use super::{Caller, Role};
use crate::config;
use crate::http::error::{Code, Problem};

/// How far the clocks of token issuers may be off, in seconds.
const LEEWAY: f64 = 60.0;

/// So many tokens are remembered at once.
const REMEMBERED: usize = 4_096;

/// SHA-256 of a token: the token itself is not kept.
type Fingerprint = [u8; 32];

/// What a token has to satisfy.
pub struct TokenRules {
    key: DecodingKey,
    checks: Validation,
    /// What tokens claim whose signature was checked before: the key that they were signed with is this process' for its
    /// life. Their times are checked each time.
    signed: Mutex<HashMap<Fingerprint, Arc<Claims>>>,
}

impl TokenRules {
    /// The rules of the settings.
    pub fn new(tokens: &config::Tokens) -> Self {
        // One algorithm and no other, whatever the token's own header says.
        let mut checks = Validation::new(Algorithm::HS256);
        // The library would ask the machine's clock; times are checked below against ours.
        checks.validate_exp = false;
        checks.validate_nbf = false;
        checks.required_spec_claims.clear();
        match &tokens.issuer {
            Some(issuer) => {
                checks.set_issuer(&[issuer]);
                checks.required_spec_claims.insert("iss".to_owned());
            }
            None => checks.iss = None,
        }
        match &tokens.audience {
            Some(audience) => {
                checks.set_audience(&[audience]);
                checks.required_spec_claims.insert("aud".to_owned());
            }
            None => checks.validate_aud = false,
        }
        let key = DecodingKey::from_secret(config::bytes(&tokens.secret));
        TokenRules { key, checks, signed: Mutex::default() }
    }

    /// The caller that a token proves.
    ///
    /// # Errors
    /// `unauthenticated`, never with the reason: it would help a forger.
    pub fn caller(&self, token: &str, now: At) -> Result<Caller, Problem> {
        let claims = self.claims(token)?;
        // A NumericDate may have decimals (RFC 7519 §2); whole seconds of ours are exact in a double for ages.
        #[expect(clippy::cast_precision_loss, reason = "seconds until the year 9999 fit in 52 bits")]
        let now = now.as_secs() as f64;
        let in_time = claims.exp + LEEWAY > now && claims.nbf.is_none_or(|nbf| nbf - LEEWAY <= now);
        let role = claims.role.as_deref().map_or(Ok(Role::User), str::parse::<Role>);
        match role {
            Ok(role) if in_time && role.suits(&claims.sub) => {
                Ok(Caller { subject: claims.sub.clone(), role })
            }
            Ok(_) | Err(_) => Err(Code::Unauthenticated.into()),
        }
    }

    /// What a token claims, whatever the time.
    fn claims(&self, token: &str) -> Result<Arc<Claims>, Problem> {
        let fingerprint: Fingerprint = Sha256::digest(token).into();
        if let Some(claims) = self.remembered().get(&fingerprint) {
            return Ok(Arc::clone(claims));
        }
        let read = jsonwebtoken::decode::<Claims>(token, &self.key, &self.checks)
            .map_err(|_| Problem::from(Code::Unauthenticated))?;
        let claims = Arc::new(read.claims);
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(fingerprint, Arc::clone(&claims));
        Ok(claims)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<Fingerprint, Arc<Claims>>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: Option<String>,
    exp: f64,
    nbf: Option<f64>,
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: i64 = 1_771_833_600;

    fn rules(issuer: Option<&str>, audience: Option<&str>) -> TokenRules {
        TokenRules::new(&config::Tokens {
            secret: SECRET.into(),
            issuer: issuer.map(str::to_owned),
            audience: audience.map(str::to_owned),
        })
    }

    fn token(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap()
    }

    fn accepted(rules: &TokenRules, claims: &Value) -> bool {
        rules.caller(&token(Algorithm::HS256, SECRET, claims), At::from_millis(NOW * 1_000)).is_ok()
    }

    #[test]
    fn a_token_is_believed_in_its_time_and_for_a_subject_of_its_role() {
        let open = rules(None, None);
        for (claims, expected) in [
            (json!({"sub": "usr_1", "role": "user", "exp": NOW + 1}), true),
            (json!({"sub": "usr_1", "exp": NOW + 1}), true),
            (json!({"sub": "usr_1", "role": "user", "exp": 1_771_833_600.5}), true),
            (json!({"sub": "usr_1", "role": "user", "exp": NOW - 59}), true),
            (json!({"sub": "usr_1", "role": "user", "exp": NOW - 60}), false),
            (json!({"sub": "usr_1", "role": "user"}), false),
            (json!({"sub": "usr_1", "role": "user", "exp": "tomorrow"}), false),
            (json!({"sub": "usr_1", "role": "user", "exp": NOW + 1, "nbf": NOW + 60}), true),
            (json!({"sub": "usr_1", "role": "user", "exp": NOW + 900, "nbf": NOW + 61}), false),
            (json!({"sub": "kari", "role": "user", "exp": NOW + 1}), false),
            (json!({"sub": "mer_1", "role": "user", "exp": NOW + 1}), false),
            (json!({"sub": "mer_1", "role": "merchant", "exp": NOW + 1}), true),
            (json!({"sub": "usr_1", "role": "merchant", "exp": NOW + 1}), true),
            (json!({"sub": "ola", "role": "operator", "exp": NOW + 1}), true),
            (json!({"sub": "", "role": "operator", "exp": NOW + 1}), false),
            (json!({"sub": "å".repeat(128), "role": "operator", "exp": NOW + 1}), true),
            (json!({"sub": "å".repeat(129), "role": "operator", "exp": NOW + 1}), false),
            (json!({"sub": "ola\0", "role": "operator", "exp": NOW + 1}), false),
            (json!({"sub": "ola\n", "role": "admin", "exp": NOW + 1}), false),
            (json!({"sub": "usr_1\0", "role": "user", "exp": NOW + 1}), false),
            (json!({"sub": "usr_1", "role": "root", "exp": NOW + 1}), false),
            (json!({"role": "user", "exp": NOW + 1}), false),
        ] {
            assert_eq!(accepted(&open, &claims), expected, "{claims}");
        }
    }

    #[test]
    fn a_token_that_was_believed_once_is_not_for_ever() {
        let rules = rules(None, None);
        let claims = json!({"sub": "usr_1", "exp": NOW + 600, "nbf": NOW});
        let token = token(Algorithm::HS256, SECRET, &claims);
        for (now, expected) in
            [(NOW, true), (NOW + 659, true), (NOW + 660, false), (NOW - 61, false), (NOW, true)]
        {
            assert_eq!(rules.caller(&token, At::from_millis(now * 1_000)).is_ok(), expected, "{now}");
        }
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        for forged in [format!("{unsigned}."), format!("{unsigned}.AAAA"), unsigned.to_owned()] {
            assert!(rules.caller(&forged, At::from_millis(NOW * 1_000)).is_err());
        }
    }

    #[test]
    fn issuer_and_audience_count_when_they_are_set() {
        let closed = rules(Some("drop"), Some("sluse"));
        for (claims, expected) in [
            (json!({"sub": "usr_1", "exp": NOW + 1, "iss": "drop", "aud": "sluse"}), true),
            (json!({"sub": "usr_1", "exp": NOW + 1, "iss": "drop", "aud": ["sluse", "x"]}), true),
            (json!({"sub": "usr_1", "exp": NOW + 1, "iss": "drop"}), false),
            (json!({"sub": "usr_1", "exp": NOW + 1, "aud": "sluse"}), false),
            (json!({"sub": "usr_1", "exp": NOW + 1, "iss": "evil", "aud": "sluse"}), false),
            (json!({"sub": "usr_1", "exp": NOW + 1, "iss": "drop", "aud": "evil"}), false),
        ] {
            assert_eq!(accepted(&closed, &claims), expected, "{claims}");
        }
        assert!(accepted(
            &rules(None, None),
            &json!({"sub": "usr_1", "exp": NOW + 1, "iss": "x", "aud": "y"})
        ));
    }

    #[test]
    fn only_our_signature_by_our_algorithm_counts() {
        let now = At::from_millis(NOW * 1_000);
        let claims = json!({"sub": "usr_1", "role": "admin", "exp": NOW + 1});
        let good = token(Algorithm::HS256, SECRET, &claims);
        let payload = good.split('.').nth(1).unwrap();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        for forged in [
            token(Algorithm::HS384, SECRET, &claims),
            token(Algorithm::HS512, SECRET, &claims),
            token(Algorithm::HS256, "another secret", &claims),
            none,
            good[..good.len() - 2].to_owned(),
            String::new(),
            "a.b.c".to_owned(),
        ] {
            let problem = rules(None, None).caller(&forged, now).unwrap_err();
            assert_eq!(problem.code(), Code::Unauthenticated, "{forged}");
        }
        assert_eq!(rules(None, None).caller(&good, now).unwrap().role, Role::Admin);
    }
}
