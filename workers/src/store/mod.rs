//! Where instances, their tasks and their history live.
//!
//! A [`Store`] operation is one whole transaction. Guards stand in for locks: a [`Move`] names the revision that it
//! was decided on and the claim that it was performed under, and writes nothing when either is gone. A batch carries
//! many operations in a fixed small number of statements; a stale one never harms its neighbours.
//!
//! Three stores pass one suite (`tests/store/`): memory, SQLite, PostgreSQL.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use workflows::engine::{Lane, Message, Status, TaskName, Weight};
use workflows::ids::WorkflowId;
use workflows::money::Money;
use workflows::time::At;

use crate::controls::ControlStore;
use crate::ports::Clock;

mod approvals;
mod arrays;
mod audit;
mod balances;
mod claim;
mod commit;
mod controls;
mod driver;
mod gather;
mod history;
mod listing;
mod memory;
mod memory_desk;
mod memory_neighbours;
mod migrations;
mod neighbours;
mod newest;
mod notices;
mod open;
#[cfg(test)]
mod plans;
mod postgres;
mod registry;
mod rows;
mod sql;
mod sqlite;
mod statement;
mod unguarded;
mod upkeep;
mod value;

pub use audit::{Audit, Census, Fault, Faulty, Page, Standing};
pub use history::{HistoryRow, Verdict, verify_chain};
pub use memory::MemoryStore;
pub use neighbours::{Granted, Neighbours};
pub use open::{Database, Migrations, OpenError, Options, Purpose, open, open_by_clock};
pub use upkeep::Upkeep;

/// Durable state of every instance. Each method is one transaction.
#[async_trait]
pub trait Store: ControlStore {
    /// The database's time as this process knows it. Every `now` below comes from here.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Writes a batch in one transaction and answers each operation in order. At most one operation of a batch may
    /// concern an instance that exists; the committer sees to that.
    ///
    /// # Errors
    /// [`Trouble`] says whether the batch is known not to be committed. When that is unknown, the caller reads again
    /// before it acts.
    async fn commit(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble>;

    /// How many commits may be under way at a time, for the best use of the database.
    fn commits_at_once(&self) -> usize {
        1
    }

    /// Every lane that holds a task, with the time its earliest one is due, and the revision of the controls; and, when
    /// asked to `look`, whether another node seems to be dead. One query, whatever the backlog.
    async fn overview(&self, look: Look) -> Result<Overview, Trouble>;

    /// Claims up to `room` due tasks of each lane, earliest first, for `lease`. Concurrent claimers never share one. A
    /// task of an instance that this version cannot read is claimed and not answered: it comes back when that lapses.
    async fn claim(
        &self,
        lanes: &[(Lane, usize)],
        node: &NodeId,
        now: At,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Trouble>;

    /// Prolongs claims to `until`; answers those that are still held.
    async fn renew(&self, held: &[TaskRef], until: At) -> Result<Vec<TaskRef>, Trouble>;

    /// Hands back claims that nothing was done under: due at once, the attempt not counted.
    async fn release(&self, unused: &[TaskRef], now: At) -> Result<(), Trouble>;

    /// Hands back a claim that nothing was done under, to wait in another lane as due at `due_at`, the attempt not counted.
    async fn redirect(&self, unused: &TaskRef, lane: &Lane, due_at: At) -> Result<(), Trouble>;

    /// Makes every claim of other nodes due at once. Only a store that knows that those nodes are dead does so: SQLite
    /// at start, since its file has one engine. Answers how many there were.
    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble>;

    /// An instance.
    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble>;

    /// The instance that was started under a key.
    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble>;

    /// The instances that the outside world calls by this name. More than one only when two providers give the same.
    async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble>;

    /// History rows of an instance with `seq > after`, oldest first.
    async fn history(&self, id: WorkflowId, after: i64, limit: usize) -> Result<Vec<HistoryRow>, Trouble>;

    /// What is still owed to an instance.
    async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble>;

    /// Messages that an instance wants delivered, oldest first.
    async fn messages(&self, id: WorkflowId) -> Result<Vec<Message>, Trouble>;

    /// Instances of an owner, newest first. Those that this version cannot read are left out.
    async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble>;

    /// What waits in each lane that holds tasks: exact, at the cost of the backlog. For operators, not for workers.
    async fn backlog(&self) -> Result<Vec<Backlog>, Trouble>;

    /// What waits in each queue of parked work. One query, at the cost of what is parked, on an index.
    async fn parked(&self) -> Result<Vec<Backlog>, Trouble>;

    /// What the instances that a filter means weigh together, as far as they have not ended, by currency. One query.
    async fn at_stake(&self, filter: &Filter) -> Result<Vec<Money>, Trouble>;

    /// How many instances a filter means, whatever its cursor and limit. One query, exact.
    async fn count(&self, filter: &Filter) -> Result<u64, Trouble>;

    /// The instance that heard an outside event, if one did.
    async fn heard(&self, key: &InboxKey) -> Result<Option<WorkflowId>, Trouble>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), Trouble>;
}

/// A process that claims tasks; unique for each start of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub Arc<str>);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A running workflow as it is stored. `Debug` leaves out both documents: they hold names, accounts and links.
#[derive(Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: WorkflowId,
    /// Which machine.
    pub kind: Arc<str>,
    /// The version of both documents.
    pub version: i64,
    /// Whose it is: a user id.
    pub owner: Arc<str>,
    /// The immutable order, JSON.
    pub order: Arc<str>,
    /// The state, JSON.
    pub state: Arc<str>,
    /// Public status.
    pub status: Status,
    /// Public phase.
    pub phase: Arc<str>,
    /// Why an operator should look.
    pub attention: Option<Arc<str>>,
    /// Revision: 1 at the start, +1 for each transition.
    pub seq: i64,
    /// Hash of the history row `seq`, lower-case hex; the head of the chain.
    pub hash: Arc<str>,
    /// How it was started.
    pub start: StartKey,
    /// When it was started.
    pub created_at: At,
    /// When it last moved.
    pub updated_at: At,
    /// When it ended.
    pub completed_at: Option<At>,
    /// What the outside world calls it by: the provider's id of a payment.
    pub reference: Option<Arc<str>>,
}

