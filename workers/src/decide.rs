//! What an attempt that brought no news means for its task: ask again, wait, or give up. Pure, and told the time.

use std::time::Duration;

use workflows::engine::{Cause, Policy, Repeat, Retry, Stake};
use workflows::planted;
use workflows::time::At;

use crate::ladders::{Trouble, ladder};

/// For how long a request may still be on its way after its attempt was given up, and the clocks of database and provider
/// may differ. A key that would reach the provider within so long of being forgotten is not used.
const ON_THE_WAY: Duration = Duration::from_secs(30);
/// A bank that wants longer is asked again once a day.
const LONGEST_REST: Duration = Duration::from_hours(24);

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

/// Decides about an attempt without news. `afford` pays for a repetition after a miss, if the provider's budget allows
/// one: when it does not, the repetition waits as long as any would.
pub fn decide(
    policy: &Policy,
    attempt: Attempt,
    miss: Miss,
    now: At,
    afford: impl FnOnce() -> bool,
) -> Decision {
    let doubt = attempt.doubt || miss == Miss::Unknown;
    let provider = policy.lane.parts().map_or("", |(provider, _, _)| provider);
    let again = ladder(provider, Trouble::of(miss), policy.retry);
    let wait = match miss {
        Miss::Busy => jittered(policy.poll, attempt, Spread::Tenth),
        // An attempt that may have arrived earlier is not forgotten because this one did not.
        Miss::NotSent if !doubt => repeated(policy.unreached, attempt, afford),
        Miss::TooMany(wish) => too_many(again, attempt, wish),
        Miss::NotSent | Miss::Unknown if may_repeat(policy, now) => repeated(again, attempt, afford),
        Miss::NotSent | Miss::Unknown => None,
    };
    match wait {
        Some(delay) => Decision::Wait { delay, doubt },
        None => Decision::GiveUp(if doubt { Cause::Unknown } else { Cause::NotSent }),
    }
}

/// The provider's wish wins over our own wait, shorter or longer, but for a wish of nothing at all, and one that is longer
/// than we would ever wait where attempts are counted: then the step is given up and what is not urgent waits elsewhere.
fn too_many(ladder: Retry, attempt: Attempt, wish: Option<Duration>) -> Option<Duration> {
    let own = jittered(ladder, attempt, Spread::Full)?;
    match wish {
        Some(wish) if ladder.attempts.is_some() && wish > ladder.most => None,
        Some(Duration::ZERO) => Some(ladder.first),
        Some(wish) => Some(wish),
        None => Some(own),
    }
}

/// For how long nothing more goes into a lane whose bank wants fewer calls: its wish, else as long as our own wait.
pub fn lane_rests(ladder: Retry, attempt: Attempt, wish: Option<Duration>) -> Duration {
    let own = jittered(ladder, attempt, Spread::Full).unwrap_or(ladder.most);
    match wish {
        Some(Duration::ZERO) => ladder.first,
        Some(wish) => wish.min(LONGEST_REST),
        None => own,
    }
}

/// The wait before a repetition after a miss, unless that was the last.
fn repeated(ladder: Retry, attempt: Attempt, afford: impl FnOnce() -> bool) -> Option<Duration> {
    let own = jittered(ladder, attempt, Spread::Full)?;
    if afford() {
        return Some(own);
    }
    // From half of the top on, so that they do not come back together either.
    let top = Retry { attempts: None, first: ladder.most / 2, most: ladder.most / 2 };
    Some(top.most + jittered(top, attempt, Spread::Full)?)
}

/// The claims of one task that may lapse before it is taken for what kills its processes.
const LOSSES_AT_MOST: u32 = 5;

/// What becomes of a task whose claims lapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is performed, as its policy says.
    GoesOn,
    /// It is put back for so long.
    Rests(Duration),
    /// It is not performed again: what it did is unknown, and evidence leads on.
    GivenUp,
    /// It is not performed again until an operator has looked.
    Stops,
}

/// The claims of a timer that may lapse before an operator has to look: a timer asks nobody, so it is more likely that
/// its process was lost by something else.
const LOSSES_OF_A_TIMER: u32 = 20;

