//! Where log lines go: stderr, for people or for machines.
//!
//! A line costs a system call, and a busy process has thousands a second: lines are collected for a moment and written
//! together. A warning or an error is written at once, with everything before it.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::Log;

/// The longest that a line waits for others.
const MOMENT: Duration = Duration::from_millis(50);
/// Bytes that do not wait any longer.
const ENOUGH: usize = 64 * 1024;

/// Sends log lines to stderr from here on. A second call changes nothing. What is collected is written when the answer
/// is dropped.
#[must_use]
pub fn start(log: &Log) -> Flush {
    let terminal = io::stderr().is_terminal();
    let lines = Arc::new(Lines { at_once: terminal, collected: Mutex::default(), some: Condvar::new() });
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.filter))
        .with_ansi(terminal)
        .with_writer(Out(Arc::clone(&lines)));
    // An error means that somebody set a subscriber before, in a test for instance.
    let _ = if log.json { subscriber.json().flatten_event(true).try_init() } else { subscriber.try_init() };
    let writing = Arc::clone(&lines);
    // Without a thread for it, every line is written when the next warning comes, or enough of them.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_now_and_then());
    Flush(lines)
}

/// Writes what is left when it goes.
pub struct Flush(Arc<Lines>);

impl Drop for Flush {
    fn drop(&mut self) {
        write_out(&mut self.0.lock());
    }
}

/// Lines on their way.
struct Lines {
    /// Somebody reads along.
    at_once: bool,
    collected: Mutex<Vec<u8>>,
    some: Condvar,
}

impl Lines {
    fn add(&self, bytes: &[u8], urgent: bool) {
        let mut collected = self.lock();
        let was_empty = collected.is_empty();
        collected.extend_from_slice(bytes);
        if urgent || self.at_once || collected.len() >= ENOUGH {
            write_out(&mut collected);
        } else if was_empty {
            self.some.notify_one();
        }
    }

    fn write_now_and_then(&self) {
        loop {
            let none = |collected: &mut Vec<u8>| collected.is_empty();
            let waited = self.some.wait_while(self.lock(), none);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            thread::sleep(MOMENT);
            write_out(&mut self.lock());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever cannot be written to is not told so.
fn write_out(collected: &mut Vec<u8>) {
    let _ = io::stderr().write_all(collected);
    collected.clear();
}

/// One line.
struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.add(bytes, self.urgent);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the lines of this process begin.
struct Out(Arc<Lines>);

impl<'a> MakeWriter<'a> for Out {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, urgent: true }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { lines: &self.0, urgent: *meta.level() <= Level::WARN }
    }
}
