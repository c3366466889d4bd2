//! Who is let in.

use reqwest::Method;
use serde_json::Value;

use super::Corner;
use crate::client::{Caller, answer};
use crate::on_both_databases;
use crate::patience::eventually;
use crate::service::{Kind, World};
use crate::tokens;

on_both_databases! {
    no_route_opens_to_a_bad_token;
    a_session_cookie_works_for_pages_of_our_own_only;
    an_api_key_opens_until_it_is_revoked_or_expires;
}

/// What anybody may call.
const OPEN: &[&str] = &[
    "/v1/payments/callback",
    "/v1/consents/callback",
    "/v1/webhooks/neonomics",
    "/v1/health",
    "/livez",
    "/readyz",
    "/metrics",
];

async fn no_route_opens_to_a_bad_token(kind: Kind) {
    let corner = Corner::of(kind, "doors");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let api = Caller::nobody(&corner.base()).get("/openapi.json").await.is(200);
    let mut closed = 0;
    for (path, item) in api.body["paths"].as_object().unwrap() {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let concrete = super::input::concrete(path, &kari);
        for method in item.as_object().unwrap().keys().filter_map(|name| super::input::method(name)) {
            closed += 1;
            let nobody = Caller::nobody(&corner.base());
            let answer = answer(nobody.request(method.clone(), &concrete)).await;
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path}: {}", answer.text);
            answer.refused(401, "unauthenticated");
        }
    }
    assert!(closed >= 15, "only {closed} closed routes");
    let mut words = None;
    for (why, value) in tokens::bad(&kari.user) {
        let caller = kari.app.authorized_as(&value);
        for path in ["/v1/transactions".to_owned(), format!("/v1/transactions/tx_{:032x}", 1)] {
            let refused = caller.get(&path).await;
            assert_eq!(refused.status, 401, "{why}: {}", refused.text);
            let refused = refused.refused(401, "unauthenticated");
            // All refusals are alike: a forger learns nothing from them.
            assert_eq!(words.get_or_insert(refused.text.clone()), &refused.text, "{why}");
        }
        let start = caller.start(crate::client::REMITTANCE, "key", &kari.order("200.00")).await;
        assert_eq!(start.status, 401, "{why}: {}", start.text);
    }
    assert_eq!(kari.count().await, 0);
}

async fn a_session_cookie_works_for_pages_of_our_own_only(kind: Kind) {
    let corner = Corner::of(kind, "cookies");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let started = kari.remit_to_link("100.00").await;
    let nobody = Caller::nobody(&corner.base());
    let cookie = format!("theme=dark; drop_token={}", tokens::token(&kari.user, "user"));
    let path = format!("/v1/transactions/{}", started.word("id"));
    answer(nobody.request(Method::GET, &path).header("Cookie", &cookie)).await.is(200);
    let cancel = format!("{path}/cancel");
    let foreign = nobody.request(Method::POST, &cancel).header("Cookie", &cookie);
    let foreign = foreign.header("Origin", "https://evil.example").header("Sec-Fetch-Site", "cross-site");
    answer(foreign).await.refused(403, "forbidden");
    assert_eq!(kari.look(&started.word("id")).await.word("phase"), "awaiting_sca");
    let own = nobody.request(Method::POST, &cancel).header("Cookie", &cookie);
    answer(own.header("Origin", corner.base()).header("Sec-Fetch-Site", "same-origin")).await.is(200);
    let bad = nobody.request(Method::GET, &path).header("Cookie", "drop_token=garbage");
    answer(bad).await.refused(401, "unauthenticated");
}

async fn an_api_key_opens_until_it_is_revoked_or_expires(kind: Kind) {
    let world = World::shared(kind);
    let branch = world.bank.open_branch("keys").await;
    let kari = crate::client::Customer::register(&world.service.base(), &branch).await;
    // The service runs on while keys are made and revoked beside it.
    let command = |args: &[&str]| world.service.command(args);
    let printed = |said: &str, prefix: &str| {
        let words = said.split(|letter: char| !(letter.is_ascii_alphanumeric() || "_-".contains(letter)));
        let mut words = words.filter(|word| word.starts_with(prefix));
        words.next().unwrap_or_else(|| panic!("no {prefix} in {said}")).to_owned()
    };
    let said = command(&["keys", "create", "--role", "service", "--subject", "the-app"]);
    let (id, secret) = (printed(&said, "key_"), printed(&said, "sk_"));
    assert!(secret.len() >= 40, "{said}");
    let holder = Caller::with_token(&world.service.base(), &secret);
    let list = format!("/v1/transactions?userId={}", kari.user);
    assert!(matches!(holder.get(&list).await.is(200).body["items"], Value::Array(_)));
    let bent = format!("{}x", &secret[..secret.len() - 1]);
    let forger = Caller::with_token(&world.service.base(), &bent);
    forger.get(&list).await.refused(401, "unauthenticated");

    command(&["keys", "revoke", &id]);
    eventually("the revoked key is refused", async || (holder.get(&list).await.status == 401).then_some(()))
        .await;

    let said = command(&["keys", "create", "--role", "service", "--subject", "the-app", "--expires", "1s"]);
    let brief = Caller::with_token(&world.service.base(), &printed(&said, "sk_"));
    eventually("the expired key is refused", async || (brief.get(&list).await.status == 401).then_some(()))
        .await;
    // The secret was shown once and is kept nowhere.
    assert!(!world.service.said().contains(&secret));
}
