//! One world from beginning to end: its processes over its one store, its bank, its people, on one thread and in a time
//! of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use workers::controls::{self, Cause, ControlStore, Controls, PispMode, Scope, Switch};
use workers::engine::Engine;
use workers::ports::{Clock, Ids};
use workers::process::{Options, assemble};
use workers::providers::TokenSource;
use workers::providers::open_banking::OpenBanking;
use workers::store::{InboxKey, Store};
use workflows::engine::Book;
use workflows::qr_payment::QrPayment;
use workflows::remittance::Remittance;

use crate::bank::{self, Bank};
use crate::boundary::{Boundaries, Played, Script};
use crate::breach::{Breach, Breaches, Rule};
use crate::chance::Chance;
use crate::faults::{Allowed, Blow, Fault, Faults, Strike};
use crate::files::NoRoom;
use crate::host::{Host, MOST_CROSSINGS, Surroundings};
use crate::house::House;
use crate::judge::Judge;
use crate::line::{Held, Line, outage_id};
use crate::log::Log;
use crate::people::{self, Answer};
use crate::plan::Plan;
use crate::ports::{Jump, Seeded, Virtual};
use crate::registry::Registry;
use crate::store::Connection;
use crate::verdict;

/// How a world is run, beside its plan.
#[derive(Debug, Default)]
pub struct Manner {
    /// Which faults may strike.
    pub allowed: Allowed,
    /// What happens at boundaries; `None` = they are not even listed.
    pub script: Option<Script>,
    /// Whether a log is kept.
    pub told: bool,
}

/// What a world came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// SHA-256 over every history row, ledger row and answer, lower-case hex.
    pub digest: String,
    /// What must not happen and did.
    pub breaches: Vec<Breach>,
    /// What struck.
    pub strikes: Vec<Strike>,
    /// What was crossed and what happened there, where boundaries were listed.
    pub played: Played,
    /// Workflows that were started.
    pub workflows: usize,
    /// How much time went by in it.
    pub lasted: Duration,
    /// Its log, where one was kept.
    pub lines: Vec<String>,
}

/// Makes the store of a world.
pub type MakeStore<'a> = dyn Fn(Arc<Virtual>) -> Result<Arc<dyn Store>, NoRoom> + 'a;

/// Everything that lives in a world.
pub struct World {
    /// What it was to be.
    pub plan: Arc<Plan>,
    /// Its time.
    pub clock: Arc<Virtual>,
    /// What its database takes for the time.
    pub database: Arc<Virtual>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// Its bank.
    pub bank: Arc<Bank>,
    /// Who watches.
    pub judge: Arc<Judge>,
    /// Whose payments they are.
    pub registry: Arc<Registry>,
    /// Its store, without a connection in between.
    pub store: Arc<dyn Store>,
    book: Book,
    switch: Held,
    surroundings: Surroundings,
    slots: Mutex<Vec<Slot>>,
    answers: Mutex<Vec<Answer>>,
    /// Orders whose clients never learned what became of them, and asked no more.
    given_up: Mutex<BTreeSet<u64>>,
    heard: Mutex<BTreeMap<String, i64>>,
}

/// A place that a process runs in.
struct Slot {
    process: Option<Process>,
    starts: u64,
}

struct Process {
    engine: Engine,
    host: Arc<Host>,
    run: AbortHandle,
}

/// The longest that a world may last after faults have stopped.
const PATIENCE: Duration = Duration::from_hours(96);
/// The longest that it goes on after its last instance has ended, for what is still on its way.
const RUN_ON: Duration = Duration::from_hours(96);
/// How often a process asks its database for the time.
pub const RESYNC: Duration = Duration::from_secs(30);
/// How often it is looked whether anything is still on its way.
const A_WHILE: Duration = Duration::from_mins(2);

/// Runs a world on this thread, in a runtime of its own. Must not be called within another.
///
/// # Errors
/// [`NoRoom`].
pub fn run(plan: Plan, manner: Manner, make_store: &MakeStore<'_>) -> Result<Outcome, NoRoom> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(NoRoom::Runtime)?;
    runtime.block_on(live(plan, manner, make_store))
}

