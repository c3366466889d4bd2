//! What is measured: which world, which load, which backlog.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::database::{Floor, Kind, Site};
use crate::figures::{Run, share};
use crate::http::{Ask, Client};
use crate::journey::{Journey, Traveller};
use crate::load::{self, Pace, make, measure};
use crate::people::{self, BANK};
use crate::report::{Point, Report};
use crate::world::{Place, World, token};

/// How many clients make a backlog.
const FILLERS: usize = 256;
/// Seconds that each half of the floor is measured.
const FLOOR: Duration = Duration::from_secs(3);
/// The fastest that operators may let a queue through (REST contract).
const PER_MINUTE: u32 = 100_000;
/// How often a drain is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long a process has to settle before it is idle.
const SETTLED: Duration = Duration::from_secs(10);
/// How long it may make no progress.
const STUCK: Duration = Duration::from_mins(1);

/// What to measure.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Scenario {
    /// Bench workflows from start to end: four empty steps and one signal from outside.
    Saga(Sweep),
    /// Bench workflows are accepted and nobody performs them.
    Start(Sweep),
    /// Remittances from start to settlement, approved at the sandbox bank.
    Remittance(Sweep),
    /// `saga` beside workflows that wait, against `saga` without them.
    Parked(Parked),
    /// `saga` after so many workflows that have ended.
    Age(Backlog),
    /// Parked remittances are let through when their bank is back.
    Drain(Drain),
    /// `saga` with more and more processes on one database, each with eight hands and steps of 5 ms.
    Scale(Scale),
    /// `saga` with few hands, so that tasks are claimed, before and while somebody reads an old snapshot (PostgreSQL).
    Snapshot(Snapshot),
    /// Nothing is to be done.
    Idle(Idle),
}

/// Over several numbers of clients, each on a new database.
#[derive(Clone, Debug, clap::Args)]
pub struct Sweep {
    /// How many clients there are.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    concurrency: Vec<usize>,
}

/// Over several backlogs on one database.
#[derive(Clone, Debug, clap::Args)]
pub struct Backlog {
    /// How many clients there are.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// How many workflows there are before each measurement; the first one is always without any.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    counts: Vec<usize>,
}

/// What waits, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Parked {
    /// What waits.
    #[arg(long, value_enum, default_value = "remittance")]
    what: What,
    #[command(flatten)]
    backlog: Backlog,
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Bench workflows, each for a signal with a deadline of a day.
    Waiting,
    /// Remittances in the queue of a bank that takes none.
    Remittance,
}

/// How much is let through.
#[derive(Clone, Debug, clap::Args)]
pub struct Drain {
    /// How many remittances are parked first.
    #[arg(long, default_value_t = 20_000)]
    count: usize,
}

/// Over several numbers of processes.
#[derive(Clone, Debug, clap::Args)]
pub struct Scale {
    /// How many clients there are.
    #[arg(long, default_value_t = 128)]
    concurrency: usize,
    /// How many processes there are.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    processes: Vec<usize>,
}

/// How long the snapshot is open.
#[derive(Clone, Debug, clap::Args)]
pub struct Snapshot {
    /// How many clients there are.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// In how many stretches of `--seconds` it is open.
    #[arg(long, default_value_t = 12)]
    stretches: usize,
}

/// How long nothing is done.
#[derive(Clone, Debug, clap::Args)]
pub struct Idle {
    /// Seconds.
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

/// Where and how it is measured.
pub struct Setup<'a> {
    /// Which database.
    pub kind: Kind,
    /// Where files are kept.
    pub place: &'a Place,
    /// How a load is measured.
    pub pace: Pace,
    /// Settings of the service beside those that every run has.
    pub settings: &'a [(String, String)],
    /// Settings of PostgreSQL, beside those that every server has.
    pub server: &'a [(String, String)],
}

