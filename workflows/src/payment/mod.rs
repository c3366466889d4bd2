//! The payment part that remittance and QR payment share: the machine that carries the promise.
//!
//! ```text
//! initiating ──> awaiting_sca ──> confirming ──> settled
//!     │  │            │               │
//!     │  │            └─> closing ────┴──> refused / sca_timeout / cancelled
//!     │  └─> in_doubt ──> (found) awaiting_sca … │ (proven absent) initiating again, or refused
//!     └─> parked ──> awaiting_user ──> initiating
//! ```
//!
//! A payment is sent under one key for ever. Once an attempt may have reached the bank, only evidence leads on: the
//! bank's own word about that payment, or its repeated word that it knows of none. A payment past the point of no
//! return is never undone, only followed to its end.

mod codes;
mod facts;
mod order;
mod rules;
mod steps;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

pub use codes::ErrorCode;
pub use facts::{Facts, facts, too_late_to_cancel, view};
pub use order::{Instruction, Terms};
pub use rules::{Denied, Payer, Payee, PaymentLimits, within_limits};
pub use steps::{Step, Timer, call, hear, policy};

use serde::{Deserialize, Serialize};

use crate::engine::{Cause, Effect, Message, Next, On};
use crate::ports::payments::{ProviderPaymentId, Standing, TransactionStatus};
use crate::time::At;

/// How often a payment that is proven absent is sent again under its old key before it is given up.
const ROUNDS: u8 = 3;

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The initiation is being sent.
    Initiating {
        /// 0 for the first sending; +1 for each sending after a proof of absence.
        round: u8,
        /// When an earlier round first used the key.
        since: Option<At>,
        /// Somebody wants it taken back as soon as that is possible.
        cancel: Option<By>,
    },
    /// An initiation may have reached the bank; nobody knows.
    InDoubt {
        /// As in `Initiating`.
        round: u8,
        /// When the key was first used, at the latest.
        since: At,
        /// As in `Initiating`.
        cancel: Option<By>,
        /// Whether the bank's "I know of none" counts by now.
        ripe: bool,
        /// How many such answers agree.
        agreeing: u8,
        /// Whether it has been so for so long that somebody should look.
        overdue: bool,
    },
    /// Nothing was sent; the provider does not take payments at the moment.
    Parked,
    /// Nothing was sent; the provider is back and the payer has to be present to approve.
    AwaitingUser {
        /// Until when.
        until: At,
    },
    /// The payer has to approve at the bank.
    AwaitingSca {
        /// The bank's payment.
        payment: Placed,
        /// When we take it back.
        until: At,
    },
    /// It is to be taken back, and the bank has not confirmed that yet.
    Closing {
        /// The bank's payment.
        payment: Placed,
        /// Why.
        why: Why,
    },
    /// Past the point of no return: it is followed to its end.
    Confirming {
        /// The bank's payment.
        payment: Placed,
        /// The bank's last word.
        seen: TransactionStatus,
        /// Whether it takes so long that somebody should look.
        overdue: bool,
    },
    /// Money moved.
    Settled {
        /// The bank's payment.
        payment: Option<Placed>,
        /// The proof.
        evidence: Evidence,
        /// When we knew.
        at: At,
    },
    /// No money moved, and there is proof.
    Failed {
        /// Which way.
        how: Failure,
        /// The code for people.
        code: ErrorCode,
        /// The bank's payment, if there was one.
        payment: Option<Placed>,
        /// The proof.
        evidence: Evidence,
        /// When we knew.
        at: At,
    },
    /// Taken back before the point of no return, and there is proof.
    Cancelled {
        /// The bank's payment, if there was one.
        payment: Option<Placed>,
        /// The proof.
        evidence: Evidence,
        /// When we knew.
        at: At,
    },
}

/// A payment that stands at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placed {
    /// Its id there.
    pub id: ProviderPaymentId,
    /// Where the payer approves it; a payment that was found again has no link.
    pub sca: Option<String>,
}

/// Who took a payment back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The payer.
    User,
    /// An operator, as a cancellation.
    Operator,
    /// An operator, as the compensation of a stuck payment.
    Compensation,
}

/// Why a payment is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nobody approved it in time (X-11).
    ScaTimeout,
    /// Somebody asked.
    Asked(By),
}

/// Which way a payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The bank said no, or never had it.
    Refused,
    /// Nobody approved it in time.
    ScaTimeout,
    /// An operator undid it.
    Compensated,
}

/// What proves the end of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The bank's status.
    Status(TransactionStatus),
    /// The bank confirmed our cancellation.
    CancellationConfirmed,
    /// The bank refused the initiation.
    InitiationRefused {
        /// The bank's code.
        code: String,
    },
    /// The bank said so often enough, late enough, that it knows no such payment.
    Absent {
        /// How many answers agreed.
        reads: u8,
    },
    /// No attempt ever left us.
    NeverSent,
    /// An operator's proof.
    Operator {
        /// Where the proof is filed.
        reference: String,
    },
}

