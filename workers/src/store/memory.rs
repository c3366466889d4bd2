//! The store as a definition: the same answers as a database gives, from plain maps under one lock.
//!
//! What each method does here is what it means; the SQL stores are held to it by the suite in `tests/store/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use workflows::engine::{Lane, Message, TaskName, Weight};
use workflows::ids::WorkflowId;
use workflows::money::Money;
use workflows::planted;
use workflows::time::At;

use super::audit::IN_DOUBT;
use super::memory_desk::Desk;
use super::{
    Audit, Backlog, Census, Claimed, Drop, Fault, Faulty, Filter, HistoryRow, InboxKey, Instance, LaneDue,
    Look, Move, NewTask, NodeId, Op, Order, Overview, Page, PutBack, Standing, Start, Store, TaskRef,
    TaskRow, Trouble, Written,
};
use crate::controls::{Change, Changed, ControlRow, ControlStore, Kind, is_queue};
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

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
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
            if !concerned.insert(op.instance()) {
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

    async fn overview(&self, look: Look) -> Result<Overview, Trouble> {
        let tables = self.tables();
        let mut earliest: BTreeMap<Lane, At> = BTreeMap::new();
        for task in tables.tasks.values() {
            let due_at = earliest.entry(task.row.lane.clone()).or_insert(task.row.due_at);
            *due_at = task.row.due_at.min(*due_at);
        }
        let lanes = earliest.into_iter().map(|(lane, due_at)| LaneDue { lane, due_at }).collect();
        let somebody_died = look == Look::AtNodesToo && tables.neighbours.somebody_died();
        Ok(Overview { controls: tables.controls_revision, lanes, somebody_died })
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
                held.is_unused(now);
            }
        }
        Ok(())
    }

    async fn redirect(&self, unused: &TaskRef, lane: &Lane, due_at: At) -> Result<(), Trouble> {
        if let Some(held) = self.tables().held(unused) {
            held.is_unused(due_at);
            held.row.lane = lane.clone();
        }
        Ok(())
    }

    async fn take_over(&self, node: &NodeId, now: At) -> Result<u64, Trouble> {
        Ok(self.tables().take_over(|holder| holder != node, now))
    }

    async fn load(&self, id: WorkflowId) -> Result<Option<Instance>, Trouble> {
        Ok(self.tables().instances.get(&id).cloned())
    }

    async fn started(&self, scope: &str, key: &str) -> Result<Option<Instance>, Trouble> {
        let under = |instance: &&Instance| *instance.start.scope == *scope && *instance.start.key == *key;
        Ok(self.tables().instances.values().find(under).cloned())
    }

    async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble> {
        let tables = self.tables();
        let called = |instance: &&Instance| instance.reference.as_deref() == Some(reference);
        Ok(tables.instances.values().filter(called).cloned().collect())
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
        let place = |instance: &Instance| match filter.order {
            Order::NewestFirst | Order::OldestFirst => (At::EPOCH, instance.id),
            Order::LatestMovedFirst | Order::EarliestMovedFirst => (instance.updated_at, instance.id),
        };
        let backwards = matches!(filter.order, Order::NewestFirst | Order::LatestMovedFirst);
        let cursor = filter.before.map(|id| match filter.order {
            Order::NewestFirst | Order::OldestFirst => Some((At::EPOCH, id)),
            Order::LatestMovedFirst | Order::EarliestMovedFirst => tables.instances.get(&id).map(place),
        });
        let is_behind = |instance: &Instance| match cursor {
            None => true,
            Some(None) => false,
            Some(Some(cursor)) if backwards => place(instance) < cursor,
            Some(Some(cursor)) => place(instance) > cursor,
        };
        let mut found: Vec<&Instance> =
            tables.instances.values().filter(|one| tables.matches(filter, one) && is_behind(one)).collect();
        found.sort_by_key(|instance| place(instance));
        if backwards {
            found.reverse();
        }
        Ok(found.into_iter().take(filter.limit).cloned().collect())
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, Trouble> {
        let mut lanes: BTreeMap<Lane, Backlog> = BTreeMap::new();
        for task in self.tables().tasks.values().filter(|task| task.row.lease.is_none()) {
            let TaskRow { lane, due_at, .. } = &task.row;
            let none = Backlog { lane: lane.clone(), waiting: 0, oldest_at: None };
            let backlog = lanes.entry(lane.clone()).or_insert(none);
            backlog.waiting += 1;
            backlog.oldest_at = Some(backlog.oldest_at.map_or(*due_at, |oldest| oldest.min(*due_at)));
        }
        Ok(lanes.into_values().collect())
    }

    async fn parked(&self) -> Result<Vec<Backlog>, Trouble> {
        let mut queues: BTreeMap<Lane, Backlog> = BTreeMap::new();
        for TaskRow { lane, due_at, .. } in self.tables().tasks.values().map(|task| &task.row) {
            if is_queue(lane) {
                let none = Backlog { lane: lane.clone(), waiting: 0, oldest_at: None };
                let queue = queues.entry(lane.clone()).or_insert(none);
                queue.waiting += 1;
                queue.oldest_at = Some(queue.oldest_at.map_or(*due_at, |oldest| oldest.min(*due_at)));
            }
        }
        Ok(queues.into_values().collect())
    }

    async fn at_stake(&self, filter: &Filter) -> Result<Vec<Money>, Trouble> {
        let tables = self.tables();
        let live = |one: &&Instance| one.completed_at.is_none() && tables.matches(filter, one);
        let mut sums: BTreeMap<String, Money> = BTreeMap::new();
        for weight in tables.instances.values().filter(live).filter_map(|one| tables.weights.get(&one.id)) {
            let currency = weight.money.currency;
            sums.entry(currency.to_string()).or_insert(Money::zero(currency)).minor += weight.money.minor;
        }
        Ok(sums.into_values().collect())
    }

    async fn count(&self, filter: &Filter) -> Result<u64, Trouble> {
        let tables = self.tables();
        let meant = tables.instances.values().filter(|instance| tables.matches(filter, instance));
        Ok(meant.count().try_into().unwrap_or(u64::MAX))
    }

    async fn heard(&self, key: &InboxKey) -> Result<Option<WorkflowId>, Trouble> {
        let key = (Arc::clone(&key.source), Arc::clone(&key.event));
        Ok(self.tables().inbox.get(&key).copied())
    }

    async fn ping(&self) -> Result<(), Trouble> {
        Ok(())
    }
}

