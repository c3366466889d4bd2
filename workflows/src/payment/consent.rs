//! A payment whose bank wants a new consent first: the customer renews it, then the same payment goes on.

use super::{Amended, Consent, ErrorCode, Event, Evidence, Failure, Instruction, State, Step, Timer};
use super::{failed, first_round, go, otherwise, queue, taken_back};
use crate::engine::{Effect, Message, Next, On};
use crate::ports::consents::ConsentStanding;
use crate::time::At;

/// The bank refused the order for want of a consent. The account may have another one by now; otherwise the customer
/// renews it, once: a bank that wants another one right away is not asked again.
pub(super) fn needed(
    order: &Instruction,
    amended: &Amended,
    code: String,
    parked: u8,
    now: At,
) -> Next<State, Step, Timer> {
    if order.access.is_none() || amended.renewed {
        return refused(code, now);
    }
    let patience = order.terms.user_deadline;
    go(
        State::AwaitingConsent { code, looked: false, consent: None, until: now.plus(patience), parked },
        vec![Effect::Run(Step::FindConsent), Effect::Arm(Timer::ConsentDeadline, patience)],
    )
}

/// The transitions of a payment that waits for its consent.
pub(super) fn on(
    order: &Instruction,
    (state, amended): (State, &Amended),
    on: On<Event, Step, Timer>,
    now: At,
) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    let State::AwaitingConsent { code, looked, consent, until, parked } = state.clone() else {
        return otherwise(&on);
    };
    match (consent, on) {
        // Another payment, or the customer, has renewed it already.
        (None, On::Said(Event::ConsentKnown { consent: Some(known) }))
            if !looked && Some(known.0.as_str()) != used(order, amended) =>
        {
            sent_under_it(parked, now)
        }
        (None, On::Said(Event::ConsentKnown { .. })) if !looked => go(
            State::AwaitingConsent { code, looked: true, consent: None, until, parked },
            vec![Effect::Run(Step::AskConsent)],
        ),
        (None, On::Said(Event::ConsentAsked { consent, sca })) if looked => {
            let consent = Some(Consent { id: consent, sca, valid: false, adopted: false, valid_until: None });
            go(
                State::AwaitingConsent { code, looked, consent, until, parked },
                vec![
                    Effect::RunIn(Step::ReadConsent, terms.poll_first),
                    Effect::Tell(Message::owner("consent.needed")),
                ],
            )
        }
        (Some(consent), On::Said(Event::ConsentSeen { standing: ConsentStanding::Valid, valid_until })) => {
            let consent = Some(Consent { valid: true, valid_until, ..consent });
            go(
                State::AwaitingConsent { code, looked, consent, until, parked },
                vec![Effect::Withdraw(Step::ReadConsent), Effect::Run(Step::AdoptConsent)],
            )
        }
        (None, On::Said(Event::ConsentRefused { .. }))
        | (Some(_), On::Said(Event::ConsentSeen { standing: ConsentStanding::Dead, .. }))
        | (_, On::Fired(Timer::ConsentDeadline)) => refused(code, now),
        (Some(_), On::Said(Event::ConsentSeen { standing: ConsentStanding::Waiting, .. })) => {
            go(state, vec![Effect::RunIn(Step::ReadConsent, terms.poll_first)])
        }
        (Some(_), On::Said(Event::ConsentAdopted)) if order.price.is_none() => sent_under_it(parked, now),
        // The customer took their time: a price that ran out meanwhile is quoted again before anything is sent.
        (Some(consent), On::Said(Event::ConsentAdopted)) => {
            let consent = Some(Consent { adopted: true, ..consent });
            go(
                State::AwaitingConsent { code, looked, consent, until, parked },
                vec![Effect::Disarm(Timer::ConsentDeadline), Effect::Run(Step::Price)],
            )
        }
        // The payer sees the new price first, unless it was agreed that nobody has to be asked.
        (Some(Consent { adopted: true, .. }), On::Said(Event::Priced { price: Some(_) }))
            if !terms.auto_start =>
        {
            queue::await_user(order, parked, vec![], now)
        }
        (Some(Consent { adopted: true, .. }), On::Said(Event::Priced { .. })) => sent_under_it(parked, now),
        // The customer's browser came back: the bank is asked at once.
        (Some(Consent { valid: false, .. }), On::Said(Event::Returned { .. } | Event::Hinted)) => {
            go(state, vec![Effect::Run(Step::ReadConsent)])
        }
        (
            _,
            On::GaveUp(
                step @ (Step::FindConsent
                | Step::AskConsent
                | Step::ReadConsent
                | Step::AdoptConsent
                | Step::Price),
                _,
            ),
        ) => go(state, vec![Effect::RunIn(step, terms.poll_most)]),
        (_, On::Said(Event::CancelAsked { by })) => {
            taken_back(by, None, Evidence::InitiationRefused { code }, now)
        }
        (_, on) => otherwise(&on),
    }
}

/// The consent that the bank refused.
fn used<'a>(order: &'a Instruction, amended: &'a Amended) -> Option<&'a str> {
    amended.consent.as_ref().map(|consent| consent.0.as_str()).or(order.initiation.consent.as_deref())
}

fn sent_under_it(parked: u8, now: At) -> Next<State, Step, Timer> {
    go(first_round(parked, now), vec![Effect::Disarm(Timer::ConsentDeadline), Effect::Run(Step::Initiate)])
}

fn refused(code: String, now: At) -> Next<State, Step, Timer> {
    failed(Failure::Refused, ErrorCode::ConsentExpired, None, Evidence::InitiationRefused { code }, now)
}
