//! Who calls: a token (HS256, in `Authorization` or the cookie `drop_token`) or an API key.
//!
//! Every handler that takes a [`Caller`] is closed to anybody else. What the caller may do follows from the role.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use workflows::ids::{MerchantId, UserId};
use workflows::time::At;

use super::App;
use super::error::{Code, Problem};
use super::validation::Given;
use crate::config;

/// How far the clocks of token issuers may be off, in seconds.
const LEEWAY: f64 = 60.0;
/// The session cookie of the web app (FE-12).
const COOKIE: &str = "drop_token";
/// The longest name of a program or operator, in characters.
const LONGEST_NAME: usize = 128;
/// How every API key begins.
pub const KEY_PREFIX: &str = "sk_";

/// Who calls, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user's or merchant's id, an operator's name, or the name of an API key.
    pub subject: String,
    /// What it may do.
    pub role: Role,
}

/// What a caller may do (FE-13, rest-api §1 and §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Pays from their own accounts.
    User,
    /// Is paid.
    Merchant,
    /// The app's own backend.
    Service,
    /// Reads everything.
    Viewer,
    /// Acts.
    Operator,
    /// Is the second pair of eyes.
    Approver,
    /// Manages keys and settings.
    Admin,
}

impl Role {
    /// Every role with its word.
    pub const ALL: [(&str, Role); 7] = [
        ("user", Role::User),
        ("merchant", Role::Merchant),
        ("service", Role::Service),
        ("viewer", Role::Viewer),
        ("operator", Role::Operator),
        ("approver", Role::Approver),
        ("admin", Role::Admin),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Merchant => "merchant",
            Role::Service => "service",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Approver => "approver",
            Role::Admin => "admin",
        }
    }

    /// Whether somebody of this name can have the role: users are named by their id, shops by theirs or their
    /// owner's. A name goes into histories and start keys: it is short, and without control characters, of which
    /// PostgreSQL refuses NUL together with everything that is written at the same time.
    pub fn suits(self, subject: &str) -> bool {
        let is_user = subject.parse::<UserId>().is_ok();
        match self {
            Role::User => is_user,
            Role::Merchant => is_user || subject.parse::<MerchantId>().is_ok(),
            Role::Service | Role::Viewer | Role::Operator | Role::Approver | Role::Admin => {
                !subject.trim().is_empty()
                    && subject.chars().count() <= LONGEST_NAME
                    && !subject.chars().any(char::is_control)
            }
        }
    }

    /// What [`Role::suits`] asks for, for people.
    pub fn subject_form(self) -> &'static str {
        match self {
            Role::User => "a usr_ id",
            Role::Merchant => "a mer_ or usr_ id",
            Role::Service | Role::Viewer | Role::Operator | Role::Approver | Role::Admin => {
                "a name of at most 128 characters, none of them a control character"
            }
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == word);
        known
            .map(|(_, role)| role)
            .ok_or("must be user, merchant, service, viewer, operator, approver or admin")
    }
}

impl Caller {
    /// The person that the caller is; `None` for programs, shops and operators.
    pub fn user(&self) -> Option<UserId> {
        match self.role {
            Role::User | Role::Merchant => self.subject.parse().ok(),
            Role::Service | Role::Viewer | Role::Operator | Role::Approver | Role::Admin => None,
        }
    }

    /// For whom the caller acts: for itself, or, the app's backend only, for somebody else.
    ///
    /// # Errors
    /// `forbidden` for anybody else, `validation_failed` for a backend that does not say for whom.
    pub fn acts_for(&self, on_behalf_of: Given<UserId>) -> Result<UserId, Problem> {
        match (self.user(), self.role, on_behalf_of) {
            (Some(user), _, Given::Absent | Given::Null) | (None, Role::Service, Given::Value(user)) => {
                Ok(user)
            }
            (None, Role::Service, Given::Absent | Given::Null) => {
                Err(Problem::field("onBehalfOf", "is required for the service role"))
            }
            (_, _, Given::Wrong(reason)) => Err(Problem::field("onBehalfOf", reason)),
            (Some(_), _, Given::Value(_)) => {
                Err(Problem::new(Code::Forbidden, "Only the service role may act on behalf of a user."))
            }
            (None, _, _) => Err(Code::Forbidden.into()),
        }
    }

    /// Whose things the caller may read: one user's, or, backends and operators, everybody's.
    pub fn reads(&self) -> Result<Reach, Problem> {
        match (self.user(), self.role) {
            (Some(user), _) => Ok(Reach::Own(user)),
            (None, Role::Service | Role::Viewer | Role::Operator | Role::Approver | Role::Admin) => {
                Ok(Reach::All)
            }
            (None, Role::User | Role::Merchant) => Err(Code::Forbidden.into()),
        }
    }
}

