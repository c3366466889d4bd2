//! Balances over a SQLite file and a bank that does as it is told.

mod desk;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use self::desk::*;
use super::*;
use crate::controls::{self, Controls, Gate};
use crate::ports::AnchoredClock;
use crate::store::MemoryStore;

const BEGIN: At = At::from_millis(1_771_833_600_000);
const KARI: Presence = Presence::Customer(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
const MINUTE: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(20);

const EXPIRED: &str = r#"{"tppMessages":[{"category":"ERROR","code":"CONSENT_EXPIRED","text":"no"}]}"#;
const EXCEEDED: &str = r#"{"tppMessages":[{"category":"ERROR","code":"ACCESS_EXCEEDED","text":"no"}]}"#;

#[tokio::test]
async fn a_balance_is_read_once_a_minute() {
    let desk = Desk::open().await;
    for (seconds, source, calls) in
        [(0, Source::Live, 1), (1, Source::Cached, 1), (60, Source::Cached, 1), (61, Source::Live, 2)]
    {
        desk.clock.set(BEGIN.plus(Duration::from_secs(seconds)));
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.source(), shown.warning, desk.calls()), (Some(source), None, calls), "{seconds} s");
        assert_eq!(shown.minor(), Some(1_500_050));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_ask_at_once_are_one_call_at_the_bank() {
    let desk = Arc::new(Desk::open().await);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.balance(KARI).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().minor(), Some(1_500_050));
    }
    assert_eq!(desk.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_read_one_account_at_once() {
    let desk = Desk::open().await;
    let other = desk.another_process();
    desk.bank.closes();
    let (one, two) = (desk.balances.clone(), other);
    let (first, second) = (desk.account.clone(), desk.account.clone());
    let one = tokio::spawn(async move { one.of(&first, KARI, Cause::default()).await.unwrap() });
    let two = tokio::spawn(async move { two.of(&second, KARI, Cause::default()).await.unwrap() });
    desk.bank.heard(1).await;
    desk.bank.opens();
    let sources = [one.await.unwrap(), two.await.unwrap()].map(|told| balance_of(told).source());
    assert_eq!(desk.calls(), 1);
    assert!(sources.contains(&Some(Source::Live)) && sources.contains(&Some(Source::Cached)), "{sources:?}");
}

#[tokio::test]
async fn a_customers_read_is_repeated_three_times_and_a_shut_lane_cuts_it_short() {
    for (failures, shuts_after, expected) in [
        (0, None, (Some(Source::Live), None, 1)),
        (3, None, (Some(Source::Live), None, 4)),
        (4, None, (Some(Source::Cached), Some(Warning::BankDown), 4)),
        (9, Some(3), (Some(Source::Cached), Some(Warning::BankDown), 3)),
        (9, Some(1), (Some(Source::Cached), Some(Warning::BankDown), 1)),
    ] {
        let desk = Desk::with_earlier().await;
        desk.bank.says(vec![Act::Answer(503, ""); failures]);
        desk.posted.shuts_after(shuts_after);
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.source(), shown.warning, desk.calls() - 1), expected, "{failures} {shuts_after:?}");
        assert_eq!(shown.minor(), Some(1_500_050));
    }
}

#[tokio::test]
async fn a_bank_that_is_known_to_be_down_is_not_asked() {
    let desk = Desk::with_earlier().await;
    desk.posted.shuts_after(Some(0));
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.source(), shown.warning), (Some(Source::Cached), Some(Warning::BankDown)));
    assert_eq!(desk.calls(), 1);
    let fresh = Desk::open().await;
    fresh.posted.shuts_after(Some(0));
    let shown = fresh.balance(KARI).await;
    assert_eq!((shown.minor(), shown.warning, fresh.calls()), (None, Some(Warning::BankDown), 0));
}

#[tokio::test]
async fn four_reads_a_day_go_without_the_customer() {
    let desk = Desk::open().await;
    let mut at = BEGIN;
    let mut ask = async |presence| {
        at = at.plus(MINUTE * 2);
        desk.clock.set(at);
        let shown = desk.balance(presence).await;
        (shown.source(), shown.warning, desk.calls())
    };
    for calls in 1..=4 {
        assert_eq!(ask(Presence::Nobody).await, (Some(Source::Live), None, calls));
    }
    let spent = (Some(Source::Cached), Some(Warning::Outdated));
    assert_eq!(ask(Presence::Nobody).await, (spent.0, spent.1, 4));
    assert_eq!(ask(KARI).await, (Some(Source::Live), None, 5), "the customer's own reads are not limited");
    assert_eq!(ask(Presence::Nobody).await, (spent.0, spent.1, 5));
    assert_eq!(desk.bank.attended(), [false, false, false, false, true], "the bank hears who is there");
    // The first one was two minutes after the beginning.
    desk.clock.set(BEGIN.plus(WINDOW).plus(MINUTE * 2));
    assert_eq!(desk.balance(Presence::Nobody).await.source(), Some(Source::Live));
    assert_eq!(desk.balance_later(Presence::Nobody).await.minor(), Some(1_500_050));
}

