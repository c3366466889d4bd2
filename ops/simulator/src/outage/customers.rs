//! Who pays what, when, and what they do about it: drawn from the seed by number, and kept nowhere.

use std::time::Duration;

use workflows::ids::WorkflowId;
use workflows::payment::Terms;
use workflows::time::At;

use super::days::Days;
use crate::chance::Chance;
use crate::plan::{Class, Kind, Order, Payer, Verdict};
use crate::ports::ordered;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The banks behind the aggregator, each with a queue and a ramp of its own.
pub const BANKS: [Class; 4] = [Class::KeyForEver, Class::KeyAlone, Class::KeyForAWhile, Class::Callbacks];

/// Everybody who pays.
#[derive(Clone, Copy, Debug)]
pub struct Customers {
    chance: Chance,
    days: Days,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The payment.
    pub order: Order,
    /// How long after being asked to come back the customer does, if ever.
    pub returns: Option<Duration>,
}

impl Customers {
    /// Those of a seed.
    pub fn of(chance: Chance, days: Days) -> Self {
        Customers { chance, days }
    }

    /// The one of this number.
    pub fn number(&self, number: u32) -> Customer {
        let mut chance = self.chance.fork("customer", number.into());
        let at = self.days.arrival(number, &mut chance);
        let bank = usize::try_from(chance.below(BANKS.len() as u64)).unwrap_or(0);
        let class = BANKS.get(bank).copied().unwrap_or(Class::KeyForEver);
        let payer = match chance.below(100) {
            0..85 => Payer::Approves(chance.between(3 * SECOND, 30 * SECOND)),
            85..92 => Payer::Denies(chance.between(3 * SECOND, 30 * SECOND)),
            _ => Payer::Sleeps,
        };
        let terms = terms(self.days.expiry(at, &mut chance), self.days.away, chance.hits(7_000));
        let order = Order {
            number: number.into(),
            kind: if chance.hits(6_000) { Kind::Remittance } else { Kind::QrPayment },
            class,
            at,
            minor: 10_000 + i64::try_from(chance.below(4_000_000)).unwrap_or(0),
            payee: usize::try_from(chance.below(4)).unwrap_or(0),
            terms,
            verdict: Verdict::Waits,
            payer,
            bounces: false,
            execution: 3 * SECOND,
            lapse: HOUR,
            window: None,
            lag: SECOND,
            queue: Duration::ZERO,
            cancel: None,
        };
        Customer { order, returns: chance.hits(8_000).then(|| chance.spread(MINUTE, 6 * HOUR)) }
    }
}

/// The terms as the service copies them into an order, with its settings as delivered but for these: some payments are
/// wanted for a shorter time, some start by themselves, and payers have as long to come back as the provider was away.
fn terms(queue_expiry: Duration, user_deadline: Duration, auto_start: bool) -> Terms {
    Terms {
        sca_timeout: 5 * MINUTE,
        poll_first: 2 * SECOND,
        poll_most: MINUTE,
        retry_base: SECOND,
        attempt: 35 * SECOND,
        visibility_lag: 10 * SECOND,
        agreeing_reads: 3,
        replay: Some(24 * HOUR),
        lookup: true,
        auto_start,
        user_deadline,
        overdue: 2 * HOUR,
        sla: 2 * HOUR,
        queue_expiry,
    }
}

/// The id of a customer's payment: it says whose it is.
pub fn id_of(number: u32, now: At, chance: &mut Chance) -> WorkflowId {
    WorkflowId::new(ordered(now, u128::from(chance.bits()) << 32 | u128::from(number)))
}

/// Whose payment an id names.
pub fn number_of(id: WorkflowId) -> u32 {
    u32::try_from(id.as_u128() & u128::from(u32::MAX)).unwrap_or(u32::MAX)
}
