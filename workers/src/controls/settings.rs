//! What controls are told at the start.

use std::collections::BTreeMap;
use std::time::Duration;

use super::breaker::Rules;
use super::ramp::Stages;
use super::switches::{AispMode, PispMode, SwanMode};

/// How controls decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When breakers open.
    pub breaker: Rules,
    /// How queues are let through.
    pub ramp: Stages,
    /// How many calls a second a provider gets, where no operator says otherwise.
    pub rate: u32,
    /// Where switches stand that nobody has turned.
    pub start: Start,
}

/// Where switches stand that nobody has turned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Whether payments are made.
    pub pisp: PispMode,
    /// Whether balances are read.
    pub aisp: AispMode,
    /// How old a balance may be, in every mode; `None` = as the mode has it.
    pub cache_ttl: Option<Duration>,
    /// Whether accounts are opened.
    pub swan: SwanMode,
    /// Features by name; those that are not named are on.
    pub features: BTreeMap<String, bool>,
}

impl Default for Settings {
    /// As delivered: 3 failures in 60 s open for 60 s; 1, 5, 25, 125, 625 a minute; 50 calls a second.
    fn default() -> Self {
        let minute = Duration::from_mins(1);
        Settings {
            breaker: Rules { failures: 3, window: minute, open_for: minute },
            ramp: Stages { each: vec![1, 5, 25, 125, 625], long: minute },
            rate: 50,
            start: Start::default(),
        }
    }
}
