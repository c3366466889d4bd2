//! Breakers, modes, holds and queues over real processes: what is sent, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use workers::controls::breaker::Rules;
use workers::controls::ramp::{Ramp, Stages};
use workers::controls::{
    Action, Cause, Drain, Gate, HoldOn, PispMode, Scope, Settings, Switch, Verdict, held_aside,
};
use workers::store::Store;
use workflows::engine::{Finding, Lane, Status};
use workflows::ids::WorkflowId;
use workflows::payment::{By, Event, Terms};
use workflows::ports::payments::TransactionStatus;
use workflows::ports::{PaymentsCall, PaymentsReply};

use crate::bank::{Question, Scripted, creates, finds_none, says, stands};
use crate::world::{Running, USUAL, eventually, id_of, run_with, start_at, start_in_shop, terms};

const PROVIDER: &str = "neonomics";

pub async fn failures_at_a_bank_stop_what_failed_there_and_nothing_else(store: &Arc<dyn Store>) {
    let bank = bank_that_is(&Arc::new(AtomicBool::new(false)));
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_mins(5))).await;
    // A bank whose initiations are lost is asked about each payment, and gets no more of them.
    for key in ["1", "2", "3"] {
        let id = at(&process, "dnb", key, terms(false)).await;
        process.is_in(id, "in_doubt").await;
    }
    assert_eq!(process.controls.gate(&initiate("dnb")), Gate::Shut(workers::controls::Reason::Broken));
    let parked = at(&process, "dnb", "4", terms(true)).await;
    process.is_in(parked, "parked").await;
    assert_eq!(bank.count(Question::Initiate), 3, "nothing is sent while it is open");
    let looked = bank.count(Question::Locate);
    bank.is_asked(Question::Locate, looked + 1).await;
    // Another bank goes on, and so does taking back what was never sent.
    let other = at(&process, "nordea", "5", terms(true)).await;
    process.is_in(other, "awaiting_sca").await;
    process.engine.tell(parked, &Event::CancelAsked { by: By::User }, "usr_kari", None).await.unwrap();
    assert_eq!(process.ended(parked).await.status, Status::Cancelled);
    assert_eq!(bank.count(Question::Probe), 0, "it is left alone");
    process.stop().await;

    // What is known survives a restart.
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_mins(5))).await;
    let parked = at(&process, "dnb", "6", terms(true)).await;
    process.is_in(parked, "parked").await;
    assert_eq!(bank.count(Question::Initiate), 4, "three at one bank, one at the other");
    // An operator knows better.
    process.controls.breaker(&Scope::bank(PROVIDER, "dnb"), Action::Close, &operator()).await.unwrap();
    process.is_in(parked, "awaiting_user").await;
    process.stop().await;
}

pub async fn one_probe_and_then_one_payment_lead_back_whatever_processes_there_are(store: &Arc<dyn Store>) {
    let well = Arc::new(AtomicBool::new(false));
    let (at_bank, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (is_well, in_flight, seen) = (Arc::clone(&well), Arc::clone(&at_bank), Arc::clone(&most));
    let bank = Scripted::slow(move |call, _| match call {
        PaymentsCall::Initiate(initiation) if is_well.load(Ordering::SeqCst) => {
            let (in_flight, seen) = (Arc::clone(&in_flight), Arc::clone(&seen));
            let id = initiation.end_to_end.as_str().to_owned();
            async move {
                // The first one is slow enough for others to overtake it, if they could.
                let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
                if seen.load(Ordering::SeqCst) == 0 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    seen.store(in_flight.load(Ordering::SeqCst).max(now), Ordering::SeqCst);
                }
                in_flight.fetch_sub(1, Ordering::SeqCst);
                creates(&id)
            }
            .boxed()
        }
        PaymentsCall::Probe { .. } => {
            let ready = is_well.load(Ordering::SeqCst);
            let finding = if ready { says(PaymentsReply::Ready) } else { Finding::Unknown("no answer") };
            std::future::ready(finding).boxed()
        }
        PaymentsCall::Initiate(_) | PaymentsCall::Locate { .. } => {
            std::future::ready(Finding::Unknown("no answer")).boxed()
        }
        PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } => {
            std::future::ready(stands(TransactionStatus::Rcvd)).boxed()
        }
    });
    let settings = opening_for(Duration::from_millis(300));
    let one = run_with(store, &bank, USUAL, settings.clone()).await;
    let other = run_with(store, &bank, USUAL, settings).await;
    for key in ["1", "2", "3"] {
        let id = at(&one, "dnb", key, terms(false)).await;
        one.is_in(id, "in_doubt").await;
    }
    eventually("the other one knows", async || {
        (other.controls.gate(&initiate("dnb")) != Gate::Open).then_some(())
    })
    .await;
    let mut parked = vec![];
    for key in 0..6 {
        let id = at(&other, "dnb", &format!("parked {key}"), Terms { auto_start: true, ..terms(true) }).await;
        parked.push(id);
    }
    bank.is_asked(Question::Probe, 1).await;
    let sent_while_open = bank.count(Question::Initiate);
    well.store(true, Ordering::SeqCst);
    for id in parked {
        one.is_in(id, "awaiting_sca").await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 1, "nobody went beside the first one");
    assert_eq!(sent_while_open, 3);
    eventually("everything passes", async || {
        (one.controls.gate(&initiate("dnb")) == Gate::Open).then_some(())
    })
    .await;
    one.stop().await;
    other.stop().await;
}

