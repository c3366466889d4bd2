//! What an attempt that brought no news means for its task: ask again, wait, or give up. Pure, and told the time.

use std::time::Duration;

use workflows::engine::{Cause, Policy, Repeat, Retry, Stake};
use workflows::time::At;

/// What is known about a task when an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which attempt this was; 1 = the first.
    pub number: u32,
    /// Whether an earlier attempt, a lost one included, may have had its effect.
    pub doubt: bool,
    /// A number that differs from task to task and attempt to attempt, for jitter.
    pub seed: u64,
}

/// Why an attempt brought no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The provider answered: nothing new yet.
    Busy,
    /// It provably never left, or the provider refuses our credentials: nothing was done.
    NotSent,
    /// The provider wants fewer calls; nothing was done. With its wish for the wait.
    TooMany(Option<Duration>),
    /// It left and nothing trustworthy came back.
    Unknown,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Put it back for so long.
    Wait {
        /// How long.
        delay: Duration,
        /// Whether the attempts so far may have had their effect.
        doubt: bool,
    },
    /// Give the step up and let the machine decide.
    GiveUp(Cause),
}

/// Decides about an attempt without news.
pub fn decide(policy: &Policy, attempt: Attempt, miss: Miss, now: At) -> Decision {
    let doubt = attempt.doubt || miss == Miss::Unknown;
    let wait = match miss {
        Miss::Busy => jittered(policy.poll, attempt, Spread::Tenth),
        // An attempt that may have arrived earlier is not forgotten because this one did not.
        Miss::NotSent if !doubt => jittered(policy.unreached, attempt, Spread::Half),
        Miss::TooMany(wish) => too_many(policy.retry, attempt, wish),
        Miss::NotSent | Miss::Unknown if may_repeat(policy, now) => {
            jittered(policy.retry, attempt, Spread::Half)
        }
        Miss::NotSent | Miss::Unknown => None,
    };
    match wait {
        Some(delay) => Decision::Wait { delay, doubt },
        None => Decision::GiveUp(if doubt { Cause::Unknown } else { Cause::NotSent }),
    }
}

/// The provider's wish wins over our own wait, but for a wish of nothing at all, and one that is longer than we would
/// ever wait where attempts are counted: then the step is given up and what is not urgent waits elsewhere.
fn too_many(ladder: Retry, attempt: Attempt, wish: Option<Duration>) -> Option<Duration> {
    let own = jittered(ladder, attempt, Spread::Half)?;
    match wish {
        Some(wish) if ladder.attempts.is_some() && wish > ladder.most => None,
        Some(wish) => Some(wish.max(ladder.first)),
        None => Some(own),
    }
}

/// Whether an attempt may be made at all: always when nothing can have been sent before, else only where repeating is
/// safe.
pub fn may_send(policy: &Policy, attempt: Attempt, now: At) -> bool {
    let used = matches!(policy.repeat, Repeat::Within { used: true, .. });
    let left = policy.retry.attempts.is_none_or(|most| attempt.number <= most);
    !(attempt.doubt || used) || (left && may_repeat(policy, now))
}

/// Whether a claim that was lost leaves it open what its attempt did.
pub fn loses_certainty(policy: &Policy) -> bool {
    match policy.stake {
        Stake::Reads => false,
        Stake::Owes(_) | Stake::Clears(_) => true,
    }
}

fn may_repeat(policy: &Policy, now: At) -> bool {
    match policy.repeat {
        Repeat::Never => false,
        Repeat::Freely => true,
        Repeat::Within { window, since, .. } => now < since.plus(window),
    }
}

#[derive(Clone, Copy)]
enum Spread {
    /// Up to a tenth either way.
    Tenth,
    /// Up to a half either way.
    Half,
}

fn jittered(ladder: Retry, attempt: Attempt, spread: Spread) -> Option<Duration> {
    let wait = ladder.wait_after(attempt.number)?;
    let part = match spread {
        Spread::Tenth => wait / 10,
        Spread::Half => wait / 2,
    };
    let span = u64::try_from(part.as_micros().saturating_mul(2)).unwrap_or(u64::MAX);
    let offset = if span == 0 { 0 } else { scrambled(attempt.seed) % (span + 1) };
    Some(wait.saturating_sub(part).saturating_add(Duration::from_micros(offset)))
}

