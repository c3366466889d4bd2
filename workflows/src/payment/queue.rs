//! A payment that was never sent: parked while its provider takes none, then waiting for its payer.
//!
//! The queue lets the oldest through first, as fast as the recovering provider is trusted. What ran out while it
//! waited is looked at before anything is sent: a price is quoted anew, a payment that is no longer wanted expires.

use super::{Amended, ErrorCode, Event, Evidence, Failure, Instruction, Promise, State, Step, Timer};
use super::{Effects, failed, first_round, go, otherwise, slower, taken_back};
use crate::engine::{Audience, Effect, Message, Next, On};
use crate::planted;
use crate::time::At;

/// Up to what it is counted how often a payment was parked.
const MOST_COUNTED: u8 = 3;

/// Nothing was sent and the provider takes nothing. The payer is told once. One that was let through and came back
/// enters the queue again only after a while, which grows each time. What was promised was promised at the acceptance:
/// no second stay begins it anew.
pub(super) fn park(order: &Instruction, promise: Promise, before: u8) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    let mut effects = deadlines(order, promise);
    if before == 0 {
        effects.push(Effect::Queue(Timer::Released, order.accepted_at));
        effects.push(Effect::Tell(Message::owner("payment.queued")));
    } else {
        let wait = slower(terms.retry_base, 2 * before).min(terms.poll_most);
        effects.push(Effect::Arm(Timer::Requeue, wait));
    }
    go(State::Parked { before: before.saturating_add(1).min(MOST_COUNTED) }, effects)
}

/// What is left of the promise, and when nobody wants the payment any more.
pub(super) fn deadlines(order: &Instruction, promise: Promise) -> Effects {
    let (terms, since) = (&order.terms, order.accepted_at);
    let mut left = vec![Effect::ArmAt(Timer::Expiry, since.plus(terms.queue_expiry))];
    if promise != Promise::Broken {
        left.push(Effect::ArmAt(Timer::SlaBreach, since.plus(terms.sla)));
    }
    if promise == Promise::Stands {
        left.push(Effect::ArmAt(Timer::SlaWarning, since.plus(terms.sla_warning())));
    }
    left
}

/// The transitions of a payment in the queue.
pub(super) fn on(
    order: &Instruction,
    (state, amended): (State, &Amended),
    on: On<Event, Step, Timer>,
    now: At,
) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    match (state, on) {
        (State::Parked { before }, On::Fired(Timer::Released)) if order.price.is_none() => {
            released(order, before, now)
        }
        // A price that ran out meanwhile is quoted again before anything is sent.
        (parked @ State::Parked { .. }, On::Fired(Timer::Released)) => {
            go(parked, vec![Effect::Run(Step::Price)])
        }
        (State::Parked { before }, On::Said(Event::Priced { .. })) => released(order, before, now),
        (parked @ State::Parked { .. }, On::Fired(Timer::Requeue)) => {
            go(parked, vec![Effect::Queue(Timer::Released, order.accepted_at)])
        }
        (parked @ State::Parked { .. }, On::Fired(Timer::SlaWarning))
            if amended.promise == Promise::Stands =>
        {
            go(parked, vec![tell_operator("payment.sla_warning")])
        }
        // Where nobody worked for a while the warning may come behind the breach; then it has lost its point.
        (parked @ State::Parked { .. }, On::Fired(Timer::SlaBreach)) => go(
            parked,
            vec![
                Effect::Disarm(Timer::SlaWarning),
                Effect::Tell(Message::owner("payment.delayed")),
                tell_operator("payment.sla_breach"),
            ],
        ),
        (State::AwaitingUser { until, parked, coming: false }, On::Said(Event::Continued))
            if order.price.is_some() =>
        {
            go(State::AwaitingUser { until, parked, coming: true }, vec![Effect::Run(Step::Price)])
        }
        (State::AwaitingUser { parked, coming: false, .. }, On::Said(Event::Continued))
        | (State::AwaitingUser { parked, coming: true, .. }, On::Said(Event::Priced { price: None })) => {
            send(parked, now)
        }
        // The payer sees the new price first.
        (State::AwaitingUser { until, parked, coming: true }, On::Said(Event::Priced { price: Some(_) })) => {
            go(State::AwaitingUser { until, parked, coming: false }, vec![])
        }
        (waiting @ (State::Parked { .. } | State::AwaitingUser { .. }), On::GaveUp(Step::Price, _)) => {
            go(waiting, vec![Effect::RunIn(Step::Price, terms.poll_most)])
        }
        (State::Parked { .. }, On::Fired(Timer::Expiry))
        | (State::AwaitingUser { .. }, On::Fired(Timer::UserDeadline)) => {
            failed(Failure::Refused, ErrorCode::Timeout, None, Evidence::NeverSent, now)
        }
        (State::Parked { .. } | State::AwaitingUser { .. }, On::Said(Event::CancelAsked { by })) => {
            taken_back(by, None, Evidence::NeverSent, now)
        }
        (_, on) => otherwise(&on),
    }
}

/// The queue let it through.
fn released(order: &Instruction, before: u8, now: At) -> Next<State, Step, Timer> {
    let terms = &order.terms;
    if terms.auto_start {
        return send(before, now);
    }
    let mut effects = out_of_the_queue();
    effects.push(Effect::Tell(Message::owner("payment.ready_to_approve")));
    await_user(order, before, effects, now)
}

/// The payer has to come back: to be present for the approval, and to see a price that changed.
pub(super) fn await_user(
    order: &Instruction,
    parked: u8,
    mut effects: Effects,
    now: At,
) -> Next<State, Step, Timer> {
    let patience = order.terms.user_deadline;
    effects.push(Effect::Arm(Timer::UserDeadline, patience));
    go(State::AwaitingUser { until: now.plus(patience), parked, coming: false }, effects)
}

pub(super) fn send(parked: u8, now: At) -> Next<State, Step, Timer> {
    let mut effects = out_of_the_queue();
    effects.push(Effect::Disarm(Timer::UserDeadline));
    effects.push(Effect::Run(Step::Initiate));
    if planted::is("released twice") {
        effects.push(Effect::Arm(Timer::Released, crate::payment::Duration::from_millis(20)));
    }
    go(first_round(parked, now), effects)
}

fn out_of_the_queue() -> Effects {
    [Timer::Released, Timer::Requeue, Timer::SlaWarning, Timer::SlaBreach, Timer::Expiry]
        .map(Effect::Disarm)
        .into()
}

fn tell_operator(about: &str) -> Effect<Step, Timer> {
    Effect::Tell(Message { to: Audience::Operator, about: about.to_owned() })
}
