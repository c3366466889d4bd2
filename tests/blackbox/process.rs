//! Processes that a test starts: their lines are read, they are waited for with a deadline, and none outlives the test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

/// How long a process may take to say where it listens.
const START: Duration = Duration::from_secs(30);
/// How often the end of a process is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// One running process of the product.
pub struct Process {
    child: Child,
    said: Arc<Said>,
    address: SocketAddr,
}

/// What a process printed so far, on either stream.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Process {
    /// Starts `sluse` and waits until it says where it listens.
    ///
    /// # Errors
    /// Everything it said, when it ended or fell silent before that.
    pub fn listening(
        args: &[&str],
        environment: &[(String, String)],
        directory: &Path,
    ) -> Result<Self, String> {
        let mut child = spawn(command(args, environment, directory));
        let said = Arc::new(Said::default());
        read(child.stdout.take().expect("it is piped"), &said);
        read(child.stderr.take().expect("it is piped"), &said);
        if let Some(address) = said.wait_for_address(&mut child) {
            return Ok(Process { child, said, address });
        }
        // It may have ended already; then there is nothing left to kill.
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("{args:?} does not listen:\n{}", said.text()))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it printed so far.
    pub fn said(&self) -> String {
        self.said.text()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and gone when this returns.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "the process {pid} is gone already:\n{}", self.said());
    }

    /// How it ended, once it has.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        for _ in 0..limit.as_millis() / LOOK.as_millis() {
            if let Some(status) = self.child.try_wait().expect("it was started here") {
                return status;
            }
            thread::sleep(LOOK);
        }
        panic!("still running after {limit:?}:\n{}", self.said());
    }

    fn end(&mut self) {
        // Both fail only when the process has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let text = self.said();
            let tail: Vec<_> = text.lines().rev().take(40).collect();
            println!("---- the last lines of process {}", self.child.id());
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

/// A command of the product that runs to its end: exit status and everything printed.
pub fn run(
    args: &[&str],
    environment: &[(String, String)],
    directory: &Path,
    limit: Duration,
) -> (ExitStatus, String) {
    let mut child = spawn(command(args, environment, directory));
    let said = Arc::new(Said::default());
    let readers = [
        read(child.stdout.take().expect("it is piped"), &said),
        read(child.stderr.take().expect("it is piped"), &said),
    ];
    let mut process = Process { child, said, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let status = process.wait(limit);
    for reader in readers {
        reader.join().expect("reading does not panic");
    }
    (status, process.said())
}

/// Nothing of the surrounding environment but the search path reaches the process.
fn command(args: &[&str], environment: &[(String, String)], directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    // The kernel ends it when this process ends, however that happens.
    command.arg("--pdeathsig=KILL").arg(env!("CARGO_BIN_EXE_sluse")).args(args);
    command.env_clear().envs(std::env::var("PATH").map(|path| ("PATH", path)));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Collects lines until the stream ends.
fn read(stream: impl Read + Send + 'static, said: &Arc<Said>) -> thread::JoinHandle<()> {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lines.lock().expect("no reader panics").push(line);
            said.more.notify_all();
        }
        said.more.notify_all();
    })
}

impl Said {
    fn text(&self) -> String {
        self.lines.lock().expect("no reader panics").join("\n")
    }

    /// The address in the first line that says `listening on http://…`.
    fn wait_for_address(&self, child: &mut Child) -> Option<SocketAddr> {
        let mut lines = self.lines.lock().expect("no reader panics");
        for _ in 0..START.as_millis() / LOOK.as_millis() {
            if let Some(address) = lines.iter().find_map(|line| address_in(line)) {
                return Some(address);
            }
            let ended = child.try_wait().expect("it was started here").is_some();
            lines = self.more.wait_timeout(lines, LOOK).expect("no reader panics").0;
            if ended {
                return lines.iter().find_map(|line| address_in(line));
            }
        }
        None
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on")?;
    let rest = rest.trim_start().trim_start_matches("http://");
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || ".:".contains(letter)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Starts a process from a thread that lives as long as this process: the kernel's "your parent died" is about the
/// thread that started the process, and a test's thread ends with its test.
fn spawn(command: Command) -> Child {
    static SPAWNER: LazyLock<Sender<(Command, Sender<Child>)>> = LazyLock::new(|| {
        let (orders, taken) = channel::<(Command, Sender<Child>)>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                let child = command.spawn().expect("setpriv is there");
                answer.send(child).expect("the caller waits");
            }
        });
        orders
    });
    let (answer, child) = channel();
    SPAWNER.send((command, answer)).expect("the spawner lives as long as the process");
    child.recv().expect("the spawner answers")
}
