//! The line from one process to the aggregator: what leaves, what arrives, what comes back, and what becomes of it on
//! the way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use workers::limits::Pass;
use workers::ports::Clock as _;
use workers::providers::http::{HttpFault, HttpPort, HttpReply, HttpRequest};
use workers::store::{Store, TaskRow};
use workflows::payment::Terms;

use crate::bank::{Asked, Bank, proxy, too_many};
use crate::boundary::Edge;
use crate::breach::Rule;
use crate::chance::Chance;
use crate::faults::{Fault, Faults, Rates, Strike};
use crate::host::{Crossed, Host};
use crate::judge::Judge;
use crate::plan::{LONGEST_WIRE, Plan, Silence};
use crate::registry;

/// A process' line.
pub struct Line {
    /// Whose.
    pub host: Arc<Host>,
    /// Where it leads.
    pub bank: Arc<Bank>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// Who watches.
    pub judge: Arc<Judge>,
    /// The store of the world, to see what was committed before a request arrived.
    pub store: Arc<dyn Store>,
    /// The operator's switch, with when it was last moved.
    pub switch: Held,
}

/// Since when the operator has held payments back, while they do.
#[derive(Clone, Default)]
pub struct Held {
    /// Since when.
    pub since: Arc<std::sync::Mutex<Option<workflows::time::At>>>,
}

/// How long a process may take to hear of a change.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// What a request may meet.
const CALLS: &Rates = &[
    (Fault::ConnectionRefused, 150),
    (Fault::ResetBefore, 100),
    (Fault::ResetAfter, 150),
    (Fault::ReplyLost, 150),
    (Fault::ReplyLate, 80),
    (Fault::RequestSlow, 80),
    (Fault::ReplyTruncated, 60),
    (Fault::ReplyOversized, 40),
    (Fault::ReplyAlien, 60),
    (Fault::ErrorBefore, 120),
    (Fault::ErrorAfter, 120),
    (Fault::TooManyWithWish, 60),
    (Fault::TooMany, 40),
    (Fault::TokenExpired, 40),
    (Fault::RequestDuplicated, 80),
];

/// The most that a fault-free way takes, there and back.
const USUAL_WAY: Duration = Duration::from_millis(80);

/// What is asked.
#[derive(Clone, Copy)]
struct Question {
    place: &'static str,
    number: u64,
}

#[async_trait]
impl HttpPort for Line {
    async fn send(&self, request: HttpRequest, _: &Pass, within: Duration) -> Result<HttpReply, HttpFault> {
        let question = self.question(&request);
        let name = || question.place.to_owned();
        if question.place == INITIATE {
            self.judge_leaving(&request, question).await;
        }
        self.host.cross(question.place, question.number, &name, Edge::Before).await;
        let answer = self.exchange(request, within, question).await;
        if self.host.cross(question.place, question.number, &name, Edge::After).await == Crossed::Unanswered {
            return Err(HttpFault::Unknown("the answer was lost"));
        }
        answer
    }
}

