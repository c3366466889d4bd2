//! What one client does with the service, from the start of a workflow to the end of what it waits for.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::{Ask, Client, Reply};
use crate::people;
use crate::world::{World, token};

/// Nothing is waited for.
const AT_ONCE: &str = "Prefer: wait=0\r\n";
/// As long as the service lets anybody wait.
const LONG: &str = "Prefer: wait=30\r\n";
/// How often a transaction is asked after until it is where it should be: each answer is a change.
const CHANGES: usize = 60;
/// A parked workflow waits for a day.
const A_DAY: &str = r#"{"patience":86400}"#;

/// Each step takes so long.
const FIVE_MS: &str = r#"{"workMs":5}"#;

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journey {
    /// A bench workflow from its start to its end, with the signal in between.
    Saga,
    /// The same with steps that take 5 ms each.
    Work,
    /// A bench workflow is accepted.
    Start,
    /// A bench workflow is brought to where it waits for a signal that never comes.
    Wait,
    /// A remittance from its start to its settlement, approved at the bank in between.
    Remittance,
    /// A remittance is accepted while its bank takes none: it is parked.
    Park,
}

/// How long a journey took.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Until the start was accepted.
    pub started: Duration,
    /// Until the end was heard of.
    pub ended: Duration,
}

/// One client.
pub struct Traveller {
    journey: Journey,
    service: Client,
    bank: Client,
    /// Begins every key, so that no two clients of any round share one.
    name: String,
    /// Which of the registered people it is.
    person: usize,
    made: u64,
}

impl Traveller {
    /// A client of this world. `name` is its own.
    ///
    /// # Errors
    /// When it gets no token.
    pub fn new(world: &World, journey: Journey, name: String, person: usize) -> Result<Self, String> {
        let token = match journey {
            Journey::Saga | Journey::Work | Journey::Start | Journey::Wait => token("bench", "service")?,
            Journey::Remittance | Journey::Park => token(&people::user(person), "user")?,
        };
        let bank: SocketAddr = world.bank.address;
        let (service, bank) = (Client::new(world.server(person), &token), Client::new(bank, ""));
        Ok(Traveller { journey, service, bank, name, person, made: 0 })
    }

    /// Makes the journey once.
    ///
    /// # Errors
    /// Anything but what should be.
    pub async fn travel(&mut self) -> Result<Done, String> {
        self.made += 1;
        let began = Instant::now();
        let (path, body) = match self.journey {
            Journey::Saga | Journey::Start => ("/v1/bench", String::new()),
            Journey::Work => ("/v1/bench", FIVE_MS.to_owned()),
            Journey::Wait => ("/v1/bench", A_DAY.to_owned()),
            Journey::Remittance | Journey::Park => {
                let order = json!({ "recipientId": people::recipient(self.person), "amount": "100.00" });
                ("/v1/transactions/remittance", order.to_string())
            }
        };
        let headers = format!("{AT_ONCE}Idempotency-Key: {}-{}\r\n", self.name, self.made);
        let started = self.service.ask(&Ask { method: "POST", path, headers: &headers, body: &body }).await?;
        let started = expect(started, 202, "a start")?;
        let id = text(&started, "id")?.to_owned();
        let accepted = began.elapsed();
        match self.journey {
            Journey::Start => {}
            Journey::Saga | Journey::Work => self.signal(&id).await?,
            Journey::Wait => self.reach(&id, "waiting").await?,
            Journey::Remittance => self.approve(&id).await?,
            Journey::Park => drop(self.follow(&id, |it| it["phase"] == "parked").await?),
        }
        Ok(Done { started: accepted, ended: began.elapsed() })
    }

    async fn signal(&mut self, id: &str) -> Result<(), String> {
        self.reach(id, "waiting").await?;
        let headers = format!("{LONG}Idempotency-Key: {}-{}\r\n", self.name, self.made);
        let path = format!("/v1/bench/{id}/signal");
        let ended =
            self.service.ask(&Ask { method: "POST", path: &path, headers: &headers, body: "" }).await?;
        is(&expect(ended, 200, "a signal")?, "completed")
    }

    async fn reach(&mut self, id: &str, phase: &str) -> Result<(), String> {
        let path = format!("/v1/bench/{id}");
        let read = self.service.ask(&Ask { method: "GET", path: &path, headers: LONG, body: "" }).await?;
        is(&expect(read, 200, "a workflow")?, phase)
    }

    /// The payer approves at the bank, and the browser comes back.
    async fn approve(&mut self, id: &str) -> Result<(), String> {
        let linked = self.follow(id, |it| it["scaRedirect"]["href"].is_string()).await?;
        let link = text(&linked["scaRedirect"], "href")?;
        let path = format!("{}/approve", path_of(link)?);
        let accept = "Accept: application/json\r\n";
        let approved = self.bank.ask(&Ask { method: "POST", path: &path, headers: accept, body: "" }).await?;
        let approved = expect(approved, 200, "an approval")?;
        let back = path_of(text(&approved, "redirect")?)?;
        let returned = self.service.ask(&Ask { method: "GET", path: back, headers: "", body: "" }).await?;
        expect(returned, 303, "a return")?;
        let ended = self.follow(id, |it| it["completedAt"].is_string()).await?;
        if ended["status"] == "completed" { Ok(()) } else { Err(format!("it ended otherwise: {ended}")) }
    }

    /// The transaction as soon as it is `enough`.
    async fn follow(&mut self, id: &str, enough: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let path = format!("/v1/transactions/{id}");
        let mut headers = String::new();
        let mut newest = Value::Null;
        for _ in 0..CHANGES {
            let read =
                self.service.ask(&Ask { method: "GET", path: &path, headers: &headers, body: "" }).await?;
            let etag = read.etag.clone().ok_or("a transaction without an ETag")?;
            headers = format!("{LONG}If-None-Match: {etag}\r\n");
            if read.status != 304 {
                newest = expect(read, 200, "a transaction")?;
            }
            if enough(&newest) {
                return Ok(newest);
            }
        }
        Err(format!("it does not get on: {newest}"))
    }
}

fn expect(reply: Reply, status: u16, what: &str) -> Result<Value, String> {
    if reply.status == status {
        Ok(reply.body)
    } else {
        Err(format!("{what}: {} {}", reply.status, reply.body))
    }
}

fn is(told: &Value, phase: &str) -> Result<(), String> {
    if told["phase"] == phase { Ok(()) } else { Err(format!("it is not {phase}: {told}")) }
}

fn text<'a>(of: &'a Value, name: &str) -> Result<&'a str, String> {
    of[name].as_str().ok_or_else(|| format!("no {name} in {of}"))
}

/// Path and query of an address.
fn path_of(url: &str) -> Result<&str, String> {
    let rest = url.split_once("://").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.find('/').map(|at| &rest[at..])).ok_or_else(|| format!("no path in {url}"))
}
