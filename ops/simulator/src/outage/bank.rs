//! The banks behind the aggregator, with books of their own, and the aggregator's door: away for a day, and counting.
//!
//! What a payment is at its bank follows from when it arrived and from what its payer does, so that nothing has to happen
//! in between: a hundred thousand of them cost a row each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use workers::limits::Pass;
use workers::ports::Clock as _;
use workers::providers::http::{HttpFault, HttpPort, HttpReply, HttpRequest};
use workflows::time::At;

use super::counter::Counter;
use super::customers::{Customers, number_of};
use super::days::Days;
use crate::bank::{Asked, empty, json as body, no};
use crate::breach::{Breaches, Rule};
use crate::chance::Chance;
use crate::plan::Payer;
use crate::ports::Virtual;
use crate::registry;

/// The ways to the aggregator differ by no more than pacing allows for (`workers::limits::pace::JITTER`).
const WAY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(35));
/// How long it takes over an answer.
const THOUGHT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(120));
/// From the approval to the execution.
const EXECUTION: Duration = Duration::from_secs(3);

/// The aggregator with its banks.
pub struct Bank {
    customers: Customers,
    days: Days,
    epoch: At,
    clock: Arc<Virtual>,
    breaches: Arc<Breaches>,
    books: Mutex<Books>,
}

/// What it knows.
pub struct Books {
    /// By number of the customer: the payment, once it arrived.
    rows: Vec<Option<Row>>,
    /// What it counted.
    pub counter: Counter,
    /// Calls that found nobody.
    pub knocks: u64,
    chance: Chance,
}

/// A payment.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// When it arrived.
    pub arrived: At,
    /// When its payer approves or denies it, if ever.
    decided: Option<(At, bool)>,
    /// When it was taken back.
    cancelled: Option<At>,
    /// Fingerprint of its key.
    key: u64,
}

/// What a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its payer.
    Pending,
    /// Approved.
    Underway,
    /// Money moved.
    Executed,
    /// It will not happen.
    Rejected,
    /// It was taken back.
    Cancelled,
}

impl Row {
    /// What it is at a time.
    pub fn standing(&self, now: At) -> Standing {
        match (self.cancelled, self.decided) {
            (Some(_), _) => Standing::Cancelled,
            (None, Some((at, true))) if at.plus(EXECUTION) <= now => Standing::Executed,
            (None, Some((at, true))) if at <= now => Standing::Underway,
            (None, Some((at, false))) if at <= now => Standing::Rejected,
            (None, _) => Standing::Pending,
        }
    }

    fn code(&self, now: At) -> &'static str {
        match self.standing(now) {
            Standing::Pending => "RCVD",
            Standing::Underway => "ACSP",
            Standing::Executed => "ACSC",
            Standing::Rejected => "RJCT",
            Standing::Cancelled => "CANC",
        }
    }
}

impl Books {
    /// The payment of a customer, once it arrived.
    pub fn row(&self, number: u32) -> Option<Row> {
        self.rows.get(usize::try_from(number).ok()?).copied().flatten()
    }

    fn put(&mut self, number: u32, row: Row) {
        if let Some(place) = usize::try_from(number).ok().and_then(|place| self.rows.get_mut(place)) {
            *place = Some(row);
        }
    }
}

impl Bank {
    /// Without a payment.
    pub fn open(
        customers: Customers,
        days: Days,
        clock: &Arc<Virtual>,
        breaches: &Arc<Breaches>,
        chance: Chance,
    ) -> Arc<Self> {
        let rows = vec![None; usize::try_from(days.payments).unwrap_or(0)];
        let books = Books { rows, counter: Counter::default(), knocks: 0, chance };
        Arc::new(Bank {
            customers,
            days,
            epoch: clock.now(),
            clock: Arc::clone(clock),
            breaches: Arc::clone(breaches),
            books: Mutex::new(books),
        })
    }