#[async_trait]
impl ControlStore for MemoryStore {
    async fn controls_revision(&self) -> Result<i64, Trouble> {
        Ok(self.tables().controls_revision)
    }

    async fn controls(&self) -> Result<(i64, Vec<ControlRow>), Trouble> {
        let tables = self.tables();
        Ok((tables.controls_revision, tables.controls.values().cloned().collect()))
    }

    async fn change_control(&self, change: &Change, now: At) -> Result<Changed, Trouble> {
        let mut tables = self.tables();
        let Change { kind, subject, version, document } = change;
        let key = (*kind, Arc::clone(subject));
        let stored = tables.controls.get(&key).map_or(0, |row| row.version);
        if stored != *version || (document.is_none() && stored == 0) {
            return Ok(Changed::Stale);
        }
        tables.controls_revision += 1;
        let revision = tables.controls_revision;
        match document {
            Some(document) => {
                let (subject, document) = (Arc::clone(subject), Arc::clone(document));
                let row = ControlRow { kind: *kind, subject, document, version: revision, updated_at: now };
                tables.controls.insert(key, row);
            }
            None => drop(tables.controls.remove(&key)),
        }
        Ok(Changed::Written(revision))
    }
}

#[async_trait]
impl Audit for MemoryStore {
    async fn census(&self, after: Option<WorkflowId>, limit: usize) -> Result<Page<Census>, Trouble> {
        let Page { found, next } = self.live(after, limit).await?;
        let mut census = Census::default();
        for Standing { id, instance, tasks } in found {
            if instance.as_ref().is_some_and(|instance| *instance.phase == *IN_DOUBT) {
                let rows = self.history(id, 0, usize::MAX).await?;
                let since =
                    rows.iter().rev().take_while(|row| *row.phase == *IN_DOUBT).last().map(|row| row.at);
                census.in_doubt += 1;
                census.doubted_since = census.doubted_since.into_iter().chain(since).min();
            }
            let status = instance.map(|instance| instance.status.as_str().into());
            *census.statuses.entry(status.unwrap_or_default()).or_default() += 1;
            census.idle.extend(tasks.is_empty().then_some(id));
        }
        Ok(Page { found: census, next })
    }

