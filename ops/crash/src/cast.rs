//! Everything that runs in one trial: the product's processes, the bank, and the database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

use crate::people::SECRET;
use crate::postgres::Cluster;
use crate::process::{Heard, Process, Signal, command};
use crate::pulse::{Part, Pulse};

/// How long a process may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// How long a start is tried again: a process gives up that finds no database, and a server may take minutes to recover;
/// or somebody's outgoing connection sits on its port for a moment.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long a claim lasts in a trial.
pub const LEASE: Duration = Duration::from_secs(1);

/// Settings that make many lives fit into a minute. Everything else is as delivered.
const QUICK: &[(&str, &str)] = &[
    ("JWT_SECRET", SECRET),
    ("APP_RETURN_URLS", "https://app.example/payments"),
    ("LEASE_MS", "1000"),
    ("SCANNER_MS", "1000"),
    ("SCA_TIMEOUT", "4s"),
    ("QUEUE_AUTO_START", "true"),
    ("DRAIN_TIMEOUT", "5s"),
    ("NEONOMICS_CONNECT_TIMEOUT_MS", "1000"),
    ("NEONOMICS_READ_TIMEOUT_MS", "2000"),
    ("NEONOMICS_RETRY_BASE_MS", "50"),
    // As the polls are some forty times as frequent as they are delivered, the bank takes ten times as many calls.
    ("NEONOMICS_RATE_PER_SECOND", "500"),
    ("NEONOMICS_MAX_IN_FLIGHT", "100"),
    ("NEONOMICS_POLL_MS", "50"),
    ("NEONOMICS_POLL_MAX_MS", "400"),
    ("NEONOMICS_VISIBILITY_LAG_MS", "1500"),
    ("NEONOMICS_BREAKER_OPEN_MS", "500"),
    ("QUEUE_RAMP", "6000"),
];

/// Which database a trial is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server of our own.
    Postgres,
}

/// Whether the bank recognises an order by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// It does, for ever.
    Remembered,
    /// Two requests are two payments.
    Meaningless,
}

/// One process with its place: it is found at the same address again after each of its lives.
pub struct Role {
    /// What it is called in the kill list, and its log.
    pub name: &'static str,
    /// Whether it performs steps.
    pub performs: bool,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// The setting that says where it listens, when it does.
    bind: Option<&'static str>,
    directory: PathBuf,
    pulse: Pulse,
    address: OnceLock<SocketAddr>,
    process: Mutex<Option<Process>>,
}

impl Role {
    /// Starts it and waits until it says that it is ready. Answers when it was started, and what it says from then on.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(&self) -> Result<(Instant, watch::Receiver<Heard>), String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let process = self.spawn()?;
            // From here on it owes progress, unless it ends again.
            self.is_up();
            let (began, mut heard) = (process.began(), process.heard());
            let ready = heard.wait_for(|heard| heard.ready || heard.ended);
            let ready = timeout(START, ready).await.is_ok_and(|told| told.is_ok_and(|told| told.ready));
            if ready {
                if let Some(address) = heard.borrow().address {
                    self.address.get_or_init(|| address);
                }
                *self.process.lock().await = Some(process);
                return Ok((began, heard));
            }
            self.is_down();
            // It may have ended already; then there is nothing left to kill.
            let _ = process.kill().await;
        }
        Err(format!("{} does not start, see {}.log", self.name, self.name))
    }

    /// `kill -9`; it is gone when this returns. False when it did not run.
    ///
    /// # Errors
    /// When it was gone before: nobody else may end it.
    pub async fn kill(&self) -> Result<bool, String> {
        let Some(mut process) = self.process.lock().await.take() else { return Ok(false) };
        let fell = process.has_ended();
        self.is_down();
        process.kill().await.map_err(|error| error.to_string())?;
        if fell { Err(format!("{} ended by itself, see {}.log", self.name, self.name)) } else { Ok(true) }
    }

    /// It stands still for so long and then goes on. False when it did not run.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub async fn freeze(&self, pause: Duration) -> Result<bool, String> {
        let process = self.process.lock().await;
        let Some(process) = process.as_ref() else { return Ok(false) };
        self.is_down();
        process.signal(Signal::Stop).await.map_err(|error| error.to_string())?;
        tokio::time::sleep(pause).await;
        self.is_up();
        process.signal(Signal::Continue).await.map(|()| true).map_err(|error| error.to_string())
    }

    /// Where it is found.
    pub fn base(&self) -> Option<String> {
        self.address.get().map(|address| format!("http://{address}"))
    }

    /// Another command of the product in the same place; what it printed, and whether it ended well.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn ask(&self, arguments: &[&str]) -> Result<(bool, String), String> {
        let mut command = command(&self.program, "KILL");
        command.args(arguments).envs(self.environment.iter().cloned()).current_dir(&self.directory);
        let done = timeout(Duration::from_mins(2), command.kill_on_drop(true).output());
        let done = done.await.map_err(|_| format!("{arguments:?} takes too long"))?;
        let done = done.map_err(|error| error.to_string())?;
        let text = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok((done.status.success(), text.concat()))
    }

    fn is_down(&self) {
        if self.performs {
            self.pulse.down(Part::Performer(self.name));
        }
    }

    fn is_up(&self) {
        if self.performs {
            self.pulse.up(Part::Performer(self.name));
        }
    }

    fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }

    fn spawn(&self) -> Result<Process, String> {
        let mut command = command(&self.program, "KILL");
        command.args(&self.arguments).envs(self.environment.iter().cloned()).current_dir(&self.directory);
        if let Some(bind) = self.bind {
            let address = self.address.get().copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
            command.env(bind, address.to_string());
        }
        Process::start(&mut command, &self.log(), &self.pulse)
            .map_err(|error| format!("{}: {error}", self.name))
    }
}

