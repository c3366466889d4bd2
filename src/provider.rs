//! The payments provider of the settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use workers::limits::Terms;
use workers::ports::{Clock, Ids};
use workers::providers::TokenSource;
use workers::providers::http::Unusable;
use workers::providers::open_banking::{OpenBanking, Settings};

use crate::config::{Neonomics, NeonomicsProfile};

/// The provider's name in lanes and logs.
pub const NAME: &str = "neonomics";

/// The provider, not connected yet.
///
/// # Errors
/// An address that cannot be used.
pub fn payments(
    neonomics: &Neonomics,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
) -> Result<OpenBanking, Unusable> {
    // The only profile there is, and the one that this connection speaks.
    let NeonomicsProfile::DropSeed = neonomics.profile;
    let settings = Settings {
        provider: NAME.into(),
        base_url: neonomics.base_url.clone(),
        token: token(neonomics),
        connect_timeout: neonomics.connect_timeout,
        read_timeout: neonomics.read_timeout,
        retry_base: neonomics.retry_base,
        consent_days: neonomics.consent_days,
    };
    OpenBanking::open(settings, clock, ids)
}

/// What it takes from all processes together, under the name that its lanes begin with (AI-14).
pub fn limits(neonomics: &Neonomics) -> BTreeMap<Arc<str>, Terms> {
    let terms = Terms {
        limit: neonomics.limit,
        retry_percent: neonomics.retry_percent,
        longest_call: neonomics.attempt(),
    };
    BTreeMap::from([(NAME.into(), terms)])
}

/// A client's credentials before a fixed key: tokens expire, keys do not.
fn token(neonomics: &Neonomics) -> TokenSource {
    match (&neonomics.client_id, &neonomics.client_secret, &neonomics.api_key) {
        (Some(id), Some(secret), _) => {
            TokenSource::ClientCredentials { id: id.clone(), secret: secret.clone() }
        }
        (_, _, Some(key)) => TokenSource::StaticKey(key.clone()),
        (_, _, None) => TokenSource::None,
    }
}