/// What makes a start happen once: the caller and route, the caller's key, and a fingerprint of the request. `Debug`
/// shows neither key nor fingerprint: people put into keys what they like.
#[derive(Clone, PartialEq, Eq)]
pub struct StartKey {
    /// Caller and route.
    pub scope: Arc<str>,
    /// The caller's key.
    pub key: Arc<str>,
    /// Fingerprint of the request.
    pub body_hash: Arc<str>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("version", &self.version)
            .field("owner", &self.owner)
            .field("status", &self.status)
            .field("phase", &self.phase)
            .field("attention", &self.attention)
            .field("seq", &self.seq)
            .field("hash", &self.hash)
            .field("start", &self.start)
            .field("created_at", &self.created_at)
            .field("updated_at", &self.updated_at)
            .field("completed_at", &self.completed_at)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartKey").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// One operation of a batch.
#[derive(Clone, Debug)]
pub enum Op {
    /// A new instance.
    Start(Box<Start>),
    /// A transition.
    Move(Box<Move>),
    /// A claimed task goes back to wait.
    PutBack(PutBack),
    /// A claimed task has lost its point.
    Discard(TaskRef),
}

impl Op {
    /// The instance that it concerns.
    pub fn instance(&self) -> WorkflowId {
        match self {
            Op::Start(start) => start.instance.id,
            Op::Move(moved) => moved.instance.id,
            Op::PutBack(back) => back.task.instance,
            Op::Discard(task) => task.instance,
        }
    }
}

/// A new instance with what must follow. Refused as [`Written::Taken`] when the key is taken.
#[derive(Clone, Debug)]
pub struct Start {
    /// The row, at `seq` 1.
    pub instance: Arc<Instance>,
    /// The first history row.
    pub history: HistoryRow,
    /// What must follow.
    pub put: Vec<NewTask>,
    /// Whom to tell.
    pub tell: Vec<Message>,
    /// What lists can be narrowed and summed by.
    pub weight: Option<Weight>,
}

/// A transition of an instance. [`Written::Stale`] when the revision or the claim is gone, [`Written::Duplicate`] when
/// the event was heard before; in both cases nothing of it is written.
#[derive(Clone, Debug)]
pub struct Move {
    /// The row afterwards. `seq` is the new revision: the guard is `seq - 1`.
    pub instance: Arc<Instance>,
    /// Whether its order is written anew, in a later version. It is never changed otherwise.
    pub upcast: bool,
    /// The claim this was performed under; consumed.
    pub consume: Option<TaskRef>,
    /// The outside event that this answers.
    pub heard: Option<InboxKey>,
    /// The history row of the new revision.
    pub history: HistoryRow,
    /// Tasks to take back. Taken back before `put` is written.
    pub drop: Drop,
    /// What must follow. A task of the same name is replaced, claim and all.
    pub put: Vec<NewTask>,
    /// Whom to tell.
    pub tell: Vec<Message>,
}

/// Which tasks of the instance a transition takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drop {
    /// Those named.
    Named(Vec<TaskName>),
    /// All: the instance is at its end.
    All,
}

