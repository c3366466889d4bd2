//! Claim, perform, settle: one claimed task from its question to the transition that its answer causes.
//!
//! The store is never asked for anything while a call is out, and nothing is answered for before its commit. After a
//! settlement the worker goes on with the task that the transition bore, already claimed and decoded: a hot instance
//! is never claimed twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use workflows::engine::{
    Book, Cause, Class, Finding, Heard, Live, Moved, Outcome, Policy, Stake, TaskName, Unreadable,
};
use workflows::time::At;

use crate::committer::{Committer, chain};
use crate::decide::{Attempt, Decision, Miss, decide, loses_certainty, may_send};
use crate::feeder::Job;
use crate::held::Held;
use crate::lanes::Lanes;
use crate::ports::{Clock, Ids};
use crate::providers::{Context, Provider};
use crate::store::{Claimed, Fate, Instance, NodeId, Op, PutBack, Store, TaskRef, TaskRow, Written};
use crate::transition::{Claim, Hot, Why, advance, stop};

/// How long a task waits whose documents this process cannot read: another process may be newer.
const UNREADABLE: Duration = Duration::from_mins(1);
/// The first wait before a commit that failed is tried again.
const COMMIT_AGAIN: Duration = Duration::from_millis(20);

/// Performs tasks. One for each process, shared by everything that performs.
pub(crate) struct Worker {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) committer: Committer,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) book: Book,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) held: Arc<Held>,
    pub(crate) node: NodeId,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) lease: Duration,
}

impl Worker {
    /// Performs a claimed task, and those that it bears, until nothing is due at once.
    pub(crate) async fn run(&self, job: Job) {
        // The hand is free again when this ends, however it ends.
        let Job { claimed, live, lapses_at, place, hand: _hand } = job;
        let live = match live.map_or_else(|| self.decode(&claimed.instance), Ok) {
            Ok(live) => live,
            Err(unreadable) => return self.put_aside(&claimed, &unreadable).await,
        };
        let mut next = Some(Hot { claimed, live, lapses_at, place });
        while let Some(hot) = next {
            let holding = self.held.hold(hot.claimed.task.clone(), hot.lapses_at);
            next = self.perform(hot).await;
            drop(holding);
        }
    }

    fn decode(&self, instance: &Instance) -> Result<Arc<dyn Live>, Unreadable> {
        let workflow = self
            .book
            .get(&instance.kind)
            .ok_or_else(|| Unreadable::UnknownTask(instance.kind.to_string()))?;
        workflow.open(instance.version, &instance.order, &instance.state)
    }

    async fn perform(&self, hot: Hot) -> Option<Hot> {
        let began = self.clock.now();
        let done =
            if hot.claimed.task.name.is_timer() { Ok(Brought::Fired) } else { self.ask(&hot, began).await };
        let brought = match done {
            Ok(brought) => brought,
            // Nothing was sent.
            Err(unreadable) => {
                self.put_aside(&hot.claimed, &unreadable).await;
                return None;
            }
        };
        let latency = self.clock.now().since(began);
        self.settle(hot, brought, latency).await
    }

    /// Puts a step's question to its provider, unless an earlier attempt may have had its effect and a second could
    /// have a second one.
    async fn ask(&self, hot: &Hot, now: At) -> Result<Brought, Unreadable> {
        let claimed = &hot.claimed;
        let policy = hot.live.policy(&claimed.task.name)?;
        let attempt = attempt(claimed, &policy);
        if !may_send(&policy, attempt, now) {
            // A claim was lost just now: its process may have stood still, with the attempt yet to leave.
            let fresh_loss = claimed.losses > 0 && !claimed.doubt;
            return Ok(if fresh_loss {
                Brought::Lapsed(policy.timeout)
            } else {
                Brought::GaveUp(Cause::Unknown)
            });
        }
        if !attempt.doubt && !hot.live.wanted(&claimed.task.name)? {
            return Ok(Brought::GaveUp(Cause::NotSent));
        }
        let call = hot.live.call(&claimed.task.name)?;
        // The fence, as near to the wire as it gets: a claim that lapsed while this process stood still is not ours.
        if !self.held.is_ours(&claimed.task, self.clock.now()) {
            return Ok(Brought::Lost);
        }
        let context = Context::new(&*self.ids, policy.timeout);
        let finding = match tokio::time::timeout(policy.timeout, self.provider.perform(&call, &context)).await
        {
            Ok(finding) => finding,
            Err(_) => Finding::Unknown("the attempt took too long"),
        };
        Ok(Brought::Found(finding))
    }

