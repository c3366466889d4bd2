//! What a world is to be, drawn from its seed before it begins: banks, orders, payers, processes, and how rough it is.

use std::time::Duration;

use workflows::payment::Terms;
use workflows::time::At;

use crate::chance::Chance;
use crate::faults::Fault;
use crate::ports::Jump;
use crate::store::Away;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// How a bank treats keys, questions and time (reliability §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A: honours a key for ever.
    KeyForEver,
    /// A, and cannot be asked for a payment by its end-to-end id.
    KeyAlone,
    /// B: forgets a key after its window, which is a day or less.
    KeyForAWhile,
    /// C: knows no key, and finds a payment by its end-to-end id after a while.
    LookupAlone,
    /// D: neither; there is the statement.
    Blind,
    /// E: what it accepted it executes or rejects minutes to days later.
    Flips,
    /// F: creates a payment after the caller has stopped waiting.
    Late,
    /// G: tells by callbacks, twice and in any order; finds nothing, and seldom answers when it is asked for a status.
    Callbacks,
}

/// A world before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its seed, from which everything that is not here is drawn too.
    pub chance: Chance,
    /// What the clock shows at the beginning.
    pub epoch: At,
    /// The orders.
    pub orders: Vec<Order>,
    /// Processes over the one store.
    pub processes: usize,
    /// Steps in flight of each.
    pub hands: usize,
    /// How long their claims last.
    pub lease: Duration,
    /// How often a quiet process looks for the work of others.
    pub quiet: Duration,
    /// Whether calls need a token that has to be fetched and expires.
    pub tokens: bool,
    /// In hundredths of the usual rates of faults.
    pub mood: u32,
    /// When faults stop.
    pub calm_at: Duration,
    /// From when to when nothing behind the aggregator answers, and how.
    pub outage: Option<(Duration, Duration, Silence)>,
    /// From when to when an operator holds payments back.
    pub held: Option<(Duration, Duration)>,
    /// When the store is away, and how.
    pub store_away: Option<Away>,
    /// When the database's clock goes forward, and how far.
    pub jump: Option<Jump>,
    /// How wrong the aggregator's idea of the time is, in seconds.
    pub skew: i64,
}

/// How a provider is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No connection.
    Refuses,
    /// Connections that lead nowhere.
    Hangs,
    /// 503.
    Fails,
}

/// What is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Money abroad.
    Remittance,
    /// A purchase in a shop.
    QrPayment,
}

/// A payment that somebody wants to make.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which of the world's.
    pub number: u64,
    /// What.
    pub kind: Kind,
    /// At which bank.
    pub class: Class,
    /// When it is started.
    pub at: Duration,
    /// How much, in øre.
    pub minor: i64,
    /// To which of the payees.
    pub payee: usize,
    /// The terms that are copied into the order.
    pub terms: Terms,
    /// What the bank says to it.
    pub verdict: Verdict,
    /// What the payer does about it.
    pub payer: Payer,
    /// Whether it is rejected after its approval.
    pub bounces: bool,
    /// How long execution takes after the approval.
    pub execution: Duration,
    /// When the bank lets it lapse without an approval.
    pub lapse: Duration,
    /// For how long the bank honours its key; `None` = for ever.
    pub window: Option<Duration>,
    /// How long the bank needs to find it by its end-to-end id.
    pub lag: Duration,
    /// How long it lies in the bank's queue before it is created.
    pub queue: Duration,
    /// When somebody wants it taken back, if anybody does.
    pub cancel: Option<(Duration, Wish)>,
}

/// Who wants a payment taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Its payer.
    Payer,
    /// An operator.
    Operator,
    /// An operator, as compensation.
    Compensation,
    /// Payer and operator at once.
    Both,
}

/// What a bank says to an initiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for the payer.
    Waits,
    /// No approval is needed: it is executed by and by.
    Exempt,
    /// It is executed at once.
    AtOnce,
    /// It is created, and rejected at once.
    Rejected,
    /// It is refused with this code; nothing is created.
    Refused(&'static str),
    /// The consent has expired; nothing is created.
    Consent,
}

/// What a payer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// Approves after so long.
    Approves(Duration),
    /// Denies after so long.
    Denies(Duration),
    /// Does nothing.
    Sleeps,
}

/// One payment whose run is looked at boundary by boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Approved and executed.
    Approved,
    /// Nobody approves it.
    NobodyApproves,
    /// The bank refuses it.
    Refused,
    /// The bank wants a new consent first.
    ConsentFirst,
    /// At a bank that finds payments and knows no keys.
    Looked,
    /// At a bank that knows keys and finds nothing.
    Repeated,
    /// Nothing can be reached at first.
    Parked,
    /// Its payer takes it back.
    TakenBack,
}

impl Story {
    /// Every one.
    pub const ALL: [Story; 8] = [
        Story::Approved,
        Story::NobodyApproves,
        Story::Refused,
        Story::ConsentFirst,
        Story::Looked,
        Story::Repeated,
        Story::Parked,
        Story::TakenBack,
    ];
}

