//! The questions that a payment asks, how they are asked, and how their answers are read.

use super::{Event, Instruction, Placed, Progress, State, late, may_repeat, queue};
use crate::engine::{Answer, Class, Effect, Finding, Lane, Named, Policy, Repeat, Retry, Shut, Stake};
use crate::named;
use crate::planted;
use crate::ports::consents::ConsentStanding;
use crate::ports::payments::{FoundPayment, Standing};
use crate::ports::{
    Call, ConsentsCall, ConsentsReply, PaymentsCall, PaymentsReply, PricesCall, PricesReply, Reply,
};

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
        /// Does the promised price still hold?
        Price = "price",
        /// Has the account another consent by now?
        FindConsent = "find_consent",
        /// May we have a new consent?
        AskConsent = "ask_consent",
        /// Where does it stand?
        ReadConsent = "read_consent",
        /// The account uses it from here on.
        AdoptConsent = "adopt_consent",
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
        /// The queue lets it through.
        Released = "released",
        /// It may enter the queue again.
        Requeue = "requeue",
        /// It has waited for three quarters of the time that was promised.
        SlaWarning = "sla_warning",
        /// It waits for longer than was promised.
        SlaBreach = "sla_breach",
        /// It has waited for so long that nobody wants it any more.
        Expiry = "expiry",
        /// The customer has not renewed the consent in time.
        ConsentDeadline = "consent_deadline",
    }
}

/// Who answers questions about prices and accounts.
const HOUSE: &str = "house";

/// Attempts at an initiation whose provider honours the key: the first and three more (PI-10).
const INITIATION_ATTEMPTS: u32 = 4;

/// Attempts at a cancellation before the bank is asked where the payment stands.
const CANCELLATION_ATTEMPTS: u32 = 3;

/// The question that a step asks.
pub fn call(order: &Instruction, progress: &Progress, step: Step) -> Option<Call> {
    let Progress { state, amended } = progress;
    let bank = order.initiation.bank.clone();
    let consent = || {
        let State::AwaitingConsent { consent, .. } = state else { return None };
        consent.as_ref()
    };
    Some(match step {
        Step::Initiate => {
            let mut initiation = order.initiation.clone();
            if let Some(renewed) = &amended.consent {
                initiation.consent = Some(renewed.0.clone());
            }
            if planted::is("another amount on a repetition")
                && matches!(state, State::Initiating { round, .. } if *round > 0)
            {
                initiation.amount.minor += 1;
            }
            Call::Payments(PaymentsCall::Initiate(Box::new(initiation)))
        }
        Step::Locate => {
            Call::Payments(PaymentsCall::Locate { bank, end_to_end: order.initiation.end_to_end.clone() })
        }
        Step::Status => Call::Payments(PaymentsCall::Status { bank, payment: placed_at(state)?.id.clone() }),
        Step::Cancel => Call::Payments(PaymentsCall::Cancel { bank, payment: placed_at(state)?.id.clone() }),
        Step::Price => Call::Prices(PricesCall::Renew {
            amount: order.initiation.amount,
            price: amended.price.clone().or_else(|| order.price.clone())?,
        }),
        Step::FindConsent => {
            let access = order.access.as_ref()?;
            Call::Consents(ConsentsCall::Find { user: access.user.clone(), account: access.account.clone() })
        }
        Step::AskConsent => {
            let access = order.access.as_ref()?;
            Call::Consents(ConsentsCall::Ask {
                bank,
                account: access.provider_account.clone(),
                redirect_uri: access.redirect_uri.clone(),
                psu_ip: order.initiation.psu_ip,
            })
        }
        Step::ReadConsent => Call::Consents(ConsentsCall::Read { bank, consent: consent()?.id.clone() }),
        Step::AdoptConsent => {
            let (access, consent) = (order.access.as_ref()?, consent()?);
            Call::Consents(ConsentsCall::Adopt {
                user: access.user.clone(),
                account: access.account.clone(),
                consent: consent.id.clone(),
                valid_until: consent.valid_until,
            })
        }
    })
}

