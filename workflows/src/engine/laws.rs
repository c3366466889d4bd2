//! What every workflow promises, checked by walking every situation that it can get into.
//!
//! A situation is a state, the tasks that are outstanding, and the truth at the providers (the *world*). From each one
//! the walk lets everything happen that can: the world drifts by itself, every outstanding step brings each answer the
//! world may give, every timer fires, everybody says everything. It checks, and prints the shortest way to a breach:
//!
//! 1. nothing that can happen is refused;
//! 2. something that leads on is outstanding until the end, and every deadline of the state beside it; after the end
//!    nothing is done any more, only read;
//! 3. a step that is run anew while outstanding is one that may be repeated, and asks a question in its state;
//! 4. what is shown agrees with the world: no success without it, no failure against it, no debt left;
//! 5. every situation can still come to an end;
//! 6. every state survives its serialisation, and time is recorded but never decides.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::{Debug, Write as _};
use std::hash::Hash;

use super::{Answer, Cause, Effect, Finding, Machine, Named, Next, On, OnOf, Repeat, Stake, TaskName};
use crate::time::At;

/// A machine together with the worlds that it may meet.
pub trait Lawful: Machine<State: Eq + Hash> {
    /// The truth at the providers.
    type World: Clone + Eq + Hash + Debug;

    /// The world before anything was sent.
    fn beginning(order: &Self::Order) -> Self::World;
    /// What the world may do by itself.
    fn drift(order: &Self::Order, world: &Self::World) -> Vec<Self::World>;
    /// What a step may bring, and the world afterwards.
    fn bring(
        order: &Self::Order,
        state: &Self::State,
        world: &Self::World,
        step: Self::Step,
    ) -> Vec<(Brought, Self::World)>;
    /// Whether a timer may fire in this world: a timer stands for an assumption about the provider.
    fn may_fire(world: &Self::World, timer: Self::Timer) -> bool;
    /// What people and providers may say of their own accord.
    fn outside(state: &Self::State) -> Vec<Self::Event>;
    /// Whether what the state shows agrees with the world.
    ///
    /// # Errors
    /// The breach, as a sentence.
    fn judge(order: &Self::Order, state: &Self::State, world: &Self::World) -> Result<(), String>;
}

/// What a step ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// A definite finding.
    Found(Finding),
    /// Its policy was exhausted.
    GaveUp(Cause),
}

/// What a complete walk saw.
#[derive(Debug, Default)]
pub struct Map {
    /// How many situations there are.
    pub situations: usize,
    /// From phase, by what, to phase.
    pub edges: BTreeSet<(&'static str, String, &'static str)>,
}

impl Map {
    /// The state diagram as Mermaid text.
    pub fn mermaid(&self) -> String {
        let mut text = "stateDiagram-v2\n".to_owned();
        for (from, by, to) in self.edges.iter().filter(|(from, _, to)| from != to) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {from} --> {to}: {by}");
        }
        text
    }
}

/// A law was broken; `path` is the shortest way there.
#[derive(Debug)]
pub struct Breach {
    /// Which law, and how.
    pub law: String,
    /// What happened, one line each.
    pub path: Vec<String>,
}

struct Situation<M: Lawful> {
    state: M::State,
    outstanding: BTreeSet<TaskName>,
    world: M::World,
}

impl<M: Lawful> Clone for Situation<M> {
    fn clone(&self) -> Self {
        Situation {
            state: self.state.clone(),
            outstanding: self.outstanding.clone(),
            world: self.world.clone(),
        }
    }
}

impl<M: Lawful> PartialEq for Situation<M> {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state && self.outstanding == other.outstanding && self.world == other.world
    }
}

impl<M: Lawful> Eq for Situation<M> {}

impl<M: Lawful> Hash for Situation<M> {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.state.hash(hasher);
        self.outstanding.hash(hasher);
        self.world.hash(hasher);
    }
}

const NOW: At = At::EPOCH;
const LATER: At = At::from_millis(1_000_000_000_000);

/// Walks every situation of an order.
///
/// # Errors
/// The first law that is broken, with the shortest path to it.
pub fn walk<M: Lawful>(order: &M::Order) -> Result<Map, Box<Breach>> {
    let mut walk =
        Walk::<M> { order, seen: vec![], index: HashMap::new(), queue: VecDeque::new(), map: Map::default() };
    let (state, effects) = M::start(order);
    let outstanding = after::<M>(&BTreeSet::new(), &effects);
    walk.reach(None, "start".to_owned(), Situation { state, outstanding, world: M::beginning(order) })?;
    while let Some(at) = walk.queue.pop_front() {
        walk.expand(at)?;
    }
    walk.every_situation_can_end()?;
    walk.map.situations = walk.seen.len();
    Ok(walk.map)
}

struct Seen<M: Lawful> {
    situation: Situation<M>,
    from: Option<usize>,
    by: String,
    onward: Vec<usize>,
}

struct Walk<'o, M: Lawful> {
    order: &'o M::Order,
    seen: Vec<Seen<M>>,
    index: HashMap<Situation<M>, usize>,
    queue: VecDeque<usize>,
    map: Map,
}

