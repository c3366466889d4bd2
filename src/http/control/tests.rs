//! Modes, breakers, holds and queues, from outside.

use ::workflows::engine::Lane;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use workers::controls::{Gate, HoldOn, Reason};

use super::super::testing::{BEGIN, Front};

async fn ask(front: &Front, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    front.ask(method, path, Some(&front.staff("olga", "operator")), &body.to_string()).await
}

fn gate(front: &Front, bank: &str, operation: &str) -> Gate {
    front.app.controls.gate(&Lane::of("neonomics", bank, operation))
}

#[tokio::test]
async fn a_mode_is_turned_for_all_or_for_a_bank_and_ends_by_itself() {
    let front = Front::open().await;
    let (provider, bank) = ("/v1/providers/neonomics", "/v1/providers/neonomics/banks/dnb");
    let until = BEGIN.plus(std::time::Duration::from_mins(5));
    let body = json!({"mode": "queue", "reason": "503 since 02:58", "expiresAt": until.to_rfc3339_millis()});
    let (status, answer) = ask(&front, Method::PATCH, bank, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["mode"], &answer["banks"][0]["mode"]), (&json!("live"), &json!("queue")), "{answer}");
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Shut(Reason::Queueing));
    assert_eq!((gate(&front, "dnb", "status"), gate(&front, "nordea", "initiate")), (Gate::Open, Gate::Open));
    front.clock.set(until);
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Open);

    for (word, mode, balance_mode) in [
        ("disabled", "disabled", "live"),
        ("cached", "disabled", "cached"),
        ("hidden", "disabled", "hidden"),
        ("live", "live", "live"),
    ] {
        let (status, answer) =
            ask(&front, Method::PATCH, provider, json!({"mode": word, "reason": "r"})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!((&answer["mode"], &answer["balanceMode"]), (&json!(mode), &json!(balance_mode)), "{word}");
    }
    let (_, answer) = ask(&front, Method::PATCH, provider, json!({"ratePerSecond": 7, "reason": "r"})).await;
    assert_eq!(answer["ratePerSecond"], json!(7));
}

#[tokio::test]
async fn what_an_operator_lifts_is_lifted_over_the_start_values_and_payments_are_refused_while_disabled() {
    let front = Front::open().await;
    let provider = "/v1/providers/neonomics";
    ask(&front, Method::PATCH, provider, json!({"mode": "disabled", "reason": "incident"})).await;
    let body = json!({"recipientId": "rec_marko", "amount": "2000.00"}).to_string();
    let path = "/v1/transactions/remittance";
    let (status, answer) = front.ask(Method::POST, path, Some(&front.kari()), &body).await;
    assert_eq!((status, &answer["error"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("payments_disabled")));
    ask(&front, Method::PATCH, provider, json!({"mode": "live", "reason": "over"})).await;
    let (status, _) = front.ask(Method::POST, path, Some(&front.kari()), &body).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let kept = front.drawers.actions.actions("neonomics", 10).await.unwrap();
    let reasons: Vec<_> = kept.iter().map(|action| action.reason.as_str()).collect();
    assert_eq!(reasons, ["over", "over", "incident"], "each with its reason");
}

#[tokio::test]
async fn breakers_are_opened_and_closed_for_an_operation_a_bank_or_the_provider() {
    let front = Front::open().await;
    let bank = "/v1/providers/neonomics/banks/dnb/breaker";
    let open = json!({"action": "open", "operation": "initiate", "reason": "duplicates"});
    let (status, answer) = ask(&front, Method::POST, bank, open).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let breakers = answer["banks"][0]["breakers"].as_array().unwrap();
    let of = |operation: &str| breakers.iter().find(|one| one["operation"] == operation).unwrap();
    assert_eq!(
        (&of("initiate")["state"], &of("initiate")["openedBy"], &of("initiate")["reason"]),
        (&json!("open"), &json!("olga"), &json!("duplicates"))
    );
    assert_eq!(of("status")["state"], json!("closed"));
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Shut(Reason::Broken));
    assert_eq!(gate(&front, "dnb", "status"), Gate::Open);
    ask(&front, Method::POST, bank, json!({"action": "close", "reason": "fixed"})).await;
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Open);
    // What shows where payments stand is shut by nobody who does not say so.
    let broken = Gate::Shut(Reason::Broken);
    let stands =
        |of| ["initiate", "queue", "aisp", "status", "locate", "cancel"].map(|one| gate(&front, of, one));
    ask(&front, Method::POST, bank, json!({"action": "open", "reason": "r"})).await;
    assert_eq!(stands("dnb"), [broken, broken, broken, Gate::Open, Gate::Open, Gate::Open]);
    let status = json!({"action": "open", "operation": "status", "reason": "r"});
    ask(&front, Method::POST, bank, status).await;
    assert_eq!(stands("dnb"), [broken, broken, broken, broken, broken, Gate::Open]);

    let provider = "/v1/providers/neonomics/breaker";
    let (_, answer) = ask(&front, Method::POST, provider, json!({"action": "open", "reason": "r"})).await;
    assert_eq!(answer["breaker"]["state"], json!("open"));
    assert_eq!(stands("nordea"), [broken, broken, broken, Gate::Open, Gate::Open, Gate::Open]);
    let (_, answer) = ask(&front, Method::POST, provider, json!({"action": "close", "reason": "r"})).await;
    assert_eq!(answer["breaker"]["state"], json!("closed"));
    assert_eq!(
        (stands("nordea"), stands("dnb")),
        ([Gate::Open; 6], [Gate::Open; 6]),
        "those of its banks too"
    );
    ask(&front, Method::POST, bank, json!({"action": "open", "reason": "r"})).await;
    ask(&front, Method::POST, provider, json!({"action": "probe", "reason": "r"})).await;
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Probed);
}

