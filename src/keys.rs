//! API keys: made and revoked on the command line, shown once, stored as a hash (rest-api §1).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use workers::ports::{Ids, SystemIds};
use workers::registry::ApiKey;
use workers::store::{self, Database, Migrations, OpenError, Options, Purpose, Trouble};
use workflows::time::At;

use crate::config;
use crate::http::{KEY_PREFIX, Role, key_hash};

/// What to do about keys.
#[derive(Subcommand)]
pub enum Command {
    /// Make a key and print it, once.
    Create {
        /// What its holder may do: user, merchant, service, viewer, operator, approver or admin.
        #[arg(long)]
        role: Role,
        /// What its holder is called in the history; an id for users and merchants.
        #[arg(long)]
        subject: String,
        /// How long it is valid, such as 90d; for ever when absent.
        #[arg(long, value_parser = config::some_duration)]
        expires: Option<Duration>,
    },
    /// Revoke a key by its public id.
    Revoke {
        /// The id that `create` printed.
        id: String,
    },
}

/// Why a key was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No database.
    #[error("could not open the database")]
    Open(#[from] OpenError),
    /// The database did not take it.
    #[error("could not store the key")]
    Store(#[from] Trouble),
    /// A subject that cannot have the role.
    #[error("the subject of a {} key must be {}", role.word(), role.subject_form())]
    Subject {
        /// The role.
        role: Role,
    },
    /// No such key.
    #[error("there is no key {0}")]
    Unknown(String),
}

/// Carries out a command.
///
/// # Errors
/// [`KeyError`].
pub async fn run(command: Command, database_url: &SecretString) -> Result<(), KeyError> {
    let database = visit(database_url).await?;
    let now = database.store.clock().now();
    match command {
        Command::Create { role, subject, expires } => {
            if !role.suits(&subject) {
                return Err(KeyError::Subject { role });
            }
            let (key, secret) = make(&SystemIds, role, subject, expires, now);
            database.registry.put_api_key(&key).await?;
            eprintln!("key {} for {} ({}); it is shown only once", key.id, key.subject, key.role);
            println!("{}", secret.expose_secret());
        }
        Command::Revoke { id } => {
            if !database.registry.revoke_api_key(&id, now).await? {
                return Err(KeyError::Unknown(id));
            }
            eprintln!("key {id} is revoked");
        }
    }
    database.upkeep.close().await;
    Ok(())
}

/// The database, whether a service is using it or not.
async fn visit(database_url: &SecretString) -> Result<Database, OpenError> {
    let beside = Options { migrations: Migrations::Require, purpose: Purpose::Visit, ..Options::default() };
    match store::open(database_url.expose_secret(), &Options::default()).await {
        // Whoever uses it has migrated it.
        Err(OpenError::InUse { .. }) => store::open(database_url.expose_secret(), &beside).await,
        opened => opened,
    }
}

/// A key and its secret: `sk_` and 256 bits in base64url.
fn make(
    ids: &dyn Ids,
    role: Role,
    subject: String,
    expires: Option<Duration>,
    now: At,
) -> (ApiKey, SecretString) {
    // Two UUIDs hold 244 unguessable bits; the hash spreads them over the whole width.
    let mut chance = Sha256::new();
    chance.update(ids.random().to_be_bytes());
    chance.update(ids.random().to_be_bytes());
    let secret = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(chance.finalize()));
    let key = ApiKey {
        id: format!("key_{:032x}", ids.ordered()),
        secret_hash: key_hash(&secret),
        subject,
        role: role.word().to_owned(),
        expires_at: expires.map(|valid| now.plus(valid)),
        created_at: now,
        revoked_at: None,
    };
    (key, secret.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_unlike_others_and_stored_as_its_hash_only() {
        let make = || make(&SystemIds, Role::Service, "app".to_owned(), None, At::EPOCH);
        let ((key, secret), (_, other)) = (make(), make());
        let text = secret.expose_secret();
        assert_eq!((text.len(), text.starts_with("sk_")), (3 + 43, true));
        assert_ne!(text, other.expose_secret());
        assert_eq!(key.secret_hash, key_hash(text));
        assert!(!format!("{key:?}").contains(text));
    }

    #[test]
    fn a_key_ends_when_it_was_said_to() {
        let day = Duration::from_hours(24);
        let (key, _) = make(&SystemIds, Role::Service, "app".to_owned(), Some(day), At::EPOCH);
        assert_eq!(key.expires_at, Some(At::EPOCH.plus(day)));
    }
}
