//! Balances over a SQLite file and a bank that does as it is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use workflows::ids::UserId;
use workflows::money::{Currency, Money};
use workflows::ports::payments::BankId;

use super::*;
use crate::controls::{self, Controls, Gate};
use crate::limits::{Limits, Pass};
use crate::ports::AnchoredClock;
use crate::providers::TokenSource;
use crate::providers::http::{HttpFault, HttpPort, HttpReply, HttpRequest};
use crate::registry::User;
use crate::store::{self, Database, MemoryStore};

const BEGIN: At = At::from_millis(1_771_833_600_000);
const KARI: Presence = Presence::Customer(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
const MINUTE: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(20);

const EXPIRED: &str = r#"{"tppMessages":[{"category":"ERROR","code":"CONSENT_EXPIRED","text":"no"}]}"#;
const EXCEEDED: &str = r#"{"tppMessages":[{"category":"ERROR","code":"ACCESS_EXCEEDED","text":"no"}]}"#;

#[tokio::test]
async fn a_balance_is_read_once_a_minute() {
    let desk = Desk::open().await;
    for (seconds, source, calls) in
        [(0, Source::Live, 1), (1, Source::Cached, 1), (60, Source::Cached, 1), (61, Source::Live, 2)]
    {
        desk.clock.set(BEGIN.plus(Duration::from_secs(seconds)));
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.source(), shown.warning, desk.calls()), (Some(source), None, calls), "{seconds} s");
        assert_eq!(shown.minor(), Some(1_500_050));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_who_ask_at_once_are_one_call_at_the_bank() {
    let desk = Arc::new(Desk::open().await);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.balance(KARI).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().minor(), Some(1_500_050));
    }
    assert_eq!(desk.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_read_one_account_at_once() {
    let desk = Desk::open().await;
    let other = desk.another_process();
    desk.bank.closes();
    let (one, two) = (desk.balances.clone(), other);
    let (first, second) = (desk.account.clone(), desk.account.clone());
    let one = tokio::spawn(async move { one.of(&first, KARI, Cause::default()).await.unwrap() });
    let two = tokio::spawn(async move { two.of(&second, KARI, Cause::default()).await.unwrap() });
    desk.bank.heard(1).await;
    desk.bank.opens();
    let sources = [one.await.unwrap(), two.await.unwrap()].map(|told| balance_of(told).source());
    assert_eq!(desk.calls(), 1);
    assert!(sources.contains(&Some(Source::Live)) && sources.contains(&Some(Source::Cached)), "{sources:?}");
}

#[tokio::test]
async fn a_customers_read_is_repeated_three_times_and_a_shut_lane_cuts_it_short() {
    for (failures, shuts_after, expected) in [
        (0, None, (Some(Source::Live), None, 1)),
        (3, None, (Some(Source::Live), None, 4)),
        (4, None, (Some(Source::Cached), Some(Warning::BankDown), 4)),
        (9, Some(3), (Some(Source::Cached), Some(Warning::BankDown), 3)),
        (9, Some(1), (Some(Source::Cached), Some(Warning::BankDown), 1)),
    ] {
        let desk = Desk::with_earlier().await;
        desk.bank.says(vec![Act::Answer(503, ""); failures]);
        desk.posted.shuts_after(shuts_after);
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.source(), shown.warning, desk.calls() - 1), expected, "{failures} {shuts_after:?}");
        assert_eq!(shown.minor(), Some(1_500_050));
    }
}

#[tokio::test]
async fn a_bank_that_is_known_to_be_down_is_not_asked() {
    let desk = Desk::with_earlier().await;
    desk.posted.shuts_after(Some(0));
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.source(), shown.warning), (Some(Source::Cached), Some(Warning::BankDown)));
    assert_eq!(desk.calls(), 1);
    let fresh = Desk::open().await;
    fresh.posted.shuts_after(Some(0));
    let shown = fresh.balance(KARI).await;
    assert_eq!((shown.minor(), shown.warning, fresh.calls()), (None, Some(Warning::BankDown), 0));
}

