use workflows::engine::{Class, Refusal};
use workflows::ports::consents::{ConsentStanding, ProviderConsentId};
use workflows::ports::payments::{ProviderPaymentId, TransactionStatus};
use workflows::ports::{ConsentsCall, ConsentsReply, Reply};

use super::*;
use crate::limits::Pass;
use crate::providers::Setback;
use crate::providers::testing::{
    Act, Counted, ScriptedBank, Standing, answer, bank, bare_initiation, context, every_call, pay,
};

const CREATED: &str = r#"{"paymentId":"pay_1","transactionStatus":"RCVD"}"#;
const TOKEN: &str = r#"{"access_token":"t1","expires_in":3600,"token_type":"Bearer"}"#;
const TOKEN_2: &str = r#"{"access_token":"t2","expires_in":3600,"token_type":"Bearer"}"#;
const UNAUTHORISED: &str = r#"{"tppMessages":[{"category":"ERROR","code":"invalid_api_key","text":"no"}]}"#;
const NO_CONSENT: &str = r#"{"tppMessages":[{"category":"ERROR","code":"CONSENT_EXPIRED","text":"no"}]}"#;

fn credentials() -> TokenSource {
    TokenSource::ClientCredentials { id: "sluse".to_owned(), secret: "secret".into() }
}

fn key() -> TokenSource {
    TokenSource::StaticKey("key".into())
}

fn aggregator(bank: &ScriptedBank, token: TokenSource) -> OpenBanking {
    reading(bank, token, Duration::from_secs(30))
}

fn reading(bank: &ScriptedBank, token: TokenSource, read_timeout: Duration) -> OpenBanking {
    let settings = Settings {
        provider: "neonomics".into(),
        base_url: bank.url.clone(),
        token,
        connect_timeout: Duration::from_secs(5),
        read_timeout,
        retry_base: Duration::from_millis(1),
        consent_days: 90,
    };
    let clock = Arc::new(Standing::default());
    OpenBanking::open(settings, clock, Arc::new(Counted::default())).expect("an address")
}

async fn perform(bank: &ScriptedBank, token: TokenSource, call: PaymentsCall) -> Finding {
    aggregator(bank, token).perform(&Call::Payments(call), &context()).await
}

fn created() -> Finding {
    let payment = ProviderPaymentId("pay_1".to_owned());
    Finding::Done(Reply::Payments(PaymentsReply::Created {
        payment,
        status: TransactionStatus::Rcvd,
        sca: None,
    }))
}

fn refused(code: &str, class: Class) -> Finding {
    Finding::Refused(Refusal { code: code.to_owned(), class })
}

/// The value of a header of a request as the bank heard it.
fn said(request: &str, name: &str) -> Option<String> {
    let lines = request.lines().take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(is, _)| *is == name)
        .map(|(_, value)| value.to_owned())
}

