//! Who is around: clients that start, ask, take back and hang up; the bank's callbacks on their way in; an operator who
//! reads the bank's statement.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use workers::engine::{Engine, Started, Told};
use workers::ports::Clock as _;
use workers::store::{Filter, InboxKey, Instance};
use workflows::ids::{EndToEndId, TransactionId, WorkflowId};
use workflows::payment::{By, Event, Truth};

use crate::bank::{self, Callback, UnderWay};
use crate::breach::Rule;
use crate::chance::Chance;
use crate::faults::{Blow, Fault, Rates};
use crate::orders;
use crate::plan::{Order, Wish};
use crate::ports::ordered;
use crate::registry;
use crate::world::World;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a client tries again in all; it takes no answer for a maybe.
const TRIES: u64 = 60;

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// Of which order.
    pub number: u64,
    /// The instance.
    pub id: WorkflowId,
    /// Whether it is said to be new.
    pub new: bool,
    /// The amount that it was started with.
    pub body: String,
}

/// The client of an order: it starts it, whatever it takes, and asks how it is until it is at its end.
pub async fn client(world: Arc<World>, order: Order) {
    sleep(order.at).await;
    let chance = world.plan.chance.fork("client", order.number);
    let twice = world.faults.one("client", order.number, Fault::StartTwice, 800);
    let other = world.faults.threat("client other", order.number, &[(Fault::StartOther, 500)]);
    let usual = Try { chance, minor: order.minor, other, gives_up: None };
    if twice.is_some() {
        let again = Try { chance: chance.fork("again", 0), ..usual };
        tokio::spawn(errand(Arc::clone(&world), order.clone(), again));
    }
    if other.is_some() {
        let other = Try { chance: chance.fork("other", 0), minor: order.minor + 1, ..usual };
        tokio::spawn(errand(Arc::clone(&world), order.clone(), other));
    }
    let gives_up = world.faults.threat("client once", order.number, &[(Fault::NeverRetries, 500)]);
    let own = Try { gives_up, ..usual };
    let Some(id) = starts(Arc::clone(&world), order.clone(), own).await else { return };
    if let Some((after, wish)) = order.cancel
        && world.faults.planned(Fault::CancelAsked, world.plan.chance.fork("cancel", order.number).bits())
    {
        tokio::spawn(wishes(Arc::clone(&world), id, after, wish, world.bank.sets_out()));
    }
    watches(world, id).await;
}

/// How somebody starts an order.
#[derive(Clone, Copy)]
struct Try {
    chance: Chance,
    /// The amount.
    minor: i64,
    /// Somebody uses the same key for another order.
    other: Option<Blow>,
    /// Whoever has no answer to the first try asks no more.
    gives_up: Option<Blow>,
}

/// A start beside the client's own.
async fn errand(world: Arc<World>, order: Order, how: Try) {
    let _under_way = world.bank.sets_out();
    // What comes of it is the client's to see.
    let _ = starts(Arc::clone(&world), order, how).await;
}

/// Tries to start until there is an answer.
async fn starts(world: Arc<World>, order: Order, how: Try) -> Option<WorkflowId> {
    let Try { mut chance, minor, .. } = how;
    for nth in 0..TRIES {
        if let Some(engine) = world.any_engine(&mut chance) {
            let bits = u128::from(chance.bits()) << 64 | u128::from(chance.bits());
            let id = WorkflowId::new(ordered(world.clock.now(), bits));
            world.registry.note(id, order.number, minor);
            let hang_up = world.faults.threat("hang up", order.number, &[(Fault::HangUp, 500)]);
            let patience = hang_up.map_or(PATIENCE, |mut blow| {
                blow.chance.spread(Duration::from_micros(100), Duration::from_secs(1))
            });
            match timeout(patience, orders::start(&engine, &order, id, minor)).await {
                Ok(Ok(started)) => return Some(world.answered(&order, how, started).await),
                Ok(Err(_)) => {}
                Err(_) => {
                    if let Some(hang_up) = &hang_up {
                        world.faults.struck(hang_up);
                    }
                }
            }
            if let Some(gives_up) = &how.gives_up {
                world.faults.struck(gives_up);
                world.given_up().insert(order.number);
                return None;
            }
        }
        sleep(chance.spread(Duration::from_millis(500), Duration::from_secs(1 << nth.min(6)))).await;
    }
    None
}

