//! The verdict: what the clients wrote down and what the bank's ledger says, held against one last reading of every
//! workflow. The product's own view of itself proves nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;

use crate::journal;
use crate::ledger::Truth;
use crate::order::{Order, payee};
use crate::people::{Caller, recipient};

/// How many stories are read at a time.
const AT_ONCE: usize = 8;

/// Everything that one client asked and was told of one order.
#[derive(Debug, Default)]
struct Told {
    ids: BTreeSet<String>,
    shown: Vec<String>,
    silences: u64,
    strange: Vec<String>,
}

/// A workflow as it was read at the end.
#[derive(Debug)]
pub struct Last {
    id: String,
    client: u64,
    status: String,
    amount: String,
    recipient: String,
    /// Every status in its story, oldest first.
    story: Vec<String>,
}

/// What is wrong, in sentences, by kind; nothing when all is well.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Orders that were made.
    pub orders: usize,
    /// Of these, shown as completed at the end.
    pub completed: usize,
    /// Requests without an answer.
    pub silences: u64,
    /// Accepted and not there, or there with another content.
    pub lost: Vec<String>,
    /// Money that moved or may move twice, and orders that became two.
    pub double: Vec<String>,
    /// Shown as something that did not happen.
    pub untruthful: Vec<String>,
    /// Without an end.
    pub limbo: Vec<String>,
    /// Anything else: answers that nobody should get, sums that differ.
    pub strange: Vec<String>,
}

