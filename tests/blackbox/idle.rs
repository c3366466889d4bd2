//! A quiet service is quiet, and a payment that nobody waits for is quick. Figures are printed.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

use crate::bank::at_the_page;
use crate::client::{Customer, answer};
use crate::on_both_databases;
use crate::postgres;
use crate::service::{Kind, World};

on_both_databases! {
    a_quiet_service_asks_its_database_less_than_once_a_second;
    a_remittance_without_a_human_in_it_is_quick;
}

/// How long it is left alone.
const QUIET: Duration = Duration::from_secs(15);

async fn a_quiet_service_asks_its_database_less_than_once_a_second(kind: Kind) {
    let mut settings =
        vec![("NEONOMICS_POLL_MS", "60000"), ("NEONOMICS_POLL_MAX_MS", "60000"), ("SCA_TIMEOUT", "600s")];
    let database = if kind == Kind::Postgres { Some(talkative_database().await) } else { None };
    settings.extend(database.as_deref().map(|url| ("DATABASE_URL", url)));
    let world = World::with(kind, &settings);
    let branch = world.bank.open_branch("quiet").await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    // A payment that sleeps until its payer decides is not what keeps the service awake.
    kari.remit_to_link("2000.00").await;
    // What the start left to be done is done by then.
    sleep(Duration::from_secs(2)).await;

    let ticks = world.service.ticks();
    let before = database.as_deref().map(statements);
    sleep(QUIET).await;
    let busy = Duration::from_millis(10 * (world.service.ticks() - ticks));
    if let (Some(url), Some(before)) = (&database, before) {
        let asked = statements(url) - before;
        println!("{kind:?}: idle for {QUIET:?}: {asked} statements");
        assert!(asked > 0, "the log does not count");
        assert!(asked <= QUIET.as_secs(), "{asked} statements in {QUIET:?}");
    }
    println!("{kind:?}: idle for {QUIET:?}: {busy:?} of processor time");
    assert!(busy < QUIET / 20, "{busy:?} of processor time in {QUIET:?}");
}

/// A database whose server writes every statement to its log: who counts is not who is counted.
async fn talkative_database() -> String {
    let url = postgres::shared().create_database();
    let mut operator = PgConnection::connect(&url).await.expect("the server answers");
    let name = url.split_once('?').and_then(|(head, _)| head.rsplit_once('/')).expect("a name").1;
    let alter = format!("alter database {name} set log_statement = 'all'");
    operator.execute(sqlx::AssertSqlSafe(alter)).await.expect("the operator may");
    operator.close().await.expect("it was open");
    url
}

/// Statements in the server's log so far.
fn statements(url: &str) -> u64 {
    let (_, directory) = url.split_once("?host=").expect("a socket's directory");
    let log = std::fs::read_to_string(format!("{directory}/log")).expect("the server's log");
    let told = |line: &&str| line.contains("LOG:  execute ") || line.contains("LOG:  statement: ");
    log.lines().filter(told).count().try_into().expect("not that many")
}

async fn a_remittance_without_a_human_in_it_is_quick(kind: Kind) {
    let world = World::with(kind, &[("NEONOMICS_POLL_MS", "2000"), ("NEONOMICS_POLL_MAX_MS", "2000")]);
    let branch = world.bank.open_branch("quick").await;
    let kari = Customer::register(&world.service.base(), &branch).await;
    let mut times = Vec::new();
    for number in 0..10 {
        let begun = Instant::now();
        let started = kari.remit_to_link(&format!("20{number:02}.00")).await;
        let link = begun.elapsed();
        let back = at_the_page(&started.link(), "approve").await;
        kari.app.get(&back).await.is(303);
        let path = format!("/v1/transactions/{}", started.word("id"));
        // The return has the bank asked at once: nobody waits for the next poll.
        while answer(kari.app.request(reqwest::Method::GET, &path).header("Prefer", "wait=5"))
            .await
            .is(200)
            .word("status")
            != "completed"
        {}
        times.push((begun.elapsed(), link));
    }
    times.sort();
    let (whole, link) = times[times.len() / 2];
    println!(
        "{kind:?}: one remittance, from start to settled: median {whole:?}, its link after {link:?} (debug build)"
    );
    assert!(whole < Duration::from_secs(5), "{times:?}");
}
