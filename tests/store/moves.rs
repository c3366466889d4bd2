//! Transitions and their guards.

use std::sync::Arc;

use workers::store::{
    Claimed, Drop, Filter, Instance, Move, NewTask, Op, PutBack, TaskRef, Verdict, Written,
};
use workflows::engine::Status;

use crate::made::{
    LEASE, T0, TICK, back, event, id, name, next, node, order, start, task, to_operator, with_key, with_tasks,
};
use crate::subject::Subject;

pub async fn what_follows_takes_the_place_of_what_was_consumed(on: &Subject) {
    on.commit([start(1)]).await;
    let later = T0.plus(TICK);
    // Each of these is what follows, all at once due, and what is outstanding then.
    let story: [(Vec<NewTask>, &[&str]); 5] = [
        // Again, under the same name.
        (vec![task("capture", T0)], &["capture"]),
        // Something else first, and then again under the same name.
        (vec![task("@sca_deadline", later), task("capture", T0)], &["@sca_deadline", "capture"]),
        // Another one, and two of one name, of which the last counts.
        (vec![task("notify", later), task("notify", T0)], &["@sca_deadline", "notify"]),
        // One that is armed already.
        (vec![task("@sca_deadline", T0)], &["@sca_deadline"]),
        (vec![], &[]),
    ];
    for (put, names) in story {
        let claim = on.claim_at(T0).await.remove(0);
        let dropped = put.iter().take(1).map(|task| task.name.clone()).chain([claim.task.name.clone()]);
        let drop = Drop::Named(dropped.collect());
        let seq = claim.instance.seq + 1;
        let step = Move { consume: Some(claim.task), put, drop, ..next(&claim.instance) };
        assert_eq!(on.apply(step).await, Written::Committed);
        let tasks = on.store.tasks(id(1)).await.unwrap();
        assert_eq!(tasks.iter().map(|row| row.task.name.as_str()).collect::<Vec<_>>(), names);
        for row in tasks.iter().filter(|row| row.due_at == T0) {
            assert_eq!((row.task.born, row.task.fence, row.attempts, &row.lease), (seq, 0, 0, &None));
        }
    }
}

pub async fn a_move_writes_everything_it_says(on: &Subject) {
    on.commit([start(1)]).await;
    let claimed = on.claim_at(T0).await.remove(0);
    let mut step = next(&claimed.instance);
    Arc::make_mut(&mut step.instance).state = r#"{"at":"done"}"#.into();
    Arc::make_mut(&mut step.instance).order = r#"{"upcast":true}"#.into();
    Arc::make_mut(&mut step.instance).version = 2;
    step.upcast = true;
    Arc::make_mut(&mut step.instance).attention = Some("look".into());
    Arc::make_mut(&mut step.instance).completed_at = Some(T0);
    Arc::make_mut(&mut step.instance).reference = Some("pay_1".into());
    Arc::make_mut(&mut step.instance).status = Status::Completed;
    step.consume = Some(claimed.task);
    step.put = vec![task("notify", T0), task("@sca_deadline", T0.plus(LEASE))];
    step.tell = vec![to_operator("late truth")];
    assert_eq!(on.apply(step.clone()).await, Written::Committed);

    assert_eq!(on.load(1).await.as_ref(), Some(&*step.instance));
    assert_eq!(on.store.by_reference("pay_1").await.unwrap(), [(*step.instance).clone()]);
    assert!(on.store.by_reference("pay").await.unwrap().is_empty());
    let names: Vec<_> =
        on.store.tasks(id(1)).await.unwrap().into_iter().map(|row| (row.task.name, row.task.born)).collect();
    assert_eq!(names, [(name("@sca_deadline"), 2), (name("notify"), 2)]);
    assert_eq!(on.store.history(id(1), 1, 10).await.unwrap(), [step.history]);
    assert_eq!(on.store.history(id(1), 0, 1).await.unwrap().len(), 1);
    assert_eq!(on.store.messages(id(1)).await.unwrap(), step.tell);
}

pub async fn a_stale_revision_cannot_write(on: &Subject) {
    on.commit([start(1)]).await;
    let one = on.load(1).await.unwrap();
    assert_eq!(on.apply(next(&one)).await, Written::Committed);
    let before = on.everything().await;
    let late = Move { put: vec![task("late", T0)], tell: vec![to_operator("late")], ..next(&one) };
    assert_eq!(on.apply(late.clone()).await, Written::Stale);
    let mut early = next(&on.load(1).await.unwrap());
    Arc::make_mut(&mut early.instance).seq += 1;
    assert_eq!(on.apply(early).await, Written::Stale);
    let mut unknown = late;
    Arc::make_mut(&mut unknown.instance).id = id(99);
    assert_eq!(on.apply(unknown).await, Written::Stale);
    assert_eq!(on.everything().await, before);
}

