//! The bank as a process, what can be done to it, and its ledger, which judges.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Method, redirect::Policy};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;

/// How many people decide at the same moment.
const AT_ONCE: usize = 20;

/// One bank with several branches; a fault at one does not touch the others.
pub struct Bank {
    directory: TempDir,
    address: SocketAddr,
    process: Mutex<Option<Process>>,
}

/// What the ledger says of one order, all its requests taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// The payments that were created for it.
    pub payments: Vec<String>,
    /// The last status of each payment.
    pub statuses: BTreeMap<String, String>,
    /// Every request that created or repeated it: its key.
    pub keys: Vec<String>,
    /// The hashes of the bodies of these requests.
    pub bodies: Vec<String>,
    /// How often money moved.
    pub executed: usize,
    /// What moved or was to move, as `"2000.00"`.
    pub amount: String,
}

impl Truth {
    /// Payments that moved money or still may.
    pub fn live(&self) -> usize {
        self.statuses.values().filter(|status| !["RJCT", "CANC"].contains(&status.as_str())).count()
    }
}

impl Bank {
    /// On a fresh ledger.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let process = run(&directory, "127.0.0.1:0").unwrap();
        Bank { address: process.address(), directory, process: Mutex::new(Some(process)) }
    }

    /// Its address for the service.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `kill -9`: from here on connections are refused.
    pub fn kill(&self) {
        self.process.lock().expect("nobody panics with it").take().expect("it runs").kill();
    }

    /// Opens it again, on the same ledger and port.
    pub fn restart(&self) {
        let attempt = || run(&self.directory, &self.address.to_string());
        let process = attempt().or_else(|_| attempt()).or_else(|_| attempt()).unwrap();
        *self.process.lock().expect("nobody panics with it") = Some(process);
    }

    /// A branch of its own for a test: the bank's id, and a consent there.
    pub async fn open_branch(&self, name: &str) -> Branch<'_> {
        let branch = Branch { bank: self, http: client(), id: name.to_owned() };
        branch.conduct(json!({})).await;
        branch
            .control(Method::PUT, &format!("consents/{}", branch.consent()), Some(json!({ "bankId": name })))
            .await;
        branch
    }

    /// What the ledger says, order by order: the payee's name and the amount tell orders apart.
    pub fn ledger(&self) -> BTreeMap<(String, String), Truth> {
        let text = std::fs::read_to_string(self.ledger_file()).expect("the bank wrote its ledger");
        let mut orders: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut truths: BTreeMap<(String, String), Truth> = BTreeMap::new();
        // A line that is being written is not a fact yet.
        let facts = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        for fact in facts.map(|line| serde_json::from_str::<Value>(line).expect("one fact is one line")) {
            let word = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
            let payment = word("paymentId");
            if fact["fact"] == "paymentReceived" {
                orders.insert(payment.clone(), (word("creditorName"), word("amount")));
            }
            let Some(order) = orders.get(&payment) else { continue };
            let truth = truths.entry(order.clone()).or_default();
            match fact["fact"].as_str().expect("facts have names") {
                "paymentReceived" => {
                    truth.amount = word("amount");
                    truth.payments.push(payment.clone());
                    truth.statuses.insert(payment, "RCVD".to_owned());
                    truth.keys.push(word("key"));
                    truth.bodies.push(word("bodySha256"));
                }
                "requestRepeated" => {
                    truth.keys.push(word("key"));
                    truth.bodies.push(word("bodySha256"));
                }
                "statusChanged" => {
                    truth.statuses.insert(payment, word("status"));
                }
                "executed" => truth.executed += 1,
                _ => {}
            }
        }
        truths
    }

    fn ledger_file(&self) -> PathBuf {
        self.directory.path().join("bank.jsonl")
    }
}

/// One bank of the aggregator, and the people in it.
pub struct Branch<'a> {
    bank: &'a Bank,
    http: Client,
    id: String,
}

