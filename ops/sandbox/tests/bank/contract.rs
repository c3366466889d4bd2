use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{KEYS, REDIRECT, World, answer, code, order};

#[tokio::test]
async fn a_payment_is_received_approved_executed_once_and_debited() {
    let world = World::open().await;
    let (http, body) = world.ask(KEYS[0], &order("e1")).await;
    assert_eq!(http, StatusCode::CREATED);
    assert_eq!(body["transactionStatus"], "RCVD");
    let id = body["paymentId"].as_str().unwrap();
    let page = body["_links"]["scaRedirect"]["href"].as_str().unwrap();
    assert_eq!(page, format!("{}/sca/{id}", world.bank.base_url()));
    assert_eq!(world.balance("acc-1", "consent-demo-dnb").await, "45230.00");

    let approved = world.client.post(format!("{page}/approve")).send().await.unwrap();
    assert_eq!(approved.status(), StatusCode::SEE_OTHER);
    assert_eq!(approved.headers()["location"], format!("{REDIRECT}&paymentId={id}"));

    assert_eq!(world.status(id).await, "ACSC");
    assert_eq!(world.balance("acc-1", "consent-demo-dnb").await, "43230.00");
    let truth = &world.truth("e1").await[0];
    assert_eq!(truth["executedCount"], 1);
    let codes: Vec<_> =
        truth["statusHistory"].as_array().unwrap().iter().map(|step| &step["status"]).collect();
    assert_eq!(codes, ["RCVD", "ACTC", "ACSP", "ACSC"]);
}

#[tokio::test]
async fn what_breaks_the_contract_is_refused_and_creates_nothing() {
    let world = World::open().await;
    let changed = |pointer: &str, value: Value| {
        let mut order = order("bad");
        *order.pointer_mut(pointer).unwrap() = value;
        order
    };
    let without = |name: &str| {
        let mut order = order("bad");
        order.as_object_mut().unwrap().remove(name);
        order
    };
    let mut extra = order("bad");
    extra["surprise"] = json!(1);
    for (body, expected) in [
        (changed("/creditorAccount/iban", json!("RS35265000000123456758")), "INVALID_IBAN"),
        (
            changed("/creditorAccount", json!({ "iban": "RS35265000000123456757", "bban": "1" })),
            "FORMAT_ERROR",
        ),
        (changed("/creditorAccount", json!({})), "FORMAT_ERROR"),
        (changed("/debtorAccount/iban", json!("NO9386011117946")), "INVALID_IBAN"),
        (changed("/instructedAmount/amount", json!(2000)), "FORMAT_ERROR"),
        (changed("/instructedAmount/amount", json!("2000.001")), "FORMAT_ERROR"),
        (changed("/instructedAmount/amount", json!("0.00")), "FORMAT_ERROR"),
        (changed("/instructedAmount/amount", json!("-5.00")), "FORMAT_ERROR"),
        (changed("/instructedAmount/currency", json!("kr")), "FORMAT_ERROR"),
        (changed("/endToEndIdentification", json!("x".repeat(36))), "FORMAT_ERROR"),
        (changed("/remittanceInformationUnstructured", json!("x".repeat(141))), "FORMAT_ERROR"),
        (without("creditorName"), "FORMAT_ERROR"),
        (without("endToEndIdentification"), "FORMAT_ERROR"),
        (extra, "FORMAT_ERROR"),
    ] {
        let (http, refusal) = world.ask(KEYS[0], &body).await;
        assert_eq!((http, code(&refusal)), (StatusCode::BAD_REQUEST, expected), "{body}");
    }
    let url = format!("{}/v1/payments/sepa-credit-transfers", world.bank.base_url());
    let plain = || world.client.post(&url).json(&order("bad"));
    let known = || plain().header("X-Request-ID", KEYS[0]).header("TPP-Redirect-URI", REDIRECT);
    for (request, what) in [
        (plain().header("TPP-Redirect-URI", REDIRECT), "no X-Request-ID"),
        (plain().header("TPP-Redirect-URI", REDIRECT).header("X-Request-ID", "idem-1"), "no UUID"),
        (plain().header("X-Request-ID", KEYS[0]), "no redirect"),
        (
            plain().header("X-Request-ID", KEYS[0]).header("TPP-Redirect-URI", "/relative"),
            "relative redirect",
        ),
        (known().header("PSU-IP-Address", "here"), "no IP address"),
        (known().body("{"), "no JSON"),
        (known().header("Content-Type", "text/plain"), "a header twice"),
    ] {
        let (http, refusal) = answer(request.send().await.unwrap()).await;
        assert_eq!((http, code(&refusal)), (StatusCode::BAD_REQUEST, "FORMAT_ERROR"), "{what}");
    }
    let (_, everything) = world.get("/_control/payments").await;
    assert_eq!(everything, json!([]));
}

