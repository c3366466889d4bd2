//! One running process: front-end, steps, or both; started from the settings, ended by SIGTERM or SIGINT.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::serve::ListenerExt;
use axum::{Router, ServiceExt};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use workers::balances::{Balances, Guarded, Parts, Patience};
use workers::controls::{self, Controls};
use workers::engine::Engine;
use workers::ports::{AnchoredClock, SystemIds};
use workers::process::{self, Drained, Neighbourhood};
use workers::providers::{Consented, Providers, Register};
use workers::scanner::Scanner;
use workers::store::{self, Database, OpenError, Trouble};
use workflows::bench::Bench;
use workflows::engine::Book;
use workflows::qr_payment::QrPayment;
use workflows::remittance::Remittance;

use crate::config::Config;
use crate::desk::{Desk, Drawers};
use crate::http::{self, Services, Settings, Unusable};
use crate::metrics::{self, Metrics};
use crate::provider;

/// How often the clock is set by the database's.
const RESYNC: Duration = Duration::from_secs(30);

/// Why a process could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No database.
    #[error("could not open the database")]
    Open(#[from] OpenError),
    /// No provider.
    #[error("could not set up the payments provider")]
    Provider(#[from] workers::providers::http::Unusable),
    /// The database, after it was opened.
    #[error("could not read what may be sent")]
    Controls(#[from] Trouble),
    /// No address.
    #[error("could not listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Settings that do not fit together.
    #[error(transparent)]
    Front(#[from] Unusable),
    /// No signals: the process could not be stopped in order.
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    /// A process that would do nothing.
    #[error("WORKERS is 0: `work` would perform nothing")]
    NoWork,
}

/// A process at work.
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    stop_work: watch::Sender<bool>,
    front: JoinHandle<std::io::Result<()>>,
    half: Half,
    drain_timeout: Duration,
}

/// What a process has beside its front-end.
struct Half {
    engine: Engine,
    database: Database,
    balances: Balances,
    controls: Controls,
    work: Option<JoinHandle<Drained>>,
    desk: Desk,
    resync: JoinHandle<()>,
    following_up: JoinHandle<()>,
    scanner: Option<Arc<Scanner>>,
    scanning: Option<JoinHandle<()>>,
    metrics: Option<JoinHandle<std::io::Result<()>>>,
}

/// Serves until a signal: front-end and, unless `WORKERS` is 0, steps. Prints one line to stdout when it answers.
///
/// # Errors
/// [`ServiceError`].
pub async fn serve(config: Config) -> Result<(), ServiceError> {
    let signals = signals()?;
    let running = start(config).await?;
    // Whoever started the process may have closed its stdout; it works all the same.
    let _ = writeln!(std::io::stdout(), "sluse listening on http://{}", running.address);
    let _ = std::io::stdout().flush();
    signals.await;
    running.stop().await;
    Ok(())
}

/// Performs steps until a signal.
///
/// # Errors
/// [`ServiceError`].
pub async fn work(config: Config) -> Result<(), ServiceError> {
    if config.workers.at_once == 0 {
        return Err(ServiceError::NoWork);
    }
    let signals = signals()?;
    let (stop, stopped) = watch::channel(false);
    let half = half(&config, stopped).await?;
    tracing::info!(at_once = config.workers.at_once, "performing steps");
    signals.await;
    stop.send_replace(true);
    half.end().await;
    Ok(())
}

/// Brings a database to the version of this program.
///
/// # Errors
/// [`OpenError`].
pub async fn migrate(database_url: &SecretString) -> Result<(), OpenError> {
    let database = store::open(database_url.expose_secret(), &store::Options::default()).await?;
    database.upkeep.close().await;
    tracing::info!("the database is up to date");
    Ok(())
}

/// Starts a process with a front-end. It answers when this returns.
///
/// # Errors
/// [`ServiceError`].
pub async fn start(config: Config) -> Result<Running, ServiceError> {
    let bind = config.front.bind;
    let refused = |source| ServiceError::Listen { address: bind, source };
    let listener = TcpListener::bind(bind).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let settings = Settings::new(&config, &config.front.public_base(address))?;

    let (stop, stopped) = watch::channel(false);
    let (stop_work, work_stopped) = watch::channel(false);
    let half = half(&config, work_stopped).await?;
    let app = Services {
        engine: half.engine.clone(),
        registry: Arc::clone(&half.database.registry),
        balances: half.balances.clone(),
        desk: half.desk.clone(),
        controls: half.controls.clone(),
        settings,
    };
    let beside = match config.front.metrics_bind {
        Some(_) => Router::new(),
        None => metrics::router(half.metrics()),
    };
    let service = http::service(Arc::new(app), beside);
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service);
    // An answer or event is written whole; waiting for more to send with it would only delay it.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps collecting small writes");
        }
    });
    let server = axum::serve(listener, service).with_graceful_shutdown(ending(stopped));
    let front = tokio::spawn(server.into_future());
    Ok(Running { address, stop, stop_work, front, half, drain_timeout: config.front.drain_timeout })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The engine inside, for whoever looks after the process.
    pub fn engine(&self) -> &Engine {
        &self.half.engine
    }

    /// Takes no new work, lets requests and then steps under way end, and closes the database. Steps go on while
    /// requests end: what was just accepted is still sent by this process.
    pub async fn stop(self) {
        self.half.engine.stop_accepting();
        self.stop.send_replace(true);
        let mut front = self.front;
        match tokio::time::timeout(self.drain_timeout, &mut front).await {
            Ok(Ok(Ok(()))) => {}
            Ok(ended) => tracing::error!(?ended, "the front-end did not end in order"),
            Err(_) => {
                front.abort();
                tracing::warn!("requests were cut off: they took longer than DRAIN_TIMEOUT");
            }
        }
        self.stop_work.send_replace(true);
        self.half.end().await;
    }
}

