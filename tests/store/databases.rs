//! What only databases have: cost, durability, migrations, an unalterable history.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use workers::ports::AnchoredClock;
use workers::store::{Claimed, Fate, Filter, Migrations, Op, OpenError, Options, Verdict, Written, open};
use workflows::engine::Status;

use crate::made::{LEASE, T0, id, next, node, order, row, start};
use crate::subject::Subject;
use crate::support::postgres;

pub async fn a_batch_costs_the_same_round_trips_whatever_its_size(on: &Subject) {
    on.commit((0..400).map(start)).await;
    let upkeep = Arc::clone(&on.database.as_ref().unwrap().upkeep);
    let mut costs = Vec::new();
    for range in [0..1, 1..3, 3..100, 100..300] {
        let moves = range.map(|n| Op::Move(Box::new(next(&order(n).instance)))).collect::<Vec<_>>();
        let before = upkeep.statements();
        on.commit(moves).await;
        costs.push(upkeep.statements() - before);
    }
    // All of it is one statement on PostgreSQL; begin, write, commit on SQLite.
    let is_sqlite = on.url.as_ref().is_some_and(|url| url.starts_with("sqlite"));
    let whole = if is_sqlite { 3 } else { 1 };
    assert_eq!(costs, [whole; 4]);
    // Where a guard does not hold it is begun anew with care: begin, lock, move, history, commit.
    let (stale, fresh) = (next(&order(0).instance), next(&next(&order(1).instance).instance));
    let before = upkeep.statements();
    let written = on.commit([stale, fresh].map(|m| Op::Move(Box::new(m)))).await;
    assert_eq!(written, [Written::Stale, Written::Committed]);
    assert_eq!(upkeep.statements() - before, if is_sqlite { 2 + 5 } else { 1 + 5 });
    let before = upkeep.statements();
    on.lanes().await;
    assert_eq!(upkeep.statements() - before, 1);
}

pub async fn an_instance_that_cannot_be_read_harms_no_other(on: &Subject) {
    on.commit((1..=5).map(start)).await;
    // As a newer version may have written it.
    on.raw(&format!("update instances set status = 'paused' where id in ('{:032x}', '{:032x}')", 2, 5))
        .await
        .unwrap();
    let ids = |claims: &[Claimed]| claims.iter().map(|claimed| claimed.task.instance).collect::<Vec<_>>();
    assert_eq!(ids(&on.claim_sorted(T0).await), [id(1), id(3), id(4)]);
    let left = on.store.tasks(id(2)).await.unwrap().remove(0);
    assert_eq!((left.lease, left.due_at), (Some(node("a")), T0.plus(LEASE)), "it comes back by itself");

    for (limit, before, expected) in [
        (10, None, vec![4, 3, 1]),
        (3, None, vec![4, 3, 1]),
        (2, None, vec![4, 3]),
        (1, Some(3), vec![1]),
        (1, Some(1), vec![]),
    ] {
        let filter = Filter { limit, before: before.map(id), ..Filter::default() };
        let listed: Vec<_> = on.list(filter).await.into_iter().map(|one| one.id).collect();
        assert_eq!(listed, expected.into_iter().map(id).collect::<Vec<_>>(), "{limit} before {before:?}");
    }
}

pub async fn history_refuses_update_and_delete(on: &Subject) {
    on.grow_history(3).await;
    for change in ["update history set actor = 'me' where seq = 2", "delete from history where seq = 2"] {
        let refused = on.raw(change).await.unwrap_err().to_string();
        assert!(refused.contains("history is append-only"), "{refused}");
    }
    assert_eq!(on.verdict().await, Verdict::Intact);
}

pub async fn a_row_that_was_edited_or_removed_all_the_same_is_found(on: &Subject) {
    on.grow_history(5).await;
    on.disarm_history_triggers().await;
    on.raw("update history set actor = 'me' where seq = 3").await.unwrap();
    assert_eq!(on.verdict().await, Verdict::Broken { seq: 3 });
    on.raw("update history set actor = 'worker' where seq = 3").await.unwrap();
    assert_eq!(on.verdict().await, Verdict::Intact);
    on.raw("delete from history where seq = 5").await.unwrap();
    assert_eq!(on.verdict().await, Verdict::Broken { seq: 5 });
}

