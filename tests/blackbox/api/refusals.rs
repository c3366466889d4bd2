//! Everything that a payment is refused for, and that nothing is left behind when it is.

use serde_json::{Value, json};

use super::Corner;
use crate::client::{Customer, QR_PAYMENT, REMITTANCE, adult, put, rates, unique};
use crate::on_both_databases;
use crate::service::Kind;

on_both_databases! {
    every_rule_has_its_code_and_a_refused_payment_leaves_no_trace;
    an_amount_is_exact_or_refused;
    what_belongs_to_somebody_else_does_not_exist;
    accounts_and_recipients_are_checked_when_they_are_written;
}

async fn every_rule_has_its_code_and_a_refused_payment_leaves_no_trace(kind: Kind) {
    let corner = Corner::of(kind, "rules");
    let branch = corner.branch().await;
    let backend = corner.backend();
    let with = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };

    // What is known of the payer.
    for (field, value, status, error) in [
        ("kycStatus", json!("not_started"), 409, "kyc_required"),
        ("kycStatus", json!("pending"), 409, "kyc_required"),
        ("kycStatus", json!("rejected"), 409, "kyc_required"),
        ("birthDate", Value::Null, 409, "kyc_required"),
        ("birthDate", json!("2015-01-01"), 403, "underage"),
    ] {
        let kari = corner.customer(&branch).await;
        put(&backend, &kari.path(""), &with(adult(), field, value)).await;
        kari.remit("2000.00").await.refused(status, error);
        assert_no_trace(&kari, &branch).await;
    }
    // What is known of the account.
    for (field, value, status, error) in [
        ("consentExpiresAt", json!("2020-01-01T00:00:00Z"), 409, "consent_expired"),
        ("currency", json!("EUR"), 422, "currency_not_supported"),
    ] {
        let kari = corner.customer(&branch).await;
        put(&backend, &kari.account_path(), &with(kari.account_body(&branch), field, value)).await;
        kari.remit("2000.00").await.refused(status, error);
        assert_no_trace(&kari, &branch).await;
    }
    // What is asked for.
    let kari = corner.customer(&branch).await;
    let order = kari.order("2000.00");
    for (field, value, status, error) in [
        ("amount", json!("99.99"), 422, "amount_out_of_range"),
        ("amount", json!("0"), 422, "amount_out_of_range"),
        ("amount", json!("50000.01"), 422, "amount_out_of_range"),
        ("amount", json!(1_000_000_000), 422, "amount_out_of_range"),
        ("currency", json!("SEK"), 422, "currency_not_supported"),
        ("sendCurrency", json!("EUR"), 422, "currency_not_supported"),
        ("receiveCurrency", json!("USD"), 422, "currency_not_supported"),
        ("receiveCurrency", json!("QQQ"), 422, "currency_not_supported"),
        ("recipientId", json!("rec_unknown"), 404, "not_found"),
        ("bankAccountId", json!("bac_unknown"), 404, "not_found"),
    ] {
        let refused = kari
            .app
            .start(REMITTANCE, &format!("key-{}", unique()), &with(order.clone(), field, value))
            .await;
        refused.refused(status, error);
    }
    let disagree =
        json!({ "recipientId": kari.recipient, "amount": "200", "currency": "NOK", "sendCurrency": "EUR" });
    let refused = kari.app.start(REMITTANCE, &format!("key-{}", unique()), &disagree).await;
    refused.enveloped();
    assert!([400, 422].contains(&refused.status), "{}", refused.text);
    let shop = json!({ "merchantId": "mer_unknown", "amount": "149.00" });
    kari.app.start(QR_PAYMENT, &format!("key-{}", unique()), &shop).await.refused(404, "not_found");
    let merchant = format!("mer_{}", unique());
    put(
        &backend,
        &format!("/v1/merchants/{merchant}"),
        &json!({ "name": "Kiosk", "iban": "NO9386011117947" }),
    )
    .await;
    for (amount, currency) in [("0.99", "NOK"), ("50000.01", "NOK")] {
        let shop = json!({ "merchantId": merchant, "amount": amount, "currency": currency });
        kari.app
            .start(QR_PAYMENT, &format!("key-{}", unique()), &shop)
            .await
            .refused(422, "amount_out_of_range");
    }
    let forged = json!({ "qr": "drop:forged", "amount": "149.00" });
    kari.app.start(QR_PAYMENT, &format!("key-{}", unique()), &forged).await.refused(422, "qr_invalid");
    // A key that was refused was not used: what was wrong is put right and sent again.
    kari.app.start(REMITTANCE, "put-right", &kari.order("99.99")).await.refused(422, "amount_out_of_range");
    assert_no_trace(&kari, &branch).await;
    kari.app.start(REMITTANCE, "put-right", &kari.order("100.00")).await.is(201);
    // The limits themselves are within.
    kari.remit("50000.00").await.is(201);
}

