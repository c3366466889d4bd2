//! A bank behind the aggregator's interface, with books of its own and none of the engine's code: what it reads are
//! bytes, what it answers are bytes.
//!
//! The classes of [`crate::plan::Class`] decide what it makes of keys, questions and time.

mod ledger;
mod life;
mod replies;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use workers::ports::Clock as _;
use workers::providers::http::{HttpReply, HttpRequest};
use workflows::time::At;

pub use ledger::{Ledger, Row, Standing};
pub use life::executed_code;
pub use replies::{empty, json, no, proxy, too_many};

use crate::breach::{Breaches, Rule};
use crate::faults::{Fault, Faults};
use crate::log::Log;
use crate::orders;
use crate::plan::{Class, Order, Plan, Verdict};
use crate::ports::Virtual;
use crate::registry::Registry;

/// The bank of a world.
pub struct Bank {
    plan: Arc<Plan>,
    clock: Arc<Virtual>,
    faults: Arc<Faults>,
    log: Arc<Log>,
    registry: Arc<Registry>,
    breaches: Arc<Breaches>,
    ledger: Mutex<Ledger>,
    /// The token of today with its end, and how many there were.
    token: Mutex<(u64, At)>,
    callbacks: mpsc::UnboundedSender<Callback>,
    /// How many lookups missed an order's payment.
    missed: Mutex<BTreeMap<u64, u8>>,
    /// How often an order's status was asked for.
    asked: Mutex<BTreeMap<u64, u64>>,
    /// How many requests, callbacks and errands are under way.
    under_way: Arc<AtomicU64>,
}

/// Something is under way until this is dropped.
pub struct UnderWay(Arc<AtomicU64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Word of a change, pushed to us.
pub struct Callback {
    /// The payment's end-to-end id.
    pub end_to_end: String,
    /// The bank's id of the word.
    pub event: String,
    /// Until it is heard.
    pub under_way: UnderWay,
}

/// What a bank is made of.
pub struct Parts {
    /// The world it is in.
    pub plan: Arc<Plan>,
    /// Its time.
    pub clock: Arc<Virtual>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// What is told.
    pub log: Arc<Log>,
    /// Whose payments they are.
    pub registry: Arc<Registry>,
    /// Where breaches are kept.
    pub breaches: Arc<Breaches>,
    /// Where its callbacks go.
    pub callbacks: mpsc::UnboundedSender<Callback>,
}

/// An answer, and how long the bank takes over it.
pub struct Answered {
    /// The answer.
    pub reply: HttpReply,
    /// How long.
    pub after: Duration,
}

/// A payment order as its request says it.
pub struct Asked {
    /// The header that names the request, or the payment.
    pub key: String,
    /// The body.
    pub body: Value,
}

impl Asked {
    /// Reads a request for a payment.
    pub fn of(request: &HttpRequest) -> Option<Asked> {
        let key = request.headers.get("x-request-id")?.to_str().ok()?.to_owned();
        Some(Asked { key, body: serde_json::from_slice(&request.body).ok()? })
    }

    /// A text of the body.
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The creditor's account, whichever kind it is.
    pub fn creditor(&self) -> &str {
        let iban = self.text("/creditorAccount/iban");
        if iban.is_empty() { self.text("/creditorAccount/bban") } else { iban }
    }

    /// The amount in hundredths; nothing when it is not written as one.
    pub fn minor(&self) -> Option<i64> {
        let (whole, part) = self.text("/instructedAmount/amount").split_once('.')?;
        let part = if part.len() == 2 { part.parse::<i64>().ok()? } else { return None };
        whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(part)
    }

    /// Currency, debtor's and creditor's account.
    pub fn said(&self) -> (String, String, String) {
        let [currency, debtor] =
            ["/instructedAmount/currency", "/debtorAccount/iban"].map(|at| self.text(at));
        (currency.to_owned(), debtor.to_owned(), self.creditor().to_owned())
    }

    fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.body.to_string()))
    }
}

impl Bank {
    /// Without a payment.
    pub fn open(parts: Parts) -> Arc<Self> {
        let Parts { plan, clock, faults, log, registry, breaches, callbacks } = parts;
        Arc::new(Bank {
            plan,
            clock,
            faults,
            log,
            registry,
            breaches,
            ledger: Mutex::default(),
            token: Mutex::new((0, At::MIN)),
            callbacks,
            missed: Mutex::default(),
            asked: Mutex::default(),
            under_way: Arc::default(),
        })
    }

