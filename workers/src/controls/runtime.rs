//! The controls of one process: a snapshot that is read without asking anybody, and changes by compare-and-swap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use workflows::engine::Lane;
use workflows::ids::WorkflowId;
use workflows::time::At;

use super::breaker::{Breaker, Effect, Lease, PROBE, Stance};
use super::gate::{Gate, gate};
use super::holds::HoldOn;
use super::ramp::{Queue, Release};
use super::rows::{Change, Changed, ControlRow, ControlStore, Kind};
use super::settings::Settings;
use super::snapshot::{Snapshot, document};
use super::subject::{BreakerId, Operation, Place, held_aside, is_queue};
use super::switches::{AispMode, PispMode, SwanMode, Switch, SwitchName};
use crate::committer::chain;
use crate::news::{Listener, News};
use crate::ports::{Clock, Ids};
use crate::store::{NodeId, Trouble};

/// For so long a process goes by what it heard: a change is effective everywhere within this.
const CURRENT: Duration = Duration::from_secs(5);
/// How often a process that performs nothing looks for changes of others; one that performs looks where it looks for
/// work.
const LOOK: Duration = Duration::from_secs(1);
/// How long the right to try lasts: longer than any attempt.
const TRIAL: Duration = Duration::from_secs(45);

/// The controls of one process. Cheap to clone.
#[derive(Clone)]
pub struct Controls {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    store: Arc<dyn ControlStore>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// This process, in trials and probes; by its node's id once it has one.
    name: OnceLock<Arc<str>>,
    nameless: Arc<str>,
    snapshot: News<Arc<Snapshot>>,
    /// When the store last said that the snapshot is what is stored.
    heard: Mutex<At>,
    /// The lanes that held work when this process last looked.
    working: watch::Sender<Arc<[Lane]>>,
    pub(super) unwritten: Mutex<HashMap<BreakerId, Vec<Effect>>>,
    pub(super) writing: tokio::sync::Mutex<()>,
}

/// The right to make the one attempt that half-open breakers let through.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    leases: Vec<(BreakerId, Lease)>,
}

/// What may be let out of a queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granted {
    /// So many, which count as let through in the window that began then, until they are given back; in none, where
    /// nothing has to be counted.
    Some(usize, Option<At>),
    /// None before this time.
    NotBefore(At),
    /// None until something changes.
    None,
}

impl Controls {
    /// Reads what is stored.
    ///
    /// # Errors
    /// When the store does not answer: a process that does not know what is forbidden does nothing.
    pub async fn open(
        store: Arc<dyn ControlStore>,
        clock: Arc<dyn Clock>,
        ids: &dyn Ids,
        settings: Settings,
    ) -> Result<Self, Trouble> {
        let read_at = clock.now();
        let (revision, rows) = store.controls().await?;
        let snapshot = News::new(Arc::new(Snapshot::of(revision, &rows)));
        let (working, _) = watch::channel(Arc::from([]));
        let inner = Inner {
            store,
            clock,
            settings,
            name: OnceLock::new(),
            nameless: format!("{:032x}", ids.random()).into(),
            snapshot,
            heard: Mutex::new(read_at),
            working,
            unwritten: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        };
        Ok(Controls { inner: Arc::new(inner) })
    }

    /// The process is this node.
    pub(crate) fn act_for(&self, node: &NodeId) {
        self.inner.name.get_or_init(|| Arc::clone(&node.0));
    }

    /// The right to probe or to try of every process but these is free.
    pub(super) async fn bury_all_but(&self, living: &[NodeId]) -> Result<(), Trouble> {
        let own = self.name();
        let is_dead = |by: &str| *by != *own && !living.iter().any(|node| *node.0 == *by);
        let known = self.snapshot();
        for (id, ..) in known.breakers().filter(|(_, breaker, _)| breaker.without(is_dead).is_some()) {
            self.change_breaker(id, |breaker, _| breaker.without(is_dead)).await?;
        }
        Ok(())
    }