#[tokio::test]
async fn holds_are_made_listed_and_released() {
    let front = Front::open().await;
    for on in ["kind:remittance", "provider:neonomics", "bank:neonomics:dnb"] {
        let (status, held) =
            ask(&front, Method::POST, "/v1/holds", json!({"on": on, "reason": "fraud"})).await;
        assert_eq!((status, &held["id"], &held["heldBy"]), (StatusCode::CREATED, &json!(on), &json!("olga")));
    }
    let (_, holds) = ask(&front, Method::GET, "/v1/holds", json!({})).await;
    assert_eq!(holds["items"].as_array().unwrap().len(), 3, "{holds}");
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Shut(Reason::Held));
    for on in ["kind:remittance", "provider:neonomics", "bank:neonomics:dnb"] {
        let path = format!("/v1/holds/{on}");
        assert_eq!(
            ask(&front, Method::DELETE, &path, json!({"reason": "over"})).await.0,
            StatusCode::NO_CONTENT
        );
        assert_eq!(
            ask(&front, Method::DELETE, &path, json!({"reason": "over"})).await.0,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Open);
}

#[tokio::test]
async fn a_workflow_is_held_and_released_under_its_own_address() {
    let front = Front::open().await;
    let id = ::workflows::ids::WorkflowId::from(front.start_remittance().await);
    let post = async |verb: &str| {
        ask(&front, Method::POST, &format!("/v1/workflows/{id}/{verb}"), json!({"reason": "fraud"})).await
    };
    assert_eq!(post("release").await.0, StatusCode::CONFLICT);
    let (status, held) = post("hold").await;
    assert_eq!((status, &held["held"]), (StatusCode::OK, &json!(format!("instance:{id}"))), "{held}");
    assert_eq!(front.app.controls.held(id, "remittance"), Some(HoldOn::Instance(id)));
    assert_eq!(post("hold").await.0, StatusCode::CONFLICT);
    let (status, released) = post("release").await;
    assert_eq!((status, &released["held"]), (StatusCode::OK, &json!(null)));
    let verbs: Vec<_> =
        released["actions"].as_array().unwrap().iter().map(|one| one["action"].clone()).collect();
    assert_eq!(verbs, ["release", "hold"]);
}