#[tokio::test]
async fn four_reads_a_day_go_without_the_customer() {
    let desk = Desk::open().await;
    let mut at = BEGIN;
    let mut ask = async |presence| {
        at = at.plus(MINUTE * 2);
        desk.clock.set(at);
        let shown = desk.balance(presence).await;
        (shown.source(), shown.warning, desk.calls())
    };
    for calls in 1..=4 {
        assert_eq!(ask(Presence::Nobody).await, (Some(Source::Live), None, calls));
    }
    let spent = (Some(Source::Cached), Some(Warning::Outdated));
    assert_eq!(ask(Presence::Nobody).await, (spent.0, spent.1, 4));
    assert_eq!(ask(KARI).await, (Some(Source::Live), None, 5), "the customer's own reads are not limited");
    assert_eq!(ask(Presence::Nobody).await, (spent.0, spent.1, 5));
    assert_eq!(desk.bank.attended(), [false, false, false, false, true], "the bank hears who is there");
    // The first one was two minutes after the beginning.
    desk.clock.set(BEGIN.plus(WINDOW).plus(MINUTE * 2));
    assert_eq!(desk.balance(Presence::Nobody).await.source(), Some(Source::Live));
    assert_eq!(desk.balance_later(Presence::Nobody).await.minor(), Some(1_500_050));
}

#[tokio::test]
async fn a_read_without_the_customer_is_one_attempt_and_costs_nothing_when_it_never_left() {
    let desk = Desk::open().await;
    desk.bank.says(vec![Act::Refuse; 9]);
    for calls in 1..=9 {
        let shown = desk.balance(Presence::Nobody).await;
        assert_eq!(
            (shown.warning, desk.calls()),
            (Some(Warning::BankDown), calls),
            "none is repeated or counted"
        );
    }
    desk.bank.says(vec![Act::Answer(500, ""); 9]);
    for calls in 10..=13 {
        assert_eq!(desk.balance(Presence::Nobody).await.warning, Some(Warning::BankDown));
        assert_eq!(desk.calls(), calls);
    }
    assert_eq!(
        desk.balance(Presence::Nobody).await.warning,
        Some(Warning::Outdated),
        "four may have arrived"
    );
    assert_eq!(desk.calls(), 13);
}

#[tokio::test]
async fn a_bank_that_wants_fewer_calls_is_left_alone_for_five_minutes() {
    let desk = Desk::with_earlier().await;
    desk.bank.says(vec![Act::Answer(429, EXCEEDED)]);
    let begun = desk.clock.now();
    for (seconds, warning, calls) in [
        (0, None, 2),
        (100, None, 2),
        // What is shown is 301 seconds old here, since it was read 61 seconds before.
        (240, Some(Warning::Outdated), 2),
        (300, None, 3),
    ] {
        desk.clock.set(begun.plus(Duration::from_secs(seconds)));
        let shown = desk.balance(KARI).await;
        let found = (shown.minor(), shown.warning, desk.calls());
        assert_eq!(found, (Some(1_500_050), warning, calls), "{seconds} s");
    }
}

