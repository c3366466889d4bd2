//! A bank on a free port, and a client that speaks the contract.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use sandbox::{Config, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const KEYS: [&str; 3] = [
    "0191e0f0-0000-7000-8000-000000000001",
    "0191e0f0-0000-7000-8000-000000000002",
    "0191e0f0-0000-7000-8000-000000000003",
];
pub const REDIRECT: &str = "https://app.example/v1/payments/callback?state=s1";

pub struct World {
    pub bank: Running,
    pub folder: TempDir,
    pub client: reqwest::Client,
}

pub fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(10)).build().unwrap()
}

/// A payment of 2000 kroner to somebody abroad.
pub fn order(end_to_end: &str) -> Value {
    json!({
        "debtorAccount": { "iban": "NO9386011117947" },
        "instructedAmount": { "currency": "NOK", "amount": "2000.00" },
        "creditorName": "Marko Petrovic",
        "creditorAccount": { "iban": "RS35265000000123456757" },
        "endToEndIdentification": end_to_end,
        "remittanceInformationUnstructured": "rent",
    })
}

/// The same from an account at Nordea.
pub fn order_at_nordea(end_to_end: &str) -> Value {
    let mut order = order(end_to_end);
    order["debtorAccount"]["iban"] = json!(sandbox::iban::Iban::norwegian("60011234561").unwrap());
    order
}

impl World {
    pub async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(anywhere(), folder.path().join("bank.jsonl"));
        change(&mut config);
        Self { bank: sandbox::start(config).await.unwrap(), folder, client: client() }
    }

    /// Stops the bank and starts it on the same ledger.
    pub async fn reopened(self) -> Self {
        let Self { bank, folder, client } = self;
        bank.stop().await;
        let bank = sandbox::start(Config::new(anywhere(), folder.path().join("bank.jsonl"))).await.unwrap();
        Self { bank, folder, client }
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("bank.jsonl")
    }

    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.bank.base_url())).header("X-Request-ID", KEYS[2])
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.call(Method::GET, path).send().await.unwrap()).await
    }

    /// A payment request with this key.
    pub fn asking(&self, key: &str, order: &Value) -> RequestBuilder {
        self.client
            .post(format!("{}/v1/payments/sepa-credit-transfers", self.bank.base_url()))
            .header("X-Request-ID", key)
            .header("TPP-Redirect-URI", REDIRECT)
            .header("PSU-IP-Address", "192.0.2.7")
            .json(order)
    }

    pub async fn ask(&self, key: &str, order: &Value) -> (StatusCode, Value) {
        answer(self.asking(key, order).send().await.unwrap()).await
    }

    /// A fresh payment; its id.
    pub async fn pay(&self, key: &str, order: &Value) -> String {
        let (http, body) = self.ask(key, order).await;
        assert_eq!(http, StatusCode::CREATED, "{body}");
        body["paymentId"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, id: &str) -> String {
        let (http, body) = self.get(&format!("/v1/payments/{id}/status")).await;
        assert_eq!(http, StatusCode::OK, "{body}");
        body["transactionStatus"].as_str().unwrap().to_owned()
    }

    pub async fn locate(&self, end_to_end: &str) -> (StatusCode, Value) {
        self.get(&format!("/v1/payments?endToEndIdentification={end_to_end}")).await
    }

    pub async fn cancel(&self, id: &str) -> (StatusCode, Value) {
        answer(self.call(Method::DELETE, &format!("/v1/payments/{id}")).send().await.unwrap()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        let (http, answer) = answer(self.call(Method::PUT, path).json(&body).send().await.unwrap()).await;
        assert!(http.is_success(), "{path}: {answer}");
        answer
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.call(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    pub async fn place(&self, fault: Value) -> u64 {
        let (http, body) = self.post("/_control/faults", fault).await;
        assert_eq!(http, StatusCode::OK, "{body}");
        body["id"].as_u64().unwrap()
    }

    /// What the bank knows of an order: all its payments.
    pub async fn truth(&self, end_to_end: &str) -> Vec<Value> {
        let (_, body) = self.get(&format!("/_control/payments?endToEndIdentification={end_to_end}")).await;
        body.as_array().unwrap().clone()
    }

    /// Looks again until `good`, ten seconds at most.
    pub async fn truth_once(&self, end_to_end: &str, good: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        for _ in 0..1000 {
            let truth = self.truth(end_to_end).await;
            if good(&truth) {
                return truth;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{end_to_end} never got there: {:?}", self.truth(end_to_end).await);
    }

    /// The kroner on an account.
    pub async fn balance(&self, account: &str, consent: &str) -> String {
        let call = self.call(Method::GET, &format!("/v1/accounts/{account}/balances"));
        let call = call.header("X-Consent-ID", consent).header("PSU-IP-Address", "192.0.2.7");
        let (http, body) = answer(call.send().await.unwrap()).await;
        assert_eq!(http, StatusCode::OK, "{body}");
        body["balances"][0]["balanceAmount"]["amount"].as_str().unwrap().to_owned()
    }
}

pub async fn answer(response: Response) -> (StatusCode, Value) {
    let http = response.status();
    let text = response.text().await.unwrap();
    (http, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The code of a `tppMessages` answer.
pub fn code(body: &Value) -> &str {
    assert_eq!(body["tppMessages"][0]["category"], "ERROR", "{body}");
    body["tppMessages"][0]["code"].as_str().unwrap()
}
