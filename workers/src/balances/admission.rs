//! What operators and breakers have to say about reads of accounts.

use std::time::Duration;

use async_trait::async_trait;
use workflows::engine::Lane;

/// Whether a bank may be asked for balances, and how old a balance may be. The lane is `{provider}/{bank}/aisp`.
#[async_trait]
pub trait Admission: Send + Sync {
    /// How balances are shown at the moment.
    fn mode(&self, lane: &Lane) -> Mode;

    /// How long a balance counts as fresh, whatever the mode, when an operator or `AISP_CACHE_TTL` says so.
    fn cache_ttl(&self, lane: &Lane) -> Option<Duration>;

    /// Whether the bank, or the provider before it, is known to be down.
    fn is_down(&self, lane: &Lane) -> bool;

    /// Asks for one call right now. In half-open one caller is let in at a time.
    async fn enter(&self, lane: &Lane) -> Entrance;
}

/// The leave to make one call. Whoever has it says what the call brought: every attempt counts, repetitions too.
#[async_trait]
pub trait Leave: Send {
    /// This is what it brought.
    async fn brought(self: Box<Self>, verdict: Verdict);

    /// It was not made after all: somebody else may make it.
    async fn unused(self: Box<Self>);
}

/// How balances are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fresh from the bank.
    Live,
    /// Up to an hour old (AI-33).
    Cached,
    /// Not at all (AI-18).
    Hidden,
}

/// Whether a call may be made.
pub enum Entrance {
    /// It may.
    Open(Box<dyn Leave>),
    /// Not while the bank is down.
    Down,
    /// Not for a while: the bank wants fewer calls, or refuses us.
    Resting,
}

/// What a call says about the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, whatever it said.
    Answered,
    /// It wants fewer calls from us, whatever the account.
    Limited {
        /// For how long it is left alone.
        rests: Duration,
    },
    /// It did not answer, or answered that it failed.
    Failed,
    /// The provider before it answered that it failed, and blamed no bank.
    ProviderFailed,
    /// It could not be reached at all.
    Unreached,
}