#[tokio::test]
async fn a_bank_that_wants_fewer_calls_and_no_wait_is_asked_again_by_steps_and_then_left_alone_for_a_minute()
{
    for (refusals, source, calls) in [(3, Some(Source::Live), 4), (4, None, 4)] {
        let mut desk = Desk::open().await;
        let (clock, rows) = (Arc::new(AnchoredClock::wall()), Arc::new(Still(AtomicI64::new(0))));
        let (store, settings) = (Arc::new(MemoryStore::new(rows)), controls::Settings::default());
        let controls = Controls::open(store, clock.clone(), &Numbered, settings).await.unwrap();
        let guarded = Arc::new(Guarded::new(controls.clone()));
        desk.balances = process_under(&desk.database, &desk.bank, guarded, clock.clone());
        desk.bank.says(vec![Act::Answer(429, ""); refusals]);
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.source(), desk.calls()), (source, calls), "{refusals}");
        let of = holding(&desk.account).unwrap();
        let limited = desk.database.balances.balance(&of).await.unwrap().bounds.everybody;
        let rests = match controls.gate(&Lane::of("neonomics", "dnb", OPERATION)) {
            Gate::Open => None,
            Gate::Until(until) => Some(until),
            other @ (Gate::OneAtATime | Gate::Probed | Gate::Shut(_)) => panic!("{other:?}"),
        };
        let about_a_minute = |until: At| (MINUTE / 2..=MINUTE).contains(&until.since(clock.now()));
        assert_eq!((limited.is_some(), rests.is_some()), (refusals == 4, refusals == 4), "{refusals}");
        assert!([limited, rests].into_iter().flatten().all(about_a_minute), "{limited:?} {rests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_waits_for_a_backends_read_is_not_bound_to_its_single_attempt() {
    for (shuts_after, source, calls) in [(None, Some(Source::Live), 2), (Some(1), None, 1)] {
        let desk = Desk::open().await;
        desk.posted.shuts_after(shuts_after);
        desk.bank.says(vec![Act::Answer(500, "")]);
        desk.bank.closes();
        let asks = |presence| {
            let (balances, account) = (desk.balances.clone(), desk.account.clone());
            tokio::spawn(async move { balances.of(&account, presence, Cause::default()).await.unwrap() })
        };
        let backend = asks(Presence::Nobody);
        desk.bank.heard(1).await;
        let kari = asks(KARI);
        // Nothing says that she waits by now. When she does not yet, she reads by herself, which is as well.
        tokio::time::sleep(Duration::from_millis(200)).await;
        desk.bank.opens();
        assert_eq!(balance_of(backend.await.unwrap()).source(), None);
        assert_eq!((balance_of(kari.await.unwrap()).source(), desk.calls()), (source, calls));
    }
}

#[tokio::test]
async fn a_day_that_is_spent_by_the_banks_count_does_not_bind_the_customer() {
    let desk = Desk::with_earlier().await;
    desk.bank.says(vec![Act::Answer(429, EXCEEDED)]);
    assert_eq!(desk.balance(Presence::Nobody).await.source(), Some(Source::Cached));
    assert_eq!(desk.balance(Presence::Nobody).await.source(), Some(Source::Cached));
    assert_eq!(desk.calls(), 2);
    assert_eq!(desk.balance(KARI).await.source(), Some(Source::Live));
}

#[tokio::test]
async fn a_consent_that_the_bank_refuses_is_marked_and_not_tried_again() {
    for status in [401, 403] {
        let desk = Desk::with_earlier().await;
        desk.bank.says(vec![Act::Answer(status, EXPIRED)]);
        let told = desk.ask(KARI).await;
        let Told::ConsentExpired(shown) = told else { panic!("{told:?}") };
        assert_eq!((shown.minor(), shown.source()), (Some(1_500_050), Some(Source::Cached)));
        let stored = desk.stored().await;
        assert_eq!(stored.consent_expires_at, Some(desk.clock.now()));
        assert_eq!(stored.provider_consent.as_deref(), Some("consent-1"), "it is kept");
        let told = desk.balances.of(&stored, KARI, Cause::default()).await.unwrap();
        assert!(matches!(told, Told::ConsentExpired(_)), "{told:?}");
        assert_eq!(desk.calls(), 2);
    }
}

