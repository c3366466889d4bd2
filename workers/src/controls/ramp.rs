//! The ramped release of a queue: after an outage parked payments are let through a few at first, then more, so that a
//! bank that just came back is not knocked down again (X-49).
//!
//! The first stages are each so many payments within a minute; after the last one the provider's rate is the limit.
//! Failures of initiations at the bank, two and a tenth of those within as long as a stage at least, set it back to its
//! first stage; fewer leave it where it is. A lane that was shut starts it anew. A queue that was never held back has no ramp and is let through as fast as its payments can be sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflows::time::At;

use super::cause::Cause;

/// What the stages are (`QUEUE_RAMP`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    /// Payments within each stage, in order.
    pub each: Vec<u32>,
    /// How long a stage lasts.
    pub long: Duration,
}

/// What is stored of a queue. One that nothing was ever held back in is not stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// How it is let through.
    pub ramp: Option<Ramp>,
    /// An operator's wish, which goes before the stages.
    pub wish: Option<(Drain, Cause)>,
}

/// Where a ramp stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ramp {
    /// The lane is shut, or was: the next release is the first of the first stage.
    Waiting,
    /// It is being let through.
    Running {
        /// When the first stage began.
        since: At,
        /// When the window began that releases are counted in.
        window: At,
        /// Releases in it.
        released: u32,
        /// How those of the present stage went.
        #[serde(default)]
        tally: Tally,
    },
}

/// What became of what was let through within as long as a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// When that time began.
    pub begins: At,
    /// Releases in it.
    pub released: u32,
    /// Initiations that failed in it.
    pub failed: u32,
}

/// Of so many releases one may fail.
const ONE_OF: u32 = 10;
/// So many failures at least set a ramp back.
const FEWEST: u32 = 2;

/// How an operator wants a queue to be let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// So many payments a minute, and no more.
    PerMinute(u32),
    /// None.
    Paused,
    /// By the stages.
    Ramp,
}

/// What may be let through now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// As many as there is room for; nothing has to be counted.
    Free,
    /// So many, counted in the queue as it is then.
    Some(u32, Queue),
    /// None before this time.
    NotBefore(At),
    /// None until somebody changes something.
    Paused,
}

/// A minute, which an operator's wish is counted by.
const MINUTE: Duration = Duration::from_mins(1);
/// What the provider's rate is counted by.
const SECOND: Duration = Duration::from_secs(1);

impl Queue {
    /// How many of `wanted` may be let through at `now`, at a provider that takes `rate` calls a second.
    pub fn release(&self, wanted: u32, stages: &Stages, rate: u32, now: At) -> Release {
        let wish = self.wish_at(now);
        if wish == Some(Drain::Paused) {
            return Release::Paused;
        }
        let (since, window, released, tally) = match (self.ramp, wish) {
            (Some(Ramp::Running { since, window, released, tally }), _) => (since, window, released, tally),
            (None, None | Some(Drain::Ramp)) => return Release::Free,
            (Some(Ramp::Waiting) | None, _) => (now, now, 0, Tally::default()),
        };
        let Window { begins, ends, most } = match wish {
            Some(Drain::PerMinute(most)) => Window::of(MINUTE, most, since, now),
            Some(Drain::Paused | Drain::Ramp) | None if now < since => return Release::NotBefore(since),
            Some(Drain::Paused | Drain::Ramp) | None => stages.window(rate, since, now),
        };
        let released = if begins == window { released } else { 0 };
        let free = most.saturating_sub(released).min(wanted);
        if free == 0 {
            return Release::NotBefore(ends);
        }
        let tally = tally.at(stages, since, now);
        let tally = Tally { released: tally.released.saturating_add(free), ..tally };
        let ramp = Some(Ramp::Running { since, window: begins, released: released + free, tally });
        Release::Some(free, Queue { ramp, ..self.clone() })
    }

    /// The window that releases are counted in; `None` while none are.
    pub fn window(&self) -> Option<At> {
        match self.ramp? {
            Ramp::Running { window, .. } => Some(window),
            Ramp::Waiting => None,
        }
    }

    /// With `unused` of the releases that were counted in a window not counted: nothing was sent for them. `None` when
    /// another window has begun meanwhile, which they were never counted in.
    pub fn given_back(&self, counted_in: At, unused: u32) -> Option<Queue> {
        match self.ramp? {
            Ramp::Running { since, window, released, tally } if window == counted_in => {
                let released = released.saturating_sub(unused);
                let tally = Tally { released: tally.released.saturating_sub(unused), ..tally };
                Some(Queue { ramp: Some(Ramp::Running { since, window, released, tally }), ..self.clone() })
            }
            Ramp::Running { .. } | Ramp::Waiting => None,
        }
    }

    /// With its ramp before its first stage: its lane was shut. `None` when it is there already.
    pub fn stopped(&self) -> Option<Queue> {
        (self.ramp != Some(Ramp::Waiting)).then(|| Queue { ramp: Some(Ramp::Waiting), ..self.clone() })
    }

