//! Who is around: clients that start, ask, take back and hang up; the bank's callbacks on their way in; an operator who
//! reads the bank's statement.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use workers::engine::{Engine, Started, Told};
use workers::ports::Clock as _;
use workers::store::{Filter, InboxKey, Instance};
use workflows::ids::WorkflowId;
use workflows::payment::{By, Event, Truth};

use crate::bank::Callback;
use crate::breach::Rule;
use crate::chance::Chance;
use crate::faults::Fault;
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
    let other = world.faults.one("client other", order.number, Fault::StartOther, 500);
    if twice.is_some() {
        tokio::spawn(starts(Arc::clone(&world), order.clone(), chance.fork("again", 0), order.minor));
    }
    if other.is_some() {
        tokio::spawn(starts(Arc::clone(&world), order.clone(), chance.fork("other", 0), order.minor + 1));
    }
    let Some(id) = starts(Arc::clone(&world), order.clone(), chance, order.minor).await else { return };
    if let Some((after, wish)) = order.cancel
        && world.faults.planned(Fault::CancelAsked, world.plan.chance.fork("cancel", order.number).bits())
    {
        tokio::spawn(wishes(Arc::clone(&world), id, after, wish));
    }
    watches(world, id).await;
}

/// Tries to start until there is an answer.
async fn starts(world: Arc<World>, order: Order, mut chance: Chance, minor: i64) -> Option<WorkflowId> {
    for nth in 0..TRIES {
        if let Some(engine) = world.any_engine(&mut chance) {
            let bits = u128::from(chance.bits()) << 64 | u128::from(chance.bits());
            let id = WorkflowId::new(ordered(world.clock.now(), bits));
            world.registry.note(id, order.number, minor);
            let hang_up = world.faults.one("hang up", order.number, Fault::HangUp, 500);
            let patience = hang_up.map_or(PATIENCE, |mut chance| {
                chance.spread(Duration::from_micros(100), Duration::from_secs(1))
            });
            let started = timeout(patience, orders::start(&engine, &order, id, minor)).await;
            if let Ok(Ok(started)) = started {
                return Some(world.answered(&order, started).await);
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
async fn wishes(world: Arc<World>, id: WorkflowId, after: Duration, wish: Wish) {
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

/// Callbacks that no bank sent, about payments of any kind.
pub fn forges(world: &Arc<World>) {
    for order in &world.plan.orders {
        let Some(mut chance) = world.faults.one("forged", order.number, Fault::CallbackForged, 1_000) else {
            continue;
        };
        let (world, number) = (Arc::clone(world), order.number);
        tokio::spawn(async move {
            sleep(chance.spread(Duration::from_secs(1), Duration::from_mins(10))).await;
            let Some(engine) = world.any_engine(&mut chance) else { return };
            let started = timeout(PATIENCE, engine.started(orders::SCOPE, &format!("order-{number}"))).await;
            if let Ok(Ok(Some(instance))) = started {
                let said = engine.tell(instance.id, &Event::Hinted, "nobody", None);
                let _ = timeout(PATIENCE, said).await;
            }
        });
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
    let now = world.clock.now();
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
    /// A client has its answer: what it says is stored at that moment.
    async fn answered(&self, order: &Order, started: Started) -> WorkflowId {
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
        self.note(Answer { number: order.number, id: instance.id, new, body });
        instance.id
    }
}