impl Plan {
    /// The world of this seed and number.
    pub fn drawn(seed: u64, number: u64, workflows: u64) -> Self {
        let chance = Chance::of(seed).fork("world", number);
        let mut draw = chance.fork("plan", 0);
        let epoch =
            At::from_millis(1_700_000_000_000 + i64::try_from(draw.below(200_000_000_000)).unwrap_or(0));
        let long = draw.hits(300);
        let most = if long { 12 * HOUR } else { 4 * MINUTE };
        let outage = draw.hits(1_500).then(|| {
            let from = draw.between(Duration::ZERO, 2 * MINUTE);
            let silence = [(Silence::Refuses, 2), (Silence::Hangs, 1), (Silence::Fails, 1)];
            let silence = draw.weighted(&silence).unwrap_or(Silence::Refuses);
            (from, from + draw.spread(MINUTE, most * 2), silence)
        });
        let held = draw.hits(1_000).then(|| {
            let from = draw.between(Duration::ZERO, 2 * MINUTE);
            (from, from + draw.spread(MINUTE, 2 * most))
        });
        let store_away = draw.hits(2_000).then(|| {
            let faults = [(Fault::StoreRestarts, 2), (Fault::DiskFull, 1), (Fault::PoolEmpty, 1)];
            let fault = draw.weighted(&faults).unwrap_or(Fault::StoreRestarts);
            let from = draw.between(Duration::ZERO, 3 * MINUTE);
            Away { from, to: from + draw.spread(2 * SECOND, 5 * MINUTE), fault, id: draw.bits() }
        });
        let jump = draw
            .hits(500)
            .then(|| Jump { at: draw.between(Duration::ZERO, 6 * MINUTE), by: draw.spread(SECOND, HOUR) });
        let over = |window: Option<Duration>| window.unwrap_or_default();
        let calm_at = (8 * MINUTE).max(over(outage.map(|(_, to, _)| to))).max(over(held.map(|(_, to)| to)));
        let pace = if long { 10 * MINUTE } else { MINUTE };
        let orders = (0..workflows).map(|which| Order::drawn(chance.fork("order", which), which, long, pace));
        Plan {
            chance,
            epoch,
            orders: orders.collect(),
            processes: draw.weighted(&[(1, 4), (2, 4), (3, 2)]).unwrap_or(1),
            hands: draw.weighted(&[(4, 1), (16, 2), (64, 4)]).unwrap_or(16),
            lease: draw.weighted(&[(10 * SECOND, 3), (3 * SECOND, 1), (MINUTE, 1)]).unwrap_or(10 * SECOND),
            quiet: draw.weighted(&[(Duration::from_millis(1_050), 1), (30 * SECOND, 9)]).unwrap_or(SECOND),
            tokens: draw.hits(3_000),
            mood: draw.weighted(&[(30, 2), (100, 5), (300, 2)]).unwrap_or(100),
            calm_at,
            outage,
            held,
            store_away,
            jump,
            skew: i64::try_from(draw.below(7_200)).unwrap_or(0) - 3_600,
        }
    }

    /// One order, two processes, no fault but those of a script.
    pub fn told(kind: Kind, story: Story) -> Self {
        let drawn = Plan::drawn(0, 0, 1);
        let class = match story {
            Story::Looked => Class::LookupAlone,
            Story::Repeated => Class::KeyAlone,
            Story::Approved
            | Story::NobodyApproves
            | Story::Refused
            | Story::ConsentFirst
            | Story::Parked
            | Story::TakenBack => Class::KeyForEver,
        };
        let order = drawn.orders.into_iter().map(|order| Order {
            kind,
            class,
            at: SECOND,
            terms: terms(class, None, (true, false), MINUTE),
            verdict: if story == Story::Refused {
                Verdict::Refused("INVALID_IBAN")
            } else if story == Story::ConsentFirst {
                Verdict::Consent
            } else {
                Verdict::Waits
            },
            payer: if story == Story::NobodyApproves { Payer::Sleeps } else { Payer::Approves(8 * SECOND) },
            bounces: false,
            execution: 3 * SECOND,
            lapse: HOUR,
            window: None,
            lag: SECOND,
            queue: Duration::ZERO,
            cancel: (story == Story::TakenBack).then_some((4 * SECOND, Wish::Payer)),
            ..order
        });
        Plan {
            orders: order.collect(),
            processes: 2,
            hands: 16,
            lease: 10 * SECOND,
            quiet: 3 * SECOND,
            tokens: false,
            mood: 0,
            calm_at: 2 * MINUTE,
            outage: (story == Story::Parked).then_some((Duration::ZERO, 30 * SECOND, Silence::Refuses)),
            held: None,
            store_away: None,
            jump: None,
            ..Plan::drawn(0, 0, 0)
        }
    }

    /// The order of this number, if there is one.
    pub fn order(&self, number: u64) -> Option<&Order> {
        self.orders.iter().find(|order| order.number == number)
    }
}