    /// After so many more initiations failed: with its ramp back at its first stage when these are too many. That stage
    /// begins after as long as a stage lasts, so that a bank that fails does not get it twice within that time. `None`
    /// when nothing was let through yet, or it is to begin anew already.
    pub fn after_failures(&self, failures: u32, stages: &Stages, now: At) -> Option<Queue> {
        let ramp = match self.ramp? {
            Ramp::Running { since, window, released, tally } if since <= now => {
                let tally = tally.at(stages, since, now);
                let tally = Tally { failed: tally.failed.saturating_add(failures), ..tally };
                if tally.is_bad() {
                    let since = now.plus(stages.long);
                    Ramp::Running { since, window: since, released: 0, tally: Tally::default() }
                } else {
                    Ramp::Running { since, window, released, tally }
                }
            }
            Ramp::Running { .. } | Ramp::Waiting => return None,
        };
        Some(Queue { ramp: Some(ramp), ..self.clone() })
    }

    /// Without a ramp: nothing waits any more. `None` when it has none.
    pub fn emptied(&self) -> Option<Queue> {
        self.ramp.map(|_| Queue { ramp: None, ..self.clone() })
    }

    /// Which stage it is in at `now`, from 0; the one after the last is the provider's rate. `None` without a ramp.
    pub fn stage(&self, stages: &Stages, now: At) -> Option<usize> {
        match self.ramp? {
            Ramp::Waiting => Some(0),
            Ramp::Running { since, .. } => Some(stages.index(since, now)),
        }
    }

    /// The operator's wish that is in force at `now`.
    pub fn wish_at(&self, now: At) -> Option<Drain> {
        self.wish.as_ref().filter(|(_, cause)| cause.holds_at(now)).map(|(drain, _)| *drain)
    }

    /// Whether nothing of it has to be remembered at `now`.
    pub fn is_forgettable(&self, now: At) -> bool {
        self.ramp.is_none() && matches!(self.wish_at(now), None | Some(Drain::Ramp))
    }
}

impl Default for Tally {
    /// Of a time that is long past.
    fn default() -> Self {
        Tally { begins: At::MIN, released: 0, failed: 0 }
    }
}

impl Tally {
    /// The one that holds `now`, of a ramp that began at `since`.
    fn at(self, stages: &Stages, since: At, now: At) -> Self {
        let begins = Window::of(stages.long, 0, since, now).begins;
        if begins == self.begins { self } else { Tally { begins, ..Tally::default() } }
    }

    fn is_bad(self) -> bool {
        self.failed >= FEWEST && self.failed.saturating_mul(ONE_OF) >= self.released
    }
}

/// A time in which at most so many are let through.
struct Window {
    begins: At,
    ends: At,
    most: u32,
}

impl Window {
    /// The one of a row of windows since `since` that holds `now`.
    fn of(long: Duration, most: u32, since: At, now: At) -> Self {
        let begins = since.plus(multiple(long, whole(now.since(since), long)));
        Window { begins, ends: begins.plus(long), most }
    }
}

impl Stages {
    fn window(&self, rate: u32, since: At, now: At) -> Window {
        match self.each.get(self.index(since, now)) {
            Some(most) => Window::of(self.long, *most, since, now),
            None => Window::of(SECOND, rate, since, now),
        }
    }

    fn index(&self, since: At, now: At) -> usize {
        usize::try_from(whole(now.since(since), self.long)).unwrap_or(usize::MAX)
    }
}

/// How often `part` fits into `of`.
fn whole(of: Duration, part: Duration) -> u64 {
    let times = of.as_micros().checked_div(part.as_micros()).unwrap_or(0);
    u64::try_from(times).unwrap_or(u64::MAX)
}

