//! From what an attempt brought to the transition that is stored: decided, committed, and decided anew when the
//! instance moved meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use workflows::engine::{Cause, Class, Finding, Heard, Moved, Outcome, Stake, UNCHANGED, Unreadable};
use workflows::planted;
use workflows::time::At;

use super::{
    Brought, COMMIT_AGAIN, Worker, attempt, give_up_reading, log, log_trouble, log_unreadable, lost, word_of,
};
use crate::decide::{Decision, Miss, decide, loses_certainty};
use crate::store::{Claimed, Fate, Instance, Op, PutBack, TaskRef, TaskRow, Written};
use crate::transition::{Claim, Hot, Why, advance, stop};

impl Worker {
    /// Stores what was brought. A revision that moved meanwhile is read again and decided anew; a claim that is gone
    /// ends the matter.
    pub(super) async fn settle(&self, mut hot: Hot, brought: Brought, latency: Duration) -> Option<Hot> {
        let mut wait = COMMIT_AGAIN;
        loop {
            let settlement = match self.decide(&hot, &brought, latency) {
                Ok(settlement) => settlement?,
                // The attempt was made: the claim lapses, and whoever takes it up knows that it may have arrived.
                Err(unreadable) => return give_up_reading(&hot.claimed, &unreadable),
            };
            let Settlement { op, next } = settlement;
            let after = after(&op);
            match self.committer.commit(op).await {
                Ok(Written::Committed) => {
                    self.committer.meters().settled.count(word_of(&brought));
                    log(&hot, &brought, after.as_deref(), latency);
                    return next;
                }
                Err(Fate::Unknown) if planted::is("an unknown commit is one") => return next,
                Err(Fate::Unknown) if self.landed(&hot.claimed.instance, after.as_deref()).await => {
                    return next;
                }
                Ok(Written::Stale | Written::Duplicate | Written::Taken)
                | Err(Fate::Unknown | Fate::NotCommitted) => {}
            }
            // While the claim lasts, the finding is worth keeping.
            hot = self.again(hot, &brought).await?;
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    /// The same claim over the instance as it stands by now; nothing when the claim is gone.
    async fn again(&self, mut hot: Hot, brought: &Brought) -> Option<Hot> {
        let id = hot.claimed.task.instance;
        let ours = |row: &TaskRow| row.task == hot.claimed.task && row.lease.as_ref() == Some(&self.node);
        loop {
            let read = async { Ok((self.store.tasks(id).await?, self.store.load(id).await?)) };
            match read.await {
                Ok((tasks, Some(instance))) if tasks.iter().any(ours) => {
                    match self.decode(&instance) {
                        Ok(live) => hot.live = live,
                        Err(unreadable) => return give_up_reading(&hot.claimed, &unreadable),
                    }
                    hot.claimed.instance = Arc::new(instance);
                    return Some(hot);
                }
                Ok((_, Some(instance))) => {
                    self.overhear(&hot, brought, &instance).await;
                    return lost(&hot.claimed.task);
                }
                Ok((_, None)) => return lost(&hot.claimed.task),
                Err(trouble) => log_trouble(&trouble),
            }
            if !self.held.is_ours(&hot.claimed.task, self.clock.now()) {
                return lost(&hot.claimed.task);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The claim is gone, and yet the provider gave a definite answer: whoever stands in doubt should hear it.
    async fn overhear(&self, hot: &Hot, brought: &Brought, instance: &Instance) {
        let Brought::Found(finding @ Finding::Done(_)) = brought else { return };
        let name = &hot.claimed.task.name;
        let now = self.clock.now();
        let heard = self.decode(instance).and_then(|live| live.overhear(name, finding, now));
        let moved = match heard {
            Ok(Heard::News(Outcome::Moved(moved))) => moved,
            Ok(_) => return,
            Err(unreadable) => return log_unreadable(&hot.claimed, &unreadable),
        };
        let why = Why {
            actor: "worker",
            step: name.as_str(),
            attempt: hot.claimed.attempts,
            latency: Duration::ZERO,
        };
        let claim = Claim { lanes: None, lease: self.lease };
        match advance(instance, moved, (None, None), &why, (now, &claim)) {
            // When it is stale the instance has moved on by itself, and asks the provider by itself.
            Ok((op, _)) => drop(self.committer.commit(Op::Move(Box::new(op))).await),
            Err(unreadable) => log_unreadable(&hot.claimed, &unreadable),
        }
    }

    /// Whether a transition whose commit got no answer is there: the chain's head says so.
    async fn landed(&self, before: &Instance, after: Option<&Instance>) -> bool {
        let Some(after) = after else { return false };
        match self.store.history(before.id, before.seq, 1).await {
            Ok(rows) => rows.first().is_some_and(|row| row.hash == after.hash),
            Err(_) => false,
        }
    }

    fn decide(
        &self,
        hot: &Hot,
        brought: &Brought,
        latency: Duration,
    ) -> Result<Option<Settlement>, Unreadable> {
        let now = self.clock.now();
        let Hot { claimed, live, .. } = hot;
        let name = &claimed.task.name;
        let miss = match brought {
            Brought::Lost | Brought::NoPass | Brought::Held(_) | Brought::Redirected(_) => {
                return Ok(lost(&claimed.task));
            }
            Brought::Poisoned => {
                const WHY: &str = "its process was lost again and again while it was performed";
                let outcome = Outcome::Refused { why: WHY, occurrence: UNCHANGED.to_owned() };
                return self.store_outcome(hot, outcome, "worker", latency, now);
            }
            Brought::Fired => return self.store_outcome(hot, live.fired(name, now)?, "timer", latency, now),
            Brought::GaveUp(cause) => {
                return self.store_outcome(hot, live.gave_up(name, *cause, now)?, "worker", latency, now);
            }
            Brought::Lapsed(rest) => {
                let back = PutBack {
                    task: claimed.task.clone(),
                    due_at: now.plus(*rest),
                    doubt: loses_certainty(&live.policy(name)?),
                    finding: "lost",
                };
                return Ok(Some(Settlement { op: Op::PutBack(back), next: None }));
            }
            Brought::Found(finding) => match no_news(finding) {
                Some(miss) => miss,
                // What a repetition is refused for says nothing about the attempt before it.
                None if matches!(finding, Finding::Refused(_)) && doubtful(hot)? => {
                    let outcome = live.gave_up(name, Cause::Unknown, now)?;
                    return self.store_outcome(hot, outcome, "worker", latency, now);
                }
                None => match live.hear(name, finding, now)? {
                    Heard::News(outcome) => return self.store_outcome(hot, outcome, "worker", latency, now),
                    Heard::Busy => Miss::Busy,
                    Heard::Unclear => Miss::Unknown,
                },
            },
        };
        let policy = live.policy(name)?;
        let afford = || self.limits.spend(hot.place.provider());
        match decide(&policy, attempt(claimed, &policy), miss, now, afford) {
            Decision::GiveUp(cause) => {
                self.store_outcome(hot, live.gave_up(name, cause, now)?, "worker", latency, now)
            }
            Decision::Wait { delay, doubt } => {
                if miss == Miss::Busy && planted::is("discard of a live task") {
                    return Ok(Some(Settlement { op: Op::Discard(claimed.task.clone()), next: None }));
                }
                let doubt = doubt && loses_certainty(&policy) && !planted::is("a doubt is lost");
                let back = PutBack {
                    task: claimed.task.clone(),
                    due_at: now.plus(delay),
                    doubt,
                    finding: word(miss),
                };
                Ok(Some(Settlement { op: Op::PutBack(back), next: None }))
            }
        }
    }

    fn store_outcome(
        &self,
        hot: &Hot,
        outcome: Outcome,
        actor: &str,
        latency: Duration,
        now: At,
    ) -> Result<Option<Settlement>, Unreadable> {
        let claimed = &hot.claimed;
        let consume = Some(claimed.task.clone());
        let why = Why { actor, step: claimed.task.name.as_str(), attempt: claimed.attempts, latency };
        match outcome {
            Outcome::Moved(moved) => self.moved(claimed, moved, consume, &why, now).map(Some),
            Outcome::Ignored => Ok(Some(Settlement { op: Op::Discard(claimed.task.clone()), next: None })),
            Outcome::Refused { why: sentence, occurrence } => {
                let id = claimed.task.instance;
                tracing::error!(workflow = %id, step = %claimed.task.name, sentence, "stopped for an operator");
                let told = (sentence, occurrence);
                let op = stop(&claimed.instance, &hot.live.view(), told, consume, &why, now);
                Ok(Some(Settlement { op: Op::Move(Box::new(op)), next: None }))
            }
        }
    }

    fn moved(
        &self,
        claimed: &Claimed,
        moved: Moved,
        consume: Option<TaskRef>,
        why: &Why<'_>,
        now: At,
    ) -> Result<Settlement, Unreadable> {
        let claim = Claim { lanes: Some(&self.lanes), lease: self.lease };
        let (op, next) = advance(&claimed.instance, moved, (consume, None), why, (now, &claim))?;
        Ok(Settlement { op: Op::Move(Box::new(op)), next })
    }
}

/// What is to be stored, and what is performed next when it is.
struct Settlement {
    op: Op,
    next: Option<Hot>,
}

/// The kinds of finding that are the policy's business and not the machine's.
fn no_news(finding: &Finding) -> Option<Miss> {
    match finding {
        Finding::NotSent(_) => Some(Miss::NotSent),
        Finding::Unknown(_) => Some(Miss::Unknown),
        Finding::Refused(no) => match no.class {
            Class::RateLimited { retry_after } => Some(Miss::TooMany(retry_after)),
            Class::Credential => Some(Miss::NotSent),
            Class::Final | Class::Consent => None,
        },
        Finding::Done(_) => None,
    }
}

/// Whether an earlier attempt of a step with an effect may have had it.
fn doubtful(hot: &Hot) -> Result<bool, Unreadable> {
    if planted::is("a refused repetition is believed") {
        return Ok(false);
    }
    let policy = hot.live.policy(&hot.claimed.task.name)?;
    Ok(matches!(policy.stake, Stake::Owes(_)) && attempt(&hot.claimed, &policy).doubt)
}

/// The instance after a transition.
fn after(op: &Op) -> Option<Arc<Instance>> {
    match op {
        Op::Move(moved) => Some(Arc::clone(&moved.instance)),
        Op::Start(_) | Op::PutBack(_) | Op::Discard(_) => None,
    }
}

fn word(miss: Miss) -> &'static str {
    match miss {
        Miss::Busy => "no_news",
        Miss::NotSent => "not_sent",
        Miss::TooMany(_) => "too_many_calls",
        Miss::Unknown => "unknown",
    }
}