/// Everything that runs.
pub struct Cast {
    /// The bank.
    pub bank: Role,
    /// The product's processes; the first serves.
    pub product: Vec<Role>,
    /// The database server, if there is one.
    pub postgres: Option<Mutex<Cluster>>,
    /// When any of it made progress.
    pub pulse: Pulse,
}

impl Cast {
    /// Starts everything in `directory`.
    ///
    /// # Errors
    /// What does not start.
    pub async fn start(kind: Kind, keys: Keys, program: &Path, directory: &Path) -> Result<Self, String> {
        let pulse = Pulse::default();
        let role = |name, performs, arguments: &[&str], bind| Role {
            name,
            performs,
            program: program.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            environment: vec![],
            bind,
            directory: directory.to_owned(),
            pulse: pulse.clone(),
            address: OnceLock::new(),
            process: Mutex::new(None),
        };
        let mut bank = role("bank", false, &["sandbox"], Some("SANDBOX_BIND"));
        bank.environment.push(("SANDBOX_LEDGER".to_owned(), ledger(directory).display().to_string()));
        if keys == Keys::Meaningless {
            bank.environment.push(("SANDBOX_NO_SAFE_REPLAY".to_owned(), "true".to_owned()));
        }
        bank.start().await?;
        let serves = Some("BIND");
        let (postgres, mut product) = match kind {
            Kind::Sqlite => (None, vec![role("service", true, &["serve"], serves)]),
            Kind::Postgres => (
                Some(Cluster::make("crash", directory.join("postgres.log")).await?),
                vec![
                    role("service", true, &["serve"], serves),
                    role("front-end", false, &["serve"], serves),
                    role("worker-1", true, &["work"], None),
                    role("worker-2", true, &["work"], None),
                ],
            ),
        };
        let database = match &postgres {
            None => format!("sqlite://{}/sluse.db", directory.display()),
            Some(cluster) => cluster.url(),
        };
        let own = [
            ("DATABASE_URL", database),
            ("NEONOMICS_BASE_URL", bank.base().unwrap_or_default()),
            ("NEONOMICS_SAFE_REPLAY", (keys == Keys::Remembered).to_string()),
        ];
        let quick = QUICK.iter().map(|&(name, value)| (name, value.to_owned()));
        for role in &mut product {
            let workers = if role.performs { "64" } else { "0" }.to_owned();
            let all = quick.clone().chain(own.clone()).chain([("WORKERS", workers)]);
            role.environment = all.map(|(name, value)| (name.to_owned(), value)).collect();
        }
        for role in &product {
            role.start().await?;
        }
        Ok(Cast { bank, product, postgres: postgres.map(Mutex::new), pulse })
    }

    /// Lines in which a scanner of the product says that it found something that cannot be. However much is killed,
    /// there is nothing to find.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn violations(&self) -> std::io::Result<Vec<String>> {
        let mut found = Vec::new();
        for role in &self.product {
            let log = std::fs::read_to_string(role.log())?;
            found.extend(log.lines().filter(|line| line.contains("invariant_violated")).map(str::to_owned));
        }
        Ok(found)
    }

    /// Where the service is found: everywhere that serves.
    pub fn bases(&self) -> Vec<String> {
        self.product.iter().filter_map(Role::base).collect()
    }

    /// Ends everything, with the database's files copied to `keep`.
    pub async fn end(self, keep: Option<&Path>) {
        for role in self.product.iter().chain([&self.bank]) {
            // What has ended already is what is wanted here.
            let _ = role.kill().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.into_inner().end(keep).await;
        }
    }
}

/// Where the bank writes.
pub fn ledger(directory: &Path) -> PathBuf {
    directory.join("bank.jsonl")
}
