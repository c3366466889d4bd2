//! The suite that every store passes: memory, which defines what is meant, SQLite and PostgreSQL.
//!
//! A case is a function over a [`Subject`]; the tables at the end run each over each store.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case that meets the unexpected has failed"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;
use workers::ports::AnchoredClock;
use workers::store::{
    Claimed, Database, Drop, Fate, Filter, HistoryRow, InboxKey, Instance, MemoryStore, Migrations, Move,
    NewTask, NodeId, Op, OpenError, Options, PutBack, Start, StartKey, Store, TaskRef, Verdict, Written,
    open, verify_chain,
};
use workflows::engine::{Audience, Lane, Message, Status, TaskName};
use workflows::ids::WorkflowId;
use workflows::time::At;

use support::chance::Chance;
use support::postgres;

// ---- Starts ----

async fn a_start_writes_everything_it_says(on: &Subject) {
    let start = Start { tell: vec![Message::owner("payment.started"), to_operator("look")], ..order(1) };
    assert_eq!(on.commit([Op::Start(Box::new(start.clone()))]).await, [Written::Committed]);

    let id = start.instance.id;
    assert_eq!(on.store.load(id).await.unwrap(), Some(start.instance.clone()));
    assert_eq!(on.store.started("usr_1 POST /x", "key-1").await.unwrap(), Some(start.instance));
    assert_eq!(on.store.started("usr_1 POST /y", "key-1").await.unwrap(), None);
    assert_eq!(on.store.history(id, 0, 10).await.unwrap(), [start.history]);
    assert_eq!(on.store.messages(id).await.unwrap(), start.tell);
    let tasks = on.store.tasks(id).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].task.born, tasks[0].task.fence, tasks[0].attempts), (1, 0, 0));
    assert_eq!((tasks[0].due_at, &tasks[0].lease, &tasks[0].finding), (T0, &None, &None));
}

