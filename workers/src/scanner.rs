//! The scanner: looks through what is stored for what cannot be, puts back what is safe to put back, and calls an
//! operator for the rest (invariant I12 of the reliability design: nothing is in limbo).
//!
//! In a healthy system it finds nothing, however busy that is: a page is one moment, and a transition takes a task away
//! and brings the next in one transaction. Two scanners at once are harmless: what they write is guarded by the
//! revision that they saw.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use workflows::engine::{Book, Effect, Lane, Live, TaskName, Unreadable};
use workflows::ids::WorkflowId;
use workflows::time::At;

use crate::committer::{Committer, chain};
use crate::controls::{Controls, Gate, is_queue};
use crate::feeder::Hands;
use crate::meters::Tally;
use crate::ports::Clock;
use crate::store::{
    Audit, Fault, Faulty, Filter, Instance, Move, Op, Standing, Store, TaskRef, Trouble, Verdict,
    verify_chain,
};
use crate::transition::{Why, is_stopped, name_of, raise, resume};

/// Rows of one page that are only counted.
const COUNTED: usize = 5_000;
/// Rows of one page that are read whole.
const READ: usize = 500;
/// Live instances whose lifelines one round looks at; the next round goes on behind them. Those without any task are
/// found in every round.
const SLICE: usize = 5_000;
/// A claim that lapsed so many leases ago was taken up by nobody.
const LEASES: u32 = 10;
/// Who writes what the scanner writes.
const ACTOR: &str = "scanner";

/// What cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// A live instance without any task.
    Idle,
    /// A live instance whose tasks do not lead on from its state.
    Adrift,
    /// A live instance without one of the deadlines of its state.
    Endless,
    /// A task of an instance that has ended.
    Leftover,
    /// A task of no instance.
    Orphan,
    /// A task whose claim lapsed long ago and that nobody took up, although its lane is open and has room.
    Unclaimed,
    /// An instance that cannot be read.
    Unreadable,
    /// A history that is not the chain it should be.
    Chain,
}

impl Violation {
    /// Every one there is.
    pub const ALL: [Violation; 8] = [
        Violation::Idle,
        Violation::Adrift,
        Violation::Endless,
        Violation::Leftover,
        Violation::Orphan,
        Violation::Unclaimed,
        Violation::Unreadable,
        Violation::Chain,
    ];

    /// Its word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Violation::Idle => "idle",
            Violation::Adrift => "adrift",
            Violation::Endless => "endless",
            Violation::Leftover => "leftover",
            Violation::Orphan => "orphan",
            Violation::Unclaimed => "unclaimed",
            Violation::Unreadable => "unreadable",
            Violation::Chain => "chain",
        }
    }
}

/// What one round found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Live instances by status.
    pub live: BTreeMap<Arc<str>, u64>,
    /// Of these, how many were read whole.
    pub read: u64,
    /// Live instances that stand still and wait for an operator.
    pub stopped: u64,
    /// Live instances that nobody knows the outcome of,
    pub in_doubt: u64,
    /// and since when the first of them is so.
    pub doubted_since: Option<At>,
    /// Each thing that cannot be, with where it was found.
    pub violations: BTreeMap<Violation, Vec<String>>,
    /// How many of these were put right.
    pub mended: u64,
    /// For how many an operator was called.
    pub raised: u64,
}

impl Findings {
    /// Whether everything is as it should be.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How often something was found.
    pub fn count(&self, violation: Violation) -> usize {
        self.violations.get(&violation).map_or(0, Vec::len)
    }
}

/// What a round does about what it finds.
#[derive(Clone)]
pub enum Conduct {
    /// It only looks.
    Looks,
    /// It puts right what is safe, and calls an operator for the rest.
    Mends(Mender),
}

/// What is needed to put something right.
#[derive(Clone)]
pub struct Mender {
    pub(crate) committer: Committer,
}

/// What a task may be waiting for that nobody takes up.
#[derive(Clone)]
pub struct Waits {
    controls: Controls,
    /// Nothing where no steps are performed.
    hands: Option<Hands>,
}

