//! What faults of the bank, the database and the neighbours come to. Each case is the shape of a mistake that loses or
//! doubles a payment, or of one that wears somebody out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Semaphore;
use workers::process::Options;
use workers::store::{Drop, Filter, HistoryRow, Instance, Move, NodeId, Op, Store, Written};
use workflows::engine::{Book, Class, Finding, Outcome, Refusal, Status};
use workflows::payment::{By, Event, Terms};
use workflows::ports::payments::TransactionStatus;
use workflows::ports::{PaymentsCall, PaymentsReply};
use workflows::remittance::Remittance;
use workflows::time::At;

use crate::bank::{Question, Scripted, creates, finds, finds_none, refuses, says, stands, wants_fewer_calls};
use crate::faulty::Faulty;
use crate::world::{USUAL, eventually, history, id_of, run, start_at, terms};

/// The version of documents that no process of today reads.
const NEWER: i64 = 99;

pub async fn what_a_repetition_is_refused_for_ends_no_payment(store: &Arc<dyn Store>) {
    // The first order had its effect and its answer was lost; there is no money left for a second one.
    let bank = Scripted::new(|call, nth| match call {
        PaymentsCall::Initiate(_) if nth == 1 => Finding::Unknown("504 after the effect"),
        PaymentsCall::Initiate(_) => refuses("INSUFFICIENT_FUNDS"),
        PaymentsCall::Locate { .. } => finds("p", TransactionStatus::Acsc),
        PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. } => {
            stands(TransactionStatus::Acsc)
        }
    });
    let process = run(store, &bank, USUAL).await;
    let id = process.start("one", terms(true)).await;
    assert_eq!(process.ended(id).await.status, Status::Completed, "the bank has executed it");
    assert_eq!(bank.count(Question::Initiate), 2, "it was repeated");
    process.stop().await;
}

pub async fn a_put_back_that_landed_without_an_answer_is_not_written_again(store: &Arc<dyn Store>) {
    let faulty = Faulty::over(store);
    faulty.loses_the_answer_to_a_put_back();
    let (counted, by_then) = (Arc::clone(&faulty), Arc::new(OnceLock::new()));
    let noted = Arc::clone(&by_then);
    let bank = Scripted::new(move |call, nth| match call {
        PaymentsCall::Initiate(_) => creates("p"),
        PaymentsCall::Status { .. } => {
            if nth == 2 {
                noted.set(counted.commits()).expect("there is one second poll");
            }
            stands(TransactionStatus::Rcvd)
        }
        PaymentsCall::Locate { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. } => {
            stands(TransactionStatus::Rcvd)
        }
    });
    let process = run(&faulty.store(), &bank, USUAL).await;
    // Long enough between two polls for many another try of the same commit.
    let pause = Duration::from_millis(500);
    process.start("one", Terms { poll_first: pause, poll_most: pause, ..terms(true) }).await;
    let commits = eventually("the second poll", async || by_then.get().copied()).await;
    assert_eq!(commits, 3, "the start, the payment that was created, one put-back");
    let polls = bank.times(Question::Status);
    assert!(polls[1].since(polls[0]) > pause / 2, "it came back when it was due and not before");
    process.stop().await;
}

pub async fn a_doubt_outlives_documents_that_only_a_newer_process_reads(store: &Arc<dyn Store>) {
    // A newer process writes while this one's order is out, and the answer to the order is lost. Nobody here can read
    // the instance any more, and whoever can must know that the order may have arrived: there is no key to repeat it.
    let neighbours = Arc::clone(store);
    let bank = Scripted::slow(move |call, _| {
        let (store, initiates) = (Arc::clone(&neighbours), matches!(call, PaymentsCall::Initiate(_)));
        async move {
            if initiates {
                a_newer_process_hears_a_wish_to_cancel(&store).await;
            }
            Finding::Unknown("timed out after the effect")
        }
        .boxed()
    });
    let process = run(store, &bank, USUAL).await;
    let id = process.start("one", terms(false)).await;
    bank.is_asked(Question::Initiate, 1).await;
    let aside = eventually("a task that was put aside", async || {
        let tasks = store.tasks(id).await.unwrap();
        let task = tasks.first().expect("the order is still owed");
        assert!(task.doubt || task.lease.is_some(), "the next claimer would send it a second time: {task:?}");
        (task.finding.as_deref() == Some("unreadable")).then(|| task.clone())
    })
    .await;
    assert!(aside.doubt, "{aside:?}");
    assert_eq!(bank.count(Question::Initiate), 1);
    process.stop().await;
}

