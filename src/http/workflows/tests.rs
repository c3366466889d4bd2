//! The operators' resources, from outside.

use ::workflows::ids::{TransactionId, WorkflowId};
use ::workflows::payment::Event;
use ::workflows::ports::payments::{ProviderPaymentId, TransactionStatus};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::testing::Front;

const WHY: &str = r#"{"reason":"the customer called"}"#;

async fn post(front: &Front, id: WorkflowId, verb: &str) -> (StatusCode, Value) {
    let path = format!("/v1/workflows/{id}/{verb}");
    front.ask(Method::POST, &path, Some(&front.staff("olga", "operator")), WHY).await
}

async fn get(front: &Front, path: &str) -> (StatusCode, Value) {
    front.ask(Method::GET, path, Some(&front.staff("vera", "viewer")), "").await
}

/// Whether an action is offered, and if not, why.
fn offered<'a>(workflow: &'a Value, action: &str) -> (bool, &'a str) {
    let actions = workflow["allowedActions"].as_array().unwrap();
    let one = actions.iter().find(|one| one["action"] == action).unwrap();
    (one["allowed"].as_bool().unwrap(), one["reason"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn an_operator_reads_what_a_workflow_waits_for_and_what_can_be_done() {
    let front = Front::open().await;
    let id = WorkflowId::from(front.payment_awaiting_approval().await);
    let (status, workflow) = get(&front, &format!("/v1/workflows/{id}")).await;
    assert_eq!(status, StatusCode::OK, "{workflow}");
    for (field, expected) in [
        ("id", json!(id.to_string())),
        ("transactionId", json!(TransactionId::from(id).to_string())),
        ("phase", json!("awaiting_sca")),
        ("amount", json!("2000.00")),
        ("userId", json!("usr_kari")),
        ("providerPaymentId", json!("pmt-7f")),
        ("waitingFor", json!("The payer has to approve the payment at the bank.")),
    ] {
        assert_eq!(workflow[field], expected, "{field}");
    }
    assert!(workflow["nextWakeUp"].is_string() && !workflow["attempts"].as_array().unwrap().is_empty());
    assert_eq!(offered(&workflow, "cancel"), (true, ""));
    assert!(offered(&workflow, "resume").1.contains("not stopped"));
    assert!(offered(&workflow, "resolve").1.contains("in doubt"));
    // Neither people, nor accounts, nor the bank's link are an operator's business.
    let (_, history) = get(&front, &format!("/v1/workflows/{id}/history")).await;
    for text in [workflow.to_string(), history.to_string()] {
        for private in ["Marko", "Kari", "NO93", "RS35", "bank.example"] {
            assert!(!text.contains(private), "{private} in {text}");
        }
    }
    assert_eq!(get(&front, &format!("/v1/workflows/{}", WorkflowId::new(7))).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let front = Front::open().await;
    let id = front.payment_in_doubt().await;
    let path = format!("/v1/workflows/{id}/history");
    let (_, whole) = get(&front, &path).await;
    let items = whole["items"].as_array().unwrap();
    let told: Vec<_> = items.iter().map(|item| item["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["started", "status_seen", "gave_up initiate unknown"]);
    assert_eq!((&items[2]["from"], &items[2]["to"]), (&json!("initiating"), &json!("in_doubt")));
    assert_eq!((&items[2]["actor"], &whole["nextAfter"]), (&json!("olga"), &json!(null)));
    let mut paged = Vec::new();
    let mut after = json!(0);
    while !after.is_null() {
        let (_, page) = get(&front, &format!("{path}?limit=1&after={after}")).await;
        paged.extend(page["items"].as_array().unwrap().iter().cloned());
        after = page["nextAfter"].clone();
    }
    assert_eq!(&paged, items);
    for query in ["?after=-1", "?after=x", "?limit=0", "?cursor=x"] {
        assert_eq!(get(&front, &format!("{path}{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn workflows_are_found_by_what_is_asked_with_an_exact_total() {
    let front = Front::open().await;
    let waiting = WorkflowId::from(front.payment_awaiting_approval().await);
    let doubted = front.payment_in_doubt().await;
    let stopped = WorkflowId::from(front.start_remittance().await);
    front.tell(stopped, &Event::StatusSeen { status: TransactionStatus::Rcvd, reason: None }).await;
    let transaction = TransactionId::from(doubted);
    for (query, expected) in [
        (String::new(), vec![stopped, doubted, waiting]),
        ("?attention=true".to_owned(), vec![stopped]),
        ("?attention=false".to_owned(), vec![stopped, doubted, waiting]),
        ("?phase=in_doubt".to_owned(), vec![doubted]),
        ("?status=pending&kind=remittance".to_owned(), vec![stopped, doubted, waiting]),
        ("?status=completed".to_owned(), vec![]),
        ("?kind=qr_payment".to_owned(), vec![]),
        (format!("?q={doubted}"), vec![doubted]),
        (format!("?q={transaction}"), vec![doubted]),
        ("?q=usr_kari&phase=awaiting_sca".to_owned(), vec![waiting]),
        ("?q=usr_kari&userId=usr_ola".to_owned(), vec![]),
        ("?q=pmt-7f".to_owned(), vec![waiting]),
        ("?q=pmt-unknown".to_owned(), vec![]),
        ("?userId=usr_ola".to_owned(), vec![]),
    ] {
        let (status, page) = get(&front, &format!("/v1/workflows{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(ids, expected.iter().map(|id| json!(id.to_string())).collect::<Vec<_>>(), "{query}");
        assert_eq!(page["total"], json!(expected.len()), "{query}");
    }
    let (_, first) = get(&front, "/v1/workflows?limit=2").await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let (_, second) = get(&front, &format!("/v1/workflows?limit=2&cursor={cursor}")).await;
    assert_eq!((&second["items"][0]["id"], &second["total"]), (&json!(waiting.to_string()), &json!(3)));
    for query in [
        "?status=done",
        "?kind=loan",
        "?phase=In%20doubt",
        "?attention=yes",
        "?q=",
        "?q=a%00",
        "?from=x",
        "?limit=x",
        "?x=1",
    ] {
        assert_eq!(get(&front, &format!("/v1/workflows{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn an_action_is_done_with_its_reason_or_refused_with_its_rule() {
    let front = Front::open().await;
    let id = WorkflowId::from(front.payment_awaiting_approval().await);
    let (status, cancelled) = post(&front, id, "cancel").await;
    assert_eq!((status, &cancelled["phase"]), (StatusCode::OK, &json!("cancelling")), "{cancelled}");
    let asked = &cancelled["actions"][0];
    assert_eq!(
        (&asked["action"], &asked["by"], &asked["role"], &asked["reason"]),
        (&json!("cancel"), &json!("olga"), &json!("operator"), &json!("the customer called"))
    );
    let (status, again) = post(&front, id, "cancel").await;
    assert_eq!((status, &again["error"]), (StatusCode::CONFLICT, &json!("action_not_allowed")), "{again}");
    assert_eq!(again["message"], json!("It is being taken back already."));

    let executing = WorkflowId::from(front.start_remittance().await);
    let payment = ProviderPaymentId("pmt-8".to_owned());
    front.tell(executing, &Event::Created { payment, status: TransactionStatus::Acsp, sca: None }).await;
    for verb in ["cancel", "compensate"] {
        let (status, answer) = post(&front, executing, verb).await;
        assert_eq!(status, StatusCode::CONFLICT, "{verb}");
        assert!(answer["message"].as_str().unwrap().contains("point of no return"), "{answer}");
    }
    front.tell(executing, &Event::StatusSeen { status: TransactionStatus::Acsc, reason: None }).await;
    for verb in ["cancel", "compensate"] {
        let (status, answer) = post(&front, executing, verb).await;
        assert_eq!(status, StatusCode::CONFLICT, "{verb}");
        assert!(answer["message"].as_str().unwrap().contains("its end"), "{answer}");
    }
}

#[tokio::test]
async fn a_payment_that_was_stopped_while_it_was_sent_goes_on_in_doubt() {
    let front = Front::open().await;
    let id = WorkflowId::from(front.start_remittance().await);
    assert_eq!(post(&front, id, "resume").await.0, StatusCode::CONFLICT, "it goes on by itself");
    front.tell(id, &Event::StatusSeen { status: TransactionStatus::Rcvd, reason: None }).await;
    // The step that sends is still outstanding: whatever it brings is heard, and nothing is sent beside it.
    let (status, resumed) = post(&front, id, "resume").await;
    assert_eq!((status, &resumed["attention"]), (StatusCode::OK, &json!(null)), "{resumed}");
    assert_eq!(resumed["phase"], json!("initiating"));
}

#[tokio::test]
async fn every_route_is_closed_to_those_it_is_not_for() {
    let front = Front::open().await;
    let id = front.payment_in_doubt().await;
    let routes = [
        (Method::GET, "/v1/workflows".to_owned(), "viewer operator approver admin"),
        (Method::GET, format!("/v1/workflows/{id}"), "viewer operator approver admin"),
        (Method::GET, format!("/v1/workflows/{id}/history"), "viewer operator approver admin"),
        (Method::GET, "/v1/approvals".to_owned(), "viewer operator approver admin"),
        (Method::POST, format!("/v1/workflows/{id}/cancel"), "operator approver admin"),
        (Method::POST, format!("/v1/workflows/{id}/compensate"), "operator approver admin"),
        (Method::POST, format!("/v1/workflows/{id}/resume"), "operator approver admin"),
        (Method::POST, format!("/v1/workflows/{id}/resolve"), "operator approver admin"),
        (Method::POST, format!("/v1/workflows/{id}/hold"), "operator approver admin"),
        (Method::POST, format!("/v1/workflows/{id}/release"), "operator approver admin"),
        (Method::GET, "/v1/providers".to_owned(), "viewer operator approver admin"),
        (Method::PATCH, "/v1/providers/neonomics".to_owned(), "operator approver admin"),
        (Method::PATCH, "/v1/providers/neonomics/banks/dnb".to_owned(), "operator approver admin"),
        (Method::POST, "/v1/providers/neonomics/breaker".to_owned(), "operator approver admin"),
        (Method::POST, "/v1/providers/neonomics/banks/dnb/breaker".to_owned(), "operator approver admin"),
        (Method::GET, "/v1/queues".to_owned(), "viewer operator approver admin"),
        (Method::POST, "/v1/queues/all/drain".to_owned(), "operator approver admin"),
        (Method::GET, "/v1/holds".to_owned(), "viewer operator approver admin"),
        (Method::POST, "/v1/holds".to_owned(), "operator approver admin"),
        (Method::DELETE, "/v1/holds/kind:remittance".to_owned(), "operator approver admin"),
        (Method::POST, format!("/v1/approvals/apr_{:032x}/approve", 7), "approver admin"),
        (Method::POST, format!("/v1/approvals/apr_{:032x}/reject", 7), "approver admin"),
    ];
    let callers = [
        ("usr_kari", "user"),
        ("mer_1", "merchant"),
        ("app", "service"),
        ("vera", "viewer"),
        ("olga", "operator"),
        ("eva", "approver"),
        ("alem", "admin"),
    ];
    for (method, path, roles) in routes {
        // An empty body is refused after the role is judged, so nothing moves.
        assert_eq!(front.ask(method.clone(), &path, None, "{}").await.0, StatusCode::UNAUTHORIZED, "{path}");
        for (name, role) in callers {
            let (status, answer) =
                front.ask(method.clone(), &path, Some(&front.token(name, role)), "{}").await;
            let closed = status == StatusCode::FORBIDDEN;
            assert_eq!(
                closed,
                !roles.split(' ').any(|one| one == role),
                "{method} {path} as {role}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_at_fault() {
    let front = Front::open().await;
    let id = front.payment_in_doubt().await;
    let approver = front.staff("eva", "approver");
    let reason = [
        ("{}", "reason_required", "reason"),
        (r#"{"reason":null}"#, "reason_required", "reason"),
        (r#"{"reason":"  "}"#, "reason_required", "reason"),
        (r#"{"reason":7}"#, "validation_failed", "reason"),
        (r#"{"reason":"a\u0000"}"#, "validation_failed", "reason"),
        (r#"{"reason":"x","force":true}"#, "validation_failed", "force"),
        (r#"{"reason":"x","reason":"y"}"#, "validation_failed", "reason"),
        ("[]", "malformed_request", ""),
        ("{", "malformed_request", ""),
    ];
    let resolve = [
        ("{}", "validation_failed", "outcome"),
        (r#"{"outcome":"maybe","evidence":"e","reason":"r"}"#, "validation_failed", "outcome"),
        (r#"{"outcome":"executed","reason":"r"}"#, "validation_failed", "evidence"),
        (r#"{"outcome":"executed","evidence":" ","reason":"r"}"#, "validation_failed", "evidence"),
        (r#"{"outcome":"executed","evidence":["e"],"reason":"r"}"#, "validation_failed", "evidence"),
        (r#"{"outcome":"executed","evidence":"e"}"#, "reason_required", "reason"),
        (r#"{"outcome":"executed","evidence":"e\u0000","reason":"r"}"#, "validation_failed", "evidence"),
    ];
    let hold = [
        ("{}", "reason_required", "reason"),
        (r#"{"reason":"r","expiresAt":"tomorrow"}"#, "validation_failed", "expiresAt"),
        (r#"{"reason":"r","expiresAt":"2020-01-01T00:00:00Z"}"#, "validation_failed", "expiresAt"),
        (r#"{"reason":"r","expiresAt":7}"#, "validation_failed", "expiresAt"),
    ];
    let approval = format!("/v1/approvals/apr_{:032x}", 7);
    let routes = ["cancel", "compensate", "resume", "release"]
        .map(|verb| (format!("/v1/workflows/{id}/{verb}"), &reason[..]))
        .into_iter()
        .chain([
            (format!("{approval}/approve"), &reason[..]),
            (format!("{approval}/reject"), &reason[..]),
            (format!("/v1/workflows/{id}/resolve"), &resolve[..]),
            (format!("/v1/workflows/{id}/hold"), &hold[..]),
        ]);
    for (path, cases) in routes {
        for (body, error, field) in cases {
            let (status, answer) = front.ask(Method::POST, &path, Some(&approver), body).await;
            assert_eq!(
                (status, &answer["error"]),
                (StatusCode::BAD_REQUEST, &json!(error)),
                "{path} {body}: {answer}"
            );
            let named = answer["details"][0]["field"].as_str().unwrap_or_default();
            assert_eq!(&named, field, "{path} {body}: {answer}");
        }
    }
    for path in ["/v1/workflows/wf_x/cancel", "/v1/workflows/tx_1/resolve", "/v1/approvals/apr_x/approve"] {
        let (status, _) = front.ask(Method::POST, path, Some(&approver), WHY).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_payment_in_doubt_shows_since_when_and_what_is_known() {
    let front = Front::open().await;
    let id = front.payment_in_doubt().await;
    let (_, seen) = get(&front, &format!("/v1/workflows/{id}")).await;
    let doubt = &seen["doubt"];
    let since = json!(super::super::testing::BEGIN.to_rfc3339_millis());
    assert_eq!((&doubt["since"], &seen["inDoubtSince"]), (&since, &since), "{seen}");
    assert_eq!(
        (&doubt["sendings"], &doubt["neededAbsences"], &doubt["absenceCounts"]),
        (&json!(1), &json!(3), &json!(false))
    );
    let told: Vec<_> = doubt["evidence"].as_array().unwrap().iter().map(|step| &step["event"]).collect();
    assert_eq!(told, ["status_seen", "gave_up initiate unknown"]);
    assert!(
        seen["nextWakeUp"].is_string() && seen["waitingFor"].as_str().unwrap().starts_with("Nobody knows")
    );
    let (_, page) = get(&front, "/v1/workflows?phase=in_doubt").await;
    assert_eq!(
        (&page["items"][0]["inDoubtSince"], &page["items"][0]["waitingFor"]),
        (&since, &seen["waitingFor"])
    );
    let known = WorkflowId::from(front.payment_awaiting_approval().await);
    let (_, seen) = get(&front, &format!("/v1/workflows/{known}")).await;
    assert_eq!((&seen["doubt"], &seen["inDoubtSince"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn a_list_is_narrowed_by_bank_sorted_and_added_up() {
    let front = Front::open().await;
    let first = WorkflowId::from(front.payment_awaiting_approval().await);
    front.clock.set(front.app.engine.now().plus(std::time::Duration::from_secs(1)));
    let second = front.payment_in_doubt().await;
    front.clock.set(front.app.engine.now().plus(std::time::Duration::from_secs(1)));
    front.tell(first, &Event::StatusSeen { status: TransactionStatus::Acsp, reason: None }).await;
    for (query, expected, money) in [
        ("", vec![second, first], json!({"NOK": "4000.00"})),
        ("?sort=createdAt", vec![first, second], json!({"NOK": "4000.00"})),
        ("?sort=-updatedAt", vec![first, second], json!({"NOK": "4000.00"})),
        ("?sort=updatedAt", vec![second, first], json!({"NOK": "4000.00"})),
        ("?provider=neonomics&bank=dnb", vec![second, first], json!({"NOK": "4000.00"})),
        ("?bank=dnb&phase=in_doubt", vec![second], json!({"NOK": "2000.00"})),
        ("?bank=nordea", vec![], json!({})),
        ("?provider=swan", vec![], json!({})),
    ] {
        let (status, page) = get(&front, &format!("/v1/workflows{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {page}");
        let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(ids, expected.iter().map(|id| json!(id.to_string())).collect::<Vec<_>>(), "{query}");
        assert_eq!((&page["total"], &page["moneyAtRisk"]), (&json!(expected.len()), &money), "{query}");
    }
    let (_, one) = get(&front, "/v1/workflows?sort=updatedAt&limit=1").await;
    let cursor = one["nextCursor"].as_str().unwrap();
    let (_, other) = get(&front, &format!("/v1/workflows?sort=updatedAt&limit=1&cursor={cursor}")).await;
    assert_eq!(
        (&one["items"][0]["id"], &other["items"][0]["id"], &other["nextCursor"]),
        (&json!(second.to_string()), &json!(first.to_string()), &json!(null))
    );
    // What has ended is at no risk.
    front.tell(first, &Event::StatusSeen { status: TransactionStatus::Acsc, reason: None }).await;
    let (_, page) = get(&front, "/v1/workflows").await;
    assert_eq!((&page["total"], &page["moneyAtRisk"]), (&json!(2), &json!({"NOK": "2000.00"})));
    for query in ["?sort=amount", "?bank=d%20b", "?bank="] {
        assert_eq!(get(&front, &format!("/v1/workflows{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}
