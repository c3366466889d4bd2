//! Starting instances.

use std::sync::Arc;

use workers::store::{NewTask, Op, Start, Written};
use workflows::engine::Message;

use crate::made::{LEASE, T0, id, node, order, start, task, to_operator, with_key};
use crate::subject::Subject;

pub async fn a_start_writes_everything_it_says(on: &Subject) {
    let start = Start { tell: vec![Message::owner("payment.started"), to_operator("look")], ..order(1) };
    assert_eq!(on.commit([Op::Start(Box::new(start.clone()))]).await, [Written::Committed]);

    let id = start.instance.id;
    assert_eq!(on.store.load(id).await.unwrap().as_ref(), Some(&*start.instance));
    assert_eq!(on.store.started("usr_1 POST /x", "key-1").await.unwrap().as_ref(), Some(&*start.instance));
    assert_eq!(on.store.started("usr_1 POST /y", "key-1").await.unwrap(), None);
    assert_eq!(on.store.history(id, 0, 10).await.unwrap(), [start.history]);
    assert_eq!(on.store.messages(id).await.unwrap(), start.tell);
    let tasks = on.store.tasks(id).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].task.born, tasks[0].task.fence, tasks[0].attempts), (1, 0, 0));
    assert_eq!((tasks[0].due_at, &tasks[0].lease, &tasks[0].finding), (T0, &None, &None));
}

pub async fn a_key_starts_once_across_batches_and_within_one(on: &Subject) {
    let again = |n| with_key(order(n), "once");
    let batch = [Op::Start(Box::new(again(1))), start(2), Op::Start(Box::new(again(3)))];
    assert_eq!(on.commit(batch).await, [Written::Committed, Written::Committed, Written::Taken]);
    let batch = [Op::Start(Box::new(again(4))), start(5), Op::Start(Box::new(again(6)))];
    assert_eq!(on.commit(batch).await, [Written::Taken, Written::Committed, Written::Taken]);
    for refused in [3, 4, 6] {
        assert_eq!(on.load(refused).await, None);
        assert_eq!(on.store.tasks(id(refused)).await.unwrap(), []);
        assert_eq!(on.store.history(id(refused), 0, 10).await.unwrap(), []);
    }
}

pub async fn a_key_starts_once_among_concurrent_callers(on: &Subject) {
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let store = Arc::clone(&on.store);
        let mut keys = ["a", "b", "c", "d"];
        keys.rotate_left(n % 4);
        callers.spawn(async move {
            let ids = (0..).map(|k| 100 + 10 * n as u128 + k);
            let batch: Vec<Op> =
                ids.zip(keys).map(|(n, key)| Op::Start(Box::new(with_key(order(n), key)))).collect();
            store.commit(&batch, &node("a")).await.unwrap()
        });
    }
    let written: Vec<Written> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(written.iter().filter(|written| **written == Written::Committed).count(), 4);
    assert_eq!(written.iter().filter(|written| **written == Written::Taken).count(), 60);
}

pub async fn a_task_can_be_born_claimed(on: &Subject) {
    let claimed = NewTask { claimed: true, due_at: T0.plus(LEASE), ..task("capture", T0) };
    on.commit([Op::Start(Box::new(Start { put: vec![claimed], ..order(1) }))]).await;
    let row = on.store.tasks(id(1)).await.unwrap().remove(0);
    assert_eq!((row.task.fence, row.attempts, row.losses, row.doubt), (1, 1, 0, false));
    assert_eq!(row.lease, Some(node("a")));
    // Unperformed, it lapses like any claim.
    assert_eq!(on.claim_at(T0).await, []);
    let lapsed = on.claim_at(T0.plus(LEASE)).await.remove(0);
    assert_eq!((lapsed.attempts, lapsed.losses, lapsed.first_at), (2, 1, T0));
}