pub async fn absence_is_not_proven_while_an_attempt_may_still_arrive(store: &Arc<dyn Store>) {
    // The claim is lost while the order is on the wire, and the order arrives just before its time is up.
    let faulty = Faulty::over(store);
    faulty.prolongs_nothing();
    let executed = Arc::new(AtomicBool::new(false));
    let at_bank = Arc::clone(&executed);
    let bank = Scripted::slow(move |call, _| {
        let (executed, call) = (Arc::clone(&at_bank), call.clone());
        async move {
            match call {
                PaymentsCall::Initiate(_) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    executed.store(true, Ordering::SeqCst);
                    creates("p")
                }
                PaymentsCall::Locate { .. } if executed.load(Ordering::SeqCst) => {
                    finds("p", TransactionStatus::Acsc)
                }
                PaymentsCall::Locate { .. } => finds_none(),
                PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. } => {
                    stands(TransactionStatus::Acsc)
                }
            }
        }
        .boxed()
    });
    let quick = Options { lease: Duration::from_millis(300), ..USUAL };
    let first = run(&faulty.store(), &bank, quick).await;
    let id = first.start("one", Terms { attempt: Duration::from_millis(2_500), ..terms(false) }).await;
    bank.is_asked(Question::Initiate, 1).await;
    eventually("the loss of the claim", async || {
        let tasks = store.tasks(id).await.unwrap();
        tasks.iter().all(|task| task.due_at <= store.clock().now()).then_some(())
    })
    .await;
    // A process looks for work as soon as it is there: the order is still on the wire.
    let second = run(&faulty.store(), &bank, quick).await;
    let end = second.ended(id).await;
    assert!(executed.load(Ordering::SeqCst), "it did not end before the bank had it");
    assert_eq!(end.status, Status::Completed);
    assert_eq!(bank.count(Question::Initiate), 1);
    first.stop().await;
    second.stop().await;
}