async fn live(mut plan: Plan, manner: Manner, make_store: &MakeStore<'_>) -> Result<Outcome, NoRoom> {
    let log = Arc::new(if manner.told { Log::kept() } else { Log::default() });
    let faults = Arc::new(Faults::of(plan.chance.fork("faults", 0), plan.mood, manner.allowed));
    let id = |what| plan.chance.fork(what, 0).bits();
    let (outage, held, jump) = (outage_id(&plan), id("held"), id("jump"));
    plan.outage = plan.outage.filter(|_| faults.may(outage));
    plan.store_away = plan.store_away.filter(|away| faults.may(away.id));
    plan.jump = plan.jump.filter(|_| faults.planned(Fault::ClockJump, jump));
    plan.held = plan.held.filter(|_| faults.planned(Fault::Held, held));
    let plan = Arc::new(plan);
    let clock = Arc::new(Virtual::beginning(plan.epoch));
    let database = Arc::new(clock.jumping(plan.jump));
    let (registry, breaches) = (Arc::new(Registry::default()), Arc::new(Breaches::default()));
    let (callbacks, inbox) = mpsc::unbounded_channel();
    let bank = Bank::open(bank::Parts {
        plan: Arc::clone(&plan),
        clock: Arc::clone(&clock),
        faults: Arc::clone(&faults),
        log: Arc::clone(&log),
        registry: Arc::clone(&registry),
        breaches: Arc::clone(&breaches),
        callbacks,
    });
    let judge = Arc::new(Judge::new(
        Arc::clone(&plan),
        (Arc::clone(&clock), Arc::clone(&database)),
        Arc::clone(&bank),
        Arc::clone(&registry),
        (Arc::clone(&breaches), Arc::clone(&log)),
    ));
    let (deaths, dead) = mpsc::unbounded_channel();
    let boundaries = Arc::new(manner.script.map_or_else(Boundaries::default, Boundaries::scripted));
    let crossings = Arc::new(Mutex::new(0));
    let world = Arc::new(World {
        store: make_store(Arc::clone(&database))?,
        book: Book::default().with::<Remittance>().with::<QrPayment>(),
        switch: Held::default(),
        surroundings: Surroundings {
            faults: Arc::clone(&faults),
            clock: Arc::clone(&clock),
            log: Arc::clone(&log),
            boundaries: Arc::clone(&boundaries),
            deaths,
            lease: plan.lease,
            crossings: Arc::clone(&crossings),
        },
        slots: Mutex::default(),
        answers: Mutex::default(),
        given_up: Mutex::default(),
        heard: Mutex::default(),
        clock,
        database,
        faults,
        bank,
        judge,
        registry,
        plan,
    });
    world.begin(dead, inbox);
    world.until_its_end(&breaches, &crossings).await;
    world.until_it_rests(&breaches).await;
    let digest = verdict::at_the_end(&world).await;
    Ok(Outcome {
        digest,
        breaches: breaches.all(),
        strikes: world.faults.strikes(),
        played: boundaries.played(),
        workflows: world.judge.instances(),
        lasted: world.clock.now().since(world.plan.epoch),
        lines: log.lines(),
    })
}

impl World {
    fn begin(
        self: &Arc<Self>,
        dead: mpsc::UnboundedReceiver<(usize, u64)>,
        inbox: mpsc::UnboundedReceiver<bank::Callback>,
    ) {
        for slot in 0..self.plan.processes {
            self.slots().push(Slot { process: None, starts: 0 });
            self.start_process(slot);
        }
        tokio::spawn(replaces_the_dead(Arc::clone(self), dead));
        tokio::spawn(people::callbacks(Arc::clone(self), inbox));
        people::forges(self);
        tokio::spawn(people::operator(Arc::clone(self)));
        tokio::spawn(holds(Arc::clone(self)));
        for order in &self.plan.orders {
            tokio::spawn(people::client(Arc::clone(self), order.clone()));
        }
    }

