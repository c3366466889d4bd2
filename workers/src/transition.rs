//! From a machine's decision to the operation that stores it.

use std::sync::Arc;
use std::time::Duration;

use workflows::engine::{
    Cause, Effect, Lane, Live, Message, Moved, Outcome, Stake, TaskName, UNCHANGED, Unreadable, View,
};
use workflows::ids::WorkflowId;
use workflows::planted;
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
        reference: live.reference().map(Into::into),
    };
    let instance = Arc::new(instance);
    let weight = live.weighs();
    let follow = Follow::of(&live, effects, now, claim)?;
    let hot = follow.hot.map(|(task, place)| born_claimed(task, &instance, (live, place), now));
    Ok((Start { instance, history: row, put: follow.put, tell: follow.tell, weight }, hot))
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
    // Both documents are of one version.
    let upcast = next.version() != instance.version;
    let order = if upcast { next.order_doc().into() } else { Arc::clone(&instance.order) };
    let shown = (view.status.as_str(), view.phase);
    let after = following(instance, shown, why, occurrence.into(), now);
    let ended = view.status.is_final();
    let instance = Instance {
        version: next.version(),
        order,
        state: next.state_doc().into(),
        status: view.status,
        phase: Arc::clone(&after.phase),
        attention: alarm(instance).or_else(|| view.attention.map(Into::into)),
        seq: after.seq,
        hash: Arc::clone(&after.hash),
        updated_at: now,
        // What comes to light after the end moves it only when an operator corrects the end itself.
        completed_at: instance
            .completed_at
            .filter(|_| view.status == instance.status)
            .or(ended.then_some(now)),
        reference: next.reference().map(Into::into),
        ..instance.clone()
    };
    let instance = Arc::new(instance);
    let follow = Follow::of(&next, effects, now, claim)?;
    let drop = if ended { Drop::All } else { Drop::Named(follow.drop) };
    let hot = follow.hot.map(|(task, place)| born_claimed(task, &instance, (next, place), now));
    Ok((
        Move { instance, upcast, consume, heard, history: after, drop, put: follow.put, tell: follow.tell },
        hot,
    ))
}

/// How the alarm of a stopped instance begins.
const STOPPED: &str = "stopped: ";

/// The alarm of an instance that was stopped. What happens to it afterwards does not take it back.
fn alarm(instance: &Instance) -> Option<Arc<str>> {
    instance.attention.clone().filter(|attention| attention.starts_with(STOPPED))
}

/// Whether an instance was stopped and nobody let it go on since.
pub(crate) fn is_stopped(instance: &Instance) -> bool {
    alarm(instance).is_some()
}

/// A stopped instance goes on where it stands: the alarm is cleared, the first of what leads on is put back when
/// nothing of it is outstanding, and so is each deadline that is gone. A step that leaves something at the provider is never put back, since an attempt
/// before the stop may have had its effect: the machine hears that it was given up with its outcome unknown. `None`
/// when the machine does not say what would follow from that.
pub(crate) fn resume(
    instance: &Instance,
    live: &Arc<dyn Live>,
    outstanding: &[TaskName],
    why: &Why<'_>,
    now: At,
) -> Result<Option<Move>, Unreadable> {
    let quiet = Instance { attention: None, ..instance.clone() };
    let nobody = Claim { lanes: None, lease: Duration::ZERO };
    let lifelines = live.lifelines();
    let is_outstanding =
        |effect: &Effect<TaskName, TaskName>| name_of(effect).is_some_and(|name| outstanding.contains(name));
    let back = if lifelines.iter().any(is_outstanding) { None } else { lifelines.into_iter().next() };
    if let Some(name) = back.as_ref().and_then(name_of)
        && !name.is_timer()
        && matches!(live.policy(name)?.stake, Stake::Owes(_))
    {
        return match live.gave_up(name, Cause::Unknown, now)? {
            Outcome::Moved(moved) => Ok(Some(advance(&quiet, moved, (None, None), why, (now, &nobody))?.0)),
            Outcome::Ignored | Outcome::Refused { .. } => Ok(None),
        };
    }
    let view = live.view();
    let after = following(instance, (view.status.as_str(), view.phase), why, UNCHANGED.into(), now);
    let gone = live.deadlines().into_iter().filter(|effect| !is_outstanding(effect));
    let follow = Follow::of(live, back.into_iter().chain(gone).collect(), now, &nobody)?;
    let instance = Instance {
        attention: view.attention.map(Into::into),
        seq: after.seq,
        hash: Arc::clone(&after.hash),
        updated_at: now,
        ..quiet
    };
    let drop = Drop::Named(follow.drop);
    let op = Move {
        instance: Arc::new(instance),
        upcast: false,
        consume: None,
        heard: None,
        history: after,
        drop,
        put: follow.put,
        tell: follow.tell,
    };
    Ok(Some(op))
}

