//! A database under a simulated thread: each operation runs to its end in real time while the simulated one stands still, so that no thread and no pool of the database's decides what happens when (reliability §0.2).

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::coop::unconstrained;
use workers::controls::{Change, Changed, ControlRow, ControlStore};
use workers::limits::shares::Report;
use workers::ports::Clock;
use workers::store::{
    Backlog, Claimed, Filter, Granted, HistoryRow, InboxKey, Instance, Look, Neighbours, NodeId, Op,
    Overview, Store, TaskRef, TaskRow, Trouble, Written,
};
use workflows::engine::{Lane, Message};
use workflows::ids::WorkflowId;
use workflows::money::Money;
use workflows::time::At;

/// A store whose operations take no simulated time.
pub struct Blocking {
    /// The store.
    pub inner: Arc<dyn Store>,
    /// The clock of the world.
    pub clock: Arc<dyn Clock>,
    /// The runtime that it works on.
    pub real: Handle,
    /// Sees what was committed.
    pub watch: Watch,
}

/// Is told every operation that was committed.
pub type Watch = Arc<dyn Fn(&Op) + Send + Sync>;

/// What processes share beside a store, in no simulated time either.
pub struct Between {
    /// The database's.
    pub inner: Arc<dyn Neighbours>,
    /// The clock of the world.
    pub clock: Arc<dyn Clock>,
    /// Where the database works.
    pub real: Handle,
}

impl Blocking {
    fn wait<T, F: Future<Output = T>>(&self, ask: impl FnOnce(Arc<dyn Store>) -> F) -> T {
        wait(&self.real, &*self.clock, ask(Arc::clone(&self.inner)))
    }
}

/// Waits for an answer while the world stands still: on its own thread, with the timers of the real runtime.
fn wait<T>(real: &Handle, clock: &dyn Clock, asked: impl Future<Output = T>) -> T {
    // The database knows the time by what was seen last.
    clock.now();
    let _real = real.enter();
    let woken = Arc::new(Woken { thread: thread::current(), at_once: AtomicBool::new(false) });
    // The simulated task does not get to yield before the answer is there.
    let mut asked = pin!(unconstrained(asked));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(answer) = asked.as_mut().poll(&mut context) {
            return answer;
        }
        // What is polled may park and be unparked on this thread itself: that alone says nothing.
        while !woken.at_once.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}

/// Wakes the thread that waits.
struct Woken {
    thread: Thread,
    at_once: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.at_once.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Between {
    fn wait<T, F: Future<Output = T>>(&self, ask: impl FnOnce(Arc<dyn Neighbours>) -> F) -> T {
        wait(&self.real, &*self.clock, ask(Arc::clone(&self.inner)))
    }
}

#[async_trait]
impl Neighbours for Between {
    async fn live(&self, _: &NodeId, alive: &watch::Sender<bool>) {
        // A process of a world is as alive as its file's engine.
        alive.send_replace(true);
        std::future::pending::<()>().await;
    }

    async fn bury(&self, node: &NodeId) -> Result<u64, Trouble> {
        let node = node.clone();
        self.wait(|inner| async move { inner.bury(&node).await })
    }