/// Looks at it now and then; a payer who is asked to come back does so sooner or later.
async fn watches(world: Arc<World>, id: WorkflowId) {
    let mut chance = world.plan.chance.fork("watch", world.registry.number(id));
    let mut pause = Duration::from_secs(1);
    loop {
        sleep(chance.between(pause, pause * 2)).await;
        pause = (pause * 2).min(Duration::from_mins(30));
        let Some(engine) = world.any_engine(&mut chance) else { continue };
        let Ok(Ok(Some(instance))) = timeout(PATIENCE, engine.get(id)).await else { continue };
        world.judge.shown(&instance);
        if instance.status.is_final() {
            return;
        }
        let says = match &*instance.phase {
            "awaiting_user" => Event::Continued,
            "awaiting_sca" if chance.hits(1_000) => Event::Returned { payment: None },
            _ => continue,
        };
        // It is asked again as long as nothing came of it.
        let _ = timeout(PATIENCE, engine.tell(id, &says, "usr_kari", None)).await;
    }
}

/// Wants it taken back, once.
async fn wishes(world: Arc<World>, id: WorkflowId, after: Duration, wish: Wish, _under_way: UnderWay) {
    sleep(after).await;
    let wishers: &[By] = match wish {
        Wish::Payer => &[By::User],
        Wish::Operator => &[By::Operator],
        Wish::Compensation => &[By::Compensation],
        Wish::Both => &[By::User, By::Compensation],
    };
    let mut chance = world.plan.chance.fork("wish", world.registry.number(id));
    for by in wishers {
        let Some(engine) = world.any_engine(&mut chance) else { continue };
        let (by, world) = (*by, Arc::clone(&world));
        tokio::spawn(async move {
            let event = Event::CancelAsked { by };
            if let Ok(Ok(Told::Moved(instance))) =
                timeout(PATIENCE, engine.tell(id, &event, "somebody", None)).await
            {
                world.judge.shown(&instance);
            }
        });
    }
}

/// Brings callbacks in. Each is told to some process until one has taken it, and is a hint whatever it says.
pub async fn callbacks(world: Arc<World>, mut inbox: mpsc::UnboundedReceiver<Callback>) {
    while let Some(callback) = inbox.recv().await {
        tokio::spawn(hint(Arc::clone(&world), callback));
    }
}

async fn hint(world: Arc<World>, callback: Callback) {
    let Some(id) = registry::instance(&callback.end_to_end) else { return };
    let number = world.registry.number(id);
    let mut chance = world.plan.chance.fork("hint", number);
    for _ in 0..TRIES {
        if let Some(engine) = world.any_engine(&mut chance) {
            let event = if chance.hits(2_000) { Event::Returned { payment: None } } else { Event::Hinted };
            let key = InboxKey { source: "bank".into(), event: callback.event.clone().into() };
            let told = timeout(PATIENCE, engine.tell(id, &event, "bank", Some(key.clone()))).await;
            if let Ok(Ok(told)) = told {
                if let Told::Moved(instance) = told {
                    world.heard(number, &key, instance.seq);
                }
                return;
            }
        }
        sleep(chance.spread(Duration::from_secs(1), Duration::from_mins(1))).await;
    }
}

/// How often callbacks are forged.
const FORGED: &Rates =
    &[(Fault::CallbackForged, 500), (Fault::NobodysCallback, 200), (Fault::CallbackClaims, 500)];

/// Callbacks that no bank sent, about payments of any kind.
pub fn forges(world: &Arc<World>) {
    for order in &world.plan.orders {
        if let Some(forged) = world.faults.threat("forged", order.number, FORGED) {
            tokio::spawn(forge(Arc::clone(world), order.number, forged));
        }
    }
}

