//! What the service was told from outside, read once at start. The one rule: a value that cannot be understood stops
//! the start and is named, and no value is ever printed.

mod controls;
mod parse;
mod setting;
mod table;

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use workers::limits::Limit;
use workflows::money::Money;

pub use parse::{duration, some_duration};
pub use setting::{BadSetting, Environment, Fallback, Setting};
pub use table::{SECTIONS, env_example, help};

/// Everything the service can be told.
#[derive(Debug)]
pub struct Config {
    /// Where everything is stored. May hold a password.
    pub database_url: SecretString,
    /// How it is reached.
    pub front: Front,
    /// Who may call.
    pub tokens: Tokens,
    /// How much it does at once.
    pub workers: Workers,
    /// What it sells.
    pub payments: Payments,
    /// Whom it asks.
    pub neonomics: Neonomics,
    /// How long a second person has to decide a request.
    pub approval_expiry: Duration,
    /// What may be sent, where nobody has said otherwise since.
    pub controls: workers::controls::Settings,
    /// Whether the bench workflow is known and served.
    pub bench: bool,
}

/// Where the operators' commands find the running service, and as whom they speak.
#[derive(Debug)]
pub struct Remote {
    /// Where it is. No trailing slash.
    pub url: String,
    /// The API key.
    pub key: Option<SecretString>,
}

/// How the service is reached.
#[derive(Clone, Debug)]
pub struct Front {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Where metrics are served, when that is not here.
    pub metrics_bind: Option<SocketAddr>,
    /// How browsers and banks reach it, when that is not `http://{BIND}`. No trailing slash.
    pub public_base_url: Option<String>,
    /// Where browsers may be sent back to, when that is not its own root.
    pub app_return_urls: Option<Vec<Url>>,
    /// Practice or money.
    pub mode: ServiceMode,
    /// How long a shutdown may take.
    pub drain_timeout: Duration,
}

impl Front {
    /// The public address once the port is known.
    pub fn public_base(&self, bound: SocketAddr) -> String {
        self.public_base_url.clone().unwrap_or_else(|| format!("http://{bound}"))
    }
}

/// Whether real money can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceMode {
    /// Practice.
    Demo,
    /// Money.
    Live,
}

/// What a caller's token must satisfy.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The HS256 secret.
    pub secret: SecretString,
    /// `iss`, when it is checked.
    pub issuer: Option<String>,
    /// `aud`, when it is checked.
    pub audience: Option<String>,
}

/// How much this process does at once.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// Steps under way; 0 = none here.
    pub at_once: usize,
    /// How long a step stays claimed by a worker that fell silent.
    pub lease: Duration,
    /// How often a process that performs steps looks for what cannot be.
    pub scan_every: Duration,
}

/// What is sold, and how payments behave.
#[derive(Clone, Debug)]
pub struct Payments {
    /// How long a customer has at the bank.
    pub sca_timeout: Duration,
    /// Whether queued payments start by themselves.
    pub auto_start: bool,
    /// After how long a payment without an end is shown to operators.
    pub pending_sla: Duration,
    /// After how long in the queue a payment is no longer sent.
    pub queue_expiry: Duration,
    /// Smallest and largest remittance (FE-07).
    pub remittance: Limits,
    /// Its fee in basis points (FE-03).
    pub remittance_fee: u32,
    /// Smallest and largest QR payment.
    pub qr: Limits,
}

/// Inclusive limits of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At least.
    pub least: Money,
    /// At most.
    pub most: Money,
}

/// The payments provider.
#[derive(Clone, Debug)]
pub struct Neonomics {
    /// Where it is. No trailing slash.
    pub base_url: String,
    /// Which interface it speaks.
    pub profile: NeonomicsProfile,
    /// A fixed bearer token.
    pub api_key: Option<SecretString>,
    /// OAuth client.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<SecretString>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for an answer.
    pub read_timeout: Duration,
    /// First pause before a repetition.
    pub retry_base: Duration,
    /// For how many days a consent is asked for.
    pub consent_days: u16,
    /// What it takes from all processes together.
    pub limit: Limit,
    /// How many repetitions a hundred first attempts pay for.
    pub retry_percent: u32,
    /// First pause before a status is asked for,
    pub poll_first: Duration,
    /// and the longest.
    pub poll_most: Duration,
    /// How old a "not found" must be to count.
    pub visibility_lag: Duration,
    /// For how long a repeated initiation is recognised; `None` = never.
    pub replay_window: Option<Duration>,
    /// The secrets that pushed notices may be signed with, the current one first; none = no notice is taken.
    pub webhook_secrets: Vec<SecretString>,
}