async fn a_key_starts_once_across_batches_and_within_one(on: &Subject) {
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

async fn a_key_starts_once_among_concurrent_callers(on: &Subject) {
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

async fn a_task_can_be_born_claimed(on: &Subject) {
    let claimed = NewTask { claimed: true, due_at: T0.plus(LEASE), ..task("capture", T0) };
    on.commit([Op::Start(Box::new(Start { put: vec![claimed], ..order(1) }))]).await;
    let row = on.store.tasks(id(1)).await.unwrap().remove(0);
    assert_eq!((row.task.fence, row.attempts, row.losses, row.doubt), (1, 1, 0, false));
    assert_eq!(row.lease, Some(node("a")));
    // Unperformed, it lapses like any claim.
    assert_eq!(on.claim_at(T0).await, []);
    let lapsed = on.claim_at(T0.plus(LEASE)).await.remove(0);
    assert_eq!((lapsed.attempts, lapsed.losses, lapsed.doubt, lapsed.first_at), (2, 1, true, T0));
}

// ---- Claims ----

async fn a_task_is_claimed_once_for_each_lease(on: &Subject) {
    on.commit([start(1)]).await;
    let first = on.claim_at(T0).await.remove(0);
    assert_eq!((first.task.fence, first.attempts, first.losses, first.doubt), (1, 1, 0, false));
    assert_eq!((first.first_at, &first.lane, first.instance.seq), (T0, &lane("x"), 1));
    assert_eq!(on.claim_at(T0.plus(LEASE - TICK)).await, []);

    let second = on.claim_at(T0.plus(LEASE)).await.remove(0);
    assert_eq!((second.task.fence, second.attempts, second.first_at), (2, 2, T0));
    assert_eq!((second.losses, second.doubt), (1, true), "nobody knows what a lapsed claim did");
}

async fn a_claim_takes_the_earliest_of_its_lane_up_to_the_room(on: &Subject) {
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

async fn concurrent_claimers_never_share_a_task(on: &Subject) {
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

async fn a_renewed_claim_keeps_and_a_lost_one_is_not_renewed(on: &Subject) {
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

async fn a_released_claim_was_no_attempt(on: &Subject) {
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

async fn a_put_back_keeps_attempts_and_doubt(on: &Subject) {
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

async fn claims_of_dead_nodes_can_be_taken_over(on: &Subject) {
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
    assert!(taken.iter().all(|claimed| claimed.losses == 1 && claimed.doubt));
    assert_eq!(on.store.renew(std::slice::from_ref(&mine.task), now).await.unwrap(), [mine.task]);
}

async fn lanes_tell_the_earliest_task_of_each(on: &Subject) {
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

// ---- Moves ----

async fn a_move_writes_everything_it_says(on: &Subject) {
    on.commit([start(1)]).await;
    let claimed = on.claim_at(T0).await.remove(0);
    let mut step = next(&claimed.instance);
    step.instance.state = r#"{"at":"done"}"#.into();
    step.instance.order = r#"{"upcast":true}"#.into();
    step.instance.version = 2;
    step.instance.attention = Some("look".into());
    step.instance.completed_at = Some(T0);
    step.instance.status = Status::Completed;
    step.consume = Some(claimed.task);
    step.put = vec![task("notify", T0), task("@sca_deadline", T0.plus(LEASE))];
    step.tell = vec![to_operator("late truth")];
    assert_eq!(on.apply(step.clone()).await, Written::Committed);

    assert_eq!(on.load(1).await, Some(step.instance));
    let names: Vec<_> =
        on.store.tasks(id(1)).await.unwrap().into_iter().map(|row| (row.task.name, row.task.born)).collect();
    assert_eq!(names, [(name("@sca_deadline"), 2), (name("notify"), 2)]);
    assert_eq!(on.store.history(id(1), 1, 10).await.unwrap(), [step.history]);
    assert_eq!(on.store.history(id(1), 0, 1).await.unwrap().len(), 1);
    assert_eq!(on.store.messages(id(1)).await.unwrap(), step.tell);
}

async fn a_stale_revision_cannot_write(on: &Subject) {
    on.commit([start(1)]).await;
    let one = on.load(1).await.unwrap();
    assert_eq!(on.apply(next(&one)).await, Written::Committed);
    let before = on.everything().await;
    let late = Move { put: vec![task("late", T0)], tell: vec![to_operator("late")], ..next(&one) };
    assert_eq!(on.apply(late.clone()).await, Written::Stale);
    let mut early = next(&on.load(1).await.unwrap());
    early.instance.seq += 1;
    assert_eq!(on.apply(early).await, Written::Stale);
    let mut unknown = late;
    unknown.instance.id = id(99);
    assert_eq!(on.apply(unknown).await, Written::Stale);
    assert_eq!(on.everything().await, before);
}

async fn a_lost_lease_cannot_write(on: &Subject) {
    on.commit([start(1)]).await;
    let lost = on.claim_at(T0).await.remove(0);
    let held = on.claim_at(T0.plus(LEASE)).await.remove(0);
    let before = on.everything().await;
    let move_of = |claim: &Claimed| Move { consume: Some(claim.task.clone()), ..next(&claim.instance) };
    let writes = [
        Op::Move(Box::new(move_of(&lost))),
        Op::Move(Box::new(Move { heard: Some(event("e")), ..move_of(&lost) })),
        back(&lost, T0, true),
        Op::Discard(lost.task.clone()),
    ];
    for write in writes {
        assert_eq!(on.commit([write]).await, [Written::Stale]);
        assert_eq!(on.everything().await, before);
    }
    // The event that came with a lost claim was not heard by it.
    let heard = Move { heard: Some(event("e")), ..move_of(&held) };
    assert_eq!(on.apply(heard).await, Written::Committed);
}

async fn an_event_is_heard_once(on: &Subject) {
    on.commit([start(1), start(2)]).await;
    let hears = |instance: &Instance, name| Move { heard: Some(event(name)), ..next(instance) };
    let (one, two) = (on.load(1).await.unwrap(), on.load(2).await.unwrap());
    let both = [Op::Move(Box::new(hears(&one, "e"))), Op::Move(Box::new(hears(&two, "e")))];
    assert_eq!(on.commit(both).await, [Written::Committed, Written::Duplicate]);
    let one = on.load(1).await.unwrap();
    let before = on.everything().await;
    assert_eq!(on.apply(hears(&one, "e")).await, Written::Duplicate);
    let claimed = on.claim_at(T0).await;
    for claim in claimed {
        let consuming = Move { consume: Some(claim.task.clone()), ..hears(&claim.instance, "e") };
        assert_eq!(on.apply(consuming).await, Written::Duplicate);
        on.store.release(&[claim.task], T0).await.unwrap();
    }
    let held: Vec<_> = before.iter().filter(|line| !line.starts_with("TaskRow")).collect();
    let after = on.everything().await;
    assert_eq!(after.iter().filter(|line| !line.starts_with("TaskRow")).collect::<Vec<_>>(), held);
    assert_eq!(on.apply(hears(&one, "f")).await, Written::Committed);
}

async fn arming_anew_makes_another_task(on: &Subject) {
    on.commit([start(1)]).await;
    let in_flight = on.claim_at(T0).await.remove(0);
    let armed = Move { put: vec![task("capture", T0.plus(TICK))], ..next(&in_flight.instance) };
    assert_eq!(on.apply(armed).await, Written::Committed);
    let row = on.store.tasks(id(1)).await.unwrap().remove(0);
    assert_eq!((row.task.born, row.task.fence, row.attempts), (2, 0, 0));
    assert_eq!((row.lease, row.doubt, row.due_at), (None, false, T0.plus(TICK)));
    let two = on.load(1).await.unwrap();
    let settle = |claim: &Claimed| Move { consume: Some(claim.task.clone()), ..next(&two) };
    assert_eq!(on.apply(settle(&in_flight)).await, Written::Stale);
    let anew = on.claim_at(T0.plus(TICK)).await.remove(0);
    assert_eq!((anew.task.fence, anew.first_at), (1, T0.plus(TICK)));
    assert_eq!(on.apply(settle(&anew)).await, Written::Committed);
}

async fn the_last_of_two_tasks_with_one_name_counts(on: &Subject) {
    let twice = vec![task("capture", T0), task("capture", T0.plus(TICK))];
    on.commit([Op::Start(Box::new(with_tasks(order(1), twice)))]).await;
    let rows = on.store.tasks(id(1)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.due_at).collect::<Vec<_>>(), [T0.plus(TICK)]);
}

async fn named_tasks_are_taken_back_and_all_at_the_end(on: &Subject) {
    let three = || vec![task("a", T0), task("b", T0), task("@c", T0)];
    on.commit((1..=3).map(|n| Op::Start(Box::new(with_tasks(order(n), three()))))).await;
    let outstanding = async |n| {
        let rows = on.store.tasks(id(n)).await.unwrap();
        rows.into_iter().map(|row| row.task.name.to_string()).collect::<Vec<_>>()
    };
    let (one, two) = (on.load(1).await.unwrap(), on.load(2).await.unwrap());
    let named = Drop::Named(vec![name("a"), name("@c"), name("unknown")]);
    let written = on
        .commit([
            Op::Move(Box::new(Move { drop: named, put: vec![task("a", T0.plus(TICK))], ..next(&one) })),
            Op::Move(Box::new(Move { drop: Drop::All, ..next(&two) })),
        ])
        .await;
    assert_eq!(written, [Written::Committed, Written::Committed]);
    assert_eq!(outstanding(1).await, ["a", "b"], "what is put is put after what is taken back");
    assert_eq!(outstanding(2).await, Vec::<String>::new());
    assert_eq!(outstanding(3).await, ["@c", "a", "b"]);
}

async fn a_batch_isolates_its_stale_members(on: &Subject) {
    on.commit((1..=6).map(start)).await;
    let claims = on.claim_at(T0).await;
    let claim = |n| claims.iter().find(|claimed| claimed.task.instance == id(n)).unwrap();
    let lost = |n| TaskRef { fence: 7, ..claim(n).task.clone() };
    let mut wrong_revision = next(&claim(1).instance);
    wrong_revision.instance.seq = 9;
    let batch = [
        Op::Move(Box::new(wrong_revision)),
        Op::Move(Box::new(Move { consume: Some(claim(2).task.clone()), ..next(&claim(2).instance) })),
        Op::Move(Box::new(Move { consume: Some(lost(3)), ..next(&claim(3).instance) })),
        Op::PutBack(PutBack { task: lost(4), due_at: T0, doubt: true, finding: "unknown" }),
        back(claim(5), T0.plus(TICK), false),
        Op::Discard(claim(6).task.clone()),
        start(7),
        Op::Start(Box::new(with_key(order(8), "key-1"))),
    ];
    use Written::{Committed, Stale, Taken};
    let expected = [Stale, Committed, Stale, Stale, Committed, Committed, Committed, Taken];
    assert_eq!(on.commit(batch).await, expected);
    let seqs: Vec<_> = on.list(Filter::default()).await.iter().map(|one| (one.id, one.seq)).collect();
    assert_eq!(seqs, [(id(7), 1), (id(6), 1), (id(5), 1), (id(4), 1), (id(3), 1), (id(2), 2), (id(1), 1)]);
    assert_eq!(on.store.tasks(id(6)).await.unwrap(), []);
}

async fn one_batch_concerns_an_instance_once(on: &Subject) {
    on.commit([start(1)]).await;
    let one = on.load(1).await.unwrap();
    let twice = [Op::Move(Box::new(next(&one))), Op::Move(Box::new(next(&next(&one).instance)))];
    assert_eq!(on.commit(twice).await, [Written::Committed, Written::Stale]);
    let same = [start(2), Op::Start(Box::new(with_key(order(2), "other")))];
    assert_eq!(on.commit(same).await, [Written::Committed, Written::Stale]);
    assert_eq!(on.commit([]).await, []);
}

async fn concurrent_moves_of_one_revision_are_one(on: &Subject) {
    on.commit((0..8).map(start)).await;
    let mut movers = tokio::task::JoinSet::new();
    for mover in 0..8 {
        let store = Arc::clone(&on.store);
        movers.spawn(async move {
            let mut batch: Vec<Op> = (0..8).map(|n| Op::Move(Box::new(next(&order(n).instance)))).collect();
            batch.rotate_left(mover);
            store.commit(&batch, &node("a")).await.unwrap()
        });
    }
    let written: Vec<Written> = movers.join_all().await.into_iter().flatten().collect();
    assert_eq!(written.iter().filter(|written| **written == Written::Committed).count(), 8);
    assert_eq!(written.iter().filter(|written| **written == Written::Stale).count(), 56);
}

async fn history_is_a_whole_chain(on: &Subject) {
    on.grow_history(5).await;
    assert_eq!(on.verdict().await, Verdict::Intact);
    assert_eq!(
        on.store.history(id(1), 2, 2).await.unwrap().iter().map(|row| row.seq).collect::<Vec<_>>(),
        [3, 4]
    );
}

// ---- Lists ----

async fn a_list_filters_and_pages_newest_first(on: &Subject) {
    let made = |n: u128| {
        let mut start = order(n);
        start.instance.owner = if n % 2 == 0 { "usr_even".into() } else { "usr_odd".into() };
        start.instance.kind = if n < 5 { "remittance".into() } else { "qr_payment".into() };
        start.instance.status = Status::ALL[usize::try_from(n % 5).unwrap()];
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
        (Filter { owner: Some("usr_none".into()), ..Filter::default() }, vec![]),
    ];
    for (filter, expected) in table {
        let ids: Vec<_> = on.list(filter.clone()).await.into_iter().map(|one| one.id).collect();
        assert_eq!(ids, expected.into_iter().map(id).collect::<Vec<_>>(), "{filter:?}");
    }
}

// ---- Equivalence ----

/// The same random life on this store and on the model, batch by batch: same answers, same rows in the end.
async fn a_random_life_equals_the_model(on: &Subject) {
    for seed in 1..=6 {
        let (subject, model) = (on.another().await, Subject::memory().await);
        let mut chance = Chance::of(seed);
        let mut life = Life::default();
        for round in 0..40 {
            let now = T0.plus(TICK * round * 10);
            let batch = life.batch(&mut chance, now);
            let (written, meant) = (subject.commit(batch.clone()).await, model.commit(batch.clone()).await);
            assert_eq!(written, meant, "seed {seed}, round {round}: {batch:#?}");
            life.learn(&batch, &meant);

            let (claims, meant) = (subject.claim_sorted(now).await, model.claim_sorted(now).await);
            assert_eq!(claims, meant, "seed {seed}, round {round}");
            life.claims.extend(claims);
            life.hold_and_release(&mut chance, now, [&subject.store, &model.store]).await;
            assert_eq!(subject.lanes().await, model.lanes().await, "seed {seed}, round {round}");
        }
        assert!(life.instances.len() > 100, "the life was worth living");
        assert_eq!(subject.everything().await, model.everything().await, "seed {seed}");
    }
}

/// What a random life knows of its instances and claims, right and outdated.
#[derive(Default)]
struct Life {
    instances: Vec<Instance>,
    claims: Vec<Claimed>,
    born: u128,
}

impl Life {
    fn batch(&mut self, chance: &mut Chance, now: At) -> Vec<Op> {
        let size = if chance.one_in(5) { chance.below(300) } else { chance.below(20) } + 1;
        (0..size).map(|_| self.op(chance, now)).collect()
    }

    fn op(&mut self, chance: &mut Chance, now: At) -> Op {
        let claim = chance.pick(&self.claims).cloned();
        let instance = chance.pick(&self.instances).cloned();
        match (chance.below(10), instance, claim) {
            (0..=3, Some(instance), _) => Op::Move(Box::new(self.step(chance, &instance, None, now))),
            (4..=5, _, Some(claim)) => {
                let known = self.instances.iter().find(|one| one.id == claim.task.instance).cloned();
                let instance = known.unwrap_or(claim.instance);
                Op::Move(Box::new(self.step(chance, &instance, Some(claim.task), now)))
            }
            (6, _, Some(claim)) => back(&claim, now.plus(TICK * chance.below(40)), chance.one_in(2)),
            (7, _, Some(claim)) => Op::Discard(claim.task),
            _ => {
                self.born += 1;
                let key = if chance.one_in(6) {
                    chance.below(20)
                } else {
                    1000 + u32::try_from(self.born).unwrap()
                };
                let start = with_key(order(self.born), &format!("key-{key}"));
                Op::Start(Box::new(Start { put: tasks(chance, now), ..start }))
            }
        }
    }

    fn step(&self, chance: &mut Chance, instance: &Instance, consume: Option<TaskRef>, now: At) -> Move {
        let mut step = next(instance);
        if chance.one_in(8) {
            step.instance.seq += 1;
        }
        step.instance.state = format!("{{\"n\":{}}}", chance.below(1000)).into();
        step.instance.updated_at = now;
        step.consume = consume;
        step.heard = chance.one_in(3).then(|| event(&format!("e{}", chance.below(60))));
        step.drop = match chance.below(6) {
            0 => Drop::All,
            1 => Drop::Named(vec![name("t0"), name("t1")]),
            _ => Drop::Named(vec![]),
        };
        step.put = tasks(chance, now);
        step.tell = if chance.one_in(4) { vec![to_operator("one"), Message::owner("two")] } else { vec![] };
        step
    }

    fn learn(&mut self, batch: &[Op], written: &[Written]) {
        for (op, written) in batch.iter().zip(written) {
            match (op, written) {
                (Op::Start(start), Written::Committed) => self.instances.push(start.instance.clone()),
                (Op::Move(step), Written::Committed) => {
                    let known = self.instances.iter_mut().find(|one| one.id == step.instance.id);
                    *known.expect("what moved had started") = step.instance.clone();
                }
                _ => {}
            }
        }
    }

    async fn hold_and_release(&mut self, chance: &mut Chance, now: At, stores: [&Arc<dyn Store>; 2]) {
        let some: Vec<TaskRef> =
            self.claims.iter().filter(|_| chance.one_in(10)).map(|claimed| claimed.task.clone()).collect();
        let kind = chance.below(3);
        let mut answers = Vec::new();
        for store in stores {
            let mut answer = match kind {
                0 => store.renew(&some, now.plus(LEASE * 2)).await.unwrap(),
                1 => store.release(&some, now).await.map(|()| vec![]).unwrap(),
                _ => vec![],
            };
            answer.sort_by(|a, b| (a.instance, &a.name).cmp(&(b.instance, &b.name)));
            answers
                .push((answer, if kind == 2 { store.take_over(&node("b"), now).await.unwrap() } else { 0 }));
        }
        assert_eq!(answers[0], answers[1]);
        let many = self.claims.len().saturating_sub(400);
        self.claims.drain(..many);
    }
}

fn tasks(chance: &mut Chance, now: At) -> Vec<NewTask> {
    let one = |chance: &mut Chance| NewTask {
        lane: lane(["x", "y", "z"][chance.below(3) as usize]),
        claimed: chance.one_in(4),
        ..task(["t0", "t1", "t2", "@t3"][chance.below(4) as usize], now.plus(TICK * chance.below(60)))
    };
    (0..chance.below(4)).map(|_| one(chance)).collect()
}

// ---- SQL alone ----

async fn a_batch_costs_the_same_round_trips_whatever_its_size(on: &Subject) {
    on.commit((0..400).map(start)).await;
    let upkeep = Arc::clone(&on.database.as_ref().unwrap().upkeep);
    let mut costs = Vec::new();
    for range in [0..1, 1..3, 3..100, 100..300] {
        let moves = range.map(|n| Op::Move(Box::new(next(&order(n).instance)))).collect::<Vec<_>>();
        let before = upkeep.statements();
        on.commit(moves).await;
        costs.push(upkeep.statements() - before);
    }
    // begin, lock, move, history, commit.
    assert_eq!(costs, [5, 5, 5, 5]);
    let before = upkeep.statements();
    on.lanes().await;
    assert_eq!(upkeep.statements() - before, 1);
}

async fn history_refuses_update_and_delete(on: &Subject) {
    on.grow_history(3).await;
    for change in ["update history set actor = 'me' where seq = 2", "delete from history where seq = 2"] {
        let refused = on.raw(change).await.unwrap_err().to_string();
        assert!(refused.contains("history is append-only"), "{refused}");
    }
    assert_eq!(on.verdict().await, Verdict::Intact);
}

async fn a_row_that_was_edited_or_removed_all_the_same_is_found(on: &Subject) {
    on.grow_history(5).await;
    on.disarm_history_triggers().await;
    on.raw("update history set actor = 'me' where seq = 3").await.unwrap();
    assert_eq!(on.verdict().await, Verdict::Broken { seq: 3 });
    on.raw("update history set actor = 'worker' where seq = 3").await.unwrap();
    assert_eq!(on.verdict().await, Verdict::Intact);
    on.raw("delete from history where seq = 5").await.unwrap();
    assert_eq!(on.verdict().await, Verdict::Broken { seq: 5 });
}

async fn missing_migrations_are_applied_or_refused(on: &Subject) {
    let url = on.fresh_url().await;
    let require = Options { migrations: Migrations::Require, ..Options::default() };
    let refused = open(&url, &require).await.err().expect("nothing is migrated yet");
    assert!(matches!(&refused, OpenError::Pending { name } if name == "0001_engine"), "{refused:?}");
    open(&url, &Options::default()).await.unwrap().upkeep.close().await;
    let database = open(&url, &require).await.unwrap();
    database.store.ping().await.unwrap();
}

async fn time_passes_on_the_clock_of_the_store(on: &Subject) {
    let clock = on.store.clock();
    let before = clock.now();
    on.database.as_ref().unwrap().upkeep.resync().await.unwrap();
    let apart = clock.now().since(before).max(before.since(clock.now()));
    assert!(apart < Duration::from_secs(2), "{apart:?}");
    // The clock of this machine, which the database runs on as well.
    let wall = workers::ports::Clock::now(&AnchoredClock::wall());
    assert!(wall.since(before).max(before.since(wall)) < Duration::from_secs(2));
}

#[tokio::test]
async fn sqlite_has_one_engine_for_each_file() {
    let on = Subject::sqlite().await;
    let url = on.url.clone().unwrap();
    let refused = open(&url, &Options::default()).await.err().expect("the file is in use");
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    let Subject { store, database, _files, .. } = on;
    database.as_ref().unwrap().upkeep.close().await;
    drop((store, database));
    open(&url, &Options::default()).await.expect("the first engine is gone");
}

#[tokio::test]
async fn sqlite_creates_the_directories_of_its_file_and_uses_a_log() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("a/b/sluse.db");
    let database = open(&format!("sqlite:{}", path.display()), &Options::default()).await.unwrap();
    database.upkeep.checkpoint().await.unwrap();
    assert!(path.with_file_name("sluse.db-wal").exists());
    let mut raw = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut raw).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn postgres_is_refused_when_a_commit_would_not_be_durable() {
    let on = Subject::postgres().await;
    let url = on.fresh_url().await;
    let database = url.rsplit('/').nth_back(0).map(|_| url.split('/').nth(3).unwrap()).unwrap();
    let database = database.split('?').next().unwrap();
    on.raw(&format!("alter database {database} set synchronous_commit = off")).await.unwrap();
    let refused = open(&url, &Options::default()).await.err().expect("an answer could be lost");
    assert!(matches!(refused, OpenError::Durability { setting: "synchronous_commit", .. }), "{refused:?}");
}

#[tokio::test]
async fn a_url_of_an_unknown_database_is_refused_without_repeating_it() {
    for (url, scheme) in [("mysql://root:secret@host/db", "mysql"), ("secret", "")] {
        let refused = open(url, &Options::default()).await.err().expect("no such database");
        assert!(matches!(&refused, OpenError::UnknownScheme(found) if found == scheme), "{refused:?}");
        assert!(!refused.to_string().contains("secret"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_stop_or_crash_and_loses_nothing_it_answered() {
    let cluster = postgres::Cluster::start_fresh();
    let on = Subject::opened(cluster.create_database(), None).await;
    on.commit([start(1)]).await;
    cluster.crash_and_recover();
    assert_eq!(on.commit([start(2)]).await, [Written::Committed], "connections are made anew");
    cluster.stop();
    let trouble = on.store.commit(&[start(3)], &node("a")).await.unwrap_err();
    assert_eq!(trouble.fate, Fate::NotCommitted);
    cluster.start();
    let ids: Vec<_> = on.list(Filter::default()).await.into_iter().map(|one| one.id).collect();
    assert_eq!(ids, [id(2), id(1)]);
}

// ---- The stores ----

macro_rules! over {
    ($subject:ident: $($case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&super::Subject::$subject().await).await;
            }
        )+
    };
}

macro_rules! every_store {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            over!(memory: $($case),+);
        }
        mod sqlite { over!(sqlite: $($case),+); }
        mod postgresql { over!(postgres: $($case),+); }
    };
}

macro_rules! every_database {
    ($($case:ident),+ $(,)?) => {
        mod sqlite_alone { over!(sqlite: $($case),+); }
        mod postgres_alone { over!(postgres: $($case),+); }
    };
}

every_store![
    a_start_writes_everything_it_says,
    a_key_starts_once_across_batches_and_within_one,
    a_key_starts_once_among_concurrent_callers,
    a_task_can_be_born_claimed,
    a_task_is_claimed_once_for_each_lease,
    a_claim_takes_the_earliest_of_its_lane_up_to_the_room,
    concurrent_claimers_never_share_a_task,
    a_renewed_claim_keeps_and_a_lost_one_is_not_renewed,
    a_released_claim_was_no_attempt,
    a_put_back_keeps_attempts_and_doubt,
    claims_of_dead_nodes_can_be_taken_over,
    lanes_tell_the_earliest_task_of_each,
    a_move_writes_everything_it_says,
    a_stale_revision_cannot_write,
    a_lost_lease_cannot_write,
    an_event_is_heard_once,
    arming_anew_makes_another_task,
    the_last_of_two_tasks_with_one_name_counts,
    named_tasks_are_taken_back_and_all_at_the_end,
    a_batch_isolates_its_stale_members,
    one_batch_concerns_an_instance_once,
    concurrent_moves_of_one_revision_are_one,
    history_is_a_whole_chain,
    a_list_filters_and_pages_newest_first,
];

every_database![
    a_random_life_equals_the_model,
    a_batch_costs_the_same_round_trips_whatever_its_size,
    history_refuses_update_and_delete,
    a_row_that_was_edited_or_removed_all_the_same_is_found,
    missing_migrations_are_applied_or_refused,
    time_passes_on_the_clock_of_the_store,
];

/// A store under test, empty.
struct Subject {
    store: Arc<dyn Store>,
    /// What it is a part of, unless it is the model.
    database: Option<Database>,
    url: Option<String>,
    _files: Option<TempDir>,
}

impl Subject {
    async fn memory() -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(AnchoredClock::wall())));
        Subject { store, database: None, url: None, _files: None }
    }

    async fn sqlite() -> Self {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", files.path().join("sluse.db").display());
        Subject::opened(url, Some(files)).await
    }

    async fn postgres() -> Self {
        Subject::opened(postgres::shared().create_database(), None).await
    }

    async fn opened(url: String, files: Option<TempDir>) -> Self {
        let database = open(&url, &Options::default()).await.expect("the database opens");
        let store = Arc::clone(&database.store);
        Subject { store, database: Some(database), url: Some(url), _files: files }
    }

    /// An empty one of the same kind.
    async fn another(&self) -> Self {
        match &self.url {
            None => Subject::memory().await,
            Some(url) if url.starts_with("sqlite") => Subject::sqlite().await,
            Some(_) => Subject::postgres().await,
        }
    }

    /// The URL of a database of the same kind that nobody has opened.
    async fn fresh_url(&self) -> String {
        match self.url.as_deref() {
            Some(url) if url.starts_with("sqlite") => format!("{url}.fresh"),
            _ => postgres::shared().create_database(),
        }
    }

    async fn commit(&self, batch: impl IntoIterator<Item = Op>) -> Vec<Written> {
        let batch: Vec<Op> = batch.into_iter().collect();
        self.store.commit(&batch, &node("a")).await.expect("the batch is written")
    }

    async fn apply(&self, step: Move) -> Written {
        self.commit([Op::Move(Box::new(step))]).await.remove(0)
    }

    async fn load(&self, n: u128) -> Option<Instance> {
        self.store.load(id(n)).await.unwrap()
    }

    async fn list(&self, filter: Filter) -> Vec<Instance> {
        let limit = if filter.limit == 0 { 10_000 } else { filter.limit };
        self.store.list(&Filter { limit, ..filter }).await.unwrap()
    }

    async fn lanes(&self) -> Vec<(Lane, At)> {
        self.store.lanes().await.unwrap().into_iter().map(|due| (due.lane, due.due_at)).collect()
    }

    async fn claim_at(&self, now: At) -> Vec<Claimed> {
        let lanes = ["x", "y", "z"].map(|name| (lane(name), 10_000));
        self.store.claim(&lanes, &node("a"), now, LEASE).await.unwrap()
    }

    async fn claim_sorted(&self, now: At) -> Vec<Claimed> {
        let mut claims = self.claim_at(now).await;
        claims.sort_by(|a, b| (a.task.instance, &a.task.name).cmp(&(b.task.instance, &b.task.name)));
        claims
    }

    async fn grow_history(&self, length: i64) {
        self.commit([start(1)]).await;
        for _ in 1..length {
            let step = next(&self.load(1).await.unwrap());
            assert_eq!(self.apply(step).await, Written::Committed);
        }
    }

    async fn verdict(&self) -> Verdict {
        let instance = self.load(1).await.unwrap();
        let rows = self.store.history(id(1), 0, 100).await.unwrap();
        verify_chain(&rows, instance.seq, &instance.hash)
    }

    /// Every row that the store tells, one line each.
    async fn everything(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for instance in self.list(Filter::default()).await {
            lines.push(format!("{instance:?}"));
            let rows = self.store.history(instance.id, 0, 1000).await.unwrap();
            lines.extend(rows.iter().map(|row| format!("{row:?}")));
            let tasks = self.store.tasks(instance.id).await.unwrap();
            lines.extend(tasks.iter().map(|row| format!("{row:?}")));
            lines.push(format!("{:?}", self.store.messages(instance.id).await.unwrap()));
        }
        lines
    }

    /// A statement past the store, as somebody with the database's password would give it.
    async fn raw(&self, sql: &str) -> Result<(), sqlx::Error> {
        let url = self.url.as_deref().expect("a database");
        let sql = AssertSqlSafe(sql);
        if url.starts_with("sqlite") {
            SqliteConnection::connect(url).await?.execute(sqlx::raw_sql(sql)).await.map(|_| ())
        } else {
            PgConnection::connect(url).await?.execute(sqlx::raw_sql(sql)).await.map(|_| ())
        }
    }

    async fn disarm_history_triggers(&self) {
        let is_sqlite = self.url.as_ref().unwrap().starts_with("sqlite");
        let disarm = if is_sqlite {
            "drop trigger history_refuses_update; drop trigger history_refuses_delete"
        } else {
            "alter table history disable trigger all"
        };
        self.raw(disarm).await.unwrap();
    }
}

const T0: At = At::from_micros(1_771_833_600_000_000);
const LEASE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_secs(1);

fn id(n: u128) -> WorkflowId {
    WorkflowId::new(n)
}

fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

fn lane(operation: &str) -> Lane {
    Lane::of("drop", "dnb", operation)
}

fn name(name: &str) -> TaskName {
    TaskName::stored(name.to_owned())
}

fn event(id: &str) -> InboxKey {
    InboxKey { source: "drop".into(), event: id.into() }
}

fn to_operator(about: &str) -> Message {
    Message { to: Audience::Operator, about: about.to_owned() }
}

fn task(task_name: &str, due_at: At) -> NewTask {
    // The lanes of the cases are made up: `x` unless they say otherwise.
    let stored = lane("x");
    NewTask { name: name(task_name), lane: stored, due_at, claimed: false }
}

fn start(n: u128) -> Op {
    Op::Start(Box::new(order(n)))
}

/// A start with one task due at once.
fn order(n: u128) -> Start {
    let mut instance = Instance {
        id: id(n),
        kind: "remittance".into(),
        version: 1,
        owner: "usr_1".into(),
        order: r#"{"amount":100}"#.into(),
        state: r#"{"at":"begin"}"#.into(),
        status: Status::Processing,
        phase: "begin".into(),
        attention: None,
        seq: 1,
        hash: "".into(),
        start: StartKey {
            scope: "usr_1 POST /x".into(),
            key: format!("key-{n}").into(),
            body_hash: "f00".into(),
        },
        created_at: T0,
        updated_at: T0,
        completed_at: None,
    };
    let history = row(&instance, "");
    instance.hash = Arc::clone(&history.hash);
    Start { instance, history, put: vec![task("capture", T0)], tell: vec![] }
}

fn with_key(mut start: Start, key: &str) -> Start {
    start.instance.start.key = key.into();
    start
}

fn with_tasks(start: Start, put: Vec<NewTask>) -> Start {
    Start { put, ..start }
}

/// The plainest transition from here.
fn next(from: &Instance) -> Move {
    let mut instance = Instance { seq: from.seq + 1, phase: "next".into(), ..from.clone() };
    let history = row(&instance, &from.hash);
    instance.hash = Arc::clone(&history.hash);
    let drop = Drop::Named(vec![]);
    Move { instance, consume: None, heard: None, history, drop, put: vec![], tell: vec![] }
}

fn row(instance: &Instance, previous: &str) -> HistoryRow {
    HistoryRow {
        instance: instance.id,
        seq: instance.seq,
        at: T0,
        occurrence: r#"{"fired":"x"}"#.into(),
        status: instance.status.as_str().into(),
        phase: Arc::clone(&instance.phase),
        actor: "worker".into(),
        step: "capture".into(),
        attempt: 1,
        latency_us: 1500,
        hash: "".into(),
    }
    .chained(previous)
}

fn back(claimed: &Claimed, due_at: At, doubt: bool) -> Op {
    Op::PutBack(PutBack { task: claimed.task.clone(), due_at, doubt, finding: "not_sent" })
}
