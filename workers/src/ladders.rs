//! How a provider wants to be asked again, by what went wrong: one table, so that requirements that name different waits
//! stand side by side.
//!
//! A step's policy says how often it is tried at all and what the first wait is (`NEONOMICS_RETRY_BASE_MS`, 1 s); the
//! table says by how much the first wait after each class of trouble is longer. Waits double from there. Whatever the
//! provider refuses for good, 4xx but for 429, has no row: it is an answer and is never asked again.

use workflows::engine::Retry;

use crate::decide::Miss;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No trustworthy answer: 500, 502, 503 and 504, time-outs, resets; and what never left.
    NoAnswer,
    /// 429: too many calls.
    TooMany,
}

impl Trouble {
    /// The class of a miss.
    pub fn of(miss: Miss) -> Self {
        match miss {
            Miss::TooMany(_) => Trouble::TooMany,
            Miss::Busy | Miss::NotSent | Miss::Unknown => Trouble::NoAnswer,
        }
    }
}

/// Provider, class, first wait in first waits of the policy.
const LADDERS: &[(&str, Trouble, u32)] = &[
    ("neonomics", Trouble::NoAnswer, 1), // 1/2/4 s: PI-10, PI-11
    ("neonomics", Trouble::TooMany, 2),  // 2/4/8 s: PI-12
    ("swan", Trouble::NoAnswer, 1),
    ("swan", Trouble::TooMany, 2), // 2/4/8 s: SW-08
];

/// The ladder after trouble with a provider. One that is not in the table goes by the policy alone.
pub fn ladder(provider: &str, trouble: Trouble, policy: Retry) -> Retry {
    let row = LADDERS.iter().find(|(name, class, _)| *name == provider && *class == trouble);
    let first = policy.first.saturating_mul(row.map_or(1, |(_, _, times)| *times));
    Retry { first, most: policy.most.max(first), ..policy }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_class_has_the_waits_that_its_requirement_names() {
        let policy = Retry { attempts: Some(4), first: Duration::from_secs(1), most: Duration::from_mins(1) };
        for (provider, trouble, expected) in [
            ("neonomics", Trouble::NoAnswer, [Some(1), Some(2), Some(4), None]),
            ("neonomics", Trouble::TooMany, [Some(2), Some(4), Some(8), None]),
            ("swan", Trouble::TooMany, [Some(2), Some(4), Some(8), None]),
            ("other", Trouble::TooMany, [Some(1), Some(2), Some(4), None]),
        ] {
            let ladder = ladder(provider, trouble, policy);
            let waits = [1, 2, 3, 4].map(|attempt| ladder.wait_after(attempt).map(|wait| wait.as_secs()));
            assert_eq!(waits, expected, "{provider} {trouble:?}");
        }
    }
}