/// What the world can say about a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The bank took the initiation.
    Created {
        /// Its id there.
        payment: ProviderPaymentId,
        /// Where it stands.
        status: TransactionStatus,
        /// Where the payer approves it.
        sca: Option<String>,
    },
    /// The bank refused the initiation; nothing was created.
    Refused {
        /// The bank's code.
        code: String,
    },
    /// The bank's word on where the payment stands.
    StatusSeen {
        /// The code.
        status: TransactionStatus,
        /// With a rejection, why.
        reason: Option<String>,
    },
    /// A payment carries our end-to-end id.
    Found {
        /// Its id at the bank.
        payment: ProviderPaymentId,
        /// Where it stands.
        status: TransactionStatus,
    },
    /// No payment carries our end-to-end id.
    Absent,
    /// The bank confirmed the cancellation.
    CancellationConfirmed,
    /// The bank will not cancel: it is under execution, or at its end.
    CancellationRefused {
        /// The bank's code.
        code: String,
    },
    /// The provider takes payments again.
    ProviderReady,
    /// Somebody wants it taken back.
    CancelAsked {
        /// Who.
        by: By,
    },
    /// The payer is back and wants to go on.
    Continued,
    /// The payer's browser came back from the bank: a hint, never proof (X-09).
    Returned {
        /// The id the bank put on the address, if it did.
        payment: Option<ProviderPaymentId>,
    },
    /// The provider pushed a notice about this payment: a hint too.
    Hinted,
    /// An operator found out, with proof, what became of a payment in doubt.
    Resolved {
        /// What became of it.
        outcome: Truth,
        /// Where the proof is filed.
        reference: String,
    },
}

/// What an operator proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Money moved.
    Executed,
    /// It did not and will not.
    NotExecuted,
}

type Effects = Vec<Effect<Step, Timer>>;

/// The first state of a payment and what must follow.
pub fn start() -> (State, Effects) {
    (State::Initiating { round: 0, since: None, cancel: None }, vec![Effect::Run(Step::Initiate)])
}