impl Branch<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A consent in force here.
    pub fn consent(&self) -> String {
        format!("consent-{}", self.id)
    }

    /// What the ledger says of the order with this payee and amount.
    pub fn truth(&self, payee: &str, amount: &str) -> Truth {
        self.bank.ledger().remove(&(payee.to_owned(), amount.to_owned())).unwrap_or_default()
    }

    /// How it behaves from here on.
    pub async fn conduct(&self, change: Value) {
        self.control(Method::PUT, &format!("banks/{}", self.id), Some(change)).await;
    }

    /// Something goes wrong here.
    pub async fn fault(&self, mut fault: Value) {
        fault["bank"] = json!(self.id);
        self.control(Method::POST, "faults", Some(fault)).await;
    }

    /// Nothing goes wrong any more, at any branch.
    pub async fn mend(&self) {
        self.control(Method::DELETE, "faults", None).await;
    }

    /// The consent here has this status from now on.
    pub async fn consent_is(&self, status: &str) {
        let body = json!({ "bankId": self.id, "status": status });
        self.control(Method::PUT, &format!("consents/{}", self.consent()), Some(body)).await;
    }

    /// The payments that stand here.
    pub async fn payments(&self) -> Vec<Value> {
        let all = self.control(Method::GET, "payments", None).await;
        let all = all.as_array().expect("a list").iter();
        all.filter(|payment| payment["bank"] == self.id.as_str()).cloned().collect()
    }

    /// The payments that wait for a person's decision.
    pub async fn undecided(&self) -> Vec<String> {
        let waiting = |payment: Value| {
            (payment["status"] == "RCVD").then(|| payment["paymentId"].as_str().unwrap().to_owned())
        };
        self.payments().await.into_iter().filter_map(waiting).collect()
    }

    /// The person decides at the bank and never comes back to the app. False when it was too late.
    pub async fn decide(&self, payment: &str, action: &str) -> bool {
        let url = format!("{}/_control/payments/{payment}/{action}", self.bank.base());
        self.http.post(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// What the status query answers instead of the truth; `null` for the truth again.
    pub async fn report(&self, payment: &str, status: Value) {
        let body = json!({ "transactionStatus": status });
        self.control(Method::POST, &format!("payments/{payment}/report"), Some(body)).await;
    }

    /// The consent here ends, as when the person takes it back at the bank.
    pub async fn end_consent(&self) {
        let ended = json!({ "bankId": self.id, "status": "expired" });
        self.control(Method::PUT, &format!("consents/{}", self.consent()), Some(ended)).await;
    }

    /// Calls per operation, of all branches.
    pub async fn calls(&self) -> Value {
        self.control(Method::GET, "calls", None).await
    }

    /// An account with this much on it.
    pub async fn account(&self, iban: &str, kroner: &str) {
        let body =
            json!({ "iban": iban, "bank": self.id, "balances": [{ "amount": kroner, "currency": "NOK" }] });
        self.control(Method::PUT, &format!("accounts/acc-{iban}"), Some(body)).await;
    }

    /// Decides every payment that waits for its payer, as far as the bank can be reached: those that `denies` picks
    /// by their amount are denied, all others approved. Every payer comes back to the app, if the app is there.
    pub async fn decide_all(&self, denies: impl Fn(&str) -> bool) {
        let Ok(all) = self.try_control(Method::GET, "payments", None).await else { return };
        let all = all.as_array().into_iter().flatten();
        let waiting = all.filter(|one| one["bank"] == self.id.as_str() && one["status"] == "RCVD");
        futures::stream::iter(waiting)
            .for_each_concurrent(AT_ONCE, async |payment| {
                let word = |name: &str| payment[name].as_str().expect("a payment's text");
                let action = if denies(word("amount")) { "deny" } else { "approve" };
                if self.decide(word("paymentId"), action).await {
                    // The return may meet a service that is down; then it is lost, as returns are.
                    let _ = self.http.get(word("redirect")).send().await;
                }
            })
            .await;
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.try_control(method, path, body).await.expect("the bank answers")
    }

    async fn try_control(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}/_control/{path}", self.bank.base()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        assert!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// A person at the bank's page, by the link that the app showed: the decision, and the address they are sent back to.
pub async fn at_the_page(link: &str, decision: &str) -> String {
    let request = client().post(format!("{link}/{decision}")).header("Accept", "application/json");
    let answer = request.send().await.expect("the bank's page answers");
    assert!(answer.status().is_success(), "{link}/{decision}: {}", answer.status());
    let body: Value = answer.json().await.expect("a program gets JSON");
    body["redirect"].as_str().expect("the way back").to_owned()
}

/// The account number of a Norwegian account, made from nine digits: both check digits are computed.
pub fn norwegian_iban(number: u32) -> Option<String> {
    let nine = format!("{number:09}");
    let weights = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    let ten = format!("{}{}", &nine[..9], number % 10);
    let sum: u32 = ten.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let check = match 11 - sum % 11 {
        11 => 0,
        // There is no account with such a number.
        10 => return None,
        check => check,
    };
    let bban = format!("{ten}{check}");
    let remainder =
        format!("{bban}232400").bytes().fold(0_u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    Some(format!("NO{:02}{bban}", 98 - remainder))
}

fn client() -> Client {
    let builder = Client::builder().redirect(Policy::none()).no_proxy().timeout(Duration::from_secs(20));
    builder.build().expect("a client")
}

fn run(directory: &TempDir, bind: &str) -> Result<Process, String> {
    let ledger = directory.path().join("bank.jsonl");
    let ledger = ledger.to_str().expect("a plain path");
    Process::listening(&["sandbox", "--bind", bind, "--ledger", ledger], &[], directory.path())
}
