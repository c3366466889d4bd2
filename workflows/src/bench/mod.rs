//! The bench workflow: the shape of a payment with nothing in it, to measure what the engine itself costs.
//!
//! ```text
//! validating ──> initiating ──> waiting ──(signal)──> confirming ──> notifying ──> completed
//!                                  └──(deadline)──> timed_out
//! ```
//!
//! It is a machine like any other and takes no path that a remittance does not take: each step is a stored task, each
//! answer is durable before the next step begins, the wait has a stored deadline. Its steps ask nothing.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{
    Answer, Effect, Finding, Go, Lane, Machine, Next, NextOf, On, OnOf, Policy, Repeat, Retry, Shut, Stake,
    Status, View,
};
use crate::named;
use crate::ports::{Call, Reply};
use crate::time::At;

/// How long one attempt at nothing may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The first wait after an attempt without an answer.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
/// The longest such wait.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// The workflow.
#[derive(Clone, Copy, Debug)]
pub struct Bench;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// How long the signal is waited for.
    pub patience: Duration,
    /// How long each step takes to ask nothing, as if a provider took that long to answer.
    #[serde(default)]
    pub work: Duration,
}

/// Where it stands. A signal that comes before it is waited for is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The first step.
    Validating {
        /// Whether the signal is there already.
        signalled: bool,
    },
    /// The second step.
    Initiating {
        /// Whether the signal is there already.
        signalled: bool,
    },
    /// Somebody outside has to signal.
    Waiting,
    /// The third step.
    Confirming,
    /// The fourth step.
    Notifying,
    /// It went through.
    Completed {
        /// When.
        at: At,
    },
    /// No signal came in time.
    TimedOut {
        /// When it was given up.
        at: At,
    },
}

/// What the world can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A step was answered.
    Answered(Step),
    /// The signal.
    Signalled,
}

named! {
    /// A question that asks nothing.
    pub enum Step {
        /// Stands for checking the order.
        Validate = "validate",
        /// Stands for creating the payment.
        Initiate = "initiate",
        /// Stands for asking where it stands.
        Confirm = "confirm",
        /// Stands for telling its owner.
        Notify = "notify",
    }
}

named! {
    /// What it waits for.
    pub enum Timer {
        /// The signal has to be there by then.
        Deadline = "deadline",
    }
}

impl Machine for Bench {
    const KIND: &'static str = "bench";
    const VERSION: i64 = 1;
    type Order = Order;
    type State = State;
    type Event = Event;
    type Step = Step;
    type Timer = Timer;

    fn start(_: &Order) -> Go<Self> {
        (State::Validating { signalled: false }, vec![Effect::Run(Step::Validate)])
    }

    fn on(order: &Order, state: &State, on: OnOf<Self>, now: At) -> NextOf<Self> {
        match (state, on) {
            (State::Validating { signalled }, On::Said(Event::Answered(Step::Validate))) => {
                go(State::Initiating { signalled: *signalled }, vec![Effect::Run(Step::Initiate)])
            }
            (State::Validating { signalled: false }, On::Said(Event::Signalled)) => {
                go(State::Validating { signalled: true }, vec![])
            }
            (State::Initiating { signalled: false }, On::Said(Event::Answered(Step::Initiate))) => {
                go(State::Waiting, vec![Effect::Arm(Timer::Deadline, order.patience)])
            }
            (State::Initiating { signalled: true }, On::Said(Event::Answered(Step::Initiate))) => {
                go(State::Confirming, vec![Effect::Run(Step::Confirm)])
            }
            (State::Initiating { signalled: false }, On::Said(Event::Signalled)) => {
                go(State::Initiating { signalled: true }, vec![])
            }

            (State::Waiting, On::Said(Event::Signalled)) => {
                go(State::Confirming, vec![Effect::Disarm(Timer::Deadline), Effect::Run(Step::Confirm)])
            }
            (State::Waiting, On::Fired(Timer::Deadline)) => go(State::TimedOut { at: now }, vec![]),

            (State::Confirming, On::Said(Event::Answered(Step::Confirm))) => {
                go(State::Notifying, vec![Effect::Run(Step::Notify)])
            }
            (State::Notifying, On::Said(Event::Answered(Step::Notify))) => {
                go(State::Completed { at: now }, vec![])
            }

            // A step that was given up leaves nothing anywhere: it is asked again.
            (state, On::GaveUp(step, _)) if asks(state) == Some(step) => {
                go(state.clone(), vec![Effect::RunIn(step, AGAIN_MOST)])
            }
            // It was heard already, or comes too late.
            (_, On::Said(Event::Signalled)) => Next::Ignore,
            (_, On::Said(Event::Answered(_)) | On::GaveUp(..) | On::Fired(Timer::Deadline)) => {
                Next::Refuse("an answer to a question that was not asked")
            }
        }
    }

