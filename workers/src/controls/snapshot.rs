//! Every control as of one revision, decoded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workflows::engine::Lane;
use workflows::time::At;

use super::breaker::Breaker;
use super::cause::Cause;
use super::holds::HoldOn;
use super::layers::{Layers, Turn, in_force};
use super::ramp::Queue;
use super::rows::{ControlRow, Kind};
use super::settings::Settings;
use super::subject::{BreakerId, Operation, Scope};
use super::switches::{AispMode, PispMode, Switch, SwitchName};

/// How old a balance may be while everything works (AI-13),
const LIVE_TTL: Duration = Duration::from_mins(1);
/// while the bank wants fewer calls (AI-15),
const LIMITED_TTL: Duration = Duration::from_mins(5);
/// and in an outage (AI-33).
const CACHED_TTL: Duration = Duration::from_hours(1);

/// Every control as of one revision. Immutable: a change makes another one.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    revision: i64,
    breakers: BTreeMap<BreakerId, Stored<Breaker>>,
    switches: BTreeMap<String, Stored<Vec<Turn>>>,
    holds: BTreeMap<HoldOn, Stored<Cause>>,
    queues: BTreeMap<Lane, Stored<Queue>>,
    /// The openings of breakers that operators were told of.
    alarms: BTreeMap<BreakerId, Stored<At>>,
}

/// A control as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored<T> {
    pub(super) what: T,
    pub(super) version: i64,
    pub(super) updated_at: At,
}

/// What somebody said about a switch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Turned {
    pub(super) value: String,
    pub(super) cause: Cause,
}

impl Snapshot {
    /// Of stored rows. One that this version cannot read is left out, and an operator told: a newer process wrote it.
    pub(super) fn of(revision: i64, rows: &[ControlRow]) -> Self {
        let mut snapshot = Snapshot { revision, ..Snapshot::default() };
        for row in rows {
            if snapshot.put(row).is_none() {
                tracing::error!(
                    event = "control_unreadable",
                    kind = row.kind.as_str(),
                    subject = &*row.subject,
                    "a control cannot be read and is passed over"
                );
            }
        }
        snapshot
    }

    /// With one row written or removed as of `revision`.
    pub(super) fn with(&self, revision: i64, kind: Kind, subject: &str, row: Option<&ControlRow>) -> Self {
        let mut next = Snapshot { revision, ..self.clone() };
        next.remove(kind, subject);
        if let Some(row) = row {
            next.put(row);
        }
        next
    }

    /// The number that grows with every change.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Every breaker that has something to say, with when it last changed.
    pub fn breakers(&self) -> impl Iterator<Item = (&BreakerId, &Breaker, At)> {
        self.breakers.iter().map(|(id, stored)| (id, &stored.what, stored.updated_at))
    }

    /// Every switch that is turned at `now`, each with what holds again when that has ended; nothing = the start value.
    pub fn switches(&self, now: At) -> impl Iterator<Item = (&Turn, Option<&Turn>)> {
        self.switches.values().filter_map(move |stored| in_force(&stored.what, now))
    }

    /// Every hold at `now`.
    pub fn holds(&self, now: At) -> impl Iterator<Item = (&HoldOn, &Cause)> {
        let holds = self.holds.iter().map(|(hold, stored)| (hold, &stored.what));
        holds.filter(move |(_, cause)| cause.holds_at(now))
    }

    /// Every queue that something was held back in, or that an operator has a wish for.
    pub fn queues(&self) -> impl Iterator<Item = (&Lane, &Queue)> {
        self.queues.iter().map(|(lane, stored)| (lane, &stored.what))
    }

    /// The breakers that operators were told of, each with when it had opened.
    pub(super) fn alarms(&self) -> impl Iterator<Item = (&BreakerId, At)> {
        self.alarms.iter().map(|(id, stored)| (id, stored.what))
    }

    /// A breaker, unless it has nothing to say.
    pub fn breaker(&self, id: &BreakerId) -> Option<&Breaker> {
        self.breakers.get(id).map(|stored| &stored.what)
    }

    /// Whether payments are made at a bank: the strictest of what is said for all, for its provider and for itself.
    pub fn pisp(&self, settings: &Settings, provider: &str, bank: &str, now: At) -> PispMode {
        let turned = |scope| match self.turned(&SwitchName::Pisp(scope), now) {
            Some(Switch::Pisp(_, mode)) => Some(*mode),
            _ => None,
        };
        let for_all = turned(Scope::All).unwrap_or(settings.start.pisp);
        reaching(provider, bank).filter_map(turned).fold(for_all, Ord::max)
    }

    /// Whether balances are read at a bank: the strictest of what is said for all, for its provider and for itself.
    pub fn aisp(&self, settings: &Settings, provider: &str, bank: &str, now: At) -> AispMode {
        let turned = |scope| match self.turned(&SwitchName::Aisp(scope), now) {
            Some(Switch::Aisp(_, mode)) => Some(*mode),
            _ => None,
        };
        let for_all = turned(Scope::All).unwrap_or(settings.start.aisp);
        reaching(provider, bank).filter_map(turned).fold(for_all, Ord::max)
    }

