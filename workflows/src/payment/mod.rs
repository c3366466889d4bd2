//! The payment part that remittance and QR payment share: the machine that carries the promise.
//!
//! ```text
//! initiating ──> awaiting_sca ──> confirming ──> settled
//!   │ │ │             │               │
//!   │ │ │             └─> closing ────┴──> refused / sca_timeout / cancelled
//!   │ │ └─> in_doubt ──> (found) awaiting_sca … │ (proven absent) initiating again, or refused
//!   │ └─> awaiting_consent ──> initiating
//!   └─> parked ──> awaiting_user ──> initiating
//! ```
//!
//! A payment is sent under one key for ever. Once an attempt may have reached the bank, only evidence leads on: the
//! bank's own word about that payment, or its repeated word that it knows of none. A payment past the point of no
//! return is never undone, only followed to its end.

mod codes;
mod consent;
mod facts;
mod late;
mod machine;
mod order;
mod queue;
mod rules;
mod state;
mod steps;
#[cfg(test)]
mod stories;
#[cfg(test)]
pub(crate) mod tests;
mod versions;
#[cfg(test)]
pub(crate) mod world;

pub use codes::ErrorCode;
pub use facts::{Facts, facts, is_cancellation_refused, resolvable, too_late_to_cancel, view};
pub(crate) use machine::pays;
pub use order::{Access, Instruction, Terms};
pub use rules::{Deal, Denied, Payee, Payer, PaymentLimits, within_limits};
pub(crate) use rules::{instruct, may_pay};
pub use state::{
    Amended, By, Cancellation, Consent, Event, Evidence, Failure, Late, Placed, Progress, Promise, State,
    Truth, Why,
};
use steps::placed_at;
pub use steps::{
    Step, Timer, call, deadlines, hear, lifelines, overhear, policy, queue_lane, reference, wanted,
};
pub(crate) use versions::upcast;

use std::time::Duration;

use crate::engine::{Cause, Effect, Message, Next, On};
use crate::planted;
use crate::ports::payments::{Standing, TransactionStatus};
use crate::time::At;

/// How often a payment is sent in all under its key, each time after a doubt, before it is given up.
const ROUNDS: u8 = 3;
/// Where a growing wait stops doubling.
const MOST_TRIES: u8 = 6;

type Effects = Vec<Effect<Step, Timer>>;

/// The first state of a payment and what must follow.
pub fn start(order: &Instruction) -> (Progress, Effects) {
    let state = State::Initiating { round: 0, since: order.accepted_at, cancel: None, parked: 0 };
    (Progress { state, amended: Amended::default() }, vec![Effect::Run(Step::Initiate)])
}

/// The transition function.
pub fn on(
    order: &Instruction,
    progress: &Progress,
    on: On<Event, Step, Timer>,
    now: At,
) -> Next<Progress, Step, Timer> {
    let Progress { state, amended } = progress;
    if matches!(&on, On::Said(Event::Disconnected)) && !view(progress).status.is_final() {
        return disconnected(order, progress);
    }
    let amended_by = amended.after(state, &on);
    let next = match state {
        State::Settled { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            return late::on(order, progress, on, now);
        }
        State::Parked { .. } | State::AwaitingUser { .. } => {
            queue::on(order, (state.clone(), amended), on, now)
        }
        State::AwaitingConsent { .. } => consent::on(order, (state.clone(), amended), on, now),
        State::Initiating { .. }
        | State::InDoubt { .. }
        | State::AwaitingSca { .. }
        | State::Closing { .. }
        | State::Confirming { .. } => under_way(order, (state.clone(), amended), on, now),
    };
    match next {
        Next::Go { state, effects } => {
            let queued = amended_by.queued || matches!(state, State::Parked { .. });
            Next::Go { state: Progress { state, amended: Amended { queued, ..amended_by } }, effects }
        }
        Next::Ignore => Next::Ignore,
        Next::Refuse(why) => Next::Refuse(why),
    }
}

/// The bank answers no question before its connection is renewed. The payment stands; the customer is told once.
fn disconnected(order: &Instruction, progress: &Progress) -> Next<Progress, Step, Timer> {
    let amended = Amended { disconnected: true, ..progress.amended.clone() };
    let mut effects: Effects = lifelines(order, progress).into_iter().take(1).collect();
    if !progress.amended.disconnected {
        effects.push(Effect::Tell(Message::owner("consent.expired")));
    }
    Next::Go { state: Progress { state: progress.state.clone(), amended }, effects }
}

