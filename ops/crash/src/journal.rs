//! A file of JSON lines, each on disk before the one who wrote it goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// Appends lines. Lines that come while others are being synced share the next sync.
#[derive(Clone)]
pub struct Journal {
    lines: mpsc::UnboundedSender<Line>,
}

struct Line {
    value: Value,
    written: oneshot::Sender<Result<(), String>>,
}

impl Journal {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (lines, inbox) = mpsc::unbounded_channel();
        thread::spawn(move || keep(file, inbox));
        Ok(Journal { lines })
    }

    /// Appends a line; it is on disk when this returns.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn write(&self, mut value: Value) -> io::Result<()> {
        value["at"] = now().into();
        let (answer, written) = oneshot::channel();
        self.lines.send(Line { value, written: answer }).map_err(|_| io::Error::other("it is closed"))?;
        written.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}

/// Every line of a journal. A last line that was cut short is none.
///
/// # Errors
/// When the file cannot be read, or another line is not JSON.
pub fn read(path: &Path) -> io::Result<Vec<Value>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
}

/// The machine's time in milliseconds since 1970: it stamps lines, so that they can be held against other logs.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness stands outside of the product, whose port is not its own"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn keep(mut file: File, mut inbox: mpsc::UnboundedReceiver<Line>) {
    let mut waiting = Vec::new();
    while inbox.blocking_recv_many(&mut waiting, 1_000) > 0 {
        let mut text = String::new();
        for line in &waiting {
            let Line { value, .. } = line;
            text.push_str(&value.to_string());
            text.push('\n');
        }
        let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        let done = done.map_err(|error| error.to_string());
        for line in waiting.drain(..) {
            // Whoever stopped waiting does not need to know.
            let _ = line.written.send(done.clone());
        }
    }
}