pub async fn a_provider_out_of_reach_stops_every_bank_until_it_is_reached(store: &Arc<dyn Store>) {
    let reached = Arc::new(AtomicBool::new(false));
    let is_reached = Arc::clone(&reached);
    let bank = Scripted::new(move |call, _| match call {
        _ if !is_reached.load(Ordering::SeqCst) => Finding::NotSent("no connection"),
        PaymentsCall::Initiate(initiation) => creates(initiation.end_to_end.as_str()),
        PaymentsCall::Probe { .. } => says(PaymentsReply::Ready),
        PaymentsCall::Status { .. } | PaymentsCall::Locate { .. } | PaymentsCall::Cancel { .. } => {
            stands(TransactionStatus::Rcvd)
        }
    });
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_millis(600))).await;
    let first = at(&process, "dnb", "first", terms(true)).await;
    process.is_in(first, "parked").await;
    // Nobody is told that it may go on before the provider was reached: the probes fail and open the breaker.
    eventually("the provider is given up", async || {
        (process.controls.gate(&initiate("nordea")) == Gate::Shut(workers::controls::Reason::Broken))
            .then_some(())
    })
    .await;
    let second = at(&process, "nordea", "second", terms(true)).await;
    process.is_in(second, "parked").await;
    assert_eq!(bank.count(Question::Initiate), 1);
    reached.store(true, Ordering::SeqCst);
    for id in [first, second] {
        process.is_in(id, "awaiting_user").await;
    }
    process.stop().await;
}

pub async fn modes_and_holds_stop_money_and_nothing_else(store: &Arc<dyn Store>) {
    let well = Arc::new(AtomicBool::new(true));
    let bank = bank_that_is(&well);
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_mins(5))).await;
    let sent = at(&process, "dnb", "sent", terms(true)).await;
    process.is_in(sent, "awaiting_sca").await;
    let controls = &process.controls;
    let go_on = Terms { auto_start: true, ..terms(true) };

    controls.set(&Switch::Pisp(Scope::All, PispMode::Queue), operator()).await.unwrap();
    let queued = at(&process, "dnb", "queued", go_on.clone()).await;
    process.is_in(queued, "parked").await;
    // What stands at the bank is still asked about.
    let asked = bank.count(Question::Status);
    bank.is_asked(Question::Status, asked + 2).await;
    assert_eq!(bank.count(Question::Initiate), 1);
    controls.set(&Switch::Pisp(Scope::All, PispMode::Live), operator()).await.unwrap();
    process.is_in(queued, "awaiting_sca").await;

    for (hold, key) in [
        (HoldOn::Bank(PROVIDER.to_owned(), "dnb".to_owned()), "bank"),
        (HoldOn::Provider(PROVIDER.to_owned()), "provider"),
        (HoldOn::Kind("remittance".to_owned()), "kind"),
    ] {
        controls.hold(&hold, operator()).await.unwrap();
        let before = bank.count(Question::Initiate);
        let held = at(&process, "dnb", key, go_on.clone()).await;
        process.is_in(held, "parked").await;
        assert_eq!(bank.count(Question::Initiate), before, "{hold}");
        controls.unhold(&hold, &operator()).await.unwrap();
        process.is_in(held, "awaiting_sca").await;
    }
    process.stop().await;
}