/// The transition function. Grouped by state, in the order things happen.
pub fn on(order: &Instruction, state: &State, on: On<Event, Step, Timer>, now: At) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    match (state.clone(), on) {
        // The initiation is being sent.
        (State::Initiating { cancel, .. }, On::Said(Event::Created { payment, status, sca })) => {
            placed(order, Placed { id: payment, sca }, status, None, cancel, now)
        }
        (State::Initiating { cancel: None, .. }, On::Said(Event::Refused { code })) => {
            let evidence = Evidence::InitiationRefused { code: code.clone() };
            failed(Failure::Refused, ErrorCode::of_refusal(&code), None, evidence, now)
        }
        (State::Initiating { cancel: Some(by), .. }, On::Said(Event::Refused { code })) => {
            taken_back(by, None, Evidence::InitiationRefused { code }, now)
        }
        (State::Initiating { cancel: None, .. }, On::GaveUp(Step::Initiate, Cause::NotSent)) => go(
            State::Parked,
            vec![Effect::RunIn(Step::Probe, terms.retry_base), Effect::Tell(Message::owner("payment.queued"))],
        ),
        (State::Initiating { cancel: Some(by), .. }, On::GaveUp(Step::Initiate, Cause::NotSent)) => {
            taken_back(by, None, Evidence::NeverSent, now)
        }
        (State::Initiating { round, since, cancel }, On::GaveUp(Step::Initiate, Cause::Unknown)) => {
            doubt(order, round, since.unwrap_or(now), cancel)
        }
        // The request is on its way: the wish is kept until its answer is known.
        (State::Initiating { round, since, cancel: None }, On::Said(Event::CancelAsked { by })) => {
            go(State::Initiating { round, since, cancel: Some(by) }, vec![])
        }

        // Nobody knows whether the bank has it.
        (State::InDoubt { cancel, .. }, On::Said(Event::Found { payment, status })) => {
            placed(order, Placed { id: payment, sca: None }, status, None, cancel, now)
        }
        (State::InDoubt { round, since, cancel, ripe: true, agreeing, overdue }, On::Said(Event::Absent)) => {
            let agreeing = agreeing.saturating_add(1);
            if agreeing < terms.agreeing_reads {
                return go(
                    State::InDoubt { round, since, cancel, ripe: true, agreeing, overdue },
                    vec![Effect::RunIn(Step::Locate, terms.poll_first)],
                );
            }
            let evidence = Evidence::Absent { reads: agreeing };
            match cancel {
                Some(by) => taken_back(by, None, evidence, now),
                // The bank gives the same payment for the same key even if the first one turns up after all.
                None if terms.replay.is_some() && round + 1 < ROUNDS => go(
                    State::Initiating { round: round + 1, since: Some(since), cancel: None },
                    vec![Effect::Disarm(Timer::Overdue), Effect::Run(Step::Initiate)],
                ),
                None => failed(Failure::Refused, ErrorCode::Timeout, None, evidence, now),
            }
        }
        (State::InDoubt { round, since, cancel, overdue, .. }, On::Fired(Timer::Ripe)) if terms.lookup => go(
            State::InDoubt { round, since, cancel, ripe: true, agreeing: 0, overdue },
            vec![Effect::Run(Step::Locate)],
        ),
        // A bank that cannot be asked but honours the key is asked by repeating the order itself.
        (State::InDoubt { round, since, cancel, .. }, On::Fired(Timer::Ripe)) => go(
            State::Initiating { round: round + 1, since: Some(since), cancel },
            vec![Effect::Disarm(Timer::Overdue), Effect::Run(Step::Initiate)],
        ),
        (doubt @ State::InDoubt { .. }, On::GaveUp(Step::Locate, _)) => {
            go(doubt, vec![Effect::RunIn(Step::Locate, terms.poll_most)])
        }
        (doubt @ State::InDoubt { .. }, On::Said(Event::Returned { .. } | Event::Hinted)) if terms.lookup => {
            go(doubt, vec![Effect::Run(Step::Locate)])
        }
        (State::InDoubt { round, since, ripe, agreeing, overdue, cancel: None }, On::Said(Event::CancelAsked { by })) => {
            go(State::InDoubt { round, since, cancel: Some(by), ripe, agreeing, overdue }, vec![])
        }
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

        // Nothing was sent.
        (State::Parked, On::Said(Event::ProviderReady)) if terms.auto_start => {
            go(State::Initiating { round: 0, since: None, cancel: None }, vec![Effect::Run(Step::Initiate)])
        }
        (State::Parked, On::Said(Event::ProviderReady)) => go(
            State::AwaitingUser { until: now.plus(terms.user_deadline) },
            vec![
                Effect::Arm(Timer::UserDeadline, terms.user_deadline),
                Effect::Tell(Message::owner("payment.ready_to_approve")),
            ],
        ),
        (State::Parked, On::GaveUp(Step::Probe, _)) => {
            go(State::Parked, vec![Effect::RunIn(Step::Probe, terms.poll_most)])
        }
        (State::AwaitingUser { .. }, On::Said(Event::Continued)) => go(
            State::Initiating { round: 0, since: None, cancel: None },
            vec![Effect::Disarm(Timer::UserDeadline), Effect::Run(Step::Initiate)],
        ),
        (State::AwaitingUser { .. }, On::Fired(Timer::UserDeadline)) => {
            failed(Failure::Refused, ErrorCode::Timeout, None, Evidence::NeverSent, now)
        }
        (State::Parked | State::AwaitingUser { .. }, On::Said(Event::CancelAsked { by })) => {
            taken_back(by, None, Evidence::NeverSent, now)
        }

        // The payer has to approve.
        (waiting @ State::AwaitingSca { .. }, On::Said(Event::StatusSeen { status, .. }))
            if status.standing() == Standing::Pending =>
        {
            go(waiting, vec![Effect::RunIn(Step::Status, terms.poll_first)])
        }
        (State::AwaitingSca { payment, .. }, On::Said(Event::StatusSeen { status, reason })) => {
            placed(order, payment, status, reason, None, now)
        }
        (waiting @ State::AwaitingSca { .. }, On::Said(Event::Returned { .. } | Event::Hinted)) => {
            go(waiting, vec![Effect::Run(Step::Status)])
        }
        // An approval may cross this deadline on the wire: only the bank knows, so it is asked first.
        (State::AwaitingSca { payment, .. }, On::Fired(Timer::ScaDeadline)) => {
            go(State::Closing { payment, why: Why::ScaTimeout }, vec![Effect::Run(Step::Status)])
        }
        (State::AwaitingSca { payment, .. }, On::Said(Event::CancelAsked { by })) => go(
            State::Closing { payment, why: Why::Asked(by) },
            vec![Effect::Disarm(Timer::ScaDeadline), Effect::Run(Step::Status)],
        ),

        // It is to be taken back; the bank decides whether that is still possible.
        (State::Closing { payment, why }, On::Said(Event::StatusSeen { status, reason })) => {
            match status.standing() {
                Standing::Pending => go(State::Closing { payment, why }, vec![Effect::Run(Step::Cancel)]),
                Standing::Underway => confirming(order, payment, status),
                Standing::Executed => settled(Some(payment), Evidence::Status(status), now),
                Standing::Rejected if reason.is_some() => rejected(payment, status, reason, now),
                Standing::Rejected | Standing::Cancelled => {
                    closed(why, payment, Evidence::Status(status), now)
                }
            }
        }
        (State::Closing { payment, why }, On::Said(Event::CancellationConfirmed)) => {
            closed(why, payment, Evidence::CancellationConfirmed, now)
        }
        // Too late: it is being executed, or it has come to its end. Fail forward and follow it.
        (State::Closing { payment, .. }, On::Said(Event::CancellationRefused { .. })) => go(
            State::Confirming { payment, seen: TransactionStatus::Acsp, overdue: false },
            vec![Effect::Run(Step::Status), Effect::Arm(Timer::Overdue, terms.overdue)],
        ),
        // The cancellation may or may not have happened; what the bank says next decides.
        (closing @ State::Closing { .. }, On::GaveUp(Step::Cancel | Step::Status, _)) => {
            go(closing, vec![Effect::RunIn(Step::Status, terms.poll_first)])
        }
        (State::Closing { payment, why: Why::ScaTimeout }, On::Said(Event::CancelAsked { by: By::Compensation })) => {
            go(State::Closing { payment, why: Why::Asked(By::Compensation) }, vec![])
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
                Standing::Rejected => rejected(payment, status, reason, now),
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
        (waiting @ (State::AwaitingSca { .. } | State::Confirming { .. }), On::GaveUp(Step::Status, _)) => {
            go(waiting, vec![Effect::RunIn(Step::Status, terms.poll_most)])
        }

        // What follows are the stated policies for everything else.
        // Wishes and hints that come too early, too late or twice change nothing.
        (
            _,
            On::Said(
                Event::CancelAsked { .. }
                | Event::Continued
                | Event::Returned { .. }
                | Event::Hinted
                | Event::Resolved { .. },
            ),
        ) => Next::Ignore,
        // A "not found" that came before it counts.
        (State::InDoubt { ripe: false, .. }, On::Said(Event::Absent)) => Next::Ignore,
        // Every timer is taken back when its state is left; one that was claimed just then has lost its point.
        (_, On::Fired(_)) => Next::Ignore,
        (_, On::Said(_)) => Next::Refuse("the bank answered a question that this state does not ask"),
        (_, On::GaveUp(..)) => Next::Refuse("a step was given up that this state does not wait for"),
    }
}