impl<M: Lawful> Walk<'_, M> {
    fn expand(&mut self, at: usize) -> Result<(), Box<Breach>> {
        let here = self.seen[at].situation.clone();
        for world in M::drift(self.order, &here.world) {
            let by = format!("the world becomes {world:?}");
            self.reach(Some(at), by, Situation { world, ..here.clone() })?;
        }
        for event in M::outside(&here.state) {
            self.happen(at, &here, On::Said(event), None, here.world.clone())?;
        }
        for task in here.outstanding.clone() {
            if let Some(timer) = task.as_timer::<M::Timer>() {
                if M::may_fire(&here.world, timer) {
                    self.happen(at, &here, On::Fired(timer), Some(&task), here.world.clone())?;
                }
            } else if let Some(step) = task.as_step::<M::Step>() {
                self.perform(at, &here, &task, step)?;
            }
        }
        Ok(())
    }

    fn perform(
        &mut self,
        at: usize,
        here: &Situation<M>,
        task: &TaskName,
        step: M::Step,
    ) -> Result<(), Box<Breach>> {
        if M::call(self.order, &here.state, step).is_none() {
            return self.breach(at, format!("3: {task} asks nothing in {:?}", here.state));
        }
        for (brought, world) in M::bring(self.order, &here.state, &here.world, step) {
            match brought {
                Brought::GaveUp(cause) => {
                    self.happen(at, here, On::GaveUp(step, cause), Some(task), world)?;
                }
                Brought::Found(finding) => match M::hear(self.order, &here.state, step, &finding) {
                    Answer::Event(event) => self.happen(at, here, On::Said(event), Some(task), world)?,
                    Answer::Busy => {
                        let by = format!("{task} has no news");
                        self.reach(Some(at), by, Situation { world, ..here.clone() })?;
                    }
                    Answer::Unclear => {
                        return self.breach(at, format!("1: {task} cannot read {finding:?}"));
                    }
                },
            }
        }
        Ok(())
    }

    fn happen(
        &mut self,
        at: usize,
        here: &Situation<M>,
        on: OnOf<M>,
        consumed: Option<&TaskName>,
        world: M::World,
    ) -> Result<(), Box<Breach>> {
        let by = format!("{on:?}");
        let mut outstanding = here.outstanding.clone();
        if let Some(task) = consumed {
            outstanding.remove(task);
        }
        let next = M::on(self.order, &here.state, on.clone(), NOW);
        self.time_does_not_decide(at, here, on, &next)?;
        match next {
            Next::Refuse(why) => self.breach(at, format!("1: {by} is refused: {why}")),
            Next::Ignore => {
                let by = format!("{by} is ignored");
                self.reach(Some(at), by, Situation { state: here.state.clone(), outstanding, world })
            }
            Next::Go { state, effects } => {
                self.effects_are_allowed(at, &outstanding, &state, &effects)?;
                let view = M::view(self.order, &state);
                if view.status.is_final() {
                    outstanding.clear();
                }
                let outstanding = after::<M>(&outstanding, &effects);
                self.map.edges.insert((M::view(self.order, &here.state).phase, label(&by), view.phase));
                self.reach(Some(at), by, Situation { state, outstanding, world })
            }
        }
    }

    fn time_does_not_decide(
        &self,
        at: usize,
        here: &Situation<M>,
        on: OnOf<M>,
        next: &Next<M::State, M::Step, M::Timer>,
    ) -> Result<(), Box<Breach>> {
        let same = match (next, M::on(self.order, &here.state, on, LATER)) {
            (Next::Go { state, effects }, Next::Go { state: later, effects: later_effects }) => {
                *effects == later_effects && M::view(self.order, state) == M::view(self.order, &later)
            }
            (Next::Ignore, Next::Ignore) | (Next::Refuse(_), Next::Refuse(_)) => true,
            _ => false,
        };
        if same { Ok(()) } else { self.breach(at, "6: time decides".to_owned()) }
    }

    fn effects_are_allowed(
        &self,
        at: usize,
        outstanding: &BTreeSet<TaskName>,
        state: &M::State,
        effects: &[Effect<M::Step, M::Timer>],
    ) -> Result<(), Box<Breach>> {
        let ended = M::view(self.order, state).status.is_final();
        for effect in effects {
            match effect {
                Effect::Run(step) | Effect::RunIn(step, _) => {
                    let policy = M::policy(self.order, state, *step);
                    if ended && policy.stake != Stake::Reads {
                        return self.breach(at, format!("2: {step:?} is run after the end"));
                    }
                    let anew = outstanding.contains(&TaskName::step(*step));
                    if anew && (policy.repeat != Repeat::Freely || policy.stake != Stake::Reads) {
                        return self.breach(at, format!("3: {step:?} is run anew while it is outstanding"));
                    }
                }
                Effect::Arm(timer, _) | Effect::ArmAt(timer, _) | Effect::Queue(timer, _) if ended => {
                    return self.breach(at, format!("2: {timer:?} is armed after the end"));
                }
                Effect::Arm(..)
                | Effect::ArmAt(..)
                | Effect::Queue(..)
                | Effect::Disarm(_)
                | Effect::Withdraw(_)
                | Effect::Tell(_) => {}
            }
        }
        Ok(())
    }

    fn reach(&mut self, from: Option<usize>, by: String, situation: Situation<M>) -> Result<(), Box<Breach>> {
        if let Some(&known) = self.index.get(&situation) {
            if let Some(from) = from {
                self.seen[from].onward.push(known);
            }
            return Ok(());
        }
        let at = self.seen.len();
        self.index.insert(situation.clone(), at);
        if let Some(from) = from {
            self.seen[from].onward.push(at);
        }
        self.seen.push(Seen { situation, from, by, onward: vec![] });
        self.queue.push_back(at);
        self.is_lawful(at)
    }

    fn is_lawful(&self, at: usize) -> Result<(), Box<Breach>> {
        let Situation { state, outstanding, world } = &self.seen[at].situation;
        let ended = M::view(self.order, state).status.is_final();
        let lifelines = after::<M>(&BTreeSet::new(), &M::lifelines(self.order, state));
        if !ended && lifelines.is_disjoint(outstanding) {
            return self.breach(at, format!("2: nothing leads on from {state:?}"));
        }
        let deadlines = after::<M>(&BTreeSet::new(), &M::deadlines(self.order, state));
        if !ended && let Some(gone) = deadlines.difference(outstanding).next() {
            return self.breach(at, format!("2: {gone} is not armed in {state:?}"));
        }
        if let Err(how) = M::judge(self.order, state, world) {
            return self.breach(at, format!("4: {how}"));
        }
        let back = serde_json::to_string(state).and_then(|text| serde_json::from_str::<M::State>(&text));
        if !back.is_ok_and(|back| back == *state) {
            return self.breach(at, format!("6: {state:?} does not survive its serialisation"));
        }
        Ok(())
    }

    fn every_situation_can_end(&self) -> Result<(), Box<Breach>> {
        let mut before: Vec<Vec<usize>> = vec![vec![]; self.seen.len()];
        let mut open: VecDeque<usize> = VecDeque::new();
        let mut ends = vec![false; self.seen.len()];
        for (at, seen) in self.seen.iter().enumerate() {
            for &onward in &seen.onward {
                before[onward].push(at);
            }
            if M::view(self.order, &seen.situation.state).status.is_final() {
                ends[at] = true;
                open.push_back(at);
            }
        }
        while let Some(at) = open.pop_front() {
            for &earlier in &before[at] {
                if !ends[earlier] {
                    ends[earlier] = true;
                    open.push_back(earlier);
                }
            }
        }
        match ends.iter().position(|end| !end) {
            None => Ok(()),
            Some(at) => self.breach(at, "5: no end can be reached from here".to_owned()),
        }
    }

    fn breach(&self, at: usize, law: String) -> Result<(), Box<Breach>> {
        let mut path = vec![];
        let mut step = Some(at);
        while let Some(here) = step {
            let seen = &self.seen[here];
            path.push(format!("{} => {:?} {:?}", seen.by, seen.situation.state, seen.situation.outstanding));
            step = seen.from;
        }
        path.reverse();
        Err(Box::new(Breach { law, path }))
    }
}

