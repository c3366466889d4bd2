//! Group commit: everything that is written at the same time shares one transaction and one fsync.
//!
//! Operations queue while commits are in flight and go into the next one together. Nobody is answered before the
//! commit that holds their row. The cost of a transition falls as load rises, and a lone one never waits. Where the store
//! takes several commits at a time, one is made ready and told of while another is on its way to the disk.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use workflows::engine::{Audience, Message};

use crate::hub::Hub;
use crate::meters::Meters;
use crate::store::{Fate, Instance, NodeId, Op, Store, Trouble, Written};
use crate::wake::Wake;

/// The most operations of one transaction.
const BATCH: usize = 256;
/// Operations that fail by themselves, one after the other, until it is the database that is to blame.
const STRIKES: usize = 2;
/// Operations that may queue before their senders have to wait.
const QUEUE: usize = 4_096;

/// Hands operations to the one task that commits them.
#[derive(Clone)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Pending>,
    meters: Arc<Meters>,
}

struct Pending {
    op: Op,
    answer: oneshot::Sender<Result<Written, Fate>>,
}

impl Committer {
    /// Starts committing. The task ends when the last `Committer` is gone.
    pub(crate) fn start(store: Arc<dyn Store>, node: NodeId, hub: Arc<Hub>, wake: Arc<Wake>) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let meters = Arc::<Meters>::default();
        let at_once = store.commits_at_once();
        let desk = Arc::new(Desk { store, node, hub, wake, meters: Arc::clone(&meters) });
        let free = Arc::new(Semaphore::new(at_once));
        tokio::spawn(Loop { desk, inbox, deferred: vec![], free, alone: at_once == 1 }.run());
        Committer { queue, meters }
    }

    /// Where this process counts what it does.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The same, to be kept.
    pub(crate) fn shared_meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }

    /// Commits one operation together with whatever else is waiting.
    ///
    /// # Errors
    /// What is known about the write when the database did not say "done".
    pub(crate) async fn commit(&self, op: Op) -> Result<Written, Fate> {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Pending { op, answer }).await.is_err() {
            return Err(Fate::NotCommitted);
        }
        // The committer answers everything that it took, unless it was torn down in the middle of a commit.
        answered.await.unwrap_or(Err(Fate::Unknown))
    }
}

struct Loop {
    desk: Arc<Desk>,
    inbox: mpsc::Receiver<Pending>,
    deferred: Vec<Pending>,
    /// Commits that may still begin.
    free: Arc<Semaphore>,
    /// Whether there is one at a time.
    alone: bool,
}

/// What commits a batch.
struct Desk {
    store: Arc<dyn Store>,
    node: NodeId,
    hub: Arc<Hub>,
    wake: Arc<Wake>,
    meters: Arc<Meters>,
}

impl Loop {
    async fn run(mut self) {
        loop {
            // What comes while all are under way goes into the next one.
            let Ok(place) = Arc::clone(&self.free).acquire_owned().await else { return };
            let mut waiting = std::mem::take(&mut self.deferred);
            if waiting.is_empty() && self.inbox.recv_many(&mut waiting, BATCH).await == 0 {
                return;
            }
            while waiting.len() < BATCH {
                let Ok(pending) = self.inbox.try_recv() else { break };
                waiting.push(pending);
            }
            let (ops, answers) = self.batch(waiting);
            let desk = Arc::clone(&self.desk);
            let committing = async move {
                desk.commit(ops, answers).await;
                drop(place);
            };
            if self.alone {
                committing.await;
            } else {
                tokio::spawn(committing);
            }
        }
    }

    /// Takes at most one operation of each instance; the others wait for the next round, where their revision will
    /// prove stale and be decided anew. So will that of one whose instance is in a commit under way.
    fn batch(&mut self, waiting: Vec<Pending>) -> (Vec<Op>, Vec<oneshot::Sender<Result<Written, Fate>>>) {
        let mut instances = HashSet::with_capacity(waiting.len());
        let mut ops = Vec::with_capacity(waiting.len());
        let mut answers = Vec::with_capacity(waiting.len());
        for pending in waiting {
            if instances.insert(pending.op.instance()) {
                ops.push(pending.op);
                answers.push(pending.answer);
            } else {
                self.deferred.push(pending);
            }
        }
        (ops, answers)
    }
}

impl Desk {
    async fn commit(&self, ops: Vec<Op>, answers: Vec<oneshot::Sender<Result<Written, Fate>>>) {
        let results = match self.store.commit(&ops, &self.node).await {
            Ok(written) => written.into_iter().map(Ok).collect(),
            Err(trouble) => self.one_by_one(&ops, &trouble).await,
        };
        for ((op, result), answer) in ops.iter().zip(results).zip(answers) {
            if matches!(result, Ok(Written::Committed)) {
                self.spread(op);
            }
            // A sender that stopped waiting reads the store when it comes back.
            let _ = answer.send(result);
        }
    }