/// The task that an effect arms.
pub(crate) fn name_of(effect: &Effect<TaskName, TaskName>) -> Option<&TaskName> {
    match effect {
        Effect::Run(name)
        | Effect::RunIn(name, _)
        | Effect::Arm(name, _)
        | Effect::ArmAt(name, _)
        | Effect::Queue(name, _) => Some(name),
        Effect::Withdraw(_) | Effect::Disarm(_) | Effect::Tell(_) => None,
    }
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
    let shown = (view.status.as_str(), view.phase);
    let after = following(instance, shown, why, occurrence.into(), now);
    raised(instance, after, sentence, consume, now)
}

/// Nothing happened to the machine, and an operator is called: whoever looked cannot put right what is wrong.
pub(crate) fn raise(instance: &Instance, sentence: &'static str, why: &Why<'_>, now: At) -> Move {
    let shown = (instance.status.as_str(), &*instance.phase);
    let after = following(instance, shown, why, UNCHANGED.into(), now);
    raised(instance, after, sentence, None, now)
}

fn raised(
    instance: &Instance,
    after: HistoryRow,
    sentence: &'static str,
    consume: Option<TaskRef>,
    now: At,
) -> Move {
    let instance = Instance {
        attention: Some(format!("{STOPPED}{sentence}").into()),
        seq: after.seq,
        hash: Arc::clone(&after.hash),
        updated_at: now,
        ..instance.clone()
    };
    let tell =
        vec![Message { to: workflows::engine::Audience::Operator, about: "workflow.stopped".to_owned() }];
    let instance = Arc::new(instance);
    Move {
        instance,
        upcast: false,
        consume,
        heard: None,
        history: after,
        drop: Drop::Named(vec![]),
        put: vec![],
        tell,
    }
}

fn following(
    instance: &Instance,
    (status, phase): (&str, &str),
    why: &Why<'_>,
    occurrence: Arc<str>,
    now: At,
) -> HistoryRow {
    HistoryRow {
        instance: instance.id,
        seq: instance.seq + 1,
        at: now,
        occurrence,
        status: status.into(),
        phase: phase.into(),
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
                        None => claim.lanes.and_then(|lanes| lanes.begin(&lane)),
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
                Effect::Arm(name, _)
                    if name.as_str() != "@sca_deadline" && planted::is("a timer is lost") =>
                {
                    follow.drop.push(name);
                }
                Effect::Arm(name, delay) => {
                    let delay = if planted::is("an early timer") { delay / 2 } else { delay };
                    let due_at = now.plus(delay);
                    follow.put.push(NewTask { name, lane: Lane::timers(), due_at, claimed: false });
                }
                Effect::ArmAt(name, due_at) => {
                    follow.put.push(NewTask { name, lane: Lane::timers(), due_at, claimed: false });
                }
                Effect::Queue(name, since) => {
                    follow.put.push(NewTask { name, lane: live.queue(), due_at: since, claimed: false });
                }
                Effect::Withdraw(name) | Effect::Disarm(name) => follow.drop.push(name),
                Effect::Tell(message) => follow.tell.push(message),
            }
        }
        Ok(follow)
    }
}

fn born_claimed(
    task: NewTask,
    instance: &Arc<Instance>,
    (live, place): (Arc<dyn Live>, Place),
    now: At,
) -> Hot {
    let claimed = Claimed {
        task: TaskRef { instance: instance.id, name: task.name, born: instance.seq, fence: 1 },
        lane: task.lane,
        attempts: 1,
        losses: 0,
        doubt: false,
        first_at: now,
        instance: Arc::clone(instance),
    };
    Hot { claimed, live, lapses_at: task.due_at, place }
}
