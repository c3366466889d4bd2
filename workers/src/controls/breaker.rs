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
//! because of it is let out only after a probe reached it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflows::time::At;

use super::cause::Cause;

/// Failures that are remembered at most: more say nothing more.
const REMEMBERED: usize = 32;
/// A provider in question is asked after this part of the time that it would be left alone for.
const IN_QUESTION: u32 = 60;

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
        /// An operator wants it to be probed, whether anything waits or not.
        asked: bool,
        /// Who is probing.
        probe: Option<Lease>,
    },
    /// One real attempt at a time passes, over all processes.
    HalfOpen {
        /// When it opened.
        since: At,
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
            Stand::Closed { failures, probe } => (failures.last()?.plus(rules.open_for / IN_QUESTION), probe),
            Stand::HalfOpen { .. } => return None,
        };
        Some(probe.as_ref().map_or(due, |probe| probe.until.max(due)))
    }

    /// Whether an operator asked for a probe that has not come yet.
    pub fn is_asked(&self) -> bool {
        matches!(self.stand, Stand::Open { asked: true, .. })
    }

    /// Whether nothing of it has to be remembered at `now`.
    pub fn is_forgettable(&self, now: At) -> bool {
        matches!(&self.stand, Stand::Closed { failures, .. } if failures.is_empty())
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
            (Stand::Open { since, probe: Some(probe), .. }, true) if probe == lease => {
                Stand::HalfOpen { since: *since, trial: None }
            }
            (Stand::Open { since, by, probe: Some(probe), .. }, false) if probe == lease => {
                opened(*since, Some(now.plus(rules.open_for)), by.clone())
            }
            (Stand::Closed { probe: Some(probe), .. }, true) if probe == lease => closed(),
            (Stand::Closed { failures, probe: Some(probe) }, false) if probe == lease => {
                failed(failures, rules, now)
            }
            (Stand::Open { .. } | Stand::Closed { .. } | Stand::HalfOpen { .. }, _) => return None,
        };
        Some(Breaker { stand, ..self.clone() })
    }

    /// With somebody trying; `None` when nobody may, or somebody does. One that is due is tried at once where the trial
    /// is a read and costs nothing (`reads`).
    pub fn tried_by(&self, lease: &Lease, reads: bool, now: At) -> Option<Breaker> {
        let since = match &self.stand {
            Stand::HalfOpen { since, trial } if is_free(trial.as_ref(), now) => *since,
            Stand::Open { since, probe, .. }
                if reads && self.stance(now) == Stance::Due && is_free(probe.as_ref(), now) =>
            {
                *since
            }
            Stand::HalfOpen { .. } | Stand::Open { .. } | Stand::Closed { .. } => return None,
        };
        let stand = Stand::HalfOpen { since, trial: Some(lease.clone()) };
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
        let open = |since, by| opened(since, Some(now.plus(rules.open_for)), by);
        let stand = match (&self.stand, effect) {
            (Stand::Closed { failures, .. }, Effect::Failed(_)) => failed(failures, rules, now),
            (Stand::Closed { .. }, Effect::Locked(_)) => open(now, Opened::Credentials),
            (Stand::HalfOpen { since, trial: Some(trial) }, Effect::Failed(Some(lease)))
                if trial == lease =>
            {
                open(*since, Opened::Failures)
            }
            (Stand::HalfOpen { since, trial: Some(trial) }, Effect::Locked(Some(lease)))
                if trial == lease =>
            {
                open(*since, Opened::Credentials)
            }
            (Stand::HalfOpen { trial: Some(trial), .. }, Effect::Well(Some(lease))) if trial == lease => {
                closed()
            }
            (Stand::HalfOpen { since, trial: Some(trial) }, Effect::Idle(lease)) if trial == lease => {
                Stand::HalfOpen { since: *since, trial: None }
            }
            // What began before it opened, and what was overtaken, says nothing about today.
            (
                stand,
                Effect::Failed(_) | Effect::Locked(_) | Effect::Well(_) | Effect::Idle(_) | Effect::Rests(_),
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
    Stand::Closed { failures: vec![], probe: None }
}

fn opened(since: At, until: Option<At>, by: Opened) -> Stand {
    Stand::Open { since, until, by, asked: false, probe: None }
}

fn failed(before: &[At], rules: &Rules, now: At) -> Stand {
    let from = now.minus(rules.window);
    let mut failures: Vec<At> = before.iter().copied().filter(|at| *at > from).collect();
    failures.push(now);
    let surplus = failures.len().saturating_sub(REMEMBERED);
    failures.drain(..surplus);
    let known = u64::try_from(failures.len()).unwrap_or(u64::MAX);
    if known >= u64::from(rules.failures) {
        opened(now, Some(now.plus(rules.open_for)), Opened::Failures)
    } else {
        Stand::Closed { failures, probe: None }
    }
}

fn is_free(lease: Option<&Lease>, now: At) -> bool {
    lease.is_none_or(|lease| lease.until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules =
        Rules { failures: 3, window: Duration::from_mins(1), open_for: Duration::from_mins(1) };

    fn at(second: u64) -> At {
        At::EPOCH.plus(Duration::from_secs(second))
    }

    fn lease(by: &str, until: u64) -> Lease {
        Lease { by: by.to_owned(), until: at(until) }
    }

    fn failed_at(seconds: &[u64]) -> Breaker {
        seconds.iter().fold(Breaker::default(), |breaker, second| {
            breaker.after(&Effect::Failed(None), &RULES, at(*second))
        })
    }

    fn open() -> Breaker {
        failed_at(&[0, 1, 2])
    }

    fn half_open() -> Breaker {
        let probe = lease("a", 75);
        let probed = open().probed_by(&probe, &RULES, at(62)).expect("it is due");
        probed.after_probe(&probe, true, &RULES, at(63)).expect("who probes is who probed")
    }

    fn cause(expires_at: Option<At>) -> Cause {
        Cause { actor: "op".to_owned(), reason: "test".to_owned(), expires_at }
    }

    #[test]
    fn so_many_failures_within_the_window_open_it() {
        for (seconds, stance) in [
            (&[0, 1][..], Stance::Closed),
            (&[0, 1, 2], Stance::Open),
            (&[0, 30, 59], Stance::Open),
            (&[0, 30, 61], Stance::Closed),
            (&[0, 1, 30, 61, 62], Stance::Open),
        ] {
            let breaker = failed_at(seconds);
            let now = at(*seconds.last().expect("some"));
            assert_eq!(breaker.stance(now), stance, "{seconds:?}");
        }
    }

    #[test]
    fn it_goes_from_open_over_a_probe_and_a_real_success_to_closed() {
        let open = open();
        assert_eq!((open.stance(at(61)), open.wants_probe(&RULES, at(61))), (Stance::Open, false));
        assert_eq!((open.stance(at(62)), open.wants_probe(&RULES, at(62))), (Stance::Due, true));
        let probe = lease("a", 75);
        let probed = open.probed_by(&probe, &RULES, at(62)).expect("it is due");
        assert_eq!(probed.probed_by(&lease("b", 75), &RULES, at(63)), None, "one process probes");
        assert!(
            probed.probed_by(&lease("b", 90), &RULES, at(75)).is_some(),
            "one that died does not hold it up"
        );
        assert_eq!(probed.after_probe(&lease("b", 75), true, &RULES, at(63)), None);
        let again = probed.after_probe(&probe, false, &RULES, at(63)).expect("it probed");
        assert_eq!((again.stance(at(122)), again.stance(at(123))), (Stance::Open, Stance::Due));

        let trial = lease("a", 108);
        let tried = half_open().tried_by(&trial, false, at(63)).expect("nobody tries");
        assert_eq!(tried.stance(at(64)), Stance::HalfOpen);
        assert_eq!(tried.tried_by(&lease("b", 109), false, at(64)), None, "one at a time");
        for (effect, stance) in [
            (Effect::Well(Some(trial.clone())), Stance::Closed),
            (Effect::Failed(Some(trial.clone())), Stance::Open),
            (Effect::Idle(trial.clone()), Stance::HalfOpen),
            // What began before it opened says nothing about today.
            (Effect::Well(Some(lease("b", 108))), Stance::HalfOpen),
            (Effect::Failed(None), Stance::HalfOpen),
        ] {
            let after = tried.after(&effect, &RULES, at(64));
            assert_eq!(after.stance(at(64)), stance, "{effect:?}");
            let may_try = after.tried_by(&lease("b", 110), false, at(65)).is_some();
            assert_eq!(may_try, matches!(effect, Effect::Idle(_)), "{effect:?}");
        }
        assert_eq!(open.after(&Effect::Failed(None), &RULES, at(30)), open, "stragglers do not prolong it");
    }

    #[test]
    fn the_right_of_a_dead_process_is_free_at_once() {
        let trial = lease("dead", 108);
        let tried = half_open().tried_by(&trial, false, at(63)).expect("nobody tries");
        let probed = open().probed_by(&lease("dead", 75), &RULES, at(62)).expect("it is due");
        for held in [tried, probed] {
            assert_eq!(held.without(|by| by == "another"), None);
            let free = held.without(|by| by == "dead").expect("it held a right");
            let (by, now) = (lease("b", 120), at(64));
            assert!(free.tried_by(&by, false, now).or(free.probed_by(&by, &RULES, now)).is_some());
        }
    }

    #[test]
    fn a_read_is_its_own_probe() {
        assert_eq!(open().tried_by(&lease("a", 100), true, at(61)), None);
        let tried = open().tried_by(&lease("a", 100), true, at(62)).expect("it is due");
        assert_eq!(tried.stance(at(62)), Stance::HalfOpen);
        assert_eq!(open().tried_by(&lease("a", 100), false, at(62)), None, "money comes after a question");
    }

    #[test]
    fn a_lane_rests_for_as_long_as_the_longest_wish_and_that_is_no_failure() {
        let rest = |until| Effect::Rests(at(until));
        let breaker = [rest(10), rest(30), rest(20)]
            .iter()
            .fold(Breaker::default(), |breaker, effect| breaker.after(effect, &RULES, at(0)));
        assert_eq!(breaker.rests(at(29)), Some(at(30)));
        assert_eq!((breaker.rests(at(30)), breaker.stance(at(0))), (None, Stance::Closed));
        assert_eq!((breaker.is_forgettable(at(29)), breaker.is_forgettable(at(30))), (false, true));
    }

    #[test]
    fn refused_credentials_open_it_at_once_until_a_probe_and_a_trial_find_them_accepted() {
        let locked = Breaker::default().after(&Effect::Locked(None), &RULES, at(0));
        assert!(matches!(&locked.stand, Stand::Open { by: Opened::Credentials, .. }));
        assert!(locked.wants_probe(&RULES, at(60)));
        let trial = lease("a", 108);
        let tried = half_open().tried_by(&trial, false, at(63)).expect("nobody tries");
        let again = tried.after(&Effect::Locked(Some(trial)), &RULES, at(64));
        assert!(matches!(&again.stand, Stand::Open { by: Opened::Credentials, .. }));
        assert_eq!(tried.after(&Effect::Locked(None), &RULES, at(64)), tried, "it began before");
    }

    #[test]
    fn a_provider_in_question_is_probed_soon_and_a_failed_probe_counts() {
        let mut breaker = failed_at(&[0]);
        for (second, stance) in [(1, Stance::Closed), (2, Stance::Open)] {
            assert!(breaker.is_in_question(&RULES, at(second)));
            assert!(!breaker.wants_probe(&RULES, at(second).minus(Duration::from_millis(1))));
            let probe = lease("a", second + 15);
            breaker = breaker.probed_by(&probe, &RULES, at(second)).expect("due");
            let well = breaker.after_probe(&probe, true, &RULES, at(second)).expect("it probed");
            assert_eq!(well, Breaker::default());
            breaker = breaker.after_probe(&probe, false, &RULES, at(second)).expect("it probed");
            assert_eq!(breaker.stance(at(second)), stance);
        }
        assert!(!failed_at(&[0]).is_in_question(&RULES, at(60)), "failures are forgotten");
    }

    #[test]
    fn an_operator_opens_closes_and_has_it_probed() {
        let act = |breaker: &Breaker, action, expires_at| breaker.acted_on(action, &cause(expires_at), at(5));
        let held_open = act(&Breaker::default(), Action::Open, None);
        assert_eq!((held_open.stance(at(9_999)), held_open.next_probe(&RULES)), (Stance::Open, None));
        let ends = act(&Breaker::default(), Action::Open, Some(at(50)));
        assert_eq!((ends.stance(at(49)), ends.stance(at(50))), (Stance::Open, Stance::Due));
        let asked = act(&held_open, Action::Probe, None);
        assert!(asked.is_asked() && asked.wants_probe(&RULES, at(5)));
        for breaker in [held_open, open(), half_open()] {
            assert_eq!(act(&breaker, Action::Close, None), Breaker::default());
        }
        assert_eq!(act(&Breaker::default(), Action::Probe, None), Breaker::default());
    }

    #[test]
    fn a_document_reads_as_it_was_written() {
        for breaker in [Breaker::default(), failed_at(&[0]), open(), half_open()] {
            let text = serde_json::to_string(&breaker).expect("it serialises");
            assert_eq!(serde_json::from_str::<Breaker>(&text).expect("it reads"), breaker);
        }
    }
}
