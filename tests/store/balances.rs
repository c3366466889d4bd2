//! Balances, and the right to read them.

use std::sync::Arc;
use std::time::Duration;

use workers::balances::{
    Attendance, BalanceStore, Begun, Bounds, Cached, End, Entry, Holding, Limit, Limited, Read, ReadId,
    WINDOW,
};
use workers::providers::open_banking::{AccountId, ConsentId};
use workers::registry::BankAccount;
use workers::store::{Options, open};
use workflows::money::{Currency, Money};
use workflows::ports::payments::BankId;
use workflows::time::At;

use crate::made::T0;
use crate::subject::Subject;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(40);

pub async fn the_newest_balance_is_kept_for_its_account(on: &Subject) {
    let one = linked(on, 1).await;
    let two = linked(on, 2).await;
    assert_eq!(on.balances.balance(&one).await.unwrap(), Cached::default());
    let newer = entry(-5, T0.plus(SECOND));
    for (told, kept) in [(entry(100, T0), entry(100, T0)), (newer, newer), (entry(7, T0), newer)] {
        read(on, &one, End::Told(told)).await;
        assert_eq!(on.balances.balance(&one).await.unwrap().entry, Some(kept));
    }
    assert_eq!(on.balances.balance(&two).await.unwrap().entry, None);
    let elsewhere = Holding { account: AccountId("other".to_owned()), ..one.clone() };
    assert_eq!(on.balances.balance(&elsewhere).await.unwrap().entry, None, "another account at the bank");
    let begun = begin(on, &one, 9, Attendance::Unattended, newer.synced_at).await;
    assert_eq!(begun, Begun::Fresh(newer), "what is fresh enough is not read");
    let begun = begin(on, &one, 9, Attendance::Unattended, newer.synced_at.plus(SECOND)).await;
    assert_eq!(begun, Begun::Granted, "and finding that out has cost nothing");
}

pub async fn one_reads_an_account_at_a_time_and_a_silent_one_loses_the_right(on: &Subject) {
    let one = linked(on, 1).await;
    let until = T0.plus(LEASE);
    let asked = |id, after: Duration| Read {
        id: ReadId(id),
        attendance: Attendance::Attended,
        fresh_from: At::MAX,
        lease_until: T0.plus(after).plus(LEASE),
    };
    let ask = async |id, after: Duration| {
        on.balances.begin_read(&one, &asked(id, after), T0.plus(after)).await.unwrap()
    };
    assert_eq!(ask(1, Duration::ZERO).await, Begun::Granted);
    assert_eq!(ask(2, SECOND).await, Begun::Underway(until));
    let longer = T0.plus(SECOND).plus(LEASE);
    assert_eq!(ask(1, SECOND).await, Begun::Granted, "the same read, for its next attempt");
    assert_eq!(ask(2, LEASE).await, Begun::Underway(longer));
    assert_eq!(ask(2, LEASE + SECOND).await, Begun::Granted, "the first fell silent");
    on.balances.end_read(&one, ReadId(1), End::Told(entry(1, T0))).await.unwrap();
    let held = T0.plus(LEASE * 2).plus(SECOND);
    assert_eq!(ask(3, LEASE + SECOND).await, Begun::Underway(held), "whose end frees nobody else's");
    on.balances.end_read(&one, ReadId(2), End::Nothing).await.unwrap();
    assert_eq!(ask(3, LEASE + SECOND).await, Begun::Granted);
    let begun = on.balances.begin_read(&linked(on, 2).await, &asked(4, SECOND), T0).await.unwrap();
    assert_eq!(begun, Begun::Granted, "another account is another matter");
}

pub async fn four_of_concurrent_reads_without_the_customer_are_granted_a_day(on: &Subject) {
    let one = linked(on, 1).await;
    let mut stores = vec![Arc::clone(&on.balances)];
    if let Some(url) = on.url.as_deref().filter(|url| url.starts_with("postgres")) {
        // Another process on the same server. A file has one engine.
        stores.push(open(url, &Options::default()).await.unwrap().balances);
    }
    let taking: Vec<_> = (0..16)
        .map(|taker| {
            let (store, one) = (Arc::clone(&stores[taker % stores.len()]), one.clone());
            tokio::spawn(take(store, one, taker as u128 * 1_000))
        })
        .collect();
    let mut granted = 0;
    for taken in taking {
        granted += taken.await.unwrap();
    }
    assert_eq!(granted, 4);
    let spent = Begun::Spent(T0.plus(WINDOW));
    assert_eq!(begin(on, &one, 90_001, Attendance::Unattended, At::MAX).await, spent);
    let renewed = Holding { consent: ConsentId("another".to_owned()), ..one.clone() };
    assert_eq!(begin(on, &renewed, 90_002, Attendance::Unattended, At::MAX).await, Begun::Granted);
    assert_eq!(begin(on, &one, 90_003, Attendance::Attended, At::MAX).await, Begun::Granted);
    on.balances.end_read(&one, ReadId(90_003), End::Nothing).await.unwrap();
    for (after, expected) in [(WINDOW.saturating_sub(SECOND), spent), (WINDOW, Begun::Granted)] {
        let now = T0.plus(after);
        let read = Read { lease_until: now.plus(LEASE), ..asked(90_004, Attendance::Unattended, At::MAX) };
        assert_eq!(on.balances.begin_read(&one, &read, now).await.unwrap(), expected);
    }
}

