//! The bank at work: the book, its ledger and its post room behind one lock, and the timer that does what is due.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    book::{Book, Fact},
    ledger::{Durability, Ledger, NotDurable, Writer},
    ports,
    refusal::Refusal,
    webhooks::Event,
};

/// The most facts decided in one turn of the timer before others get the lock.
const TURN: usize = 200;

pub(crate) struct Office {
    desk: Mutex<Desk>,
    durability: Durability,
    writer: Writer,
    alarm: Notify,
}

struct Desk {
    book: Book,
    ledger: Ledger,
    post: Option<mpsc::UnboundedSender<Event>>,
}

impl Office {
    pub(crate) fn new(
        book: Book,
        (ledger, durability, writer): (Ledger, Durability, Writer),
        post: Option<mpsc::UnboundedSender<Event>>,
    ) -> Self {
        Self { desk: Mutex::new(Desk { book, ledger, post }), durability, writer, alarm: Notify::new() }
    }

    /// Decides, takes note, and returns when the facts are on disk.
    ///
    /// A refusal waits for the disk too: it may rest on a fact that is still on its way there.
    pub(crate) async fn commit<T>(
        &self,
        decide: impl FnOnce(&Book, DateTime<Utc>) -> Result<(Vec<Fact>, T), Refusal>,
    ) -> Result<T, Refusal> {
        let (decided, last) = {
            let mut desk = self.desk();
            let now = ports::now();
            let decided = decide(&desk.book, now).map(|(facts, told)| {
                if desk.record(now, facts) {
                    self.alarm.notify_one();
                }
                told
            });
            (decided, desk.ledger.appended())
        };
        self.durability.up_to(last).await?;
        decided
    }

    /// Reads the book and returns when everything it said is on disk.
    pub(crate) async fn read<T>(
        &self,
        look: impl FnOnce(&Book, DateTime<Utc>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.commit(|book, now| look(book, now).map(|seen| (Vec::new(), seen))).await
    }

    /// Looks something up for the bank's own use, without waiting for the disk.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Book, DateTime<Utc>) -> T) -> T {
        look(&self.desk().book, ports::now())
    }

    /// The ledger's lines as they are on disk.
    pub(crate) async fn ledger_lines(&self) -> Result<Vec<u8>, Refusal> {
        let (path, last) = {
            let desk = self.desk();
            (desk.ledger.path().to_owned(), desk.ledger.appended())
        };
        self.durability.up_to(last).await?;
        tokio::fs::read(path).await.map_err(|error| NotDurable::refusal(&error))
    }

    /// What waits for its line before it may be told to others.
    pub(crate) fn durability(&self) -> Durability {
        self.durability.clone()
    }

    /// Does what is due, when it is due, until the bank closes.
    pub(crate) async fn keep_time(&self, mut closing: watch::Receiver<bool>) {
        loop {
            let next = self.turn();
            let wait = async {
                match next {
                    Some(at) => {
                        tokio::time::sleep((at - ports::now()).to_std().unwrap_or_default()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.alarm.notified() => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    /// Writes what is queued and lets go of the ledger. Blocks.
    pub(crate) fn close(&self) {
        let mut desk = self.desk();
        desk.post = None;
        desk.ledger.close();
        drop(desk);
        self.writer.join();
    }

    fn turn(&self) -> Option<DateTime<Utc>> {
        let mut desk = self.desk();
        let now = ports::now();
        for _ in 0..TURN {
            let Some(facts) = desk.book.due(now) else { break };
            desk.record(now, facts);
        }
        desk.book.next_due()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A panic while the lock was held is a bug in a decision, which had changed nothing yet.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Takes note of facts; true when the next due time moved closer.
    fn record(&mut self, now: DateTime<Utc>, facts: Vec<Fact>) -> bool {
        let before = self.book.next_due();
        let last = self.ledger.append(now, &facts);
        for fact in facts {
            if let Some(post) = &self.post
                && let Some(event) = Event::of(&self.book, &fact, last, now)
            {
                // The post room closes only with the bank.
                let _ = post.send(event);
            }
            self.book.apply(now, fact);
        }
        let after = self.book.next_due();
        after.is_some_and(|after| before.is_none_or(|before| after < before))
    }
}

impl NotDurable {
    fn refusal(error: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", error.to_string())
    }
}

impl From<NotDurable> for Refusal {
    fn from(error: NotDurable) -> Self {
        NotDurable::refusal(&error)
    }
}