impl Amended {
    /// What something that happened changes beside the state.
    fn after(&self, state: &State, on: &On<Event, Step, Timer>) -> Amended {
        match (state, on) {
            (_, On::Said(Event::Priced { price: Some(price) })) => {
                Amended { price: Some(price.clone()), ..self.clone() }
            }
            (State::AwaitingConsent { .. }, On::Said(Event::ConsentAsked { .. })) => {
                Amended { renewed: true, ..self.clone() }
            }
            (State::AwaitingConsent { .. }, On::Said(Event::ConsentKnown { consent: Some(consent) })) => {
                Amended { consent: Some(consent.clone()), disconnected: false, ..self.clone() }
            }
            (State::AwaitingConsent { consent: Some(consent), .. }, On::Said(Event::ConsentAdopted)) => {
                Amended { consent: Some(consent.id.clone()), disconnected: false, ..self.clone() }
            }
            (State::Parked { .. }, On::Fired(Timer::SlaWarning)) if self.promise == Promise::Stands => {
                Amended { promise: Promise::Warned, ..self.clone() }
            }
            (State::Parked { .. }, On::Fired(Timer::SlaBreach)) => {
                Amended { promise: Promise::Broken, ..self.clone() }
            }
            _ => self.clone(),
        }
    }
}

/// The transitions of a payment that was sent, or is being sent. Grouped by state, in the order things happen.
#[expect(
    clippy::too_many_lines,
    clippy::match_same_arms,
    reason = "one workflow is one idea, read by its states"
)]
fn under_way(
    order: &Instruction,
    (state, amended): (State, &Amended),
    on: On<Event, Step, Timer>,
    now: At,
) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    match (state, on) {
        // The initiation is being sent.
        (State::Initiating { cancel, .. }, On::Said(Event::Created { payment, status, sca })) => {
            placed(order, Placed { id: payment, sca }, status, None, cancel, now)
        }
        (State::Initiating { round: 0, cancel: None, .. }, On::Said(Event::Refused { code })) => {
            let evidence = Evidence::InitiationRefused { code: code.clone() };
            failed(Failure::Refused, ErrorCode::of_refusal(&code), None, evidence, now)
        }
        (State::Initiating { round: 0, cancel: Some(by), .. }, On::Said(Event::Refused { code })) => {
            taken_back(by, None, Evidence::InitiationRefused { code }, now)
        }
        (
            State::Initiating { round: 0, cancel: None, parked, .. },
            On::GaveUp(Step::Initiate, Cause::NotSent),
        ) => queue::park(order, amended.promise, parked),
        (
            State::Initiating { round: 0, cancel: Some(by), .. },
            On::GaveUp(Step::Initiate, Cause::NotSent),
        ) => taken_back(by, None, Evidence::NeverSent, now),
        (
            State::Initiating { round: 0, cancel: None, parked, .. },
            On::Said(Event::ConsentNeeded { code }),
        ) => consent::needed(order, amended, code, parked, now),
        (State::Initiating { round: 0, cancel: Some(by), .. }, On::Said(Event::ConsentNeeded { code })) => {
            taken_back(by, None, Evidence::InitiationRefused { code }, now)
        }
        (State::Initiating { .. }, On::GaveUp(Step::Initiate, _)) if planted::is("fail on time-out") => {
            failed(Failure::Refused, ErrorCode::Timeout, None, Evidence::NeverSent, now)
        }
        (State::Initiating { parked, .. }, On::GaveUp(Step::Initiate, _))
            if planted::is("park what is unknown") =>
        {
            queue::park(order, amended.promise, parked)
        }
        (state @ State::Initiating { .. }, On::Fired(Timer::Released)) if planted::is("released twice") => {
            go(state, vec![Effect::Run(Step::Initiate)])
        }
        // What a repetition was refused for, or that it did not arrive, says nothing about the first one.
        (
            State::Initiating { round, since, cancel, .. },
            On::Said(Event::Refused { .. } | Event::ConsentNeeded { .. }) | On::GaveUp(Step::Initiate, _),
        ) => doubt(order, round, since, cancel),
        // The request is on its way: the wish is kept until its answer is known.
        (State::Initiating { round, since, cancel: None, parked }, On::Said(Event::CancelAsked { by })) => {
            go(State::Initiating { round, since, cancel: Some(by), parked }, vec![])
        }

        // Nobody knows whether the bank has it.
        // It waits for an approval whose link was lost: the same order under the same key brings the link again.
        (State::InDoubt { round, since, cancel: None, .. }, On::Said(Event::Found { status, .. }))
            if status.standing() == Standing::Pending && may_repeat(order, round) =>
        {
            again(round, since, None)
        }
        (State::InDoubt { cancel, .. }, On::Said(Event::Found { payment, status })) => {
            placed(order, Placed { id: payment, sca: None }, status, None, cancel, now)
        }
        // An answer that came after its claim was lost is an answer all the same.
        (State::InDoubt { cancel, .. }, On::Said(Event::Created { payment, status, sca })) => {
            placed(order, Placed { id: payment, sca }, status, None, cancel, now)
        }
        (State::InDoubt { round, since, cancel, ripe: true, agreeing, overdue }, On::Said(Event::Absent)) => {
            let agreeing = agreeing.saturating_add(1);
            if agreeing < terms.agreeing_reads && !planted::is("one absence is enough") {
                let apart = if planted::is("absence before the lag") {
                    terms.poll_first
                } else {
                    terms.poll_first.max(terms.visibility_lag)
                };
                return go(
                    State::InDoubt { round, since, cancel, ripe: true, agreeing, overdue },
                    vec![Effect::RunIn(Step::Locate, apart)],
                );
            }
            let evidence = Evidence::Absent { reads: agreeing };
            match cancel {
                Some(by) => taken_back(by, None, evidence, now),
                // The bank gives the same payment for the same key even if the first one turns up after all.
                None if may_repeat(order, round) => again(round, since, None),
                None => failed(Failure::Refused, ErrorCode::Timeout, None, evidence, now),
            }
        }
        (State::InDoubt { round, since, cancel, overdue, .. }, On::Fired(Timer::Ripe)) if terms.lookup => go(
            State::InDoubt { round, since, cancel, ripe: true, agreeing: 0, overdue },
            vec![Effect::Run(Step::Locate)],
        ),
        // A bank that cannot be asked but honours the key is asked by repeating the order itself.
        (State::InDoubt { round, since, cancel, .. }, On::Fired(Timer::Ripe)) => again(round, since, cancel),
        (doubt @ State::InDoubt { .. }, On::GaveUp(Step::Locate, _)) => {
            go(doubt, vec![Effect::RunIn(Step::Locate, terms.poll_most)])
        }
        // Once answers of "I know of none" are counted, they keep their distance.
        (doubt @ State::InDoubt { ripe: false, .. }, On::Said(Event::Returned { .. } | Event::Hinted))
            if terms.lookup =>
        {
            go(doubt, vec![Effect::Run(Step::Locate)])
        }
        (
            State::InDoubt { round, since, ripe, agreeing, overdue, cancel: None },
            On::Said(Event::CancelAsked { by }),
        ) => go(State::InDoubt { round, since, cancel: Some(by), ripe, agreeing, overdue }, vec![]),
        (State::InDoubt { round, since, cancel, ripe, agreeing, .. }, On::Fired(Timer::Overdue)) => go(
            State::InDoubt { round, since, cancel, ripe, agreeing, overdue: true },
            vec![Effect::Arm(Timer::Overdue, terms.overdue)],
        ),
        (State::InDoubt { .. }, On::Said(Event::Resolved { outcome: Truth::Executed, reference })) => {
            settled(None, Evidence::Operator { reference }, now)
        }
        (State::InDoubt { .. }, On::Said(Event::Resolved { outcome: Truth::NotExecuted, reference })) => {
            failed(Failure::Refused, ErrorCode::Timeout, None, Evidence::Operator { reference }, now)
        }

        // The payer has to approve.
        (waiting @ State::AwaitingSca { .. }, On::Said(Event::StatusSeen { status, .. }))
            if status.standing() == Standing::Pending =>
        {
            go(waiting, vec![Effect::RunIn(Step::Status, terms.poll_first)])
        }
        (State::AwaitingSca { payment, .. }, On::Said(Event::StatusSeen { status, reason })) => {
            placed(order, payment, status, reason.as_deref(), None, now)
        }
        (State::AwaitingSca { payment, .. }, On::Said(Event::Hinted)) if planted::is("callback as proof") => {
            settled(Some(payment), Evidence::Status(TransactionStatus::Acsc), now)
        }
        (waiting @ State::AwaitingSca { .. }, On::Said(Event::Returned { .. } | Event::Hinted)) => {
            go(waiting, vec![Effect::Run(Step::Status)])
        }
        (State::AwaitingSca { payment, .. }, On::Fired(Timer::ScaDeadline))
            if planted::is("deadline without asking") =>
        {
            closed(Why::ScaTimeout, payment, Evidence::NeverSent, now)
        }
        // An approval may cross this deadline on the wire: only the bank knows, so it is asked first.
        (State::AwaitingSca { payment, .. }, On::Fired(Timer::ScaDeadline)) => {
            close(order, payment, Why::ScaTimeout, Step::Status)
        }
        (State::AwaitingSca { payment, .. }, On::Said(Event::CancelAsked { by })) => {
            close(order, payment, Why::Asked(by), Step::Status)
        }

        // It is to be taken back; the bank decides whether that is still possible.
        (
            State::Closing { payment, why, tries, overdue, answer },
            On::Said(Event::StatusSeen { status, reason }),
        ) => {
            match status.standing() {
                Standing::Pending if answer == Cancellation::Open => go(
                    State::Closing { payment, why, tries, overdue, answer },
                    vec![Effect::Run(Step::Cancel)],
                ),
                // It will not cancel what may still be approved: it is asked again, less and less often.
                Standing::Pending => {
                    let wait = slower(terms.poll_first, tries).min(terms.poll_most);
                    let tries = tries.saturating_add(1).min(MOST_TRIES);
                    let answer = Cancellation::Stands;
                    go(
                        State::Closing { payment, why, tries, overdue, answer },
                        vec![Effect::RunIn(Step::Cancel, wait)],
                    )
                }
                Standing::Underway => confirming(order, payment, status),
                Standing::Executed => settled(Some(payment), Evidence::Status(status), now),
                Standing::Rejected if reason.is_some() => rejected(payment, status, reason.as_deref(), now),
                Standing::Rejected | Standing::Cancelled => {
                    closed(why, payment, Evidence::Status(status), now)
                }
            }
        }
        (State::Closing { payment, why, .. }, On::Said(Event::CancellationConfirmed)) => {
            closed(why, payment, Evidence::CancellationConfirmed, now)
        }
        // It is being executed, or has come to its end, perhaps by an attempt of ours whose answer was lost: why it is
        // being taken back is not forgotten before the bank has said which.
        (
            State::Closing { payment, why, tries, overdue, answer },
            On::Said(Event::CancellationRefused { .. }),
        ) => {
            let answer = if answer == Cancellation::Open { Cancellation::Refused } else { answer };
            go(State::Closing { payment, why, tries, overdue, answer }, vec![Effect::Run(Step::Status)])
        }
        (State::Closing { payment, why, .. }, On::GaveUp(Step::Cancel, _))
            if planted::is("cancellation unconfirmed") =>
        {
            closed(why, payment, Evidence::CancellationConfirmed, now)
        }
        // The cancellation may or may not have happened; what the bank says next decides.
        (
            State::Closing { payment, why, tries, overdue, answer },
            On::GaveUp(Step::Cancel | Step::Status, _),
        ) => {
            let wait = slower(terms.poll_first, tries).min(terms.poll_most);
            let tries = tries.saturating_add(1).min(MOST_TRIES);
            go(
                State::Closing { payment, why, tries, overdue, answer },
                vec![Effect::RunIn(Step::Status, wait)],
            )
        }
        (State::Closing { payment, why, tries, answer, .. }, On::Fired(Timer::Overdue)) => go(
            State::Closing { payment, why, tries, overdue: true, answer },
            vec![Effect::Arm(Timer::Overdue, terms.overdue)],
        ),
        (
            State::Closing { payment, why: Why::ScaTimeout, tries, overdue, answer },
            On::Said(Event::CancelAsked { by: By::Compensation }),
        ) => {
            go(State::Closing { payment, why: Why::Asked(By::Compensation), tries, overdue, answer }, vec![])
        }

        // Past the point of no return.
        (State::Confirming { payment, seen, overdue }, On::Said(Event::StatusSeen { status, reason })) => {
            match status.standing() {
                // Codes may be skipped and may come late; none leads back.
                Standing::Pending => go(
                    State::Confirming { payment, seen, overdue },
                    vec![Effect::RunIn(Step::Status, terms.poll_first)],
                ),
                Standing::Underway => go(
                    State::Confirming { payment, seen: status, overdue },
                    vec![Effect::RunIn(Step::Status, terms.poll_first)],
                ),
                Standing::Executed => settled(Some(payment), Evidence::Status(status), now),
                Standing::Rejected => rejected(payment, status, reason.as_deref(), now),
                Standing::Cancelled => taken_back(By::User, Some(payment), Evidence::Status(status), now),
            }
        }
        (confirming @ State::Confirming { .. }, On::Said(Event::Returned { .. } | Event::Hinted)) => {
            go(confirming, vec![Effect::Run(Step::Status)])
        }
        (State::Confirming { payment, seen, .. }, On::Fired(Timer::Overdue)) => go(
            State::Confirming { payment, seen, overdue: true },
            vec![Effect::Arm(Timer::Overdue, terms.overdue)],
        ),
        // A bank that says nothing certain for too long is not waited for for ever: there are statements and letters.
        (
            State::Closing { payment, overdue: true, .. } | State::Confirming { payment, overdue: true, .. },
            On::Said(Event::Resolved { outcome, reference }),
        ) => {
            let evidence = Evidence::Operator { reference };
            match outcome {
                Truth::Executed => settled(Some(payment), evidence, now),
                Truth::NotExecuted => {
                    failed(Failure::Refused, ErrorCode::Timeout, Some(payment), evidence, now)
                }
            }
        }
        (waiting @ (State::AwaitingSca { .. } | State::Confirming { .. }), On::GaveUp(Step::Status, _)) => {
            go(waiting, vec![Effect::RunIn(Step::Status, terms.poll_most)])
        }

        // A "not found" that came before it counts.
        (State::InDoubt { ripe: false, .. }, On::Said(Event::Absent)) => Next::Ignore,
        (_, on) => otherwise(&on),
    }
}

