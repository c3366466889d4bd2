//! How a step is performed: data that the worker obeys.

use std::fmt;
use std::time::Duration;

use crate::time::At;

/// Where a task queues: `provider/bank/operation`. A closed lane is never scanned and costs nothing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(String);

impl Lane {
    /// The lane of an operation at a bank behind a provider.
    pub fn of(provider: &str, bank: &str, operation: &str) -> Self {
        Lane(format!("{provider}/{bank}/{operation}"))
    }

    /// The lane of every timer.
    pub fn timers() -> Self {
        Lane("timer".to_owned())
    }

    /// Provider, bank and operation, unless it is the lane of timers. A bank's name may hold slashes: it is whatever
    /// stands between the other two.
    pub fn parts(&self) -> Option<(&str, &str, &str)> {
        let (provider, rest) = self.0.split_once('/')?;
        let (bank, operation) = rest.rsplit_once('/')?;
        Some((provider, bank, operation))
    }

    /// A lane as it was stored.
    pub fn stored(lane: String) -> Self {
        Lane(lane)
    }

    /// As stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything the worker must know about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where it queues.
    pub lane: Lane,
    /// How long one attempt may take in all.
    pub timeout: Duration,
    /// Whether an attempt whose outcome is unknown may be repeated.
    pub repeat: Repeat,
    /// After an unknown outcome that may be repeated, and after "too many calls".
    pub retry: Retry,
    /// After an attempt that provably never left.
    pub unreached: Retry,
    /// After a definite "no news yet".
    pub poll: Retry,
    /// What stands at the provider when it succeeds.
    pub stake: Stake,
    /// What becomes of it while its lane is shut.
    pub shut: Shut,
}

/// What becomes of a step that is due while its lane is shut: the breaker is open, an operator holds it, or the mode
/// forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// It waits, and is not looked at, until the lane is open again.
    Waits,
    /// It is given up at once as never sent; one that may have been sent before waits all the same.
    GivesUp,
}

/// Whether a second attempt is safe after an unknown first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Never: a second attempt could have a second effect.
    Never,
    /// While the provider remembers the key.
    Within {
        /// How long the provider remembers.
        window: Duration,
        /// Since when the key may have been in use.
        since: At,
        /// Whether it was used before this task was born: then the first attempt is a repetition too.
        used: bool,
    },
    /// Always: a read, or an operation that says the same thing twice.
    Freely,
}

/// A ladder of attempts: `first`, doubling up to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included; `None` = until the machine takes the step back.
    pub attempts: Option<u32>,
    /// The wait after the first attempt.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Retry {
    /// One attempt and no more.
    pub const ONCE: Retry = Retry { attempts: Some(1), first: Duration::ZERO, most: Duration::ZERO };

    /// The wait after attempt number `attempt` (1 = the first), or `None` when that was the last.
    pub fn wait_after(&self, attempt: u32) -> Option<Duration> {
        if self.attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(20);
        Some(self.first.saturating_mul(1 << doublings).min(self.most))
    }
}

/// What a step leaves at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stake {
    /// Nothing: it only asks.
    Reads,
    /// Something that must be undone if the saga fails.
    Owes(&'static str),
    /// Undoes what another step left.
    Clears(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_doubles_up_to_its_top_and_ends_where_it_says() {
        let ladder = Retry { attempts: Some(5), first: Duration::from_secs(1), most: Duration::from_secs(4) };
        let waits: Vec<_> = (1..=6).map(|n| ladder.wait_after(n).map(|d| d.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(4), None, None]);
        assert_eq!(Retry::ONCE.wait_after(1), None);
        let endless = Retry { attempts: None, ..ladder };
        assert_eq!(endless.wait_after(u32::MAX), Some(Duration::from_secs(4)));
    }
}