impl Neonomics {
    /// How long one attempt may take in all.
    pub fn attempt(&self) -> Duration {
        /// What it may take beside connecting and reading: a token that has to be fetched first.
        const OVERHEAD: Duration = Duration::from_secs(5);
        self.connect_timeout + self.read_timeout + OVERHEAD
    }
}

/// An interface that the payments provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeonomicsProfile {
    /// The shapes of the product's own integration document.
    DropSeed,
}

/// What goes to the log.
#[derive(Clone, Debug)]
pub struct Log {
    /// A level, or targets with levels.
    pub filter: String,
    /// One line for people, or one object for machines.
    pub json: bool,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be understood.
    pub fn read(from: &Environment) -> Result<Self, BadSetting> {
        let front = front(from)?;
        Ok(Config {
            database_url: database_url(from)?,
            tokens: tokens(from, front.mode)?,
            workers: Workers {
                at_once: from.read(&table::WORKERS, parse::number(0))?,
                lease: from.read(&table::LEASE_MS, parse::millis)?,
                scan_every: from.read(&table::SCANNER_MS, parse::millis)?,
            },
            bench: bench(from, front.mode)?,
            front,
            payments: payments(from)?,
            neonomics: neonomics(from)?,
            approval_expiry: from.read(&table::APPROVAL_EXPIRY, some_duration)?,
            controls: controls::read(from)?,
        })
    }
}

/// The setting that `migrate` and `keys` need alone.
pub fn database_url(from: &Environment) -> Result<SecretString, BadSetting> {
    from.read(&table::DATABASE_URL, |url| {
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if known { Ok(url.into()) } else { Err("must begin with sqlite:// or postgres://") }
    })
}

/// The settings that the operators' commands need alone.
///
/// # Errors
/// The first one that cannot be understood.
pub fn remote(from: &Environment) -> Result<Remote, BadSetting> {
    Ok(Remote { url: from.read(&table::SLUSE_URL, parse::base_url)?, key: from.text(&table::SLUSE_API_KEY)? })
}

/// What goes to the log; every command has one.
pub fn log(from: &Environment) -> Result<Log, BadSetting> {
    Ok(Log {
        filter: from.read(&table::LOG, |text| {
            // The filter's own parser is lenient; its strict form says which directive is wrong.
            match tracing_subscriber::EnvFilter::try_new(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(_) => Err(
                    "must be a level (error, warn, info, debug, trace) or TARGET=LEVEL, separated by commas",
                ),
            }
        })?,
        json: from.read(&table::LOG_FORMAT, one_of(&[("text", false), ("json", true)]))?,
    })
}

fn front(from: &Environment) -> Result<Front, BadSetting> {
    let address = |text: &str| {
        text.parse::<SocketAddr>().map_err(|_| "must be an address and a port, such as 127.0.0.1:8080")
    };
    Ok(Front {
        bind: from.read(&table::BIND, address)?,
        metrics_bind: from.optional(&table::METRICS_BIND, address)?,
        public_base_url: from.optional(&table::PUBLIC_BASE_URL, parse::base_url)?,
        app_return_urls: from.optional(&table::APP_RETURN_URLS, parse::return_urls)?,
        mode: from.read(
            &table::SERVICE_MODE,
            one_of(&[("demo", ServiceMode::Demo), ("live", ServiceMode::Live)]),
        )?,
        drain_timeout: from.read(&table::DRAIN_TIMEOUT, duration)?,
    })
}

fn tokens(from: &Environment, mode: ServiceMode) -> Result<Tokens, BadSetting> {
    // RFC 7518 §3.2 asks for a key as long as the hash.
    let least = match mode {
        ServiceMode::Demo => 1,
        ServiceMode::Live => 32,
    };
    Ok(Tokens {
        secret: from.read(&table::JWT_SECRET, |text| {
            if text.len() < least { Err("must have at least 32 bytes in live mode") } else { Ok(text.into()) }
        })?,
        issuer: plain(from, &table::JWT_ISSUER)?,
        audience: plain(from, &table::JWT_AUDIENCE)?,
    })
}

/// Whether the bench workflow is there: nobody's money shares a process with it.
fn bench(from: &Environment, mode: ServiceMode) -> Result<bool, BadSetting> {
    let wanted = from.read(&table::BENCH_WORKFLOW, parse::switch)?;
    match mode {
        ServiceMode::Live if wanted => Err(BadSetting::new(table::BENCH_WORKFLOW.name, "not in live mode")),
        ServiceMode::Demo | ServiceMode::Live => Ok(wanted),
    }
}