    /// How old a balance may be: what is said for the bank, its provider or all, in that order, and else what its mode
    /// brings (AI-13, AI-15, AI-33).
    pub fn cache_ttl(&self, settings: &Settings, provider: &str, bank: &str, now: At) -> Duration {
        let turned = |scope| match self.turned(&SwitchName::CacheTtl(scope), now) {
            Some(Switch::CacheTtl(_, ttl)) => Some(*ttl),
            _ => None,
        };
        let nearest_first = [Scope::bank(provider, bank), Scope::Provider(provider.to_owned()), Scope::All];
        let said = nearest_first.into_iter().find_map(turned).or(settings.start.cache_ttl);
        said.unwrap_or_else(|| match self.aisp(settings, provider, bank, now) {
            AispMode::Live if self.is_limited(provider, bank, now) => LIMITED_TTL,
            AispMode::Live => LIVE_TTL,
            AispMode::Cached | AispMode::Hidden => CACHED_TTL,
        })
    }

    /// The switch of a name, while it is turned.
    pub fn turned(&self, name: &SwitchName, now: At) -> Option<&Switch> {
        self.turn(name, now).map(|(turn, _)| &turn.switch)
    }

    /// The same with who turned it, and with what holds again when that has ended; nothing = the start value.
    pub fn turn(&self, name: &SwitchName, now: At) -> Option<(&Turn, Option<&Turn>)> {
        in_force(&self.switches.get(&name.subject())?.what, now)
    }

    /// Everything that was said about a switch, with the version of that; 0 = nothing was.
    pub(super) fn stored_switch(&self, name: &SwitchName) -> (i64, &[Turn]) {
        let stored = self.switches.get(&name.subject());
        stored.map_or((0, &[]), |stored| (stored.version, stored.what.as_slice()))
    }

    /// Whether one of these holds is in force.
    pub(super) fn is_held(&self, by: &[HoldOn], now: At) -> bool {
        !self.holds.is_empty()
            && by.iter().any(|hold| self.holds.get(hold).is_some_and(|stored| stored.what.holds_at(now)))
    }

    pub(super) fn stored_breaker(&self, id: &BreakerId) -> (i64, Breaker) {
        stored(self.breakers.get(id))
    }

    pub(super) fn stored_queue(&self, lane: &Lane) -> (i64, Queue) {
        stored(self.queues.get(lane))
    }

    /// The version of a switch or hold; 0 = there is none.
    pub(super) fn version(&self, kind: Kind, subject: &str) -> i64 {
        let version = match kind {
            Kind::Switch => self.switches.get(subject).map(|stored| stored.version),
            Kind::Hold => {
                HoldOn::parse(subject).and_then(|hold| self.holds.get(&hold)).map(|one| one.version)
            }
            Kind::Breaker => BreakerId::parse(subject).map(|id| self.stored_breaker(&id).0),
            Kind::Queue => Some(self.stored_queue(&Lane::stored(subject.to_owned())).0),
            Kind::Alarm => {
                BreakerId::parse(subject).and_then(|id| self.alarms.get(&id)).map(|one| one.version)
            }
        };
        version.unwrap_or(0)
    }

    fn is_limited(&self, provider: &str, bank: &str, now: At) -> bool {
        let id = BreakerId::Bank(provider.to_owned(), bank.to_owned(), Operation::Aisp);
        self.breaker(&id).and_then(|breaker| breaker.rests(now)).is_some()
    }

    fn put(&mut self, row: &ControlRow) -> Option<()> {
        match row.kind {
            Kind::Breaker => {
                self.breakers.insert(BreakerId::parse(&row.subject)?, read(row)?);
            }
            Kind::Switch => {
                let Stored { what: layers, version, updated_at } = read::<Layers>(row)?;
                let what = layers.read(&row.subject, updated_at)?;
                self.switches.insert(row.subject.to_string(), Stored { what, version, updated_at });
            }
            Kind::Hold => {
                self.holds.insert(HoldOn::parse(&row.subject)?, read(row)?);
            }
            Kind::Queue => {
                self.queues.insert(Lane::stored(row.subject.to_string()), read(row)?);
            }
            Kind::Alarm => {
                self.alarms.insert(BreakerId::parse(&row.subject)?, read(row)?);
            }
        }
        Some(())
    }

    fn remove(&mut self, kind: Kind, subject: &str) {
        match kind {
            Kind::Breaker => drop(BreakerId::parse(subject).and_then(|id| self.breakers.remove(&id))),
            Kind::Switch => drop(self.switches.remove(subject)),
            Kind::Hold => drop(HoldOn::parse(subject).and_then(|hold| self.holds.remove(&hold))),
            Kind::Queue => drop(self.queues.remove(&Lane::stored(subject.to_owned()))),
            Kind::Alarm => drop(BreakerId::parse(subject).and_then(|id| self.alarms.remove(&id))),
        }
    }
}

/// The scopes below "all" that reach a bank.
fn reaching(provider: &str, bank: &str) -> impl Iterator<Item = Scope> {
    [Scope::Provider(provider.to_owned()), Scope::bank(provider, bank)].into_iter()
}

fn stored<T: Clone + Default>(stored: Option<&Stored<T>>) -> (i64, T) {
    stored.map_or_else(|| (0, T::default()), |stored| (stored.version, stored.what.clone()))
}

fn read<T: DeserializeOwned>(row: &ControlRow) -> Option<Stored<T>> {
    let what = serde_json::from_str(&row.document).ok()?;
    Some(Stored { what, version: row.version, updated_at: row.updated_at })
}

/// The document of a control. It holds strings, numbers and enums alone, which always serialise.
pub(super) fn document<T: Serialize>(what: &T) -> Arc<str> {
    serde_json::to_string(what).unwrap_or_default().into()
}