pub async fn an_answer_that_comes_after_its_claim_was_lost_is_heard(store: &Arc<dyn Store>) {
    // The bank takes its time over the first order. Meanwhile the claim is lost, the repetitions bring nothing, and
    // looking for the payment finds none; the only word that there is one is the late answer.
    let faulty = Faulty::over(store);
    faulty.prolongs_nothing();
    let (answer, at_bank) = (Arc::new(Semaphore::new(0)), Arc::new(OnceLock::new()));
    let (held, executed) = (Arc::clone(&answer), Arc::clone(&at_bank));
    let bank = Scripted::slow(move |call, nth| {
        let (held, call) = (Arc::clone(&held), call.clone());
        let status = executed.get().cloned().unwrap_or(TransactionStatus::Rcvd);
        async move {
            match call {
                PaymentsCall::Initiate(_) if nth == 1 => {
                    held.acquire().await.expect("it stays open").forget();
                    creates("late")
                }
                PaymentsCall::Initiate(_) => Finding::Unknown("504"),
                PaymentsCall::Locate { .. } => finds_none(),
                PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. } => {
                    stands(status)
                }
            }
        }
        .boxed()
    });
    let process = run(&faulty.store(), &bank, USUAL).await;
    let (attempt, visibility_lag) = (Duration::from_secs(20), Duration::from_hours(1));
    let id = process.start("one", Terms { attempt, visibility_lag, ..terms(true) }).await;
    let doubt = process.is_in(id, "in_doubt").await;
    answer.add_permits(1);
    let found = process.is_in(id, "awaiting_sca").await;
    assert_eq!(found.seq, doubt.seq + 1);
    let rows = history(store, id).await;
    let (heard, attempts) = (rows.last().unwrap(), bank.count(Question::Initiate));
    assert!(heard.occurrence.contains(r#""created":{"payment":"late""#), "{}", heard.occurrence);
    assert_eq!((&*heard.step, heard.attempt, attempts), ("initiate", 1, 4), "it is the first order's answer");
    at_bank.set(TransactionStatus::Acsc).expect("it is executed once");
    assert_eq!(process.ended(id).await.status, Status::Completed);
    process.stop().await;
}

pub async fn nothing_is_sent_again_after_the_provider_forgot_the_key(store: &Arc<dyn Store>) {
    // Looking for the payment fails until the window is over; then the bank knows of none.
    let bank = Scripted::new(|call, nth| match call {
        PaymentsCall::Initiate(_) => Finding::Unknown("no answer"),
        PaymentsCall::Locate { .. } if nth < 8 => Finding::NotSent("the provider is down"),
        PaymentsCall::Locate { .. } => finds_none(),
        PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } | PaymentsCall::Probe { .. } => {
            Finding::Unknown("nobody asks this here")
        }
    });
    let process = run(store, &bank, USUAL).await;
    let window = Duration::from_millis(300);
    // A key is not used for as long as the request may take and be on its way: the attempt, and 30 s.
    let on_the_way = terms(true).attempt + Duration::from_secs(30);
    let id = process.start("one", Terms { replay: Some(window + on_the_way), ..terms(true) }).await;
    process.ended(id).await;
    let sent = bank.times(Question::Initiate);
    let late: Vec<_> = sent.iter().map(|at| at.since(sent[0])).filter(|after| *after > window).collect();
    assert!(late.is_empty(), "sent again when the provider may forget the key: {late:?}");
    assert!(bank.count(Question::Locate) > 8, "it was still in doubt when the window was over");
    process.stop().await;
}

pub async fn a_cancellation_that_nobody_confirms_is_asked_for_ever_more_seldom_and_an_operator_is_called(
    store: &Arc<dyn Store>,
) {
    let bank = Scripted::new(|call, _| match call {
        PaymentsCall::Initiate(_) => creates("p"),
        PaymentsCall::Cancel { .. } => Finding::Unknown("202: the payer has to confirm the cancellation"),
        PaymentsCall::Status { .. } | PaymentsCall::Locate { .. } | PaymentsCall::Probe { .. } => {
            stands(TransactionStatus::Rcvd)
        }
    });
    let process = run(store, &bank, USUAL).await;
    let terms = Terms {
        sca_timeout: Duration::from_millis(100),
        poll_first: Duration::from_millis(20),
        poll_most: Duration::from_secs(1),
        overdue: Duration::from_millis(200),
        ..terms(true)
    };
    let id = process.start("one", terms).await;
    // Each round the bank is asked three times to cancel; after a pause it is asked how the payment stands.
    bank.is_asked(Question::Cancel, 3 * 5 + 1).await;
    let (cancels, statuses) = (bank.times(Question::Cancel), bank.times(Question::Status));
    let pauses: Vec<_> = cancels[2..]
        .iter()
        .step_by(3)
        .filter_map(|last| statuses.iter().find(|status| *status > last).map(|next| next.since(*last)))
        .collect();
    let doubled = [20, 40, 80, 160, 320].map(Duration::from_millis);
    assert!(
        pauses.len() == 5 && pauses.iter().zip(doubled).all(|(pause, least)| *pause >= least),
        "{pauses:?}"
    );
    let closing = process.reaches(id, |instance| instance.attention.is_some()).await;
    assert!(closing.seq < 40, "{} transitions in five rounds", closing.seq);
    process.stop().await;
}