/// Reads a definite answer.
pub fn hear(progress: &Progress, step: Step, finding: &Finding) -> Answer<Event> {
    let state = &progress.state;
    match (step, finding) {
        (Step::Initiate, Finding::Done(Reply::Payments(PaymentsReply::Created { payment, status, sca }))) => {
            Answer::Event(Event::Created {
                payment: payment.clone(),
                status: status.clone(),
                sca: sca.clone(),
            })
        }
        (Step::Initiate, Finding::Refused(no)) if no.class == Class::Consent => {
            Answer::Event(Event::ConsentNeeded { code: no.code.clone() })
        }
        (Step::Initiate, Finding::Refused(no)) => Answer::Event(Event::Refused { code: no.code.clone() }),

        (Step::Status, Finding::Done(Reply::Payments(PaymentsReply::Standing { status, reason }))) => {
            let news = match state {
                State::AwaitingSca { .. } => status.standing() != Standing::Pending,
                // A status that steps back from the point of no return is no news (domain contracts §2.3).
                State::Confirming { .. }
                    if status.standing() == Standing::Rejected && planted::is("rejection ignored") =>
                {
                    false
                }
                State::Confirming { seen, .. } => status.standing() != Standing::Pending && status != seen,
                State::Closing { .. }
                | State::Settled { .. }
                | State::Failed { .. }
                | State::Cancelled { .. } => true,
                State::Initiating { .. }
                | State::AwaitingConsent { .. }
                | State::InDoubt { .. }
                | State::Parked { .. }
                | State::AwaitingUser { .. } => return Answer::Unclear,
            };
            if news {
                Answer::Event(Event::StatusSeen { status: status.clone(), reason: reason.clone() })
            } else {
                Answer::Busy
            }
        }
        // The bank will tell once its connection is renewed; the payment stands as it is.
        (Step::Status | Step::Locate | Step::Cancel, Finding::Refused(no))
            if no.class == Class::Consent && !state.is_final() =>
        {
            if progress.amended.disconnected && step != Step::Cancel {
                Answer::Busy
            } else {
                Answer::Event(Event::Disconnected)
            }
        }
        (Step::Status, Finding::Refused(_)) if planted::is("not found is rejected") => {
            let status = crate::ports::payments::TransactionStatus::Rjct;
            Answer::Event(Event::StatusSeen { status, reason: None })
        }
        // After the end nobody waits for a bank that does not know it any more.
        (Step::Status | Step::Locate, Finding::Refused(_)) if state.is_final() => {
            Answer::Event(Event::Absent)
        }
        // "I do not know that payment" about an id that the bank itself gave us proves nothing.
        (Step::Status | Step::Locate, Finding::Refused(_)) => Answer::Busy,

        (Step::Locate, Finding::Done(Reply::Payments(PaymentsReply::Found(found)))) => {
            match (weightiest(found), state) {
                (Some(one), _) => {
                    Answer::Event(Event::Found { payment: one.payment.clone(), status: one.status.clone() })
                }
                (None, State::InDoubt { ripe: true, .. }) => Answer::Event(Event::Absent),
                (None, _) if state.is_final() => Answer::Event(Event::Absent),
                (None, _) => Answer::Busy,
            }
        }

        (Step::Cancel, Finding::Done(Reply::Payments(PaymentsReply::Cancelled))) => {
            Answer::Event(Event::CancellationConfirmed)
        }
        (Step::Cancel, Finding::Refused(no)) => {
            Answer::Event(Event::CancellationRefused { code: no.code.clone() })
        }

        (step, finding) => hear_aside(step, finding),
    }
}