impl Order {
    fn drawn(mut chance: Chance, number: u64, long: bool, pace: Duration) -> Self {
        let class = [
            (Class::KeyForEver, 4),
            (Class::KeyAlone, 2),
            (Class::KeyForAWhile, 2),
            (Class::LookupAlone, 4),
            (Class::Blind, 2),
            (Class::Flips, 2),
            (Class::Late, 2),
            (Class::Callbacks, 2),
        ];
        let class = chance.weighted(&class).unwrap_or(Class::KeyForEver);
        let longest_lag = if class == Class::LookupAlone {
            LONGEST_QUEUE + 30 * SECOND
        } else if class == Class::Late {
            30 * SECOND
        } else {
            SECOND
        };
        let lag = chance.between(Duration::ZERO, longest_lag);
        let keyed = chance.hits(5_000);
        let window = (class == Class::KeyForAWhile).then(|| {
            let windows = [(24 * HOUR, 1), (5 * MINUTE, 2), (20 * MINUTE, 1)];
            chance.weighted(&windows).unwrap_or(HOUR)
        });
        let terms = terms(class, window, (keyed, chance.hits(5_000)), pace);
        let end = terms.sca_timeout;
        let payer = match chance.below(100) {
            0..55 => Payer::Approves(chance.between(SECOND, 20 * SECOND)),
            55..65 => Payer::Approves(chance.between(20 * SECOND, 4 * MINUTE)),
            65..73 => Payer::Denies(chance.between(SECOND, MINUTE)),
            73..83 => {
                // At the very deadline, which begins when we hear of the payment.
                Payer::Approves(end.saturating_sub(SECOND) + chance.between(Duration::ZERO, 3 * SECOND))
            }
            83..90 => Payer::Approves(end + chance.between(SECOND, 10 * MINUTE)),
            _ => Payer::Sleeps,
        };
        let verdict = match chance.below(100) {
            0..82 => Verdict::Waits,
            82..86 => Verdict::Exempt,
            86..88 => Verdict::AtOnce,
            88..90 => Verdict::Rejected,
            90..92 => Verdict::Consent,
            92..94 => Verdict::Refused("INVALID_IBAN"),
            94..97 => Verdict::Refused("INSUFFICIENT_FUNDS"),
            _ => Verdict::Refused("SECURITY_BLOCK"),
        };
        let execution = if class == Class::Flips {
            chance.spread(MINUTE, if long { 40 * HOUR } else { 20 * MINUTE })
        } else {
            chance.between(Duration::ZERO, 20 * SECOND)
        };
        let cancel = chance.hits(1_200).then(|| {
            let wish = [(Wish::Payer, 4), (Wish::Operator, 2), (Wish::Compensation, 2), (Wish::Both, 2)];
            let at = chance.spread(Duration::from_millis(5), 8 * MINUTE);
            (at, chance.weighted(&wish).unwrap_or(Wish::Payer))
        });
        Order {
            number,
            kind: if chance.hits(6_000) { Kind::Remittance } else { Kind::QrPayment },
            class,
            at: chance.between(Duration::ZERO, MINUTE),
            minor: 10_000 + i64::try_from(chance.below(4_000_000)).unwrap_or(0),
            payee: usize::try_from(chance.below(4)).unwrap_or(0),
            terms,
            verdict,
            payer,
            bounces: chance.hits(600),
            execution,
            lapse: chance.spread(12 * MINUTE, HOUR),
            window,
            lag,
            queue: if class == Class::Late {
                chance.between(Duration::ZERO, LONGEST_QUEUE)
            } else {
                Duration::ZERO
            },
            cancel,
        }
    }
}

/// For so long at most a request is under way, and for so long a bank of class F leaves it in its queue.
pub const LONGEST_WIRE: Duration = Duration::from_secs(30);
const LONGEST_QUEUE: Duration = Duration::from_mins(1);
/// For so long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(40);

/// What the policy says of a bank of this class (reliability §2.4): a key is used within its window, and absence counts
/// after the lag and the longest way.
fn terms(class: Class, window: Option<Duration>, (keyed, auto_start): (bool, bool), pace: Duration) -> Terms {
    let key = Some(window.unwrap_or(24 * HOUR));
    let (replay, lookup) = match class {
        Class::KeyForEver => (key, true),
        Class::KeyForAWhile => (key, keyed),
        Class::KeyAlone | Class::Callbacks => (key, false),
        Class::LookupAlone => (None, true),
        Class::Blind => (None, false),
        Class::Flips | Class::Late => (key.filter(|_| keyed), true),
    };
    Terms {
        sca_timeout: 5 * MINUTE,
        poll_first: 2 * SECOND,
        poll_most: pace,
        retry_base: SECOND,
        attempt: ATTEMPT,
        visibility_lag: LONGEST_WIRE + LONGEST_QUEUE + ATTEMPT,
        agreeing_reads: 3,
        replay,
        lookup,
        auto_start,
        user_deadline: 24 * HOUR,
        overdue: 2 * HOUR,
        sla: 2 * HOUR,
        queue_expiry: 48 * HOUR,
    }
}
