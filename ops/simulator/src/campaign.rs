//! Many worlds, one thread for each core, and what they came to.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use workers::ports::{AnchoredClock, Clock};
use workers::store::MemoryStore;

use crate::breach::Breach;
use crate::faults::{Allowed, Fault, counted};
use crate::files::{Files, NoRoom};
use crate::plan::Plan;
use crate::shrink::{self, Shortest};
use crate::world::{self, Manner, Outcome};

/// Which worlds.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// From which everything is drawn.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many worlds, numbered from 0.
    #[arg(long, default_value_t = 200)]
    pub worlds: u64,
    /// The first of them, to look at one again.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Orders of each.
    #[arg(long, default_value_t = 50)]
    pub workflows_per_world: u64,
    /// What the processes of a world store in.
    #[arg(long, value_enum, default_value_t = Kept::Memory)]
    pub store: Kept,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub json: bool,
}

/// What a world is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kept {
    /// Maps.
    Memory,
    /// A SQLite file, and the statements of production.
    Sqlite,
}

/// What a campaign came to.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Worlds that were run.
    pub worlds: u64,
    /// Workflows that were started.
    pub workflows: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Time that went by in all worlds.
    pub simulated: Duration,
    /// Time that it took.
    pub took: Duration,
    /// SHA-256 over the digests of all worlds, in the order of their numbers.
    pub digest: String,
    /// The first world, by number, in which something happened that must not.
    pub failed: Option<Failed>,
}

/// A world with a breach.
#[derive(Debug)]
pub struct Failed {
    /// Its number.
    pub world: u64,
    /// The first breach.
    pub breach: Breach,
    /// The least that still leads to it.
    pub shortest: Shortest,
}

/// Runs a campaign on as many threads as there are cores. Ends early at a breach.
///
/// # Errors
/// [`NoRoom`], of whichever world met it first.
pub fn run(args: Args) -> Result<Report, NoRoom> {
    run_prepared(args, &|| {})
}

/// The same, where each thread that runs worlds prepares itself first.
///
/// # Errors
/// Those of [`run`].
pub fn run_prepared(args: Args, prepare: &(dyn Fn() + Sync)) -> Result<Report, NoRoom> {
    let clock = AnchoredClock::wall();
    let began = clock.now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let ended: Mutex<BTreeMap<u64, Outcome>> = Mutex::default();
    let ran_out: Mutex<Option<NoRoom>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                prepare();
                while !stop.load(Ordering::Acquire) {
                    let number = next.fetch_add(1, Ordering::AcqRel);
                    if number >= args.worlds {
                        return;
                    }
                    let outcome = match world_of(args, args.from + number, Manner::default()) {
                        Ok(outcome) => outcome,
                        Err(no_room) => {
                            stop.store(true, Ordering::Release);
                            *ran_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(no_room);
                            return;
                        }
                    };
                    if !outcome.breaches.is_empty() {
                        stop.store(true, Ordering::Release);
                    }
                    ended.lock().unwrap_or_else(PoisonError::into_inner).insert(args.from + number, outcome);
                }
            });
        }
    });
    if let Some(no_room) = ran_out.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(no_room);
    }
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = clock.now().since(began);
    prepare();
    summed_up(args, &ended, took)
}

