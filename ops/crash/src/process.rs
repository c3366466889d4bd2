//! One process that the harness started: its lines go to a file and are listened to, it is told to die by its id, and
//! the kernel ends it should the harness die first.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pulse::Pulse;

/// A running process.
pub struct Process {
    child: Child,
    began: Instant,
    heard: watch::Receiver<Heard>,
}

/// What a process has said so far that matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// It says that it is ready.
    pub ready: bool,
    /// How long after its start it first said that it had committed something.
    pub progress: Option<Duration>,
    /// It says nothing more.
    pub ended: bool,
}

/// What to send to a process.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Die at once.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
    /// End in order.
    Interrupt,
}

impl Process {
    /// Starts a program with nothing of the surrounding environment but the search path. Its lines are appended to
    /// `log`, and each commit that it tells of is a beat of `pulse`.
    ///
    /// # Errors
    /// When it cannot be started or its log cannot be written.
    pub fn start(command: &mut Command, log: &Path, pulse: &Pulse) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let began = Instant::now();
        let (say, heard) = watch::channel(Heard::default());
        if let Some(stream) = child.stdout.take() {
            tokio::spawn(listen(stream, file.try_clone()?, (began, pulse.clone()), say.clone()));
        }
        if let Some(stream) = child.stderr.take() {
            tokio::spawn(listen(stream, file, (began, pulse.clone()), say));
        }
        Ok(Process { child, began, heard })
    }

    /// When it was started.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Follows what it says.
    pub fn heard(&self) -> watch::Receiver<Heard> {
        self.heard.clone()
    }

    /// Its input; closed when this goes.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends a signal to it. One that is gone hears nothing.
    ///
    /// # Errors
    /// When `kill` cannot be run.
    pub async fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(id) = self.child.id() else { return Ok(()) };
        send(id, signal).await
    }

    /// Kills it; it is gone when this returns.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// Sends a signal to a process by its id.
///
/// # Errors
/// When `kill` cannot be run.
pub async fn send(id: u32, signal: Signal) -> io::Result<()> {
    let word = match signal {
        Signal::Kill => "-KILL",
        Signal::Stop => "-STOP",
        Signal::Continue => "-CONT",
        Signal::Interrupt => "-INT",
    };
    // It may have ended between the look and the signal, and `kill` then says so.
    Command::new("kill").args([word, &id.to_string()]).stderr(Stdio::null()).status().await.map(|_| ())
}

/// A command whose process the kernel ends with `signal` when this process is gone.
pub fn command(program: &Path, signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--pdeathsig={signal}")).arg(program).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

async fn listen(
    stream: impl AsyncRead + Unpin,
    mut log: File,
    (began, pulse): (Instant, Pulse),
    say: watch::Sender<Heard>,
) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // A log that cannot be written must not stop the process that writes it.
        let _ = writeln!(log, "{line}");
        let committed = line.contains(": settled ") || line.contains(": started ");
        if committed {
            pulse.beat();
        }
        say.send_if_modified(|heard| {
            let before = (heard.address, heard.ready, heard.progress);
            heard.address = heard.address.or_else(|| address_in(&line));
            heard.ready |= heard.address.is_some() || line.contains("performing steps");
            if heard.progress.is_none() && committed {
                heard.progress = Some(began.elapsed());
            }
            before != (heard.address, heard.ready, heard.progress)
        });
    }
    say.send_modify(|heard| heard.ended = true);
}

/// The address in a line that says `listening on http://…`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on")?;
    let rest = rest.trim_start().trim_start_matches("http://");
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || ".:".contains(letter)));
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
