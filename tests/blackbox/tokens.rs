//! The tokens that callers bring: good ones, and every kind that must not open a door.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What the service is told as `JWT_SECRET`.
pub const SECRET: &str = "a-secret-of-the-tests-with-more-than-32-bytes";
/// Far enough: the first of January 2100.
const FAR: i64 = 4_102_444_800;

/// A token that is as it should be.
pub fn token(subject: &str, role: &str) -> String {
    signed(&json!({ "sub": subject, "role": role, "exp": FAR }), SECRET, Algorithm::HS256)
}

/// The app's own backend.
pub fn service() -> String {
    token("app-backend", "service")
}

fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(algorithm), claims, &key).expect("HMAC takes any key")
}

/// Values of `Authorization` that prove nothing, with what is wrong with each.
pub fn bad(subject: &str) -> Vec<(&'static str, String)> {
    let claims = json!({ "sub": subject, "role": "user", "exp": FAR });
    let good = token(subject, "user");
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = head.split_once('.').expect("three parts");
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |claims: &Value| signed(claims, SECRET, Algorithm::HS256);
    let another = part(&json!({ "sub": "usr_somebody_else", "role": "admin", "exp": FAR }));
    let tokens = vec![
        ("no algorithm", format!("{}.{payload}.", part(&json!({ "alg": "none", "typ": "JWT" })))),
        ("no algorithm, in capitals", format!("{}.{payload}.", part(&json!({ "alg": "NONE" })))),
        (
            "no algorithm, signature kept",
            format!("{}.{payload}.{signature}", part(&json!({ "alg": "none" }))),
        ),
        ("another secret", signed(&claims, "another-secret-with-more-than-32-bytes-in-it", Algorithm::HS256)),
        ("an empty secret", signed(&claims, "", Algorithm::HS256)),
        ("HS384", signed(&claims, SECRET, Algorithm::HS384)),
        ("HS512", signed(&claims, SECRET, Algorithm::HS512)),
        ("RS256 in the header", format!("{}.{payload}.{signature}", part(&json!({ "alg": "RS256" })))),
        (
            "a key in the header",
            format!(
                "{}.{payload}.{signature}",
                part(&json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "" } }))
            ),
        ),
        ("expired long ago", with(&json!({ "sub": subject, "role": "user", "exp": 1_000_000_000 }))),
        ("no expiry", with(&json!({ "sub": subject, "role": "user" }))),
        ("expiry is text", with(&json!({ "sub": subject, "role": "user", "exp": "4102444800" }))),
        ("expiry is null", with(&json!({ "sub": subject, "role": "user", "exp": null }))),
        ("not valid yet", with(&json!({ "sub": subject, "role": "user", "exp": FAR, "nbf": FAR - 60 }))),
        ("no subject", with(&json!({ "role": "user", "exp": FAR }))),
        ("an empty subject", with(&json!({ "sub": "", "role": "user", "exp": FAR }))),
        ("no user's subject", with(&json!({ "sub": "somebody", "role": "user", "exp": FAR }))),
        ("an unknown role", with(&json!({ "sub": subject, "role": "root", "exp": FAR }))),
        ("a list of roles", with(&json!({ "sub": subject, "role": ["user", "admin"], "exp": FAR }))),
        ("another payload", format!("{header}.{another}.{signature}")),
        ("no signature", format!("{head}.")),
        ("two parts", head.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        ("an unknown API key", format!("sk_{}", "0".repeat(43))),
        ("the prefix of an API key", "sk_".to_owned()),
    ];
    let mut values: Vec<_> =
        tokens.into_iter().map(|(why, token)| (why, format!("Bearer {token}"))).collect();
    values.extend([
        ("nothing after the scheme", "Bearer ".to_owned()),
        ("the bare scheme", "Bearer".to_owned()),
        ("another scheme", format!("Basic {good}")),
        ("no scheme", good.clone()),
        ("an empty header", String::new()),
        ("two tokens", format!("Bearer {good}, Bearer {good}")),
    ]);
    values
}