    fn name(&self) -> Arc<str> {
        Arc::clone(self.inner.name.get().unwrap_or(&self.inner.nameless))
    }

    /// What a lane allows now.
    pub fn gate(&self, lane: &Lane) -> Gate {
        gate(&self.inner.snapshot.get(), &self.inner.settings, lane, self.now())
    }

    /// Whether payments are made at a bank.
    pub fn pisp(&self, provider: &str, bank: &str) -> PispMode {
        self.inner.snapshot.get().pisp(&self.inner.settings, provider, bank, self.now())
    }

    /// Whether balances are read at a bank. That its breaker is open is another matter: see [`Controls::gate`] of
    /// [`Operation::Aisp`]'s lane.
    pub fn aisp(&self, provider: &str, bank: &str) -> AispMode {
        self.inner.snapshot.get().aisp(&self.inner.settings, provider, bank, self.now())
    }

    /// How old a balance of a bank may be.
    pub fn cache_ttl(&self, provider: &str, bank: &str) -> Duration {
        self.inner.snapshot.get().cache_ttl(&self.inner.settings, provider, bank, self.now())
    }

    /// Whether accounts are opened.
    pub fn swan(&self) -> SwanMode {
        match self.snapshot().turned(&SwitchName::Swan, self.now()) {
            Some(Switch::Swan(mode)) => *mode,
            _ => self.inner.settings.start.swan,
        }
    }

    /// Whether a feature is on; one that nobody ever named is.
    pub fn flag(&self, name: &str) -> bool {
        match self.snapshot().turned(&SwitchName::Feature(name.to_owned()), self.now()) {
            Some(Switch::Feature(_, on)) => *on,
            _ => self.inner.settings.start.features.get(name).copied().unwrap_or(true),
        }
    }

    /// How many calls a second a provider gets.
    pub fn rate(&self, provider: &str) -> u32 {
        match self.snapshot().turned(&SwitchName::Rate(provider.to_owned()), self.now()) {
            Some(Switch::Rate(_, rate)) => *rate,
            _ => self.inner.settings.rate,
        }
    }

    /// What holds the payments of this instance, if anything about it or its kind does.
    pub fn held(&self, instance: WorkflowId, kind: &str) -> Option<HoldOn> {
        let (known, now) = (self.inner.snapshot.get(), self.now());
        HoldOn::about(instance, kind).into_iter().find(|hold| known.is_held(std::slice::from_ref(hold), now))
    }

