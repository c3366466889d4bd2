//! What comes after the end: a hint makes us ask the bank once more, and a bank that says otherwise than was reported
//! opens a conflict. What was reported stands until an operator decides with proof; nothing is overwritten silently.

use super::state::Late;
use super::{Amended, ErrorCode, Event, Evidence, Failure, Instruction, Progress, State, Step, Timer, Truth};
use super::{go, otherwise, placed_at};
use crate::engine::{Audience, Effect, Message, Next, On};
use crate::planted;
use crate::ports::payments::{Standing, TransactionStatus};
use crate::time::At;

/// How often the bank is asked about a payment that has ended before the hint is let go.
const MOST_TRIES: u8 = 4;

/// The transitions of a payment that has ended.
pub(super) fn on(
    order: &Instruction,
    progress: &Progress,
    on: On<Event, Step, Timer>,
    now: At,
) -> Next<Progress, Step, Timer> {
    let Progress { state, amended } = progress;
    let stays = |late: Option<Late>, effects| {
        let amended = Amended { late, ..amended.clone() };
        Next::Go { state: Progress { state: state.clone(), amended }, effects }
    };
    let again = |tries: u8, step, wait| {
        if tries >= MOST_TRIES {
            return stays(None, vec![]);
        }
        stays(Some(Late::Asking { tries: tries + 1 }), vec![Effect::RunIn(step, wait)])
    };
    match (amended.late.clone(), on) {
        (None, On::Said(Event::Hinted)) if planted::is("an end that opens again") => {
            let Some(payment) = placed_at(state).cloned() else { return Next::Ignore };
            let state = State::Confirming { payment, seen: TransactionStatus::Acsp, overdue: false };
            Next::Go {
                state: Progress { state, amended: amended.clone() },
                effects: vec![Effect::Run(Step::Status)],
            }
        }
        (None, On::Said(Event::Returned { .. } | Event::Hinted)) => match question(order, state) {
            Some(step) => stays(Some(Late::Asking { tries: 0 }), vec![Effect::Run(step)]),
            None => Next::Ignore,
        },
        (
            Some(Late::Asking { .. }),
            On::Said(Event::StatusSeen { status, .. } | Event::Found { status, .. }),
        ) => {
            if agrees(state, &status) {
                return stays(None, vec![]);
            }
            let alarm = Message { to: Audience::Operator, about: "payment.conflict".to_owned() };
            stays(Some(Late::Conflict { status }), vec![Effect::Tell(alarm)])
        }
        // A bank may show a payment only after a while: that it knows of none counts when it says so again and again.
        (Some(Late::Asking { tries }), On::Said(Event::Absent)) => {
            let step = question(order, state).unwrap_or(Step::Locate);
            again(tries, step, order.terms.poll_most.max(order.terms.visibility_lag))
        }
        (Some(Late::Asking { tries }), On::GaveUp(step @ (Step::Status | Step::Locate), _)) => {
            again(tries, step, order.terms.poll_most)
        }
        (Some(Late::Conflict { .. }), On::Said(Event::Resolved { outcome, reference })) => {
            match corrected(state, outcome, reference, now) {
                None => stays(None, vec![]),
                Some(Next::Go { state, effects }) => {
                    let amended = Amended { late: None, ..amended.clone() };
                    Next::Go { state: Progress { state, amended }, effects }
                }
                Some(Next::Ignore) => Next::Ignore,
                Some(Next::Refuse(why)) => Next::Refuse(why),
            }
        }
        (_, on) => otherwise(&on),
    }
}

/// What leads on from an end about which the bank is being asked.
pub(super) fn lifelines(order: &Instruction, progress: &Progress) -> Vec<Effect<Step, Timer>> {
    match progress.amended.late {
        Some(Late::Asking { .. }) => question(order, &progress.state)
            .map(|step| Effect::RunIn(step, order.terms.poll_most))
            .into_iter()
            .collect(),
        Some(Late::Conflict { .. }) | None => vec![],
    }
}

/// The question that a hint about an ended payment leads to.
fn question(order: &Instruction, state: &State) -> Option<Step> {
    if placed_at(state).is_some() {
        return Some(Step::Status);
    }
    order.terms.lookup.then_some(Step::Locate)
}

/// Whether the bank says what was reported. A pending payment may still be approved, so it does not agree with an end
/// at which nothing was to happen any more.
fn agrees(state: &State, status: &TransactionStatus) -> bool {
    match (state, status.standing()) {
        (State::Settled { .. }, Standing::Executed | Standing::Underway | Standing::Pending)
        | (State::Failed { .. } | State::Cancelled { .. }, Standing::Rejected | Standing::Cancelled) => true,
        (_, _) => false,
    }
}

/// The end as an operator's proof says it is; `None` when that is what was reported.
fn corrected(state: &State, outcome: Truth, reference: String, now: At) -> Option<Next<State, Step, Timer>> {
    let payment = placed_at(state).cloned();
    let evidence = Evidence::Operator { reference };
    match (state, outcome) {
        (State::Failed { .. } | State::Cancelled { .. }, Truth::Executed) => Some(go(
            State::Settled { payment, evidence, at: now },
            vec![Effect::Tell(Message::owner("payment.corrected_to_completed"))],
        )),
        (State::Settled { .. }, Truth::NotExecuted) => Some(go(
            State::Failed {
                how: Failure::Refused,
                code: ErrorCode::PaymentRejected,
                payment,
                evidence,
                at: now,
            },
            vec![Effect::Tell(Message::owner("payment.corrected_to_failed"))],
        )),
        (_, _) => None,
    }
}
