//! Four eyes, from outside.

use std::sync::Arc;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use workers::approvals::{Decided, Decision, Verdict};
use workers::engine::Told;
use workers::store::{InboxKey, Instance};
use workflows::engine::Status;
use workflows::ids::{ApprovalId, WorkflowId};
use workflows::payment::{By, Event, Evidence, Progress, Truth};
use workflows::ports::payments::{ProviderPaymentId, TransactionStatus};

use super::super::testing::{BEGIN, Front};

const DAY: Duration = Duration::from_hours(24);

/// A front with a payment in doubt and a request of Olga's about it.
async fn asked(outcome: &str) -> (Front, WorkflowId, ApprovalId) {
    let front = Front::open().await;
    let workflow = front.payment_in_doubt().await;
    let (status, answer) = ask(&front, workflow, "olga", outcome).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let id = answer["approvalId"].as_str().unwrap().parse().unwrap();
    (front, workflow, id)
}

async fn ask(front: &Front, workflow: WorkflowId, who: &str, outcome: &str) -> (StatusCode, Value) {
    let body = json!({"outcome": outcome, "evidence": "statement, line 17", "reason": "no status for hours"});
    let path = format!("/v1/workflows/{workflow}/resolve");
    front.ask(Method::POST, &path, Some(&front.staff(who, "approver")), &body.to_string()).await
}

async fn decide(front: &Front, id: ApprovalId, verb: &str, who: (&str, &str)) -> (StatusCode, Value) {
    let path = format!("/v1/approvals/{id}/{verb}");
    front.ask(Method::POST, &path, Some(&front.staff(who.0, who.1)), r#"{"reason":"read it"}"#).await
}

async fn instance(front: &Front, workflow: WorkflowId) -> Arc<Instance> {
    front.app.engine.get(workflow).await.unwrap().unwrap()
}

async fn state_of(front: &Front, id: ApprovalId) -> Value {
    let path = format!("/v1/approvals/{id}");
    let (status, answer) = front.ask(Method::GET, &path, Some(&front.staff("vera", "viewer")), "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["state"].clone()
}

fn evidence(instance: &Instance) -> Option<Evidence> {
    serde_json::from_str::<Progress>(&instance.state).unwrap().state.evidence().cloned()
}

#[tokio::test]
async fn evidence_and_two_people_bring_a_payment_in_doubt_to_its_end() {
    for (outcome, ends) in [("executed", Status::Completed), ("not_executed", Status::Failed)] {
        let (front, workflow, id) = asked(outcome).await;
        assert_eq!(state_of(&front, id).await, "pending");
        assert_eq!(instance(&front, workflow).await.status, Status::Processing, "nothing happens before");

        let (status, answer) = decide(&front, id, "approve", ("eva", "approver")).await;
        assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("applied")), "{answer}");
        assert_eq!((&answer["outcome"], &answer["decidedBy"]), (&json!(outcome), &json!("eva")));
        let after = instance(&front, workflow).await;
        assert_eq!(after.status, ends);
        assert_eq!(evidence(&after), Some(Evidence::Operator { reference: id.to_string() }));
        let history = front.app.engine.history(workflow, after.seq - 1, 1).await.unwrap();
        assert_eq!(&*history[0].actor, "olga, eva", "both stand in the history");

        let (status, answer) = decide(&front, id, "approve", ("erik", "admin")).await;
        assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("already_decided")));
        let (status, answer) = decide(&front, id, "reject", ("erik", "admin")).await;
        assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("already_decided")));
    }
}

