//! What a provider takes from all processes together: calls in any second, and calls at once.
//!
//! Each process holds a share of both, which it renews twice a second while it asks anything, and gives up when it
//! does not; within its share it paces its calls without asking anybody. [`shares`] says who may have how much,
//! [`pace`] when a call may begin, [`budget`] how many repetitions there may be, [`desk`] keeps one process' view of one
//! provider; all four are pure. What is here waits, and asks the store; [`Pass`] is what a request needs to leave.

pub mod budget;
pub(crate) mod desk;
pub mod pace;
mod pass;
pub mod shares;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use workflows::time::At;

use crate::committer::chain;
use crate::ports::Clock;
use crate::store::{Neighbours, NodeId};
use crate::wake::Wake;
use desk::{Desk, Need};
use pass::{Aside, Held};

pub use desk::Terms;
pub use pass::Pass;
pub(crate) use pass::Turns;
pub use shares::Limit;

/// Nothing is waited for longer than this without another look.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// The wait after the store did not answer.
const TROUBLE: Duration = Duration::from_millis(500);

/// The limits of every provider that has any, as this process sees them. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    inner: Arc<Inner>,
}

struct Inner {
    providers: BTreeMap<Arc<str>, Arc<Provider>>,
}

struct Provider {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    longest_call: Duration,
    desk: Mutex<Desk>,
    /// Somebody needs a share, or has something to cede.
    needed: Notify,
    /// A place is free, or the share has grown.
    freed: Notify,
    /// Calls begin in the order in which they came here.
    line: tokio::sync::Mutex<()>,
    /// So do further requests of calls that are open. They have their place, and must not wait behind who needs one.
    again: tokio::sync::Mutex<()>,
    /// And so do calls that no payment waits for,
    aside: tokio::sync::Mutex<()>,
    /// of which so many wait for their turn or are open.
    asides: AtomicU32,
    /// Whether the feeder found no room here,
    turned_away: AtomicBool,
    /// and what tells it that there is some again.
    wake: Arc<Wake>,
}

impl Limits {
    /// Limits for these providers, paced by `clock`. They have no share until [`Limits::share`] runs.
    ///
    /// Not by the store's clock, which is set by the database's now and then: what is paced must not jump.
    pub(crate) fn new(terms: BTreeMap<Arc<str>, Terms>, clock: &Arc<dyn Clock>, wake: &Arc<Wake>) -> Self {
        let now = clock.now();
        let provider = |(name, terms): (Arc<str>, Terms)| {
            let provider = Provider {
                name: Arc::clone(&name),
                clock: Arc::clone(clock),
                longest_call: terms.longest_call,
                desk: Mutex::new(Desk::new(terms, now)),
                needed: Notify::new(),
                freed: Notify::new(),
                line: tokio::sync::Mutex::default(),
                again: tokio::sync::Mutex::default(),
                aside: tokio::sync::Mutex::default(),
                asides: AtomicU32::new(0),
                turned_away: AtomicBool::new(false),
                wake: Arc::clone(wake),
            };
            (name, Arc::new(provider))
        };
        let providers = terms.into_iter().map(provider).collect();
        Limits { inner: Arc::new(Inner { providers }) }
    }

    /// No limits.
    pub fn none() -> Self {
        Limits { inner: Arc::new(Inner { providers: BTreeMap::new() }) }
    }

    /// Begins a call, or answers how long to wait before it is worth asking again. A provider without limits takes
    /// everything.
    ///
    /// # Errors
    /// The wait.
    pub fn take(&self, provider: &str) -> Result<Pass, Duration> {
        let Some(provider) = self.inner.providers.get(provider) else { return Ok(Pass::unlimited()) };
        let now = provider.clock.now();
        let mut desk = provider.desk();
        match desk.take(now) {
            Ok(()) => {
                let losses = desk.losses();
                drop(desk);
                Ok(Pass::of(Held::new(Arc::clone(provider), losses, now)))
            }
            Err(at) => {
                drop(desk);
                provider.needed.notify_one();
                Err(at.since(now))
            }
        }
    }

