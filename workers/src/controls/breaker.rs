//! A breaker: after so many failures nothing is sent for a while, then one question finds out whether it may be again.
//!
//! ```text
//! closed ──failures──> open ──time, then a probe──> half-open ──a real success──> closed
//!                       ^  └──the probe fails──┐        │
//!                       └──────────────────────┴────────┴── a real failure
//! ```
//!
//! Every attempt counts, repetitions too (X-20); so many failures within the window open it, whatever went well in
//! between. Credentials that the bank refuses open it at once (AI-26): asking on changes nothing. Only the trial itself
//! decides in half-open; attempts that began before the breaker opened and end now say nothing about today.
//!
//! A provider that could not be reached, and is not yet out of reach often enough, is in question: what was parked
//! because of it is let out only after a probe reached it. One that answers for several of its banks that it failed, and
//! blames none of them, is down as such (X-20); one bank alone never brings it down.
//!
//! An operator's word stands until it ends: neither a probe nor a trial that fails shortens it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflows::time::At;

use super::cause::Cause;

/// Failures that are remembered at most: more say nothing more.
const REMEMBERED: usize = 32;
/// A provider in question is asked after this part of the time that it would be left alone for.
const IN_QUESTION: u32 = 60;
/// Of so many banks the failures have to be, before their provider is to blame.
const SEVERAL: usize = 2;
/// How long the right to probe lasts.
pub(super) const PROBE: Duration = Duration::from_secs(15);
/// Whoever waits for a probe waits so long.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

/// When a breaker opens, and for how long (`NEONOMICS_BREAKER_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// So many failures
    pub failures: u32,
    /// within this time open it
    pub window: Duration,
    /// for so long.
    pub open_for: Duration,
}

/// What is stored of a breaker. One that has nothing to say is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Where it stands.
    pub stand: Stand,
    /// Until when its lane rests because the bank wants fewer calls, whatever the breaker does. That is no failure.
    pub rests_until: Option<At>,
}

/// Where a breaker stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// Everything passes.
    Closed {
        /// The latest failures.
        failures: Vec<At>,
        /// The latest failures at its banks that none of them is blamed for, of a provider's own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        at_banks: Vec<(At, String)>,
        /// Who is probing.
        probe: Option<Lease>,
    },
    /// Nothing passes.
    Open {
        /// When it opened.
        since: At,
        /// When it is due to be probed; `None` = when an operator says so.
        until: Option<At>,
        /// Why.
        by: Opened,
        /// Somebody wants it to be probed, whether a task waits or not.
        asked: bool,
        /// Who is probing.
        probe: Option<Lease>,
    },
    /// One real attempt at a time passes, over all processes.
    HalfOpen {
        /// When it opened.
        since: At,
        /// Why.
        #[serde(default)]
        by: Option<Opened>,
        /// Who is trying.
        trial: Option<Lease>,
    },
}

/// Why a breaker is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opened {
    /// Too many failures.
    Failures,
    /// The bank refuses our credentials: an operator's matter.
    Credentials,
    /// An operator.
    Operator(Cause),
}

/// The right to probe or to try, which lapses by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which process.
    pub by: String,
    /// Until when.
    pub until: At,
}

/// What a breaker says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Pass.
    Closed,
    /// One at a time, with a trial.
    HalfOpen,
    /// Its time is over: it is to be probed.
    Due,
    /// Nothing passes.
    Open,
}

/// What an attempt, a trial or a probe brought for one breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It failed.
    Failed(Option<Lease>),
    /// The provider answered that it failed at this bank, which it did not blame.
    FailedAt(String),
    /// It went well.
    Well(Option<Lease>),
    /// It says nothing, or was never made: the next one may try.
    Idle(Lease),
    /// Our credentials were refused.
    Locked(Option<Lease>),
    /// The lane is to rest until then.
    Rests(At),
}

/// What an operator does to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing passes from here on.
    Open,
    /// Everything passes again, and what it remembers is forgotten.
    Close,
    /// An open one is probed at once.
    Probe,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { stand: closed(), rests_until: None }
    }
}

