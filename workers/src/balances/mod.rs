//! What is on a customer's account, as its bank last said it.
//!
//! [`Balances`] answers from the cache, which is the database, and asks the bank when that is too old. The one rule: a
//! number that the bank did not say, or said too long ago, is never shown; what is not known is nothing, and never 0.
//! [`ladder`] decides how old is too old, [`reading`] asks, [`store`] keeps, and [`Admission`] is what operators and
//! breakers have to say about it.

mod admission;
mod flights;
mod guarded;
pub mod ladder;
mod memory;
mod reading;
pub mod store;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use workflows::engine::Lane;
use workflows::time::At;

pub use admission::{Admission, Entrance, Leave, Mode, Verdict};
pub use guarded::Guarded;
pub use ladder::{Figure, Shown, Source, Warning};
pub use memory::MemoryBalances;
pub use store::{
    Attendance, BalanceStore, Begun, Bounds, Cached, End, Entry, Holding, Limit, Limited, Read, ReadId,
    UNATTENDED_READS, WINDOW,
};

use self::flights::Flights;
use self::ladder::{Missed, Rules, View};
use self::reading::{Errand, Landed, Reading};
use crate::limits::Limits;
use crate::ports::{Clock, Ids};
use crate::providers::open_banking::{AccountId, ConsentId, OpenBanking};
use crate::registry::{BankAccount, Registry};
use crate::store::Trouble;

/// The operation's name in lanes: reads of accounts share one breaker for each bank.
pub const OPERATION: &str = "aisp";

/// Everything that balances need.
pub struct Parts {
    /// Where they are kept.
    pub store: Arc<dyn BalanceStore>,
    /// Where consents are marked as expired.
    pub registry: Arc<dyn Registry>,
    /// Who knows them.
    pub bank: Arc<OpenBanking>,
    /// What operators and breakers allow.
    pub admission: Arc<dyn Admission>,
    /// What the provider takes from all processes.
    pub limits: Limits,
    /// The database's time.
    pub clock: Arc<dyn Clock>,
    /// Names reads and requests.
    pub ids: Arc<dyn Ids>,
    /// How long everything may take.
    pub patience: Patience,
}

/// How long everything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// One call to the bank in all.
    pub attempt: Duration,
    /// The first pause before a repetition; it doubles twice (profile: 1, 2 and 4 s).
    pub retry_base: Duration,
    /// Somebody who can be shown an earlier balance waits for the bank so long; the read goes on behind.
    pub with_earlier: Duration,
    /// Somebody who can be shown nothing else waits so long.
    pub without: Duration,
}

impl Patience {
    /// With these times of the provider; a customer waits at most 3 s where there is something to show, and 12 s where
    /// there is not: the time of an attempt and three repetitions at a bank that answers with errors at once (FE-50).
    pub fn new(attempt: Duration, retry_base: Duration) -> Self {
        Patience {
            attempt,
            retry_base,
            with_earlier: Duration::from_secs(3),
            without: Duration::from_secs(12),
        }
    }
}

/// Whether the customer is there, and from where they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Their own device asks, from this address. The bank hears it, and the read is not counted.
    Customer(IpAddr),
    /// A backend asks on their behalf, or a job.
    Nobody,
}

impl Presence {
    /// Whether the customer is there.
    pub fn attendance(self) -> Attendance {
        match self {
            Presence::Customer(_) => Attendance::Attended,
            Presence::Nobody => Attendance::Unattended,
        }
    }
}

/// What a read was caused by, for the log and the provider's trace.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The `X-Request-ID` of the request to us.
    pub request: Option<String>,
}

/// What somebody who asks for a balance hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// This is what is known.
    Balance(Shown),
    /// The bank says nothing more until the customer renews the consent; this is what was known.
    ConsentExpired(Shown),
}

/// Balances of customers' accounts. A clone is another handle.
#[derive(Clone)]
pub struct Balances(Arc<Inner>);

struct Inner {
    reading: Arc<Reading>,
    flights: Flights,
}

impl Balances {
    /// Over these parts.
    pub fn new(parts: Parts) -> Self {
        Balances(Arc::new(Inner { reading: Arc::new(Reading(parts)), flights: Flights::default() }))
    }

