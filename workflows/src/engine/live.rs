//! Machines without their types, so that the durable half can drive workflows that it has never heard of.
//!
//! A [`Book`] holds one [`Workflow`] for each kind. Opening a stored instance gives a [`Live`]: its documents decoded
//! once, answering the worker's questions until the instance goes cold.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use super::{
    Answer, Cause, Effect, Finding, Go, Lane, Machine, Next, On, OnOf, Policy, TaskName, View, Weight,
};
use crate::ports::Call;
use crate::time::At;

/// Every workflow that this process can run, by kind.
#[derive(Clone, Default)]
pub struct Book {
    kinds: BTreeMap<&'static str, Arc<dyn Workflow>>,
}

impl Book {
    /// Adds a machine.
    #[must_use]
    pub fn with<M: Machine>(mut self) -> Self {
        self.kinds.insert(M::KIND, Arc::new(Kind::<M>(PhantomData)));
        self
    }

    /// The workflow of a kind, unless this process does not know it.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Workflow>> {
        self.kinds.get(kind)
    }
}

/// One kind of workflow, types erased.
pub trait Workflow: Send + Sync {
    /// Reads a stored instance.
    ///
    /// # Errors
    /// [`Unreadable`] when the documents are of a newer version or do not parse: the caller puts the task back.
    fn open(&self, version: i64, order: &str, state: &str) -> Result<Arc<dyn Live>, Unreadable>;

    /// The first moment of a stored instance, from which its history leads to where it stands.
    ///
    /// # Errors
    /// As for [`Workflow::open`]; and for an order of an older version, whose history this process cannot follow.
    fn first(&self, version: i64, order: &str) -> Result<Arc<dyn Live>, Unreadable>;
}

/// What the history records where nothing happened to the machine: something beside its state was put right, or it was
/// stopped for an operator before its machine was asked.
pub const UNCHANGED: &str = r#""unchanged""#;

/// Stored documents that this process cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Written by a newer process, or by one this process has no `upcast` for.
    #[error("documents of version {stored} cannot be read by version {known}")]
    Version {
        /// The version in the row.
        stored: i64,
        /// The version this process writes.
        known: i64,
    },
    /// Not the document it should be.
    #[error("the {what} does not parse: {fault:?} at column {column}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What kind of fault; the parser's own words would repeat the document.
        fault: serde_json::error::Category,
        /// Where in its only line.
        column: usize,
    },
    /// A task that the machine has no step or timer for.
    #[error("no step or timer is named {0}")]
    UnknownTask(String),
    /// A step that asks nothing in this state.
    #[error("step {step} has no question in phase {phase}")]
    NoQuestion {
        /// The step.
        step: String,
        /// Where the instance stands.
        phase: &'static str,
    },
}

/// An instance in memory. Immutable: a transition gives the next one.
pub trait Live: Send + Sync {
    /// Its kind.
    fn kind(&self) -> &'static str;
    /// The version its documents are written in.
    fn version(&self) -> i64;
    /// Its public face.
    fn view(&self) -> View;
    /// The order, as it is stored.
    fn order_doc(&self) -> String;
    /// The state, as it is stored.
    fn state_doc(&self) -> String;
    /// Somebody said `event` (the machine's own event type, as JSON).
    fn said(&self, event: &str, now: At) -> Result<Outcome, Unreadable>;
    /// A timer fired.
    fn fired(&self, timer: &TaskName, now: At) -> Result<Outcome, Unreadable>;
    /// A step was given up.
    fn gave_up(&self, step: &TaskName, cause: Cause, now: At) -> Result<Outcome, Unreadable>;
    /// A step brought a definite finding.
    fn hear(&self, step: &TaskName, finding: &Finding, now: At) -> Result<Heard, Unreadable>;
    /// A definite finding came after its claim was lost.
    fn overhear(&self, step: &TaskName, finding: &Finding, now: At) -> Result<Heard, Unreadable>;
    /// Whether a step that was not begun is still wanted.
    fn wanted(&self, step: &TaskName) -> Result<bool, Unreadable>;
    /// The state after something that the history recorded, without its effects.
    fn replayed(&self, occurrence: &str, at: At) -> Result<Option<Arc<dyn Live>>, Unreadable>;
    /// The question that a step asks.
    fn call(&self, step: &TaskName) -> Result<Call, Unreadable>;
    /// How a step is performed.
    fn policy(&self, step: &TaskName) -> Result<Policy, Unreadable>;
    /// What leads on from here: at least one of these is outstanding until the end.
    fn lifelines(&self) -> Vec<Effect<TaskName, TaskName>>;
    /// The deadlines that stand beside them.
    fn deadlines(&self) -> Vec<Effect<TaskName, TaskName>>;
    /// What it is to move.
    fn weighs(&self) -> Option<Weight>;
    /// What the outside world calls it by.
    fn reference(&self) -> Option<String>;
    /// The lane that it waits in while it is parked.
    fn queue(&self) -> Lane;
}