#[tokio::test]
async fn a_queue_is_drained_at_a_pace_paused_and_left_to_its_stages() {
    let front = Front::open().await;
    let path = "/v1/queues/neonomics:dnb/drain";
    for (body, state, per_minute) in [
        (json!({"perMinute": 25, "reason": "r"}), "open", json!(25)),
        (json!({"perMinute": 0, "reason": "r"}), "paused", json!(0)),
    ] {
        let (status, page) = ask(&front, Method::POST, path, body).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let queue = &page["items"][0];
        assert_eq!((&queue["name"], &queue["waiting"]), (&json!("neonomics:dnb"), &json!(0)));
        assert_eq!((&queue["state"], &queue["perMinute"]), (&json!(state), &per_minute), "{queue}");
    }
    let (_, queues) = ask(&front, Method::GET, "/v1/queues", json!({})).await;
    assert_eq!(queues["items"].as_array().unwrap().len(), 1, "{queues}");
    let (status, _) = ask(&front, Method::POST, "/v1/queues/all/drain", json!({"reason": "r"})).await;
    assert_eq!(status, StatusCode::OK);
    let (_, queues) = ask(&front, Method::GET, "/v1/queues", json!({})).await;
    assert_ne!(queues["items"][0]["state"], json!("paused"), "{queues}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table is as long as what it tells")]