    /// Waits until everything has come to its end, something went wrong for good, or nothing goes on.
    async fn until_its_end(self: &Arc<Self>, breaches: &Breaches, crossings: &Mutex<u64>) {
        let calm = self.plan.calm_at;
        let calls = || *crossings.lock().unwrap_or_else(PoisonError::into_inner);
        let all = async {
            let mut looked_at = Duration::ZERO;
            while looked_at < calm {
                let next = (looked_at + Duration::from_mins(5)).min(calm);
                sleep(next.saturating_sub(looked_at)).await;
                looked_at = next;
                verdict::no_limbo(self).await;
                if self.is_at_its_end() {
                    return;
                }
            }
            self.faults.end();
            while !self.is_at_its_end() {
                tokio::select! {
                    biased;
                    () = self.judge.ended.notified() => {}
                    () = sleep(Duration::from_hours(1)) => verdict::no_limbo(self).await,
                }
            }
        };
        let too_many = async {
            while calls() <= MOST_CROSSINGS {
                sleep(Duration::from_mins(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = breaches.first() => {}
            () = all => {}
            () = too_many => {
                breaches.add(Rule::Liveness, None, "it goes in circles".to_owned());
            }
            () = sleep(calm + PATIENCE) => verdict::not_at_its_end(self).await,
        }
    }

    /// Goes on until no request, callback or errand is on its way and no payment at the bank can move any more: what
    /// comes after the last end must change none.
    async fn until_it_rests(&self, breaches: &Breaches) {
        let rests = async {
            let mut waited = Duration::ZERO;
            loop {
                // What somebody hung up on may still be committed.
                sleep(A_WHILE).await;
                waited += A_WHILE;
                if waited >= RUN_ON || self.bank.is_at_rest() && self.is_at_its_end() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = breaches.first() => {}
            () = rests => {}
        }
    }

    /// Whether every order has its answer, and every instance its end.
    fn is_at_its_end(&self) -> bool {
        let (answers, given_up) = (self.answers(), self.given_up());
        let answered =
            |number| given_up.contains(&number) || answers.iter().any(|answer| answer.number == number);
        self.plan.orders.iter().all(|order| answered(order.number)) && self.judge.live() == 0
    }

    /// A process that can be talked to, if there is one.
    pub fn any_engine(&self, chance: &mut Chance) -> Option<Engine> {
        let slots = self.slots();
        let alive: Vec<&Process> = slots
            .iter()
            .filter_map(|slot| slot.process.as_ref().filter(|process| process.host.is_alive()))
            .collect();
        let which = usize::try_from(chance.below(alive.len() as u64)).unwrap_or(0);
        alive.get(which).map(|process| process.engine.clone())
    }

    /// Starts a process in a place.
    fn start_process(self: &Arc<Self>, slot: usize) {
        let (start, recovers) = {
            let mut slots = self.slots();
            let Some(place) = slots.get_mut(slot) else { return };
            place.starts += 1;
            (place.starts, place.starts > 1)
        };
        let which = (slot as u64) << 32 | start;
        let early = [(Fault::CrashInRecovery, 1_500)];
        let early = if recovers { self.faults.threat("recovery", slot as u64, &early) } else { None };
        let host = Host::running(slot, start, early, self.surroundings.clone());
        let ids: Arc<dyn Ids> =
            Arc::new(Seeded::of(self.plan.chance.fork("ids", which), Arc::clone(&self.clock)));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.jumping(self.jump_of(which)));
        let line = Line {
            host: Arc::clone(&host),
            bank: Arc::clone(&self.bank),
            faults: Arc::clone(&self.faults),
            judge: Arc::clone(&self.judge),
            store: Arc::clone(&self.store),
            switch: self.switch.clone(),
        };
        let token = if self.plan.tokens {
            let secret = SecretString::from("a secret of the simulation".to_owned());
            TokenSource::ClientCredentials { id: "sluse".to_owned(), secret }
        } else {
            TokenSource::None
        };
        let bank = OpenBanking::over(
            Arc::new(line),
            "neonomics".into(),
            token,
            Arc::clone(&clock),
            Arc::clone(&ids),
        );
        let provider = House {
            payments: bank,
            host: Arc::clone(&host),
            faults: Arc::clone(&self.faults),
            chance: self.plan.chance.fork("house", 0),
        };
        let store = Connection {
            host: Arc::clone(&host),
            inner: Arc::clone(&self.store),
            clock: Arc::clone(&clock),
            faults: Arc::clone(&self.faults),
            judge: Arc::clone(&self.judge),
            away: self.plan.store_away,
        };
        let options = Options {
            steps_in_flight: self.plan.hands,
            lease: self.plan.lease,
            grace: Duration::from_secs(30),
        };
        let (world, quiet, deploy) = (Arc::clone(self), self.plan.quiet, self.retirement(slot, start));
        let retires = deploy.map_or(Duration::MAX, |mut deploy| {
            deploy.chance.between(Duration::from_secs(5), Duration::from_mins(5))
        });
        let (handle, handed) = oneshot::channel();
        let run = tokio::spawn(async move {
            let store = Arc::new(store);
            let controls = world.controls(Arc::<Connection>::clone(&store), clock, &*ids).await;
            let (engine, work) =
                assemble(store, &controls, world.book.clone(), Arc::new(provider), ids, options);
            let (Some(work), Ok(run)) = (work, handed.await) else { return };
            let process = Process { engine, host: Arc::clone(&host), run };
            if let Some(place) = world.slots().get_mut(slot) {
                place.process = Some(process);
            }
            work.run_bare(sleep(retires), quiet).await;
            // It drained: another takes its place.
            if let Some(deploy) = &deploy {
                world.faults.struck(deploy);
            }
            if host.retire() {
                world.start_process(host.slot);
            }
        });
        // It waits for it.
        let _ = handle.send(run.abort_handle());
    }

    /// The controls of a process: it asks until it is told what is forbidden.
    async fn controls(&self, store: Arc<dyn ControlStore>, clock: Arc<dyn Clock>, ids: &dyn Ids) -> Controls {
        loop {
            let settings = controls::Settings::default();
            match Controls::open(Arc::clone(&store), Arc::clone(&clock), ids, settings).await {
                Ok(controls) => return controls,
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// When a process is told to stop, since another version is to take its place.
    fn retirement(&self, slot: usize, start: u64) -> Option<Blow> {
        self.faults.threat("deploy", slot as u64, &[(Fault::Deploy, 1_000)]).filter(|_| start < 10)
    }

    /// When a process learns that the database's clock went forward: when it starts, or when it asks the next time.
    fn jump_of(&self, which: u64) -> Option<Jump> {
        let Jump { at, by } = self.plan.jump?;
        let mut chance = self.plan.chance.fork("resync", which);
        let asks = if self.clock.elapsed() >= at { at } else { at + chance.between(Duration::ZERO, RESYNC) };
        Some(Jump { at: asks, by })
    }

    /// Notes what a client was told, and that it was told the same as everybody.
    pub fn note(&self, answer: Answer) {
        let mut answers = self.answers();
        let other = answers.iter().find(|one| one.number == answer.number && one.id != answer.id);
        let differs =
            other.map(|other| format!("one key is {} to one and {} to another", other.id, answer.id));
        let twice = answers.iter().any(|one| one.number == answer.number && one.new && answer.new);
        let differs = differs.or_else(|| twice.then(|| "one key is said to be new twice".to_owned()));
        let id = answer.id;
        answers.push(answer);
        drop(answers);
        if let Some(what) = differs {
            self.judge.breach(Rule::StartsOnce, id, what);
        }
    }

    /// What clients were told so far.
    pub fn answers(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders whose clients asked no more.
    pub fn given_up(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event moved an instance to a revision: once, whoever it is told to.
    pub fn heard(&self, number: u64, key: &InboxKey, seq: i64) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.insert(key.event.to_string(), seq).is_some_and(|before| before != seq) {
            self.judge.breaches.add(Rule::EventsOnce, Some(number), format!("{} moved it twice", key.event));
        }
    }

    /// The machines of this world.
    pub fn book(&self) -> &Book {
        &self.book
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts another process where one died, some time later.
async fn replaces_the_dead(world: Arc<World>, mut deaths: mpsc::UnboundedReceiver<(usize, u64)>) {
    let mut chance = world.plan.chance.fork("restarts", 0);
    while let Some((slot, start)) = deaths.recv().await {
        let its_own = |process: &mut Process| process.host.start == start;
        let dead = world.slots().get_mut(slot).and_then(|slot| slot.process.take_if(its_own));
        if let Some(process) = dead {
            // Nothing of it acts any more; its memory goes too.
            process.run.abort();
        }
        verdict::after_a_death(&world).await;
        let after = chance.spread(Duration::from_millis(100), Duration::from_secs(30));
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            sleep(after).await;
            world.start_process(slot);
        });
    }
}

/// The operator's hand at the switch before the provider.
async fn holds(world: Arc<World>) {
    let Some((from, to)) = world.plan.held else { return };
    let ids = Seeded::of(world.plan.chance.fork("operator", 0), Arc::clone(&world.clock));
    let clock: Arc<dyn Clock> = Arc::<Virtual>::clone(&world.database);
    let controls = world.controls(Arc::<dyn Store>::clone(&world.store), clock, &ids).await;
    for (at, mode) in [(from, PispMode::Queue), (to, PispMode::Live)] {
        sleep(at.saturating_sub(world.clock.now().since(world.plan.epoch))).await;
        let cause = Cause { actor: "operator".to_owned(), reason: "a drill".to_owned(), expires_at: None };
        if mode == PispMode::Live {
            *world.switch.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if let Err(trouble) = controls.set(&Switch::Pisp(Scope::All, mode), cause).await {
            world.judge.breaches.add(Rule::Liveness, None, trouble.to_string());
        }
        if mode == PispMode::Queue {
            *world.switch.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(world.clock.now());
        }
    }
}