pub async fn a_change_reaches_other_processes_and_a_queue_is_let_out_oldest_first_by_its_stages(
    store: &Arc<dyn Store>,
) {
    let bank = bank_that_is(&Arc::new(AtomicBool::new(true)));
    let stage = Duration::from_millis(700);
    let ramp = Stages { each: vec![1, 2], long: stage };
    let settings = Settings { ramp, ..opening_for(Duration::from_mins(5)) };
    let one = run_with(store, &bank, USUAL, settings.clone()).await;
    let other = run_with(store, &bank, USUAL, settings).await;
    one.controls.set(&Switch::Pisp(Scope::All, PispMode::Queue), operator()).await.unwrap();
    eventually("the other one knows", async || {
        (other.controls.pisp(PROVIDER, "dnb") == PispMode::Queue).then_some(())
    })
    .await;
    let mut queued = vec![];
    for key in 0..6 {
        let process = if key % 2 == 0 { &one } else { &other };
        let id = at(process, "dnb", &key.to_string(), Terms { auto_start: true, ..terms(true) }).await;
        process.is_in(id, "parked").await;
        queued.push(id);
    }
    other.controls.set(&Switch::Pisp(Scope::All, PispMode::Live), operator()).await.unwrap();
    bank.is_asked(Question::Initiate, 6).await;
    let times = bank.times(Question::Initiate);
    // However late an attempt came to the bank, it was let out in its stage and not before.
    assert!(times[3].since(times[0]) >= stage / 2, "{times:?}");
    for id in &queued {
        one.is_in(*id, "awaiting_sca").await;
    }
    let mut sent = vec![];
    for id in queued {
        sent.push(sent_at(store, id).await);
    }
    assert!(sent[0] < sent[3] && sent[2] < sent[5], "who waited longer goes first: {sent:?}");
    one.stop().await;
    other.stop().await;
}

pub async fn a_held_payment_uses_up_nothing_of_what_its_queue_lets_through(store: &Arc<dyn Store>) {
    let bank = bank_that_is(&Arc::new(AtomicBool::new(true)));
    // Two in a time that is longer than any case waits.
    let ramp = Stages { each: vec![2], long: Duration::from_mins(5) };
    let process =
        run_with(store, &bank, USUAL, Settings { ramp, ..opening_for(Duration::from_mins(5)) }).await;
    let controls = &process.controls;
    let turn = async |mode| controls.set(&Switch::Pisp(Scope::All, mode), operator()).await.unwrap();
    let go_on = Terms { auto_start: true, ..terms(true) };
    turn(PispMode::Queue).await;
    let mut queued = vec![];
    for key in ["held", "next", "of a held kind"] {
        let id = at(&process, "dnb", key, go_on.clone()).await;
        process.is_in(id, "parked").await;
        queued.push(id);
    }
    let [held, next, last] = queued[..] else { panic!("three") };
    for id in [held, last] {
        controls.hold(&HoldOn::Instance(id), operator()).await.unwrap();
    }
    turn(PispMode::Live).await;
    process.is_in(next, "awaiting_sca").await;
    // The third is held by its kind from here on, and it is looked at.
    controls.hold(&HoldOn::Kind("remittance".to_owned()), operator()).await.unwrap();
    controls.unhold(&HoldOn::Instance(last), &operator()).await.unwrap();
    let by_kind = HoldOn::Kind("remittance".to_owned());
    let aside = async || (aside_by(store, last).await? == by_kind).then_some(());
    eventually("a look at what a kind's hold stops", aside).await;
    let queue = Lane::of(PROVIDER, "dnb", "queue");
    let released = async || match controls.snapshot().queues().find(|(lane, _)| **lane == queue)?.1.ramp? {
        Ramp::Running { released: 1, .. } => Some(()),
        Ramp::Running { .. } | Ramp::Waiting => None,
    };
    eventually("one that counts: the one that was sent", released).await;
    assert_eq!(bank.count(Question::Initiate), 1);
    process.stop().await;
}