/// An outside event, for deduplication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxKey {
    /// Who sent it.
    pub source: Arc<str>,
    /// The sender's id for it.
    pub event: Arc<str>,
}

/// A task to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its name within the instance.
    pub name: TaskName,
    /// Where it queues.
    pub lane: Lane,
    /// When it is due; for a claimed one, when the claim lapses.
    pub due_at: At,
    /// Whether it is born claimed by the writing node: fence 1, attempt 1, performed at once without a claim.
    pub claimed: bool,
}

/// Names one claim of one task. The task is born with the instance's revision at that time; a task of the same name
/// that is armed anew is another task. The fence counts its claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskRef {
    /// Whose.
    pub instance: WorkflowId,
    /// Which.
    pub name: TaskName,
    /// The revision that armed it.
    pub born: i64,
    /// Which claim.
    pub fence: i64,
}

/// A claimed task that must wait and be tried again. [`Written::Stale`] when the claim is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// The claim.
    pub task: TaskRef,
    /// When it is due again.
    pub due_at: At,
    /// Whether an attempt so far may have had its effect. Once set it stays.
    pub doubt: bool,
    /// What the attempt brought, one word.
    pub finding: &'static str,
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Committed, and durable.
    Committed,
    /// The revision or the claim is gone; nothing was written.
    Stale,
    /// The event was heard before; nothing was written.
    Duplicate,
    /// The start key is taken; nothing was written.
    Taken,
}

/// Whether to look at more than the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At the lanes alone.
    AtLanes,
    /// At the other nodes as well, which costs the database a little more.
    AtNodesToo,
}

/// What there is to do, and whether anything changed about what may be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The revision of the controls; see [`crate::controls::ControlStore`].
    pub controls: i64,
    /// Every lane that holds work, in the order of their names.
    pub lanes: Vec<LaneDue>,
    /// Whether a node seems to be dead that nobody has buried: see [`Neighbours::bury`].
    pub somebody_died: bool,
}

/// What waits in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Which.
    pub lane: Lane,
    /// How many tasks nobody holds.
    pub waiting: u64,
    /// When the first of them was due; in a queue, since when it waits.
    pub oldest_at: Option<At>,
}

/// A lane that holds work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneDue {
    /// Which.
    pub lane: Lane,
    /// When its earliest task is due, a claimed one counting as due when the claim lapses.
    pub due_at: At,
}

