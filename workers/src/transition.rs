//! From a machine's decision to the operation that stores it.

use std::sync::Arc;
use std::time::Duration;

use workflows::engine::{Effect, Lane, Live, Message, Moved, TaskName, Unreadable, View};
use workflows::ids::WorkflowId;
use workflows::time::At;

use crate::lanes::{Lanes, Place};
use crate::store::{Claimed, Drop, HistoryRow, InboxKey, Instance, Move, NewTask, Start, StartKey, TaskRef};

/// A claimed task with its instance decoded, so that it is performed without another look at the store.
pub(crate) struct Hot {
    pub(crate) claimed: Claimed,
    pub(crate) live: Arc<dyn Live>,
    /// When the claim lapses unless it is prolonged.
    pub(crate) lapses_at: At,
    /// Its place in its lane.
    pub(crate) place: Place,
}

/// What caused a transition, for the history.
pub(crate) struct Why<'a> {
    pub(crate) actor: &'a str,
    pub(crate) step: &'a str,
    pub(crate) attempt: u32,
    pub(crate) latency: Duration,
}

impl<'a> Why<'a> {
    /// Somebody said so.
    pub(crate) fn said(actor: &'a str) -> Self {
        Why { actor, step: "", attempt: 0, latency: Duration::ZERO }
    }
}

/// Whether a task may be born claimed: whoever decided has a hand for it, and its lane has room.
pub(crate) struct Claim<'a> {
    /// The lanes of this process; `None` = no hand.
    pub(crate) lanes: Option<&'a Arc<Lanes>>,
    /// How long it is held.
    pub(crate) lease: Duration,
}