/// What became of something that happened.
pub enum Outcome {
    /// The instance moved.
    Moved(Moved),
    /// Heard, and nothing changes.
    Ignored,
    /// Cannot happen here.
    Refused {
        /// The machine's sentence.
        why: &'static str,
        /// What happened, as JSON.
        occurrence: String,
    },
}

/// A transition, ready to be stored.
pub struct Moved {
    /// The instance afterwards.
    pub next: Arc<dyn Live>,
    /// What must follow.
    pub effects: Vec<Effect<TaskName, TaskName>>,
    /// What happened, as JSON, for the history.
    pub occurrence: String,
}

/// What a definite finding means.
pub enum Heard {
    /// It was news.
    News(Outcome),
    /// No news yet.
    Busy,
    /// It fits no question.
    Unclear,
}

struct Kind<M: Machine>(PhantomData<M>);

impl<M: Machine> Workflow for Kind<M> {
    fn open(&self, version: i64, order: &str, state: &str) -> Result<Arc<dyn Live>, Unreadable> {
        if version == M::VERSION {
            let order = serde_json::from_str(order).map_err(malformed("order"))?;
            let state = serde_json::from_str(state).map_err(malformed("state"))?;
            return Ok(Arc::new(Running::<M> { order: Arc::new(order), state }));
        }
        let order = serde_json::from_str(order).map_err(malformed("order"))?;
        let state = serde_json::from_str(state).map_err(malformed("state"))?;
        let (order, state) = M::upcast(version, order, state)
            .ok_or(Unreadable::Version { stored: version, known: M::VERSION })?;
        let order = serde_json::from_value(order).map_err(malformed("order"))?;
        let state = serde_json::from_value(state).map_err(malformed("state"))?;
        Ok(Arc::new(Running::<M> { order: Arc::new(order), state }))
    }

    fn first(&self, version: i64, order: &str) -> Result<Arc<dyn Live>, Unreadable> {
        if version != M::VERSION {
            return Err(Unreadable::Version { stored: version, known: M::VERSION });
        }
        let order: M::Order = serde_json::from_str(order).map_err(malformed("order"))?;
        let (state, _) = M::start(&order);
        Ok(Arc::new(Running::<M> { order: Arc::new(order), state }))
    }
}

/// The first moment of a new instance: its live form and what must follow.
pub fn begin<M: Machine>(order: M::Order) -> (Arc<dyn Live>, Vec<Effect<TaskName, TaskName>>) {
    let (state, effects): Go<M> = M::start(&order);
    (Arc::new(Running::<M> { order: Arc::new(order), state }), effects.into_iter().map(erase::<M>).collect())
}

fn malformed(what: &'static str) -> impl Fn(serde_json::Error) -> Unreadable {
    move |error| Unreadable::Malformed { what, fault: error.classify(), column: error.column() }
}

struct Running<M: Machine> {
    order: Arc<M::Order>,
    state: M::State,
}

impl<M: Machine> Running<M> {
    fn heard(&self, answer: Answer<M::Event>, now: At) -> Heard {
        match answer {
            Answer::Event(event) => Heard::News(self.apply(&On::Said(event), now)),
            Answer::Busy => Heard::Busy,
            Answer::Unclear => Heard::Unclear,
        }
    }

    fn apply(&self, on: &OnOf<M>, now: At) -> Outcome {
        match M::on(&self.order, &self.state, on.clone(), now) {
            Next::Go { state, effects } => Outcome::Moved(Moved {
                next: Arc::new(Running::<M> { order: Arc::clone(&self.order), state }),
                effects: effects.into_iter().map(erase::<M>).collect(),
                occurrence: document(on),
            }),
            Next::Ignore => Outcome::Ignored,
            Next::Refuse(why) => Outcome::Refused { why, occurrence: document(on) },
        }
    }
}

