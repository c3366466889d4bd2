//! Kari's account over a SQLite file, at a bank that does as it is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use workflows::ids::UserId;
use workflows::money::{Currency, Money};
use workflows::ports::payments::BankId;

use super::super::*;
use super::{BEGIN, KARI, MINUTE, SOON};
use crate::limits::{Limits, Pass};
use crate::providers::TokenSource;
use crate::providers::http::{HttpFault, HttpPort, HttpReply, HttpRequest};
use crate::registry::User;
use crate::store::{self, Database};

/// Kari's account at a bank that does as it is told.
pub(super) struct Desk {
    pub(super) balances: Balances,
    pub(super) bank: Arc<Bank>,
    pub(super) posted: Arc<Posted>,
    pub(super) clock: Arc<Still>,
    pub(super) database: Database,
    pub(super) account: BankAccount,
    _files: TempDir,
}

impl Desk {
    pub(super) async fn open() -> Self {
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
    pub(super) async fn with_earlier() -> Self {
        let desk = Desk::open().await;
        assert_eq!(desk.balance(KARI).await.source(), Some(Source::Live));
        desk.clock.set(BEGIN.plus(Duration::from_secs(61)));
        desk
    }

    pub(super) fn another_process(&self) -> Balances {
        process(&self.database, &self.bank, &self.posted, &self.clock)
    }

    pub(super) async fn ask(&self, presence: Presence) -> Told {
        self.balances.of(&self.account, presence, Cause::default()).await.unwrap()
    }

    pub(super) async fn balance(&self, presence: Presence) -> Shown {
        balance_of(self.ask(presence).await)
    }

    pub(super) async fn balance_later(&self, presence: Presence) -> Shown {
        self.clock.set(self.clock.now().plus(MINUTE * 2));
        self.balance(presence).await
    }

    pub(super) async fn stored(&self) -> BankAccount {
        self.database.registry.bank_accounts(&self.account.owner).await.unwrap().remove(0)
    }

    pub(super) fn calls(&self) -> usize {
        self.bank.attended().len()
    }
}

pub(super) fn process(
    database: &Database,
    bank: &Arc<Bank>,
    posted: &Arc<Posted>,
    clock: &Arc<Still>,
) -> Balances {
    process_under(database, bank, Arc::<Posted>::clone(posted), Arc::<Still>::clone(clock))
}

pub(super) fn process_under(
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

pub(super) fn balance_of(told: Told) -> Shown {
    match told {
        Told::Balance(shown) => shown,
        Told::ConsentExpired(_) => panic!("{told:?}"),
    }
}

impl Shown {
    pub(super) fn minor(&self) -> Option<i64> {
        let kroner = |amount: Money| (amount.currency == Currency::NOK).then_some(amount.minor);
        self.figure.and_then(|figure| kroner(figure.amount))
    }

    pub(super) fn source(&self) -> Option<Source> {
        self.figure.map(|figure| figure.source)
    }
}

/// What the bank does with one call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Answer(u16, &'static str),
    Refuse,
}

/// A bank that holds 15000.50 kroner and says so, unless it was told what to say.
pub(super) struct Bank {
    pub(super) acts: Mutex<VecDeque<Act>>,
    pub(super) attended: watch::Sender<Vec<bool>>,
    pub(super) door: Semaphore,
}

pub(super) const BALANCE: &str = r#"{"balances":[
    {"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":"7.00"}},
    {"balanceType":"closingBooked","balanceAmount":{"currency":"NOK","amount":"9.00"}},
    {"balanceType":"expected","balanceAmount":{"currency":"NOK","amount":"15000.50"}}]}"#;

/// More than ever call at once.
pub(super) const WIDE: u32 = 1_000;

impl Default for Bank {
    fn default() -> Self {
        let door = Semaphore::new(WIDE as usize);
        Bank { acts: Mutex::default(), attended: watch::Sender::default(), door }
    }
}

impl Bank {
    pub(super) fn says(&self, acts: Vec<Act>) {
        *self.acts.lock().unwrap() = acts.into();
    }

    /// From here on nobody is answered.
    pub(super) fn closes(&self) {
        self.door.try_acquire_many(WIDE).unwrap().forget();
    }

    pub(super) fn opens(&self) {
        self.door.add_permits(WIDE as usize);
    }

    pub(super) fn attended(&self) -> Vec<bool> {
        self.attended.borrow().clone()
    }

    pub(super) async fn heard(&self, calls: usize) {
        let mut attended = self.attended.subscribe();
        let enough = attended.wait_for(|attended| attended.len() >= calls);
        tokio::time::timeout(SOON, enough).await.unwrap().unwrap();
    }
}

#[async_trait]
impl HttpPort for Bank {
    async fn send(&self, request: HttpRequest, _: &Pass, _: Duration) -> Result<HttpReply, HttpFault> {
        assert!(request.target.starts_with("/v1/accounts/acc-"), "{}", request.target);
        let attended = request.headers.contains_key("psu-ip-address");
        self.attended.send_modify(|all| all.push(attended));
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
pub(super) struct Posted(Arc<Board>);

#[derive(Default)]
pub(super) struct Board {
    pub(super) mode: Mutex<Option<Mode>>,
    pub(super) left: Mutex<Option<usize>>,
    pub(super) shut: AtomicBool,
}

impl Posted {
    pub(super) fn mode(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = Some(mode);
    }

    pub(super) fn shuts_after(&self, reports: Option<usize>) {
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
pub(super) struct Still(pub(super) AtomicI64);

impl Still {
    pub(super) fn set(&self, at: At) {
        self.0.store(at.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for Still {
    fn now(&self) -> At {
        At::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Ids 1, 2, 3 and so on, whoever asks.
pub(super) struct Numbered;

impl Ids for Numbered {
    fn ordered(&self) -> u128 {
        self.random()
    }

    fn random(&self) -> u128 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        u128::from(LAST.fetch_add(1, Ordering::SeqCst) + 1)
    }
}
