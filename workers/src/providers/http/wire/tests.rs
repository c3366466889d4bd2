use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::super::{BODY_LIMIT, HttpFault, HttpPort, HttpRequest};
use super::{Unusable, Waits, Wire};
use crate::limits::Pass;
use crate::providers::testing::{Act, ScriptedBank, answer, read_request};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(10);

fn wire(base: &str) -> Wire {
    reading(base, LONG)
}

fn reading(base: &str, read: Duration) -> Wire {
    let waits = Waits { connect: LONG, read, retry_base: Duration::from_millis(1) };
    Wire::open(base, waits).expect("an address")
}

fn post() -> HttpRequest {
    HttpRequest::new(Method::POST, "/v1/payments/domestic-transfer").json(&["body"]).expect("plain")
}

fn get() -> HttpRequest {
    HttpRequest::new(Method::GET, "/banks")
}

async fn fault(base: &str, request: HttpRequest) -> HttpFault {
    wire(base).send(request, &Pass::unlimited(), LONG).await.err().expect("there is no answer")
}

#[tokio::test]
async fn what_may_have_left_is_unknown_and_is_sent_once() {
    let head = |length: usize| format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n");
    let chunked = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n".to_owned();
    let large = " ".repeat(BODY_LIMIT + 1);
    let table = [
        (Act::ResetUnread, "the connection broke before an answer"),
        (Act::Reset, "the connection broke before an answer"),
        (Act::Close, "the connection broke before an answer"),
        (Act::Answer("HTTP/1.1 201 Cre".to_owned()), "the connection broke before an answer"),
        (Act::Answer("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned()), "the connection broke before an answer"),
        (Act::Answer(head(100) + "{\"paymentId\":"), "the answer broke off"),
        (Act::Answer(head(BODY_LIMIT + 1) + &large), "the answer is too large"),
        (Act::Answer(chunked + &large), "the answer is too large"),
        (Act::Hang, "no answer in time"),
        (Act::AnswerAndHang("HTTP/1.1 201 Created\r\n".to_owned()), "no answer in time"),
        (Act::AnswerAndHang(head(100) + "{"), "no answer in time"),
    ];
    for (act, why) in table {
        let unread = matches!(act, Act::ResetUnread);
        let read = if why == "no answer in time" { SHORT } else { LONG };
        let name = format!("{act:.60?}");
        let bank = ScriptedBank::new(vec![act]).await;
        let outcome = reading(&bank.url, read).send(post(), &Pass::unlimited(), LONG).await;
        assert_eq!(outcome.err(), Some(HttpFault::Unknown(why)), "{name}");
        assert_eq!(bank.heard().len(), usize::from(!unread), "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off_by_the_time_for_all_of_it() {
    let bank = ScriptedBank::new(vec![Act::Drip(SHORT / 5)]).await;
    let outcome = wire(&bank.url).send(post(), &Pass::unlimited(), SHORT * 4).await;
    assert_eq!(outcome.err(), Some(HttpFault::Unknown("no answer in time")));
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    assert_eq!(fault(&base, post()).await, HttpFault::NotSent("no connection"));
}

#[tokio::test]
async fn a_tls_handshake_that_fails_or_does_not_end_proves_that_nothing_left() {
    let waits = Waits { connect: SHORT, read: LONG, retry_base: SHORT };
    for (said, why) in [("no TLS here\r\n\r\n", "no connection"), ("", "no connection in time")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("https://{}", listener.local_addr().expect("bound"));
        let bank = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.write_all(said.as_bytes()).await.expect("it listens");
            read_request(&mut stream).await
        });
        let outcome =
            Wire::open(&base, waits).expect("an address").send(post(), &Pass::unlimited(), LONG).await;
        assert_eq!(outcome.err(), Some(HttpFault::NotSent(why)));
        let heard = bank.await.expect("the bank lives");
        assert!(!heard.contains("POST"), "{heard}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_proves_that_nothing_left() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("bound");
    // Nobody accepts, so the queue fills up and the kernel drops what comes after.
    let mut queue = vec![];
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(stream);
        assert!(queue.len() < 64, "this kernel queues without end");
    }
    let waits = Waits { connect: SHORT, read: LONG, retry_base: SHORT };
    let wire = Wire::open(&format!("http://{address}"), waits).expect("an address");
    let outcome = wire.send(post(), &Pass::unlimited(), LONG).await;
    assert_eq!(outcome.err(), Some(HttpFault::NotSent("no connection in time")));
    drop(listener);
}

#[tokio::test]
async fn a_request_that_a_kept_connection_lost_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let bank = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("it listens");
        let second = read_request(&mut stream).await;
        drop(stream);
        let third = tokio::time::timeout(SHORT, listener.accept()).await;
        (second, third.is_ok())
    });
    let wire = wire(&base);
    assert!(wire.send(get(), &Pass::unlimited(), LONG).await.is_ok());
    let outcome = wire.send(post(), &Pass::unlimited(), LONG).await;
    assert_eq!(outcome.err(), Some(HttpFault::Unknown("the connection broke before an answer")));
    let (second, came_again) = bank.await.expect("the bank lives");
    assert!(second.starts_with("POST /v1/payments/domestic-transfer"), "{second}");
    assert!(!came_again);
}