/// The stated policy for everything that no state waits for.
fn otherwise<St>(on: &On<Event, Step, Timer>) -> Next<St, Step, Timer> {
    match on {
        // Wishes and hints that come too early, too late or twice change nothing. And every timer is taken back when
        // its state is left; one that was claimed just then has lost its point.
        On::Said(
            Event::CancelAsked { .. }
            | Event::Continued
            | Event::Returned { .. }
            | Event::Hinted
            | Event::Resolved { .. },
        )
        | On::Fired(_) => Next::Ignore,
        On::Said(_) => Next::Refuse("the bank answered a question that this state does not ask"),
        On::GaveUp(..) => Next::Refuse("a step was given up that this state does not wait for"),
    }
}

/// A payment stands at the bank: what its status means for one that was just created, found or approved.
fn placed(
    order: &Instruction,
    payment: Placed,
    status: TransactionStatus,
    reason: Option<&str>,
    cancel: Option<By>,
    now: At,
) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    match (status.standing(), cancel) {
        (Standing::Pending, Some(by)) => close(order, payment, Why::Asked(by), Step::Cancel),
        (Standing::Pending, None) => go(
            State::AwaitingSca { payment, until: now.plus(terms.sca_timeout) },
            vec![
                Effect::Withdraw(Step::Locate),
                Effect::Disarm(Timer::Ripe),
                Effect::Disarm(Timer::Overdue),
                Effect::Arm(Timer::ScaDeadline, terms.sca_timeout),
                Effect::RunIn(Step::Status, terms.poll_first),
            ],
        ),
        (Standing::Underway, _) => confirming(order, payment, status),
        (Standing::Executed, _) => settled(Some(payment), Evidence::Status(status), now),
        (Standing::Rejected, Some(by)) => taken_back(by, Some(payment), Evidence::Status(status), now),
        (Standing::Rejected, None) => rejected(payment, status, reason, now),
        (Standing::Cancelled, by) => {
            taken_back(by.unwrap_or(By::User), Some(payment), Evidence::Status(status), now)
        }
    }
}

