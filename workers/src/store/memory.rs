//! The store as a definition: the same answers as a database gives, from plain maps under one lock.
//!
//! What each method does here is what it means; the SQL stores are held to it by the suite in `tests/store/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use workflows::engine::{Lane, Message, TaskName};
use workflows::ids::WorkflowId;
use workflows::time::At;

use super::commit::concerns;
use super::{
    Claimed, Drop, Filter, HistoryRow, InboxKey, Instance, LaneDue, Move, NewTask, NodeId, Op, PutBack,
    Start, Store, TaskRef, TaskRow, Trouble, Written,
};
use crate::ports::Clock;

/// A store that forgets.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

impl MemoryStore {
    /// Empty.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MemoryStore { clock, tables: Mutex::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    async fn commit(&self, batch: &[Op], node: &NodeId) -> Result<Vec<Written>, Trouble> {
        let mut tables = self.tables();
        let mut concerned = BTreeSet::new();
        let write = |op: &Op| {
            if !concerned.insert(concerns(op)) {
                return Written::Stale;
            }
            match op {
                Op::Start(start) => tables.start(start, node),
                Op::Move(m) => tables.advance(m, node),
                Op::PutBack(back) => tables.put_back(back),
                Op::Discard(task) => tables.discard(task),
            }
        };
        Ok(batch.iter().map(write).collect())
    }

    async fn lanes(&self) -> Result<Vec<LaneDue>, Trouble> {
        let mut earliest: BTreeMap<Lane, At> = BTreeMap::new();
        for task in self.tables().tasks.values() {
            let due_at = earliest.entry(task.row.lane.clone()).or_insert(task.row.due_at);
            *due_at = task.row.due_at.min(*due_at);
        }
        Ok(earliest.into_iter().map(|(lane, due_at)| LaneDue { lane, due_at }).collect())
    }

    async fn claim(
        &self,
        lanes: &[(Lane, usize)],
        node: &NodeId,
        now: At,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Trouble> {
        let mut tables = self.tables();
        let mut claimed = Vec::new();
        for (lane, room) in lanes {
            for key in tables.due(lane, now, *room) {
                claimed.extend(tables.claim(&key, node, now, now.plus(lease)));
            }
        }
        Ok(claimed)
    }

    async fn renew(&self, held: &[TaskRef], until: At) -> Result<Vec<TaskRef>, Trouble> {
        let mut tables = self.tables();
        let mut renew = |task: &&TaskRef| {
            let held = tables.held(task);
            held.map(|held| held.row.due_at = until).is_some()
        };
        Ok(held.iter().filter(|task| renew(task)).cloned().collect())
    }

    async fn release(&self, unused: &[TaskRef], now: At) -> Result<(), Trouble> {
        let mut tables = self.tables();
        for task in unused {
            if let Some(held) = tables.held(task) {
                held.row.due_at = now;
                held.row.lease = None;
                held.row.attempts -= 1;
                held.first_at = held.first_at.filter(|_| held.row.attempts > 0);
            }
        }
        Ok(())
    }

    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble> {
        let mut taken = 0;
        for task in self.tables().tasks.values_mut() {
            if task.row.lease.as_ref().is_some_and(|holder| holder != node) {
                task.row.due_at = task.row.due_at.min(now);
                taken += 1;
            }
        }
        Ok(taken)
    }

    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble> {
        Ok(self.tables().instances.get(&id).cloned())
    }

    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble> {
        let under = |instance: &&Instance| *instance.start.scope == *scope && *instance.start.key == *key;
        Ok(self.tables().instances.values().find(under).cloned())
    }

    async fn history(&self, id: WorkflowId, after: i64, limit: usize) -> Result<Vec<HistoryRow>, Trouble> {
        let tables = self.tables();
        let rows = tables.history.get(&id).into_iter().flatten();
        Ok(rows.filter(|row| row.seq > after).take(limit).cloned().collect())
    }

    async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble> {
        let tables = self.tables();
        let of_instance = tables.tasks.iter().filter(|((instance, _), _)| *instance == id);
        Ok(of_instance.map(|(_, task)| task.row.clone()).collect())
    }

    async fn messages(&self, id: WorkflowId) -> Result<Vec<Message>, Trouble> {
        Ok(self.tables().outbox.get(&id).cloned().unwrap_or_default())
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble> {
        let tables = self.tables();
        let newest_first = tables.instances.values().rev();
        Ok(newest_first.filter(|instance| matches(filter, instance)).take(filter.limit).cloned().collect())
    }

    async fn ping(&self) -> Result<(), Trouble> {
        Ok(())
    }
}

#[derive(Default)]
struct Tables {
    instances: BTreeMap<WorkflowId, Instance>,
    history: BTreeMap<WorkflowId, Vec<HistoryRow>>,
    tasks: BTreeMap<TaskKey, Task>,
    inbox: BTreeSet<(Arc<str>, Arc<str>)>,
    outbox: BTreeMap<WorkflowId, Vec<Message>>,
}

type TaskKey = (WorkflowId, TaskName);

struct Task {
    row: TaskRow,
    first_at: Option<At>,
}

impl Tables {
    fn start(&mut self, start: &Start, node: &NodeId) -> Written {
        let Start { instance, history, put, tell } = start;
        let same_start = |other: &Instance| {
            other.start.scope == instance.start.scope && other.start.key == instance.start.key
        };
        if self.instances.contains_key(&instance.id) || self.instances.values().any(same_start) {
            return Written::Taken;
        }
        self.instances.insert(instance.id, instance.clone());
        self.record(history, put, tell, node);
        Written::Committed
    }

    fn advance(&mut self, m: &Move, node: &NodeId) -> Written {
        let id = m.instance.id;
        let revision_holds = self.instances.get(&id).is_some_and(|old| old.seq == m.instance.seq - 1);
        let claim_holds = m.consume.as_ref().is_none_or(|claim| self.held(claim).is_some());
        if !revision_holds || !claim_holds {
            return Written::Stale;
        }
        if let Some(InboxKey { source, event }) = &m.heard
            && !self.inbox.insert((Arc::clone(source), Arc::clone(event)))
        {
            return Written::Duplicate;
        }
        if let Some(claim) = &m.consume {
            self.tasks.remove(&key(claim));
        }
        match &m.drop {
            Drop::Named(names) => {
                self.tasks.retain(|(instance, name), _| *instance != id || !names.contains(name));
            }
            Drop::All => self.tasks.retain(|(instance, _), _| *instance != id),
        }
        if let Some(row) = self.instances.get_mut(&id) {
            // Kind, owner, start and birth are for good.
            *row = Instance {
                kind: Arc::clone(&row.kind),
                owner: Arc::clone(&row.owner),
                start: row.start.clone(),
                created_at: row.created_at,
                ..m.instance.clone()
            };
        }
        self.record(&m.history, &m.put, &m.tell, node);
        Written::Committed
    }

    fn put_back(&mut self, back: &PutBack) -> Written {
        let Some(held) = self.held(&back.task) else { return Written::Stale };
        held.row.due_at = back.due_at;
        held.row.doubt |= back.doubt;
        held.row.finding = Some(back.finding.to_owned());
        held.row.lease = None;
        Written::Committed
    }

    fn discard(&mut self, task: &TaskRef) -> Written {
        if self.held(task).is_none() {
            return Written::Stale;
        }
        self.tasks.remove(&key(task));
        Written::Committed
    }

    fn record(&mut self, history: &HistoryRow, put: &[NewTask], tell: &[Message], node: &NodeId) {
        let id = history.instance;
        self.history.entry(id).or_default().push(history.clone());
        self.outbox.entry(id).or_default().extend_from_slice(tell);
        for new in put {
            let claims = u32::from(new.claimed);
            let name = new.name.clone();
            let task = TaskRef { instance: id, name: name.clone(), born: history.seq, fence: claims.into() };
            let row = TaskRow {
                task,
                lane: new.lane.clone(),
                due_at: new.due_at,
                attempts: claims,
                losses: 0,
                doubt: false,
                lease: new.claimed.then(|| node.clone()),
                finding: None,
            };
            self.tasks.insert((id, name), Task { row, first_at: new.claimed.then_some(history.at) });
        }
    }

    fn due(&self, lane: &Lane, now: At, room: usize) -> Vec<TaskKey> {
        let is_due = |task: &Task| task.row.lane == *lane && task.row.due_at <= now;
        let mut due: Vec<_> = self.tasks.iter().filter(|(_, task)| is_due(task)).collect();
        due.sort_by_key(|(_, task)| task.row.due_at);
        due.into_iter().take(room).map(|(key, _)| key.clone()).collect()
    }

    fn claim(&mut self, key: &TaskKey, node: &NodeId, now: At, until: At) -> Option<Claimed> {
        let task = self.tasks.get_mut(key)?;
        // Somebody held it and let the claim lapse: what they did is not known.
        if task.row.lease.replace(node.clone()).is_some() {
            task.row.losses += 1;
        }
        task.row.due_at = until;
        task.row.attempts += 1;
        task.row.task.fence += 1;
        Some(Claimed {
            task: task.row.task.clone(),
            lane: task.row.lane.clone(),
            attempts: task.row.attempts,
            losses: task.row.losses,
            doubt: task.row.doubt,
            first_at: *task.first_at.get_or_insert(now),
            instance: self.instances.get(&key.0)?.clone(),
        })
    }

    /// The task that a claim names, while that claim is held.
    fn held(&mut self, claim: &TaskRef) -> Option<&mut Task> {
        self.tasks.get_mut(&key(claim)).filter(|task| task.row.task == *claim && task.row.lease.is_some())
    }
}

fn key(task: &TaskRef) -> TaskKey {
    (task.instance, task.name.clone())
}

fn matches(filter: &Filter, instance: &Instance) -> bool {
    let Filter { owner, kinds, statuses, from, to, before, limit: _ } = filter;
    owner.as_ref().is_none_or(|owner| *owner == instance.owner)
        && (kinds.is_empty() || kinds.contains(&instance.kind))
        && (statuses.is_empty() || statuses.contains(&instance.status))
        && from.is_none_or(|from| instance.created_at >= from)
        && to.is_none_or(|to| instance.created_at < to)
        && before.is_none_or(|before| instance.id < before)
}