#[tokio::test]
async fn a_customer_does_not_wait_for_a_slow_bank_and_the_read_ends_behind() {
    let desk = Desk::with_earlier().await;
    desk.bank.closes();
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.source(), shown.warning), (Some(Source::Cached), Some(Warning::BankDown)));
    desk.bank.opens();
    let landed = async {
        loop {
            let shown = desk.balance(KARI).await;
            if shown.warning.is_none() {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let shown = tokio::time::timeout(SOON, landed).await.unwrap();
    assert_eq!((shown.minor(), desk.calls()), (Some(1_500_050), 2));
}

#[tokio::test]
async fn what_is_no_balance_of_this_account_is_never_shown() {
    let other = |kind, currency, amount| {
        format!(
            r#"{{"balances":[{{"balanceType":"{kind}","balanceAmount":{{"currency":"{currency}","amount":"{amount}"}}}}]}}"#
        )
    };
    for body in [
        r#"{"balances":[]}"#.to_owned(),
        other("expected", "EUR", "1.00"),
        other("openingBooked", "NOK", "1.00"),
        other("nonInvoiced", "NOK", "1.00"),
    ] {
        let desk = Desk::open().await;
        desk.bank.says(vec![Act::Answer(200, Box::leak(body.into_boxed_str()))]);
        let shown = desk.balance(KARI).await;
        assert_eq!((shown.minor(), shown.warning), (None, Some(Warning::Outdated)));
    }
}

#[tokio::test]
async fn an_account_that_is_linked_anew_shows_nothing_of_the_one_before() {
    let mut desk = Desk::with_earlier().await;
    desk.account.provider_account = "acc-2".to_owned();
    let registry = &desk.database.registry;
    assert!(registry.put_bank_account(&desk.account, BEGIN).await.unwrap());
    desk.bank.says(vec![Act::Answer(500, ""); 4]);
    assert_eq!(desk.balance(KARI).await.minor(), None);
}

#[tokio::test]
async fn a_balance_that_is_older_than_a_day_is_not_shown() {
    for (hours, shown) in [(24, Some(1_500_050)), (25, None)] {
        let desk = Desk::with_earlier().await;
        desk.clock.set(BEGIN.plus(MINUTE * 60 * hours));
        desk.bank.says(vec![Act::Answer(500, ""); 4]);
        let found = desk.balance(KARI).await;
        assert_eq!((found.minor(), found.warning), (shown, Some(Warning::BankDown)), "{hours} h");
    }
}

#[tokio::test]
async fn the_mode_says_how_old_a_balance_may_be_and_whether_one_is_shown() {
    let desk = Desk::with_earlier().await;
    desk.posted.mode(Mode::Cached);
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.warning, desk.calls()), (Some(Warning::Delayed(BEGIN)), 1));
    desk.clock.set(BEGIN.plus(MINUTE * 61));
    assert_eq!((desk.balance(KARI).await.source(), desk.calls()), (Some(Source::Live), 2));
    desk.posted.mode(Mode::Hidden);
    let shown = desk.balance(KARI).await;
    assert_eq!((shown.figure, shown.warning, desk.calls()), (None, Some(Warning::Hidden), 2));
}

