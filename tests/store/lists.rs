//! Lists of instances.

use workers::store::{Filter, Op};
use workflows::engine::Status;

use crate::made::{T0, TICK, id, order};
use crate::subject::Subject;

pub async fn a_list_filters_and_pages_newest_first(on: &Subject) {
    let made = |n: u128| {
        let mut start = order(n);
        start.instance.owner = if n.is_multiple_of(2) { "usr_even".into() } else { "usr_odd".into() };
        start.instance.kind = if n < 5 { "remittance".into() } else { "qr_payment".into() };
        start.instance.status = Status::ALL[usize::try_from(n % 5).unwrap()];
        start.instance.attention = (n == 7).then(|| "look".into());
        start.instance.created_at = T0.plus(TICK * u32::try_from(n).unwrap());
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
        (Filter { owner: Some("usr_none".into()), ..Filter::default() }, vec![]),
    ];
    for (filter, expected) in table {
        let ids: Vec<_> = on.list(filter.clone()).await.into_iter().map(|one| one.id).collect();
        let whole = Filter { before: None, limit: 100, ..filter.clone() };
        let total = on.list(whole).await.len();
        assert_eq!(on.store.count(&filter).await.unwrap(), u64::try_from(total).unwrap(), "{filter:?}");
        assert_eq!(ids, expected.into_iter().map(id).collect::<Vec<_>>(), "{filter:?}");
    }
}