    /// Begins a call when its turn comes; nothing when that is not within `patience`.
    pub async fn pass(&self, provider: &str, patience: Duration) -> Option<Pass> {
        let Some(known) = self.inner.providers.get(provider) else { return Some(Pass::unlimited()) };
        tokio::time::timeout(patience, self.turn(known)).await.ok()
    }

    /// The same for a call that no payment waits for. Such calls have at most half of the places, so that banks that are
    /// slow to tell balances hold up no payment.
    pub async fn pass_aside(&self, provider: &str, patience: Duration) -> Option<Pass> {
        let Some(known) = self.inner.providers.get(provider) else { return Some(Pass::unlimited()) };
        let turn = async {
            let aside = self.aside(known).await;
            self.turn(known).await.aside(aside)
        };
        tokio::time::timeout(patience, turn).await.ok()
    }

    async fn turn(&self, known: &Arc<Provider>) -> Pass {
        let _first = known.line.lock().await;
        loop {
            let freed = known.freed.notified();
            match self.take(&known.name) {
                Ok(pass) => return pass,
                Err(wait) => tokio::select! {
                    biased;
                    () = tokio::time::sleep(wait.min(LOOK_AGAIN)) => {}
                    () = freed => {}
                },
            }
        }
    }

    async fn aside(&self, known: &Arc<Provider>) -> Aside {
        let _first = known.aside.lock().await;
        loop {
            let freed = known.freed.notified();
            let most = (known.desk().places(known.clock.now()) / 2).max(1);
            if known.asides.load(Ordering::Acquire) < most {
                return Aside::one_of(known);
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(TROUBLE) => {}
                () = freed => {}
            }
        }
    }

    /// How many more calls are worth admitting.
    pub fn room(&self, provider: &str) -> usize {
        let Some(provider) = self.inner.providers.get(provider) else { return usize::MAX };
        let room = provider.desk().room(provider.clock.now());
        if room == 0 {
            provider.turned_away.store(true, Ordering::Release);
        }
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Admits a call that will begin when its turn comes, if there is room for it. Asks for a share meanwhile.
    pub fn admit(&self, provider: &str) -> Option<Admission> {
        let Some(provider) = self.inner.providers.get(provider) else {
            return Some(Admission { provider: None });
        };
        let admitted = provider.desk().admit(provider.clock.now());
        provider.needed.notify_one();
        if !admitted {
            provider.turned_away.store(true, Ordering::Release);
        }
        admitted.then(|| Admission { provider: Some(Arc::clone(provider)) })
    }

    /// How many calls a provider takes at once; nothing when it takes everything.
    pub fn places(&self, provider: &str) -> Option<usize> {
        let provider = self.inner.providers.get(provider)?;
        Some(usize::try_from(provider.desk().limit().in_flight).unwrap_or(usize::MAX))
    }

    /// The providers that have limits.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.inner.providers.keys().map(|name| &**name)
    }

    /// How many calls a second a provider takes from all processes; nothing when it takes everything.
    pub fn rate(&self, provider: &str) -> Option<u32> {
        let provider = self.inner.providers.get(provider)?;
        Some(provider.desk().limit().per_second)
    }

    /// Sets how many calls a second a provider takes.
    pub fn set_rate(&self, provider: &str, per_second: u32) {
        if let Some(known) = self.inner.providers.get(provider) {
            let limit = Limit { per_second, ..known.desk().limit() };
            self.set(provider, limit);
        }
    }

    /// Sets what a provider takes from all processes together; each process is told by whoever knows. Less is obeyed at
    /// once, more within about two seconds.
    pub fn set(&self, provider: &str, limit: Limit) {
        if let Some(provider) = self.inner.providers.get(provider) {
            provider.desk().set(limit);
            provider.needed.notify_one();
        }
    }

