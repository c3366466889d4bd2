//! Rows that were damaged on purpose are found, put right where that is safe and shown to an operator where it is not;
//! and in a healthy system there is nothing to find, however busy it is.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use workers::controls::{Cause, Drain as Let, HoldOn, PispMode, Scope, Settings, Switch};
use workers::engine::Engine;
use workers::process::Options;
use workers::scanner::{Conduct, Findings, Scanner, Violation, Waits};
use workers::store::{Drop, HistoryRow, Instance, Move, NewTask, NodeId, Op, Written};
use workflows::engine::{Book, Lane, TaskName, UNCHANGED};
use workflows::ids::WorkflowId;
use workflows::remittance::Remittance;
use workflows::time::At;

use crate::bank::{Bank, Manner};
use crate::world::{
    Subject, USUAL, controls, every_history_tells_its_state, front_end, history, id_of, run, start, terms,
};

macro_rules! over_all_three {
    ($($case:ident),+ $(,)?) => {
        mod memory { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&crate::world::Subject::memory()).await; })+ }
        mod sqlite { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&crate::world::Subject::sqlite().await).await; })+ }
        mod postgresql { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&crate::world::Subject::postgres().await).await; })+ }
    };
}

over_all_three! {
    an_order_whose_task_is_gone_goes_on_as_one_that_may_have_been_sent,
    a_question_that_nobody_asks_any_more_is_asked_again,
    what_cannot_be_read_is_shown_to_an_operator_once_and_left_to_newer_processes,
    tasks_of_an_ended_payment_are_removed_and_claims_that_nobody_takes_up_are_told,
    a_payment_that_waits_for_an_operator_is_left_to_them,
    a_claim_that_lapsed_in_a_lane_where_everything_waits_is_no_fault,
    nothing_is_found_in_a_healthy_system_however_busy,
    pages_show_everything_once,
    what_is_in_doubt_is_counted_with_since_when,
}

/// A bank that makes two payments of two requests: begun anew as if nothing had been sent, it would be paid twice.
async fn an_order_whose_task_is_gone_goes_on_as_one_that_may_have_been_sent(on: &Subject) {
    for (key, sent) in [("sent", true), ("unsent", false)] {
        let bank = Bank::new(Manner::Mute);
        let keyless = terms(false);
        let id = if sent {
            let process = run(&on.store, &bank, USUAL).await;
            let id = process.start(key, keyless).await;
            process.is_in(id, "awaiting_sca").await;
            process.stop().await;
            // As it stood while its request was on the wire, and with the row of its task gone.
            let first = on.store.history(id, 0, 1).await.unwrap().remove(0);
            let began = front(on, &bank).await.revisions(&load(on, id).await).await.unwrap().remove(0);
            assert_eq!(first.seq, began.seq);
            overwrite(on, id, |now| Instance { state: began.state, phase: began.phase, ..now }, vec![]).await;
            id
        } else {
            let id = id_of(&start(&front(on, &bank).await, key, keyless).await);
            overwrite(on, id, |now| now, vec![]).await;
            id
        };
        let process = run(&on.store, &bank, USUAL).await;
        let found = process.engine.scanner(Arc::clone(&on.audit)).round().await.unwrap();
        assert_eq!(summary(&found), ([(Violation::Idle, 1)].into(), 1, 0), "{found:?}");
        let row = history(&on.store, id).await.into_iter().find(|row| &*row.actor == "scanner");
        assert_eq!(&*row.expect("it is on record").phase, "in_doubt");
        if sent {
            process.is_in(id, "awaiting_sca").await;
            bank.everybody_approves();
            process.ended(id).await;
            assert_eq!(bank.initiations(), 1, "it was looked for and not sent again");
        } else {
            // Nobody knows of it, and that is proven by asking.
            assert_eq!(&*process.ended(id).await.status.to_string(), "failed");
            assert_eq!(bank.initiations(), 0);
        }
        assert!(sweep(on).await.is_clean());
        process.stop().await;
    }
}