/// Sends one; it counts where somebody took it.
async fn forge(world: Arc<World>, number: u64, forged: Blow) {
    let _under_way = world.bank.sets_out();
    let mut chance = forged.chance;
    sleep(chance.spread(Duration::from_secs(1), Duration::from_mins(10))).await;
    let Some(engine) = world.any_engine(&mut chance) else { return };
    let key = |event: String| Some(InboxKey { source: "bank".into(), event: event.into() });
    if forged.fault() == Fault::NobodysCallback {
        let nobody = WorkflowId::new(u128::from(chance.bits()));
        let told = engine.tell(nobody, &Event::Hinted, "nobody", key(format!("nobody-{number}")));
        if let Ok(Ok(told)) = timeout(PATIENCE, told).await {
            world.faults.struck(&forged);
            if !matches!(told, Told::NotFound) {
                let what = "a callback about a payment that nobody has was taken".to_owned();
                world.judge.breaches.add(Rule::EventsOnce, Some(number), what);
            }
        }
        return;
    }
    let started = timeout(PATIENCE, engine.started(orders::SCOPE, &format!("order-{number}"))).await;
    let Ok(Ok(Some(instance))) = started else { return };
    let key = if forged.fault() == Fault::CallbackClaims {
        // Nothing is as it says, and the bank's own word of it will come under the very name.
        if world.bank.truth(number) != (0, true) {
            return;
        }
        let end_to_end = EndToEndId::of(TransactionId::from(instance.id));
        key(format!("{end_to_end}-{}", world.executed_code(number)))
    } else {
        None
    };
    if let Ok(Ok(Told::Moved(instance))) =
        timeout(PATIENCE, engine.tell(instance.id, &Event::Hinted, "nobody", key.clone())).await
    {
        world.faults.struck(&forged);
        if let Some(key) = key {
            world.heard(number, &key, instance.seq);
        }
    }
}

/// For so long after an order the bank's statement may lack it.
const STATEMENT: Duration = Duration::from_hours(3);
/// For so long after the last transition an attempt may be under way.
const WIRE: Duration = Duration::from_hours(1);

/// The operator: whoever is in doubt and asks for one is resolved by what the bank's statement says.
pub async fn operator(world: Arc<World>) {
    let mut chance = world.plan.chance.fork("operator", 0);
    loop {
        sleep(Duration::from_mins(10)).await;
        let Some(engine) = world.any_engine(&mut chance) else { continue };
        let all = Filter { limit: 10_000, ..Filter::default() };
        let Ok(Ok(instances)) = timeout(PATIENCE, engine.list(&all)).await else { continue };
        for instance in instances {
            let conflict = instance.attention.as_ref().is_some_and(|text| text.starts_with("conflict"));
            if conflict || &*instance.phase == "in_doubt" && instance.attention.is_some() {
                resolves(&world, &engine, &instance).await;
            }
        }
    }
}

async fn resolves(world: &Arc<World>, engine: &Engine, instance: &Instance) {
    // The rows show the database's time.
    let now = world.database.now();
    let number = world.registry.number(instance.id);
    let (executed, live) = world.bank.truth(number);
    let settled = now.since(instance.created_at) >= STATEMENT && now.since(instance.updated_at) >= WIRE;
    let outcome = match (executed, live) {
        (0, true) => return,
        // That something is not on the statement says nothing until the day is over.
        (0, false) if !settled => return,
        (0, false) => Truth::NotExecuted,
        _ => Truth::Executed,
    };
    let event = Event::Resolved { outcome, reference: format!("statement {number}") };
    // Two operators at once: the second finds that it is done.
    let one = timeout(PATIENCE, engine.tell(instance.id, &event, "operator", None));
    let other = timeout(PATIENCE, engine.tell(instance.id, &event, "another operator", None));
    let (one, other) = tokio::join!(biased; one, other);
    let moved = [one, other].iter().filter(|told| matches!(told, Ok(Ok(Told::Moved(_))))).count();
    if moved > 1 {
        let what = "two operators resolved it".to_owned();
        world.judge.breach(Rule::Truthful, instance.id, what);
    }
}

impl World {
    /// What the bank will say of an order once it is executed.
    fn executed_code(&self, number: u64) -> &'static str {
        self.plan.order(number).map_or("ACSC", bank::executed_code)
    }

    /// A client has its answer: what it says is stored at that moment.
    async fn answered(&self, order: &Order, how: Try, started: Started) -> WorkflowId {
        let (instance, new) = match started {
            Started::New(instance) => (instance, true),
            Started::Existing(instance) => (instance, false),
        };
        let stored = self.store.load(instance.id).await.ok().flatten();
        if stored.is_none_or(|stored| stored.start != instance.start) {
            let what = "an accepted order is not stored".to_owned();
            self.judge.breach(Rule::DurableAccept, instance.id, what);
        }
        let body = instance.start.body_hash.to_string();
        if body != how.minor.to_string() {
            if let Some(other) = &how.other {
                self.faults.struck(other);
            }
            if new {
                let what = format!("a start of {} is answered as a new one of {body}", how.minor);
                self.judge.breach(Rule::StartsOnce, instance.id, what);
            }
        }
        self.note(Answer { number: order.number, id: instance.id, new, body });
        instance.id
    }
}
