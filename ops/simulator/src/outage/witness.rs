//! What the commits of a world show: who waits in the queue and for how long, what customers and operators are told, and
//! that each history goes on by one revision at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use workers::store::{Move, Op};
use workflows::engine::Status;
use workflows::ids::WorkflowId;
use workflows::payment::{Progress, facts};
use workflows::time::At;

use super::customers::number_of;
use crate::breach::{Breaches, Rule};

/// M-14, verbatim.
const QUEUED: &str = "Betaling satt i kø. Vil bli behandlet innen 2 timer.";

/// Sees every commit of one store.
pub struct Witness {
    breaches: Arc<Breaches>,
    seen: Mutex<Seen>,
    /// Those who are asked to come back, when they are.
    asked_back: mpsc::UnboundedSender<WorkflowId>,
}

/// What it saw.
pub struct Seen {
    stories: Vec<Story>,
    /// Payments in the queue.
    pub parked: u32,
    /// The most there ever were.
    pub most_parked: u32,
    /// Payments that have not ended.
    pub live: u32,
    /// When the queue was last emptied.
    pub emptied: Option<At>,
}

/// One payment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Story {
    /// The newest revision; 0 = it was never started.
    pub seq: i64,
    /// When it was accepted.
    pub accepted: Option<At>,
    /// When it first came into the queue.
    pub parked: Option<At>,
    /// When it last left it.
    pub left: Option<At>,
    /// Whether it left to be sent, or to be approved first.
    pub released: bool,
    /// What was told how often.
    pub told: Told,
    /// Whether it has ended, and how.
    pub ended: Option<Status>,
    in_queue: bool,
}

/// How often what was told about a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The customer: it is queued.
    pub queued: u8,
    /// An operator: three quarters of what was promised are over.
    pub warned: u8,
    /// The customer: it takes longer than promised.
    pub delayed: u8,
    /// An operator: the promise is broken.
    pub breached: u8,
}

impl Witness {
    /// For so many payments.
    pub fn new(
        payments: u32,
        breaches: &Arc<Breaches>,
        asked_back: mpsc::UnboundedSender<WorkflowId>,
    ) -> Arc<Self> {
        let stories = vec![Story::default(); usize::try_from(payments).unwrap_or(0)];
        let seen = Seen { stories, parked: 0, most_parked: 0, live: 0, emptied: None };
        Arc::new(Witness { breaches: Arc::clone(breaches), seen: Mutex::new(seen), asked_back })
    }

    /// An operation was committed.
    pub fn committed(&self, op: &Op) {
        match op {
            Op::Start(start) => {
                let mut seen = self.seen();
                seen.live += 1;
                if let Some(story) = seen.story(number_of(start.instance.id)) {
                    (story.seq, story.accepted) = (start.instance.seq, Some(start.instance.created_at));
                }
            }
            Op::Move(moved) => self.moved(moved),
            Op::PutBack(_) | Op::Discard(_) => {}
        }
    }

    /// What it saw so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self, moved: &Move) {
        let Move { instance, history, tell, .. } = moved;
        let number = number_of(instance.id);
        let breach = |rule, what: String| self.breaches.add(rule, Some(number.into()), what);
        let in_queue = &*instance.phase == "parked";
        let mut seen = self.seen();
        let Some(story) = seen.story(number) else { return };
        if instance.seq != story.seq + 1 {
            breach(Rule::SingleWriter, format!("revision {} after {}", instance.seq, story.seq));
        }
        if story.ended.is_some_and(|ended| ended != instance.status) {
            breach(Rule::Truthful, format!("{:?} became {}", story.ended, instance.status));
        }
        let was_live = story.ended.is_none();
        story.seq = instance.seq;
        story.ended = instance.status.is_final().then_some(instance.status);
        let ends = was_live && story.ended.is_some();
        for message in tell {
            let told = &mut story.told;
            match message.about.as_str() {
                "payment.queued" => told.queued += 1,
                "payment.sla_warning" => told.warned += 1,
                "payment.delayed" => told.delayed += 1,
                "payment.sla_breach" => told.breached += 1,
                _ => {}
            }
        }
        let was_in_queue = std::mem::replace(&mut story.in_queue, in_queue);
        match (was_in_queue, in_queue) {
            (false, true) => {
                story.parked = story.parked.or(Some(history.at));
                seen.parked += 1;
                seen.most_parked = seen.most_parked.max(seen.parked);
            }
            (true, false) => {
                (story.left, story.released) = (Some(history.at), !instance.status.is_final());
                seen.parked -= 1;
                if seen.parked == 0 {
                    seen.emptied = Some(history.at);
                }
            }
            (true, true) | (false, false) => {}
        }
        seen.live -= u32::from(ends);
        drop(seen);
        if in_queue && !was_in_queue && message(&instance.state) != Some(QUEUED) {
            breach(Rule::Truthful, "who waits in the queue is not told so".to_owned());
        }
        if &*instance.phase == "awaiting_user" && was_in_queue {
            // Nobody listens at the end of a world.
            let _ = self.asked_back.send(instance.id);
        }
    }
}

impl Seen {
    /// What happened to a payment.
    pub fn of(&self, number: u32) -> Story {
        let place = usize::try_from(number).ok();
        place.and_then(|place| self.stories.get(place)).copied().unwrap_or_default()
    }

    fn story(&mut self, number: u32) -> Option<&mut Story> {
        self.stories.get_mut(usize::try_from(number).ok()?)
    }
}

/// What the customer reads.
fn message(state: &str) -> Option<&'static str> {
    facts(&serde_json::from_str::<Progress>(state).ok()?).message
}
