use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use workflows::ids::WorkflowId;
use workflows::payment::{By, Event};
use workflows::ports::payments::{ProviderPaymentId, TransactionStatus};

use super::super::testing::{BEGIN, Front};

const V1: &str = "/v1/accounts/balance";
const ALIAS: &str = "/api/accounts/balance";
const EXPIRED: &str = r#"{"tppMessages":[{"category":"ERROR","code":"CONSENT_EXPIRED","text":"no"}]}"#;

async fn get(front: &Front, path: &str, token: &str) -> (u16, Value) {
    let (status, body) = front.ask(Method::GET, path, Some(token), "").await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn a_balance_has_the_shape_of_the_contract_at_both_addresses() {
    let front = Front::open().await;
    let (status, body) = get(&front, V1, &front.kari()).await;
    let expected = json!({"balance": "15000.50", "balanceMinor": 1_500_050, "currency": "NOK",
        "held": "0.00", "heldMinor": 0, "lastUpdated": "2026-02-23T08:00:00.000Z", "source": "live", "warning": null});
    assert_eq!((status, &body), (200, &expected));
    let (status, body) = get(&front, ALIAS, &front.kari()).await;
    assert_eq!(
        (status, body["balance"].as_f64(), body["source"].as_str()),
        (200, Some(15_000.5), Some("cached"))
    );
    assert_eq!(body["balanceMinor"], 1_500_050);
    let text = front.text(ALIAS, &front.kari()).await;
    assert!(text.contains(r#""balance":15000.50,"#), "a number with two decimals: {text}");
}

#[tokio::test]
async fn an_unknown_balance_is_null_and_never_zero() {
    let front = Front::open().await;
    *front.bank.says.lock().unwrap() = vec![(503, ""); 4].into();
    let (status, body) = get(&front, V1, &front.kari()).await;
    let warning = "DNB opplever tekniske problemer. Saldo kan være utdatert.";
    let expected = json!({"balance": null, "balanceMinor": null, "currency": "NOK", "held": "0.00",
        "heldMinor": 0, "lastUpdated": null, "source": null, "warning": warning});
    assert_eq!((status, body), (200, expected));
}

#[tokio::test]
async fn a_bank_that_is_down_leaves_the_last_known_balance_with_a_warning() {
    let front = Front::open().await;
    get(&front, V1, &front.kari()).await;
    front.clock.set(BEGIN.plus(Duration::from_mins(2)));
    *front.bank.says.lock().unwrap() = vec![(503, ""); 4].into();
    let (status, body) = get(&front, V1, &front.kari()).await;
    assert_eq!((status, &body["balance"], &body["source"]), (200, &json!("15000.50"), &json!("cached")));
    assert_eq!(body["lastUpdated"], "2026-02-23T08:00:00.000Z");
    assert_eq!(body["warning"], "DNB opplever tekniske problemer. Saldo kan være utdatert.");
}

#[tokio::test]
async fn an_expired_consent_is_told_with_what_was_last_known() {
    for (path, expected, amount) in [(V1, 403, json!("15000.50")), (ALIAS, 401, json!(15_000.5))] {
        let front = Front::open().await;
        get(&front, V1, &front.kari()).await;
        front.clock.set(BEGIN.plus(Duration::from_mins(2)));
        *front.bank.says.lock().unwrap() = vec![(401, EXPIRED)].into();
        // The second time nobody asks the bank.
        for _ in 0..2 {
            let (status, body) = get(&front, path, &front.kari()).await;
            assert_eq!((status, &body["error"]), (expected, &json!("consent_expired")), "{body}");
            assert_eq!((&body["balance"], &body["source"]), (&amount, &json!("cached")));
            assert_eq!(body["balanceMinor"], 1_500_050);
            assert!(body["details"].is_array(), "{body}");
            let message = "Banktilkobling utløpt\nGodkjenningen for å hente saldo fra DNB har utløpt.\n\
                 Trykk her for å fornye tilkoblingen.";
            assert_eq!(body["message"], message);
        }
        assert_eq!(front.bank.attended.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn people_read_their_own_and_a_backend_says_whose() {
    let front = Front::open().await;
    let (kari, backend, ola) = (front.kari(), front.backend(), front.token("usr_ola", "user"));
    let operator = front.token("olga", "operator");
    for (token, query, status) in [
        (&kari, "", 200),
        (&kari, "?bankAccountId=bac_1", 200),
        (&kari, "?bankAccountId=bac_2", 404),
        (&kari, "?bankAccountId=%00", 400),
        (&kari, "?bankAccountid=bac_1", 400),
        (&kari, "?onBehalfOf=usr_ola", 403),
        (&ola, "?bankAccountId=bac_1", 404),
        (&ola, "", 404),
        (&backend, "", 400),
        (&backend, "?onBehalfOf=usr_kari", 200),
        (&backend, "?onBehalfOf=usr_kari&bankAccountId=bac_1", 200),
        (&backend, "?onBehalfOf=usr_ola&bankAccountId=bac_1", 404),
        (&backend, "?onBehalfOf=usr_nobody", 404),
        (&operator, "?onBehalfOf=usr_kari", 403),
    ] {
        for path in [V1, ALIAS] {
            let (answered, body) = get(&front, &format!("{path}{query}"), token).await;
            assert_eq!(answered, status, "{path}{query}: {body}");
        }
    }
    let (status, _) = front.get(V1).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_bank_hears_whether_the_person_is_there() {
    let front = Front::open().await;
    get(&front, V1, &front.kari()).await;
    front.clock.set(BEGIN.plus(Duration::from_mins(2)));
    get(&front, &format!("{V1}?onBehalfOf=usr_kari"), &front.backend()).await;
    assert_eq!(*front.bank.attended.lock().unwrap(), [true, false]);
}

#[tokio::test]
async fn a_payment_holds_what_it_takes_from_its_link_until_its_end() {
    let front = Front::open().await;
    let held = async || {
        let (status, body) = get(&front, V1, &front.kari()).await;
        assert_eq!((status, &body["balance"]), (200, &json!("15000.50")), "the bank's word stays: {body}");
        (body["held"].clone(), body["heldMinor"].clone())
    };
    let parked = front.start_remittance().await;
    assert_eq!(held().await, (json!("0.00"), json!(0)), "nothing was taken by the bank yet");
    let id = WorkflowId::from(front.payment_awaiting_approval().await);
    assert_eq!(held().await, (json!("2010.00"), json!(201_000)));
    let doubted = WorkflowId::from(parked);
    front.doubt(doubted).await;
    assert_eq!(held().await, (json!("4020.00"), json!(402_000)));
    let (_, alias) = get(&front, ALIAS, &front.kari()).await;
    assert_eq!(alias["held"].as_f64(), Some(4_020.0), "a number, as the balance is there");
    let (_, others) = get(&front, &format!("{V1}?onBehalfOf=usr_kari"), &front.backend()).await;
    assert_eq!(others["heldMinor"], json!(402_000));

    // It is taken back: the hold is there until the bank confirms that nothing moved, and then gone.
    front.tell(id, &Event::CancelAsked { by: By::User }).await;
    assert_eq!(held().await, (json!("4020.00"), json!(402_000)));
    front.tell(id, &Event::CancellationConfirmed).await;
    assert_eq!(held().await, (json!("2010.00"), json!(201_000)));
    let created = Event::Created {
        payment: ProviderPaymentId("pmt-8".to_owned()),
        status: TransactionStatus::Acsc,
        sca: None,
    };
    front.tell(doubted, &created).await;
    assert_eq!(held().await, (json!("0.00"), json!(0)), "from here on the bank tells");
}