/// Decides about a task whose claims lapsed `losses` times. `stake` is that of a step; timers have none. A read that
/// kills its process does no harm beyond that, and the truth depends on it: it is made every other time that it is due.
/// A step with an effect is not performed again; what it did is unknown, and evidence leads on.
pub fn after_losses(stake: Option<Stake>, losses: u32, attempts: u32) -> Lost {
    if losses < LOSSES_AT_MOST {
        return Lost::GoesOn;
    }
    match stake {
        Some(Stake::Owes(_) | Stake::Clears(_)) => Lost::GivenUp,
        None if losses >= LOSSES_OF_A_TIMER => Lost::Stops,
        Some(Stake::Reads) | None if attempts.is_multiple_of(2) => Lost::GoesOn,
        Some(Stake::Reads) | None => Lost::Rests(rest(losses)),
    }
}

/// How long a task rests that was lost after so many earlier losses: from a second to a minute.
pub fn rest(losses: u32) -> Duration {
    let ladder = Retry { attempts: None, first: Duration::from_secs(1), most: Duration::from_mins(1) };
    ladder.wait_after(losses.saturating_add(1)).unwrap_or(ladder.most)
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
        Repeat::Within { .. } if planted::is("a key beyond its window") => true,
        // The attempt may leave at its very end.
        Repeat::Within { window, since, .. } => {
            now.plus(policy.timeout).plus(ON_THE_WAY) < since.plus(window)
        }
    }
}

#[derive(Clone, Copy)]
enum Spread {
    /// Up to a tenth either way.
    Tenth,
    /// From a tenth of it to all of it: "full jitter", but for a floor that keeps it a wait.
    Full,
}