fn after<M: Machine>(
    outstanding: &BTreeSet<TaskName>,
    effects: &[Effect<M::Step, M::Timer>],
) -> BTreeSet<TaskName> {
    let mut outstanding = outstanding.clone();
    for effect in effects {
        match effect {
            Effect::Withdraw(step) => {
                outstanding.remove(&TaskName::step(*step));
            }
            Effect::Disarm(timer) => {
                outstanding.remove(&TaskName::timer(*timer));
            }
            Effect::Run(_)
            | Effect::RunIn(..)
            | Effect::Arm(..)
            | Effect::ArmAt(..)
            | Effect::Queue(..)
            | Effect::Tell(_) => {}
        }
    }
    for effect in effects {
        match effect {
            Effect::Run(step) | Effect::RunIn(step, _) => {
                outstanding.insert(TaskName::step(*step));
            }
            Effect::Arm(timer, _) | Effect::ArmAt(timer, _) | Effect::Queue(timer, _) => {
                outstanding.insert(TaskName::timer(*timer));
            }
            Effect::Withdraw(_) | Effect::Disarm(_) | Effect::Tell(_) => {}
        }
    }
    outstanding
}

/// The first word of what happened, for a diagram.
fn label(by: &str) -> String {
    let inner = by.split_once('(').map_or(by, |(_, rest)| rest);
    let word: String = inner.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    match by.split_once('(') {
        Some(("GaveUp", rest)) => format!("gave up {}", rest.trim_end_matches(')').replace(", ", " ")),
        Some(_) | None => word,
    }
}

/// Names are unique and no step is called like a timer.
pub fn names_are_sound<M: Machine>() -> bool {
    let names: BTreeSet<TaskName> = M::Step::ALL
        .iter()
        .map(|step| TaskName::step(*step))
        .chain(M::Timer::ALL.iter().map(|timer| TaskName::timer(*timer)))
        .collect();
    names.len() == M::Step::ALL.len() + M::Timer::ALL.len()
}