#[tokio::test]
async fn both_products_are_there_and_no_third() {
    let world = World::open().await;
    let mut domestic = order("e1");
    domestic["creditorAccount"] = json!({ "bban": "12073650567" });
    for (product, expected) in [
        ("domestic-transfer", StatusCode::CREATED),
        ("sepa-credit-transfers", StatusCode::CREATED),
        ("barter", StatusCode::NOT_FOUND),
    ] {
        let key = if product == "domestic-transfer" { KEYS[0] } else { KEYS[1] };
        let request = world.client.post(format!("{}/v1/payments/{product}", world.bank.base_url()));
        let request =
            request.header("X-Request-ID", key).header("TPP-Redirect-URI", REDIRECT).json(&domestic);
        assert_eq!(request.send().await.unwrap().status(), expected, "{product}");
    }
}

#[tokio::test]
async fn cancelling_works_until_the_person_has_approved() {
    let world = World::open().await;
    let early = world.pay(KEYS[0], &order("early")).await;
    assert_eq!(world.cancel(&early).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.status(&early).await, "CANC");
    assert_eq!(world.cancel(&early).await.0, StatusCode::NO_CONTENT);
    let (http, _) = world.post(&format!("/sca/{early}/approve"), json!({})).await;
    assert_eq!(http, StatusCode::CONFLICT);

    world.put("/_control/banks/dnb", json!({ "executionDelayMs": 3_600_000 })).await;
    let late = world.pay(KEYS[1], &order("late")).await;
    world.post(&format!("/_control/payments/{late}/approve"), json!({})).await;
    assert_eq!(world.status(&late).await, "ACSP");
    let (http, refusal) = world.cancel(&late).await;
    assert_eq!(
        (http, code(&refusal), &refusal["bank"]),
        (StatusCode::CONFLICT, "STATUS_INVALID", &json!("dnb"))
    );
    assert_eq!(world.status(&late).await, "ACSP");
    assert_eq!(world.truth("early").await[0]["executedCount"], 0);
    assert_eq!(world.cancel("pmt-unknown").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lookup_finds_what_exists_and_says_so_when_nothing_does() {
    let world = World::open().await;
    assert_eq!(world.locate("e1").await, (StatusCode::OK, json!([])));
    let id = world.pay(KEYS[0], &order("e1")).await;
    let found = json!([{ "paymentId": id, "transactionStatus": "RCVD", "endToEndIdentification": "e1" }]);
    assert_eq!(world.locate("e1").await, (StatusCode::OK, found));
    let (http, refusal) = world.get("/v1/payments").await;
    assert_eq!((http, code(&refusal)), (StatusCode::BAD_REQUEST, "FORMAT_ERROR"));
    let (http, refusal) = world.get("/v1/payments/pmt-unknown/status").await;
    assert_eq!((http, code(&refusal)), (StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN"));
}

#[tokio::test]
async fn a_payment_without_cover_is_rejected_with_the_reason() {
    let world = World::open().await;
    let mut poor = order("poor");
    poor["debtorAccount"]["iban"] = json!(sandbox::iban::Iban::norwegian("12032202452").unwrap());
    let id = world.pay(KEYS[0], &poor).await;
    world.post(&format!("/_control/payments/{id}/approve"), json!({})).await;
    let (_, body) = world.get(&format!("/v1/payments/{id}/status")).await;
    assert_eq!(body, json!({ "transactionStatus": "RJCT", "reason": "INSUFFICIENT_FUNDS" }));
    assert_eq!(world.truth("poor").await[0]["executedCount"], 0);
}

#[tokio::test]
async fn tokens_expire_and_unknown_ones_are_refused() {
    let client = sandbox::Client { id: "id".into(), secret: "secret".into() };
    let world = World::open_with(|config| {
        config.client = Some(client);
        config.api_key = Some("static".into());
        config.token_ttl = std::time::Duration::from_millis(1500);
    })
    .await;
    let token = |secret: &'static str| {
        let form = [("grant_type", "client_credentials"), ("client_id", "id"), ("client_secret", secret)];
        world.client.post(format!("{}/auth/token", world.bank.base_url())).form(&form).send()
    };
    let (http, refusal) = answer(token("wrong").await.unwrap()).await;
    assert_eq!((http, code(&refusal)), (StatusCode::UNAUTHORIZED, "invalid_api_key"));
    let (_, issued) = answer(token("secret").await.unwrap()).await;
    assert_eq!(issued["token_type"], "Bearer");
    let issued = issued["access_token"].as_str().unwrap().to_owned();
    let banks = |bearer: String| world.call(Method::GET, "/banks").bearer_auth(bearer).send();
    assert_eq!(banks(issued.clone()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(banks("static".into()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(banks("unknown".into()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/banks").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/health").await.0, StatusCode::OK);

    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    let (http, refusal) = answer(banks(issued).await.unwrap()).await;
    assert_eq!((http, code(&refusal)), (StatusCode::UNAUTHORIZED, "invalid_api_key"));
}

#[tokio::test]
async fn a_consent_is_asked_approved_used_and_ended() {
    let world = World::open().await;
    let asked = json!({
        "bankId": "dnb", "accountId": "acc-1", "validUntil": "9999-12-31",
        "frequencyPerDay": 1, "recurringIndicator": true,
    });
    let ask = world.call(Method::POST, "/v1/consents").header("TPP-Redirect-URI", "https://app.example/back");
    let (http, body) = answer(ask.json(&asked).send().await.unwrap()).await;
    assert_eq!((http, &body["consentStatus"]), (StatusCode::CREATED, &json!("received")), "{body}");
    let id = body["consentId"].as_str().unwrap();
    let page = body["_links"]["scaRedirect"]["href"].as_str().unwrap();

    let balances = |account: &'static str| {
        let call = world.call(Method::GET, &format!("/v1/accounts/{account}/balances"));
        call.header("X-Consent-ID", id).send()
    };
    let (http, refusal) = answer(balances("acc-1").await.unwrap()).await;
    assert_eq!((http, code(&refusal)), (StatusCode::UNAUTHORIZED, "CONSENT_INVALID"));
    assert_eq!(world.client.get(page).send().await.unwrap().status(), StatusCode::OK);
    let approved = world.client.post(format!("{page}/approve")).send().await.unwrap();
    assert_eq!(approved.status(), StatusCode::SEE_OTHER);
    assert_eq!(approved.headers()["location"], format!("https://app.example/back?consentId={id}"));

    let (_, body) = world.get(&format!("/v1/consents/{id}")).await;
    assert_eq!(body["consentStatus"], "valid");
    assert_ne!(body["validUntil"], "9999-12-31", "a bank shortens a consent to 180 days");
    assert_eq!(
        body["accounts"],
        json!([{ "resourceId": "acc-1", "iban": "NO9386011117947", "currency": "NOK" }])
    );

    assert_eq!(balances("acc-1").await.unwrap().status(), StatusCode::OK);
    let (http, refusal) = answer(balances("acc-1").await.unwrap()).await;
    assert_eq!((http, code(&refusal)), (StatusCode::TOO_MANY_REQUESTS, "ACCESS_EXCEEDED"));
    let (http, refusal) = answer(balances("acc-2").await.unwrap()).await;
    assert_eq!((http, code(&refusal)), (StatusCode::FORBIDDEN, "ACCOUNT_NOT_ACCESSIBLE"));

    let ended = world.call(Method::DELETE, &format!("/v1/consents/{id}")).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.get(&format!("/v1/consents/{id}")).await.1["consentStatus"], "terminatedByTpp");
}

#[tokio::test]
async fn an_expired_consent_stops_payments_and_balances() {
    let world = World::open().await;
    world.put("/_control/consents/old", json!({ "bankId": "nordea", "validUntil": "2020-01-01" })).await;
    assert_eq!(world.get("/v1/consents/old").await.1["consentStatus"], "expired");
    let request = world.asking(KEYS[0], &order("e1")).header("X-Consent-ID", "old");
    let (http, refusal) = answer(request.send().await.unwrap()).await;
    assert_eq!((http, code(&refusal)), (StatusCode::UNAUTHORIZED, "CONSENT_EXPIRED"));
    assert_eq!(refusal["bank"], "nordea");
    let (http, refusal) = world.get("/v1/accounts/acc-2/balances").await;
    assert_eq!((http, code(&refusal)), (StatusCode::BAD_REQUEST, "FORMAT_ERROR"));
}

#[tokio::test]
async fn the_bank_counts_what_it_saw() {
    let world = World::open().await;
    world.pay(KEYS[0], &order("e1")).await;
    world.locate("e1").await;
    world.locate("e2").await;
    let (_, calls) = world.get("/_control/calls").await;
    assert_eq!(calls["operations"]["initiate"]["outcomes"]["201"], 1);
    assert_eq!(calls["operations"]["locate"]["calls"], 2);
    assert_eq!(calls["all"]["calls"], 3);
    assert_eq!(calls["all"]["inFlight"], 0);
    assert!(calls["all"]["peakPerSecond"].as_u64().unwrap() >= 1);
}