    async fn nodes(&self) -> Result<Vec<NodeId>, Trouble> {
        self.wait(|inner| async move { inner.nodes().await })
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Trouble> {
        let node = node.clone();
        self.wait(|inner| async move { inner.leave(&node).await })
    }

    async fn renew_share(
        &self,
        provider: &str,
        node: &NodeId,
        report: &Report,
        untold: i64,
    ) -> Result<Granted, Trouble> {
        let (provider, node, report) = (provider.to_owned(), node.clone(), *report);
        self.wait(|inner| async move { inner.renew_share(&provider, &node, &report, untold).await })
    }

    async fn give_up_share(&self, provider: &str, node: &NodeId) -> Result<(), Trouble> {
        let (provider, node) = (provider.to_owned(), node.clone());
        self.wait(|inner| async move { inner.give_up_share(&provider, &node).await })
    }
}

#[async_trait]
impl Store for Blocking {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    async fn commit(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble> {
        let (asked, node) = (batch.to_vec(), node.clone());
        let written = self.wait(|store| async move { store.commit(&asked, &node).await })?;
        for (op, written) in batch.iter().zip(&written) {
            if *written == Written::Committed {
                (self.watch)(op);
            }
        }
        Ok(written)
    }

    async fn overview(&self, look: Look) -> Result<Overview, Trouble> {
        self.wait(move |store| async move { store.overview(look).await })
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Trouble> {
        self.wait(|store| async move { store.backlog().await })
    }

    async fn parked(&self) -> Result<Vec<Backlog>, Trouble> {
        self.wait(|store| async move { store.parked().await })
    }

    async fn at_stake(&self, filter: &Filter) -> Result<Vec<Money>, Trouble> {
        let filter = filter.clone();
        self.wait(|store| async move { store.at_stake(&filter).await })
    }

    async fn count(&self, filter: &Filter) -> Result<u64, Trouble> {
        let filter = filter.clone();
        self.wait(|store| async move { store.count(&filter).await })
    }

    async fn heard(&self, event: &InboxKey) -> Result<Option<WorkflowId>, Trouble> {
        let event = event.clone();
        self.wait(|store| async move { store.heard(&event).await })
    }

    async fn claim(
        &self,
        lanes: &[(Lane, usize)],
        node: &NodeId,
        now: At,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Trouble> {
        let (lanes, node) = (lanes.to_vec(), node.clone());
        self.wait(move |store| async move { store.claim(&lanes, &node, now, lease).await })
    }

    async fn renew(&self, held: &[TaskRef], until: At) -> Result<Vec<TaskRef>, Trouble> {
        let held = held.to_vec();
        self.wait(move |store| async move { store.renew(&held, until).await })
    }

    async fn release(&self, unused: &[TaskRef], now: At) -> Result<(), Trouble> {
        let unused = unused.to_vec();
        self.wait(move |store| async move { store.release(&unused, now).await })
    }

    async fn redirect(&self, unused: &TaskRef, lane: &Lane, due_at: At) -> Result<(), Trouble> {
        let (unused, lane) = (unused.clone(), lane.clone());
        self.wait(move |store| async move { store.redirect(&unused, &lane, due_at).await })
    }

    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble> {
        let node = node.clone();
        self.wait(move |store| async move { store.take_over(&node, now).await })
    }

    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble> {
        self.wait(move |store| async move { store.load(id).await })
    }

    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.wait(|store| async move { store.started(&scope, &key).await })
    }

    async fn history(&self, id: WorkflowId, after: i64, limit: usize) -> Result<Vec<HistoryRow>, Trouble> {
        self.wait(move |store| async move { store.history(id, after, limit).await })
    }

    async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble> {
        self.wait(move |store| async move { store.tasks(id).await })
    }

    async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble> {
        let reference = reference.to_owned();
        self.wait(|store| async move { store.by_reference(&reference).await })
    }

    async fn messages(&self, id: WorkflowId) -> Result<Vec<Message>, Trouble> {
        self.wait(move |store| async move { store.messages(id).await })
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble> {
        let filter = filter.clone();
        self.wait(|store| async move { store.list(&filter).await })
    }

    async fn ping(&self) -> Result<(), Trouble> {
        self.wait(|store| async move { store.ping().await })
    }
}

#[async_trait]
impl ControlStore for Blocking {
    async fn controls_revision(&self) -> Result<i64, Trouble> {
        self.wait(|store| async move { store.controls_revision().await })
    }

    async fn controls(&self) -> Result<(i64, Vec<ControlRow>), Trouble> {
        self.wait(|store| async move { store.controls().await })
    }

    async fn change_control(&self, change: &Change, now: At) -> Result<Changed, Trouble> {
        let change = change.clone();
        self.wait(move |store| async move { store.change_control(&change, now).await })
    }
}