    /// Its books.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_the_beginning(&self) -> Duration {
        self.clock.now().since(self.epoch)
    }

    fn is_away(&self) -> bool {
        self.days.is_away(self.since_the_beginning())
    }

    /// Takes a request in; answers nothing when the aggregator went away before or meanwhile.
    async fn take(&self, request: &HttpRequest) -> Option<HttpReply> {
        let thought = {
            let (now, after) = (self.clock.now(), self.since_the_beginning());
            let mut books = self.books();
            if self.days.is_away(after) {
                books.knocks += 1;
                return None;
            }
            books.counter.arrived(now, after);
            books.chance.between(THOUGHT.0, THOUGHT.1)
        };
        let reply = self.answer(request);
        sleep(thought).await;
        self.books().counter.answered();
        (!self.is_away()).then_some(reply)
    }

    fn answer(&self, request: &HttpRequest) -> HttpReply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (&request.method, segments.as_slice()) {
            (&Method::GET, ["health"]) => body(StatusCode::OK, &json!({"status": "ok"})),
            (&Method::POST, ["v1", "payments", _]) => self.initiate(request),
            (&Method::GET, ["v1", "payments", id, "status"]) => match self.known(id) {
                Some((_, row)) => {
                    body(StatusCode::OK, &json!({"transactionStatus": row.code(self.clock.now())}))
                }
                None => unknown(),
            },
            (&Method::GET, ["v1", "payments"]) => self.locate(query),
            (&Method::DELETE, ["v1", "payments", id]) => self.cancel(id),
            _ => unknown(),
        }
    }

    /// Enters a payment: once under its key, as ordered, and while it is wanted.
    fn initiate(&self, request: &HttpRequest) -> HttpReply {
        let asked = Asked::of(request);
        let id = asked.as_ref().and_then(|asked| registry::instance(asked.text("/endToEndIdentification")));
        let (Some(asked), Some(number)) = (asked, id.map(number_of).filter(|one| *one < self.days.payments))
        else {
            self.breaches.add(Rule::NoOrphan, None, "a payment that nobody ordered".to_owned());
            return no(StatusCode::BAD_REQUEST, "FORMAT_ERROR");
        };
        let (now, order) = (self.clock.now(), self.customers.number(number).order);
        let breach = |rule, what: &str| self.breaches.add(rule, Some(number.into()), what.to_owned());
        let key = fingerprint(&asked.key);
        let known = self.books().row(number);
        if let Some(row) = known {
            if row.key != key {
                breach(Rule::MoneyOnce, "a second payment under another key");
            }
            return body(StatusCode::OK, &created(number, &row, now));
        }
        if asked.minor() != Some(order.minor) {
            breach(Rule::MoneyOnce, "asked for another amount than was ordered");
        }
        let decided = match order.payer {
            Payer::Approves(after) => Some((now.plus(after), true)),
            Payer::Denies(after) => Some((now.plus(after), false)),
            Payer::Sleeps => None,
        };
        let row = Row { arrived: now, decided, cancelled: None, key };
        self.books().put(number, row);
        body(StatusCode::CREATED, &created(number, &row, now))
    }

    fn locate(&self, query: &str) -> HttpReply {
        let wanted = query.strip_prefix("endToEndIdentification=").unwrap_or_default();
        let number = registry::instance(wanted).map(number_of);
        let found = number.and_then(|number| Some((number, self.books().row(number)?)));
        let found = found.map(|(number, row)| {
            json!({"paymentId": payment_id(number), "transactionStatus": row.code(self.clock.now()),
                   "endToEndIdentification": wanted})
        });
        body(StatusCode::OK, &found.into_iter().collect())
    }

    fn cancel(&self, id: &str) -> HttpReply {
        let Some((number, row)) = self.known(id) else { return unknown() };
        let now = self.clock.now();
        match row.standing(now) {
            Standing::Pending => {
                self.books().put(number, Row { cancelled: Some(now), ..row });
                empty(StatusCode::NO_CONTENT)
            }
            Standing::Cancelled => empty(StatusCode::NO_CONTENT),
            Standing::Underway | Standing::Executed | Standing::Rejected => {
                no(StatusCode::CONFLICT, "STATUS_INVALID")
            }
        }
    }

    fn known(&self, id: &str) -> Option<(u32, Row)> {
        let number = id.strip_prefix("pay-")?.parse().ok()?;
        Some((number, self.books().row(number)?))
    }
}

/// The line from the processes to the aggregator.
pub struct Door(pub Arc<Bank>);

#[async_trait]
impl HttpPort for Door {
    async fn send(
        &self,
        request: HttpRequest,
        pass: &Pass,
        within: Duration,
    ) -> Result<HttpReply, HttpFault> {
        pass.turn().await;
        let aggregator = Arc::clone(&self.0);
        if aggregator.is_away() {
            aggregator.books().knocks += 1;
            return Err(HttpFault::NotSent("no connection"));
        }
        let (answer, answered) = oneshot::channel();
        // From here on nothing brings it back: whoever stops waiting does not stop it.
        tokio::spawn(async move {
            let (there, back) = {
                let chance = &mut aggregator.books().chance;
                (chance.between(WAY.0, WAY.1), chance.between(WAY.0, WAY.1))
            };
            sleep(there).await;
            if let Some(reply) = aggregator.take(&request).await {
                sleep(back).await;
                // Whoever asked may have stopped waiting.
                let _ = answer.send(reply);
            }
        });
        match timeout(within, answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(HttpFault::Unknown("the connection was reset")),
            Err(_) => Err(HttpFault::Unknown("no answer in time")),
        }
    }
}

/// The line of a process whose provider never comes back.
pub struct Nowhere;

#[async_trait]
impl HttpPort for Nowhere {
    async fn send(&self, _: HttpRequest, _: &Pass, _: Duration) -> Result<HttpReply, HttpFault> {
        Err(HttpFault::NotSent("no connection"))
    }
}

fn payment_id(number: u32) -> String {
    format!("pay-{number}")
}

fn created(number: u32, row: &Row, now: At) -> serde_json::Value {
    let id = payment_id(number);
    let link = format!("https://bank.example/sca/{id}");
    json!({"paymentId": id, "transactionStatus": row.code(now), "_links": {"scaRedirect": {"href": link}}})
}

fn unknown() -> HttpReply {
    no(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN")
}

/// FNV-1a.
fn fingerprint(key: &str) -> u64 {
    key.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
