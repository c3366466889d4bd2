//! What an outage came to: figures, each beside its bound.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::latency::{Latencies, percentile};
use super::scene::LIMIT;
use super::verdict::Ends;
use crate::breach::Breach;

/// What the process may take: 256 MiB.
pub const MOST_MEMORY: u64 = 256 << 20;
/// Of a hundred of the calls that the provider takes, so many are used while something waits.
pub const LEAST_USED: f64 = 90.0;
/// So many times as long as in an empty database may a start take.
pub const MOST_SLOWER: f64 = 2.0;

/// What an outage came to.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Payments in all.
    pub payments: u32,
    /// For how long the provider was away.
    pub away: Duration,
    /// How many were to wait in the queue at once,
    pub wanted: u32,
    /// and the most that did.
    pub most_parked: u32,
    /// Payments that were left in the queue, or under way.
    pub left_over: u32,
    /// What became of them.
    pub ends: Ends,
    /// How the queue was let through.
    pub drain: Drain,
    /// The most calls that arrived in any second.
    pub most_in_a_second: usize,
    /// The most calls that were open at once.
    pub most_at_once: usize,
    /// Calls that met nobody while the provider was away.
    pub knocks: u64,
    /// The longest that any but one of a hundred new payments needed to the bank while the queue was let through.
    pub newcomers: Duration,
    /// How long starts took.
    pub latencies: Latencies,
    /// The most memory that the process ever had, in bytes; `None` where nobody says.
    pub memory: Option<u64>,
    /// What must not happen and did.
    pub breaches: Vec<Breach>,
    /// How long it lasted there, and here.
    pub lasted: (Duration, Duration),
}

/// How a queue was let through, as the provider counted it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drain {
    /// From the provider's return until the queue was empty.
    pub long: Duration,
    /// Payments that were sent in that time, for each second after the ramp.
    pub payments_per_second: f64,
    /// Calls that a payment took.
    pub calls_each: f64,
    /// The calls used of a hundred that the provider would have taken, over all of that time.
    pub used: f64,
    /// The same, after the last stage of the ramp.
    pub used_after_ramp: f64,
}

/// A figure beside its bound.
pub struct Figure {
    what: &'static str,
    found: String,
    bound: String,
    /// Whether it is within its bound.
    pub kept: bool,
}

impl Report {
    /// Every figure that has a bound.
    pub fn figures(&self) -> Vec<Figure> {
        let Report { ends, drain, latencies, .. } = self;
        let (full, empty) = (percentile(&latencies.parked, 99), percentile(&latencies.empty, 99));
        let slower = full.as_secs_f64() / empty.as_secs_f64().max(f64::MIN_POSITIVE);
        let figure = |what, found: String, bound: String, kept| Figure { what, found, bound, kept };
        let at_most = |what, found: usize, bound: u32| {
            figure(
                what,
                found.to_string(),
                format!("<= {bound}"),
                u32::try_from(found).is_ok_and(|n| n <= bound),
            )
        };
        let none = |what, found: usize| figure(what, found.to_string(), "0".to_owned(), found == 0);
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        vec![
            figure(
                "payments in the queue at once",
                self.most_parked.to_string(),
                format!(">= {}", self.wanted),
                self.most_parked >= self.wanted,
            ),
            none("payments left in the queue or under way", count(self.left_over)),
            none("sent after they had run out in the queue", count(ends.sent_expired)),
            none("violations: double, lost, failed but paid, told wrongly", self.breaches.len()),
            figure(
                "calls used of those allowed, after the ramp",
                format!("{:.1} %", drain.used_after_ramp),
                format!(">= {LEAST_USED} %"),
                drain.used_after_ramp >= LEAST_USED,
            ),
            at_most("most calls in any second", self.most_in_a_second, LIMIT.per_second),
            at_most("most calls at once", self.most_at_once, LIMIT.in_flight),
            figure(
                "start p99 with the queue full, of that with none",
                format!("{slower:.2} x ({} / {})", millis(full), millis(empty)),
                format!("<= {MOST_SLOWER} x"),
                slower <= MOST_SLOWER,
            ),
            figure(
                "most memory of this process",
                self.memory.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20)),
                format!("< {} MiB", MOST_MEMORY >> 20),
                self.memory.is_some_and(|bytes| bytes < MOST_MEMORY),
            ),
        ]
    }

    /// Whether every figure is within its bound.
    pub fn is_kept(&self) -> bool {
        self.figures().iter().all(|figure| figure.kept)
    }

    /// As one JSON object.
    pub fn to_json(&self) -> String {
        let figures: Vec<_> = self
            .figures()
            .into_iter()
            .map(|Figure { what, found, bound, kept }| {
                json!({"what": what, "found": found, "bound": bound, "kept": kept})
            })
            .collect();
        let Report { ends, drain, .. } = self;
        let report = json!({
            "seed": self.seed, "payments": self.payments, "mostParked": self.most_parked,
            "completed": ends.completed, "unapproved": ends.unapproved, "expired": ends.expired,
            "abandoned": ends.abandoned, "knocks": self.knocks, "drainSeconds": drain.long.as_secs(),
            "paymentsPerSecond": drain.payments_per_second, "callsEach": drain.calls_each,
            "usedPercent": drain.used, "usedAfterRampPercent": drain.used_after_ramp,
            "newcomersP99Ms": self.newcomers.as_millis(), "figures": figures,
            "violations": self.breaches.iter().map(|breach| format!("{breach:?}")).collect::<Vec<_>>(),
            "simulatedSeconds": self.lasted.0.as_secs(), "tookSeconds": self.lasted.1.as_secs(),
        });
        report.to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { ends, drain, latencies, .. } = self;
        writeln!(
            f,
            "seed {}: {} payments, the provider away for {} h, {} in the queue when it came back",
            self.seed,
            self.payments,
            self.away.as_secs() / 3_600,
            self.most_parked
        )?;
        writeln!(
            f,
            "  {} settled, {} not approved, {} ran out in the queue, {} never came back",
            ends.completed, ends.unapproved, ends.expired, ends.abandoned
        )?;
        writeln!(
            f,
            "  queue empty after {} min; then {:.1} payments/s at {:.1} calls each, {:.1} % of the calls allowed from \
             the first minute on",
            drain.long.as_secs() / 60,
            drain.payments_per_second,
            drain.calls_each,
            drain.used
        )?;
        writeln!(
            f,
            "  new payments meanwhile: p99 {} from start to bank; {} calls met nobody during the outage",
            millis(self.newcomers),
            self.knocks
        )?;
        writeln!(
            f,
            "  start p50 {} with the queue full, {} with none, {} starts of each timed",
            millis(percentile(&latencies.parked, 50)),
            millis(percentile(&latencies.empty, 50)),
            latencies.parked.len()
        )?;
        let (there, here) = self.lasted;
        writeln!(f, "  {} simulated hours in {} s", there.as_secs() / 3_600, here.as_secs())?;
        for Figure { what, found, bound, kept } in self.figures() {
            let mark = if kept { "ok" } else { "MISSED" };
            writeln!(f, "{mark:>7}  {what:<56} {found:>26}  {bound}")?;
        }
        for breach in self.breaches.iter().take(20) {
            writeln!(
                f,
                "VIOLATION of {} with payment {:?}: {}",
                breach.rule.id(),
                breach.order,
                breach.what
            )?;
        }
        Ok(())
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
