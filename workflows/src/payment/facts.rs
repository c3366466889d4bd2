//! What a payment's state means outside: status, phase, and the facts that the API shows.

use super::{Cancellation, Evidence, Failure, Late, Placed, Progress, Promise, State, Why};
use crate::engine::{Status, View};
use crate::ports::payments::ProviderPaymentId;
use crate::ports::prices::Price;
use crate::time::At;

/// M-14, verbatim: the payment is queued.
const QUEUED: &str = "Betaling satt i kø. Vil bli behandlet innen 2 timer.";
/// The queue is open again and the payer has to approve.
const READY: &str = "Banken er tilgjengelig igjen. Godkjenn betalingen for å fullføre den.";

/// It waits for longer than was promised.
const DELAYED: &str = "Det tar lengre tid enn lovet fordi betalingstjenesten er nede. Ingen penger er trukket. \
                       Betalingen behandles så snart tjenesten er tilbake, eller du kan avbryte den.";
/// M-37: the bank connection has to be renewed.
const RECONNECT: &str = "Bank connection expired, tap to reconnect";

/// Nobody knows yet whether the bank has it (ours; payments practice §3.2 wants words that harm nobody).
const IN_DOUBT: &str =
    "Vi undersøker betalingen hos banken din. Ikke betal på nytt. Du får beskjed så snart vi vet mer.";
/// Nobody approved it in time (ours, after X-11); whoever pays again before the confirmation may pay twice.
const EXPIRED: &str =
    "Godkjenningen tok for lang tid, og betalingen blir avbrutt. Vent på bekreftelsen før du prøver igjen.";

/// Status and phase (rest-api §2).
pub fn view(progress: &Progress) -> View {
    let state = &progress.state;
    let (status, phase, milestone) = match state {
        State::Initiating { round: 0, cancel: None, .. } => (Status::Processing, "initiating", false),
        State::Initiating { cancel: Some(_), .. } | State::Closing { .. } => {
            (Status::Processing, "cancelling", false)
        }
        // A later round is sent because nobody knows what became of the one before.
        State::Initiating { cancel: None, .. } | State::InDoubt { .. } => {
            (Status::Processing, "in_doubt", true)
        }
        State::AwaitingConsent { consent, .. } => {
            let link = consent.as_ref().is_some_and(|consent| !consent.valid);
            (Status::Processing, "awaiting_consent", link)
        }
        State::Parked { .. } => (Status::Queued, "parked", true),
        State::AwaitingUser { coming, .. } => (Status::Queued, "awaiting_user", !coming),
        State::AwaitingSca { .. } => (Status::Processing, "awaiting_sca", true),
        State::Confirming { .. } => (Status::Processing, "confirming", true),
        State::Settled { .. } => (Status::Completed, "settled", true),
        State::Failed { how: Failure::Refused, .. } => (Status::Failed, "refused", true),
        State::Failed { how: Failure::ScaTimeout, .. } => (Status::Failed, "sca_timeout", true),
        State::Failed { how: Failure::Compensated, .. } => (Status::Failed, "compensated", true),
        State::Cancelled { .. } => (Status::Cancelled, "cancelled", true),
    };
    View { status, phase, milestone, attention: attention(progress) }
}

/// Why an operator should look.
fn attention(progress: &Progress) -> Option<&'static str> {
    if let Some(Late::Conflict { .. }) = progress.amended.late {
        return Some("conflict: the bank says otherwise than was reported; needs evidence");
    }
    match &progress.state {
        State::Parked { .. } if progress.amended.promise == Promise::Broken => {
            Some("queued for longer than was promised")
        }
        State::InDoubt { overdue: true, .. } => Some("in doubt for too long: needs evidence"),
        State::Confirming { overdue: true, .. } => Some("accepted by the bank, settlement not reported"),
        State::Closing { overdue: true, .. } => Some("the bank confirms no cancellation"),
        State::Initiating { .. }
        | State::AwaitingConsent { .. }
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
        | State::AwaitingConsent { .. }
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
    /// The price in place of the promised one.
    pub price: Option<Price>,
}

/// The facts of a state.
pub fn facts(progress: &Progress) -> Facts {
    let known = Facts { price: progress.amended.price.clone(), ..Facts::default() };
    let of = |payment: Option<&Placed>| Facts {
        provider_payment: payment.map(|placed| placed.id.clone()),
        ..known.clone()
    };
    match &progress.state {
        State::Initiating { round: 0, .. } => known,
        State::Initiating { .. } | State::InDoubt { .. } => Facts { message: Some(IN_DOUBT), ..known },
        State::AwaitingConsent { consent, until, .. } => Facts {
            sca_redirect: consent.as_ref().and_then(|consent| consent.sca.clone()),
            sca_expires_at: consent.as_ref().map(|_| *until),
            message: Some(RECONNECT),
            ..known
        },
        State::Parked { .. } => {
            let broken = progress.amended.promise == Promise::Broken;
            Facts { message: Some(if broken { DELAYED } else { QUEUED }), ..known }
        }
        State::AwaitingUser { .. } => Facts { message: Some(READY), ..known },
        State::AwaitingSca { payment, until } => {
            Facts { sca_redirect: payment.sca.clone(), sca_expires_at: Some(*until), ..of(Some(payment)) }
        }
        State::Closing { payment, why: Why::ScaTimeout, .. } => {
            Facts { message: Some(EXPIRED), ..of(Some(payment)) }
        }
        State::Closing { payment, .. } | State::Confirming { payment, .. } => of(Some(payment)),
        State::Settled { payment, .. } | State::Cancelled { payment, .. } => of(payment.as_ref()),
        State::Failed { payment, code, .. } => {
            Facts { error_code: Some(code.as_str()), message: Some(code.text()), ..of(payment.as_ref()) }
        }
    }
}

/// Whether the bank refused to take it back and it goes on standing there. It is asked again, and what it says then
/// counts.
pub fn is_cancellation_refused(state: &State) -> bool {
    matches!(state, State::Closing { answer: Cancellation::Stands, .. })
}

/// Whether an operator may say, with proof, what became of it: in doubt, in conflict with the bank, or without its
/// certain word for too long.
pub fn resolvable(progress: &Progress) -> bool {
    matches!(
        progress.state,
        State::InDoubt { .. }
            | State::Closing { overdue: true, .. }
            | State::Confirming { overdue: true, .. }
    ) || matches!(progress.amended.late, Some(Late::Conflict { .. }))
}

impl State {
    /// Whether it has ended.
    pub fn is_final(&self) -> bool {
        self.evidence().is_some()
    }

    /// What proves the end, once there is one.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            State::Settled { evidence, .. }
            | State::Failed { evidence, .. }
            | State::Cancelled { evidence, .. } => Some(evidence),
            State::Initiating { .. }
            | State::AwaitingConsent { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::AwaitingUser { .. }
            | State::AwaitingSca { .. }
            | State::Closing { .. }
            | State::Confirming { .. } => None,
        }
    }
}
