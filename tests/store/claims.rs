//! Claiming tasks, keeping claims, handing them back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use workers::store::{Claimed, NewTask, NodeId, Op, TaskRef, Written};
use workflows::engine::Lane;

use crate::made::{LEASE, T0, TICK, back, id, lane, node, order, start, task, with_tasks};
use crate::subject::Subject;

pub async fn a_task_is_claimed_once_for_each_lease(on: &Subject) {
    on.commit([start(1)]).await;
    let first = on.claim_at(T0).await.remove(0);
    assert_eq!((first.task.fence, first.attempts, first.losses, first.doubt), (1, 1, 0, false));
    assert_eq!((first.first_at, &first.lane, first.instance.seq), (T0, &lane("x"), 1));
    assert_eq!(on.claim_at(T0.plus(LEASE).minus(TICK)).await, []);

    let second = on.claim_at(T0.plus(LEASE)).await.remove(0);
    assert_eq!((second.task.fence, second.attempts, second.first_at), (2, 2, T0));
    assert_eq!(
        (second.losses, second.doubt),
        (1, false),
        "the loss says it; doubt is what somebody put back"
    );
}

pub async fn a_claim_takes_the_earliest_of_its_lane_up_to_the_room(on: &Subject) {
    let due = |n: u128, after: Duration| with_tasks(order(n), vec![task("capture", T0.plus(after))]);
    let other = NewTask { lane: lane("y"), ..task("capture", T0) };
    on.commit([
        Op::Start(Box::new(due(1, TICK * 3))),
        Op::Start(Box::new(due(2, TICK))),
        Op::Start(Box::new(due(3, TICK * 2))),
        Op::Start(Box::new(due(4, TICK * 9))),
        Op::Start(Box::new(with_tasks(order(5), vec![other]))),
    ])
    .await;
    let room = [(lane("x"), 2), (lane("y"), 0), (lane("z"), 5)];
    let mut claimed = on.store.claim(&room, &node("a"), T0.plus(TICK * 5), LEASE).await.unwrap();
    claimed.sort_by_key(|claimed| claimed.task.instance);
    let ids: Vec<_> = claimed.iter().map(|claimed| claimed.task.instance).collect();
    assert_eq!(ids, [id(2), id(3)]);
}

pub async fn concurrent_claimers_never_share_a_task(on: &Subject) {
    on.commit((0..300).map(start)).await;
    let mut claimers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = Arc::clone(&on.store);
        claimers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let room = [(lane("x"), 7)];
                let some = store.claim(&room, &node(&format!("n{n}")), T0, LEASE).await.unwrap();
                if some.is_empty() {
                    return mine;
                }
                mine.extend(some.into_iter().map(|claimed| (claimed.task.instance, claimed.task.fence)));
            }
        });
    }
    let all: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 300);
    let once: BTreeSet<_> = all.into_iter().collect();
    assert_eq!(once, (0..300).map(|n| (id(n), 1)).collect());
}

pub async fn a_renewed_claim_keeps_and_a_lost_one_is_not_renewed(on: &Subject) {
    on.commit([start(1), start(2)]).await;
    let held: Vec<TaskRef> = on.claim_at(T0).await.into_iter().map(|claimed| claimed.task).collect();
    let until = T0.plus(LEASE * 3);
    let renewed = on.store.renew(&held[..1], until).await.unwrap();
    assert_eq!(renewed, held[..1]);
    let lapsed = on.claim_at(T0.plus(LEASE * 2)).await;
    assert_eq!(lapsed.iter().map(|claimed| &claimed.task.instance).collect::<Vec<_>>(), [&held[1].instance]);
    let renewed = on.store.renew(&held, until).await.unwrap();
    assert_eq!(renewed, held[..1], "the second was claimed by somebody else meanwhile");
}

pub async fn a_released_claim_was_no_attempt(on: &Subject) {
    on.commit([start(1)]).await;
    let claimed = on.claim_at(T0).await.remove(0);
    let later = T0.plus(TICK);
    on.store.release(std::slice::from_ref(&claimed.task), later).await.unwrap();
    let row = on.store.tasks(id(1)).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.losses, row.doubt, row.lease, row.due_at), (0, 0, false, None, later));
    // What was released is not held: neither renewed, nor released again, nor put back.
    assert_eq!(on.store.renew(std::slice::from_ref(&claimed.task), later).await.unwrap(), []);
    on.store.release(std::slice::from_ref(&claimed.task), later).await.unwrap();
    assert_eq!(on.commit([back(&claimed, later, true)]).await, [Written::Stale]);

    let again = on.claim_at(later).await.remove(0);
    assert_eq!((again.attempts, again.losses, again.doubt), (1, 0, false));
    assert_eq!((again.task.fence, again.first_at), (2, later));
}

