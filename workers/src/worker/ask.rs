//! One attempt at a claimed task: what has to hold before a question leaves, and what comes back.

use std::time::Duration;

use workflows::engine::{Cause, Class, Finding, Policy, Repeat, Shut, Stake, Unreadable};
use workflows::planted;
use workflows::time::At;

use super::{Brought, Worker, attempt};
use crate::controls::{Gate, HoldOn, Trial, Verdict, aside_of, held_aside, is_queue, turns_away};
use crate::decide::{Attempt, Lost, after_losses, lane_rests, may_send};
use crate::feeder::due_again;
use crate::providers::{Context, is_own_fault, is_the_providers};
use crate::store::Claimed;
use crate::transition::Hot;

/// How long a step waits in a shut lane that may have been sent before: such steps are few.
const SHUT: Duration = Duration::from_secs(4);
/// How long a payment waits while its process does not hear what is forbidden.
const UNHEARD: Duration = Duration::from_secs(1);
/// How long a queue waits for a timer of the same payment that is due.
const OTHERS_FIRST: Duration = Duration::from_millis(500);
/// How long a step waits for its turn at the provider before it is handed back for others to do.
const PATIENCE: Duration = Duration::from_secs(5);

impl Worker {
    pub(super) async fn bring(
        &self,
        hot: &mut Hot,
        trial: &mut Option<Trial>,
        now: At,
    ) -> Result<Brought, Unreadable> {
        let Claimed { task, losses, attempts, doubt, .. } = &hot.claimed;
        let policy = if task.name.is_timer() { None } else { Some(hot.live.policy(&task.name)?) };
        let stake = policy.as_ref().map(|policy| policy.stake);
        match (after_losses(stake, *losses, *attempts), policy) {
            (Lost::GoesOn, None) => Ok(self.fire(&hot.claimed, now).await),
            (Lost::GoesOn, Some(_)) => self.ask(hot, trial, now).await,
            (Lost::Rests(rest), _) => Ok(Brought::Lapsed(rest)),
            // Whoever lost it last may have stood still, with the attempt yet to leave.
            (Lost::GivenUp, Some(policy)) if !doubt => Ok(Brought::Lapsed(policy.timeout)),
            (Lost::GivenUp, _) => Ok(Brought::GaveUp(Cause::Unknown)),
            (Lost::Stops, _) => Ok(Brought::Poisoned),
        }
    }

    /// Puts a step's question to its provider, unless an earlier attempt may have had its effect and a second could
    /// have a second one.
    async fn ask(&self, hot: &mut Hot, trial: &mut Option<Trial>, now: At) -> Result<Brought, Unreadable> {
        let claimed = &hot.claimed;
        let policy = hot.live.policy(&claimed.task.name)?;
        let attempt = attempt(claimed, &policy);
        if let Some(instead) = unsendable(claimed, &policy, attempt, now) {
            return Ok(instead);
        }
        if !attempt.doubt && !hot.live.wanted(&claimed.task.name)? {
            return Ok(Brought::GaveUp(Cause::NotSent));
        }
        let moves_money = matches!(policy.stake, Stake::Owes(_));
        if moves_money && !self.controls().are_current() && self.controls().look().await.is_err() {
            // Nobody here knows what is forbidden by now.
            return Ok(Brought::Held(now.plus(UNHEARD)));
        }
        if let Some(instead) = self.shut(claimed, &policy, attempt, trial.is_some(), now) {
            return Ok(instead);
        }
        let call = hot.live.call(&claimed.task.name)?;
        let pass = self.limits.pass(hot.place.provider(), PATIENCE).await;
        hot.place.leave_the_line();
        let Some(pass) = pass else { return Ok(Brought::NoPass) };
        // It may have waited for its turn: by now the lane may be shut, or the provider have forgotten the key.
        let now = self.clock.now();
        let instead = unsendable(claimed, &policy, attempt, now)
            .or_else(|| self.shut(claimed, &policy, attempt, trial.is_some(), now));
        if let Some(instead) = instead {
            return Ok(instead);
        }
        // The fence, as near to the wire as it gets: a claim that lapsed while this process stood still is not ours.
        if !self.held.is_ours(&claimed.task, self.clock.now()) && !planted::is("no fence at the call") {
            return Ok(Brought::Lost);
        }
        if claimed.attempts == 1 {
            self.limits.earn(hot.place.provider());
        }
        let timeout = policy.timeout.min(self.limits.longest_call(hot.place.provider()));
        let context = Context::new(&*self.ids, timeout, pass);
        let finding = match tokio::time::timeout(timeout, self.provider.perform(&call, &context)).await {
            Ok(finding) => finding,
            Err(_) => Finding::Unknown("the attempt took too long"),
        };
        // The place is free again before anything is written.
        drop(context);
        if let Some(verdict) = verdict(&finding, &policy, attempt, self.clock.now()) {
            self.controls().attempted(&claimed.lane, trial.take().unwrap_or_default(), verdict).await;
        }
        Ok(Brought::Found(finding))
    }

