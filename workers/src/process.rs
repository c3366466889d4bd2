//! One process of the engine: the front-end's half, and the half that performs.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use workflows::engine::Book;
use workflows::time::At;

use crate::apalis;
use crate::bare;
use crate::committer::{Committer, chain};
use crate::controls::{Controls, Prober, keep_telling};
use crate::engine::{Engine, Parts};
use crate::feeder::{Feeder, Hands, Job, QUIET, due_again};
use crate::held::Held;
use crate::hub::Hub;
use crate::lanes::Lanes;
use crate::limits::{Pass, Terms};
use crate::ports::{Clock, Ids};
use crate::presence::Presence;
use crate::providers::Provider;
use crate::rota::Rota;
use crate::store::{Neighbours, NodeId, Store, TaskRef};
use crate::worker::Worker;

/// How a process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Steps that may be in flight at a time; 0 = this process performs none.
    pub steps_in_flight: usize,
    /// How long a claim lasts that nobody prolongs: the time until another process takes over from a dead one.
    pub lease: Duration,
    /// How long steps in flight may take to finish when the process stops.
    pub grace: Duration,
}

/// The processes that a process shares its database and its providers with.
#[derive(Clone)]
pub struct Neighbourhood {
    /// Who is there.
    pub neighbours: Arc<dyn Neighbours>,
    /// What each provider takes from all of them together, by the name that its lanes begin with. A provider that is
    /// not named here takes everything.
    pub limits: BTreeMap<Arc<str>, Terms>,
    /// What calls are paced by: a clock that never jumps, so not the database's.
    pub clock: Arc<dyn Clock>,
}

/// Puts a process together that is alone and has no limits. See [`assemble_among`].
pub fn assemble(
    store: Arc<dyn Store>,
    controls: &Controls,
    book: Book,
    provider: Arc<dyn Provider>,
    ids: Arc<dyn Ids>,
    options: Options,
) -> (Engine, Option<Work>) {
    let presence = Presence::alone(new_node(&*ids));
    put_together((store, controls), presence, book, provider, ids, options)
}

/// Puts a process together that has others beside it. The engine works from here on, and others see that it lives;
/// steps are performed while [`Work::run`] runs.
pub fn assemble_among(
    neighbourhood: Neighbourhood,
    (store, controls): (Arc<dyn Store>, &Controls),
    book: Book,
    provider: Arc<dyn Provider>,
    ids: Arc<dyn Ids>,
    options: Options,
) -> (Engine, Option<Work>) {
    let presence = Presence::among(neighbourhood, new_node(&*ids));
    put_together((store, controls), presence, book, provider, ids, options)
}

/// Somebody who asks a provider something by hand, beside the processes that work: what they ask counts as well.
pub struct Visit {
    presence: Presence,
}

impl Visit {
    /// Begins among these.
    pub fn begin(neighbourhood: Neighbourhood, ids: &dyn Ids) -> Self {
        Visit { presence: Presence::among(neighbourhood, new_node(ids)) }
    }

    /// A pass for one call; nothing when its turn does not come within `patience`.
    pub async fn pass(&self, provider: &str, patience: Duration) -> Option<Pass> {
        self.presence.limits().pass(provider, patience).await
    }

    /// Ends; what it held is free at once.
    pub async fn end(self) {
        self.presence.leave().await;
    }
}

fn new_node(ids: &dyn Ids) -> NodeId {
    NodeId(format!("{:032x}", ids.ordered()).into())
}

fn put_together(
    (store, controls): (Arc<dyn Store>, &Controls),
    presence: Presence,
    book: Book,
    provider: Arc<dyn Provider>,
    ids: Arc<dyn Ids>,
    options: Options,
) -> (Engine, Option<Work>) {
    let (node, wake) = (presence.node().clone(), Arc::clone(presence.wake()));
    controls.act_for(&node);
    let limits = presence.limits().clone();
    let presence = Arc::new(presence);
    let hub = Arc::new(Hub::default());
    let committer = Committer::start(Arc::clone(&store), node.clone(), Arc::clone(&hub), Arc::clone(&wake));
    let (jobs, inbox) = mpsc::unbounded_channel();
    let hands = (options.steps_in_flight > 0).then(|| Hands {
        free: Arc::new(Semaphore::new(options.steps_in_flight)),
        lanes: Arc::new(Lanes::new(
            options.steps_in_flight,
            limits.clone(),
            controls.clone(),
            Arc::clone(&wake),
        )),
        jobs,
    });
    // Whoever asks a provider something obeys: balances are read where no steps are performed, too.
    tokio::spawn(controls.keep_rates(limits.clone()));
    if hands.is_none() {
        // Nobody looks for work here, and with it for changes of what may be sent.
        tokio::spawn(controls.keep_looking());
    }
    let engine = Engine::new(Parts {
        store: Arc::clone(&store),
        book: book.clone(),
        clock: store.clock(),
        ids: Arc::clone(&ids),
        committer: committer.clone(),
        hub,
        hands: hands.clone(),
        controls: controls.clone(),
        presence: Arc::clone(&presence),
        lease: options.lease,
        accepting: AtomicBool::new(true),
    });
    let work = hands.map(|hands| {
        let held = Arc::new(Held::default());
        let meters = committer.shared_meters();
        let worker = Worker {
            store: Arc::clone(&store),
            committer,
            provider: Arc::clone(&provider),
            book,
            clock: store.clock(),
            ids: Arc::clone(&ids),
            held: Arc::clone(&held),
            node: node.clone(),
            lanes: Arc::clone(&hands.lanes),
            limits: limits.clone(),
            lease: options.lease,
        };
        let changes = controls.watch();
        let prober =
            Prober { controls: controls.clone(), limits, presence: Arc::clone(&presence), provider, ids };
        let feeder = Feeder {
            store: Arc::clone(&store),
            node,
            hands,
            wake,
            presence: Arc::clone(&presence),
            lease: options.lease,
            meters,
            quiet: QUIET,
            changes,
            rota: Rota::default(),
        };
        Work {
            engine: engine.clone(),
            presence,
            store,
            worker: Arc::new(worker),
            held,
            feeder,
            prober,
            inbox,
            options,
        }
    });
    (engine, work)
}