pub async fn a_payment_that_was_held_comes_before_those_that_were_accepted_after_it(store: &Arc<dyn Store>) {
    let bank = bank_that_is(&Arc::new(AtomicBool::new(true)));
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_mins(5))).await;
    let controls = &process.controls;
    let queue = Lane::of(PROVIDER, "dnb", "queue");
    controls.set(&Switch::Pisp(Scope::All, PispMode::Queue), operator()).await.unwrap();
    let mut queued = vec![];
    for key in ["first", "second", "third"] {
        let id = at(&process, "dnb", key, Terms { auto_start: true, ..terms(true) }).await;
        process.is_in(id, "parked").await;
        queued.push(id);
    }
    let hold = HoldOn::Instance(queued[0]);
    controls.hold(&hold, operator()).await.unwrap();
    controls.drain(&queue, Drain::PerMinute(1), operator()).await.unwrap();
    controls.set(&Switch::Pisp(Scope::All, PispMode::Live), operator()).await.unwrap();
    process.is_in(queued[1], "awaiting_sca").await;
    assert_eq!(aside_by(store, queued[0]).await, Some(hold.clone()));
    controls.unhold(&hold, &operator()).await.unwrap();
    let is_back = async || aside_by(store, queued[0]).await.is_none().then_some(());
    eventually("it is back in the queue", is_back).await;
    controls.drain(&queue, Drain::PerMinute(2), operator()).await.unwrap();
    process.is_in(queued[0], "awaiting_sca").await;
    assert_eq!(bank.count(Question::Initiate), 2, "the third, which was accepted last, waits");
    process.stop().await;
}

pub async fn a_kind_that_is_held_is_looked_at_once_and_keeps_nobody_waiting(store: &Arc<dyn Store>) {
    const MANY: usize = 200;
    let bank = bank_that_is(&Arc::new(AtomicBool::new(true)));
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_mins(5))).await;
    let controls = &process.controls;
    let go_on = Terms { auto_start: true, ..terms(true) };
    controls.set(&Switch::Pisp(Scope::All, PispMode::Queue), operator()).await.unwrap();
    let mut remittances = vec![];
    for key in 0..MANY {
        remittances.push(at(&process, "dnb", &key.to_string(), go_on.clone()).await);
    }
    let mut others = vec![];
    for key in 0..3 {
        let id = start_in_shop(&process.engine, "dnb", format!("shop {key}"), go_on.clone()).await;
        others.push(id);
    }
    for id in remittances.iter().chain(&others) {
        process.is_in(*id, "parked").await;
    }
    let hold = HoldOn::Kind("remittance".to_owned());
    controls.hold(&hold, operator()).await.unwrap();
    controls.set(&Switch::Pisp(Scope::All, PispMode::Live), operator()).await.unwrap();
    for id in others {
        process.is_in(id, "awaiting_sca").await;
    }
    eventually("all of them are put aside", async || {
        for id in &remittances {
            if aside_by(store, *id).await.as_ref() != Some(&hold) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let looks = async || {
        let mut looks = 0;
        for id in &remittances {
            let tasks = store.tasks(*id).await.unwrap();
            let aside = tasks.into_iter().filter(|row| held_aside(&row.lane).is_some());
            looks += aside.map(|row| row.task.fence).sum::<i64>();
        }
        (usize::try_from(looks).unwrap(), controls.snapshot().revision())
    };
    let (looked, revision) = looks().await;
    assert_eq!(looked, MANY, "each once");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(looks().await, (looked, revision), "what is put aside costs nothing");
    assert_eq!(bank.count(Question::Initiate), 3);
    controls.unhold(&hold, &operator()).await.unwrap();
    for id in [remittances[0], remittances[MANY - 1]] {
        process.is_in(id, "awaiting_sca").await;
    }
    process.stop().await;
}

pub async fn a_probe_that_hangs_keeps_no_new_payment_waiting(store: &Arc<dyn Store>) {
    let bank = Scripted::slow(|call, _| match call {
        PaymentsCall::Probe { .. } => async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Finding::Unknown("no answer")
        }
        .boxed(),
        PaymentsCall::Initiate(_) | PaymentsCall::Locate { .. } => {
            std::future::ready(Finding::Unknown("no answer")).boxed()
        }
        PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } => {
            std::future::ready(stands(TransactionStatus::Rcvd)).boxed()
        }
    });
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_millis(300))).await;
    for key in ["1", "2", "3"] {
        let id = at(&process, "dnb", key, terms(false)).await;
        process.is_in(id, "in_doubt").await;
    }
    let is = async |gate| (process.controls.gate(&initiate("dnb")) == gate).then_some(());
    eventually("its time is over", async || is(Gate::Probed).await).await;
    let began = process.engine.now();
    let waits = at(&process, "dnb", "4", terms(true)).await;
    process.is_in(waits, "parked").await;
    let next = at(&process, "dnb", "5", terms(true)).await;
    process.is_in(next, "parked").await;
    let took = process.engine.now().since(began);
    assert!(took < Duration::from_secs(5), "{took:?} while the probe hangs");
    assert_eq!((bank.count(Question::Probe), bank.count(Question::Initiate)), (1, 3));
    process.stop().await;
}