pub async fn a_redirected_claim_waits_in_another_lane_and_was_no_attempt(on: &Subject) {
    on.commit([start(1)]).await;
    let claimed = on.claim_at(T0).await.remove(0);
    let (aside, earlier) = (Lane::of("neonomics", "dnb", "aside"), T0.minus(TICK));
    for _ in 0..2 {
        // The second one names a claim that is gone, and changes nothing.
        on.store.redirect(&claimed.task, &aside, earlier).await.unwrap();
        let row = on.store.tasks(id(1)).await.unwrap().remove(0);
        assert_eq!((row.attempts, row.losses, row.lease, row.due_at), (0, 0, None, earlier));
        assert_eq!(row.lane, aside);
    }
    let rooms = [(claimed.lane.clone(), 9), (aside.clone(), 9)];
    let node = NodeId("another".into());
    let again = on.store.claim(&rooms, &node, T0, LEASE).await.unwrap().remove(0);
    assert_eq!((again.attempts, again.task.fence, &again.lane), (1, 2, &aside));
    on.store.redirect(&claimed.task, &claimed.lane, earlier).await.unwrap();
    assert_eq!(on.store.tasks(id(1)).await.unwrap().remove(0).lane, again.lane, "somebody else's claim");
}

pub async fn a_put_back_keeps_attempts_and_doubt(on: &Subject) {
    on.commit([start(1)]).await;
    let mut now = T0;
    let table = [(false, false), (true, true), (false, true)];
    for (attempt, (doubt, doubted)) in (1..).zip(table) {
        let claimed = on.claim_at(now).await.remove(0);
        assert_eq!(claimed.attempts, attempt);
        now = now.plus(TICK);
        assert_eq!(on.commit([back(&claimed, now, doubt)]).await, [Written::Committed]);
        let row = on.store.tasks(id(1)).await.unwrap().remove(0);
        assert_eq!((row.attempts, row.losses, row.doubt), (attempt, 0, doubted));
        assert_eq!((row.due_at, row.lease, row.finding.as_deref()), (now, None, Some("not_sent")));
        assert_eq!(on.commit([back(&claimed, now, doubt)]).await, [Written::Stale], "it was handed back");
    }
}

pub async fn claims_of_dead_nodes_can_be_taken_over(on: &Subject) {
    on.commit([start(1), start(2), start(3)]).await;
    let claim = |name, now| {
        let (store, node) = (Arc::clone(&on.store), node(name));
        async move { store.claim(&[(lane("x"), 1)], &node, now, LEASE).await.unwrap().remove(0) }
    };
    let dead = [claim("dead", T0).await, claim("dead", T0).await];
    let mine = claim("alive", T0).await;
    let now = T0.plus(TICK);
    assert_eq!(on.store.take_over(&node("alive"), now).await.unwrap(), 2);
    let taken = on.claim_at(now).await;
    let ids = |claims: &[Claimed]| claims.iter().map(|c| c.task.instance).collect::<BTreeSet<_>>();
    assert_eq!(ids(&taken), ids(&dead));
    assert!(taken.iter().all(|claimed| claimed.losses == 1));
    assert_eq!(on.store.renew(std::slice::from_ref(&mine.task), now).await.unwrap(), [mine.task]);
}

pub async fn lanes_tell_the_earliest_task_of_each(on: &Subject) {
    assert_eq!(on.lanes().await, []);
    let at = |name, lane_name, after| NewTask { lane: lane(lane_name), ..task(name, T0.plus(after)) };
    on.commit([
        Op::Start(Box::new(with_tasks(order(1), vec![at("a", "x", TICK * 3), at("b", "y", TICK)]))),
        Op::Start(Box::new(with_tasks(order(2), vec![at("a", "x", TICK * 2), at("b", "w", TICK * 7)]))),
    ])
    .await;
    let due = |name: &str, after| (lane(name), T0.plus(after));
    assert_eq!(on.lanes().await, [due("w", TICK * 7), due("x", TICK * 2), due("y", TICK)]);
    // A claimed task counts as due when its claim lapses.
    on.store.claim(&[(lane("y"), 1)], &node("a"), T0.plus(TICK), LEASE).await.unwrap();
    assert_eq!(on.lanes().await[2], due("y", TICK + LEASE));
}