    /// How long a call may take in all: a share is gone when it takes longer.
    pub fn longest_call(&self, provider: &str) -> Duration {
        self.inner.providers.get(provider).map_or(Duration::MAX, |provider| provider.longest_call)
    }

    /// A first attempt was made: it earns a part of a repetition.
    pub fn earn(&self, provider: &str) {
        if let Some(provider) = self.inner.providers.get(provider) {
            provider.desk().budget.earn();
        }
    }

    /// Pays for a repetition after a miss. A provider without limits gives everything away.
    pub fn spend(&self, provider: &str) -> bool {
        self.inner.providers.get(provider).is_none_or(|provider| provider.desk().budget.spend())
    }

    /// Asks for shares anew at once: a process is dead, and what it held is free.
    pub(crate) fn look(&self) {
        for provider in self.inner.providers.values() {
            provider.desk().look();
            provider.needed.notify_one();
        }
    }

    /// Whether anybody wants anything from a provider at the moment.
    pub(crate) fn is_busy(&self) -> bool {
        let needs = |provider: &Arc<Provider>| provider.desk().need(provider.clock.now()) != Need::Nothing;
        self.inner.providers.values().any(needs)
    }

    /// Keeps this process' shares for as long as it is polled. `alive` says whether others know that it lives: while they
    /// do not, they may take it for dead, and it has no share.
    pub(crate) async fn share(
        self,
        neighbours: Arc<dyn Neighbours>,
        node: NodeId,
        alive: watch::Receiver<bool>,
    ) {
        let providers = self.inner.providers.values();
        let keep =
            |provider: &Arc<Provider>| self.keep(Arc::clone(provider), &*neighbours, &node, alive.clone());
        futures::future::join_all(providers.map(keep)).await;
    }

    async fn keep(
        &self,
        provider: Arc<Provider>,
        neighbours: &dyn Neighbours,
        node: &NodeId,
        mut alive: watch::Receiver<bool>,
    ) {
        loop {
            if !*alive.borrow_and_update() {
                provider.desk().lose();
                if alive.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let now = provider.clock.now();
            let need = provider.desk().next(now);
            let wait = match need {
                Need::Nothing => LOOK_AGAIN,
                Need::Renewal(at) => at.since(now),
                Need::Surrender => Duration::ZERO,
            };
            if !wait.is_zero() {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(wait) => {}
                    () = provider.needed.notified() => {}
                    changed = alive.changed() => if changed.is_err() { return },
                }
                continue;
            }
            let asked = tokio::select! {
                biased;
                asked = self.ask(&provider, neighbours, node, need) => asked,
                // What was asked for comes too late: the share is lost first.
                changed = alive.changed() => if changed.is_err() { return } else { continue },
            };
            if let Err(trouble) = asked {
                tracing::warn!(provider = &*provider.name, error = %chain(&trouble), "no share of the provider");
                tokio::time::sleep(TROUBLE).await;
            }
        }
    }

    async fn ask(
        &self,
        provider: &Provider,
        neighbours: &dyn Neighbours,
        node: &NodeId,
        need: Need,
    ) -> Result<(), crate::store::Trouble> {
        if need == Need::Surrender {
            return neighbours.give_up_share(&provider.name, node).await;
        }
        let asked = provider.desk().report(provider.clock.now());
        let granted = neighbours.renew_share(&provider.name, node, &asked.report, asked.untold).await?;
        provider.desk().renewed(&asked, granted.obey, granted.balance);
        provider.freed();
        Ok(())
    }
}

impl Provider {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may begin, or be admitted, that could not before.
    fn freed(&self) {
        self.freed.notify_waiters();
        if self.turned_away.swap(false, Ordering::AcqRel) {
            self.wake.due(At::MIN);
        }
    }
}

/// A call that was admitted: it waits for its turn, or gives its admission back when this goes.
#[must_use]
pub struct Admission {
    provider: Option<Arc<Provider>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some(provider) = &self.provider else { return };
        provider.desk().dismiss();
        provider.freed();
    }
}
