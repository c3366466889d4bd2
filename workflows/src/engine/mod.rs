//! The vocabulary every workflow is written in, and the one rule it keeps: a workflow decides, it never does.
//!
//! A [`Machine`] answers each thing that happened ([`On`]) with a [`Next`]: a new state and the [`Effect`]s that must
//! be stored with it. The worker performs steps outside any transaction and brings back a [`Finding`], of which there
//! are four kinds that stay different from the socket to the state machine.

mod finding;
pub mod laws;
mod live;
mod message;
mod names;
mod policy;
mod view;

pub use finding::{Class, Finding, Refusal};
pub use live::{Book, Heard, Live, Moved, Outcome, UNCHANGED, Unreadable, Workflow, begin};
pub use message::{Audience, Message};
pub use names::{Named, TaskName};
pub use policy::{Lane, Policy, Repeat, Retry, Shut, Stake};
pub use view::{Status, View};

use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::money::Money;
use crate::ports::Call;
use crate::time::At;

/// What happened to an instance: somebody said something, a timer fired, or a step was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On<E, S, T> {
    /// The world said something: a provider's answer, a person's wish, a hint.
    Said(E),
    /// A timer that the machine armed is due.
    Fired(T),
    /// A step's policy is exhausted, with what is known about the last attempt.
    GaveUp(S, Cause),
}

/// Why a step was given up. The difference decides about money: see law 4 in the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No attempt ever left this machine, or the provider said that it did nothing.
    NotSent,
    /// At least one attempt may have had its effect. Only evidence leads on from here.
    Unknown,
}

/// A machine's answer to one thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<St, S, T> {
    /// Move to `state` and store `effects` in the same transaction.
    Go {
        /// Where the instance stands afterwards.
        state: St,
        /// What must follow.
        effects: Vec<Effect<S, T>>,
    },
    /// Heard, and nothing changes: a late hint, a wish that comes too late, a timer that lost its point.
    Ignore,
    /// Cannot happen here. The instance stops with this sentence as evidence and an operator is called.
    Refuse(&'static str),
}

/// Something that must still happen; stored as a row in the same transaction as the state that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<S, T> {
    /// Perform a step at once. A step that is already outstanding is replaced and what it brings back is dropped, so
    /// only reads and idempotent steps may be run anew while they are outstanding.
    Run(S),
    /// Perform a step after a delay.
    RunIn(S, Duration),
    /// Take back a step that is outstanding.
    Withdraw(S),
    /// Fire a timer after a delay; an armed timer of that name is replaced.
    Arm(T, Duration),
    /// Fire a timer at a time that was promised before, at once when that has passed; an armed timer of that name is
    /// replaced.
    ArmAt(T, At),
    /// Fire a timer as soon as the workflow's queue lets it through; who waits since earlier goes first.
    Queue(T, At),
    /// Take back a timer.
    Disarm(T),
    /// Tell somebody: a row in the outbox.
    Tell(Message),
}

/// A document that is stored with an instance.
pub trait Document: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<D: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static> Document for D {}

/// One kind of workflow: pure, total and serialisable.
pub trait Machine: Sized + Send + Sync + 'static {
    /// Stable name in the database, the API and the metrics.
    const KIND: &'static str;
    /// Version of the stored documents; `upcast` brings older ones up to it.
    const VERSION: i64;

    /// The immutable input, with every rule that was promised to the customer.
    type Order: Document;
    /// Where an instance stands and what was learnt on the way.
    type State: Document + PartialEq;
    /// What the world can say.
    type Event: Document + PartialEq;
    /// Questions to providers.
    type Step: Named;
    /// Deadlines and delays.
    type Timer: Named;

    /// The first state of an order and what must follow.
    fn start(order: &Self::Order) -> Go<Self>;

    /// The transition function. `now` may be recorded in the state, it never decides: deadlines are timers.
    fn on(order: &Self::Order, state: &Self::State, on: OnOf<Self>, now: At) -> NextOf<Self>;

    /// What the state means to everybody outside.
    fn view(order: &Self::Order, state: &Self::State) -> View;

    /// The question that `step` asks here, as data. `None` when the state has no such question, which stops the
    /// instance: the laws show that it cannot happen.
    fn call(order: &Self::Order, state: &Self::State, step: Self::Step) -> Option<Call>;

    /// Reads a provider's definite answer to `step`. Only `Done` and final refusals are asked about; the rest is the
    /// policy's business.
    fn hear(
        order: &Self::Order,
        state: &Self::State,
        step: Self::Step,
        finding: &Finding,
    ) -> Answer<Self::Event>;

    /// Reads a definite finding whose claim was lost before it could be settled: somebody else has taken the step over.
    fn overhear(_: &Self::Order, _: &Self::State, _: Self::Step, _: &Finding) -> Answer<Self::Event> {
        Answer::Busy
    }

    /// Whether a step that has not been begun is still wanted. One that is not is given up as never sent.
    fn wanted(_: &Self::Order, _: &Self::State, _: Self::Step) -> bool {
        true
    }

    /// The lane that [`Effect::Queue`] waits in: what is parked there costs nothing while the lane is shut.
    fn queue(_: &Self::Order) -> Lane {
        Lane::timers()
    }

    /// How a step is performed: lane, time-out, what may be repeated, what is at stake.
    fn policy(order: &Self::Order, state: &Self::State, step: Self::Step) -> Policy;

    /// What leads on from a state that has not ended: at least one of these is outstanding at any time, which the laws
    /// check and the scanner watches. It puts the first one back should all be gone.
    fn lifelines(order: &Self::Order, state: &Self::State) -> Vec<Effect<Self::Step, Self::Timer>>;

    /// The deadlines that stand beside the lifelines of a state: each of them is outstanding for as long as it lasts,
    /// which the laws check and the scanner watches. It puts back each that is gone.
    fn deadlines(_: &Self::Order, _: &Self::State) -> Vec<Effect<Self::Step, Self::Timer>> {
        vec![]
    }

    /// What is to be moved, and by which bank: what lists of instances are narrowed and added up by. Fixed with the
    /// order.
    fn weighs(_: &Self::Order) -> Option<Weight> {
        None
    }

    /// What the outside world calls the instance by, once it has such a name: the provider's id of a payment.
    fn reference(_: &Self::Order, _: &Self::State) -> Option<String> {
        None
    }

    /// Brings a stored pair of documents of an older version up to [`Machine::VERSION`].
    fn upcast(version: i64, order: serde_json::Value, state: serde_json::Value) -> Option<Documents> {
        (version == Self::VERSION).then_some((order, state))
    }
}

/// What an instance is about to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// By which bank.
    pub bank: String,
    /// How much.
    pub money: Money,
}

/// A stored order and a stored state, not yet read.
pub type Documents = (serde_json::Value, serde_json::Value);
/// A first state with its effects.
pub type Go<M> = (<M as Machine>::State, Vec<Effect<<M as Machine>::Step, <M as Machine>::Timer>>);
/// [`On`] of a machine.
pub type OnOf<M> = On<<M as Machine>::Event, <M as Machine>::Step, <M as Machine>::Timer>;
/// [`Next`] of a machine.
pub type NextOf<M> = Next<<M as Machine>::State, <M as Machine>::Step, <M as Machine>::Timer>;

/// What a definite reply means to the workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<E> {
    /// News.
    Event(E),
    /// No news yet: ask again by the policy's polling ladder. Nothing is stored but the next time.
    Busy,
    /// A reply that fits no question we asked: treated like an unknown outcome.
    Unclear,
}