/// A task that this node may perform now, with the instance as it stood at the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The claim.
    pub task: TaskRef,
    /// Where it queued.
    pub lane: Lane,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Earlier claims that lapsed: what they did, or may still do, is not known.
    pub losses: u32,
    /// Whether somebody put it back in doubt: an earlier attempt may have had its effect, and none is on its way.
    pub doubt: bool,
    /// When it was first claimed.
    pub first_at: At,
    /// Whose it is.
    pub instance: Arc<Instance>,
}

/// A task as it is stored, for operators and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// Its name and last claim.
    pub task: TaskRef,
    /// Where it queues.
    pub lane: Lane,
    /// When it is due, or its claim lapses.
    pub due_at: At,
    /// Attempts so far.
    pub attempts: u32,
    /// Claims that lapsed.
    pub losses: u32,
    /// Whether an attempt may have had its effect.
    pub doubt: bool,
    /// Who holds it.
    pub lease: Option<NodeId>,
    /// What the last attempt brought.
    pub finding: Option<String>,
}

/// In which order instances are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By id, the newest first.
    #[default]
    NewestFirst,
    /// By id, the oldest first.
    OldestFirst,
    /// By their last move, the latest first. One that moves while pages are turned may be seen twice.
    LatestMovedFirst,
    /// By their last move, the earliest first.
    EarliestMovedFirst,
}

/// Which instances to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Whose; `None` = everybody's.
    pub owner: Option<Arc<str>>,
    /// Of one of these kinds; empty = any.
    pub kinds: Vec<Arc<str>>,
    /// Of one of these statuses; empty = any.
    pub statuses: Vec<Status>,
    /// In one of these phases; empty = any.
    pub phases: Vec<Arc<str>>,
    /// Those that an operator should look at only.
    pub attention: bool,
    /// These only; empty = any.
    pub ids: Vec<WorkflowId>,
    /// Created at or after.
    pub from: Option<At>,
    /// Created before.
    pub to: Option<At>,
    /// At this bank only.
    pub bank: Option<Arc<str>>,
    /// What comes first.
    pub order: Order,
    /// Those behind this one only: the cursor.
    pub before: Option<WorkflowId>,
    /// At most so many.
    pub limit: usize,
}

/// The database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the store could not {doing}")]
pub struct Trouble {
    /// What was being attempted.
    pub doing: &'static str,
    /// Whether anything may have been written.
    pub fate: Fate,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What is known about a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was written.
    NotCommitted,
    /// The commit was sent and no answer came: read before acting.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Started, Told};

    #[test]
    fn no_document_and_no_key_of_a_caller_shows_in_debug_output() {
        let secret: Arc<str> = r#"{"secret":1}"#.into();
        let instance = Instance {
            id: WorkflowId::new(7),
            kind: "payment".into(),
            version: 1,
            owner: "usr_1".into(),
            order: Arc::clone(&secret),
            state: Arc::clone(&secret),
            status: Status::Processing,
            phase: "begin".into(),
            attention: None,
            seq: 1,
            hash: "f00".into(),
            start: StartKey { scope: "s".into(), key: Arc::clone(&secret), body_hash: Arc::clone(&secret) },
            created_at: At::EPOCH,
            updated_at: At::EPOCH,
            completed_at: None,
            reference: None,
        };
        let history = HistoryRow {
            instance: instance.id,
            seq: 1,
            at: At::EPOCH,
            occurrence: secret,
            status: "processing".into(),
            phase: "begin".into(),
            actor: "worker".into(),
            step: "".into(),
            attempt: 0,
            latency_us: 0,
            hash: "".into(),
        };
        let instance = Arc::new(instance);
        let start =
            Start { instance: Arc::clone(&instance), history, put: vec![], tell: vec![], weight: None };
        for shown in [
            format!("{:?}", Op::Start(Box::new(start))),
            format!("{:?}", Started::New(Arc::clone(&instance))),
            format!("{:?}", Told::Moved(instance)),
        ] {
            assert!(shown.contains("usr_1") && !shown.contains("secret"), "{shown}");
        }
    }
}
