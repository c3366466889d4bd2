//! Push: each status change is told to the client once it is on disk. A hint, with the faults hints have.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    banks::Delivery,
    book::{Book, Fact, PaymentId, Status},
    config::Webhook,
    ledger::Durability,
    ports,
};

/// Payments are spread over so many lanes; a payment keeps to one, so that its events stay in order.
const LANES: usize = 8;
/// How long a lane collects events before it sends them last first.
const HOLD_BACK: Duration = Duration::from_millis(300);
/// Waits between the attempts to deliver one event.
const RETRIES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// A status change on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    line: u64,
    delivery: Delivery,
    notice: Notice,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Notice {
    event_id: Uuid,
    payment_id: PaymentId,
    transaction_status: Status,
    occurred_at: DateTime<Utc>,
}

impl Event {
    /// The event a fact is worth, if any; it leaves when line `line` is on disk.
    pub(crate) fn of(book: &Book, fact: &Fact, line: u64, at: DateTime<Utc>) -> Option<Self> {
        let Fact::StatusChanged { payment_id, status, .. } = fact else { return None };
        let bank = book.payment(payment_id).and_then(|payment| book.bank(&payment.bank));
        let delivery = bank.and_then(|bank| bank.conduct.webhooks).unwrap_or(book.settings().webhooks);
        (delivery != Delivery::Lost).then(|| Self {
            line,
            delivery,
            notice: Notice {
                event_id: ports::fresh_id(),
                payment_id: payment_id.clone(),
                transaction_status: *status,
                occurred_at: at,
            },
        })
    }
}

/// Delivers what comes until the sender is gone.
pub(crate) async fn deliver(
    target: Webhook,
    mut events: mpsc::UnboundedReceiver<Event>,
    durability: Durability,
) {
    let sender = Arc::new(Sender { client: reqwest::Client::new(), target, durability });
    let lanes: Vec<_> = std::iter::repeat_with(|| {
        let (lane, queue) = mpsc::unbounded_channel();
        tokio::spawn(run_lane(Arc::clone(&sender), queue));
        lane
    })
    .take(LANES)
    .collect();
    while let Some(event) = events.recv().await {
        let lane = event.notice.payment_id.0.bytes().map(usize::from).sum::<usize>() % LANES;
        if let Some(lane) = lanes.get(lane) {
            // A lane ends only when its sender is dropped.
            let _ = lane.send(event);
        }
    }
}

async fn run_lane(sender: Arc<Sender>, mut queue: mpsc::UnboundedReceiver<Event>) {
    while let Some(event) = queue.recv().await {
        let mut batch = vec![event];
        if batch.iter().any(Event::is_reordered) {
            tokio::time::sleep(HOLD_BACK).await;
            while let Ok(event) = queue.try_recv() {
                batch.push(event);
            }
            batch.reverse();
        }
        for event in batch {
            sender.send(&event).await;
        }
    }
}

impl Event {
    fn is_reordered(&self) -> bool {
        match self.delivery {
            Delivery::Reordered | Delivery::DuplicatedReordered => true,
            Delivery::Normal | Delivery::Lost | Delivery::Duplicated => false,
        }
    }

    fn copies(&self) -> usize {
        match self.delivery {
            Delivery::Lost => 0,
            Delivery::Normal | Delivery::Reordered => 1,
            Delivery::Duplicated | Delivery::DuplicatedReordered => 2,
        }
    }
}

struct Sender {
    client: reqwest::Client,
    target: Webhook,
    durability: Durability,
}

impl Sender {
    async fn send(&self, event: &Event) {
        if self.durability.up_to(event.line).await.is_err() {
            return;
        }
        let Ok(body) = serde_json::to_vec(&event.notice) else { return };
        for _ in 0..event.copies() {
            if self.post(&body).await {
                continue;
            }
            for wait in RETRIES {
                tokio::time::sleep(wait).await;
                if self.post(&body).await {
                    break;
                }
            }
        }
    }

    async fn post(&self, body: &[u8]) -> bool {
        let answer = self
            .client
            .post(&self.target.url)
            .timeout(Duration::from_secs(5))
            .header("Content-Type", "application/json")
            .header("X-Signature", signature(&self.target.secret, body))
            .body(body.to_vec())
            .send()
            .await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

/// hex(HMAC-SHA256(secret, body)), as the profile says.
fn signature(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length (RFC 2104 section 2).
    Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map(|mut mac| {
            mac.update(body);
            hex::encode(mac.finalize().into_bytes())
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_signature_is_the_published_vector() {
        // RFC 4231, test case 2.
        assert_eq!(
            super::signature("Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
