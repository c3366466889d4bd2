//! Finds due work, lane by lane, and claims as much of it as there are hands free.
//!
//! One query says which lanes hold work and when, and whether anything changed about what may be sent; a quiet system
//! asks once a second, a busy one whenever something is due. What this process commits itself it knows without asking.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use workflows::engine::{Lane, Live};
use workflows::time::At;

use crate::committer::chain;
use crate::controls::{
    AT_ONCE, Controls, Gate, Granted, Snapshot, Trial, is_parked, is_queue, queue_before, turns_away,
};
use crate::lanes::{Lanes, Place};
use crate::meters::Meters;
use crate::news::Listener;
use crate::presence::Presence;
use crate::rota::Rota;
use crate::store::{Claimed, LaneDue, Look, NodeId, Overview, Store, TaskRef, Trouble};
use crate::transition::Hot;
use crate::wake::Wake;

/// How often a quiet process looks for work that another one committed.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
/// How often it looks whether other processes are dead, with the same query.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the database did not answer.
const TROUBLE: Duration = Duration::from_millis(500);
/// How long to wait when due work was there and others had it, or there was no place for it.
const CONTENDED: Duration = Duration::from_millis(20);

/// A claimed task on its way to being performed, with the hand that will.
pub(crate) struct Job {
    pub(crate) claimed: Claimed,
    pub(crate) live: Option<Arc<dyn Live>>,
    pub(crate) lapses_at: At,
    pub(crate) place: Place,
    pub(crate) hand: OwnedSemaphorePermit,
}

/// The hands of a process that performs tasks, and the way to them.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) free: Arc<Semaphore>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) jobs: mpsc::UnboundedSender<Job>,
}

impl Hands {
    /// A free hand, if there is one: its owner may bear a claimed task.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Whether a task of a lane could begin now: a hand is free, its lane has room, and its provider takes more.
    pub(crate) fn have_room(&self, lane: &Lane) -> bool {
        let provider = self.lanes.limited(lane);
        self.free.available_permits() > 0
            && self.lanes.room(lane) > 0
            && provider.is_none_or(|provider| self.lanes.limits().room(provider) > 0)
    }

    /// Gives a task that was born claimed to the hand that was taken for it. Answers the claim when nobody performs any
    /// more.
    pub(crate) fn give(&self, hot: Hot, hand: OwnedSemaphorePermit) -> Result<(), TaskRef> {
        let Hot { claimed, live, lapses_at, place } = hot;
        let job = Job { claimed, live: Some(live), lapses_at, place, hand };
        self.jobs.send(job).map_err(|unsent| unsent.0.claimed.task)
    }
}

/// From when on a claim that nothing was done under is due again: parked work keeps the order in which it was accepted,
/// everything else comes at `otherwise`.
pub(crate) fn due_again(claimed: &Claimed, otherwise: At) -> At {
    if is_parked(&claimed.lane) { claimed.instance.created_at } else { otherwise }
}

/// Claims due work for a process.
pub(crate) struct Feeder {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) node: NodeId,
    pub(crate) hands: Hands,
    pub(crate) wake: Arc<Wake>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) lease: Duration,
    pub(crate) meters: Arc<Meters>,
    /// How often it looks for the work of others while it has none.
    pub(crate) quiet: Duration,
    pub(crate) changes: Listener<Arc<Snapshot>>,
    /// Whose turn it was when.
    pub(crate) rota: Rota,
}

/// What to claim, and when to look again when that is nothing.
struct Plan {
    wanted: Vec<Wanted>,
    next: At,
}

/// A lane to claim from.
struct Wanted {
    lane: Lane,
    room: usize,
    trial: Option<Trial>,
    /// The window of a queue's ramp that they are counted in.
    counted_in: Option<At>,
}

/// What a provider takes at the moment, and how many lanes it is divided among.
struct Desk {
    room: usize,
    lanes: usize,
}

/// How what is due in a lane may pass.
#[derive(Clone, Copy)]
enum Pass {
    Free,
    Trial,
}

impl Feeder {
    /// Feeds until the end begins. A claim is never cut off in the middle.
    pub(crate) async fn run(mut self, mut ending: watch::Receiver<bool>) {
        let mut looked = At::MIN;
        while !*ending.borrow() {
            let now = self.now();
            let look = if now.since(looked) >= LOOK { Look::AtNodesToo } else { Look::AtLanes };
            if look == Look::AtNodesToo {
                looked = now;
            }
            let next = match self.feed(look).await {
                Ok(next) => next,
                Err(trouble) => {
                    tracing::error!(error = %chain(&trouble), "looking for work failed");
                    self.now().plus(TROUBLE)
                }
            };
            tokio::select! {
                biased;
                () = self.rest(next) => {}
                // Without anybody to say so, nobody performs any more either.
                ended = ending.wait_for(|ending| *ending) => if ended.is_err() { return },
            }
        }
    }

