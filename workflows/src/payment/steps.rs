//! The questions that a payment asks, how they are asked, and how their answers are read.

use super::{Event, Instruction, Placed, State};
use crate::engine::{Answer, Finding, Lane, Policy, Repeat, Retry, Stake};
use crate::named;
use crate::ports::payments::{FoundPayment, Standing};
use crate::ports::{Call, PaymentsCall, PaymentsReply, Reply};

named! {
    /// Questions to the bank.
    pub enum Step {
        /// Create the payment.
        Initiate = "initiate",
        /// Where does it stand?
        Status = "status",
        /// Which payments carry our end-to-end id?
        Locate = "locate",
        /// Take it back.
        Cancel = "cancel",
        /// Does the provider take payments?
        Probe = "probe",
    }
}

named! {
    /// Deadlines and delays of a payment.
    pub enum Timer {
        /// The payer has not approved in time.
        ScaDeadline = "sca_deadline",
        /// From here on the bank's "I know of none" counts.
        Ripe = "ripe",
        /// It takes so long that somebody should look.
        Overdue = "overdue",
        /// The payer has not come back in time.
        UserDeadline = "user_deadline",
    }
}

/// Attempts at an initiation whose provider honours the key: the first and three more (PI-10).
const INITIATION_ATTEMPTS: u32 = 4;

/// Attempts at a cancellation before the bank is asked where the payment stands.
const CANCELLATION_ATTEMPTS: u32 = 3;

/// The question that a step asks in a state.
pub fn call(order: &Instruction, state: &State, step: Step) -> Option<Call> {
    let bank = order.initiation.bank.clone();
    let call = match step {
        Step::Initiate => PaymentsCall::Initiate(Box::new(order.initiation.clone())),
        Step::Locate => PaymentsCall::Locate { bank, end_to_end: order.initiation.end_to_end.clone() },
        Step::Probe => PaymentsCall::Probe { bank },
        Step::Status => PaymentsCall::Status { bank, payment: placed(state)?.id.clone() },
        Step::Cancel => PaymentsCall::Cancel { bank, payment: placed(state)?.id.clone() },
    };
    Some(Call::Payments(call))
}

/// Reads a definite answer.
pub fn hear(state: &State, step: Step, finding: &Finding) -> Answer<Event> {
    match (step, finding) {
        (Step::Initiate, Finding::Done(Reply::Payments(PaymentsReply::Created { payment, status, sca }))) => {
            Answer::Event(Event::Created {
                payment: payment.clone(),
                status: status.clone(),
                sca: sca.clone(),
            })
        }
        (Step::Initiate, Finding::Refused(no)) => Answer::Event(Event::Refused { code: no.code.clone() }),

        (Step::Status, Finding::Done(Reply::Payments(PaymentsReply::Standing { status, reason }))) => {
            let news = match state {
                State::AwaitingSca { .. } => status.standing() != Standing::Pending,
                // A status that steps back from the point of no return is no news (domain contracts §2.3).
                State::Confirming { seen, .. } => status.standing() != Standing::Pending && status != seen,
                State::Closing { .. } => true,
                State::Initiating { .. }
                | State::InDoubt { .. }
                | State::Parked { .. }
                | State::AwaitingUser { .. }
                | State::Settled { .. }
                | State::Failed { .. }
                | State::Cancelled { .. } => return Answer::Unclear,
            };
            if news {
                Answer::Event(Event::StatusSeen { status: status.clone(), reason: reason.clone() })
            } else {
                Answer::Busy
            }
        }
        // "I do not know that payment" about an id that the bank itself gave us proves nothing.
        (Step::Status | Step::Locate | Step::Probe, Finding::Refused(_)) => Answer::Busy,

        (Step::Locate, Finding::Done(Reply::Payments(PaymentsReply::Found(found)))) => {
            match (weightiest(found), state) {
                (Some(one), _) => {
                    Answer::Event(Event::Found { payment: one.payment.clone(), status: one.status.clone() })
                }
                (None, State::InDoubt { ripe: true, .. }) => Answer::Event(Event::Absent),
                (None, _) => Answer::Busy,
            }
        }

        (Step::Cancel, Finding::Done(Reply::Payments(PaymentsReply::Cancelled))) => {
            Answer::Event(Event::CancellationConfirmed)
        }
        (Step::Cancel, Finding::Refused(no)) => {
            Answer::Event(Event::CancellationRefused { code: no.code.clone() })
        }

        (Step::Probe, Finding::Done(Reply::Payments(PaymentsReply::Ready))) => {
            Answer::Event(Event::ProviderReady)
        }

        (_, Finding::Done(_) | Finding::NotSent(_) | Finding::Unknown(_)) => Answer::Unclear,
    }
}