/// Whose things somebody may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This user's.
    Own(UserId),
    /// Everybody's.
    All,
}

impl Reach {
    /// Whether something of this owner is within it.
    pub fn covers(&self, owner: &str) -> bool {
        match self {
            Reach::Own(user) => user.as_str() == owner,
            Reach::All => true,
        }
    }
}

/// What a token has to satisfy.
pub struct TokenRules {
    key: DecodingKey,
    checks: Validation,
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
        TokenRules { key: DecodingKey::from_secret(config::bytes(&tokens.secret)), checks }
    }

    /// The caller that a token proves.
    ///
    /// # Errors
    /// `unauthenticated`, never with the reason: it would help a forger.
    pub fn caller(&self, token: &str, now: At) -> Result<Caller, Problem> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.checks)
            .map_err(|_| Problem::from(Code::Unauthenticated))?
            .claims;
        // A NumericDate may have decimals (RFC 7519 §2); whole seconds of ours are exact in a double for ages.
        #[expect(clippy::cast_precision_loss, reason = "seconds until the year 9999 fit in 52 bits")]
        let now = now.as_secs() as f64;
        let in_time = claims.exp + LEEWAY > now && claims.nbf.is_none_or(|nbf| nbf - LEEWAY <= now);
        let role = claims.role.as_deref().map_or(Ok(Role::User), str::parse::<Role>);
        match role {
            Ok(role) if in_time && role.suits(&claims.sub) => Ok(Caller { subject: claims.sub, role }),
            Ok(_) | Err(_) => Err(Code::Unauthenticated.into()),
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: Option<String>,
    exp: f64,
    nbf: Option<f64>,
}

/// What is stored of an API key's secret.
pub fn key_hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// What a request shows of its caller.
#[derive(Debug, PartialEq, Eq)]
enum Credential<'a> {
    Key(&'a str),
    Token(&'a str),
    Cookie(&'a str),
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match credential(&parts.headers).ok_or(Code::Unauthenticated)? {
            Credential::Key(secret) => key_caller(app, secret).await,
            Credential::Token(token) => app.settings.tokens.caller(token, app.engine.now()),
            Credential::Cookie(token) => {
                let caller = app.settings.tokens.caller(token, app.engine.now())?;
                let allowed = is_safe(&parts.method) || is_same_site(&parts.headers, &app.settings.origins);
                if allowed {
                    Ok(caller)
                } else {
                    Err(Problem::new(Code::Forbidden, "The request comes from another site."))
                }
            }
        }
    }
}

/// The one credential of a request; `None` when there is none or it is not clear which.
fn credential(headers: &HeaderMap) -> Option<Credential<'_>> {
    let mut given = headers.get_all(header::AUTHORIZATION).into_iter();
    if let Some(value) = given.next() {
        let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
        let secret = secret.trim();
        let clear = given.next().is_none() && scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty();
        let shown = if secret.starts_with(KEY_PREFIX) { Credential::Key } else { Credential::Token };
        return clear.then_some(shown(secret));
    }
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut tokens = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, value)| *name == COOKIE && !value.is_empty());
    let token = tokens.next()?.1;
    tokens.next().is_none().then_some(Credential::Cookie(token))
}

async fn key_caller(app: &App, secret: &str) -> Result<Caller, Problem> {
    let now = app.engine.now();
    let key = app.registry.api_key(&key_hash(secret)).await?.ok_or(Code::Unauthenticated)?;
    let usable = key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now);
    match key.role.parse::<Role>() {
        Ok(role) if usable && role.suits(&key.subject) => Ok(Caller { subject: key.subject, role }),
        Ok(_) | Err(_) => Err(Code::Unauthenticated.into()),
    }
}

/// The app's own backend, which registers people, accounts and prices. Decided before the body is looked at.
pub struct Backend;

impl FromRequestParts<App> for Backend {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if caller.role == Role::Service { Ok(Backend) } else { Err(Code::Forbidden.into()) }
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request that a browser sends with its cookies was made by a page of ours. Browsers say where a request that
/// writes comes from in two ways, and no page can change or leave out both. Who says neither is no browser: the web
/// app's own server, which was given the cookie.
fn is_same_site(headers: &HeaderMap, origins: &[String]) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    match (text(header::ORIGIN), site) {
        (Some(origin), Some("cross-site") | None) => origins.iter().any(|ours| ours == origin),
        (Some(_) | None, Some("same-origin" | "none")) | (None, None) => true,
        (Some(origin), Some(_)) => origins.iter().any(|ours| ours == origin),
        (None, Some(_)) => false,
    }
}

