//! The service as a process, on a database of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tempfile::TempDir;

use crate::bank::Bank;
use crate::process::{self, Process};
use crate::{postgres, tokens};

/// The databases that the product knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server of our own.
    Postgres,
}

/// Settings that make a test quick. Everything else is as delivered.
const QUICK: &[(&str, &str)] = &[
    ("BIND", "127.0.0.1:0"),
    ("JWT_SECRET", tokens::SECRET),
    ("APP_RETURN_URLS", "https://app.example/payments,drop://payments"),
    ("LOG", "warn"),
    ("SCA_TIMEOUT", "60s"),
    ("NEONOMICS_CONNECT_TIMEOUT_MS", "1000"),
    ("NEONOMICS_READ_TIMEOUT_MS", "5000"),
    ("NEONOMICS_RETRY_BASE_MS", "50"),
    ("NEONOMICS_POLL_MS", "50"),
    ("NEONOMICS_POLL_MAX_MS", "400"),
    ("NEONOMICS_VISIBILITY_LAG_MS", "1500"),
    ("NEONOMICS_RATE_PER_SECOND", "1000"),
    ("NEONOMICS_MAX_IN_FLIGHT", "100"),
    ("NEONOMICS_BREAKER_OPEN_MS", "500"),
    ("QUEUE_RAMP", "1000"),
];

/// How long a service may take to end its work after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

/// One service; it can be killed and started again on the same database and the same port.
pub struct Service {
    directory: TempDir,
    environment: Vec<(String, String)>,
    address: SocketAddr,
    process: Mutex<Option<Process>>,
}

impl Service {
    /// On a fresh database, with these settings on top of the quick ones.
    pub fn start(kind: Kind, bank: &Bank, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = match kind {
            Kind::Sqlite => format!("sqlite://{}/sluse.db", directory.path().display()),
            Kind::Postgres => postgres::shared().create_database(),
        };
        let own = [("DATABASE_URL", database.as_str()), ("NEONOMICS_BASE_URL", &bank.base())];
        let mut environment: Vec<(String, String)> = Vec::new();
        for (name, value) in QUICK.iter().chain(&own).chain(settings) {
            environment.retain(|(known, _)| known != name);
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        let process = Process::listening(&["serve"], &environment, directory.path()).unwrap();
        let address = process.address();
        // From here on it is found at the same place, whatever happens to it.
        environment.retain(|(name, _)| name != "BIND");
        environment.push(("BIND".to_owned(), address.to_string()));
        Service { directory, environment, address, process: Mutex::new(Some(process)) }
    }

    /// Its address for clients.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.process().take().expect("it runs").kill();
    }

    /// Starts it again, on the same database and port.
    pub fn restart(&self) {
        // Somebody's outgoing connection may sit on the port for a moment.
        let attempt = || Process::listening(&["serve"], &self.environment, self.directory.path());
        let process = attempt().or_else(|_| attempt()).or_else(|_| attempt()).unwrap();
        *self.process() = Some(process);
    }

    /// SIGTERM and the end; its exit code.
    pub fn stop(&self) -> Option<i32> {
        let mut process = self.process().take().expect("it runs");
        process.ask_to_stop();
        process.wait(DRAIN).code()
    }

    /// Everything the running process printed.
    pub fn said(&self) -> String {
        self.process().as_ref().map(Process::said).unwrap_or_default()
    }

    /// Processor time that the running process used so far, in clock ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let id = self.process().as_ref().expect("it runs").id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field behind it.
        let fields: Vec<_> = stat.rsplit(')').next().expect("a line").split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Another command of the product, on the same settings.
    pub fn command(&self, args: &[&str]) -> String {
        let (status, said) =
            process::run(args, &self.environment, self.directory.path(), Duration::from_secs(30));
        assert!(status.success(), "{args:?}: {said}");
        said
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().expect("nobody panics with it")
    }
}

/// A service with its bank.
pub struct World {
    pub service: Service,
    pub bank: Bank,
}

impl World {
    /// A fresh one with these settings.
    pub fn with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let bank = Bank::start();
        World { service: Service::start(kind, &bank, settings), bank }
    }

    /// The one that tests share while at least one of them uses it. Each test has its own people, accounts and bank
    /// branch in it.
    pub fn shared(kind: Kind) -> Arc<Self> {
        static SHARED: [Mutex<Weak<World>>; 2] = [Mutex::new(Weak::new()), Mutex::new(Weak::new())];
        let place = match kind {
            Kind::Sqlite => &SHARED[0],
            Kind::Postgres => &SHARED[1],
        };
        let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(world) = place.upgrade() {
            return world;
        }
        let world = Arc::new(World::with(kind, &[]));
        *place = Arc::downgrade(&world);
        world
    }
}
