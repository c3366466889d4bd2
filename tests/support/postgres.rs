//! Private PostgreSQL clusters: made in a temporary directory, reached by a socket in it, gone with this process.
//!
//! Nothing outlives the tests, however they end: the kernel tells the server to stop when its parent goes
//! (`setpriv --pdeathsig`; it then gives its shared memory back), and a watcher that waits for this process' end and the
//! server's removes the directory.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

/// How often a server is tried to start, 200 ms apart.
const ATTEMPTS: u32 = 150;

/// One server with its files.
pub struct Cluster {
    directory: PathBuf,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    watcher: Child,
}

impl Cluster {
    /// A fresh one, running.
    pub fn start_fresh() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("sluse-pg-")
            // A socket's path may have 107 bytes.
            .tempdir_in("/tmp")
            .expect("a temporary directory")
            .keep();
        let watcher = watch(&directory);
        if is_root() {
            run(Command::new("chown").arg("postgres:postgres").arg(&directory));
        }
        let data = directory.join("data");
        run(as_postgres("initdb").arg("--pgdata").arg(&data).args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--no-sync",
            "--no-instructions",
        ]));
        let cluster = Cluster { directory, server: Mutex::new(None), databases: AtomicU32::new(0), watcher };
        cluster.start();
        cluster
    }

    /// Makes a database of its own and answers its URL.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        run(as_postgres("createdb").arg("--host").arg(&self.directory).args(["--username=postgres", &name]));
        format!("postgres://postgres@localhost/{name}?host={}", self.directory.display())
    }

    /// Starts the server and waits until it answers.
    pub fn start(&self) {
        // After a kill, backends that are stuck in a write hold the former server's shared memory for a while.
        for _ in 0..ATTEMPTS {
            let log = File::options()
                .create(true)
                .append(true)
                .open(self.directory.join("log"))
                .expect("a log file");
            let mut command = as_postgres("postgres");
            command.arg("-D").arg(self.directory.join("data")).arg("-k").arg(&self.directory);
            for setting in [
                "listen_addresses=",
                "fsync=on",
                "max_connections=300",
                "shared_buffers=64MB",
                "dynamic_shared_memory_type=mmap",
            ] {
                command.arg("-c").arg(setting);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut server = spawn(command);
            if self.answers(&mut server) {
                *self.server.lock().expect("the server") = Some(server);
                return;
            }
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start:\n{log}");
    }

    /// Stops the server in good order; open connections are closed.
    pub fn stop(&self) {
        self.end("INT");
    }

    /// Kills the server on the spot.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// A crash and a recovery.
    pub fn crash_and_recover(&self) {
        self.kill();
        self.start();
    }

    fn end(&self, signal: &str) {
        if let Some(mut server) = self.server.lock().expect("the server").take() {
            run(Command::new("kill").arg(format!("-{signal}")).arg(server.id().to_string()));
            server.wait().expect("the server was started here");
        }
    }

    fn answers(&self, server: &mut Child) -> bool {
        for _ in 0..600 {
            let ready = Command::new(program("pg_isready"))
                .arg("--host")
                .arg(&self.directory)
                .arg("--quiet")
                .status()
                .expect("pg_isready runs");
            if ready.success() {
                return true;
            }
            if server.try_wait().expect("the server was started here").is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(200));
        false
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        drop(self.watcher.stdin.take());
        self.watcher.wait().expect("the watcher was started here");
    }
}

/// The cluster that the tests of one binary share; each makes a database of its own.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start_fresh);
    &SHARED
}

/// Removes the directory when this process is gone: the watcher's input ends then.
fn watch(directory: &Path) -> Child {
    Command::new("sh")
        .arg("-c")
        .arg("trap '' INT TERM HUP; cat; for n in 1 2 3 4 5 6 7 8 9; do [ -e \"$0/data/postmaster.pid\" ] || break; sleep 1; done; for n in 1 2 3; do rm -rf \"$0\" && exit; sleep 1; done")
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}

/// Starts a process from a thread that lives as long as this process: the kernel's "your parent died" is about the
/// thread that started the process, and a test's thread ends with its test.
fn spawn(command: Command) -> Child {
    static SPAWNER: LazyLock<Sender<(Command, Sender<Child>)>> = LazyLock::new(|| {
        let (orders, taken) = channel::<(Command, Sender<Child>)>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                let child = command.spawn().expect("PostgreSQL's programs are there");
                answer.send(child).expect("the caller waits");
            }
        });
        orders
    });
    let (answer, child) = channel();
    SPAWNER.send((command, answer)).expect("the spawner lives as long as the process");
    child.recv().expect("the spawner answers")
}

/// One of PostgreSQL's programs, as its own user where we are root, which it refuses to run as.
fn as_postgres(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.current_dir("/").arg("--pdeathsig=INT");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program(name));
    command
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().expect("the program runs");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("a proc file system").uid() == 0
}

fn program(name: &str) -> PathBuf {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let asked = Command::new("pg_config").arg("--bindir").output().ok();
        let told = asked.map(|told| PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
        let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        told.into_iter()
            .chain(packaged.map(|version| version.path().join("bin")))
            .find(|directory| directory.join("initdb").exists())
            .expect("these tests need PostgreSQL's server programs: apt-get install postgresql")
    });
    DIRECTORY.join(name)
}