pub async fn a_lost_lease_cannot_write(on: &Subject) {
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

pub async fn an_event_is_heard_once(on: &Subject) {
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

pub async fn arming_anew_makes_another_task(on: &Subject) {
    on.commit([Op::Start(Box::new(with_tasks(order(1), vec![task("capture", T0.minus(LEASE))])))]).await;
    // Its first claim lapsed: none of that is passed on.
    on.claim_at(T0.minus(LEASE)).await;
    let in_flight = on.claim_at(T0).await.remove(0);
    assert_eq!(in_flight.losses, 1);
    let armed = Move { put: vec![task("capture", T0.plus(TICK))], ..next(&in_flight.instance) };
    assert_eq!(on.apply(armed).await, Written::Committed);
    let row = on.store.tasks(id(1)).await.unwrap().remove(0);
    assert_eq!((row.task.born, row.task.fence, row.attempts), (2, 0, 0));
    assert_eq!((row.lease, row.losses, row.doubt, row.due_at), (None, 0, false, T0.plus(TICK)));
    let two = on.load(1).await.unwrap();
    let settle = |claim: &Claimed| Move { consume: Some(claim.task.clone()), ..next(&two) };
    assert_eq!(on.apply(settle(&in_flight)).await, Written::Stale);
    let anew = on.claim_at(T0.plus(TICK)).await.remove(0);
    assert_eq!((anew.task.fence, anew.first_at), (1, T0.plus(TICK)));
    assert_eq!(on.apply(settle(&anew)).await, Written::Committed);
}

pub async fn the_last_of_two_tasks_with_one_name_counts(on: &Subject) {
    let twice = vec![task("capture", T0), task("capture", T0.plus(TICK))];
    on.commit([Op::Start(Box::new(with_tasks(order(1), twice)))]).await;
    let rows = on.store.tasks(id(1)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.due_at).collect::<Vec<_>>(), [T0.plus(TICK)]);
}

pub async fn named_tasks_are_taken_back_and_all_at_the_end(on: &Subject) {
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

pub async fn a_batch_isolates_its_stale_members(on: &Subject) {
    on.commit((1..=6).map(start)).await;
    let claims = on.claim_at(T0).await;
    let claim = |n| claims.iter().find(|claimed| claimed.task.instance == id(n)).unwrap();
    let lost = |n| TaskRef { fence: 7, ..claim(n).task.clone() };
    let mut wrong_revision = next(&claim(1).instance);
    Arc::make_mut(&mut wrong_revision.instance).seq = 9;
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
    let expected = [
        Written::Stale,
        Written::Committed,
        Written::Stale,
        Written::Stale,
        Written::Committed,
        Written::Committed,
        Written::Committed,
        Written::Taken,
    ];
    assert_eq!(on.commit(batch).await, expected);
    let seqs: Vec<_> = on.list(Filter::default()).await.iter().map(|one| (one.id, one.seq)).collect();
    assert_eq!(seqs, [(id(7), 1), (id(6), 1), (id(5), 1), (id(4), 1), (id(3), 1), (id(2), 2), (id(1), 1)]);
    assert_eq!(on.store.tasks(id(6)).await.unwrap(), []);
}

pub async fn one_batch_concerns_an_instance_once(on: &Subject) {
    on.commit([start(1)]).await;
    let one = on.load(1).await.unwrap();
    let twice = [Op::Move(Box::new(next(&one))), Op::Move(Box::new(next(&next(&one).instance)))];
    assert_eq!(on.commit(twice).await, [Written::Committed, Written::Stale]);
    let same = [start(2), Op::Start(Box::new(with_key(order(2), "other")))];
    assert_eq!(on.commit(same).await, [Written::Committed, Written::Stale]);
    assert_eq!(on.commit([]).await, []);
}

pub async fn concurrent_moves_of_one_revision_are_one(on: &Subject) {
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

pub async fn history_is_a_whole_chain(on: &Subject) {
    on.grow_history(5).await;
    assert_eq!(on.verdict().await, Verdict::Intact);
    assert_eq!(
        on.store.history(id(1), 2, 2).await.unwrap().iter().map(|row| row.seq).collect::<Vec<_>>(),
        [3, 4]
    );
}
