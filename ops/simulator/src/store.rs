//! The store as one process sees it: the one store of the world, behind a connection that fails.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
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

use crate::boundary::{CLAIM_OF_WORK, Edge};
use crate::faults::{Fault, Faults, Rates, Strike};
use crate::host::{Crossed, Host};
use crate::judge::Judge;

/// A process' connection to the store.
pub struct Connection {
    /// Whose.
    pub host: Arc<Host>,
    /// The store of the world.
    pub inner: Arc<dyn Store>,
    /// The time of the world.
    pub clock: Arc<dyn Clock>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// Who watches.
    pub judge: Arc<Judge>,
    /// When the store is away.
    pub away: Option<Away>,
}

/// The store is away for a while.
#[derive(Clone, Copy, Debug)]
pub struct Away {
    /// From when, since the beginning.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// How.
    pub fault: Fault,
    /// Names it among the faults of the world.
    pub id: u64,
}

/// So long a call waits for a connection when none is free.
const ACQUIRE: Duration = Duration::from_secs(5);

/// What a write may come to.
const WRITES: &Rates = &[
    (Fault::StoreRefused, 120),
    (Fault::StoreUnknownWritten, 120),
    (Fault::StoreUnknownLost, 60),
    (Fault::StoreSlow, 100),
];
/// What a read may come to.
const READS: &Rates = &[(Fault::StoreRefused, 80), (Fault::StoreSlow, 40)];

/// A call of the store: what it is called, where its faults are thrown, and for whom.
struct Asked<'a> {
    doing: &'static str,
    subject: u64,
    name: &'a (dyn Fn() -> String + Sync),
    rates: &'static Rates,
}

impl Connection {
    async fn ask<T: Send>(
        &self,
        asked: Asked<'_>,
        inner: impl Future<Output = Result<T, Trouble>> + Send,
    ) -> Result<T, Trouble> {
        let Asked { doing, subject, name, rates } = asked;
        self.host.cross(doing, subject, name, Edge::Before).await;
        if self.is_away(std::ptr::eq(rates, WRITES)).await {
            return Err(trouble(doing, Fate::NotCommitted));
        }
        let fault = self.faults.at(doing, subject, rates);
        let mut lost = None;
        match fault {
            Some((Fault::StoreRefused, _)) => return Err(trouble(doing, Fate::NotCommitted)),
            Some((Fault::StoreUnknownLost, _)) => return Err(trouble(doing, Fate::Unknown)),
            Some((Fault::StoreSlow, mut chance)) => {
                let slow = chance.spread(Duration::from_millis(5), Duration::from_secs(20));
                tokio::time::sleep(slow).await;
                // Whoever died meanwhile asks no more.
                self.host.cross("slow", subject, name, Edge::Before).await;
            }
            Some((Fault::StoreUnknownWritten, _)) => lost = Some(trouble(doing, Fate::Unknown)),
            Some(_) | None => {}
        }
        let answer = inner.await;
        if self.host.cross(doing, subject, name, Edge::After).await == Crossed::Unanswered {
            lost = Some(trouble(doing, Fate::Unknown));
        }
        lost.map_or(answer, Err)
    }

    /// Whether the store cannot be used at this moment, for a write or a read.
    async fn is_away(&self, writes: bool) -> bool {
        let now = self.judge.clock.elapsed();
        let Some(Away { fault, id, .. }) = self.away.filter(|away| away.from <= now && now < away.to) else {
            return false;
        };
        if fault == Fault::DiskFull && !writes {
            return false;
        }
        self.faults.took_place(Strike { id, fault });
        if fault == Fault::PoolEmpty {
            tokio::time::sleep(ACQUIRE).await;
        }
        true
    }

    fn subject(&self, id: WorkflowId) -> u64 {
        self.judge.registry.number(id)
    }