    /// Looks once. Answers when to look again.
    async fn feed(&mut self, look: Look) -> Result<At, Trouble> {
        self.a_hand_is_free().await?;
        self.wake.forget();
        self.changes.mark_unchanged();
        let asked_at = self.now();
        let Overview { controls, mut lanes, somebody_died } = self.store.overview(look).await?;
        if somebody_died {
            // What they held is due now.
            self.presence.bury().await;
        }
        self.controls().heard_of(controls, asked_at).await?;
        self.controls().saw_work(lanes.iter().map(|due| due.lane.clone()).collect()).await?;
        // Lanes take turns, whatever waits in each: many questions about payments never keep new ones waiting, nor they
        // the questions.
        self.rota.order(&mut lanes);
        let now = self.now();
        // Hands first: a claim that had to wait for one could lapse before it is begun.
        let mut hands = self.free_hands();
        let Plan { wanted, next } = self.plan(&lanes, hands.len(), now).await?;
        if wanted.is_empty() {
            return Ok(next);
        }
        let turns: Vec<Lane> = wanted.iter().map(|one| one.lane.clone()).collect();
        let since: HashMap<&Lane, At> = lanes.iter().map(|due| (&due.lane, due.due_at)).collect();
        let rooms: Vec<(Lane, usize)> = wanted.iter().map(|one| (one.lane.clone(), one.room)).collect();
        // In an order of their own: what is done about them is done in the same order every time.
        let mut counted: BTreeMap<Lane, (At, usize)> =
            wanted.iter().filter_map(|one| Some((one.lane.clone(), (one.counted_in?, one.room)))).collect();
        let mut trials: BTreeMap<Lane, Trial> =
            wanted.into_iter().filter_map(|one| Some((one.lane, one.trial?))).collect();
        let asked_at = self.now();
        let claimed = self.store.claim(&rooms, &self.node, now, self.lease).await;
        self.meters.claims.count(self.now().since(asked_at));
        let (lapses_at, mut unused) = (now.plus(self.lease), vec![]);
        let mut entered: HashSet<&Lane> = HashSet::new();
        let since = |lane: &Lane| since.get(lane).copied().unwrap_or(now);
        let found = claimed.as_ref().map_or(0, Vec::len);
        for claimed in claimed.as_ref().map_or(&[][..], Vec::as_slice) {
            // A start may have taken the last place meanwhile.
            match (self.hands.lanes.enter(&claimed.lane), hands.pop()) {
                (Some(place), Some(hand)) => {
                    entered.insert(&claimed.lane);
                    let window = counted.get_mut(&claimed.lane).map(|(window, left)| {
                        *left = left.saturating_sub(1);
                        *window
                    });
                    let place = place
                        .due_since(since(&claimed.lane))
                        .trying(trials.remove(&claimed.lane))
                        .counted_in(window);
                    let job = Job { claimed: claimed.clone(), live: None, lapses_at, place, hand };
                    unused.extend(self.hands.jobs.send(job).err().map(|unsent| unsent.0.claimed));
                }
                _ => unused.push(claimed.clone()),
            }
        }
        for trial in trials.into_values() {
            self.controls().not_tried(trial).await;
        }
        // A lane whose tasks found no place had no turn: it would come behind those that had theirs for ever.
        let turned_away = |lane: &Lane| {
            !entered.contains(lane) && unused.iter().any(|claimed: &Claimed| claimed.lane == *lane)
        };
        self.rota.taken(turns.iter().filter(|lane| !turned_away(lane)));
        let in_vain = unused.len() == found;
        for claimed in unused {
            let due_at = due_again(&claimed, since(&claimed.lane));
            self.store.release(&[claimed.task], due_at).await?;
        }
        // Last: what fails here costs a queue some of its pace, and neither a claim nor a trial its time.
        for (queue, (window, left)) in counted.into_iter().filter(|(_, (_, left))| *left > 0) {
            self.controls().give_back(&queue, window, left).await?;
        }
        claimed?;
        // What all had to be handed back would be claimed in vain again: whoever makes room says so.
        Ok(if in_vain { now.plus(CONTENDED) } else { now })
    }

