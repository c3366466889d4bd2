//! A PostgreSQL of our own: made in a temporary directory, reached by a socket in it, and killed like everything else.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::process::{Signal, send};

/// How long a server may take to answer after a crash. One that recovers is left alone: whoever kills it then makes it
/// begin anew, and it may never be done.
const RECOVERY: Duration = Duration::from_mins(5);
/// The database that is used.
const NAME: &str = "crash";

/// One server with its files.
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    log: PathBuf,
    server: Option<Child>,
}

impl Cluster {
    /// Makes one below `/tmp`, whose paths are short enough for a socket, and starts it.
    ///
    /// # Errors
    /// What is missing or failed.
    pub async fn make(name: &str, log: PathBuf) -> Result<Self, String> {
        let programs = programs().await?;
        let directory = PathBuf::from(format!("/tmp/sluse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut cluster = Cluster { programs, directory, log, server: None };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&cluster.directory)).await?;
        }
        let data = cluster.data();
        let options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync"];
        run(cluster.program("initdb").arg("--pgdata").arg(data).args(options)).await?;
        cluster.start().await?;
        let directory = cluster.directory.clone();
        run(cluster.program("createdb").arg("--host").arg(directory).args(["--username=postgres", NAME]))
            .await?;
        Ok(cluster)
    }

    /// How the service finds it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/{NAME}?host={}", self.directory.display())
    }

    /// Its files.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn start(&mut self) -> Result<(), String> {
        let until = Instant::now() + RECOVERY;
        // One that ends at once finds the memory of the killed one held: its backends may be stuck in a write.
        while Instant::now() < until {
            let log = File::options().create(true).append(true).open(&self.log);
            let mut command = self.program("postgres");
            command.arg("-D").arg(self.data()).arg("-k").arg(&self.directory);
            let settings = [
                "listen_addresses=",
                "fsync=on",
                "max_connections=200",
                "shared_buffers=64MB",
                "dynamic_shared_memory_type=mmap",
            ];
            for setting in settings {
                command.arg("-c").arg(setting);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(log.map_err(|error| error.to_string())?);
            let mut server = command.spawn().map_err(|error| format!("postgres: {error}"))?;
            let answered = timeout_at(until, self.answers(&mut server)).await;
            if matches!(answered, Ok(true)) {
                self.server = Some(server);
                return Ok(());
            }
            let _ = server.kill().await;
            sleep(Duration::from_millis(100)).await;
        }
        Err(format!("PostgreSQL does not start, see {}", self.log.display()))
    }

    /// Waits until the server that runs answers.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ready(&mut self) -> Result<(), String> {
        let Some(mut server) = self.server.take() else { return Err("PostgreSQL does not run".to_owned()) };
        let answered = timeout(RECOVERY, self.answers(&mut server)).await;
        self.server = Some(server);
        if matches!(answered, Ok(true)) { Ok(()) } else { Err("PostgreSQL does not recover".to_owned()) }
    }

    /// Kills the server itself. False when it does not run.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(&mut self) -> io::Result<bool> {
        let Some(mut server) = self.server.take() else { return Ok(false) };
        server.kill().await.map(|()| true)
    }

    /// Kills one backend that serves the product; the server then ends all others and recovers. False when there is
    /// none.
    ///
    /// # Errors
    /// When the processes cannot be looked through.
    pub async fn kill_backend(&self, which: u64) -> io::Result<bool> {
        let Some(postmaster) = self.server.as_ref().and_then(Child::id) else { return Ok(false) };
        let mut backends = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            // Processes come and go while they are looked through.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let Ok(title) = std::fs::read_to_string(entry.path().join("cmdline")) else { continue };
            // Behind the name in parentheses: state, then the parent.
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            if parent == Some(postmaster.to_string().as_str())
                && title.starts_with(&format!("postgres: postgres {NAME}"))
            {
                backends.push(id);
            }
        }
        backends.sort_unstable();
        let Some(count) = u64::try_from(backends.len()).ok().filter(|count| *count > 0) else {
            return Ok(false);
        };
        let Some(id) = usize::try_from(which % count).ok().and_then(|at| backends.get(at)) else {
            return Ok(false);
        };
        send(*id, Signal::Kill).await.map(|()| true)
    }

    /// Stops the server in order; with `keep`, its files are copied there first. Removes its directory.
    pub async fn end(mut self, keep: Option<&Path>) {
        if let Some(mut server) = self.server.take() {
            if let Some(id) = server.id() {
                let _ = send(id, Signal::Interrupt).await;
            }
            if timeout(Duration::from_secs(20), server.wait()).await.is_err() {
                let _ = server.kill().await;
            }
        }
        if let Some(keep) = keep {
            let copied = run(Command::new("cp").arg("-a").arg(self.data()).arg(keep)).await;
            if let Err(why) = copied {
                eprintln!("the database's files stay in {}: {why}", self.directory.display());
                return;
            }
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }

    async fn answers(&self, server: &mut Child) -> bool {
        loop {
            let mut ask = Command::new(self.programs.join("pg_isready"));
            let asked = ask.arg("--host").arg(&self.directory).arg("--quiet").status().await;
            if asked.is_ok_and(|status| status.success()) {
                return true;
            }
            if !matches!(server.try_wait(), Ok(None)) {
                return false;
            }
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// One of its programs, as its own user where we are root, which it refuses to run as. The kernel stops it when
    /// the harness is gone; it then gives its shared memory back.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.current_dir("/").arg("--pdeathsig=INT");
        if is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(self.programs.join(name));
        command
    }
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