    /// Stores what was brought. A revision that moved meanwhile is read again and decided anew; a claim that is gone
    /// ends the matter.
    async fn settle(&self, mut hot: Hot, brought: Brought, latency: Duration) -> Option<Hot> {
        let mut wait = COMMIT_AGAIN;
        loop {
            let settlement = match self.decide(&hot, &brought, latency) {
                Ok(settlement) => settlement?,
                // The attempt was made: the claim lapses, and whoever takes it up knows that it may have arrived.
                Err(unreadable) => return give_up_reading(&hot.claimed, &unreadable),
            };
            let Settlement { op, next } = settlement;
            let hash = hash_of(&op);
            match self.committer.commit(op).await {
                Ok(Written::Committed) => {
                    log(&hot, &brought, next.as_ref(), latency);
                    return next;
                }
                Err(Fate::Unknown) if self.landed(&hot.claimed.instance, hash.as_deref()).await => {
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
                    hot.claimed.instance = instance;
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
    async fn landed(&self, before: &Instance, hash: Option<&str>) -> bool {
        let Some(hash) = hash else { return false };
        match self.store.history(before.id, before.seq, 1).await {
            Ok(rows) => rows.first().is_some_and(|row| &*row.hash == hash),
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
            Brought::Lost => return Ok(lost(&claimed.task)),
            Brought::Fired => return self.store_outcome(hot, live.fired(name, now)?, "timer", latency, now),
            Brought::GaveUp(cause) => {
                return self.store_outcome(hot, live.gave_up(name, *cause, now)?, "worker", latency, now);
            }
            Brought::Lapsed(rest) => {
                let back = PutBack {
                    task: claimed.task.clone(),
                    due_at: now.plus(*rest),
                    doubt: true,
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
        match decide(&policy, attempt(claimed, &policy), miss, now) {
            Decision::GiveUp(cause) => {
                self.store_outcome(hot, live.gave_up(name, cause, now)?, "worker", latency, now)
            }
            Decision::Wait { delay, doubt } => {
                let doubt = doubt && loses_certainty(&policy);
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

    /// A task that this process cannot begin: nothing is lost, somebody has to look.
    async fn put_aside(&self, claimed: &Claimed, unreadable: &Unreadable) {
        log_unreadable(claimed, unreadable);
        let back = PutBack {
            task: claimed.task.clone(),
            due_at: self.clock.now().plus(UNREADABLE),
            doubt: claimed.doubt || claimed.losses > 0,
            finding: "unreadable",
        };
        // When this fails too, the claim lapses and the task comes back by itself.
        let _ = self.committer.commit(Op::PutBack(back)).await;
    }
}

/// What an attempt ended with.
#[derive(Debug)]
enum Brought {
    Found(Finding),
    Fired,
    GaveUp(Cause),
    /// Another process' claim lapsed; its attempt may leave for so long.
    Lapsed(Duration),
    Lost,
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
    let policy = hot.live.policy(&hot.claimed.task.name)?;
    Ok(matches!(policy.stake, Stake::Owes(_)) && attempt(&hot.claimed, &policy).doubt)
}

fn attempt(claimed: &Claimed, policy: &Policy) -> Attempt {
    let bytes = claimed.task.instance.to_bytes();
    let name = claimed.task.name.as_str().bytes();
    // FNV-1a: every task, and every attempt of one, waits its own time.
    let seed = bytes
        .into_iter()
        .chain(name)
        .chain(claimed.attempts.to_be_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Attempt {
        number: claimed.attempts,
        doubt: claimed.doubt || (claimed.losses > 0 && loses_certainty(policy)),
        seed,
    }
}

fn hash_of(op: &Op) -> Option<Arc<str>> {
    match op {
        Op::Move(moved) => Some(Arc::clone(&moved.history.hash)),
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

fn lost<T>(task: &TaskRef) -> Option<T> {
    tracing::warn!(workflow = %task.instance, step = %task.name, fence = task.fence, "claim lost");
    None
}

fn give_up_reading<T>(claimed: &Claimed, unreadable: &Unreadable) -> Option<T> {
    log_unreadable(claimed, unreadable);
    None
}

fn log_unreadable(claimed: &Claimed, unreadable: &Unreadable) {
    tracing::error!(
        workflow = %claimed.task.instance, step = %claimed.task.name, error = %chain(unreadable), "unreadable"
    );
}

fn log_trouble(trouble: &crate::store::Trouble) {
    tracing::error!(error = %chain(trouble), "the store does not answer");
}

fn log(hot: &Hot, brought: &Brought, next: Option<&Hot>, latency: Duration) {
    let Claimed { task, attempts, instance, .. } = &hot.claimed;
    let finding = match brought {
        Brought::Found(finding) => finding.word(),
        Brought::Fired => "fired",
        Brought::GaveUp(_) => "gave_up",
        Brought::Lapsed(_) | Brought::Lost => "lost",
    };
    let next: Option<&TaskName> = next.map(|next| &next.claimed.task.name);
    tracing::info!(
        workflow = %task.instance, kind = %instance.kind, step = %task.name, attempt = attempts, finding,
        ms = latency.as_millis(), ?next, "settled"
    );
}