impl Breaker {
    /// What it says at `now`.
    pub fn stance(&self, now: At) -> Stance {
        match &self.stand {
            Stand::Closed { .. } => Stance::Closed,
            Stand::Open { until: Some(until), .. } if *until <= now => Stance::Due,
            Stand::Open { .. } => Stance::Open,
            Stand::HalfOpen { .. } => Stance::HalfOpen,
        }
    }

    /// Until when its lane rests, at `now`.
    pub fn rests(&self, now: At) -> Option<At> {
        self.rests_until.filter(|until| now < *until)
    }

    /// Whether it is closed, and yet failed lately.
    pub fn is_in_question(&self, rules: &Rules, now: At) -> bool {
        match &self.stand {
            Stand::Closed { failures, .. } => failures.last().is_some_and(|at| *at > now.minus(rules.window)),
            Stand::Open { .. } | Stand::HalfOpen { .. } => false,
        }
    }

    /// Whether it is due to be probed and nobody is at it.
    pub fn wants_probe(&self, rules: &Rules, now: At) -> bool {
        self.next_probe(rules).is_some_and(|at| at <= now)
    }

    /// From when on it is due to be probed, unless nothing has to be found out, or that lies with an operator.
    pub fn next_probe(&self, rules: &Rules) -> Option<At> {
        let (due, probe) = match &self.stand {
            Stand::Open { until, probe, .. } => ((*until)?, probe),
            Stand::Closed { failures, probe, .. } => {
                (failures.last()?.plus(rules.open_for / IN_QUESTION), probe)
            }
            Stand::HalfOpen { .. } => return None,
        };
        Some(probe.as_ref().map_or(due, |probe| probe.until.max(due)))
    }

    /// Whether somebody asked for a probe that has not come yet.
    pub fn is_asked(&self) -> bool {
        matches!(self.stand, Stand::Open { asked: true, .. })
    }

    /// With a wish for the probe that is due; `None` when none is, or somebody wishes for it already.
    pub fn asked_for(&self, now: At) -> Option<Breaker> {
        let mut next = self.clone();
        match &mut next.stand {
            Stand::Open { asked, .. } if !*asked && self.stance(now) == Stance::Due => *asked = true,
            Stand::Open { .. } | Stand::Closed { .. } | Stand::HalfOpen { .. } => return None,
        }
        Some(next)
    }

    /// Whether a probe is under way that was not answered at once.
    pub fn is_kept_waiting(&self, now: At) -> bool {
        match &self.stand {
            Stand::Open { probe: Some(probe), .. } => {
                now < probe.until && probe.until.minus(PROBE).plus(AT_ONCE) <= now
            }
            Stand::Open { probe: None, .. } | Stand::Closed { .. } | Stand::HalfOpen { .. } => false,
        }
    }

    /// Whether it is not closed because an operator said so.
    pub fn is_by_hand(&self) -> bool {
        match &self.stand {
            Stand::Open { by, .. } | Stand::HalfOpen { by: Some(by), .. } => {
                matches!(by, Opened::Operator(_))
            }
            Stand::Closed { .. } | Stand::HalfOpen { by: None, .. } => false,
        }
    }

    /// Whether nothing of it has to be remembered at `now`.
    pub fn is_forgettable(&self, now: At) -> bool {
        matches!(&self.stand, Stand::Closed { failures, at_banks, .. } if failures.is_empty() && at_banks.is_empty())
            && self.rests(now).is_none()
    }

    /// With somebody probing it; `None` when it is not due, or somebody is at it.
    pub fn probed_by(&self, lease: &Lease, rules: &Rules, now: At) -> Option<Breaker> {
        let mut next = self.clone();
        match &mut next.stand {
            Stand::Open { probe, .. } | Stand::Closed { probe, .. } if self.wants_probe(rules, now) => {
                *probe = Some(lease.clone());
            }
            Stand::Open { .. } | Stand::Closed { .. } | Stand::HalfOpen { .. } => return None,
        }
        Some(next)
    }