/// A new instance, and the task to perform at once if there is one.
pub(crate) fn begin(
    id: WorkflowId,
    owner: &str,
    key: StartKey,
    actor: &str,
    (live, effects): (Arc<dyn Live>, Vec<Effect<TaskName, TaskName>>),
    (now, claim): (At, &Claim<'_>),
) -> Result<(Start, Option<Hot>), Unreadable> {
    let view = live.view();
    let row = HistoryRow {
        instance: id,
        seq: 1,
        at: now,
        occurrence: r#""started""#.into(),
        status: view.status.as_str().into(),
        phase: view.phase.into(),
        actor: actor.into(),
        step: "".into(),
        attempt: 0,
        latency_us: 0,
        hash: "".into(),
    }
    .chained("");
    let instance = Instance {
        id,
        kind: live.kind().into(),
        version: live.version(),
        owner: owner.into(),
        order: live.order_doc().into(),
        state: live.state_doc().into(),
        status: view.status,
        phase: view.phase.into(),
        attention: view.attention.map(Into::into),
        seq: 1,
        hash: Arc::clone(&row.hash),
        start: key,
        created_at: now,
        updated_at: now,
        completed_at: view.status.is_final().then_some(now),
    };
    let follow = Follow::of(&live, effects, now, claim)?;
    let hot = follow.hot.map(|(task, place)| born_claimed(task, &instance, (live, place), now));
    Ok((Start { instance, history: row, put: follow.put, tell: follow.tell }, hot))
}

/// A transition of an instance, and the task to perform at once if there is one.
pub(crate) fn advance(
    instance: &Instance,
    moved: Moved,
    (consume, heard): (Option<TaskRef>, Option<InboxKey>),
    why: &Why<'_>,
    (now, claim): (At, &Claim<'_>),
) -> Result<(Move, Option<Hot>), Unreadable> {
    let Moved { next, effects, occurrence } = moved;
    let view = next.view();
    let after = following(instance, &view, why, occurrence.into(), now);
    let ended = view.status.is_final();
    let instance = Instance {
        version: next.version(),
        state: next.state_doc().into(),
        status: view.status,
        phase: Arc::clone(&after.phase),
        attention: alarm(instance).or_else(|| view.attention.map(Into::into)),
        seq: after.seq,
        hash: Arc::clone(&after.hash),
        updated_at: now,
        completed_at: ended.then_some(now),
        ..instance.clone()
    };
    let follow = Follow::of(&next, effects, now, claim)?;
    let drop = if ended { Drop::All } else { Drop::Named(follow.drop) };
    let hot = follow.hot.map(|(task, place)| born_claimed(task, &instance, (next, place), now));
    Ok((Move { instance, consume, heard, history: after, drop, put: follow.put, tell: follow.tell }, hot))
}

/// How the alarm of a stopped instance begins.
const STOPPED: &str = "stopped: ";

/// The alarm of an instance that was stopped. What happens to it afterwards does not take it back.
fn alarm(instance: &Instance) -> Option<Arc<str>> {
    instance.attention.clone().filter(|attention| attention.starts_with(STOPPED))
}

/// The instance stops where it is and asks for an operator: the machine says that this cannot happen.
pub(crate) fn stop(
    instance: &Instance,
    view: &View,
    (sentence, occurrence): (&'static str, String),
    consume: Option<TaskRef>,
    why: &Why<'_>,
    now: At,
) -> Move {
    let after = following(instance, view, why, occurrence.into(), now);
    let instance = Instance {
        attention: Some(format!("{STOPPED}{sentence}").into()),
        seq: after.seq,
        hash: Arc::clone(&after.hash),
        updated_at: now,
        ..instance.clone()
    };
    let tell =
        vec![Message { to: workflows::engine::Audience::Operator, about: "workflow.stopped".to_owned() }];
    Move { instance, consume, heard: None, history: after, drop: Drop::Named(vec![]), put: vec![], tell }
}

fn following(instance: &Instance, view: &View, why: &Why<'_>, occurrence: Arc<str>, now: At) -> HistoryRow {
    HistoryRow {
        instance: instance.id,
        seq: instance.seq + 1,
        at: now,
        occurrence,
        status: view.status.as_str().into(),
        phase: view.phase.into(),
        actor: why.actor.into(),
        step: why.step.into(),
        attempt: i64::from(why.attempt),
        latency_us: i64::try_from(why.latency.as_micros()).unwrap_or(i64::MAX),
        hash: "".into(),
    }
    .chained(&instance.hash)
}

/// What the effects of a transition come to.
struct Follow {
    put: Vec<NewTask>,
    drop: Vec<TaskName>,
    tell: Vec<Message>,
    hot: Option<(NewTask, Place)>,
}

impl Follow {
    fn of(
        live: &Arc<dyn Live>,
        effects: Vec<Effect<TaskName, TaskName>>,
        now: At,
        claim: &Claim<'_>,
    ) -> Result<Follow, Unreadable> {
        let mut follow = Follow { put: vec![], drop: vec![], tell: vec![], hot: None };
        for effect in effects {
            match effect {
                Effect::Run(name) => {
                    let lane = live.policy(&name)?.lane;
                    // One task of an instance is performed at once by whoever decided; others find their own hands.
                    let place = match follow.hot {
                        None => claim.lanes.and_then(|lanes| lanes.enter(&lane)),
                        Some(_) => None,
                    };
                    let claimed = place.is_some();
                    let due_at = if claimed { now.plus(claim.lease) } else { now };
                    let task = NewTask { name, lane, due_at, claimed };
                    if let Some(place) = place {
                        follow.hot = Some((task.clone(), place));
                    }
                    follow.put.push(task);
                }
                Effect::RunIn(name, delay) => {
                    let lane = live.policy(&name)?.lane;
                    follow.put.push(NewTask { name, lane, due_at: now.plus(delay), claimed: false });
                }
                Effect::Arm(name, delay) => {
                    let due_at = now.plus(delay);
                    follow.put.push(NewTask { name, lane: Lane::timers(), due_at, claimed: false });
                }
                Effect::Withdraw(name) | Effect::Disarm(name) => follow.drop.push(name),
                Effect::Tell(message) => follow.tell.push(message),
            }
        }
        Ok(follow)
    }
}

fn born_claimed(task: NewTask, instance: &Instance, (live, place): (Arc<dyn Live>, Place), now: At) -> Hot {
    let claimed = Claimed {
        task: TaskRef { instance: instance.id, name: task.name, born: instance.seq, fence: 1 },
        lane: task.lane,
        attempts: 1,
        losses: 0,
        doubt: false,
        first_at: now,
        instance: instance.clone(),
    };
    Hot { claimed, live, lapses_at: task.due_at, place }
}