fn payments(from: &Environment) -> Result<Payments, BadSetting> {
    Ok(Payments {
        sca_timeout: from.read(&table::SCA_TIMEOUT, some_duration)?,
        auto_start: from.read(&table::QUEUE_AUTO_START, parse::switch)?,
        pending_sla: from.read(&table::PENDING_PAYMENT_SLA, some_duration)?,
        queue_expiry: from.read(&table::PENDING_PAYMENT_EXPIRY, some_duration)?,
        remittance: limits(from, &table::REMITTANCE_MIN, &table::REMITTANCE_MAX)?,
        remittance_fee: from.read(&table::REMITTANCE_FEE_BP, |text| match text.parse() {
            Ok(points @ 0..=10_000) => Ok(points),
            Ok(_) | Err(_) => Err("must be a whole number of basis points from 0 to 10000"),
        })?,
        qr: limits(from, &table::QR_MIN, &table::QR_MAX)?,
    })
}

fn limits(from: &Environment, least: &Setting, most: &Setting) -> Result<Limits, BadSetting> {
    let limits = Limits { least: from.read(least, parse::kroner)?, most: from.read(most, parse::kroner)? };
    if limits.least.minor <= limits.most.minor {
        Ok(limits)
    } else {
        Err(BadSetting::new(most.name, format!("must not be below {}", least.name)))
    }
}

fn neonomics(from: &Environment) -> Result<Neonomics, BadSetting> {
    let client_id = plain(from, &table::NEONOMICS_CLIENT_ID)?;
    let client_secret: Option<SecretString> = from.text(&table::NEONOMICS_CLIENT_SECRET)?;
    if client_id.is_some() != client_secret.is_some() {
        let missing =
            if client_id.is_some() { table::NEONOMICS_CLIENT_SECRET } else { table::NEONOMICS_CLIENT_ID };
        return Err(BadSetting::new(
            missing.name,
            "the client's id and secret are set together or not at all",
        ));
    }
    let safe_replay = from.read(&table::NEONOMICS_SAFE_REPLAY, parse::switch)?;
    let replay_window = from.read(&table::NEONOMICS_REPLAY_WINDOW, some_duration)?;
    let poll_first = from.read(&table::NEONOMICS_POLL_MS, parse::millis)?;
    let poll_most = from.read(&table::NEONOMICS_POLL_MAX_MS, parse::millis)?;
    if poll_most < poll_first {
        let reason = format!("must not be below {}", table::NEONOMICS_POLL_MS.name);
        return Err(BadSetting::new(table::NEONOMICS_POLL_MAX_MS.name, reason));
    }
    Ok(Neonomics {
        base_url: from.read(&table::NEONOMICS_BASE_URL, parse::base_url)?,
        profile: from
            .read(&table::NEONOMICS_PROFILE, one_of(&[("drop-seed", NeonomicsProfile::DropSeed)]))?,
        api_key: from.text(&table::NEONOMICS_API_KEY)?,
        client_id,
        client_secret,
        connect_timeout: from.read(&table::NEONOMICS_CONNECT_TIMEOUT_MS, parse::millis)?,
        read_timeout: from.read(&table::NEONOMICS_READ_TIMEOUT_MS, parse::millis)?,
        retry_base: from.read(&table::NEONOMICS_RETRY_BASE_MS, parse::millis)?,
        consent_days: from.read(&table::CONSENT_DAYS, |text| match text.parse() {
            Ok(days @ 1..=180) => Ok(days),
            Ok(_) | Err(_) => Err("must be a whole number of days from 1 to 180"),
        })?,
        limit: Limit {
            per_second: from.read(&table::NEONOMICS_RATE_PER_SECOND, parse::number(1))?,
            in_flight: from.read(&table::NEONOMICS_MAX_IN_FLIGHT, parse::number(1))?,
        },
        retry_percent: from.read(&table::NEONOMICS_RETRY_BUDGET, |text| match text.parse() {
            Ok(percent @ 0..=100) => Ok(percent),
            Ok(_) | Err(_) => Err("must be a whole number of percent from 0 to 100"),
        })?,
        poll_first,
        poll_most,
        visibility_lag: from.read(&table::NEONOMICS_VISIBILITY_LAG_MS, parse::millis)?,
        replay_window: safe_replay.then_some(replay_window),
        webhook_secrets: webhook_secrets(from)?,
    })
}

/// The current secret of pushed notices and the one before it.
fn webhook_secrets(from: &Environment) -> Result<Vec<SecretString>, BadSetting> {
    let mut secrets = Vec::new();
    for setting in [&table::NEONOMICS_WEBHOOK_SECRET, &table::NEONOMICS_WEBHOOK_SECRET_PREVIOUS] {
        if let Some(secret) = from.text(setting)? {
            // An empty key would let anybody sign.
            if secret.expose_secret().is_empty() {
                return Err(BadSetting::new(setting.name, "must not be empty"));
            }
            secrets.push(secret);
        }
    }
    Ok(secrets)
}

/// Text that is taken as it is.
fn plain(from: &Environment, setting: &Setting) -> Result<Option<String>, BadSetting> {
    Ok(from.text(setting)?.map(|text| text.expose_secret().to_owned()))
}