    fn view(_: &Order, state: &State) -> View {
        let (status, phase) = match state {
            State::Validating { .. } => (Status::Processing, "validating"),
            State::Initiating { .. } => (Status::Processing, "initiating"),
            State::Waiting => (Status::Processing, "waiting"),
            State::Confirming => (Status::Processing, "confirming"),
            State::Notifying => (Status::Processing, "notifying"),
            State::Completed { .. } => (Status::Completed, "completed"),
            State::TimedOut { .. } => (Status::Failed, "timed_out"),
        };
        let milestone = status.is_final() || *state == State::Waiting;
        View { status, phase, milestone, attention: None }
    }

    fn call(order: &Order, state: &State, step: Step) -> Option<Call> {
        (asks(state) == Some(step)).then_some(Call::Nothing { takes: order.work })
    }

    fn hear(_: &Order, _: &State, step: Step, finding: &Finding) -> Answer<Event> {
        match finding {
            Finding::Done(Reply::Nothing) => Answer::Event(Event::Answered(step)),
            Finding::Done(_) | Finding::Refused(_) | Finding::NotSent(_) | Finding::Unknown(_) => {
                Answer::Unclear
            }
        }
    }

    fn policy(_: &Order, _: &State, step: Step) -> Policy {
        let again = Retry { attempts: None, first: AGAIN_FIRST, most: AGAIN_MOST };
        Policy {
            lane: lane(step),
            timeout: ATTEMPT,
            repeat: Repeat::Freely,
            retry: again,
            unreached: again,
            poll: again,
            stake: Stake::Reads,
            shut: Shut::Waits,
        }
    }

    fn lifelines(order: &Order, state: &State) -> Vec<Effect<Step, Timer>> {
        match state {
            State::Waiting => vec![Effect::Arm(Timer::Deadline, order.patience)],
            State::Validating { .. }
            | State::Initiating { .. }
            | State::Confirming
            | State::Notifying
            | State::Completed { .. }
            | State::TimedOut { .. } => asks(state).map(Effect::Run).into_iter().collect(),
        }
    }
}

/// The step that is outstanding.
fn asks(state: &State) -> Option<Step> {
    match state {
        State::Validating { .. } => Some(Step::Validate),
        State::Initiating { .. } => Some(Step::Initiate),
        State::Confirming => Some(Step::Confirm),
        State::Notifying => Some(Step::Notify),
        State::Waiting | State::Completed { .. } | State::TimedOut { .. } => None,
    }
}

/// Each step queues by itself, as each question of a payment does. None is called `initiate` there: that word is about
/// money, and stands still with it.
fn lane(step: Step) -> Lane {
    let operation = match step {
        Step::Validate => "bench_validate",
        Step::Initiate => "bench_initiate",
        Step::Confirm => "bench_confirm",
        Step::Notify => "bench_notify",
    };
    Lane::of("house", "bench", operation)
}

fn go(state: State, effects: Vec<Effect<Step, Timer>>) -> NextOf<Bench> {
    Next::Go { state, effects }
}