async fn assert_no_trace(customer: &Customer, branch: &crate::bank::Branch<'_>) {
    assert_eq!(customer.count().await, 0);
    let payments = branch.payments().await;
    assert!(
        payments.iter().all(|payment| payment["creditorName"] != customer.payee.as_str()),
        "{payments:?}"
    );
}

async fn an_amount_is_exact_or_refused(kind: Kind) {
    let corner = Corner::of(kind, "amounts");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let start = async |amount: &str| {
        let body = format!(r#"{{"recipientId":"{}","amount":{amount}}}"#, kari.recipient);
        let request = kari.app.request(reqwest::Method::POST, REMITTANCE).body(body);
        let request = request.header("Content-Type", "application/json");
        crate::client::answer(request.header("Idempotency-Key", format!("key-{}", unique()))).await
    };
    for (written, amount) in [
        ("\"2000.00\"", "2000.00"),
        ("2001", "2001.00"),
        ("2002.0", "2002.00"),
        ("\"2003\"", "2003.00"),
        ("100.10", "100.10"),
    ] {
        let started = start(written).await.is(201);
        assert_eq!(started.word("amount"), amount, "{written}");
        assert_eq!(branch.truth(&kari.payee, amount).payments.len(), 1, "{written}");
    }
    let stored = kari.count().await;
    for written in [
        "2000.005",
        "\"2000.005\"",
        "\"2e3\"",
        "2e3",
        "1e400",
        "-1e400",
        "\"-5\"",
        "-2000",
        "\"\"",
        "\" \"",
        "null",
        "true",
        "[]",
        "[2000]",
        "{}",
        "{\"amount\":2000}",
        "\"2,000.00\"",
        "\"2 000\"",
        "\"2000 NOK\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"0x7d0\"",
        "\"２０００\"",
        "\"2000.\"",
        "\".5\"",
        "\"+2000\"",
        "99999999999999999999999999",
        "\"92233720368547758.08\"",
        "\"2000.00\\u0000\"",
    ] {
        let refused = start(written).await;
        refused.enveloped();
        assert!((400..500).contains(&refused.status), "{written}: {} {}", refused.status, refused.text);
    }
    for broken in ["NaN", "2_000", "0x10", "01", "", "2000.00.00"] {
        start(broken).await.refused(400, "malformed_request");
    }
    assert_eq!(kari.count().await, stored);
}

async fn what_belongs_to_somebody_else_does_not_exist(kind: Kind) {
    let corner = Corner::of(kind, "foreign");
    let branch = corner.branch().await;
    let (kari, ola) = (corner.customer(&branch).await, corner.customer(&branch).await);
    let theirs = kari.remit_to_link("2000.00").await.word("id");
    let absent = format!("tx_{:032x}", 7);
    for (id, why) in [(&theirs, "foreign"), (&absent, "absent")] {
        for rest in ["", "/events"] {
            ola.app.get(&format!("/v1/transactions/{id}{rest}")).await.refused(404, "not_found");
        }
        for action in ["cancel", "continue"] {
            let path = format!("/v1/transactions/{id}/{action}");
            let refused = crate::client::answer(ola.app.request(reqwest::Method::POST, &path)).await;
            refused.refused(404, "not_found");
            let _ = why;
        }
    }
    // The two answers do not even differ in their words.
    let text = async |id: &str| ola.app.get(&format!("/v1/transactions/{id}")).await.text;
    assert_eq!(text(&theirs).await, text(&absent).await);
    for body in [
        json!({ "recipientId": kari.recipient, "amount": "200" }),
        json!({ "recipientId": ola.recipient, "amount": "200", "bankAccountId": kari.account }),
    ] {
        ola.app.start(REMITTANCE, &format!("key-{}", unique()), &body).await.refused(404, "not_found");
    }
    ola.app.get(&format!("/v1/recipients/{}", kari.recipient)).await.refused(404, "not_found");
    let recipients = ola.app.get("/v1/recipients").await.is(200);
    assert!(!recipients.text.contains(&kari.recipient), "{}", recipients.text);
    let accounts = ola.app.get("/v1/bank-accounts").await.is(200);
    assert!(
        accounts.text.contains(&ola.account) && !accounts.text.contains(&kari.account),
        "{}",
        accounts.text
    );
    let listed = ola.app.get(&format!("/v1/transactions?userId={}", kari.user)).await;
    listed.enveloped();
    assert!([403, 404].contains(&listed.status), "{}", listed.text);
    // The backend cannot move somebody's account or recipient to somebody else.
    let backend = corner.backend();
    let taken = ola.path(&format!("/bank-accounts/{}", kari.account));
    backend.put(&taken, &ola.account_body(&branch)).await.refused(404, "not_found");
    let taken = ola.path(&format!("/recipients/{}", kari.recipient));
    let body =
        json!({ "name": "Thief", "country": "DE", "iban": "DE89370400440532013000", "currency": "EUR" });
    backend.put(&taken, &body).await.refused(404, "not_found");
    assert_eq!(kari.look(&theirs).await.word("phase"), "awaiting_sca");
    assert_eq!((kari.count().await, ola.count().await), (1, 0));
}

async fn accounts_and_recipients_are_checked_when_they_are_written(kind: Kind) {
    let corner = Corner::of(kind, "written");
    let branch = corner.branch().await;
    let kari = corner.customer(&branch).await;
    let backend = corner.backend();
    for iban in [
        "NO9386011117948",
        "NO93860111179",
        "XX9386011117947",
        "DE8937040044053201300",
        "",
        "NO93 8601 1117 94A",
    ] {
        let mut account = kari.account_body(&branch);
        account["iban"] = json!(iban);
        backend.put(&kari.account_path(), &account).await.refused(422, "invalid_iban");
        let recipient = json!({ "name": "Marko", "country": "DE", "iban": iban, "currency": "EUR" });
        backend.put(&kari.recipient_path(), &recipient).await.refused(422, "invalid_iban");
        let shop = json!({ "name": "Kiosk", "iban": iban });
        backend.put("/v1/merchants/mer_checked", &shop).await.refused(422, "invalid_iban");
    }
    for (field, value) in [
        ("firstName", json!("")),
        ("firstName", json!("x".repeat(101))),
        ("lastName", json!(null)),
        ("birthDate", json!("17.05.1990")),
        ("birthDate", json!("2199-01-01")),
        ("birthDate", json!("1990-02-30")),
        ("email", json!("kari")),
        ("phone", json!("+46700000000")),
        ("kycStatus", json!("fine")),
        ("kycStatus", json!(1)),
    ] {
        let mut user = adult();
        user[field] = value;
        backend.put(&kari.path(""), &user).await.refused(400, "validation_failed");
    }
    for (field, value) in [
        ("from", json!("nok")),
        ("to", json!("QQQ")),
        ("rate", json!("-1")),
        ("rate", json!("0")),
        ("rate", json!("1e3")),
    ] {
        let mut prices = rates();
        prices["rates"][0][field] = value;
        backend.put("/v1/exchange-rates", &prices).await.refused(400, "validation_failed");
    }
    // What was right before is still there.
    kari.remit("100.00").await.is(201);
}