    /// Something sets out that has to be over before the world is.
    pub fn sets_out(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// Whether nothing is under way and no payment can move any more.
    pub fn is_at_rest(&self) -> bool {
        let quiet = self.under_way.load(Ordering::Acquire) == 0;
        quiet && !self.ledger().rows().iter().any(|row| row.standing.is_live())
    }

    /// Its books.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request that arrived.
    pub fn answer(self: &Arc<Self>, request: &HttpRequest) -> Answered {
        let path = request.target.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        if segments == ["auth", "token"] {
            return at_once(self.grant());
        }
        if self.plan.tokens && !self.is_authorised(request) {
            return at_once(replies::no(StatusCode::UNAUTHORIZED, "TOKEN_EXPIRED"));
        }
        match (&request.method, segments.as_slice()) {
            (&Method::GET, ["banks"]) => at_once(replies::json(StatusCode::OK, &json!([]))),
            (&Method::POST, ["v1", "payments", _]) => self.initiate(request),
            (&Method::GET, ["v1", "payments", id, "status"]) => at_once(self.status(id)),
            (&Method::GET, ["v1", "payments"]) => at_once(self.locate(&request.target)),
            (&Method::DELETE, ["v1", "payments", id]) => at_once(self.cancel(id)),
            _ => at_once(replies::no(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN")),
        }
    }

    /// How often money moved for the order of this number, and whether it still may, of any of its payments.
    pub fn truth(&self, number: u64) -> (u32, bool) {
        let ledger = self.ledger();
        let rows = || ledger.of_order(number);
        (rows().map(|row| row.executed).sum(), rows().any(|row| row.standing.is_live()))
    }

    fn initiate(self: &Arc<Self>, request: &HttpRequest) -> Answered {
        let Some(asked) = Asked::of(request) else {
            return at_once(replies::no(StatusCode::BAD_REQUEST, "FORMAT_ERROR"));
        };
        let end_to_end = asked.text("/endToEndIdentification").to_owned();
        let Some((number, minor)) = self.registry.of_end_to_end(&end_to_end) else {
            self.breaches.add(Rule::NoOrphan, None, format!("a payment {end_to_end} that nobody ordered"));
            return at_once(replies::no(StatusCode::BAD_REQUEST, "FORMAT_ERROR"));
        };
        let Some(order) = self.plan.order(number) else {
            return at_once(replies::no(StatusCode::BAD_REQUEST, "FORMAT_ERROR"));
        };
        if let Some(known) = self.known(order, &asked) {
            return at_once(known);
        }
        if !orders::is_as_ordered(order, minor, asked.minor(), &asked.said()) {
            let (amount, said) = (asked.text("/instructedAmount/amount"), asked.said());
            let what = format!("asked for {amount}, {said:?}; ordered {minor} by {order:?}");
            self.breaches.add(Rule::MoneyOnce, Some(number), what);
        }
        match order.verdict {
            Verdict::Refused(code) => return at_once(replies::no(StatusCode::FORBIDDEN, code)),
            Verdict::Consent if !has_new_consent(request) => {
                return at_once(replies::no(StatusCode::UNAUTHORIZED, "CONSENT_EXPIRED"));
            }
            Verdict::Consent | Verdict::Waits | Verdict::Exempt | Verdict::AtOnce | Verdict::Rejected => {}
        }
        let (reply, place) = self.enter(order, &asked, end_to_end);
        life::begin(self, place, order);
        Answered { reply, after: order.queue }
    }

    /// The answer to a key that is remembered.
    fn known(&self, order: &Order, asked: &Asked) -> Option<HttpReply> {
        let ledger = self.ledger();
        let now = self.clock.now();
        let (row, since) = ledger.under_key(&asked.key)?;
        if order.window.is_some_and(|window| now.since(since) >= window) {
            return None;
        }
        if row.body != asked.fingerprint() {
            return Some(replies::no(StatusCode::UNPROCESSABLE_ENTITY, "FORMAT_ERROR"));
        }
        if self.faults.one("repetition", row.number, Fault::RepetitionRefused, 1_000).is_some() {
            return Some(replies::no(StatusCode::FORBIDDEN, "SECURITY_BLOCK"));
        }
        Some(replies::json(StatusCode::OK, &created(row)))
    }

    fn enter(&self, order: &Order, asked: &Asked, end_to_end: String) -> (HttpReply, usize) {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        let code = match order.number % 4 {
            0 => "PDNG",
            1 => "PATC",
            _ => "RCVD",
        };
        let row = Row {
            id: format!("pay-{}-{}", order.number, ledger.rows().len()),
            number: order.number,
            key: asked.key.clone(),
            body: asked.fingerprint(),
            minor: asked.minor().unwrap_or(0),
            said: asked.said(),
            received_at: now,
            visible_at: now.plus(order.queue + order.lag),
            standing: Standing::Pending,
            code,
            before: code,
            reason: None,
            executed_at: None,
            executed: 0,
            end_to_end,
        };
        self.log.tell(now, || format!("bank: order {} is payment {}", order.number, row.id));
        let reply = replies::json(StatusCode::CREATED, &created(&row));
        (reply, ledger.enter(row, order.terms.replay.is_some()))
    }

    fn status(&self, id: &str) -> HttpReply {
        let mut ledger = self.ledger();
        let place = ledger.of_id(id);
        let Some(row) = place.and_then(|place| ledger.at(place)) else {
            return replies::no(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN");
        };
        let order = self.plan.order(row.number);
        if order.is_some_and(|order| order.class == Class::Callbacks) && !self.likes_to_be_asked(row.number) {
            return replies::no(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN");
        }
        let unknown = self.faults.one("not found", row.number, Fault::NotFound, 100).is_some();
        if unknown {
            return replies::no(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN");
        }
        let stale = self.faults.threat("stale", row.number, &[(Fault::StatusStale, 200)]);
        let stale = stale.filter(|_| row.before != row.code);
        if let Some(stale) = &stale {
            self.faults.struck(stale);
        }
        let stale = stale.is_some();
        let code = if stale { row.before } else { row.code };
        let reason = row.reason.filter(|_| !stale);
        replies::json(StatusCode::OK, &json!({"transactionStatus": code, "reason": reason}))
    }

    fn locate(&self, target: &str) -> HttpReply {
        let wanted = target.split_once("endToEndIdentification=").map_or("", |(_, id)| id);
        let now = self.clock.now();
        let ledger = self.ledger();
        let found: Vec<Value> = ledger
            .of_end_to_end(wanted)
            .filter(|row| {
                let order = self.plan.order(row.number);
                row.visible_at <= now && !order.is_some_and(|order| self.misses(order))
            })
            .map(|row| {
                json!({"paymentId": row.id, "transactionStatus": row.code,
                       "endToEndIdentification": row.end_to_end})
            })
            .collect();
        replies::json(StatusCode::OK, &Value::Array(found))
    }

    /// Whether a bank that tells by callbacks answers this time: now and then it does.
    fn likes_to_be_asked(&self, number: u64) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = asked.entry(number).or_insert(0);
        *nth += 1;
        self.plan.chance.fork("asked", number).fork("nth", *nth).hits(1_000)
    }

    /// Whether a lookup misses a payment that is there: less often in all than answers have to agree.
    fn misses(&self, order: &Order) -> bool {
        let blow = self.faults.threat("lookup", order.number, &[(Fault::LookupMissed, 2_500)]);
        let strikes = blow.is_some();
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let times = missed.entry(order.number).or_insert(0);
        let one_more = strikes && *times + 1 < order.terms.agreeing_reads;
        *times += u8::from(one_more);
        if let Some(blow) = blow.filter(|_| one_more) {
            self.faults.struck(&blow);
        }
        one_more
    }

    fn cancel(self: &Arc<Self>, id: &str) -> HttpReply {
        let place = self.ledger().of_id(id);
        let number = place.and_then(|place| self.ledger().at(place).map(|row| row.number));
        let order = number.and_then(|number| self.plan.order(number));
        let (Some(place), Some(order)) = (place, order) else {
            return replies::no(StatusCode::NOT_FOUND, "RESOURCE_UNKNOWN");
        };
        let taken_back = life::change(self, place, order, |row| {
            (row.standing == Standing::Pending).then_some((Standing::Cancelled, "CANC", None))
        });
        let stands = self.ledger().at(place).map(|row| row.standing);
        match stands {
            Some(Standing::Cancelled) if taken_back || order.number.is_multiple_of(2) => {
                replies::empty(StatusCode::NO_CONTENT)
            }
            _ => replies::no(StatusCode::CONFLICT, "STATUS_INVALID"),
        }
    }

    /// Money moved for an order: once, or it is a breach.
    fn moved(&self, number: u64) {
        let (times, _) = self.truth(number);
        if times > 1 {
            self.breaches.add(Rule::MoneyOnce, Some(number), format!("executed {times} times"));
        }
    }

    fn grant(&self) -> HttpReply {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let lifetime = Duration::from_secs(60 * (1 + token.0 % 60));
        *token = (token.0 + 1, now.plus(lifetime));
        let granted = json!({"access_token": format!("token-{}", token.0), "token_type": "Bearer",
                             "expires_in": lifetime.as_secs()});
        replies::json(StatusCode::OK, &granted)
    }

    fn is_authorised(&self, request: &HttpRequest) -> bool {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = request.headers.get("authorization").and_then(|header| header.to_str().ok());
        shown == Some(&format!("Bearer token-{}", token.0)) && self.clock.now() < token.1
    }
}

/// Whether the order comes under the consent that the customer gave anew.
fn has_new_consent(request: &HttpRequest) -> bool {
    request.headers.get("x-consent-id").is_some_and(|consent| consent == "consent-2")
}

fn created(row: &Row) -> Value {
    json!({"paymentId": row.id, "transactionStatus": row.code,
           "_links": {"scaRedirect": {"href": format!("https://bank.example/sca/{}", row.id)}}})
}

fn at_once(reply: HttpReply) -> Answered {
    Answered { reply, after: Duration::ZERO }
}
