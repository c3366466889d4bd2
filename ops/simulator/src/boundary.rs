//! The boundaries of a process: each port call, before and after its effect, by name. A script says what happens at
//! one of them; a list keeps those that were crossed.

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
    /// Which crossing, from 1.
    pub nth: u32,
}

/// The name that every boundary answers to.
pub const ANY: &str = "*";

/// What happens at boundaries, in this order.
pub type Script = Vec<(Boundary, Act)>;

/// The boundaries of a world.
#[derive(Debug, Default)]
pub struct Boundaries {
    state: Option<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    /// Crossings after this many steps of the script are counted anew for the next one.
    counts: BTreeMap<String, u32>,
    crossed_since: u32,
    crossed: Vec<Boundary>,
}

impl Boundaries {
    /// Keeps what is crossed, and acts by a script.
    pub fn scripted(script: Script) -> Self {
        Boundaries { state: Some(Mutex::new(State { script, ..State::default() })) }
    }

    /// A boundary is crossed; answers what happens there.
    pub fn crossed(&self, name: &(dyn Fn() -> String + Sync), edge: Edge) -> Option<Act> {
        let mut state = self.state.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let side = match edge {
            Edge::Before => "before",
            Edge::After => "after",
        };
        let name = format!("{}:{side}", name());
        let count = state.counts.entry(name.clone()).or_insert(0);
        *count += 1;
        let boundary = Boundary { name, nth: *count };
        state.crossed.push(boundary.clone());
        let any = state.crossed_since;
        state.crossed_since += 1;
        let reached = |next: &Boundary| *next == boundary || next.name == ANY && next.nth == any + 1;
        if state.script.first().is_some_and(|(next, _)| reached(next)) {
            // What comes next counts from here.
            state.counts.clear();
            state.crossed_since = 0;
            return Some(state.script.remove(0).1);
        }
        None
    }

    /// Every boundary that was crossed, in order.
    pub fn all(&self) -> Vec<Boundary> {
        let state = self.state.as_ref().map(|state| state.lock().unwrap_or_else(PoisonError::into_inner));
        state.map_or_else(Vec::new, |state| state.crossed.clone())
    }
}