pub async fn missing_migrations_are_applied_or_refused(on: &Subject) {
    let url = on.fresh_url();
    let require = Options { migrations: Migrations::Require, ..Options::default() };
    let refused = open(&url, &require).await.err().expect("nothing is migrated yet");
    assert!(matches!(&refused, OpenError::Pending { name } if name == "0001_engine"), "{refused:?}");
    open(&url, &Options::default()).await.unwrap().upkeep.close().await;
    let database = open(&url, &require).await.unwrap();
    database.store.ping().await.unwrap();
}

pub async fn a_payment_that_was_queued_is_a_pending_one_to_its_end(on: &Subject) {
    let pending = async || {
        on.column("select id || ' ' || user_id || ' ' || status from pending_payments order by id").await
    };
    let queued = |n| {
        let mut queued = next(&order(n).instance);
        Arc::make_mut(&mut queued.instance).status = Status::Queued;
        queued.history = row(&queued.instance, &order(n).instance.hash);
        Arc::make_mut(&mut queued.instance).hash = Arc::clone(&queued.history.hash);
        queued
    };
    on.commit((1..=3).map(start)).await;
    assert_eq!(pending().await, [""; 0], "nothing waited yet");
    let waits = [queued(1), queued(2)];
    on.commit(waits.clone().map(|waits| Op::Move(Box::new(waits)))).await;
    let line = |n: u128, status: &str| format!("{n:032x} usr_1 {status}");
    assert_eq!(pending().await, [line(1, "queued"), line(2, "queued")]);
    let [one, _] = waits;
    let mut now = one.instance;
    for status in [Status::Processing, Status::Completed] {
        let mut moved = next(&now);
        Arc::make_mut(&mut moved.instance).status = status;
        on.commit([Op::Move(Box::new(moved.clone()))]).await;
        now = moved.instance;
        assert_eq!(pending().await, [line(1, status.as_str()), line(2, "queued")]);
    }
    let read = on
        .column("select payment_data || ' ' || created_at from pending_payments where status = 'queued'")
        .await;
    assert_eq!(read, [r#"{"amount":100} 2026-02-23T08:00:00Z"#]);
}

pub async fn time_passes_on_the_clock_of_the_store(on: &Subject) {
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
    let (_, _files) = on.closed().await;
    open(&url, &Options::default()).await.expect("the first engine is gone");
}

#[tokio::test]
async fn sqlite_has_one_engine_for_each_file_whatever_it_is_called() {
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    std::fs::create_dir(at("real")).unwrap();
    std::os::unix::fs::symlink(at("real"), at("directory")).unwrap();
    // The link is there before the file that it leads to.
    std::os::unix::fs::symlink(at("real/sluse.db"), at("link.db")).unwrap();
    let names = ["link.db", "real/sluse.db", "directory/sluse.db", "real/../real/sluse.db"];
    for first in names {
        let url = |name: &str| format!("sqlite:{}", at(name).display());
        let database = open(&url(first), &Options::default()).await.expect("nobody has it");
        for other in names {
            let refused = open(&url(other), &Options::default()).await.err();
            assert!(matches!(refused, Some(OpenError::InUse { .. })), "{first}, {other}: {refused:?}");
        }
        database.upkeep.close().await;
    }
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
    let url = on.fresh_url();
    let name = url.split(['/', '?']).nth(3).expect("the URL names its database");
    on.raw(&format!("alter database {name} set synchronous_commit = off")).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_given_up_while_it_begins_swallows_no_batch() {
    let on = Subject::postgres().await;
    let elsewhere = Subject::opened(on.url.clone().unwrap(), None).await;
    for n in 1..=60 {
        // Each is given up a little later than the one before: somewhere on the way from its begin to its commit.
        for given_up in 1..4 {
            let patience = Duration::from_micros(10 * u64::try_from(n).unwrap() * given_up);
            let _ = tokio::time::timeout(patience, on.store.renew(&[], T0)).await;
        }
        assert_eq!(on.commit([start(n)]).await, [Written::Committed]);
        assert!(elsewhere.load(n).await.is_some(), "answered and not there: {n}");
    }
}
