//! Lists, pages, long polls and event streams.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use super::Corner;
use crate::bank::at_the_page;
use crate::client::{Customer, answer};
use crate::on_both_databases;
use crate::service::Kind;
use crate::watch::{events, read_events};

on_both_databases! {
    a_list_has_everything_once_newest_first;
    a_list_is_narrowed_by_status_type_and_time;
    a_long_poll_ends_with_the_next_change;
    the_event_stream_tells_every_transition_once_and_resumes;
}

async fn a_list_has_everything_once_newest_first(kind: Kind) {
    let corner = Corner::of(kind, "pages");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(kari.remit_to_link(&format!("10{number}.00")).await.word("id"));
    }
    made.reverse();
    for limit in [1, 2, 3, 7, 200] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = kari.app.get(&format!("/v1/transactions?limit={limit}{after}")).await.is(200);
            let items = page.body["items"].as_array().unwrap();
            assert!(items.len() <= limit && !items.is_empty(), "{}", page.text);
            found.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            assert!(page.body.as_object().unwrap().contains_key("nextCursor"), "{}", page.text);
            cursor = page.body["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, made, "in pages of {limit}");
    }
    for bad in
        ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e1", "cursor=garbage", "cursor=%00", "page=1"]
    {
        let refused = kari.app.get(&format!("/v1/transactions?{bad}")).await;
        refused.enveloped();
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
    }
}

async fn a_list_is_narrowed_by_status_type_and_time(kind: Kind) {
    let corner = Corner::of(kind, "filters");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let (open, done, cancelled) = (
        kari.remit_to_link("110.00").await,
        kari.remit_to_link("120.00").await,
        kari.remit_to_link("130.00").await,
    );
    at_the_page(&done.link(), "approve").await;
    kari.once(&done.word("id"), "completed").await;
    kari.cancel(&cancelled.word("id")).await.is(200);
    let (start, end) = (open.word("createdAt"), cancelled.word("createdAt"));
    let ids =
        |wanted: &[&crate::client::Answer]| wanted.iter().map(|one| one.word("id")).collect::<BTreeSet<_>>();
    let all = ids(&[&open, &done, &cancelled]);
    for (query, expected) in [
        (String::new(), all.clone()),
        ("status=processing".to_owned(), ids(&[&open])),
        ("status=pending".to_owned(), ids(&[&open])),
        ("status=completed".to_owned(), ids(&[&done])),
        ("status=cancelled".to_owned(), ids(&[&cancelled])),
        ("status=failed".to_owned(), ids(&[])),
        ("status=queued".to_owned(), ids(&[])),
        ("type=remittance".to_owned(), all.clone()),
        ("type=qr_payment".to_owned(), ids(&[])),
        ("type=remittance&status=pending".to_owned(), ids(&[&open])),
        (format!("from={start}"), all.clone()),
        (format!("to={start}"), ids(&[])),
        (format!("to={end}"), ids(&[&open, &done])),
        (format!("from={end}&to=2100-01-01T00:00:00Z"), ids(&[&cancelled])),
        ("from=2100-01-01T00:00:00Z".to_owned(), ids(&[])),
    ] {
        let page = kari.app.get(&format!("/v1/transactions?{query}")).await.is(200);
        let found = page.body["items"].as_array().unwrap().iter();
        let found: BTreeSet<_> = found.map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, expected, "{query}");
    }
    for bad in ["status=done", "status=", "type=loan", "from=yesterday", "to=1", "status=processing;drop"] {
        kari.app.get(&format!("/v1/transactions?{bad}")).await.refused(400, "validation_failed");
    }
}

async fn a_long_poll_ends_with_the_next_change(kind: Kind) {
    let corner = Corner::of(kind, "long-poll");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("140.00").await;
    let poll = |wait: u32| {
        let path = format!("/v1/transactions/{}", started.word("id"));
        answer(kari.app.request(Method::GET, &path).header("Prefer", format!("wait={wait}")))
    };
    let begun = Instant::now();
    let unchanged = poll(1).await.is(200);
    assert!(begun.elapsed() >= Duration::from_millis(900), "it did not wait: {:?}", begun.elapsed());
    assert_eq!(unchanged.word("phase"), "awaiting_sca");

    let waiting = tokio::spawn(poll(30));
    at_the_page(&started.link(), "approve").await;
    let changed = waiting.await.unwrap().is(200);
    assert_ne!(changed.word("phase"), "awaiting_sca");
    kari.once(&started.word("id"), "completed").await;
    // Nothing more will come, so nothing is waited for.
    let begun = Instant::now();
    assert_eq!(poll(30).await.is(200).word("status"), "completed");
    assert!(begun.elapsed() < Duration::from_secs(10), "waited at the end: {:?}", begun.elapsed());
}

async fn the_event_stream_tells_every_transition_once_and_resumes(kind: Kind) {
    let corner = Corner::of(kind, "events");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("160.00").await;
    let id = started.word("id");
    let live = tokio::spawn({
        let (app, id) = (kari.app.clone(), id.clone());
        async move { events(&app, &id, None, crate::patience::SOON).await }
    });
    // A client that loses the connection after the first event, and comes back.
    let mut first = None;
    read_events(&kari.app, &id, None, |seq, _| {
        first = Some(seq);
        false
    })
    .await;
    at_the_page(&started.link(), "approve").await;
    kari.once(&id, "completed").await;

    let live = live.await.unwrap();
    let numbers: Vec<_> = live.iter().map(|(seq, _)| *seq).collect();
    let last = *numbers.last().unwrap();
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
    assert_eq!(live.last().unwrap().1["status"], "completed", "the stream ends with the transaction");
    assert!(live.iter().any(|(_, body)| body["phase"] == "awaiting_sca"), "{live:?}");
    for (_, body) in &live {
        assert_eq!(body["id"], id.as_str());
    }
    for after in 0..=last {
        let rest = events(&kari.app, &id, Some(after), crate::patience::SOON).await;
        let seqs: Vec<_> = rest.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (after + 1..=last).collect::<Vec<_>>(), "after {after}");
    }
    assert_eq!(first, Some(1));
    refuse_a_foreign_reader(&corner, &kari, &id).await;
}

async fn refuse_a_foreign_reader(corner: &Corner, kari: &Customer, id: &str) {
    let branch = corner.branch().await;
    let ola = corner.customer(&branch).await;
    ola.app.get(&format!("/v1/transactions/{id}/events")).await.refused(404, "not_found");
    let path = format!("/v1/transactions/{id}/events");
    for bad in ["x", "-1", "1.5", "99999999999999999999"] {
        let refused = answer(kari.app.request(Method::GET, &path).header("Last-Event-ID", bad)).await;
        refused.refused(400, "validation_failed");
    }
}
