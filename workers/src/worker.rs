//! Claim, perform, settle: one claimed task from its question to the transition that its answer causes.
//!
//! The store is never asked for anything while a call is out, and nothing is answered for before its commit. After a
//! settlement the worker goes on with the task that the transition bore, already claimed and decoded: a hot instance
//! is never claimed twice.

mod ask;
mod settle;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::sleep;
use workflows::engine::{Book, Cause, Finding, Lane, Live, Policy, Unreadable};
use workflows::time::At;

use crate::committer::{Committer, chain};
use crate::controls::Controls;
use crate::decide::{Attempt, loses_certainty, rest};
use crate::feeder::{Job, due_again};
use crate::held::Held;
use crate::lanes::Lanes;
use crate::limits::Limits;
use crate::ports::{Clock, Ids};
use crate::providers::Provider;
use crate::store::{Claimed, Instance, NodeId, Op, PutBack, Store, TaskRef, Trouble};
use crate::transition::Hot;

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
    pub(crate) limits: Limits,
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
            let (task, losses) = (hot.claimed.task.clone(), hot.claimed.losses);
            let performed = AssertUnwindSafe(self.perform(hot)).catch_unwind().await;
            // What a panic says may repeat what somebody sent us; the hook of the process has the place.
            next = match performed {
                Ok(next) => next,
                Err(_) => self.fell(&task, losses).await,
            };
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

    /// A step panicked: nobody knows how far it came, as if its process had died. Its claim lapses after a rest that
    /// grows with each such loss.
    async fn fell<T>(&self, task: &TaskRef, losses: u32) -> Option<T> {
        tracing::error!(workflow = %task.instance, step = %task.name, losses = losses + 1, "a step panicked");
        let until = self.clock.now().plus(rest(losses));
        if let Err(trouble) = self.store.renew(std::slice::from_ref(task), until).await {
            log_trouble(&trouble);
        }
        None
    }

    async fn perform(&self, mut hot: Hot) -> Option<Hot> {
        let began = self.clock.now();
        let mut trial = hot.place.take_trial();
        let done = self.bring(&mut hot, &mut trial, began).await;
        if let Some(trial) = trial {
            self.controls().not_tried(trial).await;
        }
        let brought = match done {
            Ok(Brought::NoPass) => {
                return self.hand_back(&hot.claimed.task, hot.place.since().unwrap_or(began)).await;
            }
            Ok(brought) => brought,
            // Nothing was sent.
            Err(unreadable) => {
                self.put_aside(&hot.claimed, &unreadable).await;
                return None;
            }
        };
        if let Brought::Held(_) | Brought::Redirected(_) = brought
            && let Some((queue, window)) = hot.place.take_count()
            && let Err(trouble) = self.controls().give_back(queue, window, 1).await
        {
            // Its turn is lost to the queue until the window ends.
            log_trouble(&trouble);
        }
        let task = &hot.claimed.task;
        if let Brought::Held(until) = brought {
            let until_then = std::slice::from_ref(task);
            self.wait(task, until, || self.store.release(until_then, until)).await;
            return None;
        }
        if let Brought::Redirected(lane) = &brought {
            let due_at = due_again(&hot.claimed, began);
            self.wait(task, due_at, || self.store.redirect(task, lane, due_at)).await;
            return None;
        }
        let latency = self.clock.now().since(began);
        self.settle(hot, brought, latency).await
    }

    /// The provider takes no more at the moment: whoever has a turn first may have the task, and this was no attempt.
    async fn hand_back<T>(&self, task: &TaskRef, since: At) -> Option<T> {
        if let Err(trouble) = self.store.release(std::slice::from_ref(task), since).await {
            log_trouble(&trouble);
        }
        None
    }

    /// Has a claim handed back that nothing was sent under, to be taken up again at `until`: the attempt does not count.
    /// While the store does not answer it is tried again, since a claim that lapses looks like an attempt.
    async fn wait<R>(&self, task: &TaskRef, until: At, hand_back: impl Fn() -> R)
    where
        R: Future<Output = Result<(), Trouble>>,
    {
        let mut again = COMMIT_AGAIN;
        while self.held.is_ours(task, self.clock.now()) {
            match hand_back().await {
                Ok(()) => return self.lanes.due(until),
                Err(trouble) => log_trouble(&trouble),
            }
            sleep(again).await;
            again = (again * 2).min(Duration::from_secs(1));
        }
    }

    fn controls(&self) -> &Controls {
        self.lanes.controls()
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
    /// It may not be sent now; nothing was.
    Held(At),
    /// It waits in another lane from here on.
    Redirected(Lane),
    /// So many claims lapsed that an operator has to look.
    Poisoned,
    /// The provider takes no more at the moment.
    NoPass,
    Lost,
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

fn log_trouble(trouble: &Trouble) {
    tracing::error!(error = %chain(trouble), "the store does not answer");
}

fn word_of(brought: &Brought) -> &'static str {
    match brought {
        Brought::Found(finding) => finding.word(),
        Brought::Fired => "fired",
        Brought::GaveUp(_) => "gave_up",
        Brought::Lapsed(_) | Brought::Lost | Brought::NoPass => "lost",
        Brought::Held(_) | Brought::Redirected(_) => "held",
        Brought::Poisoned => "poisoned",
    }
}

/// What went as it should is in the history and told of in the end; anything else is worth a line.
fn log(hot: &Hot, brought: &Brought, after: Option<&Instance>, latency: Duration) {
    let Claimed { task, attempts, instance, .. } = &hot.claimed;
    let finding = word_of(brought);
    let ended = after.is_some_and(|after| after.status.is_final() && !instance.status.is_final());
    let smooth = matches!(brought, Brought::Found(Finding::Done(_)) | Brought::Fired) && !ended;
    let phase = after.map_or(&*instance.phase, |after| &*after.phase);
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level, workflow = %task.instance, kind = %instance.kind, step = %task.name, attempt = attempts,
                finding, ms = latency.as_millis(), phase, "settled"
            )
        };
    }
    if smooth { line!(tracing::Level::DEBUG) } else { line!(tracing::Level::INFO) }
}