#[tokio::test]
async fn a_read_without_the_customer_is_one_attempt_and_costs_nothing_when_it_never_left() {
    let desk = Desk::open().await;
    desk.bank.says(vec![Act::Refuse; 9]);
    for calls in 1..=9 {
        let shown = desk.balance(Presence::Nobody).await;
        assert_eq!(
            (shown.warning, desk.calls()),
            (Some(Warning::BankDown), calls),
            "none is repeated or counted"
        );
    }
    desk.bank.says(vec![Act::Answer(500, ""); 9]);
    for calls in 10..=13 {
        assert_eq!(desk.balance(Presence::Nobody).await.warning, Some(Warning::BankDown));
        assert_eq!(desk.calls(), calls);
    }
    assert_eq!(
        desk.balance(Presence::Nobody).await.warning,
        Some(Warning::Outdated),
        "four may have arrived"
    );
    assert_eq!(desk.calls(), 13);
}

#[tokio::test]
async fn a_bank_that_wants_fewer_calls_is_left_alone_for_five_minutes() {
    let desk = Desk::with_earlier().await;
    desk.bank.says(vec![Act::Answer(429, EXCEEDED)]);
    let begun = desk.clock.now();
    for (seconds, warning, calls) in [
        (0, None, 2),
        (100, None, 2),
        // What is shown is 301 seconds old here, since it was read 61 seconds before.
        (240, Some(Warning::Outdated), 2),
        (300, None, 3),
    ] {
        desk.clock.set(begun.plus(Duration::from_secs(seconds)));
        let shown = desk.balance(KARI).await;
        let found = (shown.minor(), shown.warning, desk.calls());
        assert_eq!(found, (Some(1_500_050), warning, calls), "{seconds} s");
    }
}

#[tokio::test]
async fn a_bank_that_wants_fewer_calls_and_no_wait_is_asked_again_by_steps_and_then_left_alone_for_a_minute()
{
    for (refusals, source, calls) in [(3, Some(Source::Live), 4), (4, None, 4)] {
        let mut desk = Desk::open().await;
        let (clock, rows) = (Arc::new(AnchoredClock::wall()), Arc::new(Still(AtomicI64::new(0))));
        let (store, settings) = (Arc::new(MemoryStore::new(rows)), controls::Settings::default());
        let controls = Controls::open(store, clock.clone(), &Numbered, settings).await.unwrap();
        let guarded = Arc::new(Guarded::new(controls.clone()));
        desk.balances = process_under(&desk.database, &desk.bank, guarded, clock.clone());
        desk.bank.says(vec![Act::Answer(429, ""); refusals]);
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.source(), desk.calls()), (source, calls), "{refusals}");
        let of = holding(&desk.account).unwrap();
        let limited = desk.database.balances.balance(&of).await.unwrap().bounds.everybody;
        let rests = match controls.gate(&Lane::of("neonomics", "dnb", OPERATION)) {
            Gate::Open => None,
            Gate::Until(until) => Some(until),
            other @ (Gate::OneAtATime | Gate::Probed | Gate::Shut(_)) => panic!("{other:?}"),
        };
        let about_a_minute = |until: At| (MINUTE / 2..=MINUTE).contains(&until.since(clock.now()));
        assert_eq!((limited.is_some(), rests.is_some()), (refusals == 4, refusals == 4), "{refusals}");
        assert!([limited, rests].into_iter().flatten().all(about_a_minute), "{limited:?} {rests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_waits_for_a_backends_read_is_not_bound_to_its_single_attempt() {
    for (shuts_after, source, calls) in [(None, Some(Source::Live), 2), (Some(1), None, 1)] {
        let desk = Desk::open().await;
        desk.posted.shuts_after(shuts_after);
        desk.bank.says(vec![Act::Answer(500, "")]);
        desk.bank.closes();
        let asks = |presence| {
            let (balances, account) = (desk.balances.clone(), desk.account.clone());
            tokio::spawn(async move { balances.of(&account, presence, Cause::default()).await.unwrap() })
        };
        let backend = asks(Presence::Nobody);
        desk.bank.heard(1).await;
        let kari = asks(KARI);
        // Nothing says that she waits by now. When she does not yet, she reads by herself, which is as well.
        tokio::time::sleep(Duration::from_millis(200)).await;
        desk.bank.opens();
        assert_eq!(balance_of(backend.await.unwrap()).source(), None);
        assert_eq!((balance_of(kari.await.unwrap()).source(), desk.calls()), (source, calls));
    }
}