    /// A batch failed as a whole. When the database is well and nothing was written, one operation is to blame: each
    /// is tried by itself so that its neighbours are not harmed. A database that answers questions may still be unable
    /// to write, as SQLite is while somebody else holds the file; every try then takes as long as it waits for a lock,
    /// so the rest is not tried.
    async fn one_by_one(&self, ops: &[Op], trouble: &Trouble) -> Vec<Result<Written, Fate>> {
        tracing::error!(error = %chain(trouble), fate = ?trouble.fate, operations = ops.len(), "commit failed");
        if trouble.fate == Fate::Unknown || ops.len() == 1 || self.store.ping().await.is_err() {
            return vec![Err(trouble.fate); ops.len()];
        }
        let mut results = Vec::with_capacity(ops.len());
        let mut strikes = 0;
        for op in ops {
            if strikes == STRIKES {
                results.push(Err(Fate::NotCommitted));
                continue;
            }
            let result = self.store.commit(std::slice::from_ref(op), &self.node).await;
            strikes = if result.is_ok() { 0 } else { strikes + 1 };
            results.push(match result {
                Ok(written) => written.first().copied().ok_or(Fate::Unknown),
                Err(trouble) => Err(trouble.fate),
            });
        }
        results
    }

    /// Tells this process what was committed.
    fn spread(&self, op: &Op) {
        let put = match op {
            Op::Start(start) => {
                self.alert(&start.instance, &start.tell);
                self.meters.started.count(&start.instance.kind);
                self.hub.publish(&start.instance, start.put.iter().any(|task| task.claimed));
                &start.put
            }
            Op::Move(moved) => {
                self.alert(&moved.instance, &moved.tell);
                if moved.instance.status.is_final() {
                    self.meters.ended.count(moved.instance.status.as_str());
                }
                self.hub.publish(&moved.instance, moved.put.iter().any(|task| task.claimed));
                &moved.put
            }
            Op::PutBack(back) => {
                self.hub.rests(back.task.instance);
                return self.wake.due(back.due_at);
            }
            Op::Discard(task) => return self.hub.rests(task.instance),
        };
        for task in put.iter().filter(|task| !task.claimed) {
            self.wake.due(task.due_at);
        }
    }

    /// What operators are told is in the log and counted, however it reaches them otherwise.
    fn alert(&self, instance: &Instance, tell: &[Message]) {
        for message in tell.iter().filter(|message| message.to == Audience::Operator) {
            self.meters.alerts.count(&message.about);
            tracing::warn!(event = %message.about, workflow = %instance.id, phase = %instance.phase, "operators are told");
        }
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Executor, SqliteConnection};
    use workflows::engine::Status;
    use workflows::ids::WorkflowId;
    use workflows::time::At;

    use super::*;
    use crate::store::{Database, HistoryRow, Options, Start, StartKey, open};

    #[tokio::test]
    async fn an_operation_that_cannot_be_written_does_not_harm_its_neighbours() {
        let (database, _files) = refusing().await;
        let owners = ["usr_good", "usr_bad", "usr_good", "usr_bad", "usr_good"];
        let (good, bad) = (Ok(Written::Committed), Err(Fate::NotCommitted));
        assert_eq!(written(&database, &owners).await, [good, bad, good, bad, good]);
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_written_to_is_tried_as_often_whatever_the_batch() {
        let mut costs = Vec::new();
        for size in [3, 10, 100] {
            let (database, _files) = refusing().await;
            let before = database.upkeep.statements();
            let results = written(&database, &vec!["usr_bad"; size]).await;
            assert!(results.iter().all(|result| *result == Err(Fate::NotCommitted)), "{results:?}");
            costs.push(database.upkeep.statements() - before);
        }
        assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    }

    /// A database that does not take instances of `usr_bad`.
    async fn refusing() -> (Database, tempfile::TempDir) {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", files.path().join("sluse.db").display());
        let database = open(&url, &Options::default()).await.unwrap();
        let trigger = "create trigger planted before insert on instances when new.owner = 'usr_bad' \
                       begin select raise(abort, 'planted'); end";
        SqliteConnection::connect(&url).await.unwrap().execute(trigger).await.unwrap();
        (database, files)
    }

    /// What becomes of starts of these owners in one batch.
    async fn written(database: &Database, owners: &[&str]) -> Vec<Result<Written, Fate>> {
        let (hub, wake) = (Arc::new(Hub::default()), Arc::new(Wake::new()));
        let committer = Committer::start(Arc::clone(&database.store), NodeId("a".into()), hub, wake);
        let starts = (1..).zip(owners).map(|(n, owner)| committer.commit(start(n, owner)));
        futures::future::join_all(starts).await
    }

    fn start(n: u128, owner: &str) -> Op {
        let id = WorkflowId::new(n);
        let instance = Instance {
            id,
            kind: "payment".into(),
            version: 1,
            owner: owner.into(),
            order: "{}".into(),
            state: "{}".into(),
            status: Status::Processing,
            phase: "begin".into(),
            attention: None,
            seq: 1,
            hash: "".into(),
            start: StartKey { scope: "s".into(), key: n.to_string().into(), body_hash: "h".into() },
            created_at: At::EPOCH,
            updated_at: At::EPOCH,
            completed_at: None,
            reference: None,
        };
        let history = HistoryRow {
            instance: id,
            seq: 1,
            at: At::EPOCH,
            occurrence: "{}".into(),
            status: "processing".into(),
            phase: "begin".into(),
            actor: "worker".into(),
            step: "".into(),
            attempt: 0,
            latency_us: 0,
            hash: "".into(),
        };
        let instance = Arc::new(instance);
        Op::Start(Box::new(Start { instance, history, put: vec![], tell: vec![], weight: None }))
    }
}
