//! A PostgreSQL of our own: made in a temporary directory, reached by a socket in it, durable, and otherwise as it is
//! delivered.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a server may take to answer.
const START: Duration = Duration::from_mins(1);
/// How long it may take to end in order.
const END: Duration = Duration::from_secs(30);
/// What differs from the defaults: connections by socket only, and room for several processes. Synchronous commits are
/// said once more, so that nothing in the surroundings can relax them.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "max_connections=200",
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "dynamic_shared_memory_type=mmap",
];

/// One server with its files.
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    server: Child,
}

impl Cluster {
    /// Makes one in this directory and starts it, with these settings beside those that every one has.
    ///
    /// # Errors
    /// What is missing or failed.
    pub async fn make(directory: &Path, settings: &[(String, String)]) -> Result<Self, String> {
        let programs = programs().await?;
        let directory = directory.join("postgres");
        let shown = |error: std::io::Error| format!("{}: {error}", directory.display());
        std::fs::create_dir_all(&directory).map_err(shown)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&directory)).await?;
        }
        let options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync"];
        run(program(&programs, "initdb").arg("--pgdata").arg(directory.join("data")).args(options)).await?;
        let log = File::create(directory.join("log")).map_err(shown)?;
        let mut command = program(&programs, "postgres");
        command.arg("-D").arg(directory.join("data")).arg("-k").arg(&directory);
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let server = command.spawn().map_err(|error| format!("postgres: {error}"))?;
        let mut cluster = Cluster { programs, directory, server };
        match timeout(START, cluster.answers()).await {
            Ok(true) => Ok(cluster),
            Ok(false) | Err(_) => {
                Err(format!("PostgreSQL does not start, see {}", cluster.directory.display()))
            }
        }
    }

    /// Makes a database and answers how it is reached.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn database(&self, name: &str) -> Result<String, String> {
        let mut make = program(&self.programs, "createdb");
        run(make.arg("--host").arg(&self.directory).args(["--username=postgres", name])).await?;
        Ok(format!("postgres://postgres@localhost/{name}?host={}", self.directory.display()))
    }

    /// The postmaster's process.
    pub fn process(&self) -> u32 {
        // One that ended by itself has none, and takes no time either.
        self.server.id().unwrap_or(0)
    }

    /// Stops the server in order.
    pub async fn end(mut self) {
        if let Some(id) = self.server.id() {
            // Fast shutdown. It may have ended between the look and the signal.
            let _ = Command::new("kill").args(["-INT", &id.to_string()]).stderr(Stdio::null()).status().await;
        }
        if timeout(END, self.server.wait()).await.is_err() {
            let _ = self.server.kill().await;
        }
    }

    async fn answers(&mut self) -> bool {
        loop {
            let mut ask = Command::new(self.programs.join("pg_isready"));
            let asked = ask.arg("--host").arg(&self.directory).arg("--quiet").status().await;
            if asked.is_ok_and(|status| status.success()) {
                return true;
            }
            if !matches!(self.server.try_wait(), Ok(None)) {
                return false;
            }
            sleep(Duration::from_millis(40)).await;
        }
    }
}

/// One of its programs, as its own user where we are root, which it refuses to run as. The kernel stops it when this
/// process is gone.
fn program(programs: &Path, name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.current_dir("/").arg("--pdeathsig=INT");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(programs.join(name));
    command
}

async fn run(command: &mut Command) -> Result<(), String> {
    let done =
        command.stdin(Stdio::null()).output().await.map_err(|error| format!("{command:?}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

async fn programs() -> Result<PathBuf, String> {
    let asked = Command::new("pg_config").arg("--bindir").output().await.ok();
    let told = asked.map(|told| PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    told.into_iter()
        .chain(packaged.map(|version| version.path().join("bin")))
        .find(|directory| directory.join("initdb").exists())
        .ok_or_else(|| "PostgreSQL's server programs are needed: apt-get install postgresql".to_owned())
}