impl Scenario {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Scenario::Saga(_) => "saga",
            Scenario::Start(_) => "start",
            Scenario::Remittance(_) => "remittance",
            Scenario::Parked(_) => "parked",
            Scenario::Age(_) => "age",
            Scenario::Drain(_) => "drain",
            Scenario::Scale(_) => "scale",
            Scenario::Snapshot(_) => "snapshot",
            Scenario::Idle(_) => "idle",
        }
    }

    /// Measures it. Each point is told as soon as it is there.
    ///
    /// # Errors
    /// What did not start or did not go as it should.
    pub async fn run(&self, setup: &Setup<'_>, tell: impl Fn(&Point, &Floor)) -> Result<Report, String> {
        let site = Site::open(setup.kind, &setup.place.directory, setup.server).await?;
        let floor = site.floor(FLOOR).await?;
        let stage = Stage { setup, site: &site, tell: &|point: &Point| tell(point, &floor) };
        let points = match self {
            Scenario::Saga(sweep) => stage.sweep(Journey::Saga, sweep, &[]).await,
            // A front-end only: nobody performs what it accepts.
            Scenario::Start(sweep) => stage.sweep(Journey::Start, sweep, &[("WORKERS", "0")]).await,
            Scenario::Remittance(sweep) => stage.sweep(Journey::Remittance, sweep, &[]).await,
            Scenario::Parked(parked) => stage.parked(parked).await,
            Scenario::Age(backlog) => stage.age(backlog).await,
            Scenario::Drain(drain) => stage.drain(drain).await,
            Scenario::Scale(scale) => stage.scale(scale).await,
            Scenario::Snapshot(snapshot) => stage.snapshot(snapshot).await,
            Scenario::Idle(idle) => stage.idle(idle).await,
        };
        site.end().await;
        Ok(Report::new(self.name(), setup, floor, points?))
    }
}

/// Where a scenario plays.
struct Stage<'a> {
    setup: &'a Setup<'a>,
    site: &'a Site,
    tell: &'a dyn Fn(&Point),
}