/// `SplitMix64`'s finaliser: neighbouring seeds give unrelated numbers.
fn scrambled(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflows::engine::Lane;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(repeat: Repeat) -> Policy {
        let again = Retry { attempts: Some(4), first: SECOND, most: 8 * SECOND };
        Policy {
            lane: Lane::of("neonomics", "dnb", "initiate"),
            timeout: 30 * SECOND,
            repeat,
            retry: again,
            unreached: Retry::ONCE,
            poll: Retry { attempts: None, first: 2 * SECOND, most: 60 * SECOND },
            stake: Stake::Owes("payment"),
        }
    }

    fn attempt(number: u32, doubt: bool) -> Attempt {
        Attempt { number, doubt, seed: 7 }
    }

    fn wait(decision: Decision) -> Duration {
        match decision {
            Decision::Wait { delay, .. } => delay,
            Decision::GiveUp(cause) => panic!("gave up as {cause:?}"),
        }
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_that_is_safe() {
        let window = Repeat::Within { window: 60 * SECOND, since: At::EPOCH, used: false };
        let now = At::EPOCH.plus(SECOND);
        let late = At::EPOCH.plus(60 * SECOND);
        let unknown =
            |repeat, number, now| decide(&policy(repeat), attempt(number, false), Miss::Unknown, now);
        assert_eq!(unknown(Repeat::Never, 1, now), Decision::GiveUp(Cause::Unknown));
        assert!(matches!(unknown(window, 1, now), Decision::Wait { doubt: true, .. }));
        assert_eq!(
            unknown(window, 1, late),
            Decision::GiveUp(Cause::Unknown),
            "the provider has forgotten the key"
        );
        assert_eq!(unknown(window, 4, now), Decision::GiveUp(Cause::Unknown), "the attempts are used up");
        let used = policy(Repeat::Within { window: 60 * SECOND, since: At::EPOCH, used: true });
        assert!(may_send(&used, attempt(1, false), now));
        assert!(
            !may_send(&used, attempt(1, false), late),
            "a later round's first attempt is a repetition too"
        );
    }

    #[test]
    fn a_doubt_is_never_forgotten() {
        let never = policy(Repeat::Never);
        let now = At::EPOCH;
        for miss in [Miss::NotSent, Miss::Unknown] {
            assert_eq!(decide(&never, attempt(2, true), miss, now), Decision::GiveUp(Cause::Unknown));
        }
        assert_eq!(
            decide(&never, attempt(4, true), Miss::TooMany(None), now),
            Decision::GiveUp(Cause::Unknown)
        );
        assert_eq!(decide(&never, attempt(1, false), Miss::NotSent, now), Decision::GiveUp(Cause::NotSent));
        assert_eq!(
            decide(&never, attempt(4, false), Miss::TooMany(None), now),
            Decision::GiveUp(Cause::NotSent)
        );
        assert!(!may_send(&never, attempt(2, true), now), "a lost first attempt may have arrived");
        assert!(may_send(&never, attempt(2, false), now));
        let window = policy(Repeat::Within { window: 60 * SECOND, since: At::EPOCH, used: false });
        assert!(may_send(&window, attempt(2, true), now));
        assert!(!may_send(&window, attempt(5, true), now), "crashes count as attempts");
    }

    #[test]
    fn the_provider_says_how_long_to_wait() {
        let now = At::EPOCH;
        let told = |seconds| {
            let wish = Some(Duration::from_secs(seconds));
            decide(&policy(Repeat::Never), attempt(1, false), Miss::TooMany(wish), now)
        };
        assert_eq!(told(7), Decision::Wait { delay: 7 * SECOND, doubt: false });
        assert_eq!(told(0), Decision::Wait { delay: SECOND, doubt: false }, "nothing at all is not a wait");
        assert_eq!(told(3_600), Decision::GiveUp(Cause::NotSent), "longer than any wait of ours");
        let own = wait(decide(&policy(Repeat::Never), attempt(2, false), Miss::TooMany(None), now));
        assert!((SECOND..=3 * SECOND).contains(&own), "{own:?}");
    }

    #[test]
    fn polling_goes_on_and_slows_down() {
        for (number, around) in [(1, 2), (2, 4), (3, 8), (6, 60), (1_000, 60)] {
            let delay = wait(decide(&policy(Repeat::Freely), attempt(number, false), Miss::Busy, At::EPOCH));
            let around = Duration::from_secs(around);
            assert!(delay >= around * 9 / 10 && delay <= around * 11 / 10, "{number}: {delay:?}");
        }
    }

    #[test]
    fn neighbours_do_not_come_back_together() {
        let delays: std::collections::BTreeSet<_> = (0..100)
            .map(|seed| {
                let attempt = Attempt { seed, ..attempt(3, false) };
                wait(decide(&policy(Repeat::Freely), attempt, Miss::Unknown, At::EPOCH))
            })
            .collect();
        assert!(delays.len() > 90);
    }
}