/// Reads an answer that is not about the payment itself: a price, a consent.
fn hear_aside(step: Step, finding: &Finding) -> Answer<Event> {
    match (step, finding) {
        (Step::Price, Finding::Done(Reply::Prices(reply))) => match reply {
            PricesReply::Kept => Answer::Event(Event::Priced { price: None }),
            PricesReply::Quoted(price) => Answer::Event(Event::Priced { price: Some(price.clone()) }),
            PricesReply::None => Answer::Busy,
        },

        (Step::FindConsent, Finding::Done(Reply::Consents(ConsentsReply::Known { consent }))) => {
            Answer::Event(Event::ConsentKnown { consent: consent.clone() })
        }
        // An account that is gone has none.
        (Step::FindConsent, Finding::Refused(_)) => Answer::Event(Event::ConsentKnown { consent: None }),

        (Step::AskConsent, Finding::Done(Reply::Consents(ConsentsReply::Asked { consent, sca }))) => {
            Answer::Event(Event::ConsentAsked { consent: consent.clone(), sca: sca.clone() })
        }
        (Step::AskConsent, Finding::Refused(no)) => {
            Answer::Event(Event::ConsentRefused { code: no.code.clone() })
        }
        (
            Step::ReadConsent,
            Finding::Done(Reply::Consents(ConsentsReply::Standing { standing, valid_until })),
        ) => match standing {
            ConsentStanding::Waiting => Answer::Busy,
            ConsentStanding::Valid | ConsentStanding::Dead => {
                Answer::Event(Event::ConsentSeen { standing: *standing, valid_until: *valid_until })
            }
        },
        // The bank knows no such consent, or none that may be used.
        (Step::ReadConsent, Finding::Refused(_)) => {
            Answer::Event(Event::ConsentSeen { standing: ConsentStanding::Dead, valid_until: None })
        }
        // An account that is gone meanwhile needs no consent any more; the payment has its own.
        (
            Step::AdoptConsent,
            Finding::Done(Reply::Consents(ConsentsReply::Adopted)) | Finding::Refused(_),
        ) => Answer::Event(Event::ConsentAdopted),

        (_, Finding::Done(_) | Finding::NotSent(_) | Finding::Unknown(_) | Finding::Refused(_)) => {
            Answer::Unclear
        }
    }
}

/// Reads an answer that came after its claim was lost. The bank's word that a payment exists ends a doubt; everything
/// else is known to whoever took over, or will be.
pub fn overhear(progress: &Progress, step: Step, finding: &Finding) -> Answer<Event> {
    match (&progress.state, step, finding) {
        (State::InDoubt { .. }, Step::Initiate, Finding::Done(_)) => hear(progress, step, finding),
        _ => Answer::Busy,
    }
}

/// Whether a step that was not begun is still wanted: a payment that was taken back meanwhile is not sent first.
pub fn wanted(progress: &Progress, step: Step) -> bool {
    !matches!((&progress.state, step), (State::Initiating { round: 0, cancel: Some(_), .. }, Step::Initiate))
}

/// The lane that a parked payment waits in.
pub fn queue_lane(provider: &str, order: &Instruction) -> Lane {
    Lane::of(provider, &order.initiation.bank.0, "queue")
}

/// How a step is performed.
pub fn policy(provider: &str, order: &Instruction, progress: &Progress, step: Step) -> Policy {
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
        shut: Shut::Waits,
    };
    match step {
        Step::Initiate => Policy {
            repeat: match (terms.replay, &progress.state) {
                (Some(window), State::Initiating { since, round, .. }) => {
                    Repeat::Within { window, since: *since, used: *round > 0 }
                }
                _ if planted::is("repeat without a key") => Repeat::Freely,
                _ => Repeat::Never,
            },
            retry: Retry { attempts: Some(INITIATION_ATTEMPTS), ..again },
            unreached: Retry::ONCE,
            stake: Stake::Owes("payment"),
            shut: Shut::GivesUp,
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
        Step::AskConsent | Step::ReadConsent => read("consent"),
        // Answered in this house: no bank's trouble is theirs.
        Step::Price | Step::FindConsent | Step::AdoptConsent => {
            Policy { lane: Lane::of(HOUSE, "register", step.name()), ..read("") }
        }
    }
}

