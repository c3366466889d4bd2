//! The promise, walked through every situation under every kind of provider.

use std::time::Duration;

use super::world::{self, World};
use super::*;
use crate::accounts::Iban;
use crate::engine::laws::{Brought, Lawful, Map, names_are_sound, walk};
use crate::engine::{Machine, Status};
use crate::ids::TransactionId;
use crate::money::{Currency, Money};
use crate::payment::rules::{Deal, Payee, Payer, instruct};
use crate::ports::payments::{BankId, CreditorAccount};
use crate::text::Private;

/// Terms as short as the machine can tell apart.
pub(crate) fn terms(replay: Option<Duration>, lookup: bool, auto_start: bool) -> Terms {
    let second = Duration::from_secs(1);
    Terms {
        sca_timeout: Duration::from_mins(5),
        poll_first: second,
        poll_most: Duration::from_mins(1),
        retry_base: second,
        attempt: Duration::from_secs(40),
        visibility_lag: Duration::from_secs(10),
        agreeing_reads: 3,
        replay,
        lookup,
        auto_start,
        user_deadline: Duration::from_hours(24),
        overdue: Duration::from_hours(1),
        sla: Duration::from_hours(2),
        queue_expiry: Duration::from_hours(48),
    }
}

/// An instruction under given terms.
pub(crate) fn instruction(terms: Terms) -> Instruction {
    let iban = |text| Iban::parse(text).expect("a vector of the contract");
    let from = Payer {
        user: "usr_kari".parse().expect("an id"),
        bank_account: "bac_1".parse().expect("an id"),
        provider_account: None,
        birth_date: None,
        identified: true,
        bank: BankId("dnb".to_owned()),
        account: iban("NO9386011117947"),
        currency: Currency::NOK,
        consent: Some("consent-1".to_owned()),
        consent_expires_at: None,
        ip: None,
    };
    let to = Payee {
        name: Private::from("Marko Petrovic".to_owned()),
        account: CreditorAccount::Iban(iban("RS35265000000123456757")),
        agent: None,
        domestic: false,
    };
    let amount = Money::new(200_000, Currency::NOK);
    let deal = Deal {
        terms,
        redirect_uri: "http://localhost/v1/payments/callback?state=s".to_owned(),
        consent_redirect_uri: "http://localhost/v1/consents/callback?state=s".to_owned(),
    };
    instruct(TransactionId::new(7), "Drop remittance", from, to, amount, (deal, At::EPOCH))
}

/// The laws of a machine whose payment part is this one.
pub(crate) fn laws_hold<M>(order_under: impl Fn(Terms) -> M::Order) -> Vec<Map>
where
    M: Lawful,
{
    let window = Duration::from_hours(24);
    let kinds = [(Some(window), true), (None, true), (Some(window), false), (None, false)];
    let mut maps = vec![];
    for (replay, lookup) in kinds {
        for auto_start in [false, true] {
            let order = order_under(terms(replay, lookup, auto_start));
            match walk::<M>(&order) {
                Ok(map) => maps.push(map),
                Err(breach) => panic!(
                    "law {} (replay {}, lookup {lookup}, auto start {auto_start})\n  {}",
                    breach.law,
                    replay.is_some(),
                    breach.path.join("\n  ")
                ),
            }
        }
    }
    assert!(names_are_sound::<M>());
    maps
}

/// Gives a machine over [`State`] the bank of [`world`].
macro_rules! lawful {
    ($machine:ty) => {
        impl $crate::engine::laws::Lawful for $machine {
            type World = $crate::payment::world::World;

            fn beginning(_: &Self::Order) -> Self::World {
                $crate::payment::world::beginning()
            }
            fn drift(_: &Self::Order, world: &Self::World) -> Vec<Self::World> {
                $crate::payment::world::drift(world)
            }
            fn bring(
                order: &Self::Order,
                state: &Self::State,
                world: &Self::World,
                step: Self::Step,
            ) -> Vec<($crate::engine::laws::Brought, Self::World)> {
                let _ = state;
                $crate::payment::world::bring(&order.payment, world, step)
            }
            fn may_fire(world: &Self::World, timer: Self::Timer) -> bool {
                $crate::payment::world::may_fire(world, timer)
            }
            fn outside(state: &Self::State) -> Vec<Self::Event> {
                $crate::payment::world::outside(state)
            }
            fn judge(order: &Self::Order, state: &Self::State, world: &Self::World) -> Result<(), String> {
                $crate::payment::tests::judge::<Self>(order, state, world)
            }
        }
    };
}
pub(crate) use lawful;

pub(crate) fn judge<M>(order: &M::Order, progress: &Progress, world: &World) -> Result<(), String>
where
    M: Machine<State = Progress>,
{
    let evidence = progress.state.evidence();
    let by_hand = matches!(evidence, Some(Evidence::Operator { .. }));
    world::judge(M::view(order, progress).status, evidence.is_some(), by_hand, world)
}

#[test]
fn a_bank_in_the_walk_answers_unknown_with_and_without_effect() {
    let order = instruction(terms(None, true, false));
    let brought = world::bring(&order, &world::beginning(), Step::Initiate);
    let unknown: Vec<_> =
        brought.iter().filter(|(brought, _)| *brought == Brought::GaveUp(Cause::Unknown)).collect();
    assert!(unknown.iter().any(|(_, world)| world.payment == world::Bank::Nothing));
    assert!(unknown.iter().any(|(_, world)| world.payment == world::Bank::Executed));
}

#[test]
fn the_codes_of_the_seeds_and_of_iso_20022_reach_their_texts() {
    let table = [
        ("INSUFFICIENT_FUNDS", ErrorCode::InsufficientFunds),
        ("AM04", ErrorCode::InsufficientFunds),
        ("RESOURCE_BLOCKED", ErrorCode::AccountNotAccessible),
        ("CONSENT_INVALID", ErrorCode::ConsentExpired),
        ("PAYMENT_FAILED", ErrorCode::PaymentRejected),
        ("SECURITY_BLOCK", ErrorCode::SecurityBlock),
        ("AC01", ErrorCode::InvalidIban),
        ("ACCOUNT_NOT_FOUND", ErrorCode::AccountNotFound),
        ("AM14", ErrorCode::LimitExceeded),
        ("something new", ErrorCode::PaymentRejected),
    ];
    for (code, expected) in table {
        assert_eq!(ErrorCode::of_refusal(code), expected, "{code}");
        assert!(!expected.text().is_empty());
    }
}

#[test]
fn a_payment_in_flight_is_never_shown_as_failed() {
    let order = instruction(terms(Some(Duration::from_hours(24)), true, false));
    let (first, _) = start(&order);
    let Next::Go { state: doubt, .. } =
        on(&order, &first, On::GaveUp(Step::Initiate, Cause::Unknown), At::EPOCH)
    else {
        panic!("an unknown outcome is a state");
    };
    assert_eq!(view(&doubt).status, Status::Processing);
    assert_eq!(view(&doubt).phase, "in_doubt");
}