#[tokio::test]
async fn nobody_approves_their_own_request_in_whatever_role() {
    let (front, workflow, id) = asked("executed").await;
    for who in [("olga", "approver"), ("olga", "admin"), ("Olga", "admin"), (" olga ", "approver")] {
        let (status, answer) = decide(&front, id, "approve", who).await;
        assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("own_request")), "{who:?}");
    }
    for who in [("eva", "operator"), ("eva", "viewer"), ("app", "service"), ("usr_kari", "user")] {
        let (status, answer) = decide(&front, id, "approve", who).await;
        assert_eq!((status, &answer["error"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{who:?}");
    }
    assert_eq!(state_of(&front, id).await, "pending");
    // The rule holds where it is stored, whoever comes past the handlers.
    let own =
        Decision { verdict: Verdict::Approved, by: "olga".to_owned(), reason: String::new(), at: BEGIN };
    let revision = instance(&front, workflow).await.seq;
    let decided = front.drawers.approvals.decide(id, &own, revision).await.unwrap();
    assert!(matches!(decided, Decided::Forbidden(_)), "{decided:?}");
}

#[tokio::test]
async fn a_rejected_request_changes_nothing_and_another_one_can_be_made() {
    let (front, workflow, id) = asked("executed").await;
    let before = instance(&front, workflow).await;
    let (status, answer) = ask(&front, workflow, "oskar", "executed").await;
    assert_eq!(
        (status, &answer["error"]),
        (StatusCode::CONFLICT, &json!("action_not_allowed")),
        "one at a time"
    );
    assert!(answer["message"].as_str().unwrap().contains(&id.to_string()), "{answer}");

    let (status, answer) = decide(&front, id, "reject", ("eva", "approver")).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("rejected")), "{answer}");
    assert_eq!(instance(&front, workflow).await, before);
    assert_eq!(ask(&front, workflow, "oskar", "executed").await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_request_expires_by_itself() {
    let (front, workflow, id) = asked("executed").await;
    front.clock.set(BEGIN.plus(DAY));
    assert_eq!(state_of(&front, id).await, "expired");
    for verb in ["approve", "reject"] {
        let (status, answer) = decide(&front, id, verb, ("eva", "approver")).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::CONFLICT, &json!("approval_expired")),
            "{answer}"
        );
    }
    assert_eq!(instance(&front, workflow).await.status, Status::Processing);
    assert_eq!(ask(&front, workflow, "oskar", "executed").await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_payment_that_was_sent_again_since_voids_what_was_asked() {
    let (front, workflow, id) = asked("not_executed").await;
    // The bank knows a payment that waits: it is sent again under its key, and is in doubt anew.
    let found =
        Event::Found { payment: ProviderPaymentId("pmt-7f".to_owned()), status: TransactionStatus::Rcvd };
    front.tell(workflow, &found).await;
    front.doubt(workflow).await;

    let (status, answer) = decide(&front, id, "approve", ("eva", "approver")).await;
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("action_not_allowed")), "{answer}");
    assert_eq!(state_of(&front, id).await, "void");
    assert_eq!(instance(&front, workflow).await.status, Status::Processing);
    let (status, answer) = decide(&front, id, "approve", ("eva", "approver")).await;
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("already_decided")), "for good");
}

#[tokio::test]
async fn the_banks_own_word_voids_what_was_asked() {
    let (front, workflow, id) = asked("not_executed").await;
    let created = Event::Created {
        payment: ProviderPaymentId("pmt-7f".to_owned()),
        status: TransactionStatus::Rcvd,
        sca: None,
    };
    front.tell(workflow, &created).await;
    let (status, _) = decide(&front, id, "approve", ("eva", "approver")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(&*instance(&front, workflow).await.phase, "awaiting_sca");
}

#[tokio::test]
async fn a_move_within_the_same_doubt_leaves_the_request_as_it_was() {
    let (front, workflow, id) = asked("executed").await;
    let before = instance(&front, workflow).await;
    front.tell(workflow, &Event::CancelAsked { by: By::User }).await;
    assert_eq!(instance(&front, workflow).await.seq, before.seq + 1, "the revision moved");
    let (status, answer) = decide(&front, id, "approve", ("eva", "approver")).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("applied")), "{answer}");
}

#[tokio::test]
async fn of_two_people_who_decide_at_once_one_does() {
    let (front, workflow, id) = asked("executed").await;
    let (one, other) = tokio::join!(
        decide(&front, id, "approve", ("eva", "approver")),
        decide(&front, id, "reject", ("erik", "approver"))
    );
    let mut statuses = [one.0, other.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT], "{one:?} {other:?}");
    let approved = one.0 == StatusCode::OK;
    assert_eq!(instance(&front, workflow).await.status == Status::Completed, approved);
}

#[tokio::test]
async fn what_was_approved_before_a_crash_is_told_after_it_once() {
    let (front, workflow, id) = asked("executed").await;
    let before = instance(&front, workflow).await;
    let decision = Decision {
        verdict: Verdict::Approved,
        by: "eva".to_owned(),
        reason: "read it".to_owned(),
        at: BEGIN,
    };
    // The process dies here: decided, and nobody was told.
    let decided = front.drawers.approvals.decide(id, &decision, before.seq).await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
    assert_eq!(state_of(&front, id).await, "approved");
    for _ in 0..2 {
        front.app.desk.catch_up().await.unwrap();
        let after = instance(&front, workflow).await;
        assert_eq!((after.status, after.seq), (Status::Completed, before.seq + 1));
        assert_eq!(state_of(&front, id).await, "applied");
    }
}

