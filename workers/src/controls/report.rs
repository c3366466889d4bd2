//! What attempts come to: every one is reported, repetitions too.
//!
//! A success at a closed breaker costs nothing. Failures are written with compare-and-swap; those that are reported
//! while a write is under way go into the next one together, and none is dropped: what could not be written is written
//! with the next report.

use workflows::engine::Lane;
use workflows::time::At;

use super::breaker::{Breaker, Effect, Opened, Stance, Stand};
use super::gate::Gate;
use super::runtime::{Controls, Trial, queue_of};
use super::subject::{BreakerId, Operation, Place, is_queue};
use crate::committer::chain;
use crate::store::Trouble;

/// Effects of one breaker that are kept while the store does not answer.
const KEPT: usize = 256;

/// What an attempt says about the bank and the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A definite answer: done, or refused for a reason of its own.
    Answered,
    /// An unknown outcome (time-out, reset, 5xx): a failure of the bank's operation.
    Failed,
    /// The provider answered that it failed and blamed no bank: a failure of the bank's operation, and the provider's as
    /// such when it fails so at several banks.
    ProviderFailed,
    /// It provably never left (refused connection, no DNS, TLS, no token): a failure of the provider as such.
    Unreached,
    /// The bank wants fewer calls (429): the lane rests until then. No failure.
    TooMany(At),
    /// Our credentials are refused: nothing passes until a probe finds them accepted.
    Credentials,
}

/// The leave to make one attempt at a bank outside a workflow; to be handed back with what it came to.
#[derive(Debug)]
pub struct Admitted {
    lane: Lane,
    trial: Trial,
}

impl Controls {
    /// Leave for one attempt outside a workflow, such as a read of a balance in [`super::Operation::Aisp`]'s lane.
    ///
    /// # Errors
    /// What the lane allows instead: the caller does without, or comes again.
    pub async fn admit(&self, lane: Lane) -> Result<Admitted, Gate> {
        match self.gate(&lane) {
            Gate::Open => Ok(Admitted { lane, trial: Trial::default() }),
            Gate::OneAtATime => match self.try_one(&lane).await {
                Ok(Some(trial)) => Ok(Admitted { lane, trial }),
                Ok(None) => Err(Gate::OneAtATime),
                Err(trouble) => {
                    tracing::error!(error = %chain(&trouble), "a trial could not be begun");
                    Err(Gate::OneAtATime)
                }
            },
            Gate::Probed => {
                if let Err(trouble) = self.ask_for_probe(&lane).await {
                    tracing::error!(error = %chain(&trouble), "a probe could not be asked for");
                }
                Err(Gate::Probed)
            }
            gate @ (Gate::Until(_) | Gate::Shut(_)) => Err(gate),
        }
    }

    /// What an attempt came to.
    pub async fn report(&self, admitted: Admitted, verdict: Verdict) {
        self.attempted(&admitted.lane, admitted.trial, verdict).await;
    }

    /// An attempt that was not made: somebody else may make it.
    pub async fn withdraw(&self, admitted: Admitted) {
        self.not_tried(admitted.trial).await;
    }

    /// What an attempt in a lane came to.
    pub(crate) async fn attempted(&self, lane: &Lane, trial: Trial, verdict: Verdict) {
        let Some(place) = Place::of(lane) else { return };
        for id in place.breakers() {
            if place.work.operation().is_none() {
                continue;
            }
            let effects = effects(&id, place.bank, &trial, verdict);
            if !effects.is_empty() {
                self.apply(&id, effects).await;
            }
        }
    }

    /// A trial that was not made: somebody else may make it.
    pub(crate) async fn not_tried(&self, trial: Trial) {
        for (id, lease) in trial.into_leases() {
            self.apply(&id, vec![Effect::Idle(lease)]).await;
        }
    }

    /// Writes effects at a breaker, together with those that others left to be written.
    async fn apply(&self, id: &BreakerId, effects: Vec<Effect>) {
        self.unwritten().entry(id.clone()).or_default().extend(effects);
        let _one_at_a_time = self.inner.writing.lock().await;
        let Some(effects) = self.unwritten().remove(id) else { return };
        if let Err(trouble) = self.write_effects(id, &effects).await {
            tracing::error!(breaker = %id, error = %chain(&trouble), "what attempts came to could not be written");
            let mut unwritten = self.unwritten();
            let kept = unwritten.entry(id.clone()).or_default();
            kept.splice(0..0, effects);
            kept.truncate(KEPT);
        }
    }

    async fn write_effects(&self, id: &BreakerId, effects: &[Effect]) -> Result<(), Trouble> {
        let rules = &self.settings().breaker;
        let changed = self
            .change_breaker(id, |breaker, now| {
                let after =
                    effects.iter().fold(breaker.clone(), |so_far, effect| so_far.after(effect, rules, now));
                Some(after)
            })
            .await?;
        if let Some((before, after)) = changed {
            self.turned(id, &before, &after);
        }
        let is_failure =
            |effect: &&Effect| matches!(effect, Effect::Failed(_) | Effect::FailedAt(_) | Effect::Locked(_));
        match effects.iter().filter(is_failure).count() {
            0 => Ok(()),
            failures => self.slow_down(id, u32::try_from(failures).unwrap_or(u32::MAX)).await,
        }
    }