/// Kari's account at a bank that does as it is told.
struct Desk {
    balances: Balances,
    bank: Arc<Bank>,
    posted: Arc<Posted>,
    clock: Arc<Still>,
    database: Database,
    account: BankAccount,
    _files: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", files.path().join("sluse.db").display());
        let database = store::open(&url, &store::Options::default()).await.unwrap();
        let owner: UserId = "usr_kari".parse().unwrap();
        let account = BankAccount {
            id: "bac_1".parse().unwrap(),
            owner: owner.clone(),
            bank: BankId("dnb".to_owned()),
            bank_name: "DNB".to_owned(),
            iban: "NO9386011117947".parse().unwrap(),
            provider_account: "acc-1".to_owned(),
            currency: Currency::NOK,
            provider_consent: Some("consent-1".to_owned()),
            consent_expires_at: None,
            primary: true,
        };
        let user = User {
            id: owner,
            first_name: "Kari".to_owned(),
            last_name: "Nordmann".to_owned(),
            email: None,
            phone: None,
            birth_date: None,
            kyc: crate::registry::KycStatus::Approved,
        };
        database.registry.put_user(&user, BEGIN).await.unwrap();
        assert!(database.registry.put_bank_account(&account, BEGIN).await.unwrap());
        let (bank, posted) = (Arc::new(Bank::default()), Arc::new(Posted::default()));
        let clock = Arc::new(Still(AtomicI64::new(BEGIN.as_micros())));
        let balances = process(&database, &bank, &posted, &clock);
        Desk { balances, bank, posted, clock, database, account, _files: files }
    }

    /// With a balance that was read at the beginning and is just too old.
    async fn with_earlier() -> Self {
        let desk = Desk::open().await;
        assert_eq!(desk.balance(KARI).await.source(), Some(Source::Live));
        desk.clock.set(BEGIN.plus(Duration::from_secs(61)));
        desk
    }

    fn another_process(&self) -> Balances {
        process(&self.database, &self.bank, &self.posted, &self.clock)
    }

    async fn ask(&self, presence: Presence) -> Told {
        self.balances.of(&self.account, presence, Cause::default()).await.unwrap()
    }

    async fn balance(&self, presence: Presence) -> Shown {
        balance_of(self.ask(presence).await)
    }

    async fn balance_later(&self, presence: Presence) -> Shown {
        self.clock.set(self.clock.now().plus(MINUTE * 2));
        self.balance(presence).await
    }

    async fn stored(&self) -> BankAccount {
        self.database.registry.bank_accounts(&self.account.owner).await.unwrap().remove(0)
    }

    fn calls(&self) -> usize {
        self.bank.attended().len()
    }
}

fn process(database: &Database, bank: &Arc<Bank>, posted: &Arc<Posted>, clock: &Arc<Still>) -> Balances {
    process_under(database, bank, Arc::<Posted>::clone(posted), Arc::<Still>::clone(clock))
}

fn process_under(
    database: &Database,
    bank: &Arc<Bank>,
    admission: Arc<dyn Admission>,
    clock: Arc<dyn Clock>,
) -> Balances {
    let ids: Arc<dyn Ids> = Arc::new(Numbered);
    let port: Arc<dyn HttpPort> = Arc::<Bank>::clone(bank);
    let neonomics = "neonomics".into();
    let bank = OpenBanking::over(port, neonomics, TokenSource::None, Arc::clone(&clock), Arc::clone(&ids));
    Balances::new(Parts {
        store: Arc::clone(&database.balances),
        registry: Arc::clone(&database.registry),
        bank: Arc::new(bank),
        admission,
        limits: Limits::none(),
        clock,
        ids,
        patience: Patience {
            attempt: SOON,
            retry_base: Duration::from_millis(1),
            with_earlier: Duration::from_secs(1),
            without: SOON,
        },
    })
}

fn balance_of(told: Told) -> Shown {
    match told {
        Told::Balance(shown) => shown,
        Told::ConsentExpired(_) => panic!("{told:?}"),
    }
}

impl Shown {
    fn minor(&self) -> Option<i64> {
        let kroner = |amount: Money| (amount.currency == Currency::NOK).then_some(amount.minor);
        self.figure.and_then(|figure| kroner(figure.amount))
    }

    fn source(&self) -> Option<Source> {
        self.figure.map(|figure| figure.source)
    }
}

/// What the bank does with one call.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16, &'static str),
    Refuse,
}

/// A bank that holds 15000.50 kroner and says so, unless it was told what to say.
struct Bank {
    acts: Mutex<VecDeque<Act>>,
    attended: Mutex<Vec<bool>>,
    door: Semaphore,
}

const BALANCE: &str = r#"{"balances":[
    {"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":"7.00"}},
    {"balanceType":"closingBooked","balanceAmount":{"currency":"NOK","amount":"9.00"}},
    {"balanceType":"expected","balanceAmount":{"currency":"NOK","amount":"15000.50"}}]}"#;