    /// After a probe. `None` when the one who probed is not who probes any more.
    pub fn after_probe(&self, lease: &Lease, well: bool, rules: &Rules, now: At) -> Option<Breaker> {
        let stand = match (&self.stand, well) {
            (Stand::Open { since, by, probe: Some(probe), .. }, true) if probe == lease => {
                Stand::HalfOpen { since: *since, by: Some(by.clone()), trial: None }
            }
            (Stand::Open { since, by, probe: Some(probe), .. }, false) if probe == lease => {
                reopened(*since, Some(by), by.clone(), rules, now)
            }
            (Stand::Closed { at_banks, probe: Some(probe), .. }, true) if probe == lease => {
                Stand::Closed { failures: vec![], at_banks: at_banks.clone(), probe: None }
            }
            (Stand::Closed { failures, at_banks, probe: Some(probe) }, false) if probe == lease => {
                failed(failures, at_banks, rules, now)
            }
            (Stand::Open { .. } | Stand::Closed { .. } | Stand::HalfOpen { .. }, _) => return None,
        };
        Some(Breaker { stand, ..self.clone() })
    }

    /// With somebody trying; `None` when nobody may, or somebody does. One that is due is tried at once where the trial
    /// is a read and costs nothing (`reads`).
    pub fn tried_by(&self, lease: &Lease, reads: bool, now: At) -> Option<Breaker> {
        let (since, by) = match &self.stand {
            Stand::HalfOpen { since, by, trial } if is_free(trial.as_ref(), now) => (*since, by.clone()),
            Stand::Open { since, by, probe, .. }
                if reads && self.stance(now) == Stance::Due && is_free(probe.as_ref(), now) =>
            {
                (*since, Some(by.clone()))
            }
            Stand::HalfOpen { .. } | Stand::Open { .. } | Stand::Closed { .. } => return None,
        };
        let stand = Stand::HalfOpen { since, by, trial: Some(lease.clone()) };
        Some(Breaker { stand, ..self.clone() })
    }

    /// Without the right of one who is dead to probe or to try; `None` when it has no such one.
    pub fn without(&self, is_dead: impl Fn(&str) -> bool) -> Option<Breaker> {
        let mut next = self.clone();
        let (Stand::Closed { probe: right, .. }
        | Stand::Open { probe: right, .. }
        | Stand::HalfOpen { trial: right, .. }) = &mut next.stand;
        right.take_if(|right| is_dead(&right.by))?;
        Some(next)
    }

    /// After something happened.
    #[must_use]
    pub fn after(&self, effect: &Effect, rules: &Rules, now: At) -> Breaker {
        if let Effect::Rests(until) = effect {
            let rests_until = self.rests(now).max(Some(*until));
            return Breaker { rests_until, ..self.clone() };
        }
        let stand = match (&self.stand, effect) {
            (Stand::Closed { failures, at_banks, .. }, Effect::Failed(_)) => {
                failed(failures, at_banks, rules, now)
            }
            (Stand::Closed { failures, at_banks, probe }, Effect::FailedAt(bank)) => {
                let at_banks = failed_at(at_banks, bank, rules, now);
                if is_of_several(&at_banks, rules) {
                    opened(now, Some(now.plus(rules.open_for)), Opened::Failures)
                } else {
                    Stand::Closed { failures: failures.clone(), at_banks, probe: probe.clone() }
                }
            }
            (Stand::Closed { .. }, Effect::Locked(_)) => {
                opened(now, Some(now.plus(rules.open_for)), Opened::Credentials)
            }
            (Stand::HalfOpen { since, by, trial: Some(trial) }, Effect::Failed(Some(lease)))
                if trial == lease =>
            {
                reopened(*since, by.as_ref(), Opened::Failures, rules, now)
            }
            (Stand::HalfOpen { since, by, trial: Some(trial) }, Effect::Locked(Some(lease)))
                if trial == lease =>
            {
                reopened(*since, by.as_ref(), Opened::Credentials, rules, now)
            }
            (Stand::HalfOpen { trial: Some(trial), .. }, Effect::Well(Some(lease))) if trial == lease => {
                closed()
            }
            (Stand::HalfOpen { since, by, trial: Some(trial) }, Effect::Idle(lease)) if trial == lease => {
                Stand::HalfOpen { since: *since, by: by.clone(), trial: None }
            }
            // What began before it opened, and what was overtaken, says nothing about today.
            (
                stand,
                Effect::Failed(_)
                | Effect::FailedAt(_)
                | Effect::Locked(_)
                | Effect::Well(_)
                | Effect::Idle(_)
                | Effect::Rests(_),
            ) => stand.clone(),
        };
        Breaker { stand, ..self.clone() }
    }

