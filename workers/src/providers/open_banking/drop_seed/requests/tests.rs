use std::fmt::Write as _;

use workflows::ports::Call;
use workflows::ports::payments::{BankId, ProviderPaymentId};

use super::*;
use crate::providers::http::Sendings;
use crate::providers::testing::{bank, bare_initiation, every_call, initiation};

const FRESH: Uuid = Uuid::from_u128(0x11);

/// The request as it is: method and target, the headers in order of their names, the body.
fn written(drafted: Drafted) -> String {
    let request = drafted.unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(request.sendings, Sendings::One);
    let mut headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
        .collect();
    headers.sort();
    let mut text = format!("{} {}\n{}\n", request.method, request.target, headers.join("\n"));
    if !request.body.is_empty() {
        let body = std::str::from_utf8(&request.body).expect("JSON");
        writeln!(text, "\n{body}").expect("a string");
    }
    text
}

fn initiate(initiation: Initiation) -> Drafted {
    payment(&PaymentsCall::Initiate(Box::new(initiation)), FRESH)
}

#[test]
fn a_payment_abroad_carries_its_own_key_and_everything_known() {
    let expected = r#"POST /v1/payments/sepa-credit-transfers
accept: application/json
content-type: application/json
psu-ip-address: 192.0.2.7
tpp-redirect-uri: http://localhost:8080/v1/payments/callback?state=s1
x-consent-id: cns-1
x-request-id: 01900000-0000-7000-8000-000000000007

{"debtorAccount":{"iban":"NO9386011117947"},"instructedAmount":{"currency":"NOK","amount":"2000.00"},"creditorName":"Marko Petrovic","creditorAccount":{"iban":"RS35265000000123456757"},"creditorAgent":"RZBSRSBG","endToEndIdentification":"tx-00000000000000000000000000000007","remittanceInformationUnstructured":"Drop remittance tx-7"}
"#;
    assert_eq!(written(initiate(initiation())), expected);
}

#[test]
fn a_payment_in_norway_without_key_is_named_anew_and_leaves_out_what_there_is_not() {
    let expected = r#"POST /v1/payments/domestic-transfer
accept: application/json
content-type: application/json
tpp-redirect-uri: http://localhost:8080/v1/payments/callback?state=s1
x-request-id: 00000000-0000-0000-0000-000000000011

{"debtorAccount":{"iban":"NO9386011117947"},"instructedAmount":{"currency":"NOK","amount":"2000.00"},"creditorName":"Marko Petrovic","creditorAccount":{"bban":"86011117947"},"endToEndIdentification":"tx-00000000000000000000000000000007","remittanceInformationUnstructured":"Drop remittance tx-7"}
"#;
    assert_eq!(written(initiate(bare_initiation())), expected);
}

#[test]
fn the_same_payment_is_the_same_bytes_under_every_attempt() {
    let attempt = |fresh| {
        let drafted = payment(&PaymentsCall::Initiate(Box::new(initiation())), Uuid::from_u128(fresh));
        written(drafted)
    };
    assert_eq!(attempt(1), attempt(2));
}

#[test]
fn the_other_questions_about_a_payment_are_their_address() {
    let expected = [
        ("status", "GET /v1/payments/pay_1/status"),
        ("locate", "GET /v1/payments?endToEndIdentification=tx-00000000000000000000000000000007"),
        ("cancel", "DELETE /v1/payments/pay_1"),
        ("probe", "GET /banks"),
    ];
    let calls = every_call();
    for (operation, line) in expected {
        let (_, call) = calls.iter().find(|(name, _)| *name == operation).expect("a call");
        let Call::Payments(call) = call else { panic!("{operation} is not about a payment") };
        let all =
            format!("{line}\naccept: application/json\nx-request-id: 00000000-0000-0000-0000-000000000011\n");
        assert_eq!(written(payment(call, FRESH)), all);
    }
}

#[test]
fn consents_and_balances_are_asked_for_as_the_contract_says() {
    let wanted = ConsentRequest {
        bank: bank(),
        account: Some(AccountId("acc-1".to_owned())),
        valid_until: NaiveDate::from_ymd_opt(2027, 2, 20).expect("a day"),
        redirect_uri: "http://localhost:8080/v1/consents/callback?state=s2".to_owned(),
        psu_ip: Some("2001:db8::7".parse().expect("an address")),
    };
    let consent = ConsentId("cns/1".to_owned());
    let account = AccountId("acc-1".to_owned());
    let table = [
        (
            consent_create(&wanted, FRESH),
            r#"POST /v1/consents
accept: application/json
content-type: application/json
psu-ip-address: 2001:db8::7
tpp-redirect-uri: http://localhost:8080/v1/consents/callback?state=s2
x-request-id: 00000000-0000-0000-0000-000000000011

{"bankId":"dnb","accountId":"acc-1","validUntil":"2027-02-20","frequencyPerDay":4,"recurringIndicator":true}
"#,
        ),
        (
            consent_status(&consent, FRESH),
            "GET /v1/consents/cns%2F1\naccept: application/json\nx-request-id: 00000000-0000-0000-0000-000000000011\n",
        ),
        (
            consent_revoke(&consent, FRESH),
            "DELETE /v1/consents/cns%2F1\naccept: application/json\nx-request-id: 00000000-0000-0000-0000-000000000011\n",
        ),
        (
            balances(&account, &consent, None, FRESH),
            "GET /v1/accounts/acc-1/balances\naccept: application/json\nx-consent-id: cns/1\nx-request-id: 00000000-0000-0000-0000-000000000011\n",
        ),
        (
            banks(FRESH),
            "GET /banks\naccept: application/json\nx-request-id: 00000000-0000-0000-0000-000000000011\n",
        ),
    ];
    for (drafted, expected) in table {
        assert_eq!(written(drafted), expected);
    }
    let all_accounts = consent_create(&ConsentRequest { account: None, ..wanted }, FRESH);
    assert!(!written(all_accounts).contains("accountId"));
}

#[test]
fn a_payment_id_of_the_provider_stays_one_segment() {
    let call = PaymentsCall::Cancel {
        bank: BankId("dnb".to_owned()),
        payment: ProviderPaymentId("../consents/cns-1?x=é#".to_owned()),
    };
    let request = payment(&call, FRESH).unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!(request.target, "/v1/payments/..%2Fconsents%2Fcns-1%3Fx%3D%C3%A9%23");
}

#[test]
fn what_does_not_fit_into_a_header_is_not_sent() {
    let broken = Initiation { consent: Some("a\r\nx-evil: 1".to_owned()), ..initiation() };
    assert_eq!(initiate(broken).err(), Some(HttpFault::NotSent("a value does not fit into a header")));
}
