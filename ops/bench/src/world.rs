//! What is measured: the service as a process of its own on a new database, and the sandbox bank beside it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::database::{Database, Site};
use crate::machine;

/// Opens nothing but a database that lives as long as the run.
const SECRET: &str = "a-secret-of-the-bench-with-more-than-32-bytes";
/// The first of January 2100.
const FAR: i64 = 4_102_444_800;
/// How long a process may take until it listens.
const START: Duration = Duration::from_mins(1);
/// How long one may take to end in order.
const END: Duration = Duration::from_secs(40);
/// What the bench needs to be told. Everything else is as delivered, the log included.
const SETTINGS: [(&str, &str); 6] = [
    ("JWT_SECRET", SECRET),
    ("BIND", "127.0.0.1:0"),
    ("BENCH_WORKFLOW", "true"),
    // The provider's limits are a contract, not a property of the engine.
    ("NEONOMICS_RATE_PER_SECOND", "10000"),
    ("NEONOMICS_MAX_IN_FLIGHT", "256"),
    ("QUEUE_AUTO_START", "true"),
];

/// A service on its database.
pub struct World {
    /// The database.
    pub database: Database,
    /// The processes of the service.
    pub servers: Vec<Process>,
    /// The bank.
    pub bank: Process,
}

impl World {
    /// Starts one on a new database of `site`, with so many processes. `settings` come on top of those that every run has.
    ///
    /// # Errors
    /// What does not start.
    pub async fn start(
        site: &Site,
        place: &Place,
        name: &str,
        processes: usize,
        settings: &[(String, String)],
    ) -> Result<Self, String> {
        let database = site.database(name).await?;
        let ledger = place.directory.join(format!("{name}-bank.jsonl"));
        let own = |name: &str, value: String| (name.to_owned(), value);
        let told = vec![
            own("SANDBOX_BIND", "127.0.0.1:0".into()),
            own("SANDBOX_LEDGER", ledger.display().to_string()),
        ];
        let bank = Process::start(place, "sandbox", &format!("{name}-bank"), &told).await?;
        let mut told: Vec<_> = SETTINGS.map(|(name, value)| own(name, value.to_owned())).into();
        told.push(own("DATABASE_URL", database.url.clone()));
        told.push(own("NEONOMICS_BASE_URL", format!("http://{}", bank.address)));
        told.extend_from_slice(settings);
        let mut servers = Vec::new();
        for n in 0..processes {
            servers.push(Process::start(place, "serve", &format!("{name}-service-{n}"), &told).await?);
        }
        Ok(World { database, servers, bank })
    }

    /// The process that a client speaks to.
    pub fn server(&self, client: usize) -> SocketAddr {
        self.servers[client % self.servers.len()].address
    }

    /// Kills the first process and starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.servers[0].restart().await
    }

    /// CPU time of all processes, in milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        self.servers.iter().map(|server| machine::cpu_ms(server.id)).sum()
    }

    /// Resident memory of all processes, in kilobytes.
    pub fn rss_kb(&self) -> u64 {
        self.servers.iter().map(|server| machine::rss_kb(server.id)).sum()
    }

    /// Ends both in order.
    ///
    /// # Errors
    /// When the service ended by itself before.
    pub async fn end(self) -> Result<(), String> {
        let mut ended = Ok(());
        for server in self.servers {
            ended = ended.and(server.end().await);
        }
        self.bank.end().await?;
        ended
    }
}

/// Where a run keeps its files, and the program that it measures.
#[derive(Clone)]
pub struct Place {
    /// The product's program.
    pub program: PathBuf,
    /// The run's own directory.
    pub directory: PathBuf,
}

/// A process that listens.
pub struct Process {
    /// Where.
    pub address: SocketAddr,
    /// Its id.
    pub id: u32,
    child: Child,
    log: PathBuf,
    starts: Starts,
}

/// How a process is started.
struct Starts {
    place: Place,
    command: &'static str,
    name: String,
    settings: Vec<(String, String)>,
}

impl Process {
    /// Starts a command of the product with nothing of the surrounding environment but the search path, and waits until
    /// it says where it listens. The kernel ends it should this process be gone first.
    async fn start(
        place: &Place,
        command: &'static str,
        name: &str,
        settings: &[(String, String)],
    ) -> Result<Self, String> {
        let starts =
            Starts { place: place.clone(), command, name: name.to_owned(), settings: settings.to_owned() };
        Process::begin(starts).await
    }

    /// Kills it and starts it again.
    async fn restart(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| error.to_string())?;
        let Starts { place, command, name, settings } = &self.starts;
        *self = Process::start(place, command, name, settings).await?;
        Ok(())
    }

    async fn begin(starts: Starts) -> Result<Self, String> {
        let Starts { place, command, name, settings } = &starts;
        let log = place.directory.join(format!("{name}.log"));
        let shown = |error: std::io::Error| format!("{name}: {error}");
        let file = File::create(&log).map_err(shown)?;
        let mut start = Command::new("setpriv");
        start.arg("--pdeathsig=KILL").arg(&place.program).arg(command).env_clear();
        start.envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(settings.iter().cloned());
        start.current_dir(&place.directory).stdin(Stdio::null()).kill_on_drop(true);
        start.stdout(file.try_clone().map_err(shown)?).stderr(file);
        let mut child = start.spawn().map_err(shown)?;
        let told = async {
            loop {
                if let Some(address) = address_in(&log) {
                    return Some(address);
                }
                if !matches!(child.try_wait(), Ok(None)) {
                    return None;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let address = timeout(START, told).await.ok().flatten();
        match (address, child.id()) {
            (Some(address), Some(id)) => Ok(Process { address, id, child, log, starts }),
            _ => Err(format!("{name} does not start, see {}", log.display())),
        }
    }

    async fn end(mut self) -> Result<(), String> {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return Err(format!("it ended by itself, see {}", self.log.display()));
        }
        let id = self.id.to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status().await;
        if timeout(END, self.child.wait()).await.is_err() {
            // What it has stored is durable; nothing is read of it any more.
            let _ = self.child.kill().await;
        }
        Ok(())
    }
}

/// A token of the service under measurement.
///
/// # Errors
/// When none can be made.
pub fn token(subject: &str, role: &str) -> Result<String, String> {
    let claims = json!({ "sub": subject, "role": role, "exp": FAR });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).map_err(|error| error.to_string())
}

/// The address in the line that says `listening on http://…`.
fn address_in(log: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(log).ok()?;
    let (_, rest) = text.split_once("listening on http://")?;
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || ".:".contains(letter)))?;
    rest.get(..end)?.parse().ok()
}