pub async fn reads_of_accounts_alone_lead_a_provider_back(store: &Arc<dyn Store>) {
    let reached = Arc::new(AtomicBool::new(false));
    let is_reached = Arc::clone(&reached);
    let bank = Scripted::new(move |call, _| match call {
        _ if !is_reached.load(Ordering::SeqCst) => Finding::NotSent("no connection"),
        PaymentsCall::Initiate(initiation) => creates(initiation.end_to_end.as_str()),
        PaymentsCall::Probe { .. } => says(PaymentsReply::Ready),
        PaymentsCall::Status { .. } | PaymentsCall::Locate { .. } | PaymentsCall::Cancel { .. } => {
            stands(TransactionStatus::Rcvd)
        }
    });
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_millis(300))).await;
    let controls = &process.controls;
    // No payment is made at all.
    controls.set(&Switch::Pisp(Scope::All, PispMode::Disabled), operator()).await.unwrap();
    let reads = Lane::of(PROVIDER, "dnb", "aisp");
    for _ in 0..3 {
        let admitted = controls.admit(reads.clone()).await.unwrap();
        controls.report(admitted, Verdict::Unreached).await;
    }
    assert_eq!(controls.gate(&reads), Gate::Shut(workers::controls::Reason::Broken));
    eventually("somebody looks whether it is back, because somebody reads", async || {
        assert!(controls.admit(reads.clone()).await.is_err(), "it is not");
        (bank.count(Question::Probe) > 0).then_some(())
    })
    .await;
    reached.store(true, Ordering::SeqCst);
    let admitted =
        eventually("a read is let through", async || controls.admit(reads.clone()).await.ok()).await;
    controls.report(admitted, Verdict::Answered).await;
    assert_eq!(controls.gate(&reads), Gate::Open);
    controls.set(&Switch::Pisp(Scope::All, PispMode::Live), operator()).await.unwrap();
    let id = at(&process, "dnb", "afterwards", terms(true)).await;
    process.is_in(id, "awaiting_sca").await;
    process.stop().await;
}

pub async fn a_provider_that_fails_at_several_banks_is_shut_for_all_and_one_bank_shuts_no_other(
    store: &Arc<dyn Store>,
) {
    let fails = || Finding::Unknown("the provider failed");
    let (well, down) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (is_well, is_down) = (Arc::clone(&well), Arc::clone(&down));
    let bank = Scripted::new(move |call, _| match call {
        PaymentsCall::Probe { .. } if !is_well.load(Ordering::SeqCst) => fails(),
        PaymentsCall::Probe { .. } => says(PaymentsReply::Ready),
        PaymentsCall::Initiate(one) if one.bank.0 == "dnb" || is_down.load(Ordering::SeqCst) => fails(),
        PaymentsCall::Initiate(initiation) => creates(initiation.end_to_end.as_str()),
        PaymentsCall::Locate { .. } => finds_none(),
        PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } => stands(TransactionStatus::Rcvd),
    });
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_secs(2))).await;
    let gate = |bank| process.controls.gate(&Lane::of(PROVIDER, bank, "status"));
    for key in ["1", "2", "3"] {
        let id = at(&process, "dnb", key, terms(false)).await;
        process.is_in(id, "in_doubt").await;
    }
    assert_ne!(process.controls.gate(&initiate("dnb")), Gate::Open);
    let other = at(&process, "nordea", "4", terms(true)).await;
    process.is_in(other, "awaiting_sca").await;
    assert_eq!(gate("sb1"), Gate::Open, "one bank is down");
    down.store(true, Ordering::SeqCst);
    at(&process, "nordea", "5", terms(false)).await;
    eventually("the provider is given up", async || (gate("sb1") != Gate::Open).then_some(())).await;
    let parked = at(&process, "sb1", "6", Terms { auto_start: true, ..terms(true) }).await;
    process.is_in(parked, "parked").await;
    // One that answers every probe with its own failure is not back.
    bank.is_asked(Question::Probe, 2).await;
    down.store(false, Ordering::SeqCst);
    well.store(true, Ordering::SeqCst);
    process.is_in(parked, "awaiting_sca").await;
    process.stop().await;
}

