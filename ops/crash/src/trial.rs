//! One trial from its first process to the verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

use crate::Args;
use crate::cast::{Cast, Keys, Kind, ledger};
use crate::chance::Chance;
use crate::judge::{self, Verdict, journal_of};
use crate::process::{Process, command};
use crate::pulse::Pulse;
use crate::storm::{self, Pace, Sample, Weather};
use crate::{ledger as bank_ledger, payer, people};

/// What half of all first progress by hand may take, and 95 of 100.
const MEDIAN: Duration = Duration::from_secs(1);
const P95: Duration = Duration::from_secs(3);
/// How long everything may take to reach its end once nothing dies any more.
const CALM: Duration = Duration::from_secs(90);
/// Sentences of one kind that are printed; all of them are in the verdict's file.
const PRINTED: usize = 5;

/// Runs it. True when nothing is wrong. Everything that was started is ended, however this ends.
///
/// # Errors
/// What kept the trial from its end.
pub async fn run(args: Args) -> Result<bool, String> {
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = here.parent().ok_or("no directory of programs")?;
    let program = args.program.clone().unwrap_or_else(|| beside.join("sluse"));
    let kind = format!("{:?}", args.db).to_lowercase();
    let target = beside.parent().unwrap_or(beside);
    let directory = target.join("crash").join(format!("{kind}-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    println!("{kind}: {} kills, seed {seed}, in {}", args.kills, directory.display());

    let trial = Trial { args, seed, directory, program, here };
    let keys = if trial.args.keyless { Keys::Meaningless } else { Keys::Remembered };
    let cast = Arc::new(Cast::start(trial.args.db, keys, &trial.program, &trial.directory).await?);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let outcome = tokio::select! {
        outcome = trial.play(&cast) => outcome,
        _ = interrupt.recv() => Err("interrupted".to_owned()),
        _ = terminate.recv() => Err("told to end".to_owned()),
    };
    let clean = matches!(outcome, Ok(true));
    let keep = !clean || trial.args.keep;
    end(cast, keep.then_some(trial.directory.as_path())).await;
    if keep {
        println!("everything about it is in {}", trial.directory.display());
    } else {
        std::fs::remove_dir_all(&trial.directory).map_err(|error| error.to_string())?;
    }
    outcome
}

/// Ends everything that was started, once the blows that were cut off have let go of it.
async fn end(mut cast: Arc<Cast>, keep: Option<&Path>) {
    for _ in 0..100 {
        match Arc::try_unwrap(cast) {
            Ok(cast) => return cast.end(keep).await,
            Err(held) => cast = held,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("a blow does not end; the kernel ends what it holds");
}

struct Trial {
    args: Args,
    seed: u64,
    directory: PathBuf,
    program: PathBuf,
    here: PathBuf,
}

impl Trial {
    async fn play(&self, cast: &Arc<Cast>) -> Result<bool, String> {
        let bank = cast.bank.base().ok_or("the bank listens nowhere")?;
        let bases = cast.bases();
        let base = bases.first().ok_or("nobody serves")?;
        people::provision(base, &bank, self.args.clients).await?;
        let mut clients = self.clients(&bases)?;
        let people = payer::decide(ledger(&self.directory), bank);
        let began = Instant::now();
        let story = async {
            let mut chance = Chance::of(self.seed);
            let kills = self.directory.join("kills.jsonl");
            let pace =
                self.args.by_hand.map_or(Pace::Storm, |rest| Pace::ByHand(Duration::from_millis(rest)));
            let weather = storm::rage(cast, self.args.kills, pace, &mut chance, &kills).await?;
            let storm = began.elapsed();
            let ended = self.calm(&mut clients).await;
            Ok::<_, String>((weather, storm, ended))
        };
        let (weather, raged, ended) = tokio::select! {
            told = story => told?,
            broken = people => return Err(format!("the payer stopped: {broken:?}")),
        };
        let calm = began.elapsed().saturating_sub(raged);
        let last = judge::read_all(base, self.args.clients).await?;
        let truths = bank_ledger::truths(ledger(&self.directory)).map_err(|error| error.to_string())?;
        let mut verdict = judge::judge(&self.directory, self.args.clients, &truths, &last)?;
        verdict.strange.extend(ended);
        verdict.strange.extend(cast.violations().map_err(|error| error.to_string())?);
        let (sound, scan) = match cast.product.first() {
            Some(service) => service.ask(&["scan", "--chains"]).await?,
            None => (false, "nobody serves".to_owned()),
        };
        if !sound {
            verdict.strange.push(format!("the scanner found something:\n{scan}"));
        }
        if self.args.by_hand.is_some() {
            verdict.strange.extend(slow(&undisturbed(&weather)));
        }
        self.report(&weather, &verdict, raged, calm);
        let all = format!("seed {}\n{verdict:#?}\n{weather:#?}\n{scan}", self.seed);
        std::fs::write(self.directory.join("verdict.txt"), all).map_err(|error| error.to_string())?;
        Ok(verdict.is_clean())
    }

    fn clients(&self, bases: &[String]) -> Result<Vec<Process>, String> {
        let start = |number: u64| {
            let mut command: Command = command(&self.here, "KILL");
            command.args(["client", "--number", &number.to_string()]);
            command.args(["--at-once", &self.args.at_once.to_string()]);
            command.arg("--journal").arg(journal_of(&self.directory, number));
            for base in bases {
                command.args(["--base", base]);
            }
            let log: &Path = &self.directory.join(format!("client-{number}.log"));
            Process::start(&mut command, log, &Pulse::default()).map_err(|error| error.to_string())
        };
        (0..self.args.clients).map(start).collect()
    }

    /// Lets the clients bring what they began to its end; who does not come to one is named.
    async fn calm(&self, clients: &mut [Process]) -> Vec<String> {
        for client in &mut *clients {
            // Closed as it goes: that is what tells them.
            drop(client.input());
        }
        let until = Instant::now() + CALM;
        let mut late = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            match timeout(until.saturating_duration_since(Instant::now()), client.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(ended) => late.push(format!("client {number} ended with {ended:?}")),
                Err(_) => late.push(format!("client {number} still waits after {CALM:?}")),
            }
        }
        late
    }

    fn report(&self, weather: &Weather, verdict: &Verdict, raged: Duration, calm: Duration) {
        let kind = match self.args.db {
            Kind::Sqlite => "SQLite",
            Kind::Postgres => "PostgreSQL",
        };
        let kills = weather.tally.kills();
        println!(
            "{kind}: {kills} kills, {} payments ({} completed), {} requests without an answer",
            verdict.orders, verdict.completed, verdict.silences
        );
        let found = verdict.kinds().map(|(kind, found)| format!("{kind} {}", found.len()));
        println!("{kind}: {}", found.join(", "));
        let struck = weather.blows.iter().map(|(name, count)| format!("{name} {count}"));
        println!("{kind}: struck {}", struck.collect::<Vec<_>>().join(", "));
        println!("{kind}: {}", weather.tally);
        for (sample, samples) in &weather.progress {
            let besides = if sample.disturbed { ", the database struck as well" } else { "" };
            let what = if sample.name == "postmaster" { "answer" } else { "progress" };
            println!("{kind}: first {what} of {}{besides}: {}", sample.name, spread(samples));
        }
        for (besides, disturbed) in [("", false), (", the database struck as well", true)] {
            let counts = |sample: &Sample| sample.name != "postmaster" && sample.disturbed == disturbed;
            let these = weather.progress.iter().filter(|(sample, _)| counts(sample));
            let all: Vec<_> = these.flat_map(|(_, samples)| samples.iter().copied()).collect();
            println!("{kind}: first progress in all{besides}: {}", spread(&all));
        }
        println!(
            "{kind}: anybody's next progress after a process is back: {}",
            spread(&weather.after_process)
        );
        println!(
            "{kind}: anybody's next progress after the database is back: {}",
            spread(&weather.after_database)
        );
        println!(
            "{kind}: silences of the whole system while somebody could work: {}",
            spread(&weather.silences)
        );
        println!("{kind}: {:.1} s of storm, {:.1} s of calm", raged.as_secs_f64(), calm.as_secs_f64());
        for (kind, found) in verdict.kinds() {
            for sentence in found.iter().take(PRINTED) {
                println!("{kind}: {sentence}");
            }
        }
    }
}

/// First progress of the processes that were alone in being struck, shortest first.
fn undisturbed(weather: &Weather) -> Vec<Duration> {
    let own = |sample: &Sample| sample.name != "postmaster" && !sample.disturbed;
    let these = weather.progress.iter().filter(|(sample, _)| own(sample));
    let mut all: Vec<_> = these.flat_map(|(_, samples)| samples.iter().copied()).collect();
    all.sort_unstable();
    all
}

/// By hand, one blow after the other, a return is as quick as it is promised to be.
fn slow(sorted: &[Duration]) -> Vec<String> {
    [("half of all", 50, MEDIAN), ("95 of 100", 95, P95)]
        .into_iter()
        .filter_map(|(which, percent, most)| {
            let at = sorted.get(sorted.len() * percent / 100).filter(|at| **at > most)?;
            Some(format!("first progress of {which} took up to {at:?}, and is to take {most:?} at most"))
        })
        .collect()
}

/// Median, 95th percentile and the worst.
fn spread(samples: &[Duration]) -> String {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let (Some(last), count) = (sorted.last(), sorted.len()) else { return "not measured".to_owned() };
    let at = |percent: usize| sorted.get(count * percent / 100).unwrap_or(last).as_millis();
    format!("{count} times, median {} ms, p95 {} ms, max {} ms", at(50), at(95), last.as_millis())
}
