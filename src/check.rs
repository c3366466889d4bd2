//! `sluse check`: whether the settings, the database and the provider are fit to start with.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use workers::ports::{AnchoredClock, SystemIds};
use workers::process::{Neighbourhood, Visit};
use workers::providers::http::{NO_TURN, Unusable};
use workers::providers::{Context, Setback};
use workers::store::{self, Migrations, OpenError, Options, Purpose, Trouble};

use crate::config::Config;
use crate::provider;

/// How long the provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is not fit.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The database.
    #[error("could not open the database")]
    Open(#[from] OpenError),
    /// The database, after it was opened.
    #[error("the database does not answer")]
    Ask(#[from] Trouble),
    /// The provider's address.
    #[error("the payments provider cannot be used")]
    Provider(#[from] Unusable),
    /// The provider's answer.
    #[error("the payments provider does not answer as it should: {0}")]
    Answer(String),
}

/// Tries each in turn and says so on stdout. Missing migrations are a fault here; a service may be running.
///
/// # Errors
/// The first thing that is not fit.
pub async fn run(config: &Config) -> Result<(), CheckError> {
    println!("settings: ok");
    let options = Options { migrations: Migrations::Require, purpose: Purpose::Visit, ..Options::default() };
    let database = store::open(config.database_url.expose_secret(), &options).await?;
    database.store.ping().await?;
    println!("database: ok");
    let provider = provider::payments(&config.neonomics, database.store.clock(), Arc::new(SystemIds))?;
    let neighbours = Arc::clone(&database.neighbours);
    let neighbourhood = Neighbourhood {
        neighbours,
        limits: provider::limits(&config.neonomics),
        clock: Arc::new(AnchoredClock::wall()),
    };
    let visit = Visit::begin(neighbourhood, &SystemIds);
    let asked = match visit.pass(provider::NAME, PATIENCE).await {
        Some(pass) => provider.banks(&Context::new(&SystemIds, PATIENCE, pass)).await.map(drop),
        None => Err(Setback::NotSent(NO_TURN)),
    };
    visit.end().await;
    database.upkeep.close().await;
    asked.map_err(|setback| CheckError::Answer(in_words(setback)))?;
    println!("provider: ok");
    Ok(())
}

fn in_words(setback: Setback) -> String {
    match setback {
        Setback::Refused(refusal) => format!("it refuses with {}", refusal.code),
        Setback::NotSent(why) | Setback::Unknown(why) => why.to_owned(),
    }
}
