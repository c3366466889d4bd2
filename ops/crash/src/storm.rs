//! The storm: every few milliseconds something dies or stands still, and is back at once or a little later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::cast::{Cast, LEASE};
use crate::chance::Chance;
use crate::pulse::{Part, Pulse};
use crate::tally::{Struck, Tally};

/// Between two blows.
const BLOWS: (u64, u64) = (20, 200);
/// The weight of each process of the product.
const PRODUCT: u64 = 10;
/// Work is always open during the storm; who makes no progress for so long is stuck, whatever else is down at that time.
const STUCK: Duration = Duration::from_mins(2);
/// How long a process that serves may take to answer.
const ANSWER: Duration = Duration::from_mins(2);

/// How the blows follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Whatever is not down at the moment may be struck.
    Storm,
    /// One at a time, so long after everything is back that the one before hit, and every return is measured.
    ByHand(Duration),
}

/// What is struck, by its place in the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Product(usize),
    Bank,
    Backend,
    Postmaster,
}

/// How it is struck, and what comes after.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// SIGKILL. `watched`: it is spared until it has made progress, so that this can be measured; otherwise it may die
    /// again while it recovers.
    Kill { back_after: Duration, watched: bool },
    /// SIGSTOP, and SIGCONT after so long.
    Freeze { pause: Duration },
}

/// What a storm brought.
#[derive(Debug, Default)]
pub struct Weather {
    /// What was struck, by kind.
    pub tally: Arc<Tally>,
    /// Blows by victim.
    pub blows: BTreeMap<String, u64>,
    /// From the start of a process that performs steps to the first commit that it told of; by the process, and apart
    /// where the database was struck in between. For the database server: until it answers.
    pub progress: BTreeMap<Sample, Vec<Duration>>,
    /// From the start of each process that performs steps to the next commit of anybody.
    pub after_process: Vec<Duration>,
    /// The same from the first answer of a database that was struck.
    pub after_database: Vec<Duration>,
    /// The silences of the whole system in which somebody could have made progress, longest first.
    pub silences: Vec<Duration>,
    returned: Vec<(Instant, Part)>,
}

/// What a duration is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// Who was started.
    pub name: &'static str,
    /// Whether the database was struck meanwhile.
    pub disturbed: bool,
}