    /// Every control as this process knows it: at most a second old.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.get()
    }

    /// How controls decide here.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Wakes with every change that this process hears of.
    pub fn watch(&self) -> Listener<Arc<Snapshot>> {
        self.inner.snapshot.listen()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// When the store does not answer; the old snapshot stays.
    pub async fn refresh(&self) -> Result<(), Trouble> {
        let asked_at = self.now();
        let (revision, rows) = self.inner.store.controls().await?;
        self.is_heard(asked_at);
        let read = Arc::new(Snapshot::of(revision, &rows));
        self.inner.snapshot.change_if(|known| {
            let newer = known.revision() < read.revision();
            if newer {
                *known = read;
            }
            newer
        });
        Ok(())
    }

    /// Reads what is stored, when the `revision` that was asked for at `asked_at` says that it changed.
    pub(crate) async fn heard_of(&self, revision: i64, asked_at: At) -> Result<(), Trouble> {
        if revision == self.inner.snapshot.get().revision() {
            self.is_heard(asked_at);
            return Ok(());
        }
        self.refresh().await
    }

    /// Whether this process has heard lately what is forbidden. One that has not sends no new payment: the store may
    /// answer everybody else, an operator among them.
    pub(crate) fn are_current(&self) -> bool {
        let heard = *self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.now().since(heard) < CURRENT
    }

    fn is_heard(&self, at: At) {
        let mut heard = self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = at.max(*heard);
    }

    /// Asks whether something changed, and reads it then.
    ///
    /// # Errors
    /// When the store does not answer; the old snapshot stays.
    pub async fn look(&self) -> Result<(), Trouble> {
        let asked_at = self.now();
        let revision = self.inner.store.controls_revision().await?;
        self.heard_of(revision, asked_at).await
    }

    /// Looks for changes for as long as somebody else holds these controls.
    pub(crate) fn keep_looking(&self) -> impl Future<Output = ()> + Send + use<> {
        let inner = Arc::downgrade(&self.inner);
        async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(inner) = inner.upgrade() else { return };
                if let Err(trouble) = (Controls { inner }).look().await {
                    tracing::error!(error = %chain(&trouble), "looking for changes failed");
                }
            }
        }
    }

    /// These lanes hold work. A queue that is empty, and of which nothing was put aside, needs no ramp any more.
    pub(crate) async fn saw_work(&self, lanes: Vec<Lane>) -> Result<(), Trouble> {
        let known = self.snapshot();
        let is_empty = |queue: &Lane| {
            let of_it = |lane: &Lane| held_aside(lane).is_some_and(|(of, _)| of == *queue);
            !lanes.iter().any(|lane| lane == queue || of_it(lane))
        };
        for (queue, _) in known.queues().filter(|(lane, queue)| queue.ramp.is_some() && is_empty(lane)) {
            self.change_queue(queue, |queue, _| queue.emptied()).await?;
        }
        self.inner.working.send_if_modified(|known| {
            let differs = **known != *lanes;
            if differs {
                *known = lanes.into();
            }
            differs
        });
        Ok(())
    }

    /// Wakes when other lanes hold work than before.
    pub(super) fn watch_work(&self) -> watch::Receiver<Arc<[Lane]>> {
        self.inner.working.subscribe()
    }

    /// The right to make one attempt in a lane that lets through one at a time; `None` while somebody else has it.
    pub(crate) async fn try_one(&self, lane: &Lane) -> Result<Option<Trial>, Trouble> {
        let mut trial = Trial::default();
        for id in Place::of(lane).map(|place| place.breakers()).unwrap_or_default() {
            if self.inner.snapshot.get().breaker(&id).is_none() {
                continue;
            }
            let lease = Lease { by: self.name().to_string(), until: self.now().plus(TRIAL) };
            let reads = !id.stops_money();
            let change =
                self.change_breaker(&id, |breaker, now| breaker.tried_by(&lease, reads, now)).await?;
            if change.is_some() {
                trial.leases.push((id, lease));
            } else if !passes(self.inner.snapshot.get().breaker(&id), self.now()) {
                self.not_tried(trial).await;
                return Ok(None);
            }
        }
        Ok(Some(trial))
    }

    /// How many of `wanted` may be let out of a queue now.
    pub(crate) async fn release(&self, queue: &Lane, wanted: usize) -> Result<Granted, Trouble> {
        let rate = queue.parts().map_or(self.inner.settings.rate, |(provider, ..)| self.rate(provider));
        let most = u32::try_from(wanted).unwrap_or(u32::MAX);
        loop {
            let (now, known) = (self.now(), self.snapshot());
            let (version, queue_row) = known.stored_queue(queue);
            match queue_row.release(most, &self.inner.settings.ramp, rate, now) {
                Release::Free => return Ok(Granted::Some(wanted, None)),
                Release::NotBefore(at) => return Ok(Granted::NotBefore(at)),
                Release::Paused => return Ok(Granted::None),
                Release::Some(granted, next) => {
                    let written = self.write(Kind::Queue, queue.as_str(), version, Some(&next)).await?;
                    if written {
                        let granted = usize::try_from(granted).unwrap_or(wanted).min(wanted);
                        return Ok(Granted::Some(granted, next.window()));
                    }
                }
            }
        }
    }

    /// So many that were granted in a window are not sent: nobody was there, or they are held.
    pub(crate) async fn give_back(&self, queue: &Lane, counted_in: At, unused: usize) -> Result<(), Trouble> {
        let unused = u32::try_from(unused).unwrap_or(u32::MAX);
        self.change_queue(queue, |queue, _| queue.given_back(counted_in, unused)).await
    }

    /// Something waits in a queue whose lane is shut: it is let out step by step afterwards.
    pub(crate) async fn hold_back(&self, queue: &Lane) -> Result<(), Trouble> {
        if !is_queue(queue) {
            return Ok(());
        }
        self.change_queue(queue, |queue, _| queue.stopped()).await
    }

    /// The breakers that are due to be probed and have a reason to be, each with the bank to ask; and when the next
    /// one may be due.
    pub(super) fn to_probe(&self) -> (Vec<(BreakerId, String)>, Option<At>) {
        let (now, known, working) = (self.now(), self.snapshot(), Arc::clone(&self.inner.working.borrow()));
        let rules = &self.inner.settings.breaker;
        let mut due = vec![];
        let mut next: Option<At> = None;
        for (id, breaker, _) in known.breakers().filter(|(id, ..)| id.stops_money()) {
            // One that is only in question holds back what is parked and nothing else.
            let closed = breaker.stance(now) == Stance::Closed;
            if closed && (id.bank().is_some() || !breaker.is_in_question(rules, now)) {
                continue;
            }
            let of_it = |lane: &&Lane| {
                Place::of(lane).is_some_and(|place| id.covers(place) && (!closed || is_queue(lane)))
            };
            let waiting = working.iter().find(of_it).and_then(|lane| lane.parts());
            if waiting.is_none() && !breaker.is_asked() {
                continue;
            }
            // Behind a provider that cannot be reached no bank can be asked.
            let provider = BreakerId::Provider(id.provider().to_owned());
            let reachable = *id == provider
                || known.breaker(&provider).is_none_or(|provider| match provider.stance(now) {
                    Stance::Closed | Stance::HalfOpen => true,
                    Stance::Due | Stance::Open => false,
                });
            let Some(at) = breaker.next_probe(rules) else { continue };
            if now < at {
                next = Some(next.map_or(at, |next| next.min(at)));
            } else if reachable {
                let bank = id.bank().or(waiting.map(|(_, bank, _)| bank)).unwrap_or_default();
                due.push((id.clone(), bank.to_owned()));
            }
        }
        (due, next)
    }

    /// Somebody who leaves no task behind was kept out of a lane by breakers that are due: one of them is probed for
    /// that.
    pub(super) async fn ask_for_probe(&self, lane: &Lane) -> Result<(), Trouble> {
        for id in Place::of(lane).map(|place| place.breakers()).unwrap_or_default() {
            if id.stops_money() {
                self.change_breaker(&id, Breaker::asked_for).await?;
            }
        }
        Ok(())
    }

    /// The right to probe a breaker, unless it is not due any more or somebody else is at it.
    pub(super) async fn begin_probe(&self, id: &BreakerId) -> Result<Option<Lease>, Trouble> {
        let lease = Lease { by: self.name().to_string(), until: self.now().plus(PROBE) };
        let rules = &self.inner.settings.breaker;
        let began = self.change_breaker(id, |breaker, now| breaker.probed_by(&lease, rules, now)).await?;
        Ok(began.map(|_| lease))
    }

    /// What the probe found.
    pub(super) async fn end_probe(&self, id: &BreakerId, lease: &Lease, well: bool) -> Result<(), Trouble> {
        let rules = &self.inner.settings.breaker;
        let changed =
            self.change_breaker(id, |breaker, now| breaker.after_probe(lease, well, rules, now)).await?;
        if let Some((before, after)) = changed {
            self.turned(id, &before, &after);
        }
        Ok(())
    }

    /// Changes a breaker as `decide` says, on what is stored by then. Answers what it was and is, or nothing when
    /// `decide` did not want a change.
    pub(super) async fn change_breaker(
        &self,
        id: &BreakerId,
        decide: impl Fn(&Breaker, At) -> Option<Breaker> + Send + Sync,
    ) -> Result<Option<(Breaker, Breaker)>, Trouble> {
        loop {
            let now = self.now();
            let (version, before) = self.snapshot().stored_breaker(id);
            let Some(after) = decide(&before, now).filter(|after| *after != before) else { return Ok(None) };
            let stored = (!after.is_forgettable(now)).then_some(&after);
            if self.write(Kind::Breaker, &id.to_string(), version, stored).await? {
                return Ok(Some((before, after)));
            }
        }
    }

    /// Changes a queue as `decide` says, on what is stored by then.
    pub(super) async fn change_queue(
        &self,
        lane: &Lane,
        decide: impl Fn(&Queue, At) -> Option<Queue> + Send + Sync,
    ) -> Result<(), Trouble> {
        loop {
            let now = self.now();
            let (version, before) = self.snapshot().stored_queue(lane);
            let Some(after) = decide(&before, now).filter(|after| *after != before) else { return Ok(()) };
            let stored = (!after.is_forgettable(now)).then_some(&after);
            if self.write(Kind::Queue, lane.as_str(), version, stored).await? {
                return Ok(());
            }
        }
    }

    /// Writes a control over the version it was decided on, and knows it from then on. Answers `false` when it was
    /// changed meanwhile, after reading what is there.
    pub(super) async fn write<T: Serialize + Sync>(
        &self,
        kind: Kind,
        subject: &str,
        version: i64,
        what: Option<&T>,
    ) -> Result<bool, Trouble> {
        if what.is_none() && version == 0 {
            return Ok(true);
        }
        let now = self.now();
        let change = Change { kind, subject: subject.into(), version, document: what.map(document) };
        match self.inner.store.change_control(&change, now).await? {
            Changed::Stale => {
                self.refresh().await?;
                Ok(false)
            }
            Changed::Written(revision) => {
                self.adopt(change, revision, now);
                Ok(true)
            }
        }
    }

    /// The clock that decides what holds.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(super) fn now(&self) -> At {
        self.inner.clock.now()
    }

    pub(super) fn unwritten(&self) -> MutexGuard<'_, HashMap<BreakerId, Vec<Effect>>> {
        self.inner.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process wrote itself, without reading everything. When others wrote in between, the number stays
    /// behind and the next look reads everything.
    fn adopt(&self, change: Change, revision: i64, now: At) {
        let Change { kind, subject, document, .. } = change;
        self.inner.snapshot.change_if(|known| {
            if known.revision() >= revision {
                return false;
            }
            let follows = known.revision() + 1 == revision;
            let row = document.map(|document| ControlRow {
                kind,
                subject: Arc::clone(&subject),
                document,
                version: revision,
                updated_at: now,
            });
            let as_of = if follows { revision } else { known.revision() };
            *known = Arc::new(known.with(as_of, kind, &subject, row.as_ref()));
            true
        });
    }
}

impl Trial {
    /// What it holds at one breaker.
    pub(super) fn lease(&self, id: &BreakerId) -> Option<&Lease> {
        self.leases.iter().find(|(of, _)| of == id).map(|(_, lease)| lease)
    }

    pub(super) fn into_leases(self) -> Vec<(BreakerId, Lease)> {
        self.leases
    }
}

/// Whether nothing has to be tried at a breaker.
fn passes(breaker: Option<&Breaker>, now: At) -> bool {
    breaker.is_none_or(|breaker| match breaker.stance(now) {
        Stance::Closed => true,
        Stance::HalfOpen | Stance::Due | Stance::Open => false,
    })
}

/// The lane that payments of a bank wait in while they are parked.
pub(super) fn queue_of(id: &BreakerId) -> Option<Lane> {
    match id {
        BreakerId::Bank(provider, bank, Operation::Initiate) => Some(Lane::of(provider, bank, "queue")),
        BreakerId::Bank(..) | BreakerId::Provider(_) => None,
    }
}
