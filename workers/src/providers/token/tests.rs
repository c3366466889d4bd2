use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use http::HeaderMap;
use tokio::sync::Semaphore;

use super::*;
use crate::providers::http::Sendings;
use crate::providers::testing::{Counted, Standing};

const LONG: Duration = Duration::from_secs(5);

/// What the desk does with one request.
#[derive(Debug)]
enum Said {
    Reply(u16, String),
    Nothing(HttpFault),
}

/// A token desk that answers once it may, in the order of its script.
struct Desk {
    script: Mutex<VecDeque<Said>>,
    asked: AtomicUsize,
    open: Semaphore,
    form: Mutex<String>,
}

#[async_trait]
impl HttpPort for Desk {
    async fn send(&self, request: HttpRequest, _: &Pass, _: Duration) -> Result<HttpReply, HttpFault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!((&request.method, request.target.as_str()), (&Method::POST, "/auth/token"));
        assert_eq!(request.sendings, Sendings::Several);
        *self.form.lock().expect("no panic") = String::from_utf8(request.body.to_vec()).expect("text");
        let pass = self.open.acquire().await.expect("never closed");
        drop(pass);
        match self.script.lock().expect("no panic").pop_front().expect("scripted") {
            Said::Reply(status, body) => {
                let status = StatusCode::from_u16(status).expect("a status");
                Ok(HttpReply { status, headers: HeaderMap::new(), body: Bytes::from(body) })
            }
            Said::Nothing(fault) => Err(fault),
        }
    }
}

struct Setting {
    tokens: Tokens,
    desk: Arc<Desk>,
    clock: Arc<Standing>,
}

fn free() -> Pass {
    Pass::unlimited()
}