/// Strikes until so many kills are delivered, and answers when everything runs again. What happens is written to `list` as it happens.
///
/// # Errors
/// What did not come back, or fell by itself.
pub async fn rage(
    cast: &Arc<Cast>,
    kills: u64,
    pace: Pace,
    chance: &mut Chance,
    list: &Path,
) -> Result<Weather, String> {
    let mut list = File::create(list).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let victims = victims(cast);
    let busy: Arc<BTreeMap<Victim, AtomicBool>> =
        Arc::new(victims.iter().map(|(_, victim)| (*victim, AtomicBool::new(false))).collect());
    let mut weather = Weather::default();
    let disturbance = Arc::new(AtomicU64::new(0));
    let mut under_way: JoinSet<Result<Back, String>> = JoinSet::new();
    let mut struck = 0;
    let mut shares: BTreeMap<Victim, u64> = BTreeMap::new();
    let choices: Vec<(u64, (u64, Victim))> =
        victims.iter().map(|&(weight, victim)| (weight, (weight, victim))).collect();
    while weather.tally.kills() < kills {
        let rest = Duration::from_millis(BLOWS.0 + chance.below(BLOWS.1 - BLOWS.0 + 1));
        match pace {
            Pace::Storm => sleep(rest).await,
            Pace::ByHand(longer) => {
                while let Some(back) = under_way.join_next().await {
                    weather.note(back)?;
                }
                sleep(longer + rest).await;
            }
        }
        while let Some(back) = under_way.try_join_next() {
            weather.note(back)?;
        }
        if weather.tally.kills_at_most() >= kills {
            continue;
        }
        // Who is down already cannot be struck; the next one is, after another moment. Nor does anybody get more than
        // their share: the database would be down all the time, since it is up again before a process has proved itself.
        let all: u64 = victims.iter().map(|(weight, _)| weight).sum();
        let fair = |weight: u64, victim| shares.get(victim).copied().unwrap_or(0) * all <= struck * weight;
        let free = |victim| !busy.get(victim).is_some_and(|busy| busy.load(Ordering::Acquire));
        let Some(&(weight, victim)) = chance.weighted(&choices) else { continue };
        if !free(&victim) || !(weight == PRODUCT || fair(weight, &victim)) {
            continue;
        }
        *shares.entry(victim).or_default() += 1;
        let blow = blow(victim, pace, chance);
        let which = chance.below(u64::MAX);
        struck += 1;
        let name = name(cast, victim);
        *weather.blows.entry(name.to_owned()).or_default() += 1;
        let line = json!({ "n": struck, "ms": began.elapsed().as_millis(), "victim": name, "blow": format!("{blow:?}") });
        writeln!(list, "{line}").map_err(|error| error.to_string())?;
        if let Some(busy) = busy.get(&victim) {
            busy.store(true, Ordering::Release);
        }
        let (cast, busy, disturbance) = (Arc::clone(cast), Arc::clone(&busy), Arc::clone(&disturbance));
        let tally = Arc::clone(&weather.tally);
        tally.sets_out();
        under_way.spawn(async move {
            let of_database = matches!(victim, Victim::Backend | Victim::Postmaster);
            let before = disturbance.fetch_add(u64::from(of_database), Ordering::AcqRel);
            let mut done = strike(&cast, (victim, blow, which), &tally).await;
            // Counted when it begins and when it is over: an odd count says that one is under way.
            let after = disturbance.fetch_add(u64::from(of_database), Ordering::AcqRel);
            if let Ok(Back { progress: Some((sample, _)), .. }) = &mut done {
                sample.disturbed = !of_database && (before != after || before % 2 == 1);
            }
            if let Some(busy) = busy.get(&victim) {
                busy.store(false, Ordering::Release);
            }
            done
        });
    }
    while let Some(back) = under_way.join_next().await {
        weather.note(back)?;
    }
    weather.take(&cast.pulse, began, cast.product.iter().filter(|role| role.performs).count());
    Ok(weather)
}

impl Weather {
    fn note(&mut self, back: Result<Result<Back, String>, tokio::task::JoinError>) -> Result<(), String> {
        let Back { returned, progress } = back.map_err(|error| error.to_string())??;
        self.returned.extend(returned);
        if let Some((sample, progress)) = progress {
            self.progress.entry(sample).or_default().push(progress);
        }
        Ok(())
    }

    /// Takes the pulse of the time since `began`.
    fn take(&mut self, pulse: &Pulse, began: Instant, performers: usize) {
        let of_database = |database: bool| -> Vec<Instant> {
            let these = self.returned.iter().filter(|(_, part)| (*part == Part::Database) == database);
            these.map(|(at, _)| *at).collect()
        };
        let (processes, databases) = (of_database(false), of_database(true));
        self.after_process = pulse.after(&processes);
        self.after_database = pulse.after(&databases);
        self.silences = pulse.silences(began, Instant::now(), performers);
    }
}

/// Who may be struck, with the weight of each.
fn victims(cast: &Cast) -> Vec<(u64, Victim)> {
    let product = (0..cast.product.len()).map(|place| (PRODUCT, Victim::Product(place)));
    let mut victims: Vec<_> = product.chain([(1, Victim::Bank)]).collect();
    if cast.postgres.is_some() {
        victims.extend([(3, Victim::Backend), (1, Victim::Postmaster)]);
    }
    victims
}

fn name(cast: &Cast, victim: Victim) -> &'static str {
    match victim {
        Victim::Product(place) => cast.product.get(place).map_or("nobody", |role| role.name),
        Victim::Bank => cast.bank.name,
        Victim::Backend => "backend",
        Victim::Postmaster => "postmaster",
    }
}