async fn a_question_that_nobody_asks_any_more_is_asked_again(on: &Subject) {
    let bank = Bank::new(Manner::Kind);
    let process = run(&on.store, &bank, USUAL).await;
    let id = process.start("one", terms(true)).await;
    process.is_in(id, "awaiting_sca").await;
    process.stop().await;
    for (left, violation) in [
        (vec![task("status", far())], Violation::Endless),
        (vec![], Violation::Idle),
        (vec![task("@sca_deadline", far())], Violation::Adrift),
    ] {
        overwrite(on, id, |now| now, left).await;
        let scanner = front(on, &bank).await.scanner(Arc::clone(&on.audit));
        let found = scanner.round().await.unwrap();
        assert_eq!(summary(&found), ([(violation, 1)].into(), 1, 0), "{found:?}");
        assert_eq!(scanner.last(), found);
        let names: Vec<_> = on.store.tasks(id).await.unwrap().into_iter().map(|row| row.task.name).collect();
        for name in ["status", "@sca_deadline"] {
            assert!(names.contains(&TaskName::stored(name.to_owned())), "{names:?}");
        }
        assert!(scanner.round().await.unwrap().is_clean());
        assert_eq!(scanner.violated().counts().get(violation.word()), Some(&1));
    }
    let process = run(&on.store, &bank, USUAL).await;
    bank.everybody_approves();
    assert_eq!(&*process.ended(id).await.phase, "settled");
    process.stop().await;
    every_history_tells_its_state(&on.store).await;
}