/// Whether the same order may be sent again under its key. The policy looks at the provider's window.
fn may_repeat(order: &Instruction, round: u8) -> bool {
    order.terms.replay.is_some() && round + 1 < ROUNDS
}

fn again(round: u8, since: At, cancel: Option<By>) -> Next<State, Step, Timer> {
    go(
        State::Initiating { round: round + 1, since, cancel, parked: 0 },
        vec![Effect::Disarm(Timer::Ripe), Effect::Disarm(Timer::Overdue), Effect::Run(Step::Initiate)],
    )
}

fn first_round(parked: u8, now: At) -> State {
    State::Initiating { round: 0, since: now, cancel: None, parked }
}

/// It is to be taken back. `first` says whether the bank is asked before, since an approval may be on its way.
fn close(order: &Instruction, payment: Placed, why: Why, first: Step) -> Next<State, Step, Timer> {
    go(
        State::Closing { payment, why, tries: 0, overdue: false, answer: Cancellation::Open },
        vec![
            Effect::Withdraw(Step::Locate),
            Effect::Disarm(Timer::Ripe),
            Effect::Disarm(Timer::ScaDeadline),
            Effect::Arm(Timer::Overdue, order.terms.overdue),
            Effect::Run(first),
        ],
    )
}

fn slower(first: Duration, tries: u8) -> Duration {
    first.saturating_mul(1 << tries.min(MOST_TRIES))
}