/// Reads an answer that came after its claim was lost. The bank's word that a payment exists ends a doubt; everything
/// else is known to whoever took over, or will be.
pub fn overhear(state: &State, step: Step, finding: &Finding) -> Answer<Event> {
    match (state, step, finding) {
        (State::InDoubt { .. }, Step::Initiate, Finding::Done(_)) => hear(state, step, finding),
        _ => Answer::Busy,
    }
}

/// Whether a step that was not begun is still wanted: a payment that was taken back meanwhile is not sent first.
pub fn wanted(state: &State, step: Step) -> bool {
    !matches!((state, step), (State::Initiating { round: 0, cancel: Some(_), .. }, Step::Initiate))
}

/// How a step is performed.
pub fn policy(provider: &str, order: &Instruction, state: &State, step: Step) -> Policy {
    let terms = &order.terms;
    let bank = order.initiation.bank.0.as_str();
    let again = Retry { attempts: None, first: terms.retry_base, most: terms.poll_most };
    let polling = Retry { attempts: None, first: terms.poll_first, most: terms.poll_most };
    let read = |operation| Policy {
        lane: Lane::of(provider, bank, operation),
        timeout: terms.attempt,
        repeat: Repeat::Freely,
        retry: again,
        unreached: again,
        poll: polling,
        stake: Stake::Reads,
    };
    match step {
        Step::Initiate => Policy {
            repeat: match (terms.replay, state) {
                (Some(window), State::Initiating { since, round, .. }) => {
                    Repeat::Within { window, since: *since, used: *round > 0 }
                }
                _ => Repeat::Never,
            },
            retry: Retry { attempts: Some(INITIATION_ATTEMPTS), ..again },
            unreached: Retry::ONCE,
            stake: Stake::Owes("payment"),
            ..read("initiate")
        },
        // Then the bank is asked about the payment, which decides whether it is asked to cancel again.
        Step::Cancel => Policy {
            retry: Retry { attempts: Some(CANCELLATION_ATTEMPTS), ..again },
            unreached: Retry::ONCE,
            stake: Stake::Clears("payment"),
            ..read("cancel")
        },
        Step::Status => read("status"),
        Step::Locate => read("locate"),
        Step::Probe => read("probe"),
    }
}

/// Of several payments under our id, the one whose word weighs most: money that moved before money that may, before
/// money that will not.
fn weightiest(found: &[FoundPayment]) -> Option<&FoundPayment> {
    found.iter().min_by_key(|one| match one.status.standing() {
        Standing::Executed => 0,
        Standing::Underway => 1,
        Standing::Pending => 2,
        Standing::Rejected | Standing::Cancelled => 3,
    })
}

fn placed(state: &State) -> Option<&Placed> {
    match state {
        State::AwaitingSca { payment, .. }
        | State::Closing { payment, .. }
        | State::Confirming { payment, .. } => Some(payment),
        State::Settled { payment, .. } | State::Failed { payment, .. } | State::Cancelled { payment, .. } => {
            payment.as_ref()
        }
        State::Initiating { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::AwaitingUser { .. } => None,
    }
}