impl Line {
    async fn exchange(
        &self,
        request: HttpRequest,
        within: Duration,
        question: Question,
    ) -> Result<HttpReply, HttpFault> {
        if let Some(silence) = self.silence() {
            return silent(silence, within).await;
        }
        let mut usual = self.judge.plan.chance.fork(question.place, question.number);
        let way = usual.between(Duration::from_millis(1), USUAL_WAY);
        let blow = self.faults.threat(question.place, question.number, CALLS);
        let blow = blow.filter(|blow| self.matters(blow.fault(), question));
        let (fault, mut chance) = (blow.map(|blow| blow.fault()), blow.map_or(usual, |blow| blow.chance));
        let strikes = || {
            if let Some(blow) = &blow {
                self.faults.struck(blow);
            }
        };
        let early = [
            Fault::ConnectionRefused,
            Fault::ResetBefore,
            Fault::ErrorBefore,
            Fault::TooManyWithWish,
            Fault::TooMany,
            Fault::TokenExpired,
            Fault::RequestSlow,
            Fault::RequestDuplicated,
        ];
        if fault.is_some_and(|fault| early.contains(&fault)) {
            strikes();
        }
        match fault {
            Some(Fault::ConnectionRefused) => return Err(HttpFault::NotSent("no connection")),
            Some(Fault::ResetBefore) => return Err(HttpFault::Unknown("the connection was reset")),
            Some(Fault::ErrorBefore) => {
                sleep(way).await;
                return Ok(failure(chance));
            }
            Some(Fault::TooManyWithWish) => {
                sleep(way).await;
                return Ok(too_many(Some(&self.wish(chance))));
            }
            Some(Fault::TooMany) => return Ok(too_many(None)),
            Some(Fault::TokenExpired) => return Ok(expired()),
            _ => {}
        }
        let there = match fault {
            Some(Fault::RequestSlow) => chance.spread(Duration::from_millis(200), LONGEST_WIRE),
            _ => way,
        };
        let answered = self.deliver(request, there, fault, question);
        let reply = timeout(within, answered).await;
        if reply.is_ok() {
            strikes();
        }
        match (fault, reply) {
            (Some(Fault::ResetAfter), Ok(_)) => Err(HttpFault::Unknown("the connection was reset")),
            (Some(Fault::ReplyLost | Fault::ReplyLate), Ok(_)) => {
                sleep(within.saturating_sub(there)).await;
                Err(HttpFault::Unknown("no answer in time"))
            }
            (Some(Fault::ReplyOversized), Ok(_)) => Err(HttpFault::Unknown("the answer is too long")),
            (Some(Fault::ErrorAfter), Ok(_)) => Ok(failure(chance)),
            (Some(Fault::ReplyTruncated), Ok(Some(reply))) => {
                let half = reply.body.len() / 2;
                Ok(HttpReply { body: reply.body.slice(..half), ..reply })
            }
            (Some(Fault::ReplyAlien), Ok(Some(reply))) => {
                let body = Bytes::from_static(br#"{"data":{"id":7,"state":"DONE"}}"#);
                Ok(HttpReply { body, ..reply })
            }
            (_, Ok(Some(reply))) => Ok(reply),
            (_, Ok(None) | Err(_)) => Err(HttpFault::Unknown("no answer in time")),
        }
    }

    /// Sends the request on its way, from where nothing brings it back: whoever stops waiting does not stop it.
    fn deliver(
        &self,
        request: HttpRequest,
        there: Duration,
        fault: Option<Fault>,
        question: Question,
    ) -> impl Future<Output = Option<HttpReply>> + use<> {
        let (answer, answered) = oneshot::channel();
        let (bank, judge, store) = (Arc::clone(&self.bank), Arc::clone(&self.judge), Arc::clone(&self.store));
        let under_way = bank.sets_out();
        tokio::spawn(async move {
            let _under_way = under_way;
            sleep(there).await;
            if question.place == INITIATE {
                judge_arrival(&judge, &*store, &request).await;
            }
            let first = bank.answer(&request);
            let again = fault == Some(Fault::RequestDuplicated);
            sleep(first.after).await;
            // Whoever asked may have stopped waiting.
            let _ = answer.send(first.reply);
            if again {
                sleep(there).await;
                bank.answer(&request);
            }
        });
        async { answered.await.ok() }
    }

    /// Whether a fault has any effect on a question.
    fn matters(&self, fault: Fault, question: Question) -> bool {
        (fault != Fault::TokenExpired || self.judge.plan.tokens)
            && (fault != Fault::RequestDuplicated || may_come_twice(&self.judge, question))
    }

    /// How the aggregator is away at this moment, if it is.
    fn silence(&self) -> Option<Silence> {
        let Judge { plan, clock, .. } = &*self.judge;
        let (from, to, silence) = plan.outage?;
        let now = clock.now().since(plan.epoch);
        if now < from || to <= now {
            return None;
        }
        self.faults.took_place(Strike { id: outage_id(plan), fault: Fault::Outage });
        Some(silence)
    }

    fn wish(&self, mut chance: Chance) -> String {
        let wait = chance.spread(Duration::from_secs(1), Duration::from_mins(5));
        if chance.hits(5_000) {
            return wait.as_secs().to_string();
        }
        // A date, of a clock that may be wrong.
        let now = self.judge.clock.now().plus(wait).utc() + chrono::Duration::seconds(self.judge.plan.skew);
        now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// A payment leaves under a claim that holds, and not while the operator has held payments back for longer than an
    /// attempt lasts. Where a token is fetched first, the claim may lapse on the way from the fence to here; and while a
    /// process has not heard yet that its database's clock went forward, its claims lapse for all others at once.
    async fn judge_leaving(&self, request: &HttpRequest, question: Question) {
        let now = self.judge.clock.now();
        let since = *self.switch.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let attempt = self.terms(question.number).map_or(Duration::ZERO, |terms| terms.attempt);
        if since.is_some_and(|since| now.since(since) > attempt + HEARS_WITHIN) {
            let what = "a payment left while payments are held back".to_owned();
            self.judge.breaches.add(Rule::Held, Some(question.number), what);
        }
        let asked = Asked::of(request);
        let id = asked.and_then(|asked| registry::instance(asked.text("/endToEndIdentification")));
        let (Some(id), false) = (id, self.judge.plan.tokens || self.judge.clocks_differ()) else { return };
        let Ok(tasks) = self.store.tasks(id).await else { return };
        let ours = |row: &TaskRow| {
            row.task.name.as_str() == INITIATE && row.lease.as_ref() == self.host.node() && row.due_at > now
        };
        if !tasks.iter().any(ours) {
            self.judge.breach(Rule::SingleWriter, id, "a payment left under a claim that is gone".to_owned());
        }
    }

    fn terms(&self, number: u64) -> Option<&Terms> {
        self.judge.plan.order(number).map(|order| &order.terms)
    }

    fn question(&self, request: &HttpRequest) -> Question {
        let path = request.target.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let of_id = |id: &str| {
            let mut ledger = self.bank.ledger();
            let place = ledger.of_id(id);
            place.and_then(|place| ledger.at(place).map(|row| row.number)).unwrap_or(u64::MAX)
        };
        let of_end_to_end =
            |id: &str| self.judge.registry.of_end_to_end(id).map_or(u64::MAX, |(number, _)| number);
        let (place, number) = match (&request.method, segments.as_slice()) {
            (&Method::POST, ["v1", "payments", _]) => {
                let asked = Asked::of(request);
                (
                    INITIATE,
                    asked.map_or(u64::MAX, |asked| of_end_to_end(asked.text("/endToEndIdentification"))),
                )
            }
            (&Method::GET, ["v1", "payments", id, "status"]) => ("status", of_id(id)),
            (&Method::DELETE, ["v1", "payments", id]) => ("cancel", of_id(id)),
            (&Method::GET, ["v1", "payments"]) => {
                let id = request.target.split_once("endToEndIdentification=").map_or("", |(_, id)| id);
                ("locate", of_end_to_end(id))
            }
            (_, ["auth", "token"]) => ("token", u64::MAX),
            _ => ("banks", u64::MAX),
        };
        Question { place, number }
    }
}

const INITIATE: &str = "initiate";

/// Names the outage of a world among its faults.
pub fn outage_id(plan: &Plan) -> u64 {
    plan.chance.fork("outage", 0).bits()
}

/// Whatever arrives was committed before: the instance, the key and the very order.
async fn judge_arrival(judge: &Judge, store: &dyn Store, request: &HttpRequest) {
    let Some(asked) = Asked::of(request) else { return };
    let Some(id) = registry::instance(asked.text("/endToEndIdentification")) else { return };
    let breach = |what: &str| judge.breach(Rule::NoOrphan, id, what.to_owned());
    let Ok(Some(instance)) = store.load(id).await else {
        return breach("the bank was asked for what nobody committed");
    };
    let order: serde_json::Value = serde_json::from_str(&instance.order).unwrap_or_default();
    let of = |pointer: &str| order.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let initiation = "/payment/initiation";
    let key = of(&format!("{initiation}/replay_key"));
    if !key.is_empty() && key != asked.key {
        return breach("the key is not the committed one");
    }
    let minor = order.pointer(&format!("{initiation}/amount/minor")).and_then(serde_json::Value::as_i64);
    let same = [
        (of(&format!("{initiation}/debtor")), asked.text("/debtorAccount/iban")),
        (of(&format!("{initiation}/creditor/iban")), asked.creditor()),
        (of(&format!("{initiation}/end_to_end")), asked.text("/endToEndIdentification")),
    ];
    if same.iter().any(|(committed, said)| committed != said) || minor != asked.minor() {
        breach("the body is not the committed one");
    }
}

/// A request that a proxy repeats: of an order without a key that is a second order, which nobody at our end can see.
fn may_come_twice(judge: &Judge, question: Question) -> bool {
    let keyed = judge.plan.order(question.number).is_some_and(|order| order.terms.replay.is_some());
    question.place != INITIATE || keyed
}

async fn silent(silence: Silence, within: Duration) -> Result<HttpReply, HttpFault> {
    match silence {
        Silence::Refuses => Err(HttpFault::NotSent("no connection")),
        Silence::Hangs => {
            sleep(within).await;
            Err(HttpFault::Unknown("no answer in time"))
        }
        Silence::Fails => Ok(proxy(StatusCode::SERVICE_UNAVAILABLE)),
    }
}

fn failure(mut chance: Chance) -> HttpReply {
    let statuses = [
        (StatusCode::INTERNAL_SERVER_ERROR, 1),
        (StatusCode::BAD_GATEWAY, 1),
        (StatusCode::SERVICE_UNAVAILABLE, 1),
        (StatusCode::GATEWAY_TIMEOUT, 1),
    ];
    proxy(chance.weighted(&statuses).unwrap_or(StatusCode::BAD_GATEWAY))
}

fn expired() -> HttpReply {
    HttpReply { status: StatusCode::UNAUTHORIZED, headers: http::HeaderMap::new(), body: Bytes::new() }
}
