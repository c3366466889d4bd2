//! A store with faults on order: what it does is done by the store behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use workers::controls::{Change, Changed, ControlRow, ControlStore};
use workers::ports::Clock;
use workers::store::{
    Backlog, Claimed, Fate, Filter, HistoryRow, InboxKey, Instance, Look, NodeId, Op, Overview, Store,
    TaskRef, TaskRow, Trouble, Written,
};
use workflows::engine::{Lane, Message};
use workflows::ids::WorkflowId;
use workflows::money::Money;
use workflows::time::At;

/// A store that fails where it is told to.
pub struct Faulty {
    inner: Arc<dyn Store>,
    commits: AtomicUsize,
    /// Put-backs that will be written and not confirmed.
    unconfirmed: AtomicUsize,
    prolongs: AtomicBool,
    /// Whether commits go through; those that came meanwhile wait.
    open: watch::Sender<bool>,
}

impl Faulty {
    /// Without a fault so far.
    pub fn over(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Faulty {
            inner: Arc::clone(inner),
            commits: AtomicUsize::new(0),
            unconfirmed: AtomicUsize::new(0),
            prolongs: AtomicBool::new(true),
            open: watch::Sender::new(true),
        })
    }

    /// What a process takes for its store.
    pub fn store(self: &Arc<Self>) -> Arc<dyn Store> {
        Arc::<Self>::clone(self)
    }

    /// The next put-back is written, and its answer is lost.
    pub fn loses_the_answer_to_a_put_back(&self) {
        self.unconfirmed.store(1, Ordering::SeqCst);
    }

    /// No claim is prolonged from here on, as if the database could not be reached for that alone.
    pub fn prolongs_nothing(&self) {
        self.prolongs.store(false, Ordering::SeqCst);
    }

    /// Commits wait from here on.
    pub fn holds_commits(&self) {
        self.open.send_replace(false);
    }

    /// Commits that waited go through, and those after them.
    pub fn lets_commits_through(&self) {
        self.open.send_replace(true);
    }

    /// How many transactions it was asked to commit.
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    fn loses_this_answer(&self, batch: &[Op]) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        batch.iter().any(|op| matches!(op, Op::PutBack(_)))
            && self.unconfirmed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }
}

#[async_trait]
impl Store for Faulty {
    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    async fn commit(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.open.subscribe().wait_for(|open| *open).await.expect("its sender is this store's own");
        let written = self.inner.commit(batch, node).await?;
        if self.loses_this_answer(batch) {
            return Err(trouble("commit", Fate::Unknown));
        }
        Ok(written)
    }

    async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble> {
        self.inner.by_reference(reference).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Trouble> {
        self.inner.backlog().await
    }

    async fn overview(&self, look: Look) -> Result<Overview, Trouble> {
        self.inner.overview(look).await
    }

    async fn claim(
        &self,
        lanes: &[(Lane, usize)],
        node: &NodeId,
        now: At,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Trouble> {
        self.inner.claim(lanes, node, now, lease).await
    }

    async fn renew(&self, held: &[TaskRef], until: At) -> Result<Vec<TaskRef>, Trouble> {
        if !self.prolongs.load(Ordering::SeqCst) {
            return Err(trouble("renew", Fate::NotCommitted));
        }
        self.inner.renew(held, until).await
    }

    async fn release(&self, unused: &[TaskRef], now: At) -> Result<(), Trouble> {
        self.inner.release(unused, now).await
    }

    async fn redirect(&self, unused: &TaskRef, lane: &Lane, due_at: At) -> Result<(), Trouble> {
        self.inner.redirect(unused, lane, due_at).await
    }

    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble> {
        self.inner.take_over(node, now).await
    }

    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble> {
        self.inner.load(id).await
    }

    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble> {
        self.inner.started(scope, key).await
    }

    async fn history(&self, id: WorkflowId, after: i64, limit: usize) -> Result<Vec<HistoryRow>, Trouble> {
        self.inner.history(id, after, limit).await
    }

    async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble> {
        self.inner.tasks(id).await
    }

    async fn messages(&self, id: WorkflowId) -> Result<Vec<Message>, Trouble> {
        self.inner.messages(id).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble> {
        self.inner.list(filter).await
    }

    async fn parked(&self) -> Result<Vec<Backlog>, Trouble> {
        self.inner.parked().await
    }

    async fn at_stake(&self, filter: &Filter) -> Result<Vec<Money>, Trouble> {
        self.inner.at_stake(filter).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64, Trouble> {
        self.inner.count(filter).await
    }

    async fn heard(&self, key: &InboxKey) -> Result<Option<WorkflowId>, Trouble> {
        self.inner.heard(key).await
    }

    async fn ping(&self) -> Result<(), Trouble> {
        self.inner.ping().await
    }
}

#[async_trait]
impl ControlStore for Faulty {
    async fn controls_revision(&self) -> Result<i64, Trouble> {
        self.inner.controls_revision().await
    }

    async fn controls(&self) -> Result<(i64, Vec<ControlRow>), Trouble> {
        self.inner.controls().await
    }

    async fn change_control(&self, change: &Change, now: At) -> Result<Changed, Trouble> {
        self.inner.change_control(change, now).await
    }
}

fn trouble(doing: &'static str, fate: Fate) -> Trouble {
    Trouble { doing, fate, source: "planted".into() }
}