async fn what_cannot_be_read_is_shown_to_an_operator_once_and_left_to_newer_processes(on: &Subject) {
    let engine = front(on, &Bank::new(Manner::Kind)).await;
    let broken = id_of(&start(&engine, "broken", terms(true)).await);
    let newer = id_of(&start(&engine, "newer", terms(true)).await);
    overwrite(on, broken, |now| Instance { state: r#"{"no":"state"}"#.into(), ..now }, vec![]).await;
    overwrite(on, newer, |now| Instance { version: now.version + 1, ..now }, vec![task("later", far())])
        .await;
    let as_it_was = load(on, newer).await;
    let scanner = engine.scanner(Arc::clone(&on.audit));
    let found = scanner.round().await.unwrap();
    // What has no task is met twice in a round: among those, and in its slice, where it stands stopped by then.
    assert_eq!(
        (summary(&found), found.stopped),
        (([(Violation::Unreadable, 2)].into(), 0, 1), 1),
        "{found:?}"
    );
    let shown = load(on, broken).await.attention;
    assert_eq!(shown.as_deref(), Some("stopped: its documents cannot be read"));
    let again = scanner.round().await.unwrap();
    assert_eq!(summary(&again), ([(Violation::Unreadable, 1)].into(), 0, 0), "{again:?}");
    assert_eq!(load(on, newer).await, as_it_was);
}

async fn tasks_of_an_ended_payment_are_removed_and_claims_that_nobody_takes_up_are_told(on: &Subject) {
    let bank = Bank::new(Manner::Kind);
    let process = run(&on.store, &bank, USUAL).await;
    let ended = process.start("ended", terms(true)).await;
    process.is_in(ended, "awaiting_sca").await;
    bank.everybody_approves();
    process.ended(ended).await;
    process.stop().await;
    let engine = front(on, &bank).await;
    let waits = id_of(&start(&engine, "waits", terms(true)).await);
    overwrite(on, ended, |now| now, vec![task("status", far())]).await;
    let lapsed = NewTask { claimed: true, ..task("initiate", At::EPOCH) };
    overwrite(on, waits, |now| now, vec![lapsed]).await;

    let found = engine.scanner(Arc::clone(&on.audit)).round().await.unwrap();
    let expected = [(Violation::Leftover, 1), (Violation::Unclaimed, 1)];
    assert_eq!(summary(&found), (expected.into(), 1, 0), "{found:?}");
    assert_eq!(on.store.tasks(ended).await.unwrap(), []);
    assert_eq!(on.store.tasks(waits).await.unwrap().len(), 1, "whoever serves its lane will take it up");
}

async fn a_claim_that_lapsed_in_a_lane_where_everything_waits_is_no_fault(on: &Subject) {
    let engine = front(on, &Bank::new(Manner::Kind)).await;
    let id = id_of(&start(&engine, "waits", terms(true)).await);
    let cause = || Cause { actor: "op".to_owned(), reason: "test".to_owned(), expires_at: None };
    let switches = controls(&on.store, Settings::default()).await;
    let lapsed = |operation: &str| {
        let lane = Lane::of("neonomics", "dnb", operation);
        vec![NewTask { claimed: true, lane, ..task("initiate", At::EPOCH) }]
    };
    // Each scanner reads what is stored when it begins, as a process that has just started.
    let unclaimed = async || {
        let engine = front(on, &Bank::new(Manner::Kind)).await;
        let counts = [engine.scanner(Arc::clone(&on.audit)).round().await.unwrap(), sweep(on).await];
        let [one, other] = counts.map(|found| found.count(Violation::Unclaimed));
        assert_eq!(one, other, "who mends sees what the one sees who only looks");
        one
    };
    let hold = HoldOn::Bank("neonomics".to_owned(), "dnb".to_owned());
    overwrite(on, id, |now| now, lapsed("initiate")).await;
    assert_eq!(unclaimed().await, 1, "its lane is open");
    switches.hold(&hold, cause()).await.unwrap();
    assert_eq!(unclaimed().await, 0, "held");
    switches.unhold(&hold, &cause()).await.unwrap();
    assert_eq!(unclaimed().await, 1, "open again");
    switches.set(&Switch::Pisp(Scope::All, PispMode::Queue), cause()).await.unwrap();
    assert_eq!(unclaimed().await, 0, "shut");
    overwrite(on, id, |now| now, lapsed("status")).await;
    assert_eq!(unclaimed().await, 1, "no mode shuts what reads");
    switches.set(&Switch::Pisp(Scope::All, PispMode::Live), cause()).await.unwrap();
    let queue = Lane::of("neonomics", "dnb", "queue");
    overwrite(on, id, |now| now, lapsed("queue")).await;
    assert_eq!(unclaimed().await, 1, "the queue is free");
    switches.drain(&queue, Let::Paused, cause()).await.unwrap();
    assert_eq!(unclaimed().await, 0, "let through as an operator says");
}

async fn a_payment_that_waits_for_an_operator_is_left_to_them(on: &Subject) {
    let engine = front(on, &Bank::new(Manner::Kind)).await;
    let id = id_of(&start(&engine, "stopped", terms(true)).await);
    let stopped = |now| Instance { attention: Some("stopped: by hand".into()), ..now };
    overwrite(on, id, stopped, vec![]).await;
    let before = load(on, id).await;
    let found = engine.scanner(Arc::clone(&on.audit)).round().await.unwrap();
    assert!(found.is_clean() && found.stopped > 0, "{found:?}");
    assert_eq!(load(on, id).await, before);
}

async fn nothing_is_found_in_a_healthy_system_however_busy(on: &Subject) {
    let bank = Bank::new(Manner::Kind);
    let process = run(&on.store, &bank, USUAL).await;
    let ids = join_all((0..30).map(|n| process.start(n, terms(true)))).await;
    let approving = async {
        loop {
            bank.everybody_approves();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ending = join_all(ids.iter().map(|id| process.ended(*id)));
    let looking = async {
        loop {
            let found = sweep(on).await;
            assert!(found.is_clean(), "{found:?}");
            let round = process.engine.scanner(Arc::clone(&on.audit)).round().await.unwrap();
            assert!(round.is_clean(), "{round:?}");
            // A store in memory never lets anybody else have a turn by itself.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = ending => {}
        () = async { tokio::join!(approving, looking); } => unreachable!("both go on for ever"),
    }
    let found = sweep(on).await;
    assert!(found.is_clean() && found.live.is_empty(), "{found:?}");
    process.stop().await;
}

async fn pages_show_everything_once(on: &Subject) {
    let engine = front(on, &Bank::new(Manner::Kind)).await;
    let mut ids: Vec<WorkflowId> = Vec::new();
    for n in 0..7 {
        ids.push(id_of(&start(&engine, n, terms(true)).await));
    }
    ids.sort_unstable();
    overwrite(on, ids[2], |now| now, vec![]).await;
    let lapsed = |name| NewTask { claimed: true, ..task(name, At::EPOCH) };
    overwrite(on, ids[4], |now| now, vec![lapsed("initiate"), lapsed("a"), lapsed("b")]).await;
    for size in [1, 2, 3, 6, 7, 8] {
        let (mut after, mut seen, mut count, mut idle) = (None, Vec::new(), 0, Vec::new());
        loop {
            let page = on.audit.live(after, size).await.unwrap();
            let census = on.audit.census(after, size).await.unwrap();
            assert_eq!(census.next, page.next, "pages of {size}");
            count += census.found.statuses.values().sum::<u64>();
            idle.extend(census.found.idle);
            seen.extend(page.found.into_iter().map(|standing| standing.id));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!((&seen, count, &idle), (&ids, 7, &vec![ids[2]]), "pages of {size}");
        let (mut after, mut names) = (None, Vec::new());
        loop {
            let page = on.audit.faulty(after.as_ref(), far(), size).await.unwrap();
            names.extend(page.found.into_iter().map(|faulty| faulty.task.name.to_string()));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(names, ["a", "b", "initiate"], "pages of {size}");
    }
}

async fn what_is_in_doubt_is_counted_with_since_when(on: &Subject) {
    let engine = front(on, &Bank::new(Manner::Kind)).await;
    let (first, second) =
        (id_of(&start(&engine, 0, terms(true)).await), id_of(&start(&engine, 1, terms(true)).await));
    start(&engine, 2, terms(true)).await;
    let census = async || on.audit.census(None, 100).await.unwrap().found;
    assert_eq!((census().await.in_doubt, census().await.doubted_since), (0, None));
    let at = |minutes| At::from_millis(1_771_833_600_000).plus(Duration::from_mins(minutes));
    for (id, phase, minutes) in [
        (first, "in_doubt", 1),
        (first, "awaiting_sca", 2),
        (first, "in_doubt", 5),
        (second, "in_doubt", 4),
        (second, "in_doubt", 9),
    ] {
        let moved = |now| Instance { phase: phase.into(), updated_at: at(minutes), ..now };
        overwrite(on, id, moved, vec![task("locate", far())]).await;
    }
    let census = census().await;
    assert_eq!((census.in_doubt, census.doubted_since), (2, Some(at(4))), "each as it stands by now");
}

/// An engine that performs nothing.
async fn front(on: &Subject, bank: &Arc<Bank>) -> Engine {
    front_end(&on.store, bank, Options { steps_in_flight: 0, ..USUAL }).await
}

/// Everything, histories included, by one who only looks.
async fn sweep(on: &Subject) -> Findings {
    let book = Book::default().with::<Remittance>();
    let (store, audit) = (Arc::clone(&on.store), Arc::clone(&on.audit));
    let waits = Waits::of(controls(&store, Settings::default()).await);
    Scanner::new(store, audit, book, USUAL.lease, Conduct::Looks, waits).sweep(true).await.unwrap()
}

/// What was found by kind, how much was put right, and for how much an operator was called.
fn summary(found: &Findings) -> (Vec<(Violation, usize)>, u64, u64) {
    let counts = found.violations.iter().map(|(violation, places)| (*violation, places.len()));
    (counts.collect(), found.mended, found.raised)
}

async fn load(on: &Subject, id: WorkflowId) -> Instance {
    on.store.load(id).await.unwrap().expect("it is there")
}

/// The row as somebody with the database's password would leave it, with these tasks alone. The chain stays whole.
async fn overwrite(
    on: &Subject,
    id: WorkflowId,
    damage: impl FnOnce(Instance) -> Instance,
    put: Vec<NewTask>,
) {
    let now = load(on, id).await;
    let seq = now.seq + 1;
    let previous = Arc::clone(&now.hash);
    let mut instance = Instance { seq, ..damage(now) };
    let history = HistoryRow {
        instance: id,
        seq,
        at: instance.updated_at,
        occurrence: UNCHANGED.into(),
        status: instance.status.as_str().into(),
        phase: Arc::clone(&instance.phase),
        actor: "vandal".into(),
        step: "".into(),
        attempt: 0,
        latency_us: 0,
        hash: "".into(),
    }
    .chained(&previous);
    instance.hash = Arc::clone(&history.hash);
    let instance = Arc::new(instance);
    let damage = Move {
        instance,
        upcast: false,
        consume: None,
        heard: None,
        history,
        drop: Drop::All,
        put,
        tell: vec![],
    };
    let written = on.store.commit(&[Op::Move(Box::new(damage))], &NodeId("vandal".into())).await.unwrap();
    assert_eq!(written, [Written::Committed]);
}

fn task(name: &str, due_at: At) -> NewTask {
    let name = TaskName::stored(name.to_owned());
    NewTask { name, lane: Lane::of("nobody", "serves", "this"), due_at, claimed: false }
}

fn far() -> At {
    At::from_millis(4_102_444_800_000)
}
