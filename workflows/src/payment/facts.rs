//! What a payment's state means outside: status, phase, and the facts that the API shows.

use super::{Evidence, Failure, Instruction, Placed, State};
use crate::engine::{Status, View};
use crate::ports::payments::ProviderPaymentId;
use crate::time::At;

/// M-14, verbatim: the payment is queued.
const QUEUED: &str = "Betaling satt i kø. Vil bli behandlet innen 2 timer.";
/// The queue is open again and the payer has to approve.
const READY: &str = "Banken er tilgjengelig igjen. Godkjenn betalingen for å fullføre den.";

/// Status and phase (rest-api §2).
pub fn view(state: &State) -> View {
    let (status, phase, milestone) = match state {
        State::Initiating { round: 0, cancel: None, .. } => (Status::Processing, "initiating", false),
        State::Initiating { cancel: Some(_), .. } | State::Closing { .. } => {
            (Status::Processing, "cancelling", false)
        }
        // A later round is sent because nobody knows what became of the one before.
        State::Initiating { cancel: None, .. } | State::InDoubt { .. } => {
            (Status::Processing, "in_doubt", true)
        }
        State::Parked { .. } => (Status::Queued, "parked", true),
        State::AwaitingUser { .. } => (Status::Queued, "awaiting_user", true),
        State::AwaitingSca { .. } => (Status::Processing, "awaiting_sca", true),
        State::Confirming { .. } => (Status::Processing, "confirming", true),
        State::Settled { .. } => (Status::Completed, "settled", true),
        State::Failed { how: Failure::Refused, .. } => (Status::Failed, "refused", true),
        State::Failed { how: Failure::ScaTimeout, .. } => (Status::Failed, "sca_timeout", true),
        State::Failed { how: Failure::Compensated, .. } => (Status::Failed, "compensated", true),
        State::Cancelled { .. } => (Status::Cancelled, "cancelled", true),
    };
    View { status, phase, milestone, attention: attention(state) }
}

/// Why an operator should look.
fn attention(state: &State) -> Option<&'static str> {
    match state {
        State::InDoubt { overdue: true, .. } => Some("in doubt for too long: needs evidence"),
        State::Confirming { overdue: true, .. } => Some("accepted by the bank, settlement not reported"),
        State::Closing { overdue: true, .. } => Some("the bank confirms no cancellation"),
        State::Initiating { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::AwaitingUser { .. }
        | State::AwaitingSca { .. }
        | State::Closing { .. }
        | State::Confirming { .. }
        | State::Settled { .. }
        | State::Failed { .. }
        | State::Cancelled { .. } => None,
    }
}

/// Whether it is past the point where taking it back means anything, the end included.
pub fn too_late_to_cancel(state: &State) -> bool {
    match state {
        State::Confirming { .. } | State::Settled { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            true
        }
        State::Initiating { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::AwaitingUser { .. }
        | State::AwaitingSca { .. }
        | State::Closing { .. } => false,
    }
}

/// What the API shows of a state beside status and phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the payer approves it, while that means something.
    pub sca_redirect: Option<String>,
    /// Until when.
    pub sca_expires_at: Option<At>,
    /// The bank's id of it.
    pub provider_payment: Option<ProviderPaymentId>,
    /// The code of a failure.
    pub error_code: Option<&'static str>,
    /// What the payer reads.
    pub message: Option<&'static str>,
}

/// The facts of a state.
pub fn facts(_order: &Instruction, state: &State) -> Facts {
    let of = |payment: Option<&Placed>| Facts {
        provider_payment: payment.map(|placed| placed.id.clone()),
        ..Facts::default()
    };
    match state {
        State::Initiating { .. } | State::InDoubt { .. } => Facts::default(),
        State::Parked { .. } => Facts { message: Some(QUEUED), ..Facts::default() },
        State::AwaitingUser { .. } => Facts { message: Some(READY), ..Facts::default() },
        State::AwaitingSca { payment, until } => {
            Facts { sca_redirect: payment.sca.clone(), sca_expires_at: Some(*until), ..of(Some(payment)) }
        }
        State::Closing { payment, .. } | State::Confirming { payment, .. } => of(Some(payment)),
        State::Settled { payment, .. } | State::Cancelled { payment, .. } => of(payment.as_ref()),
        State::Failed { payment, code, .. } => {
            Facts { error_code: Some(code.as_str()), message: Some(code.text()), ..of(payment.as_ref()) }
        }
    }
}

impl State {
    /// What proves the end, once there is one.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            State::Settled { evidence, .. }
            | State::Failed { evidence, .. }
            | State::Cancelled { evidence, .. } => Some(evidence),
            State::Initiating { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::AwaitingUser { .. }
            | State::AwaitingSca { .. }
            | State::Closing { .. }
            | State::Confirming { .. } => None,
        }
    }
}
