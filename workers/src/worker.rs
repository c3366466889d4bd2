//! Claim, perform, settle: one claimed task from its question to the transition that its answer causes.
//!
//! The store is never asked for anything while a call is out, and nothing is answered for before its commit. After a
//! settlement the worker goes on with the task that the transition bore, already claimed and decoded: a hot instance
//! is never claimed twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use workflows::engine::{
    Book, Cause, Class, Finding, Heard, Live, Moved, Outcome, Policy, TaskName, Unreadable,
};
use workflows::time::At;

use crate::committer::{Committer, chain};
use crate::decide::{Attempt, Decision, Miss, decide, loses_certainty, may_send};
use crate::feeder::Job;
use crate::held::Held;
use crate::ports::{Clock, Ids};
use crate::providers::{Context, Provider};
use crate::store::{Claimed, Fate, Instance, Op, PutBack, Store, TaskRef, Written};
use crate::transition::{Hot, Why, advance, stop};

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
    pub(crate) lease: Duration,
}

impl Worker {
    /// Performs a claimed task, and those that it bears, until nothing is due at once.
    pub(crate) async fn run(&self, job: Job) {
        // The hand is free again when this ends, however it ends.
        let Job { claimed, live, lapses_at, hand: _hand } = job;
        let mut next = match live {
            Some(live) => Some(Hot { claimed, live, lapses_at }),
            None => self.open(claimed, lapses_at).await,
        };
        while let Some(hot) = next {
            let holding = self.held.hold(hot.claimed.task.clone(), hot.lapses_at);
            next = self.perform(hot).await;
            drop(holding);
        }
    }

    async fn open(&self, claimed: Claimed, lapses_at: At) -> Option<Hot> {
        match self.decode(&claimed.instance) {
            Ok(live) => Some(Hot { claimed, live, lapses_at }),
            Err(unreadable) => {
                self.put_aside(&claimed, &unreadable).await;
                None
            }
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
        if !may_send(&policy, attempt(claimed, &policy), now) {
            return Ok(Brought::GaveUp(Cause::Unknown));
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
                Ok(Some(settlement)) => settlement,
                Ok(None) => return None,
                Err(unreadable) => {
                    self.put_aside(&hot.claimed, &unreadable).await;
                    return None;
                }
            };
            let Settlement { op, next } = settlement;
            let hash = hash_of(&op);
            match self.committer.commit(op).await {
                Ok(Written::Committed) => {
                    log(&hot, &brought, next.as_ref(), latency);
                    return next;
                }
                Ok(Written::Stale | Written::Duplicate | Written::Taken) => {}
                Err(Fate::Unknown) if self.landed(&hot.claimed.instance, hash.as_deref()).await => {
                    return next;
                }
                Err(Fate::Unknown | Fate::NotCommitted) => {
                    // While the claim lasts, the finding is worth keeping.
                    sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
            }
            hot = self.again(hot).await?;
        }
    }

    /// The same claim over the instance as it stands by now; nothing when the claim is gone.
    async fn again(&self, hot: Hot) -> Option<Hot> {
        let Hot { mut claimed, lapses_at, .. } = hot;
        let id = claimed.task.instance;
        loop {
            let read = async { Ok((self.store.tasks(id).await?, self.store.load(id).await?)) };
            match read.await {
                Ok((tasks, Some(instance))) if tasks.iter().any(|row| row.task == claimed.task) => {
                    claimed.instance = instance;
                    return self.open(claimed, lapses_at).await;
                }
                Ok(_) => return lost(&claimed.task),
                Err(trouble) => log_trouble(&trouble),
            }
            if !self.held.is_ours(&claimed.task, self.clock.now()) {
                return lost(&claimed.task);
            }
            sleep(Duration::from_millis(200)).await;
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
            Brought::Found(finding) => match definite(finding) {
                Some(miss) => miss,
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
        let (op, next) = advance(&claimed.instance, moved, (consume, None), why, (now, Some(self.lease)))?;
        Ok(Settlement { op: Op::Move(Box::new(op)), next })
    }

    /// A task that this process cannot perform: nothing is lost, somebody has to look.
    async fn put_aside(&self, claimed: &Claimed, unreadable: &Unreadable) {
        tracing::error!(
            workflow = %claimed.task.instance, step = %claimed.task.name, error = %chain(unreadable),
            "put aside"
        );
        let back = PutBack {
            task: claimed.task.clone(),
            due_at: self.clock.now().plus(UNREADABLE),
            doubt: claimed.doubt,
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
    Lost,
}

/// What is to be stored, and what is performed next when it is.
struct Settlement {
    op: Op,
    next: Option<Hot>,
}

/// The kinds of finding that are the policy's business and not the machine's.
fn definite(finding: &Finding) -> Option<Miss> {
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
        first_at: claimed.first_at,
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

fn log_trouble(trouble: &crate::store::Trouble) {
    tracing::error!(error = %chain(trouble), "the store does not answer");
}

fn log(hot: &Hot, brought: &Brought, next: Option<&Hot>, latency: Duration) {
    let Claimed { task, attempts, instance, .. } = &hot.claimed;
    let finding = match brought {
        Brought::Found(finding) => finding.word(),
        Brought::Fired => "fired",
        Brought::GaveUp(_) => "gave_up",
        Brought::Lost => "lost",
    };
    let next: Option<&TaskName> = next.map(|next| &next.claimed.task.name);
    tracing::info!(
        workflow = %task.instance, kind = %instance.kind, step = %task.name, attempt = attempts, finding,
        ms = latency.as_millis(), ?next, "settled"
    );
}