    /// Waits for a hand: while all are busy there is nothing to look for but changes of what may be sent, and those
    /// are not to be missed.
    async fn a_hand_is_free(&self) -> Result<(), Trouble> {
        loop {
            tokio::select! {
                biased;
                // The semaphore is never closed.
                _ = self.hands.free.acquire() => return Ok(()),
                () = tokio::time::sleep(QUIET) => self.controls().look().await?,
            }
        }
    }

    /// What to claim of the lanes that hold work, as far as hands, room and controls allow. A shut lane is passed over,
    /// whatever waits in it.
    async fn plan(&self, lanes: &[LaneDue], hands: usize, now: At) -> Result<Plan, Trouble> {
        let mut plan = Plan { wanted: vec![], next: now.plus(self.quiet) };
        let mut open = vec![];
        for LaneDue { lane, due_at } in lanes {
            if *due_at > now {
                plan.next = plan.next.min(*due_at);
                continue;
            }
            if let Some(until) = self.hands.lanes.rests(lane, now) {
                plan.next = plan.next.min(until);
                continue;
            }
            match self.controls().gate(lane) {
                Gate::Open => open.push((lane, Pass::Free)),
                Gate::OneAtATime => open.push((lane, Pass::Trial)),
                Gate::Shut(_) if turns_away(lane) => open.push((lane, Pass::Free)),
                Gate::Until(at) => {
                    plan.next = plan.next.min(at);
                    self.controls().hold_back(lane).await?;
                }
                // Whoever waits there is turned away when the probe is not answered at once.
                Gate::Probed if turns_away(lane) => plan.next = plan.next.min(now.plus(AT_ONCE)),
                Gate::Probed | Gate::Shut(_) => self.controls().hold_back(lane).await?,
            }
        }
        // Every lane gets the same share of the hands, and no more than its own limit and its provider's.
        let share = hands.checked_div(open.len()).unwrap_or(0).max(1);
        let mut desks: HashMap<&str, Desk> = HashMap::new();
        for provider in open.iter().filter_map(|(lane, _)| self.hands.lanes.limited(lane)) {
            let room = || self.hands.lanes.limits().room(provider);
            desks.entry(provider).or_insert_with(|| Desk { room: room(), lanes: 0 }).lanes += 1;
        }
        // What was let out of a queue is sent before more is let out.
        let sending: Vec<Lane> = open.iter().filter_map(|(lane, _)| queue_before(lane)).collect();
        for (lane, pass) in open.iter().copied() {
            // A lane that gets nothing now leaves its hand to those after it.
            if plan.wanted.len() >= hands {
                break;
            }
            if is_queue(lane) && sending.contains(lane) {
                continue;
            }
            // A lane or a provider that is full says so when it has a place again.
            let mut room = self.hands.lanes.room(lane).min(share);
            if let Some(desk) = self.hands.lanes.limited(lane).and_then(|provider| desks.get_mut(provider)) {
                // What a lane leaves over goes to those after it.
                room = room.min(desk.room.div_ceil(desk.lanes.max(1)));
                (desk.room, desk.lanes) = (desk.room - room, desk.lanes.saturating_sub(1));
            }
            if room == 0 {
                continue;
            }
            let mut want = Wanted { lane: lane.clone(), room, trial: None, counted_in: None };
            match pass {
                Pass::Free if is_queue(lane) => match self.controls().release(lane, room).await? {
                    Granted::Some(some, window) => (want.room, want.counted_in) = (some, window),
                    Granted::NotBefore(at) => {
                        plan.next = plan.next.min(at);
                        continue;
                    }
                    Granted::None => continue,
                },
                Pass::Free => {}
                Pass::Trial => match self.controls().try_one(lane).await? {
                    Some(trial) => want = Wanted { room: 1, trial: Some(trial), ..want },
                    None => continue,
                },
            }
            plan.wanted.push(want);
        }
        let crowded = desks.iter().filter(|(_, desk)| desk.room == 0);
        self.hands.lanes.are_crowded(crowded.map(|(provider, _)| (*provider).to_owned()).collect());
        Ok(plan)
    }

    fn controls(&self) -> &Controls {
        self.hands.lanes.controls()
    }

    fn free_hands(&self) -> Vec<OwnedSemaphorePermit> {
        std::iter::from_fn(|| self.hands.take()).collect()
    }

    async fn rest(&mut self, until: At) {
        loop {
            let until = until.min(self.wake.earliest());
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(left) => return,
                () = self.wake.earlier() => {}
                // What was shut may be open now.
                _ = self.changes.changed() => return,
            }
        }
    }

    fn now(&self) -> At {
        self.store.clock().now()
    }
}