pub async fn a_breaker_opened_by_hand_stops_new_payments_and_not_the_truth(store: &Arc<dyn Store>) {
    let bank = bank_that_is(&Arc::new(AtomicBool::new(true)));
    let process = run_with(store, &bank, USUAL, opening_for(Duration::from_mins(5))).await;
    for (n, scope) in
        [Scope::bank(PROVIDER, "dnb"), Scope::Provider(PROVIDER.to_owned())].into_iter().enumerate()
    {
        let sent = at(&process, "dnb", &format!("sent {n}"), terms(true)).await;
        process.is_in(sent, "awaiting_sca").await;
        process.controls.breaker(&scope, Action::Open, &operator()).await.unwrap();
        let parked = at(&process, "dnb", &format!("parked {n}"), terms(true)).await;
        process.is_in(parked, "parked").await;
        let (asked, taken_back) = (bank.count(Question::Status), bank.count(Question::Cancel));
        bank.is_asked(Question::Status, asked + 2).await;
        process.engine.tell(sent, &Event::CancelAsked { by: By::User }, "usr_kari", None).await.unwrap();
        bank.is_asked(Question::Cancel, taken_back + 1).await;
        process.controls.breaker(&scope, Action::Close, &operator()).await.unwrap();
        process.is_in(parked, "awaiting_user").await;
    }
    process.stop().await;
}

/// The hold that a payment is put aside for.
async fn aside_by(store: &Arc<dyn Store>, id: WorkflowId) -> Option<HoldOn> {
    let tasks = store.tasks(id).await.unwrap();
    tasks.iter().find_map(|row| held_aside(&row.lane)).map(|(_, hold)| hold)
}

/// When a payment came to stand at the bank.
async fn sent_at(store: &Arc<dyn Store>, id: WorkflowId) -> workflows::time::At {
    let rows = store.history(id, 0, 1_000).await.unwrap();
    rows.iter().find(|row| &*row.phase == "awaiting_sca").expect("it was sent").at
}

/// Starts a payment at a bank.
async fn at(process: &Running, bank: &str, key: &str, terms: Terms) -> WorkflowId {
    id_of(&start_at(&process.engine, bank, key, terms).await)
}

/// A bank that answers while it is well, and loses every initiation at `dnb` while it is not.
fn bank_that_is(well: &Arc<AtomicBool>) -> Arc<Scripted> {
    let well = Arc::clone(well);
    Scripted::new(move |call, _| match call {
        PaymentsCall::Initiate(initiation) if initiation.bank.0 != "dnb" || well.load(Ordering::SeqCst) => {
            creates(initiation.end_to_end.as_str())
        }
        PaymentsCall::Initiate(_) => Finding::Unknown("no answer"),
        PaymentsCall::Locate { .. } => finds_none(),
        PaymentsCall::Status { .. } | PaymentsCall::Cancel { .. } => stands(TransactionStatus::Rcvd),
        PaymentsCall::Probe { .. } => says(PaymentsReply::Ready),
    })
}

/// Three failures open it for so long; a queue is let out without steps.
fn opening_for(open_for: Duration) -> Settings {
    Settings {
        breaker: Rules { failures: 3, window: Duration::from_mins(1), open_for },
        ramp: Stages { each: vec![], long: Duration::from_millis(20) },
        ..Settings::default()
    }
}

fn initiate(bank: &str) -> Lane {
    Lane::of(PROVIDER, bank, "initiate")
}

fn operator() -> Cause {
    Cause { actor: "opr_ola".to_owned(), reason: "a case".to_owned(), expires_at: None }
}