    fn read(&self, doing: &'static str, id: WorkflowId) -> Asked<'static> {
        Asked { doing, subject: self.subject(id), name: plain(doing), rates: READS }
    }
}

#[async_trait]
impl Store for Connection {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    async fn commit(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble> {
        self.host.is_called(node);
        let subject = batch.first().map_or(u64::MAX, |op| self.subject(instance_of(op)));
        let name = || batch.iter().map(name_of).collect::<Vec<_>>().join(" + ");
        let asked = Asked { doing: "commit", subject, name: &name, rates: WRITES };
        let commit = async {
            let written = self.inner.commit(batch, node).await?;
            for (op, written) in batch.iter().zip(&written) {
                if *written == Written::Committed {
                    self.judge.committed(op);
                }
            }
            Ok(written)
        };
        self.ask(asked, commit).await
    }

    async fn overview(&self, look: Look) -> Result<Overview, Trouble> {
        let asked = Asked { doing: "lanes", subject: u64::MAX, name: plain("lanes"), rates: READS };
        self.ask(asked, self.inner.overview(look)).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Trouble> {
        self.inner.backlog().await
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

    async fn heard(&self, event: &InboxKey) -> Result<Option<WorkflowId>, Trouble> {
        let asked = Asked { doing: "heard", subject: u64::MAX, name: plain("heard"), rates: READS };
        self.ask(asked, self.inner.heard(event)).await
    }

    async fn claim(
        &self,
        lanes: &[(Lane, usize)],
        node: &NodeId,
        now: At,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Trouble> {
        self.host.is_called(node);
        let works = AtomicBool::new(false);
        let name = || if works.load(Ordering::Acquire) { CLAIM_OF_WORK } else { "claim" }.to_owned();
        let asked = Asked { doing: "claim", subject: u64::MAX, name: &name, rates: WRITES };
        let claim = async {
            let claimed = self.inner.claim(lanes, node, now, lease).await?;
            works.store(!claimed.is_empty(), Ordering::Release);
            self.judge.claimed(&claimed, now);
            Ok(claimed)
        };
        self.ask(asked, claim).await
    }

    async fn renew(&self, held: &[TaskRef], until: At) -> Result<Vec<TaskRef>, Trouble> {
        let asked = Asked { doing: "renew", subject: u64::MAX, name: plain("renew"), rates: WRITES };
        self.ask(asked, self.inner.renew(held, until)).await
    }

    async fn release(&self, unused: &[TaskRef], now: At) -> Result<(), Trouble> {
        let asked = Asked { doing: "release", subject: u64::MAX, name: plain("release"), rates: WRITES };
        self.ask(asked, self.inner.release(unused, now)).await
    }

    async fn redirect(&self, unused: &TaskRef, lane: &Lane, due_at: At) -> Result<(), Trouble> {
        let asked = Asked { doing: "redirect", subject: u64::MAX, name: plain("redirect"), rates: WRITES };
        self.ask(asked, self.inner.redirect(unused, lane, due_at)).await
    }

    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble> {
        self.inner.take_over(node, now).await
    }

    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble> {
        self.ask(self.read("load", id), self.inner.load(id)).await
    }

    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble> {
        let asked = Asked { doing: "started", subject: u64::MAX, name: plain("started"), rates: READS };
        self.ask(asked, self.inner.started(scope, key)).await
    }

    async fn history(&self, id: WorkflowId, after: i64, limit: usize) -> Result<Vec<HistoryRow>, Trouble> {
        self.ask(self.read("history", id), self.inner.history(id, after, limit)).await
    }

    async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble> {
        self.ask(self.read("tasks", id), self.inner.tasks(id)).await
    }

    async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble> {
        self.inner.by_reference(reference).await
    }

    async fn messages(&self, id: WorkflowId) -> Result<Vec<Message>, Trouble> {
        self.inner.messages(id).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble> {
        self.inner.list(filter).await
    }

    async fn ping(&self) -> Result<(), Trouble> {
        self.inner.ping().await
    }
}

#[async_trait]
impl ControlStore for Connection {
    async fn controls_revision(&self) -> Result<i64, Trouble> {
        let asked = Asked { doing: "controls", subject: u64::MAX, name: plain("controls"), rates: READS };
        self.ask(asked, self.inner.controls_revision()).await
    }

    async fn controls(&self) -> Result<(i64, Vec<ControlRow>), Trouble> {
        let asked = Asked { doing: "controls", subject: u64::MAX, name: plain("controls"), rates: READS };
        self.ask(asked, self.inner.controls()).await
    }

    async fn change_control(&self, change: &Change, now: At) -> Result<Changed, Trouble> {
        let asked = Asked { doing: "control", subject: u64::MAX, name: plain("control"), rates: WRITES };
        self.ask(asked, self.inner.change_control(change, now)).await
    }
}

/// The name of a call that carries nothing worth naming.
fn plain(doing: &'static str) -> &'static (dyn Fn() -> String + Sync) {
    match doing {
        "lanes" => &|| "lanes".to_owned(),
        "renew" => &|| "renew".to_owned(),
        "release" => &|| "release".to_owned(),
        "load" => &|| "load".to_owned(),
        "started" => &|| "started".to_owned(),
        "history" => &|| "history".to_owned(),
        "heard" => &|| "heard".to_owned(),
        "controls" => &|| "controls".to_owned(),
        "control" => &|| "control".to_owned(),
        _ => &|| "tasks".to_owned(),
    }
}

/// What a commit carries: `commit settle initiate`.
fn name_of(op: &Op) -> String {
    match op {
        Op::Start(_) => "commit start".to_owned(),
        Op::Move(m) => match &m.consume {
            Some(task) => format!("commit settle {}", task.name),
            None => format!("commit tell {}", m.instance.phase),
        },
        Op::PutBack(back) => format!("commit put back {}", back.task.name),
        Op::Discard(task) => format!("commit discard {}", task.name),
    }
}

fn instance_of(op: &Op) -> WorkflowId {
    match op {
        Op::Start(start) => start.instance.id,
        Op::Move(m) => m.instance.id,
        Op::PutBack(back) => back.task.instance,
        Op::Discard(task) => task.instance,
    }
}

fn trouble(doing: &'static str, fate: Fate) -> Trouble {
    Trouble { doing, fate, source: "a fault of the simulation".into() }
}