/// Runs a campaign and tells of it on standard output; 1 at a violation.
///
/// # Errors
/// Those of [`run`].
pub fn tell(args: Args) -> Result<ExitCode, NoRoom> {
    let report = run(args)?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(if report.failed.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One world of a campaign.
///
/// # Errors
/// [`NoRoom`].
pub fn world_of(args: Args, number: u64, manner: Manner) -> Result<Outcome, NoRoom> {
    run_plan(Plan::drawn(args.seed, number, args.workflows_per_world), manner, args.store)
}

/// Runs a plan over a store of this kind.
///
/// # Errors
/// [`NoRoom`].
pub fn run_plan(plan: Plan, manner: Manner, kept: Kept) -> Result<Outcome, NoRoom> {
    match kept {
        Kept::Memory => world::run(plan, manner, &|clock| Ok(Arc::new(MemoryStore::new(clock)))),
        Kept::Sqlite => {
            let files = Files::new()?;
            world::run(plan, manner, &|clock| Ok(files.open(&clock, Arc::new(|_| {}))?.store))
        }
    }
}

fn summed_up(args: Args, ended: &BTreeMap<u64, Outcome>, took: Duration) -> Result<Report, NoRoom> {
    let mut digest = Sha256::new();
    let mut report = Report {
        seed: args.seed,
        worlds: ended.len() as u64,
        workflows: 0,
        faults: BTreeMap::new(),
        simulated: Duration::ZERO,
        took,
        digest: String::new(),
        failed: None,
    };
    for (number, outcome) in ended {
        digest.update(&outcome.digest);
        report.workflows += outcome.workflows as u64;
        report.simulated += outcome.lasted;
        for (fault, count) in counted(&outcome.strikes) {
            *report.faults.entry(fault).or_insert(0) += count;
        }
        if let (None, Some(breach)) = (&report.failed, outcome.breaches.first()) {
            let shortest = shrink::shortest(args, *number, outcome, breach)?;
            report.failed = Some(Failed { world: *number, breach: breach.clone(), shortest });
        }
    }
    report.digest = hex::encode(digest.finalize());
    Ok(report)
}

impl Report {
    /// Faults of all kinds.
    pub fn all_faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Workflows in a second of real time.
    pub fn per_second(&self) -> u64 {
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX).max(1);
        self.workflows.saturating_mul(1_000) / millis
    }

    /// As one JSON object.
    pub fn to_json(&self) -> String {
        let faults: serde_json::Map<_, _> =
            self.faults.iter().map(|(fault, count)| (format!("{fault:?}"), json!(count))).collect();
        let failed = self.failed.as_ref().map(|failed| {
            json!({"world": failed.world, "invariant": failed.breach.rule.id(), "order": failed.breach.order,
                   "what": failed.breach.what, "orders": failed.shortest.orders,
                   "faults": failed.shortest.faults.len(), "log": failed.shortest.lines})
        });
        let report = json!({
            "seed": self.seed, "worlds": self.worlds, "workflows": self.workflows, "faults": self.all_faults(),
            "faultsByKind": faults, "simulatedSeconds": self.simulated.as_secs(),
            "violations": u64::from(self.failed.is_some()), "tookMs": self.took.as_millis(),
            "workflowsPerSecond": self.per_second(), "digest": self.digest, "failed": failed,
        });
        report.to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.simulated.as_secs() / 86_400;
        let mut kinds = String::new();
        for (fault, count) in &self.faults {
            write!(kinds, "\n  {count:>9} {fault:?}")?;
        }
        write!(
            f,
            "seed {}: {} worlds, {} workflows, {} faults, {days} simulated days, {} violations\n\
             {} workflows/s, {:.1} s\ndigest {}{kinds}",
            self.seed,
            self.worlds,
            self.workflows,
            self.all_faults(),
            u8::from(self.failed.is_some()),
            self.per_second(),
            self.took.as_secs_f64(),
            self.digest,
        )?;
        if let Some(Failed { world, breach, shortest }) = &self.failed {
            let rule = breach.rule.id();
            write!(f, "\n\nVIOLATION of {rule} in world {world} (seed {}): {}", self.seed, breach.what)?;
            write!(f, "\nshortest: orders {:?}, faults {:?}", shortest.orders, shortest.faults)?;
            for line in &shortest.lines {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

/// Which faults an outcome had.
pub(crate) fn only(strikes: &[crate::faults::Strike]) -> Allowed {
    Allowed::Only(strikes.iter().map(|strike| strike.id).collect())
}
