//! What happened in a world, one line at a time, for the one run that people read.

use std::sync::{Mutex, PoisonError};

use workflows::time::At;

/// Lines, kept only where somebody asked for them.
#[derive(Debug, Default)]
pub struct Log {
    lines: Option<Mutex<Vec<String>>>,
}

impl Log {
    /// One that keeps what it is told.
    pub fn kept() -> Self {
        Log { lines: Some(Mutex::default()) }
    }

    /// Whether anybody reads it.
    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line, which is made only if it is kept.
    pub fn tell(&self, now: At, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{} {}", now.to_rfc3339_millis(), line());
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        let lines =
            self.lines.as_ref().map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).clone());
        lines.unwrap_or_default()
    }
}