async fn bad_input_to_controls_is_refused_with_the_field_at_fault() {
    let front = Front::open().await;
    let (provider, bank) = ("/v1/providers/neonomics", "/v1/providers/neonomics/banks/dnb");
    let breaker = format!("{bank}/breaker");
    let drain = "/v1/queues/neonomics:dnb/drain";
    for (method, path, body, error, field) in [
        (Method::PATCH, provider, json!({"mode": "queue"}), "reason_required", "reason"),
        (Method::PATCH, provider, json!({"reason": "r"}), "validation_failed", "mode"),
        (Method::PATCH, provider, json!({"mode": "off", "reason": "r"}), "validation_failed", "mode"),
        (Method::PATCH, provider, json!({"mode": 1, "reason": "r"}), "validation_failed", "mode"),
        (
            Method::PATCH,
            provider,
            json!({"ratePerSecond": 0, "reason": "r"}),
            "validation_failed",
            "ratePerSecond",
        ),
        (
            Method::PATCH,
            provider,
            json!({"ratePerSecond": -1, "reason": "r"}),
            "validation_failed",
            "ratePerSecond",
        ),
        (
            Method::PATCH,
            bank,
            json!({"mode": "live", "paymentsMode": "live", "reason": "r"}),
            "validation_failed",
            "mode",
        ),
        (
            Method::PATCH,
            bank,
            json!({"paymentsMode": "cached", "reason": "r"}),
            "validation_failed",
            "paymentsMode",
        ),
        (
            Method::PATCH,
            bank,
            json!({"balanceMode": "disabled", "reason": "r"}),
            "validation_failed",
            "balanceMode",
        ),
        (
            Method::PATCH,
            bank,
            json!({"mode": "queue", "reason": "r", "expiresAt": "x"}),
            "validation_failed",
            "expiresAt",
        ),
        (
            Method::PATCH,
            bank,
            json!({"mode": "queue", "reason": "r", "expiresAt": "2020-01-01T00:00:00Z"}),
            "validation_failed",
            "expiresAt",
        ),
        (
            Method::PATCH,
            bank,
            json!({"mode": "queue", "reason": "r", "bank": "x"}),
            "validation_failed",
            "bank",
        ),
        (Method::POST, &breaker, json!({"reason": "r"}), "validation_failed", "action"),
        (Method::POST, &breaker, json!({"action": "trip", "reason": "r"}), "validation_failed", "action"),
        (Method::POST, &breaker, json!({"action": "open"}), "reason_required", "reason"),
        (
            Method::POST,
            &breaker,
            json!({"action": "open", "operation": "x", "reason": "r"}),
            "validation_failed",
            "operation",
        ),
        (
            Method::POST,
            "/v1/providers/neonomics/breaker",
            json!({"action": "open", "operation": "initiate", "reason": "r"}),
            "validation_failed",
            "operation",
        ),
        (Method::POST, drain, json!({"perMinute": 25}), "reason_required", "reason"),
        (Method::POST, drain, json!({"perMinute": 100_001, "reason": "r"}), "validation_failed", "perMinute"),
        (Method::POST, drain, json!({"perMinute": "25", "reason": "r"}), "validation_failed", "perMinute"),
        (Method::POST, "/v1/holds", json!({"reason": "r"}), "validation_failed", "on"),
        (Method::POST, "/v1/holds", json!({"on": "kind:loan", "reason": "r"}), "validation_failed", "on"),
        (
            Method::POST,
            "/v1/holds",
            json!({"on": "bank/neonomics/dnb", "reason": "r"}),
            "validation_failed",
            "on",
        ),
        (Method::POST, "/v1/holds", json!({"on": "instance:wf_1", "reason": "r"}), "validation_failed", "on"),
        (Method::POST, "/v1/holds", json!({"on": "kind:remittance"}), "reason_required", "reason"),
        (Method::DELETE, "/v1/holds/kind:remittance", json!({}), "reason_required", "reason"),
    ] {
        let (status, answer) = ask(&front, method.clone(), path, body.clone()).await;
        assert_eq!(
            (status, &answer["error"], &answer["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(error), &json!(field)),
            "{method} {path} {body}: {answer}"
        );
    }
    for (method, path) in [
        (Method::PATCH, "/v1/providers/swan"),
        (Method::PATCH, "/v1/providers/neonomics/banks/d%00"),
        (Method::PATCH, "/v1/providers/neonomics/banks/d%20b"),
        (Method::POST, "/v1/providers/swan/breaker"),
        (Method::POST, "/v1/queues/neonomics:%00/drain"),
        (Method::POST, "/v1/queues/dnb/drain"),
        (Method::DELETE, "/v1/holds/kind:%00"),
    ] {
        let body = json!({"mode": "live", "reason": "r"});
        let body = if method == Method::PATCH { body } else { json!({"action": "open", "reason": "r"}) };
        let body =
            if path.contains("queues") || path.contains("holds") { json!({"reason": "r"}) } else { body };
        let (status, answer) = ask(&front, method.clone(), path, body).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {answer}");
    }
}

/// Ids of the aggregator are base64.
#[tokio::test]
async fn a_bank_with_an_id_in_base64_is_steered_like_any_other() {
    const ID: &str = "RE5C/K+w=";
    let front = Front::open().await;
    let account = json!({"bankId": ID, "iban": "NO9386011117947", "providerConsentId": "consent-1"});
    let path = "/v1/users/usr_kari/bank-accounts/bac_1";
    let (status, put) = front.ask(Method::PUT, path, Some(&front.backend()), &account.to_string()).await;
    assert_eq!((status, &put["bankId"]), (StatusCode::OK, &json!(ID)), "{put}");
    let bank = "/v1/providers/neonomics/banks/RE5C%2FK%2Bw%3D";
    let (status, answer) = ask(&front, Method::PATCH, bank, json!({"mode": "queue", "reason": "r"})).await;
    let shown = &answer["banks"][0];
    assert_eq!((status, &shown["name"], &shown["mode"]), (StatusCode::OK, &json!(ID), &json!("queue")));
    assert_eq!(gate(&front, ID, "initiate"), Gate::Shut(Reason::Queueing));
    assert_eq!(gate(&front, "dnb", "initiate"), Gate::Open);
    ask(&front, Method::PATCH, bank, json!({"mode": "live", "reason": "r"})).await;
    let breaker = format!("{bank}/breaker");
    let (status, answer) =
        ask(&front, Method::POST, &breaker, json!({"action": "open", "reason": "r"})).await;
    assert_eq!((status, &answer["banks"][0]["breakers"][1]["state"]), (StatusCode::OK, &json!("open")));
    ask(&front, Method::POST, &breaker, json!({"action": "close", "reason": "r"})).await;
    let on = json!({"on": format!("bank:neonomics:{ID}"), "reason": "r"});
    let (status, held) = ask(&front, Method::POST, "/v1/holds", on).await;
    assert_eq!((status, &held["id"]), (StatusCode::CREATED, &json!(format!("bank:neonomics:{ID}"))));
    assert_eq!(gate(&front, ID, "initiate"), Gate::Shut(Reason::Held));
    let path = "/v1/holds/bank:neonomics:RE5C%2FK%2Bw%3D";
    assert_eq!(ask(&front, Method::DELETE, path, json!({"reason": "r"})).await.0, StatusCode::NO_CONTENT);
    let queue = "/v1/queues/neonomics:RE5C%2FK%2Bw%3D/drain";
    let (status, page) = ask(&front, Method::POST, queue, json!({"perMinute": 5, "reason": "r"})).await;
    assert_eq!((status, &page["items"][0]["bank"]), (StatusCode::OK, &json!(ID)), "{page}");
}

#[tokio::test]
async fn an_odd_queue_keeps_no_other_from_being_drained() {
    let front = Front::open().await;
    let cause = workers::controls::Cause { actor: "o".to_owned(), reason: "r".to_owned(), expires_at: None };
    for (provider, bank) in [("swan", "dnb"), ("neonomics", "d b"), ("neonomics", "dnb")] {
        let queue = Lane::of(provider, bank, "queue");
        front.app.controls.drain(&queue, workers::controls::Drain::Paused, cause.clone()).await.unwrap();
    }
    let path = "/v1/queues/all/drain";
    let (status, page) = ask(&front, Method::POST, path, json!({"perMinute": 25, "reason": "r"})).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let paces: Vec<_> = page["items"].as_array().unwrap().iter().map(|one| &one["perMinute"]).collect();
    assert_eq!(paces, [&json!(25); 3], "{page}");
}

#[tokio::test]
async fn payments_and_balances_are_turned_apart() {
    let front = Front::open().await;
    for path in ["/v1/providers/neonomics", "/v1/providers/neonomics/banks/dnb"] {
        let modes = async |body: Value| {
            let (status, answer) = ask(&front, Method::PATCH, path, body).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            let at = if path.ends_with("dnb") { &answer["banks"][0] } else { &answer };
            (at["mode"].as_str().unwrap().to_owned(), at["balanceMode"].as_str().unwrap().to_owned())
        };
        let said = |payments: &str, balances: &str| (payments.to_owned(), balances.to_owned());
        modes(json!({"mode": "disabled", "reason": "fraud"})).await;
        let both = modes(json!({"mode": "cached", "reason": "their AISP is slow"})).await;
        assert_eq!(both, said("disabled", "cached"));
        let ended = modes(json!({"balanceMode": "live", "reason": "AISP is back"})).await;
        assert_eq!(ended, said("disabled", "live"), "what somebody else disabled stays so");
        let ended = modes(json!({"paymentsMode": "live", "reason": "over"})).await;
        assert_eq!(ended, said("live", "live"));
        let body = json!({"paymentsMode": "queue", "balanceMode": "hidden", "reason": "r"});
        assert_eq!(modes(body).await, said("queue", "hidden"));
        assert_eq!(modes(json!({"mode": "live", "reason": "r"})).await, said("live", "live"));
    }
}

#[tokio::test]
async fn who_says_so_why_since_when_and_until_when_is_shown_beside_a_mode() {
    let front = Front::open().await;
    let (provider, bank) = ("/v1/providers/neonomics", "/v1/providers/neonomics/banks/dnb");
    let (_, listed) = ask(&front, Method::GET, "/v1/providers", json!({})).await;
    for field in ["paymentsOverride", "balanceOverride", "rateOverride"] {
        assert_eq!(listed["items"][0][field], json!(null), "the start value holds");
    }
    let end = BEGIN.plus(std::time::Duration::from_mins(5)).to_rfc3339_millis();
    let (_, shown) =
        ask(&front, Method::PATCH, bank, json!({"mode": "queue", "reason": "503", "expiresAt": end})).await;
    let expected = json!({"switch": "pisp.mode:neonomics:dnb", "value": "queue", "actor": "olga", "reason": "503",
        "since": BEGIN.to_rfc3339_millis(), "expiresAt": end, "then": null});
    assert_eq!(
        (&shown["banks"][0]["paymentsOverride"], &shown["paymentsOverride"]),
        (&expected, &json!(null))
    );
    let body = json!({"mode": "disabled", "ratePerSecond": 7, "reason": "fraud"});
    let (_, shown) = ask(&front, Method::PATCH, provider, body).await;
    assert_eq!(shown["banks"][0]["paymentsOverride"]["switch"], json!("pisp.mode"), "the one that decides");
    assert_eq!(shown["paymentsOverride"]["reason"], json!("fraud"));
    assert_eq!(shown["rateOverride"]["value"], json!("7"));
    let kept = front.drawers.actions.actions("neonomics/dnb", 10).await.unwrap();
    assert_eq!(kept[0].expires_at.map(::workflows::time::At::to_rfc3339_millis), Some(end));
}

#[tokio::test]
async fn a_rate_is_for_a_whole_provider() {
    let front = Front::open().await;
    let bank = "/v1/providers/neonomics/banks/dnb";
    let (status, answer) = ask(&front, Method::PATCH, bank, json!({"ratePerSecond": 5, "reason": "r"})).await;
    assert_eq!(
        (status, &answer["error"], &answer["details"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("rate_of_a_bank"), &json!("ratePerSecond"))
    );
}