#[tokio::test]
async fn a_payment_is_created_over_the_wire() {
    let bank = ScriptedBank::new(vec![answer("200 OK", TOKEN), answer("201 Created", CREATED)]).await;
    assert_eq!(perform(&bank, credentials(), pay()).await, created());
    let heard = bank.heard();
    assert!(heard[0].starts_with("POST /auth/token HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(heard[0].ends_with("grant_type=client_credentials&client_id=sluse&client_secret=secret"));
    assert!(said(&heard[0], "x-request-id").is_some());
    assert!(heard[1].starts_with("POST /v1/payments/sepa-credit-transfers HTTP/1.1\r\n"), "{}", heard[1]);
    assert_eq!(said(&heard[1], "authorization").as_deref(), Some("Bearer t1"));
    assert_eq!(said(&heard[1], "x-request-id").as_deref(), Some("01900000-0000-7000-8000-000000000007"));
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_the_payment_sent_again_under_its_own_key() {
    let acts = |last| {
        vec![
            answer("200 OK", TOKEN),
            answer("401 Unauthorized", UNAUTHORISED),
            answer("200 OK", TOKEN_2),
            last,
            answer("201 Created", CREATED),
        ]
    };
    let bank = ScriptedBank::new(acts(answer("201 Created", CREATED))).await;
    assert_eq!(perform(&bank, credentials(), pay()).await, created());
    let heard = bank.heard();
    assert_eq!(heard.len(), 4);
    assert_eq!(said(&heard[3], "authorization").as_deref(), Some("Bearer t2"));
    assert_eq!(said(&heard[1], "x-request-id"), said(&heard[3], "x-request-id"));

    // Without a key of its own each attempt has its own name.
    let bank = ScriptedBank::new(acts(answer("201 Created", CREATED))).await;
    let call = PaymentsCall::Initiate(Box::new(bare_initiation()));
    assert_eq!(perform(&bank, credentials(), call).await, created());
    let heard = bank.heard();
    assert_ne!(said(&heard[1], "x-request-id"), said(&heard[3], "x-request-id"));

    // Refused twice, it is us.
    let bank = ScriptedBank::new(acts(answer("401 Unauthorized", UNAUTHORISED))).await;
    let finding = perform(&bank, credentials(), pay()).await;
    assert_eq!(finding, refused("invalid_api_key", Class::Credential));
    assert_eq!(bank.heard().len(), 4);

    // What becomes of the second attempt is what counts.
    let bank = ScriptedBank::new(acts(Act::Reset)).await;
    let lost = Finding::Unknown("the connection broke before an answer");
    assert_eq!(perform(&bank, credentials(), pay()).await, lost);
}

#[tokio::test]
async fn a_401_about_the_consent_or_a_key_is_not_tried_again() {
    let table = [
        (credentials(), NO_CONSENT, refused("CONSENT_EXPIRED", Class::Consent)),
        (key(), UNAUTHORISED, refused("invalid_api_key", Class::Credential)),
        (TokenSource::None, UNAUTHORISED, refused("invalid_api_key", Class::Credential)),
    ];
    for (token, body, expected) in table {
        let fetches = usize::from(matches!(token, TokenSource::ClientCredentials { .. }));
        let mut acts = vec![answer("200 OK", TOKEN); fetches];
        acts.extend([answer("401 Unauthorized", body), answer("201 Created", CREATED)]);
        let bank = ScriptedBank::new(acts).await;
        assert_eq!(perform(&bank, token, pay()).await, expected);
        assert_eq!(bank.heard().len(), fetches + 1);
    }
}

#[tokio::test]
async fn without_a_token_no_payment_leaves() {
    let table = [
        (vec![answer("401 Unauthorized", UNAUTHORISED)], refused("invalid_client", Class::Credential)),
        (vec![answer("400 Bad Request", "{}")], Finding::NotSent("no token")),
        (vec![Act::Reset; 4], Finding::NotSent("no token")),
        (vec![], Finding::NotSent("no token")),
    ];
    for (acts, expected) in table {
        let bank = ScriptedBank::new(acts).await;
        assert_eq!(perform(&bank, credentials(), pay()).await, expected);
        assert!(bank.heard().iter().all(|request| request.starts_with("POST /auth/token ")));
    }
}

#[tokio::test]
async fn silence_is_unknown_for_every_question_and_is_asked_once() {
    let short = Duration::from_millis(200);
    for act in [Act::Hang, Act::Reset, Act::Close, answer("503 Service Unavailable", "{}")] {
        for (operation, call) in every_call() {
            let bank = ScriptedBank::new(vec![act.clone(), answer("201 Created", CREATED)]).await;
            let finding = reading(&bank, key(), short).perform(&call, &context()).await;
            assert!(matches!(finding, Finding::Unknown(_)), "{operation}: {finding:?}");
            assert_eq!(bank.heard().len(), 1, "{operation}");
        }
    }
}

#[tokio::test]
async fn a_payment_is_not_begun_when_the_token_took_all_the_time() {
    /// A provider at which every token takes a minute.
    struct Slow(Arc<Standing>);

    #[async_trait]
    impl HttpPort for Slow {
        async fn send(&self, request: HttpRequest, _: &Pass, _: Duration) -> Result<HttpReply, HttpFault> {
            assert_eq!(request.target, "/auth/token");
            self.0.advance(Duration::from_mins(1));
            Ok(HttpReply { status: StatusCode::OK, headers: http::HeaderMap::new(), body: TOKEN.into() })
        }
    }
    let clock = Arc::new(Standing::default());
    let slow = Arc::new(Slow(Arc::clone(&clock)));
    let ids = Arc::new(Counted::default());
    let aggregator = OpenBanking::over(slow, "neonomics".into(), credentials(), clock, ids);
    let finding = aggregator.perform(&Call::Payments(pay()), &context()).await;
    assert_eq!(finding, Finding::NotSent("the token took all the time"));
}

#[tokio::test]
async fn a_trace_is_passed_on_only_where_it_is_one() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (given, expected) in [(trace, Some(trace)), ("00-\r\nx: y", None), ("", None)] {
        let bank = ScriptedBank::new(vec![answer("200 OK", "[]")]).await;
        let context = Context { traceparent: Some(given.to_owned()), ..context() };
        assert!(aggregator(&bank, key()).banks(&context).await.is_ok());
        assert_eq!(said(&bank.heard()[0], "traceparent").as_deref(), expected, "{given:?}");
    }
}

#[tokio::test]
async fn reads_outside_workflows_are_asked_again_and_what_has_an_effect_is_not() {
    let failing = || vec![answer("503 Service Unavailable", "{}"); 2];
    let context = context();

    let mut acts = failing();
    acts.push(answer("200 OK", "[]"));
    let aggregated = ScriptedBank::new(acts).await;
    assert_eq!(aggregator(&aggregated, key()).banks(&context).await, Ok(vec![]));
    assert_eq!(aggregated.heard().len(), 3);

    let wanted = ConsentRequest {
        bank: bank(),
        account: None,
        valid_until: chrono::NaiveDate::from_ymd_opt(2027, 2, 20).expect("a day"),
        redirect_uri: "http://localhost/back".to_owned(),
        psu_ip: None,
    };
    let consent = ConsentId("cns-1".to_owned());
    let failed = Setback::Unknown("the provider failed");
    let aggregated = ScriptedBank::new(failing()).await;
    let port = aggregator(&aggregated, key());
    assert_eq!(port.consent_create(&wanted, &context).await, Err(failed.clone()));
    assert_eq!(port.consent_revoke(&consent, &context).await, Err(failed.clone()));
    assert_eq!(aggregated.heard().len(), 2);

    let aggregated = ScriptedBank::new(failing()).await;
    let port = aggregator(&aggregated, key());
    assert_eq!(port.consent_of(&bank(), &consent, &context).await, Err(failed.clone()));
    let account = AccountId("acc-1".to_owned());
    assert_eq!(port.balances(&account, &consent, None, &context).await, Err(failed));
    assert_eq!(said(&aggregated.heard()[1], "x-consent-id").as_deref(), Some("cns-1"));
}

#[tokio::test]
async fn a_consent_is_asked_for_and_read_for_a_workflow() {
    const ASKED: &str = r#"{"consentId":"cns-1","consentStatus":"received",
        "_links":{"scaRedirect":{"href":"https://dnb.example/sca/cns-1"}}}"#;
    const VALID: &str = r#"{"consentStatus":"valid","validUntil":"2027-02-20","accounts":[]}"#;
    let acts =
        vec![answer("201 Created", ASKED), answer("200 OK", VALID), answer("503 Service Unavailable", "{}")];
    let aggregated = ScriptedBank::new(acts).await;
    let port = aggregator(&aggregated, key());
    let consent = ProviderConsentId("cns-1".to_owned());
    let ask = ConsentsCall::Ask {
        bank: bank(),
        account: Some("acc-1".to_owned()),
        redirect_uri: "http://localhost/v1/consents/callback?state=s".to_owned(),
        psu_ip: None,
    };
    let read = ConsentsCall::Read { bank: bank(), consent: consent.clone() };
    let valid_until = At::parse("2027-02-21T00:00:00Z").ok();
    let done = |reply| Finding::Done(Reply::Consents(reply));
    let sca = Some("https://dnb.example/sca/cns-1".to_owned());
    for (call, expected) in [
        (ask, done(ConsentsReply::Asked { consent, sca })),
        (read.clone(), done(ConsentsReply::Standing { standing: ConsentStanding::Valid, valid_until })),
        (read, Finding::Unknown("the provider failed")),
    ] {
        assert_eq!(port.perform(&Call::Consents(call), &context()).await, expected);
    }
    let heard = aggregated.heard();
    // The clock stands at the beginning of 1970, and 90 days is what is asked for.
    assert!(heard[0].contains(r#""validUntil":"1970-04-01","frequencyPerDay":4"#), "{}", heard[0]);
    assert_eq!(
        said(&heard[0], "tpp-redirect-uri").as_deref(),
        Some("http://localhost/v1/consents/callback?state=s")
    );
    assert!(heard[1].starts_with("GET /v1/consents/cns-1 HTTP/1.1"), "{}", heard[1]);
}