    /// What becomes of a timer that is due: one that leads out of a queue fires when its payment may be sent. One that
    /// may not fire keeps its place in the queue; its lane is shut, rests, or is another one until its hold ends.
    async fn fire(&self, claimed: &Claimed, now: At) -> Brought {
        let lane = &claimed.lane;
        let in_its_place = Brought::Held(due_again(claimed, now));
        let is_open = match self.controls().gate(lane) {
            Gate::Open | Gate::OneAtATime => true,
            Gate::Until(_) | Gate::Probed | Gate::Shut(_) => false,
        };
        if let Some((queue, _)) = held_aside(lane) {
            return if is_open { Brought::Redirected(queue) } else { in_its_place };
        }
        if !is_queue(lane) {
            return Brought::Fired;
        }
        if self.runs_out(claimed, now).await {
            self.lanes.rest(lane, now.plus(OTHERS_FIRST));
            return in_its_place;
        }
        let hold = self.controls().held(claimed.task.instance, &claimed.instance.kind);
        match hold.and_then(|hold| aside_of(lane, &hold)) {
            Some(aside) => Brought::Redirected(aside),
            None if is_open => Brought::Fired,
            None => in_its_place,
        }
    }

    /// Whether another timer of the instance is due: while nobody worked, a payment may have run out in its queue, and
    /// then it is not let through first.
    async fn runs_out(&self, claimed: &Claimed, now: At) -> bool {
        match self.store.tasks(claimed.task.instance).await {
            Ok(tasks) => tasks.iter().any(|row| {
                let due = row.due_at <= now || row.lease.is_some();
                row.task.name != claimed.task.name && row.task.name.is_timer() && due
            }),
            Err(trouble) => {
                super::log_trouble(&trouble);
                true
            }
        }
    }

    /// What becomes of a step instead of an attempt, while its lane is shut or its payment is held. One that may have
    /// been sent before is never given up as if it had not.
    fn shut(
        &self,
        claimed: &Claimed,
        policy: &Policy,
        attempt: Attempt,
        trying: bool,
        now: At,
    ) -> Option<Brought> {
        let moves_money = matches!(policy.stake, Stake::Owes(_));
        if planted::is("sent while held back") {
            return None;
        }
        let held = moves_money.then(|| self.controls().held(claimed.task.instance, &claimed.instance.kind));
        let wait = match (held.flatten(), self.controls().gate(&claimed.lane)) {
            (Some(by), _) => patience(&by),
            (None, Gate::Open) => return None,
            (None, Gate::OneAtATime) if trying => return None,
            // Nobody claims in this lane before the bank may be asked; then it is at its head.
            (None, Gate::OneAtATime | Gate::Probed) => return Some(Brought::Held(now)),
            (None, Gate::Until(at)) => return Some(Brought::Held(at)),
            (None, Gate::Shut(_)) if !turns_away(&claimed.lane) => return Some(Brought::Held(now)),
            (None, Gate::Shut(_)) => SHUT,
        };
        Some(match policy.shut {
            Shut::GivesUp if is_fresh(policy, attempt) => Brought::GaveUp(Cause::NotSent),
            // It was sent and is not repeated now: what became of it is asked elsewhere.
            Shut::GivesUp if attempt.doubt => Brought::GaveUp(Cause::Unknown),
            Shut::GivesUp | Shut::Waits => Brought::Held(now.plus(wait)),
        })
    }
}

/// What becomes of a step instead of an attempt that may not be made at all.
fn unsendable(claimed: &Claimed, policy: &Policy, attempt: Attempt, now: At) -> Option<Brought> {
    if may_send(policy, attempt, now) {
        return None;
    }
    // A claim was lost just now: its process may have stood still, with the attempt yet to leave.
    let fresh_loss = claimed.losses > 0 && !claimed.doubt;
    if fresh_loss && planted::is("a lost claim was not sent") {
        return Some(Brought::GaveUp(Cause::NotSent));
    }
    Some(if fresh_loss { Brought::Lapsed(policy.timeout) } else { Brought::GaveUp(Cause::Unknown) })
}

/// What an attempt says about the bank; nothing when it was our own doing that it never left.
fn verdict(finding: &Finding, policy: &Policy, attempt: Attempt, now: At) -> Option<Verdict> {
    Some(match finding {
        Finding::Done(_) => Verdict::Answered,
        Finding::Unknown(why) if is_the_providers(why) => Verdict::ProviderFailed,
        Finding::Unknown(_) => Verdict::Failed,
        Finding::NotSent(why) if is_own_fault(why) => return None,
        Finding::NotSent(_) => Verdict::Unreached,
        Finding::Refused(no) => match no.class {
            Class::Final | Class::Consent => Verdict::Answered,
            Class::Credential => Verdict::Credentials,
            Class::RateLimited { retry_after } => {
                Verdict::TooMany(now.plus(lane_rests(policy.retry, attempt, retry_after)))
            }
        },
    })
}

/// Whether nothing of a step can have been sent before.
fn is_fresh(policy: &Policy, attempt: Attempt) -> bool {
    !attempt.doubt && !matches!(policy.repeat, Repeat::Within { used: true, .. })
}

/// How long a held step or timer waits before it is looked at again. Of a kind there may be very many.
fn patience(hold: &HoldOn) -> Duration {
    match hold {
        HoldOn::Instance(_) => SHUT,
        HoldOn::Kind(_) | HoldOn::Provider(_) | HoldOn::Bank(..) => 4 * SHUT,
    }
}