pub async fn a_read_that_never_left_is_not_counted(on: &Subject) {
    let one = linked(on, 1).await;
    for id in 1..=9 {
        assert_eq!(begin(on, &one, id, Attendance::Unattended, At::MAX).await, Begun::Granted, "{id}");
        on.balances.end_read(&one, ReadId(id), End::Unsent).await.unwrap();
    }
}

pub async fn a_limit_keeps_out_whom_it_concerns_until_it_ends(on: &Subject) {
    let until = T0.plus(SECOND * 300);
    for (n, whom, customers) in
        [(1, Limited::Unattended, Begun::Granted), (2, Limited::Everybody, Begun::Limited(until))]
    {
        let one = linked(on, n).await;
        read(on, &one, End::Limited(Limit { until, whom })).await;
        let bounds = Bounds::default().with(Limit { until, whom });
        assert_eq!(on.balances.balance(&one).await.unwrap().bounds, bounds);
        let begun = begin(on, &one, n * 10 + 2, Attendance::Unattended, At::MAX).await;
        assert_eq!(begun, Begun::Limited(until), "{whom:?}");
        assert_eq!(begin(on, &one, n * 10 + 3, Attendance::Attended, At::MAX).await, customers, "{whom:?}");
        on.balances.end_read(&one, ReadId(n * 10 + 3), End::Nothing).await.unwrap();
        let later =
            Read { lease_until: until.plus(LEASE), ..asked(n * 10 + 4, Attendance::Unattended, At::MAX) };
        assert_eq!(on.balances.begin_read(&one, &later, until).await.unwrap(), Begun::Granted);
    }
}

pub async fn a_limit_on_everybody_outlives_a_longer_one_on_those_without_the_customer(on: &Subject) {
    let (near, far) = (T0.plus(SECOND * 100), T0.plus(SECOND * 200));
    let everybody = Limit { until: near, whom: Limited::Everybody };
    let unattended = Limit { until: far, whom: Limited::Unattended };
    for (n, limits) in [(1, [everybody, unattended]), (2, [unattended, everybody])] {
        let one = linked(on, n).await;
        assert_eq!(begin(on, &one, 1, Attendance::Attended, At::MAX).await, Begun::Granted);
        for limit in limits {
            on.balances.end_read(&one, ReadId(1), End::Limited(limit)).await.unwrap();
        }
        let bounds = Bounds { everybody: Some(near), unattended: Some(far) };
        assert_eq!(on.balances.balance(&one).await.unwrap().bounds, bounds);
        for (attendance, until) in [(Attendance::Attended, near), (Attendance::Unattended, far)] {
            let just_before = until.minus(SECOND);
            for (now, expected) in [(just_before, Begun::Limited(until)), (until, Begun::Granted)] {
                let read = Read { lease_until: now.plus(LEASE), ..asked(n * 10, attendance, At::MAX) };
                assert_eq!(
                    on.balances.begin_read(&one, &read, now).await.unwrap(),
                    expected,
                    "{attendance:?}"
                );
                on.balances.end_read(&one, ReadId(n * 10), End::Nothing).await.unwrap();
            }
        }
    }
}

/// Reads until the day's number is used up; how often that was granted.
async fn take(store: Arc<dyn BalanceStore>, one: Holding, first: u128) -> usize {
    let mut granted = 0;
    for id in first.. {
        let read = asked(id, Attendance::Unattended, At::MAX);
        match store.begin_read(&one, &read, T0).await.unwrap() {
            Begun::Granted => {
                granted += 1;
                store.end_read(&one, read.id, End::Nothing).await.unwrap();
            }
            Begun::Spent(_) => break,
            Begun::Underway(_) => tokio::task::yield_now().await,
            other @ (Begun::Fresh(_) | Begun::Limited(_)) => panic!("{other:?}"),
        }
    }
    granted
}

/// A whole read of the customer's, with this end.
pub async fn read(on: &Subject, of: &Holding, end: End) {
    assert_eq!(begin(on, of, 1, Attendance::Attended, At::MAX).await, Begun::Granted);
    on.balances.end_read(of, ReadId(1), end).await.unwrap();
}

pub fn entry(minor: i64, synced_at: At) -> Entry {
    Entry { amount: Money::new(minor, Currency::NOK), synced_at }
}

pub fn holding(account: &BankAccount) -> Holding {
    Holding {
        id: account.id.clone(),
        bank: account.bank.clone(),
        account: AccountId(account.provider_account.clone()),
        consent: ConsentId(account.provider_consent.clone().unwrap()),
        currency: account.currency,
    }
}

async fn begin(on: &Subject, of: &Holding, id: u128, attendance: Attendance, fresh_from: At) -> Begun {
    on.balances.begin_read(of, &asked(id, attendance, fresh_from), T0).await.unwrap()
}

fn asked(id: u128, attendance: Attendance, fresh_from: At) -> Read {
    Read { id: ReadId(id), attendance, fresh_from, lease_until: T0.plus(LEASE) }
}

/// An account that the product knows, where it has a table of them.
async fn linked(on: &Subject, n: u128) -> Holding {
    let account = BankAccount {
        id: workflows::ids::BankAccountId::new(n),
        owner: "usr_ola".parse().unwrap(),
        bank: BankId("dnb".to_owned()),
        bank_name: "DNB".to_owned(),
        iban: "NO9386011117947".parse().unwrap(),
        provider_account: format!("acc-{n}"),
        currency: Currency::NOK,
        provider_consent: Some("consent-1".to_owned()),
        consent_expires_at: None,
        primary: false,
    };
    if let Some(database) = &on.database {
        assert!(database.registry.put_bank_account(&account, T0).await.unwrap());
    }
    holding(&account)
}
