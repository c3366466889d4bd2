//! Watches every commit and every claim, and holds what was stored against the bank's books at that very moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use workers::ports::Clock as _;
use workers::store::{Claimed, HistoryRow, Instance, NewTask, Op, TaskRef};
use workflows::engine::{Status, TaskName};
use workflows::ids::WorkflowId;
use workflows::payment::Terms;
use workflows::time::At;

use crate::bank::Bank;
use crate::breach::{Breaches, Rule};
use crate::log::Log;
use crate::plan::Plan;
use crate::ports::Virtual;
use crate::registry::Registry;
use crate::world::RESYNC;

/// The judge of a world.
pub struct Judge {
    /// The world it judges.
    pub plan: Arc<Plan>,
    /// Its time.
    pub clock: Arc<Virtual>,
    /// What its database takes for the time.
    pub database: Arc<Virtual>,
    /// The truth.
    pub bank: Arc<Bank>,
    /// Whose payments they are.
    pub registry: Arc<Registry>,
    /// Where breaches are kept.
    pub breaches: Arc<Breaches>,
    /// What is told.
    pub log: Arc<Log>,
    seen: Mutex<Seen>,
    /// Told when an instance ends.
    pub ended: Notify,
}

#[derive(Default)]
struct Seen {
    instances: BTreeMap<WorkflowId, Stand>,
    keys: BTreeMap<(Arc<str>, Arc<str>), WorkflowId>,
    heard: BTreeSet<(Arc<str>, Arc<str>)>,
}

/// What was last seen of an instance.
struct Stand {
    seq: i64,
    status: Status,
    /// The highest claim of each task that was seen, by the task's name and birth.
    fences: BTreeMap<(TaskName, i64), i64>,
    /// When each task is due at the earliest, and the revision that armed it.
    due: BTreeMap<TaskName, (i64, At)>,
}