impl Waits {
    /// For these controls alone.
    pub fn of(controls: Controls) -> Self {
        Waits { controls, hands: None }
    }

    pub(crate) fn before(controls: Controls, hands: Option<Hands>) -> Self {
        Waits { controls, hands }
    }

    /// Whether a task of this lane has to wait: it is shut or held, let through step by step, or takes no more at the
    /// moment.
    fn are_in(&self, lane: &Lane, now: At) -> bool {
        let step_by_step = || {
            let known = self.controls.snapshot();
            let waits = known.queues().any(|(queue, how)| queue == lane && !how.is_forgettable(now));
            is_queue(lane) && waits
        };
        let full = || self.hands.as_ref().is_some_and(|hands| !hands.have_room(lane));
        self.controls.gate(lane) != Gate::Open || step_by_step() || full()
    }
}

/// Looks through a store.
pub struct Scanner {
    store: Arc<dyn Store>,
    audit: Arc<dyn Audit>,
    book: Book,
    clock: Arc<dyn Clock>,
    /// After how long a lapsed claim counts as taken up by nobody.
    patience: Duration,
    conduct: Conduct,
    waits: Waits,
    last: Mutex<Findings>,
    violated: Tally,
    /// Where the next slice begins.
    place: Mutex<Option<WorkflowId>>,
}

impl Scanner {
    /// Over a store whose claims last for `lease`.
    pub fn new(
        store: Arc<dyn Store>,
        audit: Arc<dyn Audit>,
        book: Book,
        lease: Duration,
        conduct: Conduct,
        waits: Waits,
    ) -> Self {
        let clock = store.clock();
        let patience = lease * LEASES;
        let (last, violated, place) = (Mutex::default(), Tally::default(), Mutex::default());
        Scanner { store, audit, book, clock, patience, conduct, waits, last, violated, place }
    }