/// What leads on from a state: the question or the deadline that it stands on.
pub fn lifelines(order: &Instruction, progress: &Progress) -> Vec<Effect<Step, Timer>> {
    let terms = &order.terms;
    match &progress.state {
        State::Initiating { .. } => vec![Effect::Run(Step::Initiate)],
        State::AwaitingConsent { consent: None, looked: false, .. } => vec![Effect::Run(Step::FindConsent)],
        State::AwaitingConsent { consent: None, .. } => vec![Effect::Run(Step::AskConsent)],
        State::AwaitingConsent { consent: Some(consent), .. } if consent.adopted => {
            vec![Effect::Run(Step::Price)]
        }
        State::AwaitingConsent { consent: Some(consent), .. } if consent.valid => {
            vec![Effect::Run(Step::AdoptConsent)]
        }
        State::AwaitingConsent { .. } => vec![Effect::RunIn(Step::ReadConsent, terms.poll_first)],
        State::InDoubt { .. } if terms.lookup => {
            let lag = terms.visibility_lag;
            vec![Effect::RunIn(Step::Locate, lag), Effect::Arm(Timer::Ripe, lag)]
        }
        State::InDoubt { .. } => {
            vec![Effect::Arm(Timer::Overdue, terms.overdue), Effect::Arm(Timer::Ripe, terms.poll_most)]
        }
        State::Parked { .. } => {
            vec![
                Effect::Queue(Timer::Released, order.accepted_at),
                Effect::Arm(Timer::Requeue, terms.poll_most),
                Effect::Run(Step::Price),
            ]
        }
        State::AwaitingUser { coming: true, .. } => vec![Effect::Run(Step::Price)],
        State::AwaitingUser { .. } => vec![Effect::Arm(Timer::UserDeadline, terms.user_deadline)],
        State::AwaitingSca { .. } | State::Confirming { .. } => {
            vec![Effect::RunIn(Step::Status, terms.poll_first)]
        }
        State::Closing { .. } => {
            vec![Effect::RunIn(Step::Status, terms.poll_first), Effect::Run(Step::Cancel)]
        }
        State::Settled { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            late::lifelines(order, progress)
        }
    }
}

/// The deadlines that stand beside them.
pub fn deadlines(order: &Instruction, progress: &Progress) -> Vec<Effect<Step, Timer>> {
    let terms = &order.terms;
    match &progress.state {
        State::InDoubt { ripe, round, .. } => {
            let mut armed = vec![Effect::Arm(Timer::Overdue, terms.overdue)];
            if terms.lookup && !ripe {
                armed.push(Effect::Arm(Timer::Ripe, terms.visibility_lag));
            } else if !terms.lookup && may_repeat(order, *round) {
                armed.push(Effect::Arm(Timer::Ripe, terms.poll_most));
            }
            armed
        }
        State::AwaitingSca { until, .. } => vec![Effect::ArmAt(Timer::ScaDeadline, *until)],
        State::Closing { .. } | State::Confirming { .. } => vec![Effect::Arm(Timer::Overdue, terms.overdue)],
        State::AwaitingConsent { consent, until, .. } => {
            let adopted = consent.as_ref().is_some_and(|consent| consent.adopted);
            if adopted { vec![] } else { vec![Effect::ArmAt(Timer::ConsentDeadline, *until)] }
        }
        State::AwaitingUser { until, .. } => vec![Effect::ArmAt(Timer::UserDeadline, *until)],
        State::Parked { .. } => queue::deadlines(order, progress.amended.promise),
        State::Initiating { .. } | State::Settled { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            vec![]
        }
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

/// The bank's id of the payment, by which its callbacks name it.
pub fn reference(progress: &Progress) -> Option<String> {
    placed_at(&progress.state).map(|placed| placed.id.0.clone())
}

/// The payment at the bank, once it is known.
pub(super) fn placed_at(state: &State) -> Option<&Placed> {
    match state {
        State::AwaitingSca { payment, .. }
        | State::Closing { payment, .. }
        | State::Confirming { payment, .. } => Some(payment),
        State::Settled { payment, .. } | State::Failed { payment, .. } | State::Cancelled { payment, .. } => {
            payment.as_ref()
        }
        State::Initiating { .. }
        | State::AwaitingConsent { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::AwaitingUser { .. } => None,
    }
}
