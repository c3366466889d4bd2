//! Where log lines go: stderr, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Sends log lines to stderr from here on. A second call changes nothing.
pub fn start(log: &Log) {
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.filter))
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    // An error means that somebody set a subscriber before, in a test for instance.
    let _ = if log.json { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
}
