//! The payments provider of the settings, and the switch in front of it.

use std::sync::Arc;

use workers::ports::{Clock, Ids};
use workers::providers::http::Unusable;
use workers::providers::open_banking::{OpenBanking, Settings};
use workers::providers::{Mode, TokenSource};

use crate::config::{Neonomics, NeonomicsProfile, PispMode};

/// The provider's name in lanes and logs.
const NAME: &str = "neonomics";

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
    };
    OpenBanking::open(settings, clock, ids)
}

/// Where the switch stands at the start.
pub fn mode(mode: PispMode) -> Mode {
    match mode {
        PispMode::Live => Mode::Live,
        PispMode::Queue => Mode::Queue,
        PispMode::Disabled => Mode::Disabled,
    }
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
