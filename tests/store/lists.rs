//! Lists of instances.

use std::sync::Arc;

use workers::store::{Backlog, Filter, NewTask, Op, Order};
use workflows::engine::{Lane, Status, Weight};
use workflows::money::{Currency, Money};

use crate::made::{T0, TICK, id, name, order, task, with_tasks};
use crate::subject::Subject;

pub async fn a_list_filters_and_pages_newest_first(on: &Subject) {
    let made = |n: u128| {
        let mut start = order(n);
        Arc::make_mut(&mut start.instance).owner =
            if n.is_multiple_of(2) { "usr_even".into() } else { "usr_odd".into() };
        Arc::make_mut(&mut start.instance).kind =
            if n < 5 { "remittance".into() } else { "qr_payment".into() };
        Arc::make_mut(&mut start.instance).status = Status::ALL[usize::try_from(n % 5).unwrap()];
        Arc::make_mut(&mut start.instance).attention = (n == 7).then(|| "look".into());
        Arc::make_mut(&mut start.instance).created_at = T0.plus(TICK * u32::try_from(n).unwrap());
        // Those of the first half moved last.
        Arc::make_mut(&mut start.instance).updated_at = T0.plus(TICK * u32::try_from((n + 5) % 10).unwrap());
        Arc::make_mut(&mut start.instance).completed_at = (n == 8).then_some(T0);
        let (bank, currency) = if n < 3 { ("a/b=", Currency::NOK) } else { ("dnb", Currency::EUR) };
        let money = Money { minor: 1 << n, currency };
        start.weight = (n != 9).then(|| Weight { bank: bank.to_owned(), money });
        start
    };
    on.commit((0..10).map(|n| Op::Start(Box::new(made(n))))).await;
    let at = |n| Some(T0.plus(TICK * n));
    let even = Some("usr_even".into());
    let table = [
        (Filter::default(), vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (Filter { owner: even.clone(), ..Filter::default() }, vec![8, 6, 4, 2, 0]),
        (Filter { owner: even.clone(), before: Some(id(6)), limit: 2, ..Filter::default() }, vec![4, 2]),
        (Filter { kinds: vec!["qr_payment".into()], ..Filter::default() }, vec![9, 8, 7, 6, 5]),
        (
            Filter { kinds: vec!["qr_payment".into(), "remittance".into()], limit: 1, ..Filter::default() },
            vec![9],
        ),
        (Filter { statuses: vec![Status::ALL[1], Status::ALL[4]], ..Filter::default() }, vec![9, 6, 4, 1]),
        (Filter { from: at(3), to: at(5), ..Filter::default() }, vec![4, 3]),
        (Filter { ids: vec![id(3), id(8)], ..Filter::default() }, vec![8, 3]),
        (Filter { phases: vec!["begin".into()], limit: 2, ..Filter::default() }, vec![9, 8]),
        (Filter { phases: vec!["elsewhere".into()], ..Filter::default() }, vec![]),
        (Filter { attention: true, ..Filter::default() }, vec![7]),
        (Filter { bank: Some("a/b=".into()), ..Filter::default() }, vec![2, 1, 0]),
        (Filter { order: Order::OldestFirst, before: Some(id(6)), ..Filter::default() }, vec![7, 8, 9]),
        (Filter { order: Order::LatestMovedFirst, ..Filter::default() }, vec![4, 3, 2, 1, 0, 9, 8, 7, 6, 5]),
        (
            Filter { order: Order::LatestMovedFirst, before: Some(id(1)), limit: 3, ..Filter::default() },
            vec![0, 9, 8],
        ),
        (
            Filter { order: Order::EarliestMovedFirst, before: Some(id(8)), ..Filter::default() },
            vec![9, 0, 1, 2, 3, 4],
        ),
        (Filter { owner: Some("usr_none".into()), ..Filter::default() }, vec![]),
    ];
    for (filter, expected) in table {
        let ids: Vec<_> = on.list(filter.clone()).await.into_iter().map(|one| one.id).collect();
        let whole = Filter { before: None, limit: 100, ..filter.clone() };
        let total = on.list(whole).await.len();
        assert_eq!(on.store.count(&filter).await.unwrap(), u64::try_from(total).unwrap(), "{filter:?}");
        assert_eq!(ids, expected.into_iter().map(id).collect::<Vec<_>>(), "{filter:?}");
    }
    let nok = Money { minor: 0b111, currency: Currency::NOK };
    let eur = Money { minor: 0b1111_1000, currency: Currency::EUR };
    assert_eq!(
        on.store.at_stake(&Filter::default()).await.unwrap(),
        [eur, nok],
        "what has ended is at no risk"
    );
    let at = Filter { bank: Some("a/b=".into()), before: Some(id(1)), limit: 1, ..Filter::default() };
    assert_eq!(on.store.at_stake(&at).await.unwrap(), [nok]);
}

pub async fn what_is_parked_is_counted_by_queue(on: &Subject) {
    let queue = |bank: &str| Lane::of("drop", bank, "queue");
    let waits = |n: u128, bank: &str, due| {
        let waits = NewTask { name: name("@released"), lane: queue(bank), due_at: due, claimed: false };
        Op::Start(Box::new(with_tasks(order(n), vec![waits, task("@expiry", T0)])))
    };
    let later = T0.plus(TICK);
    on.commit([waits(1, "dnb", later), waits(2, "dnb", T0), waits(3, "a/b=", later)]).await;
    let expected = [("a/b=", 1, later), ("dnb", 2, T0)].map(|(bank, waiting, oldest)| Backlog {
        lane: queue(bank),
        waiting,
        oldest_at: Some(oldest),
    });
    assert_eq!(on.store.parked().await.unwrap(), expected);
}