/// The performing half of a process.
pub struct Work {
    engine: Engine,
    presence: Arc<Presence>,
    store: Arc<dyn Store>,
    worker: Arc<Worker>,
    held: Arc<Held>,
    feeder: Feeder,
    prober: Prober,
    inbox: mpsc::UnboundedReceiver<Job>,
    options: Options,
}

/// What was left when a process stopped performing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Claims that were handed back unused.
    pub handed_back: usize,
    /// Steps that were cut off; their claims lapse and another process takes them up.
    pub cut_off: usize,
}

impl Work {
    /// Performs steps until `shutdown`, then finishes those in flight and hands back what was not begun.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Drained {
        let Options { steps_in_flight, grace, .. } = self.options;
        self.run_by(shutdown, |worker, jobs, shutdown| {
            apalis::run(worker, jobs, steps_in_flight, shutdown, grace)
        })
        .await
    }

    /// As [`Work::run`], without apalis: whatever is fed is spawned by itself, in the order in which it was fed, so that
    /// a runtime with one thread and a clock of its own makes the same run of the same seed. A quiet process looks for
    /// the work of others every `quiet`. Dropped, it leaves its steps where they stand.
    pub async fn run_bare(
        mut self,
        shutdown: impl Future<Output = ()> + Send + 'static,
        quiet: Duration,
    ) -> Drained {
        let grace = self.options.grace;
        self.feeder.quiet = quiet;
        self.run_by(shutdown, |worker, jobs, shutdown| bare::run(worker, jobs, shutdown, grace)).await
    }

    async fn run_by<S, P, R>(self, shutdown: S, perform: P) -> Drained
    where
        S: Future<Output = ()> + Send + 'static,
        P: FnOnce(Arc<Worker>, mpsc::UnboundedReceiver<Job>, BoxFuture<'static, ()>) -> R,
        R: Future<Output = Vec<Job>>,
    {
        let Work { engine, presence, store, worker, held, feeder, prober, inbox, options } = self;
        // Claims are prolonged until the last step is done, the feeder stops as soon as the end begins.
        let (ending, begins) = watch::channel(false);
        let mut background = JoinSet::new();
        background.spawn(prolong(Arc::clone(&store), Arc::clone(&held), options.lease));
        background.spawn(keep_telling(prober.controls.clone(), engine.clone()));
        background.spawn(prober.run());
        background.spawn(Arc::clone(&presence).look_for_the_dead());
        let feeding = tokio::spawn(feeder.run(begins));
        let shutdown = async move {
            shutdown.await;
            engine.stop_accepting();
            // Nobody listens any more when everything has ended already.
            let _ = ending.send(true);
        };
        let left = perform(worker, inbox, Box::pin(shutdown)).await;
        // It ends by itself now, handing back what it claimed in the last moment.
        if let Err(error) = feeding.await {
            tracing::error!(%error, "the feeder ended badly");
        }
        let now = store.clock().now();
        let mut unused: BTreeMap<At, Vec<TaskRef>> = BTreeMap::new();
        for Job { claimed, .. } in left {
            unused.entry(due_again(&claimed, now)).or_default().push(claimed.task);
        }
        for (due_at, tasks) in &unused {
            if let Err(trouble) = store.release(tasks, *due_at).await {
                tracing::warn!(error = %chain(&trouble), "claims could not be handed back; they lapse by themselves");
            }
        }
        let handed_back = unused.values().map(Vec::len).sum();
        let drained = Drained { handed_back, cut_off: held.all().len() };
        background.shutdown().await;
        presence.leave().await;
        drained
    }
}

/// Prolongs this process' claims well before they lapse. A process without claims asks nothing.
async fn prolong(store: Arc<dyn Store>, held: Arc<Held>, lease: Duration) {
    loop {
        tokio::time::sleep(lease / 3).await;
        let asked = held.all();
        if asked.is_empty() {
            continue;
        }
        let until = store.clock().now().plus(lease);
        match store.renew(&asked, until).await {
            Ok(kept) => held.prolonged(&asked, &kept, until),
            Err(trouble) => tracing::error!(error = %chain(&trouble), "claims could not be prolonged"),
        }
    }
}
