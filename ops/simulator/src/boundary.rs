//! The boundaries of a process: each port call, before and after its effect, by name. A script says what happens at
//! some of them; a list keeps those that were crossed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Which side of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// What happens at a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The process dies.
    Crash,
    /// It stands still for so long.
    Pause(Duration),
    /// The answer of the call is lost: the effect took place and nobody knows.
    Unknown,
}

/// A boundary: the n-th crossing of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boundary {
    /// The port call and the side: `commit settle initiate:after`.
    pub name: String,
    /// Which crossing by any process, from 1.
    pub nth: u32,
}

/// Where something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this boundary, whoever crosses it.
    At(Boundary),
    /// In the recovery: the n-th boundary with work, from 1, that processes cross which are alive after the first death.
    Recovering(u32),
}

/// What happens at boundaries. Each act waits for its own place.
pub type Script = Vec<(Place, Act)>;

/// The boundaries of a world.
#[derive(Debug, Default)]
pub struct Boundaries {
    state: Option<Mutex<State>>,
}

/// What a script came to.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Every boundary that was crossed, in order.
    pub crossed: Vec<Boundary>,
    /// How many boundaries with work were crossed after the first death.
    pub recovering: u32,
    /// What did not happen, since its place was never crossed.
    pub left: Script,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    counts: BTreeMap<String, u32>,
    somebody_died: bool,
    recovering: u32,
    crossed: Vec<Boundary>,
}

impl Boundaries {
    /// Keeps what is crossed, and acts by a script.
    pub fn scripted(script: Script) -> Self {
        Boundaries { state: Some(Mutex::new(State { script, ..State::default() })) }
    }

    /// A process that is alive crosses a boundary; answers what happens there.
    pub fn crossed(&self, name: &(dyn Fn() -> String + Sync), edge: Edge) -> Option<Act> {
        let mut state = self.state.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let side = match edge {
            Edge::Before => "before",
            Edge::After => "after",
        };
        let name = name();
        let works = is_work(&name);
        let name = format!("{name}:{side}");
        let count = state.counts.entry(name.clone()).or_insert(0);
        *count += 1;
        let boundary = Boundary { name, nth: *count };
        state.crossed.push(boundary.clone());
        state.recovering += u32::from(state.somebody_died && works);
        let recovering = state.recovering;
        let here = |place: &Place| match place {
            Place::At(there) => *there == boundary,
            Place::Recovering(nth) => works && recovering >= *nth,
        };
        // What is to happen at this very boundary goes first: the recovery has a next one.
        let exactly = state.script.iter().position(|(place, _)| matches!(place, Place::At(_)) && here(place));
        let next = exactly.or_else(|| state.script.iter().position(|(place, _)| here(place)))?;
        let (_, act) = state.script.remove(next);
        state.somebody_died |= act == Act::Crash;
        Some(act)
    }

    /// What was crossed, and what is left of the script.
    pub fn played(&self) -> Played {
        let state = self.state.as_ref().map(|state| state.lock().unwrap_or_else(PoisonError::into_inner));
        state.map_or_else(Played::default, |state| Played {
            crossed: state.crossed.clone(),
            recovering: state.recovering,
            left: state.script.clone(),
        })
    }
}

/// What a claim is called that brought something.
pub const CLAIM_OF_WORK: &str = "claim of work";

/// Whether something goes on at a boundary of this name: a claim that brought something, a commit, a question to a
/// provider. The rest are looks, and what keeps claims alive.
fn is_work(name: &str) -> bool {
    let idle = [
        "lanes", "claim", "renew", "release", "load", "started", "history", "tasks", "heard", "controls",
        "control", "slow",
    ];
    !idle.contains(&name)
}