#[tokio::test]
async fn what_was_told_before_a_crash_counts_as_told() {
    let (front, workflow, id) = asked("executed").await;
    let before = instance(&front, workflow).await;
    let decision = Decision {
        verdict: Verdict::Approved,
        by: "eva".to_owned(),
        reason: "read it".to_owned(),
        at: BEGIN,
    };
    front.drawers.approvals.decide(id, &decision, before.seq).await.unwrap();
    // The process dies between telling the workflow and writing down that it did.
    let event = Event::Resolved { outcome: Truth::Executed, reference: id.to_string() };
    let heard = InboxKey { source: "approval".into(), event: id.to_string().into() };
    let told = front.app.engine.tell(workflow, &event, "olga, eva", Some(heard)).await.unwrap();
    assert!(matches!(told, Told::Moved(_)), "{told:?}");
    front.app.desk.catch_up().await.unwrap();
    assert_eq!(state_of(&front, id).await, "applied");
    assert_eq!(instance(&front, workflow).await.seq, before.seq + 1);
}

#[tokio::test]
async fn what_was_approved_about_a_doubt_that_is_gone_is_not_told() {
    let (front, workflow, id) = asked("not_executed").await;
    let decision = Decision {
        verdict: Verdict::Approved,
        by: "eva".to_owned(),
        reason: "read it".to_owned(),
        at: BEGIN,
    };
    let revision = instance(&front, workflow).await.seq;
    front.drawers.approvals.decide(id, &decision, revision).await.unwrap();
    // Between the decision and the telling the payment is sent again and in doubt anew.
    let found =
        Event::Found { payment: ProviderPaymentId("pmt-7f".to_owned()), status: TransactionStatus::Rcvd };
    front.tell(workflow, &found).await;
    front.doubt(workflow).await;
    front.app.desk.catch_up().await.unwrap();
    assert_eq!(state_of(&front, id).await, "void");
    assert_eq!(instance(&front, workflow).await.status, Status::Processing);
}

#[tokio::test]
async fn only_a_payment_in_doubt_is_resolved_by_evidence() {
    let front = Front::open().await;
    let waiting = WorkflowId::from(front.payment_awaiting_approval().await);
    let (status, answer) = ask(&front, waiting, "olga", "executed").await;
    assert_eq!((status, &answer["error"]), (StatusCode::CONFLICT, &json!("action_not_allowed")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("in doubt"), "{answer}");
    let (status, _) = ask(&front, WorkflowId::new(7), "olga", "executed").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_conflict_with_the_bank_is_settled_by_evidence_too() {
    let front = Front::open().await;
    let workflow = WorkflowId::from(front.payment_awaiting_approval().await);
    let seen = |status| Event::StatusSeen { status, reason: None };
    front.tell(workflow, &seen(TransactionStatus::Rjct)).await;
    assert_eq!(instance(&front, workflow).await.status, Status::Failed);
    let (status, _) = ask(&front, workflow, "olga", "executed").await;
    assert_eq!(status, StatusCode::CONFLICT, "nobody says otherwise yet");
    front.tell(workflow, &Event::Hinted).await;
    front.tell(workflow, &seen(TransactionStatus::Acsc)).await;
    let (status, answer) = ask(&front, workflow, "olga", "executed").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let id = answer["approvalId"].as_str().unwrap().parse().unwrap();
    let (status, answer) = decide(&front, id, "approve", ("eva", "approver")).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("applied")), "{answer}");
    let after = instance(&front, workflow).await;
    assert_eq!((after.status, &after.attention), (Status::Completed, &None));
}

#[tokio::test]
async fn requests_are_listed_by_where_they_stand() {
    let (front, workflow, id) = asked("executed").await;
    let list = async |query: &str| {
        let path = format!("/v1/approvals{query}");
        front.ask(Method::GET, &path, Some(&front.staff("vera", "viewer")), "").await
    };
    for (query, expected) in [
        (String::new(), 1),
        ("?state=pending".to_owned(), 1),
        ("?state=expired".to_owned(), 0),
        (format!("?workflowId={workflow}"), 1),
        (format!("?workflowId={}", WorkflowId::new(7)), 0),
    ] {
        let (status, page) = list(&query).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(ids, vec![json!(id.to_string()); expected], "{query}");
    }
    for query in ["?state=open", "?workflowId=x", "?limit=0", "?cursor=%00", "?q=x"] {
        assert_eq!(list(query).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn evidence_is_for_those_who_act_and_not_for_viewers() {
    let (front, _, id) = asked("executed").await;
    for (role, expected) in [
        ("viewer", json!(null)),
        ("operator", json!("statement, line 17")),
        ("approver", json!("statement, line 17")),
        ("admin", json!("statement, line 17")),
    ] {
        let token = front.staff("vera", role);
        let (_, one) = front.ask(Method::GET, &format!("/v1/approvals/{id}"), Some(&token), "").await;
        let (_, page) = front.ask(Method::GET, "/v1/approvals", Some(&token), "").await;
        assert_eq!((&one["evidence"], &page["items"][0]["evidence"]), (&expected, &expected), "{role}");
    }
}
