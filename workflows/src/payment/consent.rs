//! A payment whose bank wants a new consent first: the customer renews it, then the same payment goes on.

use super::{Amended, Consent, ErrorCode, Event, Evidence, Failure, Instruction, State, Step, Timer};
use super::{failed, first_round, go, otherwise, taken_back};
use crate::engine::{Effect, Message, Next, On};
use crate::ports::consents::ConsentStanding;
use crate::time::At;

/// The bank refused the order for want of a consent. It is renewed once; a bank that wants another one right away is
/// not asked again.
pub(super) fn needed(
    order: &Instruction,
    amended: &Amended,
    code: String,
    parked: u8,
    now: At,
) -> Next<State, Step, Timer> {
    if order.access.is_none() || amended.consent.is_some() {
        return refused(code, now);
    }
    let patience = order.terms.user_deadline;
    go(
        State::AwaitingConsent { code, consent: None, until: now.plus(patience), parked },
        vec![Effect::Run(Step::AskConsent), Effect::Arm(Timer::ConsentDeadline, patience)],
    )
}

/// The transitions of a payment that waits for its consent.
pub(super) fn on(
    order: &Instruction,
    state: State,
    on: On<Event, Step, Timer>,
    now: At,
) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    let State::AwaitingConsent { code, consent, until, parked } = state.clone() else {
        return otherwise(&on);
    };
    match (consent, on) {
        (None, On::Said(Event::ConsentAsked { consent, sca })) => {
            let consent = Some(Consent { id: consent, sca, valid: false, valid_until: None });
            go(
                State::AwaitingConsent { code, consent, until, parked },
                vec![
                    Effect::RunIn(Step::ReadConsent, terms.poll_first),
                    Effect::Tell(Message::owner("consent.needed")),
                ],
            )
        }
        (Some(consent), On::Said(Event::ConsentSeen { standing: ConsentStanding::Valid, valid_until })) => {
            let consent = Some(Consent { valid: true, valid_until, ..consent });
            go(
                State::AwaitingConsent { code, consent, until, parked },
                vec![Effect::Withdraw(Step::ReadConsent), Effect::Run(Step::AdoptConsent)],
            )
        }
        (None, On::Said(Event::ConsentRefused { .. }))
        | (Some(_), On::Said(Event::ConsentSeen { standing: ConsentStanding::Dead, .. }))
        | (_, On::Fired(Timer::ConsentDeadline)) => refused(code, now),
        (Some(_), On::Said(Event::ConsentSeen { standing: ConsentStanding::Waiting, .. })) => {
            go(state, vec![Effect::RunIn(Step::ReadConsent, terms.poll_first)])
        }
        (Some(_), On::Said(Event::ConsentAdopted)) => go(
            first_round(parked, now),
            vec![Effect::Disarm(Timer::ConsentDeadline), Effect::Run(Step::Initiate)],
        ),
        // The customer's browser came back: the bank is asked at once.
        (Some(Consent { valid: false, .. }), On::Said(Event::Returned { .. } | Event::Hinted)) => {
            go(state, vec![Effect::Run(Step::ReadConsent)])
        }
        (_, On::GaveUp(step @ (Step::AskConsent | Step::ReadConsent | Step::AdoptConsent), _)) => {
            go(state, vec![Effect::RunIn(step, terms.poll_most)])
        }
        (_, On::Said(Event::CancelAsked { by })) => {
            taken_back(by, None, Evidence::InitiationRefused { code }, now)
        }
        (_, on) => otherwise(&on),
    }
}

fn refused(code: String, now: At) -> Next<State, Step, Timer> {
    failed(Failure::Refused, ErrorCode::ConsentExpired, None, Evidence::InitiationRefused { code }, now)
}
