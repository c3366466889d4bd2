//! One process of the engine: the front-end's half, and the half that performs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use workflows::engine::Book;

use crate::apalis;
use crate::committer::{Committer, chain};
use crate::engine::{Engine, Parts};
use crate::feeder::{Feeder, Hands, Job};
use crate::held::Held;
use crate::hub::Hub;
use crate::ports::Ids;
use crate::providers::Provider;
use crate::store::{NodeId, Store, TaskRef};
use crate::wake::Wake;
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

/// Puts a process together. The engine works from here on; steps are performed while [`Work::run`] runs.
pub fn assemble(
    store: Arc<dyn Store>,
    book: Book,
    provider: Arc<dyn Provider>,
    ids: Arc<dyn Ids>,
    options: Options,
) -> (Engine, Option<Work>) {
    let node = NodeId(format!("{:032x}", ids.ordered()).into());
    let (hub, wake) = (Arc::new(Hub::default()), Arc::new(Wake::new()));
    let committer = Committer::start(Arc::clone(&store), node.clone(), Arc::clone(&hub), Arc::clone(&wake));
    let (jobs, inbox) = mpsc::unbounded_channel();
    let hands = (options.steps_in_flight > 0)
        .then(|| Hands { free: Arc::new(Semaphore::new(options.steps_in_flight)), jobs });
    let engine = Engine::new(Parts {
        store: Arc::clone(&store),
        book: book.clone(),
        clock: store.clock(),
        ids: Arc::clone(&ids),
        committer: committer.clone(),
        hub,
        hands: hands.clone(),
        lease: options.lease,
        accepting: AtomicBool::new(true),
    });
    let work = hands.map(|hands| {
        let held = Arc::new(Held::default());
        let worker = Worker {
            store: Arc::clone(&store),
            committer,
            provider,
            book,
            clock: store.clock(),
            ids,
            held: Arc::clone(&held),
            lease: options.lease,
        };
        let feeder = Feeder { store: Arc::clone(&store), node, hands, wake, lease: options.lease };
        Work { engine: engine.clone(), store, worker: Arc::new(worker), held, feeder, inbox, options }
    });
    (engine, work)
}

/// The performing half of a process.
pub struct Work {
    engine: Engine,
    store: Arc<dyn Store>,
    worker: Arc<Worker>,
    held: Arc<Held>,
    feeder: Feeder,
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
        let Work { engine, store, worker, held, feeder, inbox, options } = self;
        // Claims are prolonged until the last step is done, the feeder stops as soon as the end begins.
        let (ending, mut begins) = watch::channel(false);
        let mut background = JoinSet::new();
        background.spawn(prolong(Arc::clone(&store), Arc::clone(&held), options.lease));
        background.spawn(async move {
            tokio::select! {
                () = feeder.run() => {}
                _ = begins.wait_for(|ending| *ending) => {}
            }
        });
        let shutdown = async move {
            shutdown.await;
            engine.stop_accepting();
            // Nobody listens any more when everything has ended already.
            let _ = ending.send(true);
        };
        let left = apalis::run(worker, inbox, options.steps_in_flight, shutdown, options.grace).await;
        let unused: Vec<TaskRef> = left.into_iter().map(|job| job.claimed.task).collect();
        if let Err(trouble) = store.release(&unused, store.clock().now()).await {
            tracing::warn!(error = %chain(&trouble), "claims could not be handed back; they lapse by themselves");
        }
        let drained = Drained { handed_back: unused.len(), cut_off: held.all().len() };
        background.shutdown().await;
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
