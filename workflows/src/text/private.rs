//! Text about a person, which no log may show.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name or a message between people. Its `Debug` form shows nothing of it, so that it cannot reach a log, a trace or
/// an error by accident.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private(String);

impl Private {
    /// The text itself, for the provider and the person's own screen.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Private {
    fn from(text: String) -> Self {
        Private(text)
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Private::from("Kari Nordmann".to_owned())), "…");
    }
}