impl Half {
    fn metrics(&self) -> Metrics {
        Metrics {
            engine: self.engine.clone(),
            controls: self.controls.clone(),
            scanner: self.scanner.clone(),
        }
    }

    /// Waits for the steps in flight, within the time that they were given, and closes the database.
    async fn end(self) {
        if let Some(work) = self.work {
            match work.await {
                Ok(drained) => tracing::info!(
                    handed_back = drained.handed_back,
                    cut_off = drained.cut_off,
                    "steps have ended"
                ),
                Err(error) => tracing::error!(%error, "the performing half ended by itself"),
            }
        }
        let scanning = self.scanning.into_iter();
        // What was not told yet is told by the next process.
        for task in [self.resync, self.following_up].into_iter().chain(scanning) {
            task.abort();
        }
        if let Some(metrics) = self.metrics {
            metrics.abort();
        }
        self.database.upkeep.close().await;
    }
}

/// Database, engine and steps.
async fn half(config: &Config, stopped: watch::Receiver<bool>) -> Result<Half, ServiceError> {
    let database = store::open(config.database_url.expose_secret(), &store::Options::default()).await?;
    let options = process::Options {
        steps_in_flight: config.workers.at_once,
        lease: config.workers.lease,
        grace: config.front.drain_timeout,
    };
    let ids = Arc::new(SystemIds);
    let clock = database.store.clock();
    let rules = controls::Settings { rate: config.neonomics.limit.per_second, ..config.controls.clone() };
    let controls = Controls::open(Arc::clone(&database.controls), Arc::clone(&clock), &*ids, rules).await?;
    let aggregator = Arc::new(provider::payments(&config.neonomics, Arc::clone(&clock), ids.clone())?);
    let register = Register::new(Arc::clone(&database.registry), Arc::clone(&clock));
    let banks = Consented::new(Arc::clone(&aggregator), Arc::clone(&database.registry), Arc::clone(&clock));
    let providers = Arc::new(Providers::new(Arc::new(banks), Arc::new(register)));
    let neighbourhood = Neighbourhood {
        neighbours: Arc::clone(&database.neighbours),
        limits: provider::limits(&config.neonomics),
        clock: Arc::new(AnchoredClock::wall()),
    };
    let store = Arc::clone(&database.store);
    let (engine, work) = process::assemble_among(
        neighbourhood,
        (store, &controls),
        book(config),
        providers,
        ids.clone(),
        options,
    );
    let balances = Balances::new(Parts {
        store: Arc::clone(&database.balances),
        registry: Arc::clone(&database.registry),
        bank: aggregator,
        admission: Arc::new(Guarded::new(controls.clone())),
        limits: engine.limits().clone(),
        clock,
        ids,
        patience: Patience::new(config.neonomics.attempt(), config.neonomics.retry_base),
    });
    // Who performs steps also looks for those that nobody will perform.
    let scanner = work.is_some().then(|| Arc::new(engine.scanner(Arc::clone(&database.audit))));
    let scanning = scanner.as_ref().map(|scanner| {
        let (scanner, every, stopped) = (Arc::clone(scanner), config.workers.scan_every, stopped.clone());
        tokio::spawn(async move { scanner.run(every, ending(stopped)).await })
    });
    let work = work.map(|work| tokio::spawn(work.run(ending(stopped))));
    let resync = tokio::spawn(keep_time(database.clone()));
    let drawers = Drawers {
        approvals: Arc::clone(&database.approvals),
        actions: Arc::clone(&database.actions),
        notices: Arc::clone(&database.notices),
    };
    let desk = Desk::new(engine.clone(), drawers, config.approval_expiry);
    let following_up = tokio::spawn(desk.clone().follow_up());
    let mut half = Half {
        engine,
        database,
        balances,
        controls,
        work,
        desk,
        resync,
        following_up,
        scanner,
        scanning,
        metrics: None,
    };
    if let Some(address) = config.front.metrics_bind {
        let refused = |source| ServiceError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        tracing::info!(address = %listener.local_addr().map_err(refused)?, "metrics are served");
        let router = metrics::router(half.metrics());
        half.metrics = Some(tokio::spawn(axum::serve(listener, router).into_future()));
    }
    Ok(half)
}

/// Every workflow of the product, and the one that it is measured with where that is wanted.
pub(crate) fn book(config: &Config) -> Book {
    let product = Book::default().with::<Remittance>().with::<QrPayment>();
    if config.bench { product.with::<Bench>() } else { product }
}

async fn keep_time(database: Database) {
    loop {
        tokio::time::sleep(RESYNC).await;
        if let Err(trouble) = database.upkeep.resync().await {
            tracing::warn!(%trouble, "the clock could not be set by the database's");
        }
    }
}

/// Ends when the process shall. A sender that is gone says so too.
async fn ending(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Ends at the first SIGTERM or SIGINT. Listening begins here, so that none is missed while the process starts.
pub(crate) fn signals() -> Result<impl Future<Output = ()>, ServiceError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServiceError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServiceError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
