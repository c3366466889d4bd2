//! What the front-end talks to: start a workflow, tell it something; `reads.rs` has what it asks for and waits for.

mod reads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use workflows::engine::{self, Book, Live, Machine, Outcome, Status, Unreadable};
use workflows::ids::WorkflowId;
use workflows::planted;
use workflows::time::At;

use crate::committer::{Committer, chain};
use crate::controls::Controls;
use crate::feeder::Hands;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::meters::Meters;
use crate::ports::{Clock, Ids};
use crate::presence::Presence;
use crate::scanner::{Conduct, Mender, Scanner, Waits};
use crate::store::{Audit, Fate, InboxKey, Instance, Op, StartKey, Store, Trouble, Written};
use crate::transition::{self, Claim, Hot, Why};

/// The durable engine of one process. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Parts>,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) book: Book,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) committer: Committer,
    pub(crate) hub: Arc<Hub>,
    pub(crate) hands: Option<Hands>,
    pub(crate) controls: Controls,
    pub(crate) presence: Arc<Presence>,
    pub(crate) lease: Duration,
    pub(crate) accepting: AtomicBool,
}

impl Parts {
    async fn go_on(&self, hot: Option<Hot>, hand: Option<Hand>) {
        let (Some(hot), Some(hand), Some(hands)) = (hot, hand, &self.hands) else { return };
        if let Err(unused) = hands.give(hot, hand)
            && let Err(trouble) = self.store.release(&[unused], self.clock.now()).await
        {
            tracing::warn!(error = %chain(&trouble), "a claim could not be handed back; it lapses by itself");
        }
    }
}

/// The right to perform one task.
type Hand = tokio::sync::OwnedSemaphorePermit;

/// What a start came to.
#[derive(Debug)]
pub enum Started {
    /// The instance was made.
    New(Arc<Instance>),
    /// The key was used before; this is what it made. The caller compares the fingerprints.
    Existing(Arc<Instance>),
}

/// What telling came to.
#[derive(Debug)]
pub enum Told {
    /// The instance moved; this is it afterwards.
    Moved(Arc<Instance>),
    /// It changes nothing here.
    Ignored(Arc<Instance>),
    /// The event was heard before.
    Duplicate(Arc<Instance>),
    /// There is no such instance.
    NotFound,
}

