//! What is left when somebody goes in the middle: a step, a process, a caller.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::Semaphore;
use workers::engine::Started;
use workers::process::{Drained, Options};
use workers::store::{Look, NodeId, Store};
use workflows::engine::Status;
use workflows::ids::WorkflowId;
use workflows::ports::PaymentsCall;
use workflows::ports::payments::TransactionStatus;

use crate::bank::{Bank, Manner, Question, Scripted, creates, finds_none, stands};
use crate::faulty::Faulty;
use crate::world::{Running, USUAL, eventually, front_end, id_of, is_started, run, start, terms};

/// Many hands, and claims that never lapse while a case runs: whoever takes one over was given it.
const UNLAPSING: Options = Options { steps_in_flight: 64, lease: Duration::from_hours(1), ..USUAL };

pub async fn a_panic_harms_nobody_else_and_its_task_comes_back(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Panics);
    let process = run(store, &bank, USUAL).await;
    let started = join_all((0..10).map(|n| process.start(n, terms(true)))).await;
    for id in started {
        process.is_in(id, "awaiting_sca").await;
    }
    assert_eq!(bank.created(), 10);
    process.stop().await;
}

pub async fn a_stopped_process_leaves_nothing_behind_that_another_does_not_take_up(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Kind);
    let first = run(store, &bank, Options { steps_in_flight: 4, ..USUAL }).await;
    let started = join_all((0..100).map(|n| first.start(n, terms(true)))).await;
    let drained = first.stop().await;
    assert_eq!(drained.cut_off, 0, "steps in flight finish");
    let second = run(store, &bank, Options { steps_in_flight: 64, ..USUAL }).await;
    for id in &started {
        second.is_in(*id, "awaiting_sca").await;
    }
    assert_eq!(bank.initiations(), 100, "each was sent once");
    bank.everybody_approves();
    for id in &started {
        assert_eq!(second.ended(*id).await.status, Status::Completed);
    }
    second.stop().await;
}

pub async fn a_start_that_commits_while_the_process_drains_leaves_no_claim_that_has_to_lapse(
    store: &Arc<dyn Store>,
) {
    let faulty = Faulty::over(store);
    let answers = Arc::new(Semaphore::new(0));
    let bank = answering_as_allowed(&answers);
    let mut first = run(&faulty.store(), &bank, UNLAPSING).await;
    // A step in flight keeps the process draining.
    let in_flight = first.start("in flight", terms(false)).await;
    bank.is_asked(Question::Initiate, 1).await;

    faulty.holds_commits();
    let starts = five_starts(&first);
    first.is_told_to_stop();
    eventually("the end", async || (!first.engine.accepting()).then_some(())).await;
    // The workers hear of the end a moment after the engine does, and nothing outside shows when.
    tokio::time::sleep(Duration::from_millis(50)).await;
    faulty.lets_commits_through();
    let started = five_new(&starts.await);
    answers.add_permits(Semaphore::MAX_PERMITS / 2);
    let drained = first.stop().await;

    let begun = bank.count(Question::Initiate) - 1;
    assert_eq!(drained, Drained { handed_back: 5 - begun, cut_off: 0 });
    assert!(drained.handed_back > 0, "what was not begun when the end came is not begun after it");
    let everything = [&[in_flight], &*started].concat();
    another_takes_all_up_at_once(store, &bank, &everything).await;
}

pub async fn a_start_that_commits_after_the_process_has_drained_leaves_no_claim_that_has_to_lapse(
    store: &Arc<dyn Store>,
) {
    let faulty = Faulty::over(store);
    let bank = answering_as_allowed(&Arc::new(Semaphore::new(Semaphore::MAX_PERMITS / 2)));
    let first = run(&faulty.store(), &bank, UNLAPSING).await;
    faulty.holds_commits();
    let starts = five_starts(&first);
    assert_eq!(first.stop().await, Drained { handed_back: 0, cut_off: 0 });

    faulty.lets_commits_through();
    let started = five_new(&starts.await);
    assert_eq!(bank.count(Question::Initiate), 0, "nobody performs any more");
    another_takes_all_up_at_once(store, &bank, &started).await;
}