/// The origins of addresses, as browsers write them; an app's own scheme has none.
pub fn origins<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Vec<String> {
    let written = |url: &Url| {
        let origin = url.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    };
    urls.into_iter().filter_map(written).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};
    use workers::registry::ApiKey;

    use super::super::testing::Front;
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

    #[tokio::test]
    async fn a_key_is_believed_for_a_subject_of_its_role() {
        let front = Front::open().await;
        for (n, (subject, status)) in [
            ("drop-app".to_owned(), StatusCode::OK),
            ("a".repeat(128), StatusCode::OK),
            ("a".repeat(129), StatusCode::UNAUTHORIZED),
            ("drop\0app".to_owned(), StatusCode::UNAUTHORIZED),
            ("drop\u{85}app".to_owned(), StatusCode::UNAUTHORIZED),
            (" ".to_owned(), StatusCode::UNAUTHORIZED),
        ]
        .into_iter()
        .enumerate()
        {
            let secret = format!("{KEY_PREFIX}{n}");
            let key = ApiKey {
                id: format!("key_{n}"),
                secret_hash: key_hash(&secret),
                subject: subject.clone(),
                role: "service".to_owned(),
                expires_at: None,
                created_at: At::EPOCH,
                revoked_at: None,
            };
            front.app.registry.put_api_key(&key).await.unwrap();
            let (answered, _) = front.ask(Method::GET, "/v1/transactions", Some(&secret), "").await;
            assert_eq!(answered, status, "{subject:?}");
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

    #[test]
    fn one_request_shows_one_credential() {
        let headers = |lines: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                let name: header::HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        for (lines, expected) in [
            (&[("authorization", "Bearer a.b.c")][..], Some(Credential::Token("a.b.c"))),
            (&[("authorization", "bearer sk_x")], Some(Credential::Key("sk_x"))),
            (&[("cookie", "a=1; drop_token=t")], Some(Credential::Cookie("t"))),
            (&[("authorization", "Bearer a"), ("cookie", "drop_token=t")], Some(Credential::Token("a"))),
            (&[("authorization", "Basic a"), ("cookie", "drop_token=t")], None),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("cookie", "drop_token=a; drop_token=b")], None),
            (&[("cookie", "xdrop_token=a")], None),
            (&[], None),
        ] {
            assert_eq!(credential(&headers(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_moves_nothing_from_another_site() {
        let ours = ["https://app.example".to_owned()];
        for (origin, site, expected) in [
            (None, Some("same-origin"), true),
            (None, None, true),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("https://app.example"), None, true),
            (Some("https://app.example"), Some("cross-site"), true),
            (Some("https://evil.example"), None, false),
            (Some("https://evil.example"), Some("same-site"), false),
            (Some("null"), Some("cross-site"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_same_site(&headers, &ours), expected, "{origin:?} {site:?}");
        }
    }

    #[test]
    fn the_backend_acts_for_somebody_and_nobody_else_does() {
        let caller = |subject: &str, role| Caller { subject: subject.to_owned(), role };
        let kari: UserId = "usr_kari".parse().unwrap();
        let given = || Given::Value(kari.clone());
        for (caller, on_behalf_of, code) in [
            (caller("usr_kari", Role::User), Given::Absent, None),
            (caller("usr_kari", Role::Merchant), Given::Absent, None),
            (caller("drop-app", Role::Service), given(), None),
            (caller("drop-app", Role::Service), Given::Absent, Some(Code::ValidationFailed)),
            (caller("usr_kari", Role::User), given(), Some(Code::Forbidden)),
            (caller("mer_1", Role::Merchant), Given::Absent, Some(Code::Forbidden)),
            (caller("ola", Role::Operator), given(), Some(Code::Forbidden)),
            (caller("usr_ola", Role::Admin), Given::Absent, Some(Code::Forbidden)),
        ] {
            match (caller.acts_for(on_behalf_of), code) {
                (Ok(user), None) => assert_eq!(user, kari),
                (Err(problem), Some(code)) => assert_eq!(problem.code(), code, "{caller:?}"),
                (result, _) => panic!("{caller:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn every_role_reads_back() {
        for (word, role) in Role::ALL {
            assert_eq!((word.parse(), role.word()), (Ok(role), word));
        }
    }
}