    /// What is on an account. It is asked for at the bank when what is known is too old; however many ask at the same
    /// time, the bank is asked once.
    ///
    /// # Errors
    /// [`Trouble`] when the cache could not be read.
    pub async fn of(&self, account: &BankAccount, presence: Presence, cause: Cause) -> Result<Told, Trouble> {
        let Parts { store, admission, clock, patience, .. } = &self.0.reading.0;
        let lane = Lane::of(self.0.reading.provider(), &account.bank.0, OPERATION);
        let mode = admission.mode(&lane);
        if mode == Mode::Hidden {
            return Ok(Told::Balance(Shown::hidden(account.currency)));
        }
        // Nothing can be asked for without a consent, and nothing was.
        let Some(of) = holding(account) else { return Ok(Told::Balance(Shown::nothing(account.currency))) };
        let cached = store.balance(&of).await?;
        let now = clock.now();
        let view = View {
            currency: account.currency,
            cached,
            rules: Rules {
                mode,
                ttl: admission.cache_ttl(&lane),
                down: admission.is_down(&lane),
                attendance: presence.attendance(),
            },
        };
        if account.consent_expires_at.is_some_and(|end| end <= now) {
            return Ok(Told::ConsentExpired(view.kept(now)));
        }
        if let Some(shown) = view.enough(now) {
            return Ok(Told::Balance(shown));
        }
        if view.rules.down {
            return Ok(Told::Balance(view.after(Missed::Down, now)));
        }
        let errand = Errand {
            presence,
            fresh_from: now.minus(view.freshness(now)),
            has_earlier: view.has_earlier(now),
            cause,
        };
        let waits = if errand.has_earlier { patience.with_earlier } else { patience.without };
        let landed = tokio::time::timeout(waits, self.landed(of, lane, errand)).await;
        let now = clock.now();
        Ok(match landed.unwrap_or(Landed::Missed(Missed::Down)) {
            Landed::Live(entry) => Told::Balance(Shown::live(entry)),
            Landed::Fresh(entry) => Told::Balance(view.with(entry).fresh(now)),
            Landed::Missed(why) => Told::Balance(view.after(why, now)),
            Landed::ConsentExpired => Told::ConsentExpired(view.kept(now)),
        })
    }

    /// The end of the read that is under way, or of one that begins here and goes on when nobody waits for it.
    async fn landed(&self, of: Holding, lane: Lane, errand: Errand) -> Landed {
        loop {
            let reading = Arc::clone(&self.0.reading);
            let mine = errand.presence.attendance();
            let (begun, mut flight) = {
                let (of, lane, errand) = (of.clone(), lane.clone(), errand.clone());
                let read = |of: Holding| async move { reading.read(&of, &lane, &errand).await };
                self.0.flights.join(&of.clone(), mine, || read(of))
            };
            let landed = flight.landed().await;
            // What a backend may no longer do, and the single attempt that it has, do not bind the customer who waited
            // for it.
            let misses_more = match landed {
                Landed::Missed(Missed::Spent | Missed::Limited) => true,
                Landed::Missed(Missed::Down) => !self.0.reading.0.admission.is_down(&lane),
                Landed::Missed(Missed::Unusable)
                | Landed::Live(_)
                | Landed::Fresh(_)
                | Landed::ConsentExpired => false,
            };
            if begun
                || !misses_more
                || (mine, flight.attendance) != (Attendance::Attended, Attendance::Unattended)
            {
                return landed;
            }
        }
    }
}

/// The account as it is read; `None` without a consent.
fn holding(account: &BankAccount) -> Option<Holding> {
    Some(Holding {
        id: account.id.clone(),
        bank: account.bank.clone(),
        account: AccountId(account.provider_account.clone()),
        consent: ConsentId(account.provider_consent.clone()?),
        currency: account.currency,
    })
}

/// How long a read waits for its turn at the provider.
const TURN: Duration = Duration::from_secs(5);

/// Until when somebody who falls silent keeps others from reading: the wait for a turn, an attempt and the longest pause
/// behind it.
fn lease(patience: &Patience, now: At) -> At {
    now.plus(TURN).plus(patience.attempt).plus(patience.retry_base.saturating_mul(5))
}
