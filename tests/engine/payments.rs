//! Payments from their start to their end, with a bank that has its moods.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::join_all;
use workers::engine::{Started, Told};
use workers::store::{Store, Verdict, verify_chain};
use workflows::engine::Status;
use workflows::payment::{By, Event, Terms};
use workflows::ports::payments::TransactionStatus;

use crate::bank::{Bank, Manner};
use crate::world::{USUAL, history, id_of, run, start, terms};

pub async fn a_remittance_runs_end_to_end_and_its_history_is_intact(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Kind);
    let process = run(store, &bank, USUAL).await;
    let id = process.start("one", terms(true)).await;
    process.is_in(id, "awaiting_sca").await;
    bank.everybody_approves();
    let told = process.engine.tell(id, &Event::Returned { payment: None }, "usr_kari", None).await;
    assert!(matches!(told, Ok(Told::Moved(_))), "{told:?}");
    let settled = process.ended(id).await;
    assert_eq!((settled.status, &*settled.phase), (Status::Completed, "settled"));
    let rows = history(store, id).await;
    assert_eq!(verify_chain(&rows, settled.seq, &settled.hash), Verdict::Intact);
    assert!(store.tasks(id).await.unwrap().is_empty(), "nothing is owed after the end");
    assert_eq!(bank.initiations(), 1);
    process.stop().await;
}

pub async fn an_unknown_initiation_is_found_or_repeated_but_never_doubled(store: &Arc<dyn Store>) {
    for (replay, initiations) in [(true, 2), (false, 1)] {
        let bank = Bank::new(Manner::Mute);
        let process = run(store, &bank, USUAL).await;
        let id = process.start(format_args!("honours the key: {replay}"), terms(replay)).await;
        process.is_in(id, "awaiting_sca").await;
        assert_eq!((bank.created(), bank.initiations()), (1, initiations));
        bank.everybody_approves();
        assert_eq!(process.ended(id).await.status, Status::Completed);
        process.stop().await;
    }
}

pub async fn a_provider_that_is_away_parks_the_payment_and_its_return_releases_it(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Away);
    let process = run(store, &bank, USUAL).await;
    let waits = process.start("asks", terms(true)).await;
    let goes = process.start("goes", Terms { auto_start: true, ..terms(true) }).await;
    for id in [waits, goes] {
        let parked = process.reaches(id, |instance| instance.status == Status::Queued).await;
        assert_eq!(&*parked.phase, "parked");
    }
    bank.becomes(Manner::Kind);
    process.is_in(waits, "awaiting_user").await;
    process.is_in(goes, "awaiting_sca").await;
    assert_eq!(bank.created(), 1, "nothing is sent for a payer who is not there");
    let told = process.engine.tell(waits, &Event::Continued, "usr_kari", None).await;
    assert!(matches!(told, Ok(Told::Moved(_))), "{told:?}");
    process.is_in(waits, "awaiting_sca").await;
    process.stop().await;
}

pub async fn the_same_key_starts_once(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Kind);
    let process = run(store, &bank, USUAL).await;
    let started = join_all((0..20).map(|_| start(&process.engine, "twenty", terms(true)))).await;
    let fresh = started.iter().filter(|started| matches!(started, Started::New(_))).count();
    let ids: HashSet<_> = started.iter().map(id_of).collect();
    assert_eq!((fresh, ids.len()), (1, 1));
    process.is_in(id_of(&started[0]), "awaiting_sca").await;
    assert_eq!(bank.created(), 1);
    process.stop().await;
}

pub async fn a_wish_to_cancel_that_meets_the_initiation_is_kept(store: &Arc<dyn Store>) {
    let bank = Bank::new(Manner::Kind);
    let process = run(store, &bank, USUAL).await;
    let taken_back = async |key: usize| {
        let id = process.start(key, terms(true)).await;
        let wish = Event::CancelAsked { by: By::User };
        process.engine.tell(id, &wish, "usr_kari", None).await.expect("answers");
        assert_eq!(process.ended(id).await.status, Status::Cancelled);
    };
    // Two at a time are performed at once; more would wait, and no wish would meet its initiation.
    for round in 0..25 {
        join_all([2 * round, 2 * round + 1].map(&taken_back)).await;
    }
    assert!(bank.every_payment_is(&TransactionStatus::Canc));
    process.stop().await;
}