impl<M: Machine> Live for Running<M> {
    fn kind(&self) -> &'static str {
        M::KIND
    }

    fn version(&self) -> i64 {
        M::VERSION
    }

    fn view(&self) -> View {
        M::view(&self.order, &self.state)
    }

    fn order_doc(&self) -> String {
        document(&*self.order)
    }

    fn state_doc(&self) -> String {
        document(&self.state)
    }

    fn said(&self, event: &str, now: At) -> Result<Outcome, Unreadable> {
        let event = serde_json::from_str(event).map_err(malformed("event"))?;
        Ok(self.apply(&On::Said(event), now))
    }

    fn fired(&self, timer: &TaskName, now: At) -> Result<Outcome, Unreadable> {
        let timer = timer.as_timer().ok_or_else(|| Unreadable::UnknownTask(timer.to_string()))?;
        Ok(self.apply(&On::Fired(timer), now))
    }

    fn gave_up(&self, step: &TaskName, cause: Cause, now: At) -> Result<Outcome, Unreadable> {
        Ok(self.apply(&On::GaveUp(step_of::<M>(step)?, cause), now))
    }

    fn hear(&self, step: &TaskName, finding: &Finding, now: At) -> Result<Heard, Unreadable> {
        let answer = M::hear(&self.order, &self.state, step_of::<M>(step)?, finding);
        Ok(self.heard(answer, now))
    }

    fn overhear(&self, step: &TaskName, finding: &Finding, now: At) -> Result<Heard, Unreadable> {
        let answer = M::overhear(&self.order, &self.state, step_of::<M>(step)?, finding);
        Ok(self.heard(answer, now))
    }

    fn wanted(&self, step: &TaskName) -> Result<bool, Unreadable> {
        Ok(M::wanted(&self.order, &self.state, step_of::<M>(step)?))
    }

    fn replayed(&self, occurrence: &str, at: At) -> Result<Option<Arc<dyn Live>>, Unreadable> {
        if occurrence == UNCHANGED {
            return Ok(None);
        }
        let on: OnOf<M> = serde_json::from_str(occurrence).map_err(malformed("occurrence"))?;
        Ok(match self.apply(&on, at) {
            Outcome::Moved(moved) => Some(moved.next),
            Outcome::Ignored | Outcome::Refused { .. } => None,
        })
    }

    fn call(&self, step: &TaskName) -> Result<Call, Unreadable> {
        M::call(&self.order, &self.state, step_of::<M>(step)?)
            .ok_or_else(|| Unreadable::NoQuestion { step: step.to_string(), phase: self.view().phase })
    }

    fn policy(&self, step: &TaskName) -> Result<Policy, Unreadable> {
        Ok(M::policy(&self.order, &self.state, step_of::<M>(step)?))
    }

    fn lifelines(&self) -> Vec<Effect<TaskName, TaskName>> {
        M::lifelines(&self.order, &self.state).into_iter().map(erase::<M>).collect()
    }

    fn deadlines(&self) -> Vec<Effect<TaskName, TaskName>> {
        M::deadlines(&self.order, &self.state).into_iter().map(erase::<M>).collect()
    }

    fn weighs(&self) -> Option<Weight> {
        M::weighs(&self.order)
    }

    fn reference(&self) -> Option<String> {
        M::reference(&self.order, &self.state)
    }

    fn queue(&self) -> Lane {
        M::queue(&self.order)
    }
}

fn step_of<M: Machine>(task: &TaskName) -> Result<M::Step, Unreadable> {
    task.as_step().ok_or_else(|| Unreadable::UnknownTask(task.to_string()))
}

fn erase<M: Machine>(effect: Effect<M::Step, M::Timer>) -> Effect<TaskName, TaskName> {
    match effect {
        Effect::Run(step) => Effect::Run(TaskName::step(step)),
        Effect::RunIn(step, delay) => Effect::RunIn(TaskName::step(step), delay),
        Effect::Withdraw(step) => Effect::Withdraw(TaskName::step(step)),
        Effect::Arm(timer, delay) => Effect::Arm(TaskName::timer(timer), delay),
        Effect::ArmAt(timer, at) => Effect::ArmAt(TaskName::timer(timer), at),
        Effect::Queue(timer, since) => Effect::Queue(TaskName::timer(timer), since),
        Effect::Disarm(timer) => Effect::Disarm(TaskName::timer(timer)),
        Effect::Tell(message) => Effect::Tell(message),
    }
}

/// Serialises one of our own documents. They hold strings, integers and enums alone, which always serialise; the laws
/// check it for every reachable state.
fn document<D: Serialize>(document: &D) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
