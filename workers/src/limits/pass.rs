//! A place among the calls that are open at a provider, and the turns of the requests that leave under it.
//!
//! The one rule: no request leaves without a turn of its own, and one leaves at a time. A call may need several: a token
//! before its question, and the question again after the token was refused. They share its place, since whoever held
//! one place and waited for another could wait for ever.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use workflows::time::At;

use super::{LOOK_AGAIN, Provider};

/// A turn is used within so short a time that the provider still hears it where the pace put it
/// ([`super::pace::JITTER`] is for this and for the way); after that another one is waited for.
const FRESH: Duration = Duration::from_millis(10);

/// A call that may begin now; its place is free again when this goes.
#[must_use]
pub struct Pass {
    /// Nothing where there are no limits.
    held: Option<Arc<Held>>,
    _aside: Option<Aside>,
}

/// The turns of one pass, for a transport that sends a request more than once.
#[derive(Clone)]
pub(crate) struct Turns(Option<Arc<Held>>);

/// A place that is taken.
pub(super) struct Held {
    provider: Arc<Provider>,
    /// How often the share had been lost when it was taken.
    losses: u32,
    /// When a turn came that is not used yet.
    turn: Mutex<Option<At>>,
}

/// A call that no payment waits for, counted.
pub(super) struct Aside(Arc<Provider>);

impl Pass {
    /// For a call to whom nobody limits: another part of this house, or a stand-in of a provider.
    pub fn unlimited() -> Self {
        Pass { held: None, _aside: None }
    }

    pub(super) fn of(held: Held) -> Self {
        Pass { held: Some(Arc::new(held)), _aside: None }
    }

    pub(super) fn aside(self, aside: Aside) -> Self {
        Pass { _aside: Some(aside), ..self }
    }

    /// What a transport asks before each sending.
    pub(crate) fn turns(&self) -> Turns {
        Turns(self.held.clone())
    }
}

impl Pass {
    /// Waits for the next turn and uses it: for a transport, right before a request leaves.
    pub async fn turn(&self) {
        self.turns().leave().await;
    }
}

impl Turns {
    /// Waits for the next turn: there is one at once for a request that follows its pass without delay.
    pub(crate) async fn come(&self) {
        let Some(held) = &self.0 else { return };
        if held.has_turn() {
            return;
        }
        let _first = held.provider.again.lock().await;
        loop {
            let freed = held.provider.freed.notified();
            let now = held.now();
            let again = held.provider.desk().again(held.losses, now);
            let Err(at) = again else {
                *held.turn() = Some(now);
                return;
            };
            held.provider.needed.notify_one();
            tokio::select! {
                biased;
                () = tokio::time::sleep(at.since(now).min(LOOK_AGAIN)) => {}
                () = freed => {}
            }
        }
    }

    /// Uses the next turn, when it has come: a request leaves right after this.
    pub(crate) async fn leave(&self) {
        self.come().await;
        if let Some(held) = &self.0 {
            *held.turn() = None;
        }
    }
}

impl Held {
    /// Taken at `now`, with a turn.
    pub(super) fn new(provider: Arc<Provider>, losses: u32, now: At) -> Self {
        Held { provider, losses, turn: Mutex::new(Some(now)) }
    }

    fn has_turn(&self) -> bool {
        self.turn().is_some_and(|at| self.now().since(at) <= FRESH)
    }

    fn now(&self) -> At {
        self.provider.clock.now()
    }

    fn turn(&self) -> MutexGuard<'_, Option<At>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.provider.desk().end();
        self.provider.needed.notify_one();
        self.provider.freed();
    }
}

impl Aside {
    pub(super) fn one_of(provider: &Arc<Provider>) -> Self {
        provider.asides.fetch_add(1, Ordering::AcqRel);
        Aside(Arc::clone(provider))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.0.asides.fetch_sub(1, Ordering::AcqRel);
        self.0.freed();
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("limited", &self.held.is_some()).finish_non_exhaustive()
    }
}