    /// What the last round found.
    pub fn last(&self) -> Findings {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each thing that cannot be was found since the process started.
    pub fn violated(&self) -> &Tally {
        &self.violated
    }

    /// Makes a round every so often until the end begins.
    pub async fn run(&self, every: Duration, ending: impl Future<Output = ()>) {
        let mut ending = pin!(ending);
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = &mut ending => return,
            }
            // A page is not cut off in the middle; the end waits for it no longer than for a statement.
            tokio::select! {
                round = self.round() => if let Err(trouble) = round {
                    tracing::warn!(error = %chain(&trouble), "the scanner could not finish its round");
                },
                () = &mut ending => return,
            }
        }
    }

    /// One round: counts everything that lives, looks at the next slice of it, and at every task.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn round(&self) -> Result<Findings, Trouble> {
        let mut findings = Findings::default();
        let idle = self.count(&mut findings).await?;
        for id in idle {
            // Read again, together with its tasks as of now: it may have moved since it was counted.
            let page = self.audit.live(before(id), 1).await?;
            if let Some(standing) = page.found.first().filter(|standing| standing.id == id) {
                self.look_at(standing, &mut findings).await;
            }
        }
        let from = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.look(from, SLICE, &mut findings).await?;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.look_at_tasks(&mut findings).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = findings.clone();
        Ok(findings)
    }

    /// Everything at once: every live instance, every task, and, where wanted, every history ever written.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sweep(&self, chains: bool) -> Result<Findings, Trouble> {
        let mut findings = Findings::default();
        self.count(&mut findings).await?;
        self.look(None, usize::MAX, &mut findings).await?;
        self.look_at_tasks(&mut findings).await?;
        if chains {
            self.verify_chains(&mut findings).await?;
        }
        Ok(findings)
    }

    async fn count(&self, findings: &mut Findings) -> Result<Vec<WorkflowId>, Trouble> {
        let (mut after, mut idle) = (None, Vec::new());
        loop {
            let page = self.audit.census(after, COUNTED).await?;
            for (status, count) in page.found.statuses {
                *findings.live.entry(status).or_default() += count;
            }
            idle.extend(page.found.idle);
            findings.in_doubt += page.found.in_doubt;
            findings.doubted_since = findings.doubted_since.into_iter().chain(page.found.doubted_since).min();
            let Some(next) = page.next else { return Ok(idle) };
            after = Some(next);
        }
    }

    /// Looks at `most` live instances; answers where to go on, `None` at the end.
    async fn look(
        &self,
        from: Option<WorkflowId>,
        most: usize,
        findings: &mut Findings,
    ) -> Result<Option<WorkflowId>, Trouble> {
        let (mut after, mut left) = (from, most);
        while left > 0 {
            let page = self.audit.live(after, READ.min(left)).await?;
            left -= page.found.len();
            for standing in &page.found {
                self.look_at(standing, findings).await;
            }
            let Some(next) = page.next else { return Ok(None) };
            after = Some(next);
        }
        Ok(after)
    }

    async fn look_at(&self, standing: &Standing, findings: &mut Findings) {
        findings.read += 1;
        let id = standing.id.to_string();
        let Some(instance) = &standing.instance else {
            return self.note(Violation::Unreadable, id, findings);
        };
        if is_stopped(instance) {
            findings.stopped += 1;
            return;
        }
        let live = match self.open(instance) {
            Ok(live) => live,
            Err(unreadable) => {
                self.note(Violation::Unreadable, format!("{id}: {}", chain(&unreadable)), findings);
                // Another version may be able to read what this one does not know; what is malformed nobody can.
                if let Unreadable::Malformed { .. } = unreadable {
                    let why = Why::said(ACTOR);
                    let now = self.clock.now();
                    let raised = raise(instance, "its documents cannot be read", &why, now);
                    self.write(raised, Mend::Raised, findings).await;
                }
                return;
            }
        };
        let is_there = |effect: &Effect<TaskName, TaskName>| {
            name_of(effect).is_some_and(|name| standing.tasks.contains(name))
        };
        let violation = if standing.tasks.is_empty() {
            Violation::Idle
        } else if !live.lifelines().iter().any(is_there) {
            Violation::Adrift
        } else if !live.deadlines().iter().all(is_there) {
            Violation::Endless
        } else {
            return;
        };
        self.note(violation, format!("{id} in {}", instance.phase), findings);
        self.mend(instance, &live, &standing.tasks, findings).await;
    }

    /// Puts back what leads on, as [`resume`] does for an operator.
    async fn mend(
        &self,
        instance: &Instance,
        live: &Arc<dyn Live>,
        outstanding: &[TaskName],
        findings: &mut Findings,
    ) {
        let Conduct::Mends(_) = &self.conduct else { return };
        let (now, why) = (self.clock.now(), Why::said(ACTOR));
        if let Ok(Some(moved)) = resume(instance, live, outstanding, &why, now) {
            return self.write(moved, Mend::Mended, findings).await;
        }
        let raised = raise(instance, "nothing leads on from where it stands", &why, now);
        self.write(raised, Mend::Raised, findings).await;
    }

    async fn look_at_tasks(&self, findings: &mut Findings) -> Result<(), Trouble> {
        let now = self.clock.now();
        let lapsed = now.minus(self.patience);
        let mut after = None;
        loop {
            let page = self.audit.faulty(after.as_ref(), lapsed, COUNTED).await?;
            let answered = self.answered(&page.found, after.as_ref(), lapsed).await?;
            let mut leftovers = Vec::new();
            for faulty in page.found {
                if answered.contains(&faulty.task) {
                    continue;
                }
                if faulty.fault == Fault::Lapsed && self.waits.are_in(&faulty.lane, now) {
                    continue;
                }
                let violation = match faulty.fault {
                    Fault::Ended => Violation::Leftover,
                    Fault::Orphaned => Violation::Orphan,
                    Fault::Lapsed => Violation::Unclaimed,
                };
                let place = format!("{} {}", faulty.task.instance, faulty.task.name);
                self.note(violation, place, findings);
                if faulty.fault == Fault::Ended {
                    leftovers.push(faulty.task);
                }
            }
            if let Conduct::Mends(_) = self.conduct
                && !leftovers.is_empty()
            {
                findings.mended += self.audit.sweep(&leftovers).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// The tasks of ended instances for which there is an answer: their instance asks for them, or they were gone when it
    /// did not any more. The same page is read again for that, since a task is settled together with the question.
    async fn answered(
        &self,
        found: &[Faulty],
        after: Option<&(WorkflowId, TaskName)>,
        lapsed: At,
    ) -> Result<Vec<TaskRef>, Trouble> {
        let (mut answered, mut suspects) = (Vec::new(), Vec::new());
        for faulty in found.iter().filter(|faulty| faulty.fault == Fault::Ended) {
            let asked_for = self.is_asked_for(&faulty.task).await?;
            let which = if asked_for { &mut answered } else { &mut suspects };
            which.push(faulty.task.clone());
        }
        if !suspects.is_empty() {
            let again = self.audit.faulty(after, lapsed, COUNTED).await?.found;
            // Its next claim is still the same task.
            let same =
                |a: &TaskRef, b: &TaskRef| (a.instance, &a.name, a.born) == (b.instance, &b.name, b.born);
            let is_there = |task: &TaskRef| again.iter().any(|faulty| same(&faulty.task, task));
            answered.extend(suspects.into_iter().filter(|task| !is_there(task)));
        }
        Ok(answered)
    }

    /// Whether an instance that has ended asks for this task: somebody hinted at news, and the provider is asked again.
    async fn is_asked_for(&self, task: &TaskRef) -> Result<bool, Trouble> {
        let Some(instance) = self.store.load(task.instance).await? else { return Ok(false) };
        let Ok(live) = self.open(&instance) else { return Ok(false) };
        Ok(live.lifelines().iter().filter_map(name_of).any(|name| *name == task.name))
    }

    async fn verify_chains(&self, findings: &mut Findings) -> Result<(), Trouble> {
        let mut filter = Filter { limit: READ, ..Filter::default() };
        loop {
            let page = self.store.list(&filter).await?;
            for instance in &page {
                if self.verdict(instance.id).await? != Verdict::Intact
                    // It may have moved between its two readings: then it is well the next time.
                    && let verdict @ Verdict::Broken { .. } = self.verdict(instance.id).await?
                {
                    self.note(Violation::Chain, format!("{}: {verdict:?}", instance.id), findings);
                }
            }
            match page.last() {
                Some(last) if page.len() >= READ => filter.before = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    async fn verdict(&self, id: WorkflowId) -> Result<Verdict, Trouble> {
        // The head first: rows that follow it meanwhile are left out.
        let Some(head) = self.store.load(id).await? else { return Ok(Verdict::Broken { seq: 0 }) };
        let most = usize::try_from(head.seq).unwrap_or(usize::MAX);
        let rows = self.store.history(id, 0, most).await?;
        Ok(verify_chain(&rows, head.seq, &head.hash))
    }

    /// Writes, unless it only looks; a revision that moved meanwhile had no need of it.
    async fn write(&self, op: Move, mend: Mend, findings: &mut Findings) {
        let Conduct::Mends(mender) = &self.conduct else { return };
        let id = op.instance.id;
        match mender.committer.commit(Op::Move(Box::new(op))).await {
            Ok(crate::store::Written::Committed) => match mend {
                Mend::Mended => findings.mended += 1,
                Mend::Raised => findings.raised += 1,
            },
            written => tracing::warn!(workflow = %id, ?written, "left for the next round"),
        }
    }

    fn note(&self, violation: Violation, place: String, findings: &mut Findings) {
        tracing::error!(event = "invariant_violated", kind = violation.word(), place, "this cannot be");
        self.violated.count(violation.word());
        findings.violations.entry(violation).or_default().push(place);
    }

    fn open(&self, instance: &Instance) -> Result<Arc<dyn Live>, Unreadable> {
        let workflow = self.book.get(&instance.kind);
        let workflow = workflow.ok_or_else(|| Unreadable::UnknownTask(instance.kind.to_string()))?;
        workflow.open(instance.version, &instance.order, &instance.state)
    }
}

#[derive(Clone, Copy)]
enum Mend {
    Mended,
    Raised,
}

/// The place from which the next id is this one.
fn before(id: WorkflowId) -> Option<WorkflowId> {
    id.as_u128().checked_sub(1).map(WorkflowId::new)
}
