//! From what was counted to what is reported: runs, their figures, and the spread over several runs.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// One run at an even load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// Workflows that were done in it.
    pub done: usize,
    /// In a second.
    pub per_second: f64,
    /// From sending a start to its acceptance.
    pub start: Option<Latency>,
    /// From sending a start to hearing of the end.
    pub end_to_end: Option<Latency>,
    /// CPU of the service for each workflow, in milliseconds.
    pub server_cpu_ms: Option<f64>,
    /// CPU of PostgreSQL for each workflow, in milliseconds. SQLite works inside the service.
    pub database_cpu_ms: Option<f64>,
    /// Commits for each workflow, claims and housekeeping included.
    pub commits: Option<f64>,
    /// Bytes of the write-ahead log for each workflow.
    pub log_bytes: Option<f64>,
    /// Rows written for each workflow, where the database counts them.
    pub rows: Option<f64>,
    /// Of a hundred claims of due tasks, 99 took at most so many milliseconds; a bound of the service's histogram.
    pub claim_p99_ms: Option<f64>,
    /// Statements a second while nothing was to be done.
    pub queries_per_s: Option<f64>,
    /// From the start of a process that was killed to the end of the first workflow, in milliseconds.
    pub restart_ms: Option<f64>,
    /// Resident memory of the service at the end, in megabytes.
    pub server_rss_mb: Option<f64>,
    /// How much of one processor the load generator took, in percent: near 100 it is what is measured.
    pub generator_cpu: Option<f64>,
    /// How much of one processor everybody else on the machine took, in percent: what these figures were short of.
    pub others_cpu: Option<f64>,
}

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half of them were faster.
    pub p50: f64,
    /// 95 of a hundred.
    pub p95: f64,
    /// 99 of a hundred.
    pub p99: f64,
}

impl Latency {
    /// Of these; nothing of none.
    pub fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        let at = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100).max(1) - 1;
            all.get(rank).map(|one| one.as_secs_f64() * 1_000.0)
        };
        Some(Latency { p50: at(50)?, p95: at(95)?, p99: at(99)? })
    }
}

/// A figure of a run: its name with its unit, and how to read it.
type Figure = (&'static str, fn(&Run) -> Option<f64>);

/// What is reported of each run, in this order.
const FIGURES: [Figure; 19] = [
    ("workflows_per_s", |run| (run.per_second > 0.0).then_some(run.per_second)),
    ("start_p50_ms", |run| run.start.map(|start| start.p50)),
    ("start_p95_ms", |run| run.start.map(|start| start.p95)),
    ("start_p99_ms", |run| run.start.map(|start| start.p99)),
    ("end_to_end_p50_ms", |run| run.end_to_end.map(|end| end.p50)),
    ("end_to_end_p95_ms", |run| run.end_to_end.map(|end| end.p95)),
    ("end_to_end_p99_ms", |run| run.end_to_end.map(|end| end.p99)),
    ("server_cpu_ms", |run| run.server_cpu_ms),
    ("database_cpu_ms", |run| run.database_cpu_ms),
    ("cpu_ms", |run| run.server_cpu_ms.map(|server| server + run.database_cpu_ms.unwrap_or(0.0))),
    ("commits", |run| run.commits),
    ("log_bytes", |run| run.log_bytes),
    ("rows", |run| run.rows),
    ("claim_p99_ms", |run| run.claim_p99_ms),
    ("queries_per_s", |run| run.queries_per_s),
    ("restart_ms", |run| run.restart_ms),
    ("server_rss_mb", |run| run.server_rss_mb),
    ("generator_cpu_percent", |run| run.generator_cpu),
    ("others_cpu_percent", |run| run.others_cpu),
];

/// The least, the middle and the most of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one; of two, the mean.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of these; nothing of none.
    pub fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_unstable_by(f64::total_cmp);
        let (lower, upper) = (*all.get((all.len().checked_sub(1)?) / 2)?, *all.get(all.len() / 2)?);
        Some(Spread { min: *all.first()?, median: f64::midpoint(lower, upper), max: *all.last()? })
    }
}

/// Every figure of these runs that there is.
pub fn spreads(runs: &[Run]) -> Vec<(&'static str, Spread)> {
    let spread = |(name, read): Figure| {
        let all: Vec<f64> = runs.iter().filter_map(read).collect();
        Some((name, Spread::of(all)?))
    };
    FIGURES.into_iter().filter_map(spread).collect()
}

/// The same as JSON.
pub fn as_json(spreads: &[(&'static str, Spread)]) -> Value {
    Value::Object(
        spreads.iter().map(|(name, spread)| ((*name).to_owned(), json!(spread))).collect::<Map<_, _>>(),
    )
}

/// A count for each of so many.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub fn share(count: usize, of: f64) -> f64 {
    if of > 0.0 { count as f64 / of } else { 0.0 }
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let all = (1..=200).map(Duration::from_millis).rev().collect();
        let latency = Latency::of(all).unwrap();
        assert_eq!((latency.p50, latency.p95, latency.p99), (100.0, 190.0, 198.0));
        let one = Latency::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert!(Latency::of(vec![]).is_none());
    }

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        for (all, expected) in [
            (vec![3.0, 1.0, 2.0], Some((1.0, 2.0, 3.0))),
            (vec![4.0, 1.0], Some((1.0, 2.5, 4.0))),
            (vec![], None),
        ] {
            let spread = Spread::of(all).map(|spread| (spread.min, spread.median, spread.max));
            assert_eq!(spread, expected);
        }
    }
}