/// One of a few words.
fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("must be {}", known.join(" or "))
        })
    }
}

/// The secret's bytes, for keys that are derived from it.
pub(crate) fn bytes(secret: &SecretString) -> &[u8] {
    secret.expose_secret().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(variables: &[(&str, &str)]) -> Result<Config, BadSetting> {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(&given.collect())
    }

    #[test]
    fn a_token_secret_is_all_that_has_to_be_set() {
        let config = read(&[("JWT_SECRET", "s")]).unwrap();
        assert_eq!(config.database_url.expose_secret(), "sqlite://data/sluse.db");
        assert_eq!(config.front.public_base("127.0.0.1:4711".parse().unwrap()), "http://127.0.0.1:4711");
        assert_eq!(config.payments.sca_timeout, Duration::from_mins(5));
        assert_eq!(config.payments.remittance.least.minor, 10_000);
        assert_eq!(config.payments.remittance.most.minor, 5_000_000);
        assert_eq!(config.neonomics.replay_window, Some(Duration::from_hours(24)));
        assert_eq!(config.neonomics.base_url, "http://127.0.0.1:8090");
    }

    #[test]
    fn a_bad_value_stops_the_start_and_is_named() {
        for (name, value) in [
            ("JWT_SECRET", ""),
            ("DATABASE_URL", "mysql://x"),
            ("BIND", "localhost"),
            ("PUBLIC_BASE_URL", "pay.example"),
            ("SERVICE_MODE", "production"),
            ("PISP_MODE", "off"),
            ("SCA_TIMEOUT", "5 minutes"),
            ("SCA_TIMEOUT", "0"),
            ("QUEUE_AUTO_START", "yes"),
            ("WORKERS", "-1"),
            ("LEASE_MS", "10s"),
            ("SCANNER_MS", "0"),
            ("METRICS_BIND", "9090"),
            ("REMITTANCE_MIN", "abc"),
            ("REMITTANCE_MAX", "99"),
            ("REMITTANCE_FEE_BP", "10001"),
            ("NEONOMICS_PROFILE", "berlin-group-1.3.12"),
            ("NEONOMICS_CLIENT_SECRET", ""),
            ("NEONOMICS_POLL_MAX_MS", "1"),
            ("NEONOMICS_RATE_PER_SECOND", "0"),
            ("NEONOMICS_MAX_IN_FLIGHT", "0"),
            ("NEONOMICS_RETRY_BUDGET", "101"),
            ("APP_RETURN_URLS", "javascript:alert(1)"),
        ] {
            let error = read(&[("JWT_SECRET", "s"), ("NEONOMICS_CLIENT_ID", ""), (name, value)]);
            if name == "NEONOMICS_CLIENT_SECRET" {
                let error = read(&[("JWT_SECRET", "s"), ("NEONOMICS_CLIENT_ID", "id")]).unwrap_err();
                assert_eq!(error.name, name);
                continue;
            }
            assert_eq!(error.unwrap_err().name, name, "{value:?}");
        }
    }

    #[test]
    fn live_mode_wants_a_long_token_secret() {
        assert_eq!(
            read(&[("SERVICE_MODE", "live"), ("JWT_SECRET", "short")]).unwrap_err().name,
            "JWT_SECRET"
        );
        assert!(read(&[("SERVICE_MODE", "live"), ("JWT_SECRET", SECRET)]).is_ok());
    }

    #[test]
    fn nobodys_money_shares_a_process_with_the_bench_workflow() {
        let bench = |mode| {
            read(&[("JWT_SECRET", SECRET), ("SERVICE_MODE", mode), ("BENCH_WORKFLOW", "true")])
                .map(|config| config.bench)
        };
        assert_eq!(bench("live").unwrap_err().name, "BENCH_WORKFLOW");
        assert!(bench("demo").unwrap());
        assert!(!read(&[("JWT_SECRET", "s")]).unwrap().bench);
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let config = read(&[
            ("JWT_SECRET", SECRET),
            ("DATABASE_URL", "postgres://u:hunter2@h/d"),
            ("NEONOMICS_API_KEY", "hunter3"),
            ("NEONOMICS_CLIENT_ID", "id"),
            ("NEONOMICS_CLIENT_SECRET", "hunter4"),
        ]);
        let shown = format!("{:?}", config.unwrap());
        assert!(!shown.contains("hunter") && !shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn a_bad_log_filter_is_named() {
        for (name, value) in [("LOG", "sluse=loud"), ("LOG_FORMAT", "xml")] {
            let from: Environment = [(name.to_owned(), value.to_owned())].into_iter().collect();
            assert_eq!(log(&from).unwrap_err().name, name);
        }
    }
}