    async fn live(&self, after: Option<WorkflowId>, limit: usize) -> Result<Page<Vec<Standing>>, Trouble> {
        let tables = self.tables();
        let names = |id| tables.tasks.keys().filter(move |(of, _)| *of == id).map(|(_, name)| name.clone());
        let live = tables.instances.values().filter(|one| one.completed_at.is_none() && Some(one.id) > after);
        let found: Vec<_> = live
            .take(limit)
            .map(|one| Standing { id: one.id, instance: Some(one.clone()), tasks: names(one.id).collect() })
            .collect();
        let next = found.last().map(|standing| standing.id).filter(|_| found.len() >= limit);
        Ok(Page { found, next })
    }

    async fn faulty(
        &self,
        after: Option<&(WorkflowId, TaskName)>,
        lapsed: At,
        limit: usize,
    ) -> Result<Page<Vec<Faulty>, (WorkflowId, TaskName)>, Trouble> {
        let tables = self.tables();
        let page: Vec<_> = tables.tasks.iter().filter(|(key, _)| Some(*key) > after).take(limit).collect();
        let fault = |task: &Task| match tables.instances.get(&task.row.task.instance) {
            None => Some(Fault::Orphaned),
            Some(instance) if instance.completed_at.is_some() => Some(Fault::Ended),
            Some(_) => (task.row.lease.is_some() && task.row.due_at < lapsed).then_some(Fault::Lapsed),
        };
        let faulty = |task: &Task| {
            Some(Faulty { fault: fault(task)?, task: task.row.task.clone(), lane: task.row.lane.clone() })
        };
        let found = page.iter().filter_map(|(_, task)| faulty(task)).collect();
        let next = page.last().map(|(key, _)| (*key).clone()).filter(|_| page.len() >= limit);
        Ok(Page { found, next })
    }

    async fn sweep(&self, leftovers: &[TaskRef]) -> Result<u64, Trouble> {
        let mut tables = self.tables();
        let mut swept = 0;
        for task in leftovers {
            let ended = tables.instances.get(&task.instance).is_some_and(|one| one.completed_at.is_some());
            let same = tables.tasks.get(&key(task)).is_some_and(|stored| stored.row.task.born == task.born);
            if ended && same {
                tables.tasks.remove(&key(task));
                swept += 1;
            }
        }
        Ok(swept)
    }
}

#[derive(Default)]
pub(super) struct Tables {
    pub(super) instances: BTreeMap<WorkflowId, Instance>,
    history: BTreeMap<WorkflowId, Vec<HistoryRow>>,
    tasks: BTreeMap<TaskKey, Task>,
    weights: BTreeMap<WorkflowId, Weight>,
    inbox: BTreeMap<(Arc<str>, Arc<str>), WorkflowId>,
    outbox: BTreeMap<WorkflowId, Vec<Message>>,
    pub(super) desk: Desk,
    controls: BTreeMap<(Kind, Arc<str>), ControlRow>,
    controls_revision: i64,
    pub(super) neighbours: super::memory_neighbours::Tables,
}

type TaskKey = (WorkflowId, TaskName);

