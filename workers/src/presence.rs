//! A process among others: they see that it lives, it sees when they are dead, and all share what the providers take.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use workflows::time::At;

use crate::committer::chain;
use crate::limits::Limits;
use crate::process::Neighbourhood;
use crate::store::{Neighbours, NodeId, Trouble};
use crate::wake::Wake;

/// How often a process that asks its providers something looks whether others are dead.
const BUSY: Duration = Duration::from_secs(5);

/// One start of a process, as others know it.
pub(crate) struct Presence {
    node: NodeId,
    limits: Limits,
    /// Of its feeder.
    wake: Arc<Wake>,
    neighbours: Option<Arc<dyn Neighbours>>,
    /// How many others it found dead.
    buried: watch::Sender<u64>,
    /// What shows that it lives and keeps its shares; ends with this.
    tasks: Mutex<JoinSet<()>>,
}

impl Presence {
    /// With nobody beside it.
    pub(crate) fn alone(node: NodeId) -> Self {
        Presence {
            node,
            limits: Limits::none(),
            wake: Arc::new(Wake::new()),
            neighbours: None,
            buried: watch::Sender::default(),
            tasks: Mutex::default(),
        }
    }

    /// Among others, from here on.
    pub(crate) fn among(neighbourhood: Neighbourhood, node: NodeId) -> Self {
        let wake = Arc::new(Wake::new());
        let Neighbourhood { neighbours, limits, clock } = neighbourhood;
        let limits = Limits::new(limits, &clock, &wake);
        let (alive, is_alive) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (living, shown) = (Arc::clone(&neighbours), node.clone());
        tasks.spawn(async move { living.live(&shown, &alive).await });
        tasks.spawn(look_when_back(is_alive.clone(), Arc::clone(&wake)));
        tasks.spawn(limits.clone().share(Arc::clone(&neighbours), node.clone(), is_alive));
        let (neighbours, buried) = (Some(neighbours), watch::Sender::default());
        Presence { node, limits, wake, neighbours, buried, tasks: Mutex::new(tasks) }
    }

    pub(crate) fn node(&self) -> &NodeId {
        &self.node
    }

    pub(crate) fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes when others were found dead.
    pub(crate) fn deaths(&self) -> watch::Receiver<u64> {
        self.buried.subscribe()
    }

    /// Every process that nobody found dead, this one too; nothing where nobody is beside it.
    pub(crate) async fn living(&self) -> Result<Option<Vec<NodeId>>, Trouble> {
        let Some(neighbours) = &self.neighbours else { return Ok(None) };
        let mut living = neighbours.nodes().await?;
        living.push(self.node.clone());
        Ok(Some(living))
    }

    /// Takes over from processes that are dead: at once, and then every few seconds while this process is busy; the
    /// feeder, which looks as well, may have to wait for a hand then.
    pub(crate) async fn look_for_the_dead(self: Arc<Self>) {
        loop {
            self.bury().await;
            tokio::time::sleep(BUSY).await;
            while !self.limits.is_busy() {
                tokio::time::sleep(BUSY).await;
            }
        }
    }

    /// Takes over from processes that are dead.
    pub(crate) async fn bury(&self) {
        let Some(neighbours) = &self.neighbours else { return };
        match neighbours.bury(&self.node).await {
            Ok(0) => {}
            Ok(dead) => {
                self.wake.due(At::MIN);
                self.limits.look();
                self.buried.send_modify(|buried| *buried += dead);
            }
            Err(trouble) => {
                tracing::warn!(error = %chain(&trouble), "cannot see whether other processes live");
            }
        }
    }

    /// Goes in good order: what it held is free at once.
    pub(crate) async fn leave(&self) {
        self.tasks.lock().await.shutdown().await;
        let Some(neighbours) = &self.neighbours else { return };
        if let Err(trouble) = neighbours.leave(&self.node).await {
            tracing::warn!(error = %chain(&trouble), "this process left without a word; others will notice");
        }
    }
}

/// When others see this process again the database is back: the feeder, which rests after a failure, need not wait.
async fn look_when_back(mut is_alive: watch::Receiver<bool>, wake: Arc<Wake>) {
    while is_alive.wait_for(|alive| *alive).await.is_ok() {
        wake.due(At::MIN);
        if is_alive.wait_for(|alive| !*alive).await.is_err() {
            return;
        }
    }
}