fn blow(victim: Victim, pace: Pace, chance: &mut Chance) -> Blow {
    let freezes = matches!(victim, Victim::Product(_)) && chance.percent(10);
    if freezes {
        return Blow::Freeze { pause: LEASE + Duration::from_millis(100 + chance.below(500)) };
    }
    let back_after = match chance.below(20) {
        0..12 => 0,
        12..19 => chance.below(300),
        _ => chance.below(2_000),
    };
    let spared = chance.percent(75);
    let watched = spared || matches!(pace, Pace::ByHand(_));
    Blow::Kill { back_after: Duration::from_millis(back_after), watched }
}

/// What came back after a blow.
#[derive(Debug, Default)]
struct Back {
    /// Who was needed for progress, and when they were back: a process when it was started, a database when it answered.
    returned: Option<(Instant, Part)>,
    /// Who made progress after how long, where that was watched.
    progress: Option<(Sample, Duration)>,
}

/// One blow and the recovery from it.
async fn strike(
    cast: &Cast,
    (victim, blow, which): (Victim, Blow, u64),
    tally: &Tally,
) -> Result<Back, String> {
    let sample = |name| Sample { name, disturbed: false };
    let io = |error: std::io::Error| error.to_string();
    let role = match victim {
        Victim::Product(place) => cast.product.get(place).ok_or("nobody is there")?,
        Victim::Bank => &cast.bank,
        Victim::Backend | Victim::Postmaster => {
            let Some(postgres) = &cast.postgres else { return Ok(Back::default()) };
            let mut cluster = postgres.lock().await;
            cast.pulse.down(Part::Database);
            let began = Instant::now();
            let progress = if victim == Victim::Backend {
                let killed = cluster.kill_backend(which).await.map_err(io)?;
                tally.arrived(Some(if killed { Struck::Backend } else { Struck::NoBackend }));
                cluster.ready().await?;
                None
            } else {
                let killed = cluster.kill().await.map_err(io)?;
                tally.arrived(killed.then_some(Struck::Postmaster));
                cluster.start().await?;
                Some((sample("postmaster"), began.elapsed()))
            };
            cast.pulse.up(Part::Database);
            return Ok(Back { returned: Some((Instant::now(), Part::Database)), progress });
        }
    };
    let (back_after, watched) = match blow {
        Blow::Freeze { pause } => {
            let stopped = role.freeze(pause).await?;
            tally.arrived(stopped.then_some(Struck::Stopped));
            return Ok(Back::default());
        }
        Blow::Kill { back_after, watched } => (back_after, watched),
    };
    let killed = role.kill().await?;
    tally.arrived(killed.then_some(if victim == Victim::Bank { Struck::Bank } else { Struck::Process }));
    sleep(back_after).await;
    let (began, mut heard) = role.start().await?;
    let returned = role.performs.then_some((began, Part::Performer(role.name)));
    if !watched {
        return Ok(Back { returned, progress: None });
    }
    if let Some(base) = role.base() {
        answers(&base).await?;
    }
    if !role.performs {
        return Ok(Back::default());
    }
    let told = heard.wait_for(|heard| heard.progress.is_some() || heard.ended);
    let told = timeout(STUCK, told).await.ok().and_then(|told| told.ok().and_then(|told| told.progress));
    let progress = told.ok_or_else(|| format!("{} made no progress in {STUCK:?}", role.name))?;
    Ok(Back { returned, progress: Some((sample(role.name), progress)) })
}

/// Waits until whoever is there answers at all.
async fn answers(base: &str) -> Result<(), String> {
    let http = crate::people::http(Duration::from_secs(2))?;
    let asked = timeout(ANSWER, async {
        while http.get(format!("{base}/livez")).send().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    asked.await.map_err(|_| format!("{base} does not answer after its restart"))
}