/// More than ever call at once.
const WIDE: u32 = 1_000;

impl Default for Bank {
    fn default() -> Self {
        let door = Semaphore::new(WIDE as usize);
        Bank { acts: Mutex::default(), attended: Mutex::default(), door }
    }
}

impl Bank {
    fn says(&self, acts: Vec<Act>) {
        *self.acts.lock().unwrap() = acts.into();
    }

    /// From here on nobody is answered.
    fn closes(&self) {
        self.door.try_acquire_many(WIDE).unwrap().forget();
    }

    fn opens(&self) {
        self.door.add_permits(WIDE as usize);
    }

    fn attended(&self) -> Vec<bool> {
        self.attended.lock().unwrap().clone()
    }

    async fn heard(&self, calls: usize) {
        let enough = async {
            while self.attended().len() < calls {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, enough).await.unwrap();
    }
}

#[async_trait]
impl HttpPort for Bank {
    async fn send(&self, request: HttpRequest, _: &Pass, _: Duration) -> Result<HttpReply, HttpFault> {
        assert!(request.target.starts_with("/v1/accounts/acc-"), "{}", request.target);
        self.attended.lock().unwrap().push(request.headers.contains_key("psu-ip-address"));
        let _entered = self.door.acquire().await.unwrap();
        let act = self.acts.lock().unwrap().pop_front();
        match act.unwrap_or(Act::Answer(200, BALANCE)) {
            Act::Answer(status, body) => Ok(HttpReply {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
            }),
            Act::Refuse => Err(HttpFault::NotSent("nobody is there")),
        }
    }
}

/// What operators and a breaker say: the breaker opens after so many reports.
#[derive(Default)]
struct Posted(Arc<Board>);

#[derive(Default)]
struct Board {
    mode: Mutex<Option<Mode>>,
    left: Mutex<Option<usize>>,
    shut: AtomicBool,
}

impl Posted {
    fn mode(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = Some(mode);
    }

    fn shuts_after(&self, reports: Option<usize>) {
        *self.0.left.lock().unwrap() = reports;
        self.0.shut.store(reports == Some(0), Ordering::SeqCst);
    }
}

#[async_trait]
impl Admission for Posted {
    fn mode(&self, _: &Lane) -> Mode {
        self.0.mode.lock().unwrap().unwrap_or(Mode::Live)
    }

    fn cache_ttl(&self, _: &Lane) -> Option<Duration> {
        None
    }

    fn is_down(&self, _: &Lane) -> bool {
        self.0.shut.load(Ordering::SeqCst)
    }

    async fn enter(&self, lane: &Lane) -> Entrance {
        assert_eq!(lane.as_str(), "neonomics/dnb/aisp");
        if self.is_down(lane) {
            Entrance::Down
        } else {
            Entrance::Open(Box::new(Posted(Arc::clone(&self.0))))
        }
    }
}

#[async_trait]
impl Leave for Posted {
    async fn brought(self: Box<Self>, _: Verdict) {
        let mut left = self.0.left.lock().unwrap();
        *left = left.map(|left| left.saturating_sub(1));
        self.0.shut.store(*left == Some(0), Ordering::SeqCst);
    }

    async fn unused(self: Box<Self>) {}
}

/// A clock that stands until it is set.
struct Still(AtomicI64);

impl Still {
    fn set(&self, at: At) {
        self.0.store(at.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for Still {
    fn now(&self) -> At {
        At::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Ids 1, 2, 3 and so on, whoever asks.
struct Numbered;

impl Ids for Numbered {
    fn ordered(&self) -> u128 {
        self.random()
    }

    fn random(&self) -> u128 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        u128::from(LAST.fetch_add(1, Ordering::SeqCst) + 1)
    }
}