fn jittered(ladder: Retry, attempt: Attempt, spread: Spread) -> Option<Duration> {
    let wait = ladder.wait_after(attempt.number)?;
    let (least, most) = match spread {
        Spread::Tenth => (wait.saturating_sub(wait / 10), wait.saturating_add(wait / 10)),
        Spread::Full => (wait / 10, wait),
    };
    let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX).saturating_add(1);
    Some(least.saturating_add(Duration::from_micros(scrambled(attempt.seed) % span)))
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
    use workflows::engine::{Lane, Shut};

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
            shut: Shut::GivesUp,
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
        let hour = 3_600 * SECOND;
        let window = Repeat::Within { window: hour, since: At::EPOCH, used: false };
        let now = At::EPOCH.plus(SECOND);
        // An attempt takes 30 s at most, and may arrive another 30 s later.
        let late = At::EPOCH.plus(3_540 * SECOND);
        let unknown = |repeat, number, now| {
            decide(&policy(repeat), attempt(number, false), Miss::Unknown, now, || true)
        };
        assert_eq!(unknown(Repeat::Never, 1, now), Decision::GiveUp(Cause::Unknown));
        assert!(matches!(unknown(window, 1, now), Decision::Wait { doubt: true, .. }));
        let in_time = At::EPOCH.plus(3_539 * SECOND);
        assert!(matches!(unknown(window, 1, in_time), Decision::Wait { doubt: true, .. }));
        assert_eq!(
            unknown(window, 1, late),
            Decision::GiveUp(Cause::Unknown),
            "the provider may have forgotten the key when it arrives"
        );
        assert_eq!(unknown(window, 4, now), Decision::GiveUp(Cause::Unknown), "the attempts are used up");
        let used = policy(Repeat::Within { window: hour, since: At::EPOCH, used: true });
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
            assert_eq!(
                decide(&never, attempt(2, true), miss, now, || true),
                Decision::GiveUp(Cause::Unknown)
            );
        }
        assert_eq!(
            decide(&never, attempt(4, true), Miss::TooMany(None), now, || true),
            Decision::GiveUp(Cause::Unknown)
        );
        assert_eq!(
            decide(&never, attempt(1, false), Miss::NotSent, now, || true),
            Decision::GiveUp(Cause::NotSent)
        );
        assert_eq!(
            decide(&never, attempt(4, false), Miss::TooMany(None), now, || true),
            Decision::GiveUp(Cause::NotSent)
        );
        assert!(!may_send(&never, attempt(2, true), now), "a lost first attempt may have arrived");
        assert!(may_send(&never, attempt(2, false), now));
        let window = policy(Repeat::Within { window: 3_600 * SECOND, since: At::EPOCH, used: false });
        assert!(may_send(&window, attempt(2, true), now));
        assert!(!may_send(&window, attempt(5, true), now), "crashes count as attempts");
    }

    #[test]
    fn the_provider_says_how_long_to_wait() {
        let now = At::EPOCH;
        let told = |seconds| {
            let wish = Some(Duration::from_secs(seconds));
            decide(&policy(Repeat::Never), attempt(1, false), Miss::TooMany(wish), now, || true)
        };
        for seconds in [1, 7] {
            let wish = Duration::from_secs(seconds);
            assert_eq!(
                told(seconds),
                Decision::Wait { delay: wish, doubt: false },
                "longer or shorter than ours"
            );
            let policy = policy(Repeat::Never);
            let slow = Retry { first: 2 * SECOND, ..policy.retry };
            assert_eq!(lane_rests(slow, attempt(1, false), Some(wish)), wish);
        }
        assert_eq!(
            told(0),
            Decision::Wait { delay: 2 * SECOND, doubt: false },
            "nothing at all is not a wait"
        );
        assert_eq!(told(3_600), Decision::GiveUp(Cause::NotSent), "longer than any wait of ours");
        let own = wait(decide(&policy(Repeat::Never), attempt(2, false), Miss::TooMany(None), now, || true));
        assert!((SECOND * 4 / 10..=4 * SECOND).contains(&own), "{own:?}: the second rung for too many calls");
    }

    #[test]
    fn polling_goes_on_and_slows_down() {
        for (number, around) in [(1, 2), (2, 4), (3, 8), (6, 60), (1_000, 60)] {
            let delay =
                wait(decide(&policy(Repeat::Freely), attempt(number, false), Miss::Busy, At::EPOCH, || true));
            let around = Duration::from_secs(around);
            assert!(delay >= around * 9 / 10 && delay <= around * 11 / 10, "{number}: {delay:?}");
        }
    }

    #[test]
    fn neighbours_do_not_come_back_together() {
        let delays: std::collections::BTreeSet<_> = (0..100)
            .map(|seed| {
                let attempt = Attempt { seed, ..attempt(3, false) };
                wait(decide(&policy(Repeat::Freely), attempt, Miss::Unknown, At::EPOCH, || true))
            })
            .collect();
        assert!(delays.len() > 90);
    }

    #[test]
    fn a_wait_after_a_miss_is_anything_up_to_its_step_and_never_nothing() {
        for (number, step) in [(1, 1), (2, 2), (3, 4)] {
            let step = Duration::from_secs(step);
            let waits: Vec<_> = (0..1_000)
                .map(|seed| {
                    let attempt = Attempt { seed, ..attempt(number, false) };
                    let policy = policy(Repeat::Freely);
                    wait(decide(&policy, attempt, Miss::Unknown, At::EPOCH, || true))
                })
                .collect();
            let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*least >= step / 10 && *least < step / 8, "{least:?}");
            assert!(*most <= step && *most > step * 9 / 10, "{most:?}");
        }
    }

    #[test]
    fn a_repetition_that_is_not_paid_for_waits_as_long_as_any_would() {
        let policy = policy(Repeat::Freely);
        let delay = wait(decide(&policy, attempt(1, false), Miss::Unknown, At::EPOCH, || false));
        assert!((4 * SECOND..=8 * SECOND).contains(&delay), "{delay:?}");
        for miss in [Miss::Busy, Miss::TooMany(None)] {
            let _ = decide(&policy, attempt(1, false), miss, At::EPOCH, || panic!("{miss:?} costs nothing"));
        }
        assert_eq!(
            decide(&policy, attempt(4, false), Miss::Unknown, At::EPOCH, || panic!("nothing is repeated")),
            Decision::GiveUp(Cause::Unknown)
        );
    }

    #[test]
    fn what_kills_its_process_again_and_again_stops_and_a_read_rests() {
        let owes = Some(Stake::Owes("payment"));
        for (stake, losses, attempts, expected) in [
            (owes, 4, 5, Lost::GoesOn),
            (owes, 5, 6, Lost::GivenUp),
            (owes, 6, 7, Lost::GivenUp),
            (Some(Stake::Clears("payment")), 5, 6, Lost::GivenUp),
            (None, 4, 5, Lost::GoesOn),
            (None, 5, 6, Lost::GoesOn),
            (None, 5, 7, Lost::Rests(32 * SECOND)),
            (None, 20, 22, Lost::Stops),
            (Some(Stake::Reads), 4, 5, Lost::GoesOn),
            (Some(Stake::Reads), 5, 7, Lost::Rests(32 * SECOND)),
            (Some(Stake::Reads), 5, 8, Lost::GoesOn),
            (Some(Stake::Reads), 60, 61, Lost::Rests(60 * SECOND)),
        ] {
            assert_eq!(after_losses(stake, losses, attempts), expected, "{stake:?} {losses} {attempts}");
        }
    }
}