fn doubt(order: &Instruction, round: u8, since: At, cancel: Option<By>) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    let mut effects = vec![Effect::Arm(Timer::Overdue, terms.overdue)];
    if terms.lookup {
        effects.push(Effect::Arm(Timer::Ripe, terms.visibility_lag));
        effects.push(Effect::RunIn(Step::Locate, terms.poll_first));
    } else if terms.replay.is_some() && round + 1 < ROUNDS {
        effects.push(Effect::Arm(Timer::Ripe, terms.poll_most));
    }
    let ripe = planted::is("absence before the lag");
    go(State::InDoubt { round, since, cancel, ripe, agreeing: 0, overdue: !terms.lookup }, effects)
}

fn confirming(order: &Instruction, payment: Placed, seen: TransactionStatus) -> Next<State, Step, Timer> {
    go(
        State::Confirming { payment, seen, overdue: false },
        vec![
            Effect::Withdraw(Step::Locate),
            Effect::Disarm(Timer::Ripe),
            Effect::Disarm(Timer::ScaDeadline),
            Effect::Arm(Timer::Overdue, order.terms.overdue),
            Effect::RunIn(Step::Status, order.terms.poll_first),
        ],
    )
}

fn settled(payment: Option<Placed>, evidence: Evidence, now: At) -> Next<State, Step, Timer> {
    go(State::Settled { payment, evidence, at: now }, vec![Effect::Tell(Message::owner("payment.completed"))])
}

