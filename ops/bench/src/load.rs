//! The closed loop: so many clients, each of which begins its next journey when its last one is over.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::claims::Claims;
use crate::database::Counts;
use crate::figures::{Latency, Run, number, share};
use crate::journey::{Done, Journey, Traveller};
use crate::machine;
use crate::world::World;

/// How a load is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Pace {
    /// Seconds of load before the first run.
    #[arg(long, global = true, default_value_t = 3)]
    pub warmup: u64,
    /// Seconds of a run.
    #[arg(long, global = true, default_value_t = 10)]
    pub seconds: u64,
    /// Runs, one after the other under the same load.
    #[arg(long, global = true, default_value_t = 3)]
    pub runs: usize,
}

/// One journey, when it was over.
struct Over {
    at: Instant,
    done: Done,
}

/// What the clients share.
#[derive(Default)]
struct Shared {
    over: Mutex<Vec<Over>>,
    stop: AtomicBool,
    /// How many may still begin, where they are counted.
    left: Option<AtomicUsize>,
}

/// What everything had taken at a moment.
struct Reading {
    at: Instant,
    counts: Counts,
    server_cpu_ms: u64,
    claims: Claims,
    own_cpu_ms: u64,
    busy_ms: u64,
}

/// Measures so many clients on this journey. `name` begins their keys and is used once in a world.
///
/// # Errors
/// When any journey does not go as it should: what is measured then is not what was meant.
pub async fn measure(
    world: &World,
    journey: Journey,
    clients: usize,
    pace: Pace,
    name: &str,
) -> Result<Vec<Run>, String> {
    let shared = Arc::<Shared>::default();
    let mut travelling = travel(world, journey, clients, name, &shared)?;
    let watching = async {
        sleep(Duration::from_secs(pace.warmup)).await;
        let mut readings = vec![Reading::take(world).await?];
        for _ in 0..pace.runs {
            sleep(Duration::from_secs(pace.seconds)).await;
            readings.push(Reading::take(world).await?);
        }
        Ok::<_, String>((readings, number(world.rss_kb()) / 1024.0))
    };
    let (readings, rss) = tokio::select! {
        watched = watching => watched?,
        ended = all(&mut travelling) => return Err(ended.err().unwrap_or_else(|| "they all stopped".to_owned())),
    };
    shared.stop.store(true, Ordering::Relaxed);
    all(&mut travelling).await?;
    let over = std::mem::take(&mut *shared.over.lock().unwrap_or_else(PoisonError::into_inner));
    let runs = readings.iter().zip(&readings[1..]);
    Ok(runs.map(|(begin, end)| Run { server_rss_mb: Some(rss), ..run(begin, end, &over) }).collect())
}

/// Makes so many journeys in all, and answers how many were made in a second.
///
/// # Errors
/// When any of them does not go as it should.
pub async fn make(
    world: &World,
    journey: Journey,
    clients: usize,
    count: usize,
    name: &str,
) -> Result<f64, String> {
    let shared = Arc::new(Shared { left: Some(AtomicUsize::new(count)), ..Shared::default() });
    let began = Instant::now();
    all(&mut travel(world, journey, clients, name, &shared)?).await?;
    Ok(share(count, began.elapsed().as_secs_f64()))
}

/// Leaves everything alone for so long, and answers how many statements the service asked the database meanwhile.
///
/// # Errors
/// When the database does not answer.
pub async fn idle(world: &World, seconds: u64) -> Result<Run, String> {
    let begin = Reading::take(world).await?;
    sleep(Duration::from_secs(seconds)).await;
    let end = Reading::take(world).await?;
    // Each statement outside a transaction is one of its own; the two readings are this process'.
    let asked = number(end.counts.commits.saturating_sub(begin.counts.commits + 1));
    let seconds = end.at.duration_since(begin.at).as_secs_f64();
    Ok(Run { seconds, queries_per_s: Some(asked / seconds), ..Run::default() })
}

fn travel(
    world: &World,
    journey: Journey,
    clients: usize,
    name: &str,
    shared: &Arc<Shared>,
) -> Result<JoinSet<Result<(), String>>, String> {
    let mut travelling = JoinSet::new();
    for client in 0..clients {
        let mut traveller = Traveller::new(world, journey, format!("{name}-{client}"), client)?;
        let shared = Arc::clone(shared);
        travelling.spawn(async move {
            while shared.another() {
                let done = traveller.travel().await?;
                shared
                    .over
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Over { at: Instant::now(), done });
            }
            Ok(())
        });
    }
    Ok(travelling)
}

/// Waits until all have stopped.
async fn all(travelling: &mut JoinSet<Result<(), String>>) -> Result<(), String> {
    while let Some(ended) = travelling.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(())
}

impl Shared {
    fn another(&self) -> bool {
        let Some(left) = &self.left else { return !self.stop.load(Ordering::Relaxed) };
        let take = |left: usize| left.checked_sub(1);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Reading {
    async fn take(world: &World) -> Result<Self, String> {
        let counts = world.database.counts().await?;
        Ok(Reading {
            at: Instant::now(),
            counts,
            server_cpu_ms: world.cpu_ms(),
            claims: Claims::take(world).await?,
            own_cpu_ms: machine::cpu_ms(std::process::id()),
            busy_ms: machine::busy_ms(),
        })
    }
}

/// What happened between two readings.
fn run(begin: &Reading, end: &Reading, over: &[Over]) -> Run {
    let within: Vec<&Over> = over.iter().filter(|over| begin.at < over.at && over.at <= end.at).collect();
    let seconds = end.at.duration_since(begin.at).as_secs_f64();
    let done = within.len();
    let took = |begin: u64, end: u64| number(end.saturating_sub(begin));
    let each = |total: f64| (done > 0).then(|| total / share(done, 1.0));
    let optional = |begin: Option<u64>, end: Option<u64>| Some(took(begin?, end?));
    let server = took(begin.server_cpu_ms, end.server_cpu_ms);
    let own = took(begin.own_cpu_ms, end.own_cpu_ms);
    let database = optional(begin.counts.cpu_ms, end.counts.cpu_ms);
    // The bank of a remittance is somebody else too.
    let others = took(begin.busy_ms, end.busy_ms) - server - own - database.unwrap_or(0.0);
    let percent = |ms: f64| Some((ms / (seconds * 10.0)).max(0.0));
    let latency = |of: fn(&Done) -> Duration| Latency::of(within.iter().map(|over| of(&over.done)).collect());
    Run {
        seconds,
        done,
        per_second: share(done, seconds),
        start: latency(|done| done.started),
        end_to_end: latency(|done| done.ended),
        server_cpu_ms: each(server),
        database_cpu_ms: database.and_then(each),
        commits: each(took(begin.counts.commits, end.counts.commits)),
        log_bytes: each(took(begin.counts.log_bytes, end.counts.log_bytes)),
        rows: optional(begin.counts.rows, end.counts.rows).and_then(each),
        claim_p99_ms: end.claims.p99_since(&begin.claims),
        server_rss_mb: None,
        queries_per_s: None,
        restart_ms: None,
        generator_cpu: percent(own),
        others_cpu: percent(others),
    }
}