pub async fn a_bank_that_wants_fewer_calls_and_no_wait_is_left_alone_for_a_while(store: &Arc<dyn Store>) {
    // `Retry-After: 0`, or a date that has passed.
    let bank = Scripted::new(|call, _| match call {
        PaymentsCall::Initiate(_) => creates("p"),
        PaymentsCall::Status { .. }
        | PaymentsCall::Locate { .. }
        | PaymentsCall::Cancel { .. }
        | PaymentsCall::Probe { .. } => wants_fewer_calls(Duration::ZERO),
    });
    let process = run(store, &bank, USUAL).await;
    let wait = Duration::from_millis(150);
    process.start("one", Terms { poll_first: wait, poll_most: wait, retry_base: wait, ..terms(true) }).await;
    bank.is_asked(Question::Status, 4).await;
    let gaps = gaps(&bank.times(Question::Status));
    assert!(gaps.iter().all(|gap| *gap >= wait), "{gaps:?} to a bank that said 429");
    process.stop().await;
}

pub async fn a_payer_is_told_once_that_the_payment_waits_however_often_it_is_parked(store: &Arc<dyn Store>) {
    // The provider is healthy and refuses our credentials, and the payment starts by itself when it is.
    let bank = Scripted::new(|call, _| match call {
        PaymentsCall::Initiate(_) => {
            Finding::Refused(Refusal { code: "TOKEN_INVALID".to_owned(), class: Class::Credential })
        }
        PaymentsCall::Status { .. }
        | PaymentsCall::Locate { .. }
        | PaymentsCall::Cancel { .. }
        | PaymentsCall::Probe { .. } => says(PaymentsReply::Ready),
    });
    let process = run(store, &bank, USUAL).await;
    let id = process.start("one", Terms { auto_start: true, ..terms(true) }).await;
    bank.is_asked(Question::Initiate, 6).await;
    let told: Vec<_> = store.messages(id).await.unwrap().into_iter().map(|message| message.about).collect();
    assert_eq!(told, ["payment.queued"]);
    let gaps = gaps(&bank.times(Question::Initiate));
    let growing = [0, 80, 200, 200, 200].map(Duration::from_millis);
    assert!(gaps.len() >= 5 && gaps.iter().zip(growing).all(|(gap, least)| *gap >= least), "{gaps:?}");
    process.stop().await;
}