fn rejected(
    payment: Placed,
    status: TransactionStatus,
    reason: Option<&str>,
    now: At,
) -> Next<State, Step, Timer> {
    let code = reason.map_or(ErrorCode::PaymentRejected, ErrorCode::of_refusal);
    failed(Failure::Refused, code, Some(payment), Evidence::Status(status), now)
}

/// The bank confirmed that a payment we were closing will not happen.
fn closed(why: Why, payment: Placed, evidence: Evidence, now: At) -> Next<State, Step, Timer> {
    match why {
        Why::ScaTimeout => failed(Failure::ScaTimeout, ErrorCode::ScaTimeout, Some(payment), evidence, now),
        Why::Asked(by) => taken_back(by, Some(payment), evidence, now),
    }
}

fn taken_back(by: By, payment: Option<Placed>, evidence: Evidence, now: At) -> Next<State, Step, Timer> {
    match by {
        By::User | By::Operator => go(
            State::Cancelled { payment, evidence, at: now },
            vec![Effect::Tell(Message::owner("payment.cancelled"))],
        ),
        By::Compensation => {
            failed(Failure::Compensated, ErrorCode::CancelledByOperator, payment, evidence, now)
        }
    }
}

fn failed(
    how: Failure,
    code: ErrorCode,
    payment: Option<Placed>,
    evidence: Evidence,
    now: At,
) -> Next<State, Step, Timer> {
    go(
        State::Failed { how, code, payment, evidence, at: now },
        vec![Effect::Tell(Message::owner("payment.failed"))],
    )
}

fn go(state: State, effects: Effects) -> Next<State, Step, Timer> {
    Next::Go { state, effects }
}
