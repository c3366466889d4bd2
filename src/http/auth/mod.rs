//! Who calls: a token (HS256, in `Authorization` or the cookie `drop_token`) or an API key.
//!
//! Every handler that takes a [`Caller`] is closed to anybody else. What the caller may do follows from the role.

mod credential;
mod role;
mod token;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use workflows::ids::UserId;

pub use self::credential::origins;
use self::credential::{Credential, credential, is_safe, is_same_site};
pub use self::role::Role;
pub use self::token::TokenRules;
use super::App;
use super::error::{Code, Problem};
use super::validation::Given;
use crate::desk::Person;

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

/// What is stored of an API key's secret.
pub fn key_hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
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

/// Whoever reads what operators see.
pub struct Onlooker(Role);

impl Onlooker {
    /// Whether they may read what people wrote about other people. Viewers read with personal data left out (rest-api
    /// §6).
    pub fn reads_private(&self) -> bool {
        self.0 != Role::Viewer
    }
}

impl FromRequestParts<App> for Onlooker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await?.role {
            role @ (Role::Viewer | Role::Operator | Role::Approver | Role::Admin) => Ok(Onlooker(role)),
            Role::User | Role::Merchant | Role::Service => Err(Code::Forbidden.into()),
        }
    }
}

/// Declares callers who act, by the roles that may be it. Decided before the body is looked at.
macro_rules! staff {
    ($($(#[$doc:meta])* $name:ident = $($role:ident)|+;)+) => {$(
        $(#[$doc])*
        pub struct $name(Caller);

        impl $name {
            /// Who it is.
            pub fn person(&self) -> Person<'_> {
                Person { name: &self.0.subject, role: self.0.role.word() }
            }
        }

        impl FromRequestParts<App> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                let caller = Caller::from_request_parts(parts, app).await?;
                if matches!(caller.role, $(Role::$role)|+) { Ok($name(caller)) } else { Err(Code::Forbidden.into()) }
            }
        }
    )+};
}

staff! {
    /// Whoever acts; an approver has the rights of an operator (rest-api §6).
    Operator = Operator | Approver | Admin;
    /// The second pair of eyes.
    Approver = Approver | Admin;
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use workers::registry::ApiKey;
    use workflows::time::At;

    use super::super::testing::Front;
    use super::*;

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
}