/// What telling would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foresight {
    /// The instance would move to this status and phase.
    Moves(Status, &'static str),
    /// It would change nothing.
    Nothing,
    /// It cannot happen there: the instance would stop with this sentence.
    Stops(&'static str),
}

/// What resuming came to.
#[derive(Debug)]
pub enum Resumed {
    /// It goes on; this is it afterwards.
    GoesOn(Arc<Instance>),
    /// It was not stopped.
    NotStopped(Arc<Instance>),
    /// Nothing that is safe leads on from where it stands.
    Stuck(Arc<Instance>),
    /// There is no such instance.
    NotFound,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        Engine { inner: Arc::new(parts) }
    }

    /// A scanner over this engine's store, which puts right what it finds.
    pub fn scanner(&self, audit: Arc<dyn Audit>) -> Scanner {
        let Parts { store, book, committer, lease, controls, hands, .. } = &*self.inner;
        let conduct = Conduct::Mends(Mender { committer: committer.clone() });
        let waits = Waits::before(controls.clone(), hands.clone());
        Scanner::new(Arc::clone(store), audit, book.clone(), *lease, conduct, waits)
    }

    /// What this process has done so far.
    pub fn meters(&self) -> &Meters {
        self.inner.committer.meters()
    }

    /// What time it is at the database.
    pub fn now(&self) -> At {
        self.inner.clock.now()
    }

    /// Fresh identifiers.
    pub fn ids(&self) -> &dyn Ids {
        &*self.inner.ids
    }

    /// What the providers take from all processes; for calls that no workflow makes.
    pub fn limits(&self) -> &Limits {
        self.inner.presence.limits()
    }

    /// Changes when this process finds another one dead: what that one had begun is to be gone on with.
    pub fn deaths(&self) -> watch::Receiver<u64> {
        self.inner.presence.deaths()
    }

    /// Whether new work is taken; not while the process drains.
    pub fn accepting(&self) -> bool {
        self.inner.accepting.load(Ordering::Acquire)
    }

    /// Takes no new work from here on: the process is about to end.
    pub fn stop_accepting(&self) {
        self.inner.accepting.store(false, Ordering::Release);
    }

    /// The instance that a key started.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn started(&self, scope: &str, key: &str) -> Result<Option<Arc<Instance>>, Trouble> {
        Ok(self.inner.store.started(scope, key).await?.map(Arc::new))
    }

    /// Starts a workflow, once for each key. Answers after the commit that holds it; its first step is then already
    /// being performed when this process performs any.
    ///
    /// # Errors
    /// When the store does not answer. The same key may safely be used again.
    pub async fn start<M: Machine>(
        &self,
        id: WorkflowId,
        owner: &str,
        key: StartKey,
        actor: &str,
        order: M::Order,
    ) -> Result<Started, Trouble> {
        let (scope, name) = (Arc::clone(&key.scope), Arc::clone(&key.key));
        let hand = self.hand();
        let claim = self.claim(hand.is_some());
        let first = engine::begin::<M>(order);
        let (start, hot) =
            transition::begin(id, owner, key, actor, first, (self.now(), &claim)).map_err(unreadable)?;
        let instance = start.instance.clone();
        match self.write(Op::Start(Box::new(start)), &instance, hot, hand).await {
            Ok(Written::Committed) => {
                tracing::info!(workflow = %id, kind = M::KIND, "started");
                Ok(Started::New(instance))
            }
            Ok(Written::Taken | Written::Stale | Written::Duplicate) => {
                let existing = self.started(&scope, &name).await?;
                existing.map(Started::Existing).ok_or_else(|| unanswered(Fate::NotCommitted))
            }
            Err(fate) => Err(unanswered(fate)),
        }
    }

    /// What [`Engine::tell`] would come to, on this revision: the machine itself is asked, and nothing is written.
    ///
    /// # Errors
    /// When the instance cannot be read, or the event is not one that the workflow knows.
    pub fn foresee<E: Serialize>(&self, instance: &Instance, event: &E) -> Result<Foresight, Trouble> {
        let event = serde_json::to_string(event).map_err(|source| trouble("write an event", source))?;
        let live = self.open(instance)?;
        Ok(match live.said(&event, self.now()).map_err(unreadable)? {
            Outcome::Moved(moved) => {
                let view = moved.next.view();
                Foresight::Moves(view.status, view.phase)
            }
            Outcome::Ignored => Foresight::Nothing,
            Outcome::Refused { why, .. } => Foresight::Stops(why),
        })
    }

    /// Tells a workflow that something happened. `event` is of the machine's own event type; `heard` names an event
    /// that may be delivered more than once.
    ///
    /// # Errors
    /// When the store does not answer, or the event is not one that the workflow knows.
    pub async fn tell<E: Serialize + Sync>(
        &self,
        id: WorkflowId,
        event: &E,
        actor: &str,
        heard: Option<InboxKey>,
    ) -> Result<Told, Trouble> {
        self.tell_while(id, event, actor, heard, |_| true).await
    }

    /// The same while the instance is as `still` wants it: otherwise nothing happens, and the event is not taken for
    /// heard. `still` is asked about the very revision that the event would move.
    ///
    /// # Errors
    /// Those of [`Engine::tell`].
    pub async fn tell_while<E: Serialize + Sync>(
        &self,
        id: WorkflowId,
        event: &E,
        actor: &str,
        heard: Option<InboxKey>,
        still: impl Fn(&Instance) -> bool + Send,
    ) -> Result<Told, Trouble> {
        let event = serde_json::to_string(event).map_err(|source| trouble("write an event", source))?;
        // What was committed here last is most often what there is: the guard of the transition says whether it was.
        // Nothing else is answered by it.
        let mut presumed = self.inner.hub.newest_here(id);
        loop {
            let (instance, is_certain) = match presumed.take() {
                Some(newest) => (newest, false),
                None => match self.get(id).await? {
                    Some(instance) => (instance, true),
                    None => return Ok(Told::NotFound),
                },
            };
            if !still(&instance) {
                if is_certain {
                    return self.unmoved(instance, heard.as_ref()).await;
                }
                continue;
            }
            let live = self.open(&instance)?;
            let view = live.view();
            let now = self.now();
            let hand = self.hand();
            let claim = self.claim(hand.is_some());
            let why = Why::said(actor);
            let (op, hot) = match live.said(&event, now).map_err(unreadable)? {
                Outcome::Ignored if is_certain => return self.unmoved(instance, heard.as_ref()).await,
                Outcome::Ignored => continue,
                Outcome::Moved(moved) => {
                    let heard = heard.clone().filter(|_| !planted::is("callbacks not told apart"));
                    let cause = (None, heard);
                    transition::advance(&instance, moved, cause, &why, (now, &claim)).map_err(unreadable)?
                }
                Outcome::Refused { why: sentence, occurrence } => {
                    (transition::stop(&instance, &view, (sentence, occurrence), None, &why, now), None)
                }
            };
            let after = op.instance.clone();
            match self.write(Op::Move(Box::new(op)), &after, hot, hand).await {
                Ok(Written::Committed) => return Ok(Told::Moved(after)),
                Ok(Written::Duplicate) if is_certain => return Ok(Told::Duplicate(instance)),
                // It moved meanwhile, or nobody knows: what was said is decided anew on what is there.
                Ok(Written::Stale | Written::Taken | Written::Duplicate) | Err(Fate::Unknown) => {}
                Err(Fate::NotCommitted) => return Err(unanswered(Fate::NotCommitted)),
            }
        }
    }

    /// An event that changes nothing here was perhaps heard before: it then changed what there was to change.
    async fn unmoved(&self, instance: Arc<Instance>, heard: Option<&InboxKey>) -> Result<Told, Trouble> {
        let before = match heard {
            Some(key) => self.inner.store.heard(key).await?,
            None => None,
        };
        Ok(if before.is_some() { Told::Duplicate(instance) } else { Told::Ignored(instance) })
    }

    /// Whether an instance was stopped because something happened that its machine says cannot, and nobody let it go
    /// on since.
    pub fn is_stopped(&self, instance: &Instance) -> bool {
        transition::is_stopped(instance)
    }

    /// Lets an instance go on that was stopped: the alarm is cleared, and what leads on from its state is put back
    /// when nothing of it is outstanding.
    ///
    /// # Errors
    /// When the store does not answer, or the instance cannot be read.
    pub async fn resume(&self, id: WorkflowId, actor: &str) -> Result<Resumed, Trouble> {
        loop {
            let Some(instance) = self.get(id).await? else { return Ok(Resumed::NotFound) };
            if !self.is_stopped(&instance) {
                return Ok(Resumed::NotStopped(instance));
            }
            let live = self.open(&instance)?;
            let outstanding: Vec<_> = self.tasks(id).await?.into_iter().map(|row| row.task.name).collect();
            let op = transition::resume(&instance, &live, &outstanding, &Why::said(actor), self.now())
                .map_err(unreadable)?;
            let Some(op) = op else { return Ok(Resumed::Stuck(instance)) };
            let after = op.instance.clone();
            match self.write(Op::Move(Box::new(op)), &after, None, None).await {
                Ok(Written::Committed) => return Ok(Resumed::GoesOn(after)),
                Ok(Written::Stale | Written::Taken | Written::Duplicate) | Err(Fate::Unknown) => {}
                Err(Fate::NotCommitted) => return Err(unanswered(Fate::NotCommitted)),
            }
        }
    }

    /// Commits an operation and goes on with the task that it bore. A caller who hangs up in between takes neither
    /// with them: a task that is born claimed has to be performed. A commit without an answer is looked for by its
    /// place in the chain.
    async fn write(
        &self,
        op: Op,
        after: &Instance,
        hot: Option<Hot>,
        hand: Option<Hand>,
    ) -> Result<Written, Fate> {
        let inner = Arc::clone(&self.inner);
        let (id, seq, hash) = (after.id, after.seq, Arc::clone(&after.hash));
        if planted::is("answered before the commit") {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move { inner.committer.commit(op).await });
            return Ok(Written::Committed);
        }
        let begins = matches!(op, Op::Start(_));
        let named = matches!(&op, Op::Move(told) if told.heard.is_some());
        let written = tokio::spawn(async move {
            let mut written = inner.committer.commit(op).await;
            // An event with a name is told again: the inbox knows whether it was heard.
            if matches!(written, Err(Fate::Unknown)) && !named {
                let rows = inner.store.history(id, seq - 1, 1).await.map_err(|_| Fate::Unknown)?;
                if rows.first().is_some_and(|row| row.hash == hash) {
                    // The same word, told to another process at the same moment, has the same hash: the claim may be
                    // that process', so it is left to lapse. An instance that was begun here is nobody else's.
                    if !begins {
                        return Ok(Written::Committed);
                    }
                    written = Ok(Written::Committed);
                }
            }
            if matches!(written, Ok(Written::Committed)) {
                inner.go_on(hot, hand).await;
            }
            written
        });
        written.await.unwrap_or(Err(Fate::Unknown))
    }

    fn hand(&self) -> Option<Hand> {
        if !self.accepting() {
            return None;
        }
        self.inner.hands.as_ref().and_then(Hands::take)
    }

    fn claim(&self, hand: bool) -> Claim<'_> {
        let lanes = self.inner.hands.as_ref().filter(|_| hand).map(|hands| &hands.lanes);
        Claim { lanes, lease: self.inner.lease }
    }

    fn open(&self, instance: &Instance) -> Result<Arc<dyn Live>, Trouble> {
        let workflow = self
            .inner
            .book
            .get(&instance.kind)
            .ok_or_else(|| unreadable(Unreadable::UnknownTask(instance.kind.to_string())))?;
        workflow.open(instance.version, &instance.order, &instance.state).map_err(unreadable)
    }
}

fn unreadable(source: Unreadable) -> Trouble {
    trouble("read a workflow", source)
}

fn unanswered(fate: Fate) -> Trouble {
    let source = std::io::Error::other("the commit was not confirmed");
    Trouble { doing: "commit", fate, source: Box::new(source) }
}

fn trouble(doing: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Trouble {
    Trouble { doing, fate: Fate::NotCommitted, source: Box::new(source) }
}