#[tokio::test]
async fn any_status_is_an_answer_and_a_redirect_is_not_followed() {
    for status in ["200 OK", "307 Temporary Redirect", "404 Not Found", "500 Internal Server Error"] {
        let elsewhere = ScriptedBank::new(vec![answer("200 OK", "{}")]).await;
        let head =
            format!("HTTP/1.1 {status}\r\nLocation: {}/\r\nContent-Length: 2\r\n\r\n{{}}", elsewhere.url);
        let bank = ScriptedBank::new(vec![Act::Answer(head)]).await;
        let reply = wire(&bank.url)
            .send(post(), &Pass::unlimited(), LONG)
            .await
            .unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(reply.status, status[..3].parse::<StatusCode>().expect("a status"));
        assert_eq!(&reply.body[..], b"{}");
        assert!(elsewhere.heard().is_empty(), "{status} was followed");
    }
}

#[tokio::test]
async fn only_what_may_be_sent_several_times_is_sent_again() {
    let acts = || {
        vec![
            answer("503 Service Unavailable", "{}"),
            Act::Reset,
            answer("200 OK", "{}"),
            answer("200 OK", "{}"),
        ]
    };
    let bank = ScriptedBank::new(acts()).await;
    let reply = wire(&bank.url)
        .send(get().several(), &Pass::unlimited(), LONG)
        .await
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!((reply.status, bank.heard().len()), (StatusCode::OK, 3));

    for request in [get(), post(), HttpRequest::new(Method::DELETE, "/v1/payments/pay_1")] {
        let bank = ScriptedBank::new(acts()).await;
        let reply = wire(&bank.url)
            .send(request, &Pass::unlimited(), LONG)
            .await
            .unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!((reply.status, bank.heard().len()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    }
}

#[tokio::test]
async fn a_read_that_fails_each_time_ends_with_what_the_last_attempt_brought() {
    let bank = ScriptedBank::new(vec![Act::Reset; 4]).await;
    assert_eq!(
        fault(&bank.url, get().several()).await,
        HttpFault::Unknown("the connection broke before an answer")
    );
    assert_eq!(bank.heard().len(), 4);
    let too_many = vec![answer("429 Too Many Requests", "{}"); 2];
    let bank = ScriptedBank::new(too_many).await;
    let reply = wire(&bank.url)
        .send(get().several(), &Pass::unlimited(), LONG)
        .await
        .unwrap_or_else(|fault| panic!("{fault:?}"));
    assert_eq!((reply.status, bank.heard().len()), (StatusCode::TOO_MANY_REQUESTS, 1));
}

#[tokio::test]
async fn an_address_that_means_another_resource_is_not_asked() {
    let bank = ScriptedBank::new(vec![answer("200 OK", "{}")]).await;
    for target in ["/v1/payments/../banks", "/v1/payments/%2e%2E/status", "/v1/a b", "v1", "@example.com/"] {
        let request = HttpRequest::new(Method::GET, target);
        let expected = HttpFault::NotSent("the address could not be built");
        assert_eq!(fault(&bank.url, request).await, expected, "{target}");
    }
    assert!(bank.heard().is_empty());
}

#[test]
fn a_base_address_is_of_the_web_and_bare() {
    let waits = Waits { connect: SHORT, read: SHORT, retry_base: SHORT };
    for base in [
        "",
        "localhost:1",
        "ftp://bank",
        "http://",
        "http://bank/?q",
        "http://bank/#f",
        "http://me:pw@bank/",
        "http://:pw@bank/",
    ] {
        assert!(matches!(Wire::open(base, waits), Err(Unusable::Address)), "{base}");
    }
    for base in ["http://127.0.0.1:1", "https://bank.example/base/"] {
        assert!(Wire::open(base, waits).is_ok(), "{base}");
    }
}