impl Judge {
    /// Has seen nothing.
    pub fn new(
        plan: Arc<Plan>,
        (clock, database): (Arc<Virtual>, Arc<Virtual>),
        bank: Arc<Bank>,
        registry: Arc<Registry>,
        (breaches, log): (Arc<Breaches>, Arc<Log>),
    ) -> Self {
        Judge {
            plan,
            clock,
            database,
            bank,
            registry,
            breaches,
            log,
            seen: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// An operation was committed.
    pub fn committed(&self, op: &Op) {
        match op {
            Op::Start(start) => {
                self.started(&start.instance);
                self.follows(&start.instance, &start.history, &start.put);
            }
            Op::Move(m) => {
                if let Some(key) = &m.heard
                    && !self.seen().heard.insert((Arc::clone(&key.source), Arc::clone(&key.event)))
                {
                    self.breach(Rule::EventsOnce, m.instance.id, format!("{} was heard twice", key.event));
                }
                if let Some(claim) = &m.consume {
                    self.held(claim);
                }
                self.moved(&m.instance, &m.history);
                self.follows(&m.instance, &m.history, &m.put);
            }
            Op::PutBack(back) => {
                self.held(&back.task);
                self.tell(back.task.instance, || {
                    format!("{} put back until {} ({})", back.task.name, back.due_at, back.finding)
                });
                let mut seen = self.seen();
                if let Some(stand) = seen.instances.get_mut(&back.task.instance) {
                    stand.due.insert(back.task.name.clone(), (back.task.born, back.due_at));
                }
            }
            Op::Discard(task) => {
                self.held(task);
                self.tell(task.instance, || format!("{} discarded", task.name));
            }
        }
    }

    /// Tasks were claimed. What counts is the time at which that happened, not the one that the claimer went by: it may
    /// have waited for the store since.
    pub fn claimed(&self, claimed: &[Claimed], now: At) {
        for one in claimed {
            let task = &one.task;
            let mut seen = self.seen();
            let Some(stand) = seen.instances.get_mut(&task.instance) else { continue };
            let first = stand.fences.insert((task.name.clone(), task.born), task.fence).is_none();
            let due = stand.due.get(&task.name).filter(|(born, _)| *born == task.born).map(|(_, due)| *due);
            // A claim may be heard of after its task was armed anew: it is of the one before then.
            let early = due.is_some_and(|due| self.database.now() < due);
            drop(seen);
            if let Some(due) = due.filter(|_| first && task.name.is_timer()) {
                self.is_in_time(task, due, now);
            }
            if early {
                self.breach(
                    Rule::Punctual,
                    task.instance,
                    format!("{} was claimed before it is due", task.name),
                );
            }
        }
    }

    /// A timer is not late once nothing has been wrong for a while: everybody is back, and nobody's claim has to lapse.
    fn is_in_time(&self, timer: &TaskRef, due: At, now: At) {
        let jump = self.plan.jump.map_or(Duration::ZERO, |jump| jump.by + RESYNC);
        let healthy = self.plan.epoch.plus(self.plan.calm_at + RECOVERY + jump);
        // A process learns of a timer that another one armed when it looks the next time.
        let latest = LATEST.max(self.plan.quiet + LATEST);
        let late = now.since(due);
        if due >= healthy && late > latest {
            self.breach(Rule::Punctual, timer.instance, format!("{} is {late:?} late", timer.name));
        }
    }

    /// Whether some process may not have heard yet that the database's clock went forward, or holds claims from then.
    pub fn clocks_differ(&self) -> bool {
        let since = self.plan.jump.map(|jump| self.clock.elapsed().checked_sub(jump.at));
        since.flatten().is_some_and(|since| since < RESYNC + self.plan.lease)
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.seen().instances.len()
    }

    /// How many instances have not come to their end.
    pub fn live(&self) -> usize {
        self.seen().instances.values().filter(|stand| !stand.status.is_final()).count()
    }

    /// A status was shown to somebody.
    pub fn shown(&self, instance: &Instance) {
        self.agrees(instance);
    }

    fn started(&self, instance: &Instance) {
        let key = (Arc::clone(&instance.start.scope), Arc::clone(&instance.start.key));
        let stand = Stand {
            seq: instance.seq,
            status: instance.status,
            fences: BTreeMap::new(),
            due: BTreeMap::new(),
        };
        let mut seen = self.seen();
        let twice = seen.keys.insert(key, instance.id).is_some();
        seen.instances.insert(instance.id, stand);
        drop(seen);
        if twice {
            self.breach(Rule::StartsOnce, instance.id, "one key started two".to_owned());
        }
        self.tell(instance.id, || "started".to_owned());
    }

    fn moved(&self, instance: &Instance, row: &HistoryRow) {
        self.tell(instance.id, || {
            format!("{} {} / {} by {}: {}", row.seq, row.status, row.phase, row.actor, row.occurrence)
        });
        let mut seen = self.seen();
        let Some(stand) = seen.instances.get_mut(&instance.id) else {
            drop(seen);
            return self.breach(
                Rule::DurableAccept,
                instance.id,
                "it moved and was never started".to_owned(),
            );
        };
        let (seq, before) = (stand.seq, stand.status);
        stand.seq = instance.seq;
        stand.status = instance.status;
        drop(seen);
        if instance.seq != seq + 1 {
            self.breach(Rule::SingleWriter, instance.id, format!("revision {} after {seq}", instance.seq));
        }
        // What was reported is corrected by an operator's proof alone.
        let corrected = row.occurrence.starts_with(r#"{"said":{"resolved""#);
        if before.is_final() && instance.status != before && !corrected {
            self.breach(Rule::Truthful, instance.id, format!("{before} became {}", instance.status));
        }
        if let Some(stopped) = instance.attention.as_ref().filter(|text| text.starts_with("stopped: ")) {
            self.breach(Rule::Liveness, instance.id, format!("{stopped} ({})", row.occurrence));
        }
        self.is_punctual(instance, row);
        self.agrees(instance);
        if instance.status.is_final() {
            self.ended.notify_one();
        }
    }

    /// Whether what an instance shows agrees with the bank's books at this moment.
    fn agrees(&self, instance: &Instance) {
        let number = self.registry.number(instance.id);
        let (executed, live) = self.bank.truth(number);
        let untrue = match instance.status {
            Status::Processing => None,
            Status::Queued => (executed > 0 || live).then_some(Rule::Truthful),
            Status::Completed if executed == 1 => live.then_some(Rule::MoneyOnce),
            Status::Completed => Some(Rule::Truthful),
            Status::Failed | Status::Cancelled if executed > 0 => Some(Rule::Truthful),
            Status::Failed | Status::Cancelled => live.then_some(Rule::Compensated),
        };
        if let Some(rule) = untrue {
            let what = format!(
                "{} / {} while executed {executed} times, live: {live}",
                instance.status, instance.phase
            );
            self.breach(rule, instance.id, what);
        }
    }

    /// Whether a timer that fired was due, by the terms and not by the row.
    fn is_punctual(&self, instance: &Instance, row: &HistoryRow) {
        let fired = row.occurrence.strip_prefix(r#"{"fired":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
        let Some(timer) = fired else { return };
        let due = {
            let seen = self.seen();
            let name = TaskName::stored(format!("@{timer}"));
            seen.instances.get(&instance.id).and_then(|stand| stand.due.get(&name).map(|(_, due)| *due))
        };
        if due.is_some_and(|due| row.at < due) {
            self.breach(Rule::Punctual, instance.id, format!("{timer} fired early"));
        }
    }

    /// The claim of a committed word is the newest there is.
    fn held(&self, claim: &TaskRef) {
        let newest = {
            let seen = self.seen();
            let stand = seen.instances.get(&claim.instance);
            stand.and_then(|stand| stand.fences.get(&(claim.name.clone(), claim.born)).copied())
        };
        if newest.is_some_and(|newest| newest > claim.fence) {
            self.breach(
                Rule::SingleWriter,
                claim.instance,
                format!("{} was written under a lost claim", claim.name),
            );
        }
    }

    /// What follows from a transition is due when the terms say.
    fn follows(&self, instance: &Instance, row: &HistoryRow, put: &[NewTask]) {
        let terms = self.plan.order(self.registry.number(instance.id)).map(|order| order.terms.clone());
        for task in put {
            let wait = terms.as_ref().map_or(Duration::ZERO, |terms| least(&task.name, terms));
            // What was promised to a queued payment was promised at its acceptance.
            let since = if is_promised(&task.name) { instance.created_at } else { row.at };
            let due = since.plus(wait);
            if !task.claimed && !wait.is_zero() && task.due_at < due {
                self.breach(Rule::Punctual, instance.id, format!("{} is armed too short", task.name));
            }
            self.tell(instance.id, || format!("    {} due {}", task.name, task.due_at));
            let mut seen = self.seen();
            if let Some(stand) = seen.instances.get_mut(&instance.id) {
                // A claim that was born with the task is no time at which it is due.
                let due = if task.claimed { row.at } else { task.due_at };
                stand.due.insert(task.name.clone(), (row.seq, due));
            }
        }
    }

    /// Notes a breach with an instance.
    pub fn breach(&self, rule: Rule, id: WorkflowId, what: String) {
        let number = self.registry.of(id).map(|(number, _)| number);
        self.log.tell(self.clock.now(), || format!("BREACH {} of order {number:?}: {what}", rule.id()));
        self.breaches.add(rule, number, what);
    }

    fn tell(&self, id: WorkflowId, what: impl FnOnce() -> String) {
        self.log.tell(self.clock.now(), || format!("order {}: {}", self.registry.number(id), what()));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So late at most does a timer fire while nothing is wrong.
const LATEST: Duration = Duration::from_secs(5);
/// So long after the last fault everybody is back: the longest that a process stands still, and a claim that lapses.
const RECOVERY: Duration = Duration::from_mins(15);

/// Whether a timer counts from the acceptance of the order.
fn is_promised(task: &TaskName) -> bool {
    matches!(task.as_str(), "@sla_breach" | "@expiry")
}

/// How long a timer has to wait at least, from when it is armed or from the acceptance.
fn least(task: &TaskName, terms: &Terms) -> Duration {
    match task.as_str() {
        "@sca_deadline" => terms.sca_timeout,
        "@ripe" if terms.lookup => terms.visibility_lag,
        "@overdue" => terms.overdue,
        "@user_deadline" | "@consent_deadline" => terms.user_deadline,
        "@sla_breach" => terms.sla,
        "@expiry" => terms.queue_expiry,
        _ => Duration::ZERO,
    }
}