/// A payment stands at the bank: what its status means for one that was just created, found or approved.
fn placed(
    order: &Instruction,
    payment: Placed,
    status: TransactionStatus,
    reason: Option<String>,
    cancel: Option<By>,
    now: At,
) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    match (status.standing(), cancel) {
        (Standing::Pending, Some(by)) => go(
            State::Closing { payment, why: Why::Asked(by) },
            vec![Effect::Disarm(Timer::Ripe), Effect::Disarm(Timer::Overdue), Effect::Run(Step::Cancel)],
        ),
        (Standing::Pending, None) => go(
            State::AwaitingSca { payment, until: now.plus(terms.sca_timeout) },
            vec![
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

fn doubt(order: &Instruction, round: u8, since: At, cancel: Option<By>) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    let mut effects = vec![Effect::Arm(Timer::Overdue, terms.overdue)];
    if terms.lookup {
        effects.push(Effect::Arm(Timer::Ripe, terms.visibility_lag));
        effects.push(Effect::RunIn(Step::Locate, terms.poll_first));
    } else if terms.replay.is_some() && round + 1 < ROUNDS {
        effects.push(Effect::Arm(Timer::Ripe, terms.poll_most));
    }
    go(State::InDoubt { round, since, cancel, ripe: false, agreeing: 0, overdue: !terms.lookup }, effects)
}

fn confirming(order: &Instruction, payment: Placed, seen: TransactionStatus) -> Next<State, Step, Timer> {
    go(
        State::Confirming { payment, seen, overdue: false },
        vec![
            Effect::Disarm(Timer::Ripe),
            Effect::Disarm(Timer::ScaDeadline),
            Effect::Arm(Timer::Overdue, order.terms.overdue),
            Effect::RunIn(Step::Status, order.terms.poll_first),
        ],
    )
}

fn settled(payment: Option<Placed>, evidence: Evidence, now: At) -> Next<State, Step, Timer> {
    go(
        State::Settled { payment, evidence, at: now },
        vec![Effect::Tell(Message::owner("payment.completed"))],
    )
}

fn rejected(
    payment: Placed,
    status: TransactionStatus,
    reason: Option<String>,
    now: At,
) -> Next<State, Step, Timer> {
    let code = reason.as_deref().map_or(ErrorCode::PaymentRejected, ErrorCode::of_refusal);
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
