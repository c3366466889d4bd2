//! The great outage: the aggregator is away for a whole day while a hundred thousand payments come, and then it is back.
//!
//! Everything of production is between the payments and the banks: limits and pacing over two processes, breakers, the
//! prober, queues with their ramps, the statements of SQLite. What is asked for is a list of figures ([`report`]): all of
//! it drained, at nine tenths of the allowed rate at least and never above it in any second, nothing sent that had run
//! out, no start much slower for the length of the queue, and no memory for it.
//!
//! [`customers`] are drawn by number and not kept, and the [`bank`]'s books are a row for each payment, so that the memory
//! that is measured is that of the engine.

mod bank;
mod counter;
pub mod customers;
mod days;
pub mod latency;
pub mod report;
mod scene;
pub mod verdict;
mod witness;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use workers::controls::Settings;
use workers::controls::ramp::Stages;
use workers::ports::{AnchoredClock, Clock};
use workflows::time::At;

use self::bank::Bank;
use self::customers::{BANKS, Customers};
use self::days::Days;
use self::latency::percentile;
use self::report::{Drain, Report};
use self::scene::{LIMIT, Scene};
use self::witness::Witness;
use crate::breach::Breaches;
use crate::chance::Chance;
use crate::files::{Files, NoRoom};
use crate::ports::Virtual;

/// Which outage.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// From which everything is drawn.
    pub seed: u64,
    /// Payments that are to wait in the queue when the provider comes back.
    pub parked: u32,
    /// For how long it is away.
    pub away: Duration,
    /// How long a stage of the ramp lasts.
    pub stage: Duration,
}

impl Args {
    /// A whole day, and the ramp as delivered.
    pub fn of_a_day(seed: u64, parked: u32) -> Self {
        Args { seed, parked, away: Duration::from_hours(24), stage: Duration::from_mins(1) }
    }
}

/// Lives through an outage on this thread. Must not be called within a runtime.
///
/// # Errors
/// [`NoRoom`].
pub fn run(args: Args) -> Result<Report, NoRoom> {
    let wall = AnchoredClock::wall();
    let began = wall.now();
    let files = [Files::new()?, Files::new()?];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(NoRoom::Runtime)?;
    let mut report = runtime.block_on(live(args, &files))?;
    report.lasted.1 = wall.now().since(began);
    Ok(report)
}

/// Lives through an outage and tells of it on standard output; 1 when a figure is out of its bound.
///
/// # Errors
/// Those of [`run`].
pub fn tell(args: Args, as_json: bool) -> Result<ExitCode, NoRoom> {
    let report = run(args)?;
    if as_json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn live(args: Args, [full, empty]: &[Files; 2]) -> Result<Report, NoRoom> {
    let chance = Chance::of(args.seed).fork("outage", 0);
    let days = Days::with(args.parked, args.away);
    let clock = Arc::new(Virtual::beginning(At::from_millis(1_800_000_000_000)));
    let breaches = Arc::new(Breaches::default());
    let customers = Customers::of(chance.fork("customers", 0), days);
    let (asks, asked_back) = mpsc::unbounded_channel();
    let witness = Witness::new(days.payments, &breaches, asks);
    let scene = Arc::new(Scene {
        days,
        epoch: clock.now(),
        bank: Bank::open(customers, days, &clock, &breaches, chance.fork("bank", 0)),
        witness: Arc::clone(&witness),
        customers,
        breaches,
        chance,
        ramp: Stages { long: args.stage, ..Settings::default().ramp },
        clock: Arc::clone(&clock),
    });
    let full = full.open(&clock, Arc::new(move |op| witness.committed(op)))?;
    let empty = empty.open(&clock, Arc::new(|_| {}))?;
    let latencies = scene.play(&full, &empty, asked_back).await.map_err(NoRoom::Answer)?;
    let ends = verdict::of(&scene, &*full.store).await;
    let (drain, newcomers) = drained(&scene);
    let (most_parked, left_over) = {
        let seen = scene.witness.seen();
        (seen.most_parked, seen.live)
    };
    let books = scene.bank.books();
    let (most_in_a_second, most_at_once, knocks) =
        (books.counter.most_in_a_second, books.counter.most_at_once, books.knocks);
    drop(books);
    Ok(Report {
        seed: args.seed,
        payments: days.payments,
        wanted: args.parked,
        away: args.away,
        most_parked,
        left_over,
        ends,
        drain,
        most_in_a_second,
        most_at_once,
        knocks,
        newcomers,
        latencies,
        memory: most_memory(),
        breaches: scene.breaches.all(),
        lasted: (scene.since_the_beginning(), Duration::ZERO),
    })
}

/// How the queue was let through, and how long new payments took to the bank meanwhile.
fn drained(scene: &Scene) -> (Drain, Duration) {
    let since = |at: At| at.since(scene.epoch);
    let back = scene.days.returns();
    let seen = scene.witness.seen();
    let empty = seen.emptied.map(since).unwrap_or_default();
    // Each bank's queue has a ramp of its own, which begins with the first payment that it lets through.
    let mut first = [Duration::MAX; BANKS.len()];
    let (mut released, mut newcomers, mut sent) = (Vec::new(), Vec::new(), 0_u32);
    let books = scene.bank.books();
    for number in 0..scene.days.payments {
        let (story, row) = (seen.of(number), books.row(number));
        sent += u32::from(row.is_some());
        let left = story.left.map(since).filter(|left| story.released && *left >= back);
        if let Some(left) = left {
            let class = scene.customers.number(number).order.class;
            let place = BANKS.iter().position(|one| *one == class).unwrap_or(0);
            first[place] = first[place].min(left);
            released.push(left);
        }
        if let (Some(accepted), Some(row)) = (story.accepted.map(since), row)
            && (back..empty).contains(&accepted)
        {
            newcomers.push(since(row.arrived).saturating_sub(accepted));
        }
    }
    let stages = scene.ramp.long * u32::try_from(scene.ramp.each.len()).unwrap_or(u32::MAX);
    let begun = first.into_iter().filter(|first| *first < Duration::MAX).max().unwrap_or(back);
    let over = begun + stages;
    let used = |from| {
        let (calls, seconds) = books.counter.between(from, empty);
        100.0 * ratio(calls, seconds * u64::from(LIMIT.per_second))
    };
    let after = released.iter().filter(|left| **left >= over).count() as u64;
    let drain = Drain {
        long: empty.saturating_sub(back),
        payments_per_second: ratio(after, empty.saturating_sub(over).as_secs()),
        calls_each: ratio(books.counter.calls, sent.into()),
        used: used(back),
        used_after_ramp: used(over),
    };
    (drain, percentile(&newcomers, 99))
}

fn ratio(of: u64, to: u64) -> f64 {
    let float = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if to == 0 { 0.0 } else { float(of) / float(to) }
}

/// The most memory that this process ever had in RAM, in bytes, where the system tells.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