    /// After an operator's action. One that ends by itself is probed then.
    #[must_use]
    pub fn acted_on(&self, action: Action, cause: &Cause, now: At) -> Breaker {
        match action {
            Action::Open => {
                let stand = opened(now, cause.expires_at, Opened::Operator(cause.clone()));
                Breaker { stand, ..self.clone() }
            }
            Action::Close => Breaker::default(),
            Action::Probe => match &self.stand {
                Stand::Open { since, by, probe, .. } => {
                    let (until, by, probe) = (Some(now), by.clone(), probe.clone());
                    Breaker {
                        stand: Stand::Open { since: *since, until, by, asked: true, probe },
                        ..self.clone()
                    }
                }
                // A closed one has nothing to find out, and a half-open one is about to.
                Stand::Closed { .. } | Stand::HalfOpen { .. } => self.clone(),
            },
        }
    }
}

fn closed() -> Stand {
    Stand::Closed { failures: vec![], at_banks: vec![], probe: None }
}

fn opened(since: At, until: Option<At>, by: Opened) -> Stand {
    Stand::Open { since, until, by, asked: false, probe: None }
}

/// Open again after a probe or trial that failed. An operator's word that has not ended stands.
fn reopened(since: At, before: Option<&Opened>, by: Opened, rules: &Rules, now: At) -> Stand {
    match before {
        Some(Opened::Operator(cause)) if cause.holds_at(now) => {
            opened(since, cause.expires_at, Opened::Operator(cause.clone()))
        }
        Some(Opened::Operator(_) | Opened::Failures | Opened::Credentials) | None => {
            opened(since, Some(now.plus(rules.open_for)), by)
        }
    }
}

fn failed_at(before: &[(At, String)], bank: &str, rules: &Rules, now: At) -> Vec<(At, String)> {
    let from = now.minus(rules.window);
    let mut at_banks: Vec<_> = before.iter().filter(|(at, _)| *at > from).cloned().collect();
    at_banks.push((now, bank.to_owned()));
    let surplus = at_banks.len().saturating_sub(REMEMBERED);
    at_banks.drain(..surplus);
    at_banks
}

/// Whether so many failures, and of so many banks, are the provider's.
fn is_of_several(at_banks: &[(At, String)], rules: &Rules) -> bool {
    let banks: BTreeSet<&str> = at_banks.iter().map(|(_, bank)| bank.as_str()).collect();
    u64::try_from(at_banks.len()).is_ok_and(|known| known >= u64::from(rules.failures))
        && banks.len() >= SEVERAL
}

fn failed(before: &[At], at_banks: &[(At, String)], rules: &Rules, now: At) -> Stand {
    let from = now.minus(rules.window);
    let mut failures: Vec<At> = before.iter().copied().filter(|at| *at > from).collect();
    failures.push(now);
    let surplus = failures.len().saturating_sub(REMEMBERED);
    failures.drain(..surplus);
    let known = u64::try_from(failures.len()).unwrap_or(u64::MAX);
    if known >= u64::from(rules.failures) {
        opened(now, Some(now.plus(rules.open_for)), Opened::Failures)
    } else {
        Stand::Closed { failures, at_banks: at_banks.to_vec(), probe: None }
    }
}

fn is_free(lease: Option<&Lease>, now: At) -> bool {
    lease.is_none_or(|lease| lease.until <= now)
}

#[cfg(test)]
mod tests;