pub async fn a_caller_who_hangs_up_leaves_a_payment_that_is_performed(store: &Arc<dyn Store>) {
    let faulty = Faulty::over(store);
    let bank = answering_as_allowed(&Arc::new(Semaphore::new(Semaphore::MAX_PERMITS / 2)));
    let process = run(&faulty.store(), &bank, USUAL).await;
    faulty.holds_commits();
    let mut call = Box::pin(start(&process.engine, "one", terms(false)));
    assert!((&mut call).now_or_never().is_none(), "the start is being committed");
    eventually("the commit", async || (faulty.commits() > 0).then_some(())).await;
    drop(call);
    faulty.lets_commits_through();

    let id = is_started(store, "one").await;
    let reached = process.reaches(id, |one| &*one.phase == "awaiting_sca" || one.status.is_final()).await;
    assert_eq!((bank.count(Question::Initiate), reached.status), (1, Status::Processing), "sent, and once");
    process.stop().await;
}

pub async fn a_payment_that_was_lost_five_times_is_not_sent_again_but_looked_for(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Kind);
    let front = Options { steps_in_flight: 0, ..USUAL };
    let id = id_of(&start(&front_end(store, &bank, front).await, "one", terms(true)).await);
    for dead in 0..5 {
        let lane = store.overview(Look::AtLanes).await.unwrap().lanes.remove(0).lane;
        let (node, now) = (NodeId(format!("dead {dead}").into()), store.clock().now());
        let lapsed = store.claim(&[(lane, 1)], &node, now, Duration::ZERO).await.unwrap();
        assert_eq!(lapsed[0].losses, dead);
    }
    let process = run(store, &bank, USUAL).await;
    process.is_in(id, "in_doubt").await;
    // Only after the bank has said often enough that it knows none, it is sent under its key.
    process.is_in(id, "awaiting_sca").await;
    assert_eq!((bank.created(), bank.initiations()), (1, 1));
    process.stop().await;
}

/// A bank that answers an initiation when it has a permit for it.
fn answering_as_allowed(answers: &Arc<Semaphore>) -> Arc<Scripted> {
    let answers = Arc::clone(answers);
    Scripted::slow(move |call, _| {
        let (answers, call) = (Arc::clone(&answers), call.clone());
        async move {
            match call {
                PaymentsCall::Initiate(_) => {
                    answers.acquire().await.expect("it stays open").forget();
                    creates("p")
                }
                PaymentsCall::Locate { .. } => finds_none(),
                PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. } => {
                    stands(TransactionStatus::Rcvd)
                }
            }
        }
        .boxed()
    })
}

/// Five starts that have taken a hand each and wait for their commit.
fn five_starts(process: &Running) -> impl Future<Output = Vec<Started>> + use<> {
    let engine = process.engine.clone();
    let mut starts = Box::pin(async move { join_all((0..5).map(|n| start(&engine, n, terms(false)))).await });
    assert!((&mut starts).now_or_never().is_none(), "commits are held");
    starts
}

fn five_new(started: &[Started]) -> Vec<WorkflowId> {
    assert!(started.iter().all(|started| matches!(started, Started::New(_))), "{started:?}");
    started.iter().map(id_of).collect()
}

/// Nobody holds a claim, and a process that came after the first performs everything that was left, each once.
async fn another_takes_all_up_at_once(store: &Arc<dyn Store>, bank: &Arc<Scripted>, ids: &[WorkflowId]) {
    for id in ids {
        let tasks = store.tasks(*id).await.unwrap();
        assert!(!tasks.is_empty() && tasks.iter().all(|task| task.lease.is_none()), "{tasks:?}");
    }
    let second = run(store, bank, UNLAPSING).await;
    for id in ids {
        second.is_in(*id, "awaiting_sca").await;
    }
    assert_eq!(bank.count(Question::Initiate), ids.len(), "each was sent once");
    second.stop().await;
}
