//! What the demonstration says over HTTP: to the service as its backend and as its user, to the bank as a person.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use workflows::time::At;

use super::Failure;

/// The demonstration's user.
pub(super) const USER: &str = "usr_kari";
/// Whom she pays abroad.
pub(super) const RECIPIENT: &str = "rec_marko";
/// How long the printed tokens are good for.
const TOKEN_LIFE: Duration = Duration::from_hours(24 * 7);

/// One token for each part that is played.
pub(super) struct Tokens {
    service: String,
    user: String,
}

impl Tokens {
    /// Signed with the demonstration's secret.
    pub(super) fn new(secret: &str, now: At) -> Result<Self, Failure> {
        let expires = now.plus(TOKEN_LIFE).as_secs();
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = |subject: &str, role: &str| {
            let claims = json!({"sub": subject, "role": role, "exp": expires});
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        };
        Ok(Tokens { service: token("drop-backend", "service")?, user: token(USER, "user")? })
    }
}

/// A client of the service and of the bank.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    bank: String,
    tokens: Tokens,
}

impl Client {
    pub(super) fn new(base: String, bank: String, tokens: Tokens) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(40))
            .no_proxy()
            .build()?;
        Ok(Client { http, base, bank, tokens })
    }

    /// Makes the demonstration's user, account, recipients, merchant and rates, as Drop's backend would.
    pub(super) async fn provision(&self) -> Result<(), Failure> {
        let writes = [
            (
                format!("/v1/users/{USER}"),
                json!({"firstName": "Kari", "lastName": "Nordmann", "email": "kari@example.com",
                    "phone": "+4790000000", "birthDate": "1990-05-17", "kycStatus": "approved"}),
            ),
            (
                format!("/v1/users/{USER}/bank-accounts/bac_dnb"),
                json!({"bankId": "dnb", "bankName": "DNB", "iban": "NO2712073650567",
                    "providerAccountId": "acc-4", "currency": "NOK", "providerConsentId": "consent-demo-dnb",
                    "primary": true}),
            ),
            (
                format!("/v1/users/{USER}/recipients/{RECIPIENT}"),
                json!({"name": "Marko Petrovic", "country": "RS", "town": "Beograd",
                    "iban": "RS35265000000123456757", "currency": "EUR"}),
            ),
            (
                format!("/v1/users/{USER}/recipients/rec_ola"),
                json!({"name": "Ola Nordmann", "country": "NO", "town": "Oslo",
                    "iban": "NO9386011117947", "currency": "NOK"}),
            ),
            ("/v1/merchants/mer_kiosk".to_owned(), json!({"name": "Kiosken", "iban": "NO9386011117947"})),
            (
                "/v1/exchange-rates".to_owned(),
                json!({"rates": [{"from": "NOK", "to": "EUR", "rate": "0.0870", "validUntil": null}]}),
            ),
        ];
        for (path, body) in writes {
            let answer = self.ask(Method::PUT, &path, &self.tokens.service).json(&body).send().await?;
            expect(answer, "provision").await?;
        }
        Ok(())
    }

    /// Starts one remittance as the user.
    pub(super) async fn remit(&self, key: &str) -> Result<Value, Failure> {
        let body = json!({"recipientId": RECIPIENT, "amount": "2000.00", "note": "From sluse dev"});
        let ask = self.ask(Method::POST, "/v1/transactions/remittance", &self.tokens.user);
        expect(ask.header("Idempotency-Key", key).json(&body).send().await?, "start a remittance").await
    }

    /// The stream of a transaction's transitions.
    pub(super) async fn events(&self, transaction: &str) -> Result<Response, Failure> {
        let path = format!("/v1/transactions/{transaction}/events");
        Ok(self.ask(Method::GET, &path, &self.tokens.user).send().await?.error_for_status()?)
    }

    /// Approves a payment on the bank's page and lets the browser return to the service, as the payer would.
    pub(super) async fn approve(&self, link: &str) -> Result<(), Failure> {
        let approve =
            self.http.post(format!("{link}/approve")).header("accept", "application/json").send().await?;
        let approved = expect(approve, "approve at the bank").await?;
        let back = approved["redirect"].as_str().ok_or("the bank gave no way back")?;
        let returned = self.http.get(back).send().await?;
        if returned.status().is_redirection() {
            Ok(())
        } else {
            Err("the return from the bank failed".into())
        }
    }

    /// The bank's own record of the payments under an end-to-end id.
    pub(super) async fn at_the_bank(&self, end_to_end: &str) -> Result<Vec<Value>, Failure> {
        let url = format!("{}/_control/payments?endToEndIdentification={end_to_end}", self.bank);
        let found = expect(self.http.get(url).send().await?, "ask the bank").await?;
        Ok(found.as_array().cloned().unwrap_or_default())
    }

    /// The lines of the bank's ledger that say that a payment was executed.
    pub(super) async fn executions(&self, payment: &str) -> Result<Vec<String>, Failure> {
        let ledger = self.http.get(format!("{}/_control/ledger", self.bank)).send().await?.text().await?;
        let of_payment = ledger.lines().filter(|line| line.contains(payment));
        Ok(of_payment.filter(|line| line.contains(r#""fact":"executed""#)).map(ToOwned::to_owned).collect())
    }

    /// Lines to paste into a shell.
    pub(super) fn curl_lines(&self) -> String {
        let Client { base, bank, tokens, .. } = self;
        let user = format!("-H 'Authorization: Bearer {}'", tokens.user);
        [
            "Try it (the tokens are good for a week):".to_owned(),
            format!(
                "curl -s {base}/v1/transactions/remittance {user} -H \"Idempotency-Key: $(date +%s%N)\" \
                 -H 'Content-Type: application/json' -d '{{\"recipientId\":\"{RECIPIENT}\",\"amount\":\"2000.00\"}}'"
            ),
            format!("curl -s {base}/v1/transactions {user}"),
            format!("curl -sN {base}/v1/transactions/TX_ID/events {user}"),
            format!("curl -s -X POST {base}/v1/transactions/TX_ID/cancel {user}"),
            format!(
                "curl -s -X PUT {base}/v1/exchange-rates -H 'Authorization: Bearer {}' \
                 -H 'Content-Type: application/json' \
                 -d '{{\"rates\":[{{\"from\":\"NOK\",\"to\":\"EUR\",\"rate\":\"0.0870\",\"validUntil\":null}}]}}'",
                tokens.service
            ),
            format!(
                "curl -s {bank}/_control/faults -H 'Content-Type: application/json' \
                 -d '{{\"operation\":\"initiate\",\"kind\":\"reset_after\",\"times\":1}}'   # lose the bank's next answer"
            ),
        ]
        .join("\n")
    }

    fn ask(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(token)
    }
}

/// The JSON of a good answer; the status and body of a bad one as error.
async fn expect(answer: Response, doing: &str) -> Result<Value, Failure> {
    let status = answer.status();
    let body = answer.text().await?;
    if !status.is_success() {
        return Err(format!("could not {doing}: {status} {body}").into());
    }
    if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&body)?) }
}
