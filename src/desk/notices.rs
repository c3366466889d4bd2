//! Pushed notices: kept, then told to the payment that they are about. A notice proves nothing; it has the bank asked
//! (X-09).

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use workers::engine::Told;
use workers::notices::Notice;
use workers::store::{InboxKey, Trouble};
use workflows::payment::Event;
use workflows::time::At;

use super::Desk;
use crate::http::KINDS;

/// The longest id that is taken from a notice, in bytes.
const LONGEST_ID: usize = 256;
/// How long a notice waits for the payment that it names: the provider may push before it answers the initiation, and
/// an answer that was lost is found within minutes.
const PATIENCE: Duration = Duration::from_hours(1);
/// The shortest and the longest wait before it is looked for again; in between it doubles.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_mins(1);

/// What came of a pushed notice at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It is kept and will be applied.
    Kept,
    /// It came before.
    Repeated,
}

impl Desk {
    /// Keeps what a provider pushed, its sender proven. Durable when this returns.
    ///
    /// # Errors
    /// When the store does not answer: the sender has to come again.
    pub async fn receive(&self, source: &str, body: &[u8]) -> Result<Push, Trouble> {
        let notice = read(source, body, self.engine.now());
        let is_new = self.drawers.notices.receive(&notice).await?;
        if !is_new {
            return Ok(Push::Repeated);
        }
        tracing::info!(source, event = notice.event, "a notice was kept");
        self.news.notify_one();
        Ok(Push::Kept)
    }

    /// Tells a payment that a notice about it came. Answers when to look again, if the payment is not known yet.
    ///
    /// # Errors
    /// When the store does not answer; it is called again later.
    pub(super) async fn apply_notice(&self, notice: &Notice) -> Result<Option<At>, Trouble> {
        let now = self.engine.now();
        let Some(reference) = &notice.reference else {
            return self.concluded(notice, "ignored: it names no payment").await;
        };
        let named = self.engine.by_reference(reference).await?;
        let payments: Vec<_> = named.iter().filter(|found| KINDS.contains(&&*found.kind)).collect();
        let age = now.since(notice.received_at);
        if payments.is_empty() && age < PATIENCE {
            let again = now.plus(age.clamp(SOONEST, LATEST));
            self.drawers.notices.put_off(&notice.source, &notice.event, again).await?;
            return Ok(Some(again));
        }
        if payments.is_empty() {
            return self.concluded(notice, "ignored: no payment has that id").await;
        }
        // Two banks may give the same id to two payments: a hint that is not meant for one costs it a question.
        let mut moved = false;
        for payment in payments {
            let heard = InboxKey {
                source: format!("webhook {}", notice.source).into(),
                event: format!("{} {}", notice.event, payment.id).into(),
            };
            moved |= match self.engine.tell(payment.id, &Event::Hinted, &notice.source, Some(heard)).await? {
                Told::Moved(_) | Told::Duplicate(_) => true,
                Told::Ignored(_) | Told::NotFound => false,
            };
        }
        let word = if moved { "told" } else { "ignored: it changes nothing where the payment stands" };
        self.concluded(notice, word).await
    }

    async fn concluded(&self, notice: &Notice, outcome: &str) -> Result<Option<At>, Trouble> {
        let Notice { source, event, .. } = notice;
        self.drawers.notices.handled(source, event, outcome, self.engine.now()).await?;
        tracing::info!(source, event, outcome, "a notice was applied");
        Ok(None)
    }
}

/// A notice of the drop-seed profile: `{"eventId","paymentId","transactionStatus","occurredAt"}`. Whatever else was
/// signed is kept as well, under the hash of its bytes.
fn read(source: &str, body: &[u8], now: At) -> Notice {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = |field: &str| document[field].as_str().filter(|text| is_id(text)).map(str::to_owned);
    let event = id("eventId").unwrap_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(body))));
    Notice {
        source: source.to_owned(),
        event,
        reference: id("paymentId"),
        // A database takes no NUL in a text.
        body: String::from_utf8_lossy(body).replace('\0', "\u{fffd}"),
        received_at: now,
        due_at: now,
        handled: None,
    }
}

fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_signed_is_a_notice() {
        let hash = |body: &[u8]| format!("sha256:{}", hex::encode(Sha256::digest(body)));
        let long = format!(r#"{{"eventId":"{}","paymentId":"p"}}"#, "e".repeat(257));
        for (body, event, reference) in [
            (
                &br#"{"eventId":"e1","paymentId":"pmt-7f","transactionStatus":"ACSC"}"#[..],
                Some("e1"),
                Some("pmt-7f"),
            ),
            (br#"{"eventId":"e1","type":"consent.revoked"}"#, Some("e1"), None),
            (br#"{"paymentId":"pmt-7f"}"#, None, Some("pmt-7f")),
            (br#"{"eventId":7,"paymentId":["x"]}"#, None, None),
            (br#"{"eventId":"e\u0000","paymentId":"a b"}"#, None, None),
            (long.as_bytes(), None, Some("p")),
            (b"[]", None, None),
            (b"", None, None),
            (b"\0\xff{", None, None),
        ] {
            let notice = read("neonomics", body, At::EPOCH);
            assert_eq!(notice.event, event.map_or_else(|| hash(body), str::to_owned));
            assert_eq!(notice.reference.as_deref(), reference);
            assert!(!notice.body.contains('\0') && !format!("{notice:?}").contains("ACSC"));
        }
    }
}
