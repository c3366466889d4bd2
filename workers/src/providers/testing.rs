//! What the tests of this folder share: questions, a clock and ids that do as they are told, and a bank on a loopback
//! socket that answers, stays silent or hangs up as scripted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;
use workflows::accounts::{Bban, Country, Iban};
use workflows::ids::{EndToEndId, TransactionId};
use workflows::money::{Currency, Money};
use workflows::ports::payments::{
    BankId, CreditorAccount, Initiation, Product, ProviderPaymentId, ReplayKey,
};
use workflows::ports::{Call, PaymentsCall};
use workflows::text::Private;
use workflows::time::At;

use super::Context;
use crate::limits::Pass;
use crate::ports::{Clock, Ids};

/// One attempt with five seconds.
pub(super) fn context() -> Context {
    Context {
        pass: Pass::unlimited(),
        request_id: Uuid::from_u128(0x11),
        timeout: Duration::from_secs(5),
        traceparent: None,
        caused_by: None,
    }
}

/// A payment abroad to an IBAN, with everything that can be said about it.
pub(super) fn initiation() -> Initiation {
    let iban = |text| Iban::parse(text).expect("a vector of the contract");
    Initiation {
        replay_key: Some(ReplayKey::of(0x0190_0000_0000_7000_8000_0000_0000_0007)),
        product: Product::CreditTransfer,
        bank: bank(),
        consent: Some("cns-1".to_owned()),
        redirect_uri: "http://localhost:8080/v1/payments/callback?state=s1".to_owned(),
        psu_ip: Some("192.0.2.7".parse().expect("an address")),
        debtor: iban("NO9386011117947"),
        amount: Money::new(200_000, Currency::NOK),
        creditor_name: Private::from("Marko Petrovic".to_owned()),
        creditor: CreditorAccount::Iban(iban("RS35265000000123456757")),
        creditor_agent: Some("RZBSRSBG".parse().expect("a BIC")),
        end_to_end: end_to_end(),
        remittance_information: Private::from("Drop remittance tx-7".to_owned()),
    }
}

/// A payment in Norway to a national number, with nothing that can be left out.
pub(super) fn bare_initiation() -> Initiation {
    let bban = Bban::parse("NO".parse::<Country>().expect("a country"), "86011117947");
    Initiation {
        replay_key: None,
        product: Product::Domestic,
        consent: None,
        psu_ip: None,
        creditor: CreditorAccount::Bban(bban.expect("a vector of the contract")),
        creditor_agent: None,
        ..initiation()
    }
}

pub(super) fn bank() -> BankId {
    BankId("dnb".to_owned())
}

pub(super) fn end_to_end() -> EndToEndId {
    EndToEndId::of(TransactionId::new(7))
}

pub(super) fn pay() -> PaymentsCall {
    PaymentsCall::Initiate(Box::new(initiation()))
}

/// Every question about a payment, by the name of its operation.
pub(super) fn every_call() -> Vec<(&'static str, Call)> {
    let payment = ProviderPaymentId("pay_1".to_owned());
    let calls = [
        ("initiate", pay()),
        ("status", PaymentsCall::Status { bank: bank(), payment: payment.clone() }),
        ("locate", PaymentsCall::Locate { bank: bank(), end_to_end: end_to_end() }),
        ("cancel", PaymentsCall::Cancel { bank: bank(), payment }),
        ("probe", PaymentsCall::Probe { bank: bank() }),
    ];
    calls.into_iter().map(|(operation, call)| (operation, Call::Payments(call))).collect()
}

/// A clock that stands until it is moved.
#[derive(Default)]
pub(super) struct Standing(AtomicI64);

impl Standing {
    pub(super) fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).expect("a test's time is short");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Standing {
    fn now(&self) -> At {
        At::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Ids 1, 2, 3 and so on.
#[derive(Default)]
pub(super) struct Counted(AtomicU64);

impl Ids for Counted {
    fn ordered(&self) -> u128 {
        self.random()
    }

    fn random(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// What the bank does with one connection.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Reads the request, writes these bytes and closes.
    Answer(String),
    /// Reads the request and closes.
    Close,
    /// Reads the request and resets the connection.
    Reset,
    /// Resets the connection before it has read anything.
    ResetUnread,
    /// Reads the request and says nothing more.
    Hang,
    /// Reads the request, writes these bytes and says nothing more.
    AnswerAndHang(String),
    /// Reads the request, writes a head, and then a byte of the body at each interval for ever.
    Drip(Duration),
}

/// An answer with a length, as bytes.
pub(super) fn answer(status: &str, body: &str) -> Act {
    Act::Answer(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

/// A bank on a loopback socket: one act for each connection, in order; then it refuses.
pub(super) struct ScriptedBank {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl ScriptedBank {
    pub(super) async fn new(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let heard = Arc::new(Mutex::new(vec![]));
        let ears = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut hanging = vec![];
            for act in acts {
                let Ok((stream, _)) = listener.accept().await else { return };
                hanging.extend(play(stream, act, &ears).await);
            }
            drop(listener);
            std::future::pending::<()>().await;
        });
        ScriptedBank { url, heard, task }
    }

    /// The requests as they came, head and body.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no panic under the lock").clone()
    }
}

impl Drop for ScriptedBank {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives back a connection that has to stay open.
async fn play(mut stream: TcpStream, act: Act, ears: &Mutex<Vec<String>>) -> Option<TcpStream> {
    if matches!(act, Act::ResetUnread) {
        stream.set_zero_linger().expect("a TCP socket");
        return None;
    }
    let request = read_request(&mut stream).await;
    ears.lock().expect("no panic under the lock").push(request);
    match act {
        Act::Answer(text) => {
            // A client that has read enough may hang up while this is written.
            let _ = stream.write_all(text.as_bytes()).await;
            None
        }
        Act::Close => None,
        Act::Reset | Act::ResetUnread => {
            stream.set_zero_linger().expect("a TCP socket");
            None
        }
        Act::Hang => Some(stream),
        Act::AnswerAndHang(text) => {
            stream.write_all(text.as_bytes()).await.expect("the client listens");
            Some(stream)
        }
        Act::Drip(interval) => {
            let head = b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n";
            stream.write_all(head).await.expect("the client listens");
            let mut ticks = tokio::time::interval(interval);
            loop {
                ticks.tick().await;
                if stream.write_all(b" ").await.is_err() {
                    return None;
                }
            }
        }
    }
}

pub(super) async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}