impl Verdict {
    /// The kinds with what was found of each.
    pub fn kinds(&self) -> [(&'static str, &[String]); 5] {
        [
            ("lost", &self.lost),
            ("double", &self.double),
            ("untruthful", &self.untruthful),
            ("limbo", &self.limbo),
            ("strange", &self.strange),
        ]
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.kinds().iter().all(|(_, found)| found.is_empty())
    }
}

/// Reads every workflow of every client, with its story.
///
/// # Errors
/// When the service does not answer a reading.
pub async fn read_all(base: &str, clients: u64) -> Result<Vec<Last>, String> {
    let mut all = Vec::new();
    let patience = Duration::from_secs(30);
    let callers: Vec<Caller> =
        (0..clients).map(|client| Caller::user(client, patience)).collect::<Result<_, _>>()?;
    for (client, caller) in (0..).zip(&callers) {
        let mut cursor = String::new();
        loop {
            let page = get(caller, &format!("{base}/v1/transactions?limit=200{cursor}")).await?;
            let page: Value = serde_json::from_str(&page).map_err(|error| error.to_string())?;
            for item in page["items"].as_array().into_iter().flatten() {
                let word = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                all.push(Last {
                    id: word("id"),
                    client,
                    status: word("status"),
                    amount: word("amount"),
                    recipient: word("recipientId"),
                    story: Vec::new(),
                });
            }
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    let tell = async |mut last: Last| -> Result<Last, String> {
        let caller = usize::try_from(last.client).ok().and_then(|client| callers.get(client));
        // The stream of one without an end does not end either; it is limbo without its story.
        if let Some(caller) = caller.filter(|_| is_final(&last.status)) {
            let text = get(caller, &format!("{base}/v1/transactions/{}/events", last.id)).await?;
            let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
            let events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
            last.story = events.filter_map(|event| event["status"].as_str().map(str::to_owned)).collect();
        }
        Ok(last)
    };
    let told = futures::stream::iter(all).map(tell).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    told.await.into_iter().collect()
}

async fn get(caller: &Caller, url: &str) -> Result<String, String> {
    let answer = caller.request(Method::GET, url).send().await.map_err(|error| format!("{url}: {error}"))?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status.is_success() { Ok(text) } else { Err(format!("{url}: {status} {text}")) }
}

/// Judges.
///
/// # Errors
/// When a client's journal cannot be read.
pub fn judge(
    directory: &Path,
    clients: u64,
    truths: &BTreeMap<Order, Truth>,
    last: &[Last],
) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let mut told: BTreeMap<Order, Told> = BTreeMap::new();
    for client in 0..clients {
        let lines = journal::read(&journal_of(directory, client)).map_err(|error| error.to_string())?;
        listen(&lines, &mut told);
    }
    let mut ends: BTreeMap<Order, Vec<&Last>> = BTreeMap::new();
    for one in last {
        let order = Order::read(&payee(one.client), &one.amount);
        match order.filter(|_| one.recipient == recipient(one.client)) {
            Some(order) => ends.entry(order).or_default().push(one),
            None => verdict.lost.push(format!("{} is not what anybody ordered: {one:?}", one.id)),
        }
    }
    let (nothing, mut shown) = (Truth::default(), 0);
    for (order, told) in &told {
        verdict.orders += 1;
        verdict.silences += told.silences;
        verdict.strange.extend(told.strange.iter().map(|what| format!("{order:?}: {what}")));
        let truth = truths.get(order).unwrap_or(&nothing);
        let ends = ends.remove(order).unwrap_or_default();
        verdict.about(order, told, truth, &ends);
        shown += ends.iter().filter(|end| end.status == "completed").map(|_| order.minor).sum::<u64>();
    }
    let unasked = ends.keys().chain(truths.keys().filter(|order| !told.contains_key(order)));
    verdict.strange.extend(unasked.map(|order| format!("nobody asked for {order:?}")));
    let moved: u64 = truths.values().map(|truth| truth.moved).sum();
    if shown != moved {
        verdict.strange.push(format!("completed in all {shown}, moved in all {moved}"));
    }
    Ok(verdict)
}

impl Verdict {
    fn about(&mut self, order: &Order, told: &Told, truth: &Truth, ends: &[&Last]) {
        let tale = || format!("{order:?}\n    told: {told:?}\n    truth: {truth:?}\n    last: {ends:?}");
        for id in &told.ids {
            if !ends.iter().any(|end| end.id == *id) {
                self.lost.push(format!("{id} was accepted and is gone: {}", tale()));
            }
        }
        let one_id = truth.ids.iter().all(|id| truth.ids.first() == Some(id));
        let right = truth.moved == order.minor * truth.executed as u64;
        if truth.executed > 1 || truth.live() > 1 || told.ids.len() > 1 || ends.len() > 1 || !one_id || !right
        {
            self.double.push(tale());
        }
        let Some(end) = ends.first() else {
            if !truth.payments.is_empty() {
                self.lost.push(format!("the bank has it and nobody else: {}", tale()));
            }
            return;
        };
        let finals: BTreeSet<&String> =
            told.shown.iter().chain(&end.story).chain([&end.status]).filter(|one| is_final(one)).collect();
        let allowed: &[&str] = if truth.executed == 0 { &["failed", "cancelled"] } else { &["completed"] };
        if finals.len() > 1 || finals.iter().any(|one| !allowed.contains(&one.as_str())) {
            self.untruthful.push(tale());
        }
        if !is_final(&end.status) {
            self.limbo.push(tale());
        } else if truth.executed == 0 && truth.live() > 0 {
            self.untruthful.push(format!("ended, and yet it may still be paid: {}", tale()));
        }
        if end.story.is_empty() == is_final(&end.status) {
            self.strange.push(format!("no story: {}", tale()));
        }
        self.completed += usize::from(end.status == "completed");
    }
}

/// Where a client writes.
pub fn journal_of(directory: &Path, client: u64) -> std::path::PathBuf {
    directory.join(format!("client-{client}.jsonl"))
}

fn is_final(status: &str) -> bool {
    ["completed", "failed", "cancelled"].contains(&status)
}

/// Sorts a client's lines by order.
fn listen(lines: &[Value], told: &mut BTreeMap<Order, Told>) {
    let mut orders: BTreeMap<&str, Order> = BTreeMap::new();
    for line in lines {
        let key = line["key"].as_str().unwrap_or_default();
        if let (Some(payee), Some(minor)) = (line["payee"].as_str(), line["minor"].as_u64()) {
            orders.insert(key, Order { payee: payee.to_owned(), minor });
        }
        let Some(order) = orders.get(key) else { continue };
        let told = told.entry(order.clone()).or_default();
        if !line["silence"].is_null() {
            told.silences += 1;
        }
        let Some(what) = line["told"].as_str() else { continue };
        let code = line["code"].as_u64().unwrap_or_default();
        let status = line["status"].as_str().unwrap_or_default();
        let known: &[u64] = match what {
            "start" => &[200, 201, 202, 503],
            // A repetition after the end is answered with the end.
            "again" if is_final(status) => &[200],
            "again" => &[503],
            "read" => &[200, 503],
            _ => &[200, 202, 409, 503],
        };
        if !known.contains(&code) {
            told.strange.push(line.to_string());
        }
        if code < 300 {
            told.ids.extend(line["id"].as_str().map(str::to_owned));
            told.shown.push(status.to_owned());
            let content = (order.amount(), line["amount"].as_str().unwrap_or_default());
            if content.0 != content.1 {
                told.strange.push(format!("another amount: {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a client may have been told, what the bank may have done and what is there at the end, with the verdict.
    #[test]
    fn each_breach_is_found_and_nothing_else() {
        for (name, told, executed, ends, expected) in [
            ("paid", vec!["processing", "completed"], 1, vec!["completed"], ""),
            ("denied", vec!["processing", "failed"], 0, vec!["failed"], ""),
            ("never heard of", vec![], 0, vec![], ""),
            ("heard of by the bank alone", vec![], 1, vec!["completed"], ""),
            ("gone", vec!["processing"], 0, vec![], "lost"),
            ("paid twice", vec!["processing"], 2, vec!["completed"], "double"),
            ("two workflows", vec!["processing"], 1, vec!["completed", "completed"], "double"),
            ("shown as failed and paid", vec!["failed"], 1, vec!["failed"], "untruthful"),
            ("shown as failed once", vec!["failed", "completed"], 1, vec!["completed"], "untruthful"),
            ("shown as paid and not", vec!["completed"], 0, vec!["completed"], "untruthful"),
            ("without an end", vec!["processing"], 0, vec!["processing"], "limbo"),
        ] {
            let order = Order::nth(0, 5);
            let told = Told {
                ids: told.iter().map(|_| "tx_0".to_owned()).collect(),
                shown: told.into_iter().map(str::to_owned).collect(),
                ..Told::default()
            };
            let truth = Truth { executed, moved: order.minor * executed as u64, ..Truth::default() };
            let ends: Vec<_> =
                (0..).zip(ends).map(|(number, status)| ended(number, &order, status)).collect();
            let mut verdict = Verdict::default();
            verdict.about(&order, &told, &truth, &ends.iter().collect::<Vec<_>>());
            let found: Vec<_> = verdict
                .kinds()
                .iter()
                .filter(|(_, found)| !found.is_empty())
                .map(|(kind, _)| *kind)
                .collect();
            assert_eq!(found.concat(), expected, "{name}: {verdict:#?}");
        }
    }

    #[test]
    fn an_answer_that_nobody_should_get_is_strange() {
        let lines = [
            json!({ "ask": "start", "key": "k", "payee": "Payee 0", "minor": 10_005 }),
            json!({ "silence": "start", "key": "k" }),
            json!({ "told": "start", "key": "k", "code": 500 }),
            json!({ "told": "start", "key": "k", "code": 201, "id": "tx_0", "status": "processing", "amount": "100.05" }),
        ];
        let mut told = BTreeMap::new();
        listen(&lines, &mut told);
        let told = &told[&Order::nth(0, 5)];
        assert_eq!((told.silences, told.strange.len(), told.shown.len(), told.ids.len()), (1, 1, 1, 1));
    }

    fn ended(number: u32, order: &Order, status: &str) -> Last {
        Last {
            id: format!("tx_{number}"),
            client: 0,
            status: status.to_owned(),
            amount: order.amount(),
            recipient: recipient(0),
            story: if is_final(status) { vec![status.to_owned()] } else { vec![] },
        }
    }
}