#[tokio::test]
async fn a_day_that_is_spent_by_the_banks_count_does_not_bind_the_customer() {
    let desk = Desk::with_earlier().await;
    desk.bank.says(vec![Act::Answer(429, EXCEEDED)]);
    assert_eq!(desk.balance(Presence::Nobody).await.source(), Some(Source::Cached));
    assert_eq!(desk.balance(Presence::Nobody).await.source(), Some(Source::Cached));
    assert_eq!(desk.calls(), 2);
    assert_eq!(desk.balance(KARI).await.source(), Some(Source::Live));
}

#[tokio::test]
async fn a_consent_that_the_bank_refuses_is_marked_and_not_tried_again() {
    for status in [401, 403] {
        let desk = Desk::with_earlier().await;
        desk.bank.says(vec![Act::Answer(status, EXPIRED)]);
        let told = desk.ask(KARI).await;
        let Told::ConsentExpired(shown) = told else { panic!("{told:?}") };
        assert_eq!((shown.minor(), shown.source()), (Some(1_500_050), Some(Source::Cached)));
        let stored = desk.stored().await;
        assert_eq!(stored.consent_expires_at, Some(desk.clock.now()));
        assert_eq!(stored.provider_consent.as_deref(), Some("consent-1"), "it is kept");
        let told = desk.balances.of(&stored, KARI, Cause::default()).await.unwrap();
        assert!(matches!(told, Told::ConsentExpired(_)), "{told:?}");
        assert_eq!(desk.calls(), 2);
    }
}

#[tokio::test]
async fn a_customer_does_not_wait_for_a_slow_bank_and_the_read_ends_behind() {
    let desk = Desk::with_earlier().await;
    desk.bank.closes();
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.source(), shown.warning), (Some(Source::Cached), Some(Warning::BankDown)));
    desk.bank.opens();
    let landed = async {
        loop {
            let shown = desk.balance(KARI).await;
            if shown.warning.is_none() {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let shown = tokio::time::timeout(SOON, landed).await.unwrap();
    assert_eq!((shown.minor(), desk.calls()), (Some(1_500_050), 2));
}

#[tokio::test]
async fn what_is_no_balance_of_this_account_is_never_shown() {
    let other = |kind, currency, amount| {
        format!(
            r#"{{"balances":[{{"balanceType":"{kind}","balanceAmount":{{"currency":"{currency}","amount":"{amount}"}}}}]}}"#
        )
    };
    for body in [
        r#"{"balances":[]}"#.to_owned(),
        other("expected", "EUR", "1.00"),
        other("openingBooked", "NOK", "1.00"),
        other("nonInvoiced", "NOK", "1.00"),
    ] {
        let desk = Desk::open().await;
        desk.bank.says(vec![Act::Answer(200, Box::leak(body.into_boxed_str()))]);
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.minor(), shown.warning), (None, Some(Warning::Outdated)));
    }
}

#[tokio::test]
async fn an_account_that_is_linked_anew_shows_nothing_of_the_one_before() {
    let mut desk = Desk::with_earlier().await;
    desk.account.provider_account = "acc-2".to_owned();
    let registry = &desk.database.registry;
    assert!(registry.put_bank_account(&desk.account, BEGIN).await.unwrap());
    desk.bank.says(vec![Act::Answer(500, ""); 4]);
    assert_eq!(desk.balance(KARI).await.minor(), None);
}

#[tokio::test]
async fn a_balance_that_is_older_than_a_day_is_not_shown() {
    for (hours, shown) in [(24, Some(1_500_050)), (25, None)] {
        let desk = Desk::with_earlier().await;
        desk.clock.set(BEGIN.plus(MINUTE * 60 * hours));
        desk.bank.says(vec![Act::Answer(500, ""); 4]);
        let found = desk.balance(KARI).await;
        assert_eq!((found.minor(), found.warning), (shown, Some(Warning::BankDown)), "{hours} h");
    }
}

#[tokio::test]
async fn the_mode_says_how_old_a_balance_may_be_and_whether_one_is_shown() {
    let desk = Desk::with_earlier().await;
    desk.posted.mode(Mode::Cached);
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.warning, desk.calls()), (Some(Warning::Delayed(BEGIN)), 1));
    desk.clock.set(BEGIN.plus(MINUTE * 61));
    assert_eq!((desk.balance(KARI).await.source(), desk.calls()), (Some(Source::Live), 2));
    desk.posted.mode(Mode::Hidden);
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.figure, shown.warning, desk.calls()), (None, Some(Warning::Hidden), 2));
}