fn granted(token: &str, expires_in: u64) -> Said {
    let body = format!(r#"{{"access_token":"{token}","expires_in":{expires_in},"token_type":"Bearer"}}"#);
    Said::Reply(200, body)
}

fn said(status: u16, body: &str) -> Said {
    Said::Reply(status, body.to_owned())
}

fn setting(script: Vec<Said>) -> Setting {
    let source =
        TokenSource::ClientCredentials { id: "slu se&".to_owned(), secret: SecretString::from("s=cret") };
    let desk = Arc::new(Desk {
        script: Mutex::new(script.into()),
        asked: AtomicUsize::new(0),
        open: Semaphore::new(1),
        form: Mutex::default(),
    });
    let clock = Arc::new(Standing::default());
    let tokens = Tokens::new(source, desk.clone(), clock.clone(), Arc::new(Counted::default()));
    Setting { tokens, desk, clock }
}

impl Setting {
    fn asked(&self) -> usize {
        self.desk.asked.load(Ordering::SeqCst)
    }

    async fn token(&self) -> Outcome<String> {
        self.tokens.bearer(&free(), LONG).await.map(|bearer| shown(&bearer))
    }
}

fn shown(bearer: &Bearer) -> String {
    let header = bearer.header.as_ref().expect("there is a token");
    assert!(header.is_sensitive());
    header.to_str().expect("ASCII").to_owned()
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_it_expires() {
    let setting = setting(vec![granted("one", 3600), granted("two", 10), granted("three", 10)]);
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer one"));
    assert_eq!(
        *setting.desk.form.lock().expect("no panic"),
        "grant_type=client_credentials&client_id=slu%20se%26&client_secret=s%3Dcret"
    );
    setting.clock.advance(Duration::from_secs(3569));
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer one"));
    setting.clock.advance(Duration::from_secs(1));
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer two"));
    setting.clock.advance(Duration::from_secs(8));
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer two"));
    setting.clock.advance(Duration::from_secs(1));
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer three"));
}

#[tokio::test]
async fn all_who_wait_share_one_fetch_and_its_result() {
    let broken = Said::Nothing(HttpFault::Unknown("the connection broke before an answer"));
    for (script, expected) in [
        (granted("one", 3600), Ok("Bearer one".to_owned())),
        (broken, Err(Setback::NotSent("no token"))),
        (said(401, "{}"), Err(credential())),
    ] {
        let setting = setting(vec![script]);
        let shut = setting.desk.open.acquire().await.expect("never closed");
        let waiting = join_all((0..50).map(|_| setting.token()));
        let opening = async {
            // By then the other fifty have asked and wait.
            tokio::task::yield_now().await;
            drop(shut);
        };
        let (tokens, ()) = tokio::join!(waiting, opening);
        assert!(tokens.iter().all(|token| *token == expected), "{tokens:?}");
        assert_eq!(setting.asked(), 1);
    }
}

#[tokio::test]
async fn many_who_were_refused_with_one_token_share_the_next() {
    let setting = setting(vec![granted("one", 3600), granted("two", 3600)]);
    let first = setting.tokens.bearer(&free(), LONG).await.expect("granted");
    let pass = free();
    let others = join_all((0..50).map(|_| setting.tokens.another(&first, &pass, LONG))).await;
    for other in others {
        assert_eq!(shown(&other.expect("granted").expect("there can be another")), "Bearer two");
    }
    assert_eq!(setting.asked(), 2);
}

#[tokio::test]
async fn a_failed_fetch_is_not_remembered() {
    let setting = setting(vec![said(503, ""), granted("one", 3600)]);
    assert_eq!(setting.token().await, Err(Setback::NotSent("no token")));
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer one"));
}

#[tokio::test]
async fn a_token_that_cannot_be_had_is_never_an_unknown_outcome() {
    let odd = Setback::NotSent("the token's answer is not readable");
    let none = Setback::NotSent("no token");
    let table = [
        (said(401, ""), credential()),
        (said(403, "<html>"), credential()),
        (said(400, r#"{"error":"invalid_client"}"#), credential()),
        (said(400, r#"{"error":"invalid_request"}"#), none.clone()),
        (said(429, "{}"), none.clone()),
        (said(500, "{}"), none.clone()),
        (said(302, ""), none.clone()),
        (said(200, ""), odd.clone()),
        (said(200, r#"{"access_token":"","expires_in":1}"#), odd.clone()),
        (said(200, "{\"access_token\":\"a\\nb\",\"expires_in\":1}"), odd.clone()),
        (said(200, r#"{"access_token":"a","expires_in":-1}"#), odd.clone()),
        (said(200, r#"{"access_token":"a","expires_in":1,"token_type":"mac"}"#), odd),
        (Said::Nothing(HttpFault::Unknown("no answer in time")), none.clone()),
        (Said::Nothing(HttpFault::NotSent("no connection")), none),
    ];
    for (script, expected) in table {
        let name = format!("{script:?}");
        assert_eq!(setting(vec![script]).token().await, Err(expected), "{name}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_token_longer_than_the_attempt_may_take() {
    let setting = setting(vec![granted("late", 3600)]);
    let _shut = setting.desk.open.acquire().await.expect("never closed");
    let short = Duration::from_millis(20);
    for outcome in
        join_all([setting.tokens.bearer(&free(), short), setting.tokens.bearer(&free(), short)]).await
    {
        assert_eq!(outcome.err(), Some(Setback::NotSent("no token in time")));
    }
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_says_even_if_that_is_absurd() {
    let setting = setting(vec![
        granted("for ever", u64::MAX),
        said(200, r#"{"access_token":"once"}"#),
        said(200, r#"{"access_token":"twice"}"#),
    ]);
    let first = setting.tokens.bearer(&free(), LONG).await.expect("granted");
    setting.clock.advance(Duration::from_hours(24 * 365));
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer for ever"));
    assert!(setting.tokens.another(&first, &free(), LONG).await.is_ok());
    assert_eq!(setting.token().await.as_deref(), Ok("Bearer twice"));
}

#[tokio::test]
async fn a_key_is_sent_as_it_is_and_there_is_no_other() {
    let (http, ids): (Arc<Desk>, _) = (setting(vec![]).desk, Arc::new(Counted::default()));
    let source = TokenSource::StaticKey(SecretString::from("key"));
    assert!(!format!("{source:?}").contains("key"), "a secret shows in Debug");
    let tokens = Tokens::new(source, http.clone(), Arc::new(Standing::default()), ids.clone());
    let bearer = tokens.bearer(&free(), LONG).await.expect("a key");
    assert_eq!(shown(&bearer), "Bearer key");
    assert!(tokens.another(&bearer, &free(), LONG).await.expect("no fault").is_none());

    let tokens = Tokens::new(TokenSource::None, http.clone(), Arc::new(Standing::default()), ids.clone());
    assert!(tokens.bearer(&free(), LONG).await.expect("nothing to fetch").header.is_none());

    let source = TokenSource::StaticKey(SecretString::from("a\nb"));
    let tokens = Tokens::new(source, http, Arc::new(Standing::default()), ids);
    assert_eq!(tokens.bearer(&free(), LONG).await.err(), Some(UNUSABLE));
}
