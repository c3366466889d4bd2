//! How a bank is set up: in code ([`Config`]) or on a command line ([`Args`]).

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Everything a bank needs to start.
#[derive(Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Its ledger; created with its folder when absent.
    pub ledger: PathBuf,
    /// The base URL in links it hands out; by default `http://` and the address it listens on.
    pub public_url: Option<String>,
    /// A bearer key that is accepted.
    pub api_key: Option<String>,
    /// Client credentials that `POST /auth/token` accepts. With neither these nor a key, anybody may call.
    pub client: Option<Client>,
    /// Where status changes are pushed.
    pub webhook: Option<Webhook>,
    /// Whether a payment's `X-Request-ID` is honoured at all (the profile's replay rule).
    pub safe_replay: bool,
    /// How long an access token lives.
    pub token_ttl: Duration,
}

/// Client credentials.
#[derive(Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
}

/// A receiver of status changes.
#[derive(Clone)]
pub struct Webhook {
    /// Where to post.
    pub url: String,
    /// The secret of the HMAC-SHA256 in `X-Signature`.
    pub secret: String,
}

impl Config {
    /// A bank that asks for no credentials, honours the replay rule and pushes nothing.
    pub fn new(bind: SocketAddr, ledger: impl Into<PathBuf>) -> Self {
        Self {
            bind,
            ledger: ledger.into(),
            public_url: None,
            api_key: None,
            client: None,
            webhook: None,
            safe_replay: true,
            token_ttl: Duration::from_hours(1),
        }
    }
}

/// The command line of the bank; every option can be an environment variable instead.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "SANDBOX_BIND", default_value = "127.0.0.1:8090")]
    bind: SocketAddr,
    /// The bank's durable record (JSON lines).
    #[arg(long, env = "SANDBOX_LEDGER", default_value = "data/bank.jsonl")]
    ledger: PathBuf,
    /// Base URL in links to the approval pages; by default the address listened on.
    #[arg(long, env = "SANDBOX_PUBLIC_URL")]
    public_url: Option<String>,
    /// Bearer key to accept.
    #[arg(long, env = "SANDBOX_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Client id for POST /auth/token.
    #[arg(long, env = "SANDBOX_CLIENT_ID", requires = "client_secret")]
    client_id: Option<String>,
    /// Client secret for POST /auth/token.
    #[arg(long, env = "SANDBOX_CLIENT_SECRET", hide_env_values = true, requires = "client_id")]
    client_secret: Option<String>,
    /// Where to push status changes.
    #[arg(long, env = "SANDBOX_WEBHOOK_URL", requires = "webhook_secret")]
    webhook_url: Option<String>,
    /// Secret that signs them.
    #[arg(long, env = "SANDBOX_WEBHOOK_SECRET", hide_env_values = true, requires = "webhook_url")]
    webhook_secret: Option<String>,
    /// Do not honour X-Request-ID: two requests make two payments.
    #[arg(long, env = "SANDBOX_NO_SAFE_REPLAY")]
    no_safe_replay: bool,
    /// Lifetime of access tokens in seconds.
    #[arg(long, env = "SANDBOX_TOKEN_TTL", default_value_t = 3600)]
    token_ttl: u64,
}

impl From<Args> for Config {
    fn from(args: Args) -> Self {
        Self {
            bind: args.bind,
            ledger: args.ledger,
            public_url: args.public_url,
            api_key: args.api_key,
            client: args.client_id.zip(args.client_secret).map(|(id, secret)| Client { id, secret }),
            webhook: args.webhook_url.zip(args.webhook_secret).map(|(url, secret)| Webhook { url, secret }),
            safe_replay: !args.no_safe_replay,
            token_ttl: Duration::from_secs(args.token_ttl),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("bind", &self.bind)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("bind", &self.bind).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}