impl Stage<'_> {
    async fn sweep(
        &self,
        journey: Journey,
        sweep: &Sweep,
        settings: &[(&str, &str)],
    ) -> Result<Vec<Point>, String> {
        let mut points = vec![];
        for &clients in &sweep.concurrency {
            let world = self.world(&format!("c{clients}"), 1, settings).await?;
            if journey == Journey::Remittance {
                people::register(&world, clients).await?;
            }
            let runs = measure(&world, journey, clients, self.setup.pace, "m").await?;
            world.end().await?;
            self.add(&mut points, Point::new(clients, 0, runs));
        }
        Ok(points)
    }

    async fn parked(&self, parked: &Parked) -> Result<Vec<Point>, String> {
        let (journey, settings): (_, &[(&str, &str)]) = match parked.what {
            What::Waiting => (Journey::Wait, &[]),
            What::Remittance => (Journey::Park, &[("PISP_MODE", "queue")]),
        };
        let mut world = self.world("parked", 1, settings).await?;
        if parked.what == What::Remittance {
            people::register(&world, FILLERS).await?;
        }
        let points = self.beside(&mut world, journey, &parked.backlog).await?;
        world.end().await?;
        Ok(points)
    }

    async fn age(&self, backlog: &Backlog) -> Result<Vec<Point>, String> {
        let mut world = self.world("age", 1, &[]).await?;
        let points = self.beside(&mut world, Journey::Saga, backlog).await?;
        world.end().await?;
        Ok(points)
    }

    /// Sagas without a backlog, then with each of them, which is made on the ordinary path.
    async fn beside(
        &self,
        world: &mut World,
        journey: Journey,
        backlog: &Backlog,
    ) -> Result<Vec<Point>, String> {
        let (mut points, mut there) = (vec![], 0);
        for &count in [0].iter().chain(&backlog.counts) {
            let missing = count.saturating_sub(there);
            if missing > 0 {
                let rate = make(world, journey, FILLERS, missing, &format!("fill-{count}")).await?;
                eprintln!("{count} are there; the last {missing} came at {rate:.0} a second");
                there = count;
            }
            let name = format!("m-{count}");
            let runs = measure(world, Journey::Saga, backlog.concurrency, self.setup.pace, &name).await?;
            self.add(&mut points, Point::new(backlog.concurrency, count, runs));
        }
        let began = Instant::now();
        world.restart().await?;
        Traveller::new(world, Journey::Saga, "restart".to_owned(), 0)?.travel().await?;
        let restart_ms = Some(began.elapsed().as_secs_f64() * 1_000.0);
        self.add(&mut points, Point::new(1, there, vec![Run { restart_ms, ..Run::default() }]));
        Ok(points)
    }

    async fn scale(&self, scale: &Scale) -> Result<Vec<Point>, String> {
        let mut points = vec![];
        for &processes in &scale.processes {
            let world = self.world(&format!("p{processes}"), processes, &[("WORKERS", "8")]).await?;
            let runs = measure(&world, Journey::Work, scale.concurrency, self.setup.pace, "m").await?;
            world.end().await?;
            eprintln!("{processes} processes:");
            self.add(&mut points, Point::new(scale.concurrency, 0, runs));
        }
        Ok(points)
    }

    async fn snapshot(&self, snapshot: &Snapshot) -> Result<Vec<Point>, String> {
        let world = self.world("snapshot", 1, &[("WORKERS", "32")]).await?;
        let mut points = vec![];
        let runs = measure(&world, Journey::Saga, snapshot.concurrency, self.setup.pace, "before").await?;
        self.add(&mut points, Point::new(snapshot.concurrency, 0, runs));
        let open = world.database.snapshot().await?;
        eprintln!("a snapshot is open:");
        let pace = Pace { warmup: 0, runs: snapshot.stretches, ..self.setup.pace };
        let runs = measure(&world, Journey::Saga, snapshot.concurrency, pace, "beside").await?;
        open.end().await?;
        self.add(&mut points, Point::new(snapshot.concurrency, 0, runs));
        world.end().await?;
        Ok(points)
    }

    async fn idle(&self, idle: &Idle) -> Result<Vec<Point>, String> {
        let world = self.world("idle", 1, &[]).await?;
        // What is done once at the start is over by then.
        sleep(SETTLED).await;
        let run = load::idle(&world, idle.idle).await?;
        world.end().await?;
        let mut points = vec![];
        self.add(&mut points, Point::new(0, 0, vec![run]));
        Ok(points)
    }

    async fn drain(&self, drain: &Drain) -> Result<Vec<Point>, String> {
        let world = self.world("drain", 1, &[("PISP_MODE", "queue")]).await?;
        people::register(&world, FILLERS).await?;
        let rate = make(&world, Journey::Park, FILLERS, drain.count, "park").await?;
        eprintln!("{} are parked, at {rate:.0} a second", drain.count);
        let mut operator = Operator { client: Client::new(world.server(0), &token("olga", "operator")?) };
        let began = Instant::now();
        operator.open().await?;
        operator.until_sent(drain.count).await?;
        let seconds = began.elapsed().as_secs_f64();
        world.end().await?;
        let run =
            Run { seconds, done: drain.count, per_second: share(drain.count, seconds), ..Run::default() };
        let mut points = vec![];
        self.add(&mut points, Point::new(0, drain.count, vec![run]));
        Ok(points)
    }

    async fn world(&self, name: &str, processes: usize, settings: &[(&str, &str)]) -> Result<World, String> {
        let own = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let all: Vec<_> = own.chain(self.setup.settings.iter().cloned()).collect();
        World::start(self.site, self.setup.place, name, processes, &all).await
    }

    fn add(&self, points: &mut Vec<Point>, point: Point) {
        (self.tell)(&point);
        points.push(point);
    }
}

/// Somebody who opens the bank again and sees the queue go.
struct Operator {
    client: Client,
}

impl Operator {
    async fn open(&mut self) -> Result<(), String> {
        let live = json!({ "mode": "live", "reason": "the bench lets the queue through" });
        self.ask("PATCH", "/v1/providers/neonomics", &live).await?;
        let fast = json!({ "perMinute": PER_MINUTE, "reason": "the bench lets the queue through" });
        self.ask("POST", &format!("/v1/queues/neonomics:{BANK}/drain"), &fast).await.map(drop)
    }

    /// Waits until so many have reached the approval at the bank.
    async fn until_sent(&mut self, count: usize) -> Result<(), String> {
        let (mut most, mut since) = (0, Instant::now());
        loop {
            let told = self.ask("GET", "/v1/workflows?phase=awaiting_sca&limit=1", &Value::Null).await?;
            let sent = told["total"].as_u64().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
            if sent >= count {
                return Ok(());
            }
            if sent > most {
                (most, since) = (sent, Instant::now());
            }
            if since.elapsed() > STUCK {
                return Err(format!("the queue does not get on: {most} of {count} are sent"));
            }
            sleep(LOOK).await;
        }
    }

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.client.ask(&Ask { method, path, headers: "", body: &body }).await?;
        if reply.status == 200 {
            Ok(reply.body)
        } else {
            Err(format!("{path}: {} {}", reply.status, reply.body))
        }
    }
}
