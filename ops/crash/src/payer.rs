//! The person at the bank. They see every payment that stands there, not only the one that the app shows, so that a
//! payment made twice is paid twice.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use reqwest::Client;
use tokio::time::{Instant, sleep};

use crate::ledger::Follow;
use crate::order::{Habit, Order};
use crate::people::http;

/// How many decide at the same moment.
const AT_ONCE: usize = 8;
/// The rest between two looks.
const LOOK: Duration = Duration::from_millis(40);
/// Nobody decides later than so many milliseconds after they could.
const SLOWEST: u64 = 400;

struct Decision {
    payment: String,
    action: &'static str,
    /// Where the bank sends them afterwards; `None` for one who closes the window.
    redirect: Option<String>,
    due: Instant,
}

/// Decides about payments for as long as it is polled.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn decide(ledger: PathBuf, bank: String) -> Result<(), String> {
    let http = http(Duration::from_secs(5))?;
    let mut follow = Follow::new(ledger);
    let mut waiting: Vec<Decision> = Vec::new();
    loop {
        for fact in follow.more().map_err(|error| error.to_string())? {
            if fact["fact"] == "paymentReceived" {
                let word = |name: &str| fact[name].as_str().unwrap_or_default();
                let order = Order::read(word("creditorName"), word("amount"));
                waiting.extend(order.and_then(|order| wish(&order, word("paymentId"), word("redirect"))));
            }
        }
        let now = Instant::now();
        let (due, later) = waiting.into_iter().partition(|decision| decision.due <= now);
        waiting = later;
        let due: Vec<Decision> = due;
        let unheard = futures::stream::iter(due)
            .map(|decision| say(&http, &bank, decision))
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect::<Vec<_>>();
        waiting.extend(unheard.await);
        sleep(LOOK).await;
    }
}

fn wish(order: &Order, payment: &str, redirect: &str) -> Option<Decision> {
    let action = match order.habit() {
        Habit::Approves | Habit::TakesBack => "approve",
        Habit::Denies => "deny",
        Habit::NeverComes => return None,
    };
    let scattered = order.minor.wrapping_mul(0x9e37_79b9) % SLOWEST;
    let returns = scattered.is_multiple_of(2);
    Some(Decision {
        payment: payment.to_owned(),
        action,
        redirect: returns.then(|| redirect.to_owned()),
        due: Instant::now() + Duration::from_millis(scattered),
    })
}

/// Says it to the bank; a decision that the bank did not hear comes back.
async fn say(http: &Client, bank: &str, decision: Decision) -> Option<Decision> {
    let url = format!("{bank}/_control/payments/{}/{}", decision.payment, decision.action);
    if http.post(url).send().await.is_err() {
        return Some(decision);
    }
    // An answer of "no" means that it was too late. The return may meet a service that is down; then it is lost.
    if let Some(redirect) = decision.redirect {
        let _ = http.get(redirect).send().await;
    }
    None
}
