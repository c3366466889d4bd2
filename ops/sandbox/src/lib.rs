//! A bank to practise on: the open-banking half of the `drop-seed` provider contract, with a ledger of its own.
//!
//! It shares no code with the programs it is tried against, so that agreement between them means something. What it
//! did is on disk before it says so, in lines that anybody can read; what it was made to do wrong is set at
//! `/_control`. The README has the control API with examples.
//!
//! From the outside in: `http` (the contract) and `wire` (connections that can be cut) → `office` (the lock, the
//! timer) → `book` (pure: facts and decisions) and `ledger` (the same facts on disk).

pub mod banks;
pub mod book;
mod calls;
pub mod config;
mod faults;
mod http;
pub mod iban;
mod ledger;
pub mod money;
mod office;
mod ports;
mod refusal;
mod webhooks;
mod wire;

use std::{future::IntoFuture, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::{book::Book, http::Premises, ledger::Ledger, office::Office, wire::Switch};
pub use self::{
    config::{Args, Client, Config, Webhook},
    ledger::LedgerError,
};

/// How long connections may take to end when the bank stops.
const GRACE: Duration = Duration::from_secs(3);

/// Why the bank could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be listened on.
    #[error("could not listen on {address}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The ledger could not be opened.
    #[error("could not open the bank's ledger")]
    Ledger(#[source] LedgerError),
    /// The process could not be told to stop by signals.
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
}

/// A bank at work. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    base_url: String,
    closing: watch::Sender<bool>,
    premises: Premise,
    server: JoinHandle<std::io::Result<()>>,
    timer: JoinHandle<()>,
}

struct Premise(Arc<Premises>);

/// Starts a bank. It answers when this returns.
///
/// # Errors
/// When the address is taken, or the ledger is unreadable or in use.
pub async fn start(config: Config) -> Result<Running, Error> {
    let bound = |source| Error::Bind { address: config.bind, source };
    let listener = TcpListener::bind(config.bind).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    let base_url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));

    let mut book = Book::open(config.safe_replay);
    let opened = Ledger::open(&config.ledger, &mut book).map_err(Error::Ledger)?;
    let (post, events) = mpsc::unbounded_channel();
    let office = Office::new(book, opened, config.webhook.is_some().then_some(post));
    if let Some(webhook) = config.webhook.clone() {
        tokio::spawn(webhooks::deliver(webhook, events, office.durability()));
    }

    let (closing, closed) = watch::channel(false);
    let premises = Arc::new(Premises::new(office, &config, base_url.clone(), closed.clone()));
    let routes = http::routes(Arc::clone(&premises));
    let until = async move |mut closed: watch::Receiver<bool>| {
        // A sender that is gone is a bank that was dropped.
        let _ = closed.wait_for(|closing| *closing).await;
    };
    let serve = axum::serve(wire::Wire(listener), routes.into_make_service_with_connect_info::<Switch>())
        .with_graceful_shutdown(until(closed.clone()));
    let server = tokio::spawn(serve.into_future());
    let clockwork = Arc::clone(&premises);
    let timer = tokio::spawn(async move { clockwork.office.keep_time(closed).await });
    Ok(Running { address, base_url, closing, premises: Premise(premises), server, timer })
}

/// Runs a bank until SIGTERM or SIGINT; prints one line to stdout when it answers.
///
/// # Errors
/// As [`start`], and when signals cannot be listened for.
pub async fn run(args: Args) -> Result<(), Error> {
    use std::io::Write;
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let running = start(args.into()).await?;
    // Whoever started the bank may have closed its stdout; it works all the same.
    let _ = writeln!(std::io::stdout(), "sandbox bank listening on http://{}", running.addr());
    let _ = std::io::stdout().flush();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await;
    Ok(())
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for a client, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Stops: answers what is under way, up to three seconds, and lets go of the ledger.
    pub async fn stop(mut self) {
        self.closing.send_replace(true);
        if tokio::time::timeout(GRACE, &mut self.server).await.is_err() {
            self.server.abort();
        }
        // The timer ends at its next turn, having written nothing after the ledger closes.
        let _ = (&mut self.timer).await;
        let premises = Arc::clone(&self.premises.0);
        let _ = tokio::task::spawn_blocking(move || premises.office.close()).await;
    }
}

impl std::fmt::Debug for Premise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Premises")
    }
}
