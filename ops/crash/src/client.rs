//! A client as a process of its own: it makes orders until its input is closed, asks again under the same key whatever
//! it got no answer to, and looks at each order until its end. It judges nothing; everything it asked and was told is
//! on disk before it goes on.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::journal::Journal;
use crate::order::{Habit, Order};
use crate::people::{Caller, recipient};

/// Longer than any wait that a caller can ask for is not needed here: no answer means "maybe".
const PATIENCE: Duration = Duration::from_secs(8);
/// The rest before something is asked again that was not answered.
const AGAIN: Duration = Duration::from_millis(60);
/// The rest between two looks at an order.
const LOOK: Duration = Duration::from_millis(200);

/// What a client is told.
#[derive(clap::Args)]
pub struct Args {
    /// Its number.
    #[arg(long)]
    number: u64,
    /// Where the service is; several are used in turn.
    #[arg(long = "base", required = true)]
    bases: Vec<String>,
    /// Where it writes.
    #[arg(long)]
    journal: PathBuf,
    /// How many orders it has under way at once.
    #[arg(long, default_value_t = 4)]
    at_once: u64,
}

struct Client {
    args: Args,
    caller: Caller,
    journal: Journal,
    asked: AtomicU64,
    closing: AtomicBool,
}

/// Runs one until its input is closed and all of its orders have come to their end.
///
/// # Errors
/// When it cannot write what it was told.
pub async fn run(args: Args) -> Result<(), String> {
    let journal = Journal::open(&args.journal).map_err(|error| error.to_string())?;
    let caller = Caller::user(args.number, PATIENCE)?;
    let lanes = args.at_once;
    let client =
        Arc::new(Client { args, caller, journal, asked: AtomicU64::new(0), closing: AtomicBool::new(false) });
    let told = Arc::clone(&client);
    std::thread::spawn(move || {
        // Nothing is ever said; that the input ends is the message.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.closing.store(true, Ordering::Relaxed);
    });
    let next = AtomicU64::new(0);
    let lane = async || -> std::io::Result<()> {
        while !client.closing.load(Ordering::Relaxed) {
            client.pay(next.fetch_add(1, Ordering::Relaxed)).await?;
        }
        Ok(())
    };
    try_join_all((0..lanes).map(|_| lane())).await.map_err(|error| error.to_string())?;
    Ok(())
}

impl Client {
    async fn pay(&self, number: u64) -> std::io::Result<()> {
        let order = Order::nth(self.args.number, number);
        let key = format!("crash-{}-{number}", self.args.number);
        let Some(id) = self.start(&order, &key, "start").await? else { return Ok(()) };
        if order.habit() == Habit::TakesBack {
            let cancel = |base: &str| {
                let url = format!("{base}/v1/transactions/{id}/cancel");
                self.caller.request(Method::POST, &url).header("Prefer", "wait=0")
            };
            // Said once: whether it was heard is for the bank to show.
            self.ask("cancel", &key, cancel).await?;
        }
        loop {
            let read = |base: &str| self.caller.request(Method::GET, &format!("{base}/v1/transactions/{id}"));
            let told = self.ask("read", &key, read).await?;
            let ended = told
                .is_some_and(|told| ["completed", "failed", "cancelled"].contains(&word(&told, "status")));
            if ended {
                break;
            }
            sleep(LOOK).await;
        }
        // The same key afterwards: still the same order, and its end.
        self.start(&order, &key, "again").await.map(|_| ())
    }

    /// Asks under a key until there is an answer; the order's id, unless the answer was no.
    async fn start(&self, order: &Order, key: &str, what: &str) -> std::io::Result<Option<String>> {
        let asked = json!({ "ask": what, "key": key, "payee": order.payee, "minor": order.minor });
        self.journal.write(asked).await?;
        let body = json!({ "recipientId": recipient(self.args.number), "amount": order.amount() });
        loop {
            let start = |base: &str| {
                let url = format!("{base}/v1/transactions/remittance");
                self.caller.request(Method::POST, &url).header("Idempotency-Key", key).json(&body)
            };
            match self.ask(what, key, start).await? {
                Some(told) if told["code"] == 503 => sleep(AGAIN).await,
                Some(told) => return Ok(told["id"].as_str().map(str::to_owned)),
                None => sleep(AGAIN).await,
            }
        }
    }

    /// Asks once; what was told, unless there was no answer.
    async fn ask(
        &self,
        what: &str,
        key: &str,
        request: impl Fn(&str) -> RequestBuilder,
    ) -> std::io::Result<Option<Value>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed) + self.args.number;
        let bases = &self.args.bases;
        let base = &bases[usize::try_from(turn).unwrap_or(0) % bases.len()];
        let answered = async {
            let answer = request(base).send().await?;
            let code = answer.status().as_u16();
            Ok::<_, reqwest::Error>((code, answer.text().await?))
        };
        let Ok((code, text)) = answered.await else {
            self.journal.write(json!({ "silence": what, "key": key, "base": base })).await?;
            return Ok(None);
        };
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let told = json!({
            "told": what, "key": key, "base": base, "code": code, "id": body["id"],
            "status": body["status"], "phase": body["phase"], "amount": body["amount"],
            "recipient": body["recipientId"], "error": body["error"],
        });
        self.journal.write(told.clone()).await?;
        Ok(Some(told))
    }
}

fn word<'a>(told: &'a Value, name: &str) -> &'a str {
    told[name].as_str().unwrap_or_default()
}