pub async fn a_lane_that_hangs_leaves_hands_for_the_others(store: &Arc<dyn Store>) {
    let (answers, most) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (allowed, at_bank, seen) = (Arc::clone(&answers), Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
    let bank = Scripted::slow(move |call, _| {
        let hangs = matches!(call, PaymentsCall::Initiate(initiation) if initiation.bank.0 == "hangs");
        let (allowed, hanging, most) = (Arc::clone(&allowed), Arc::clone(&at_bank), Arc::clone(&seen));
        async move {
            if hangs {
                most.fetch_max(hanging.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                allowed.acquire().await.expect("it stays open").forget();
                hanging.fetch_sub(1, Ordering::SeqCst);
            }
            creates("p")
        }
        .boxed()
    });
    let process = run(store, &bank, USUAL).await;
    let patient = Terms { attempt: Duration::from_mins(5), ..terms(true) };
    for n in 0..64 {
        start_at(&process.engine, "hangs", n, patient.clone()).await;
    }
    // At first, and again when the first ones have been answered and the backlog had its chance at their hands.
    for (healthy, answered) in [("first", 0), ("again", 10)] {
        answers.add_permits(answered);
        bank.is_asked(Question::Initiate, 2 + answered + usize::from(answered > 0)).await;
        let id = id_of(&start_at(&process.engine, "healthy", healthy, terms(true)).await);
        let begun = process.engine.now();
        process.is_in(id, "awaiting_sca").await;
        let waited = process.engine.now().since(begun);
        assert!(waited < Duration::from_secs(5), "the healthy bank's payment waited {waited:?}");
    }
    answers.add_permits(64);
    process.stop().await;
    assert_eq!(most.load(Ordering::SeqCst), 2, "a lane takes a quarter of the hands");
}

pub async fn a_payment_that_is_taken_back_while_it_waits_to_be_sent_again_is_not_sent(
    store: &Arc<dyn Store>,
) {
    let wish = Duration::from_millis(400);
    // A wait that is longer than ours ever are parks the payment; a shorter one leaves the order waiting.
    for (phase, longest) in [("parked", wish / 2), ("initiating", wish * 2)] {
        let bank = Scripted::new(move |call, nth| match call {
            PaymentsCall::Initiate(_) if nth == 1 => wants_fewer_calls(wish),
            PaymentsCall::Initiate(_) => creates("p"),
            PaymentsCall::Cancel { .. } => says(PaymentsReply::Cancelled),
            PaymentsCall::Probe { .. } => Finding::NotSent("asked too early"),
            PaymentsCall::Status { .. } | PaymentsCall::Locate { .. } => stands(TransactionStatus::Rcvd),
        });
        let process = run(store, &bank, USUAL).await;
        // Each has a bank of its own, since a bank that wants fewer calls gets none from anybody.
        let terms = Terms { poll_most: longest, ..terms(false) };
        let id = id_of(&start_at(&process.engine, phase, phase, terms).await);
        // The bank's answer is stored when nobody holds a claim.
        eventually("the wait", async || {
            let tasks = store.tasks(id).await.unwrap();
            tasks.iter().all(|task| task.lease.is_none()).then_some(())
        })
        .await;
        let waiting = process.is_in(id, phase).await;
        process.engine.tell(id, &Event::CancelAsked { by: By::User }, "usr_kari", None).await.unwrap();
        let end = process.ended(id).await;
        assert_eq!(end.status, Status::Cancelled, "from {}", waiting.phase);
        assert_eq!(bank.count(Question::Initiate), 1, "nothing was sent before the wish, nor after it");
        process.stop().await;
    }
}

/// Writes what a newer process would: a lawful transition, in documents of its own version.
async fn a_newer_process_hears_a_wish_to_cancel(store: &Arc<dyn Store>) {
    let newest = Filter { limit: 1, ..Filter::default() };
    let before = store.list(&newest).await.unwrap().remove(0);
    let now = store.clock().now();
    let book = Book::default().with::<Remittance>();
    let live = book.get(&before.kind).unwrap().open(before.version, &before.order, &before.state).unwrap();
    let wish = serde_json::to_string(&Event::CancelAsked { by: By::User }).unwrap();
    let Ok(Outcome::Moved(moved)) = live.said(&wish, now) else { panic!("a wish to cancel is heard") };
    let view = moved.next.view();
    let row = HistoryRow {
        instance: before.id,
        seq: before.seq + 1,
        at: now,
        occurrence: moved.occurrence.into(),
        status: view.status.as_str().into(),
        phase: view.phase.into(),
        actor: "usr_kari".into(),
        step: "".into(),
        attempt: 0,
        latency_us: 0,
        hash: "".into(),
    }
    .chained(&before.hash);
    let (seq, hash, state) = (row.seq, Arc::clone(&row.hash), moved.next.state_doc().into());
    let after = Instance { version: NEWER, seq, hash, state, updated_at: now, ..before };
    let op = Move {
        instance: Arc::new(after),
        upcast: false,
        consume: None,
        heard: None,
        history: row,
        drop: Drop::Named(vec![]),
        put: vec![],
        tell: vec![],
    };
    let written = store.commit(&[Op::Move(Box::new(op))], &NodeId("newer".into())).await.unwrap();
    assert_eq!(written, [Written::Committed]);
}

fn gaps(times: &[At]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}
