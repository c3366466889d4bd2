//! Pushed notices: proven, kept, applied once, in any order.

use std::time::Duration;

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use workflows::ids::WorkflowId;
use workflows::payment::Event;
use workflows::ports::payments::{ProviderPaymentId, TransactionStatus};

use super::super::testing::{BEGIN, Front};

const CURRENT: &str = "current-secret";
const PREVIOUS: &str = "previous-secret";
const NOTICE: &[u8] =
    br#"{"eventId":"e1","paymentId":"pmt-7f","transactionStatus":"ACSC","occurredAt":"2026-02-23T08:00:00Z"}"#;

async fn front() -> Front {
    Front::told(&[("NEONOMICS_WEBHOOK_SECRET", CURRENT), ("NEONOMICS_WEBHOOK_SECRET_PREVIOUS", PREVIOUS)])
        .await
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

async fn push(front: &Front, body: &[u8]) -> StatusCode {
    front.push(body, Some(&signed(CURRENT, body))).await
}

/// What a notice came to.
async fn outcome(front: &Front, event: &str) -> Option<String> {
    let kept = front.drawers.notices.notice("neonomics", event).await.unwrap().expect("it is kept");
    kept.handled.map(|(outcome, _)| outcome)
}

/// How often a payment heard a notice.
async fn heard(front: &Front, workflow: WorkflowId) -> usize {
    let history = front.app.engine.history(workflow, 0, 100).await.unwrap();
    history.iter().filter(|row| &*row.actor == "neonomics").count()
}

#[tokio::test]
async fn only_what_was_signed_with_a_current_secret_is_kept() {
    let front = front().await;
    let good = signed(CURRENT, NOTICE);
    let other_body = signed(CURRENT, b"{}");
    let other_secret = signed("guessed", NOTICE);
    let empty_secret = signed("", NOTICE);
    for wrong in [
        None,
        Some(""),
        Some("zz"),
        Some(&good[..62]),
        Some(&other_body),
        Some(&other_secret),
        Some(&empty_secret),
        Some(&format!("sha256={good}")),
        Some(&format!("{good}00")),
    ] {
        assert_eq!(front.push(NOTICE, wrong).await, StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    assert!(front.drawers.notices.notice("neonomics", "e1").await.unwrap().is_none(), "nothing was kept");
    assert_eq!(front.push(NOTICE, Some(&good.to_uppercase())).await, StatusCode::OK);
    let second = br#"{"eventId":"e2","paymentId":"pmt-7f"}"#;
    assert_eq!(front.push(second, Some(&signed(PREVIOUS, second))).await, StatusCode::OK);
}

#[tokio::test]
async fn without_a_secret_nothing_is_believed() {
    let front = Front::open().await;
    for signature in [None, Some(signed("", NOTICE)), Some(signed(CURRENT, NOTICE))] {
        assert_eq!(front.push(NOTICE, signature.as_deref()).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(front.get("/v1/webhooks/neonomics").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_notice_has_at_most_a_megabyte() {
    let front = front().await;
    let most = vec![b' '; 1024 * 1024];
    assert_eq!(push(&front, &most).await, StatusCode::OK);
    let more = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(push(&front, &more).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_notice_is_applied_once_however_often_it_comes() {
    let front = front().await;
    let workflow = WorkflowId::from(front.payment_awaiting_approval().await);
    for _ in 0..3 {
        assert_eq!(push(&front, NOTICE).await, StatusCode::OK);
        front.app.desk.catch_up().await.unwrap();
    }
    assert_eq!(heard(&front, workflow).await, 1);
    assert_eq!(outcome(&front, "e1").await.as_deref(), Some("told"));
    // Nothing is said about money: the bank is asked.
    let instance = front.app.engine.get(workflow).await.unwrap().unwrap();
    assert_eq!(&*instance.phase, "awaiting_sca");
    let tasks = front.app.engine.tasks(workflow).await.unwrap();
    let status = tasks.iter().find(|task| task.task.name.as_str() == "status").expect("it is asked");
    assert_eq!(status.due_at, BEGIN, "at once");
}

#[tokio::test]
async fn a_notice_that_comes_before_the_answer_waits_for_it() {
    let front = front().await;
    let workflow = WorkflowId::from(front.start_remittance().await);
    assert_eq!(push(&front, NOTICE).await, StatusCode::OK);
    let again = front.app.desk.catch_up().await.unwrap().expect("it is looked for again");
    assert_eq!((again.since(BEGIN), outcome(&front, "e1").await), (Duration::from_secs(1), None));
    let created = Event::Created {
        payment: ProviderPaymentId("pmt-7f".to_owned()),
        status: TransactionStatus::Rcvd,
        sca: None,
    };
    front.tell(workflow, &created).await;
    front.app.desk.catch_up().await.unwrap();
    assert_eq!(heard(&front, workflow).await, 0, "not before it is due");
    front.clock.set(again);
    front.app.desk.catch_up().await.unwrap();
    assert_eq!((heard(&front, workflow).await, outcome(&front, "e1").await.as_deref()), (1, Some("told")));
}

#[tokio::test]
async fn a_notice_that_nobody_knows_is_passed_over_after_an_hour() {
    let front = front().await;
    assert_eq!(push(&front, NOTICE).await, StatusCode::OK);
    let mut looks = 0;
    while let Some(again) = front.app.desk.catch_up().await.unwrap() {
        front.clock.set(again);
        looks += 1;
        assert!(looks < 100, "it is looked for at a growing distance");
    }
    assert!(looks > 60, "{looks} looks within the hour");
    let outcome = outcome(&front, "e1").await.expect("it is settled");
    assert!(outcome.starts_with("ignored: "), "{outcome}");
    assert_eq!(push(&front, NOTICE).await, StatusCode::OK, "and still known");
}

#[tokio::test]
async fn whatever_was_signed_is_kept_and_answered() {
    let front = front().await;
    for (body, event) in [
        (&br#"{"eventId":"e7","type":"consent.revoked"}"#[..], "e7"),
        (b"[]", "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"),
        (b"", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        assert_eq!(push(&front, body).await, StatusCode::OK);
        front.app.desk.catch_up().await.unwrap();
        assert_eq!(outcome(&front, event).await.as_deref(), Some("ignored: it names no payment"));
    }
}

#[tokio::test]
async fn a_notice_kept_before_a_crash_is_applied_after_it() {
    let front = front().await;
    let workflow = WorkflowId::from(front.payment_awaiting_approval().await);
    assert_eq!(push(&front, NOTICE).await, StatusCode::OK);
    assert_eq!(heard(&front, workflow).await, 0, "the process dies before it is applied");
    let another =
        crate::desk::Desk::new(front.another_process(), front.drawers.clone(), Duration::from_hours(1));
    another.catch_up().await.unwrap();
    // The one that was thought dead goes on as well.
    front.app.desk.catch_up().await.unwrap();
    assert_eq!((heard(&front, workflow).await, outcome(&front, "e1").await.as_deref()), (1, Some("told")));
}