struct Task {
    row: TaskRow,
    first_at: Option<At>,
}

impl Tables {
    /// Makes the claims of those nodes due at once.
    pub(super) fn take_over(&mut self, dead: impl Fn(&NodeId) -> bool, now: At) -> u64 {
        let mut taken = 0;
        for task in self.tasks.values_mut() {
            if task.row.lease.as_ref().is_some_and(&dead) {
                task.row.due_at = task.row.due_at.min(now);
                taken += 1;
            }
        }
        taken
    }

    /// Whether a filter means an instance, whatever its cursor.
    fn matches(&self, filter: &Filter, instance: &Instance) -> bool {
        let Filter {
            owner,
            kinds,
            statuses,
            phases,
            attention,
            ids,
            from,
            to,
            bank,
            order: _,
            before: _,
            limit: _,
        } = filter;
        let at = || self.weights.get(&instance.id).map(|weight| weight.bank.as_str());
        owner.as_ref().is_none_or(|owner| *owner == instance.owner)
            && (kinds.is_empty() || kinds.contains(&instance.kind))
            && (statuses.is_empty() || statuses.contains(&instance.status))
            && (phases.is_empty() || phases.contains(&instance.phase))
            && (!attention || instance.attention.is_some())
            && (ids.is_empty() || ids.contains(&instance.id))
            && from.is_none_or(|from| instance.created_at >= from)
            && to.is_none_or(|to| instance.created_at < to)
            && bank.as_deref().is_none_or(|bank| at() == Some(bank))
    }

    fn start(&mut self, start: &Start, node: &NodeId) -> Written {
        let Start { instance, history, put, tell, weight } = start;
        let same_start = |other: &Instance| {
            other.start.scope == instance.start.scope && other.start.key == instance.start.key
        };
        let taken = self.instances.values().any(same_start) && !planted::is("two starts under one key");
        if self.instances.contains_key(&instance.id) || taken {
            return Written::Taken;
        }
        self.instances.insert(instance.id, Instance::clone(instance));
        self.weights.extend(weight.clone().map(|weight| (instance.id, weight)));
        self.record(history, put, tell, node);
        Written::Committed
    }

    fn advance(&mut self, m: &Move, node: &NodeId) -> Written {
        let id = m.instance.id;
        let revision_holds = self
            .instances
            .get(&id)
            .is_some_and(|old| old.seq == m.instance.seq - 1 || planted::is("no guard on the revision"));
        let claim_holds = m.consume.as_ref().is_none_or(|claim| self.held(claim).is_some());
        if !revision_holds || !claim_holds {
            return Written::Stale;
        }
        if let Some(InboxKey { source, event }) = &m.heard
            && self.inbox.insert((Arc::clone(source), Arc::clone(event)), id).is_some()
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
            // Kind, owner, start and birth are for good, and so is an order but for its version.
            *row = Instance {
                order: if m.upcast { Arc::clone(&m.instance.order) } else { Arc::clone(&row.order) },
                kind: Arc::clone(&row.kind),
                owner: Arc::clone(&row.owner),
                start: row.start.clone(),
                created_at: row.created_at,
                ..Instance::clone(&m.instance)
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
            instance: Arc::new(self.instances.get(&key.0)?.clone()),
        })
    }

    /// The task that a claim names, while that claim is held.
    fn held(&mut self, claim: &TaskRef) -> Option<&mut Task> {
        self.tasks.get_mut(&key(claim)).filter(|task| {
            let same = task.row.task == *claim || planted::is("no guard on the claim");
            same && task.row.lease.is_some()
        })
    }
}

impl Task {
    /// Its claim is handed back, and was no attempt.
    fn is_unused(&mut self, due_at: At) {
        self.row.due_at = due_at;
        self.row.lease = None;
        self.row.attempts -= 1;
        self.first_at = self.first_at.filter(|_| self.row.attempts > 0);
    }
}

fn key(task: &TaskRef) -> TaskKey {
    (task.instance, task.name.clone())
}