    /// So many initiations failed: when they are too many, what waits behind them is let out from the first stage again.
    /// When the breaker opened with them, the ramp waits for the lane.
    async fn slow_down(&self, id: &BreakerId, failures: u32) -> Result<(), Trouble> {
        let is_shut =
            self.snapshot().breaker(id).is_some_and(|breaker| breaker.stance(self.now()) != Stance::Closed);
        if is_shut && id.stops_money() {
            return self.stop_queues(|place| id.covers(place)).await;
        }
        let Some(queue) = queue_of(id) else { return Ok(()) };
        let stages = &self.settings().ramp;
        self.change_queue(&queue, |queue, now| queue.after_failures(failures, stages, now)).await
    }

    /// Puts the ramps of queues that something shut before their first stage.
    pub(super) async fn stop_queues(
        &self,
        which: impl Fn(Place<'_>) -> bool + Send + Sync,
    ) -> Result<(), Trouble> {
        let known = self.snapshot();
        for (lane, queue) in known.queues().filter(|(lane, _)| is_queue(lane)) {
            if queue.ramp.is_some() && Place::of(lane).is_some_and(&which) {
                self.change_queue(lane, |queue, _| queue.stopped()).await?;
            }
        }
        Ok(())
    }

    /// Says that a breaker turned, once, where it was turned.
    pub(super) fn turned(&self, id: &BreakerId, before: &Breaker, after: &Breaker) {
        let now = self.now();
        let (was, is) = (before.stance(now), after.stance(now));
        if was == is {
            return;
        }
        let (provider, bank, operation) = (id.provider(), id.bank().unwrap_or("all"), id.operation());
        let service = match id {
            BreakerId::Bank(_, _, Operation::Aisp) => "aisp",
            BreakerId::Bank(..) | BreakerId::Provider(_) => "pisp",
        };
        if is == Stance::Open && matches!(after.stand, Stand::Open { by: Opened::Credentials, .. }) {
            // Nobody but a person can do something about it (AI-26).
            tracing::error!(
                event = "credentials_refused",
                provider,
                bank,
                operation,
                service,
                "{} 401 Unauthorized: the provider refuses our credentials",
                service.to_uppercase()
            );
            return;
        }
        match is {
            // New payments stand still: that wakes somebody.
            Stance::Open if id.stops_money() => tracing::error!(
                event = "breaker_opened",
                provider,
                bank,
                operation,
                service,
                "Bank API unavailable: {bank}"
            ),
            Stance::Open | Stance::Due => tracing::warn!(
                event = "breaker_opened",
                provider,
                bank,
                operation,
                service,
                "Bank API unavailable: {bank}"
            ),
            Stance::HalfOpen => tracing::info!(
                event = "breaker_half_open",
                provider,
                bank,
                operation,
                service,
                "one attempt at a time passes"
            ),
            Stance::Closed => {
                tracing::info!(
                    event = "breaker_closed",
                    provider,
                    bank,
                    operation,
                    service,
                    "everything passes again"
                );
            }
        }
    }
}

/// What a verdict of an attempt at a bank means for one breaker.
fn effects(id: &BreakerId, bank: &str, trial: &Trial, verdict: Verdict) -> Vec<Effect> {
    let lease = trial.lease(id).cloned();
    let [first, second] = match (id, verdict) {
        (BreakerId::Provider(_), Verdict::Unreached)
        | (BreakerId::Bank(..), Verdict::Failed | Verdict::ProviderFailed) => {
            [Some(Effect::Failed(lease)), None]
        }
        // A trial that meets the one bank that is down must not keep the others shut: only several do.
        (BreakerId::Provider(_), Verdict::ProviderFailed) => {
            [lease.map(|lease| Effect::Well(Some(lease))), Some(Effect::FailedAt(bank.to_owned()))]
        }
        // Whatever it said, it was reached.
        (
            BreakerId::Provider(_),
            Verdict::Answered | Verdict::Failed | Verdict::TooMany(_) | Verdict::Credentials,
        )
        | (BreakerId::Bank(..), Verdict::Answered) => [lease.map(|lease| Effect::Well(Some(lease))), None],
        // No bank can be blamed, but a trial that did not arrive has shown nothing.
        (BreakerId::Bank(..), Verdict::Unreached) => [lease.map(|lease| Effect::Failed(Some(lease))), None],
        (BreakerId::Bank(..), Verdict::TooMany(until)) => {
            [Some(Effect::Rests(until)), lease.map(Effect::Idle)]
        }
        (BreakerId::Bank(..), Verdict::Credentials) => [Some(Effect::Locked(lease)), None],
    };
    first.into_iter().chain(second).collect()
}