fn multiple(part: Duration, times: u64) -> Duration {
    Duration::from_micros(u64::try_from(part.as_micros()).unwrap_or(u64::MAX).saturating_mul(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages() -> Stages {
        Stages { each: vec![1, 5, 25, 125, 625], long: MINUTE }
    }

    fn at(second: u64) -> At {
        At::EPOCH.plus(Duration::from_secs(second))
    }

    fn waiting() -> Queue {
        Queue { ramp: Some(Ramp::Waiting), wish: None }
    }

    fn wish(drain: Drain, expires_at: Option<At>) -> (Drain, Cause) {
        (drain, Cause { actor: "op".to_owned(), reason: "test".to_owned(), expires_at })
    }

    /// How many are let through in each minute when somebody asks for `wanted` every second.
    fn by_minute(queue: &mut Queue, from: u64, minutes: u64, wanted: u32) -> Vec<u32> {
        let minute = |queue: &mut Queue, begins: u64| {
            let mut sum = 0;
            for second in begins..begins + 60 {
                if let Release::Some(some, next) = queue.release(wanted, &stages(), 50, at(second)) {
                    *queue = next;
                    sum += some;
                }
            }
            sum
        };
        (0..minutes).map(|n| minute(queue, from + 60 * n)).collect()
    }

    #[test]
    fn a_queue_is_let_out_stage_by_stage_and_then_at_the_providers_rate() {
        for wanted in [1, 7, 10_000] {
            let released = by_minute(&mut waiting(), 1_000, 7, wanted);
            let most = [1, 5, 25, 125, 625, 3_000, 3_000].map(|most: u32| most.min(wanted * 60));
            assert_eq!(released, most, "{wanted} at a time");
        }
    }

    #[test]
    fn a_queue_that_was_never_held_back_is_let_out_at_once() {
        assert_eq!(Queue::default().release(70, &stages(), 50, at(0)), Release::Free);
        assert_eq!(waiting().emptied(), Some(Queue::default()));
    }

    #[test]
    fn what_was_not_sent_is_let_through_in_the_same_window_and_in_no_other() {
        let Release::Some(1, queue) = waiting().release(9, &stages(), 50, at(0)) else { panic!("the first") };
        let window = queue.window().expect("it runs");
        assert_eq!(queue.release(9, &stages(), 50, at(1)), Release::NotBefore(at(60)));
        let back = queue.given_back(window, 1).expect("the same window");
        assert!(matches!(back.release(9, &stages(), 50, at(1)), Release::Some(1, _)));
        let Release::Some(5, later) = queue.release(9, &stages(), 50, at(60)) else { panic!("the second") };
        assert_eq!(later.given_back(window, 1), None, "it was never counted there");
        assert_eq!((waiting().given_back(at(0), 1), waiting().window()), (None, None));
    }

    #[test]
    fn a_tenth_that_fails_sets_it_back_to_the_first_stage_after_a_rest() {
        let mut queue = waiting();
        by_minute(&mut queue, 0, 3, 100);
        // 125 in this minute, of which twelve may fail.
        assert_eq!(by_minute(&mut queue, 180, 1, 200), [125]);
        queue = queue.after_failures(12, &stages(), at(230)).expect("they are counted");
        assert_eq!(queue.stage(&stages(), at(230)), Some(3));
        queue = queue.after_failures(1, &stages(), at(231)).expect("it runs");
        assert_eq!(queue.release(9, &stages(), 50, at(231)), Release::NotBefore(at(291)));
        assert_eq!(queue.after_failures(9, &stages(), at(240)), None, "it rests");
        assert_eq!(by_minute(&mut queue, 231, 4, 100), [0, 1, 5, 25]);
        assert_eq!(waiting().after_failures(9, &stages(), at(0)), None);
    }

    #[test]
    fn one_failure_leaves_it_where_it_is_and_is_forgotten_with_its_stage() {
        let mut queue = waiting();
        assert_eq!(by_minute(&mut queue, 0, 1, 100), [1]);
        queue = queue.after_failures(1, &stages(), at(30)).expect("it is counted");
        assert_eq!(by_minute(&mut queue, 60, 1, 100), [5]);
        queue = queue.after_failures(1, &stages(), at(90)).expect("it is counted");
        assert_eq!(by_minute(&mut queue, 120, 1, 100), [25]);
        // After the last stage a second is too short to judge by.
        assert_eq!(by_minute(&mut queue, 180, 3, 1), [60; 3]);
        for (second, failures, stage) in [(330, 1, Some(5)), (331, 1, Some(5)), (359, 4, Some(0))] {
            queue = queue.after_failures(failures, &stages(), at(second)).expect("they are counted");
            assert_eq!(queue.stage(&stages(), at(second)), stage, "{second}");
        }
    }

    #[test]
    fn a_ramp_that_an_older_process_wrote_goes_on() {
        let text = r#"{"ramp":{"running":{"since":0,"window":0,"released":1}},"wish":null}"#;
        let mut queue: Queue = serde_json::from_str(text).expect("it reads");
        assert_eq!(by_minute(&mut queue, 0, 2, 100), [0, 5]);
    }

    #[test]
    fn a_lane_that_was_shut_starts_it_anew() {
        let mut queue = waiting();
        assert_eq!(by_minute(&mut queue, 0, 2, 100), [1, 5]);
        queue = queue.stopped().expect("it ran");
        assert_eq!(queue.stopped(), None);
        assert_eq!(by_minute(&mut queue, 500, 2, 100), [1, 5]);
    }

    #[test]
    fn an_operators_wish_goes_before_the_stages_until_it_expires() {
        let mut queue = Queue { wish: Some(wish(Drain::PerMinute(30), Some(at(120)))), ..waiting() };
        assert_eq!(by_minute(&mut queue, 0, 4, 100), [30, 30, 25, 125]);
        let paused = Queue { wish: Some(wish(Drain::Paused, Some(at(9)))), ..waiting() };
        assert_eq!(paused.release(5, &stages(), 50, at(8)), Release::Paused);
        assert!(matches!(paused.release(5, &stages(), 50, at(9)), Release::Some(1, _)));
    }

    #[test]
    fn the_stage_is_told() {
        let mut queue = waiting();
        assert_eq!(
            (queue.stage(&stages(), at(0)), Queue::default().stage(&stages(), at(0))),
            (Some(0), None)
        );
        by_minute(&mut queue, 0, 1, 1);
        for (second, stage) in [(0, 0), (59, 0), (60, 1), (299, 4), (300, 5), (3_000, 50)] {
            assert_eq!(queue.stage(&stages(), at(second)), Some(stage));
        }
    }
}
