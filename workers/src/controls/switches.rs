//! Modes and switches that an operator turns while everything runs: whether payments are made,
//! whether balances are read, which features are on.
//!
//! A stored switch wins over the start value of the settings until it expires; then holds what was stored before it, if
//! that has not expired as well. Where one for everything, one for the
//! provider and one for the bank speak at once, the strictest holds: nobody's older "live" for a bank opens what
//! somebody shut for all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::subject::Scope;

/// Whether payments are made (`pisp.mode`). Ordered from open to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PispMode {
    /// They are made.
    #[default]
    Live,
    /// They are accepted and wait: none is sent.
    Queue,
    /// None is accepted; those accepted before that were never sent wait.
    Disabled,
}

/// Whether balances are read (`aisp.mode`). Ordered from open to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AispMode {
    /// They are read.
    #[default]
    Live,
    /// The last one known is shown.
    Cached,
    /// None is shown, and none is looked at before a payment (AI-18).
    Hidden,
}

/// Whether accounts are opened (`swan.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwanMode {
    /// They are.
    #[default]
    Live,
    /// They are queued (SW-10, SW-12).
    Degraded,
}

/// A switch and where it is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Whether payments are made.
    Pisp(Scope, PispMode),
    /// Whether balances are read.
    Aisp(Scope, AispMode),
    /// How old a balance may be, in every mode.
    CacheTtl(Scope, Duration),
    /// Whether accounts are opened.
    Swan(SwanMode),
    /// Whether a feature is on.
    Feature(String, bool),
    /// How many calls a second a provider gets.
    Rate(String, u32),
}

/// Which switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchName {
    /// See [`Switch::Pisp`].
    Pisp(Scope),
    /// See [`Switch::Aisp`].
    Aisp(Scope),
    /// See [`Switch::CacheTtl`].
    CacheTtl(Scope),
    /// See [`Switch::Swan`].
    Swan,
    /// See [`Switch::Feature`].
    Feature(String),
    /// See [`Switch::Rate`].
    Rate(String),
}

impl Switch {
    /// Which one it is.
    pub fn name(&self) -> SwitchName {
        match self {
            Switch::Pisp(scope, _) => SwitchName::Pisp(scope.clone()),
            Switch::Aisp(scope, _) => SwitchName::Aisp(scope.clone()),
            Switch::CacheTtl(scope, _) => SwitchName::CacheTtl(scope.clone()),
            Switch::Swan(_) => SwitchName::Swan,
            Switch::Feature(name, _) => SwitchName::Feature(name.clone()),
            Switch::Rate(provider, _) => SwitchName::Rate(provider.clone()),
        }
    }

    /// Where it stands, in one word.
    pub fn word(&self) -> String {
        match self {
            Switch::Pisp(_, mode) => mode.as_str().to_owned(),
            Switch::Aisp(_, mode) => mode.as_str().to_owned(),
            Switch::CacheTtl(_, ttl) => format!("{}ms", ttl.as_millis()),
            Switch::Swan(mode) => mode.as_str().to_owned(),
            Switch::Feature(_, on) => if *on { "enabled" } else { "disabled" }.to_owned(),
            Switch::Rate(_, rate) => rate.to_string(),
        }
    }

    /// The switch of that subject in that position; `None` when this version does not know one of the two.
    pub fn stored(subject: &str, word: &str) -> Option<Self> {
        Some(match SwitchName::stored(subject)? {
            SwitchName::Pisp(scope) => Switch::Pisp(scope, PispMode::parse(word)?),
            SwitchName::Aisp(scope) => Switch::Aisp(scope, AispMode::parse(word)?),
            SwitchName::CacheTtl(scope) => {
                let millis = word.strip_suffix("ms")?.parse().ok()?;
                Switch::CacheTtl(scope, Duration::from_millis(millis))
            }
            SwitchName::Swan => Switch::Swan(SwanMode::parse(word)?),
            SwitchName::Feature(name) => Switch::Feature(name, on_off(word)?),
            SwitchName::Rate(provider) => Switch::Rate(provider, word.parse().ok()?),
        })
    }
}

impl SwitchName {
    /// As it is stored: `pisp.mode/neonomics/dnb`.
    pub fn subject(&self) -> String {
        let scoped = |name: &str, scope: &Scope| match scope {
            Scope::All => name.to_owned(),
            Scope::Provider(_) | Scope::Bank(..) => format!("{name}/{scope}"),
        };
        match self {
            SwitchName::Pisp(scope) => scoped("pisp.mode", scope),
            SwitchName::Aisp(scope) => scoped("aisp.mode", scope),
            SwitchName::CacheTtl(scope) => scoped("aisp.cache_ttl", scope),
            SwitchName::Swan => "swan.mode".to_owned(),
            SwitchName::Feature(name) => format!("feature.{name}"),
            SwitchName::Rate(provider) => format!("rate/{provider}"),
        }
    }

    /// The switch of that subject; `None` when this version does not know it.
    pub fn stored(subject: &str) -> Option<Self> {
        if let Some(feature) = subject.strip_prefix("feature.") {
            return Some(SwitchName::Feature(feature.to_owned()));
        }
        let (name, rest) = subject.split_once('/').unwrap_or((subject, ""));
        match name {
            "pisp.mode" => Some(SwitchName::Pisp(Scope::parse(rest))),
            "aisp.mode" => Some(SwitchName::Aisp(Scope::parse(rest))),
            "aisp.cache_ttl" => Some(SwitchName::CacheTtl(Scope::parse(rest))),
            "swan.mode" => Some(SwitchName::Swan),
            "rate" => Some(SwitchName::Rate(rest.to_owned())),
            _ => None,
        }
    }
}

macro_rules! words {
    ($($mode:ident { $($variant:ident = $word:literal),+ })+) => {
        $(impl $mode {
            /// Every position with its word.
            pub const WORDS: &'static [(&'static str, $mode)] = &[$(($word, $mode::$variant)),+];

            /// Its word in settings, requests and logs.
            pub fn as_str(self) -> &'static str {
                match self { $($mode::$variant => $word),+ }
            }

            /// The position of that word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, mode)| *mode)
            }
        })+
    };
}

words! {
    PispMode { Live = "live", Queue = "queue", Disabled = "disabled" }
    AispMode { Live = "live", Cached = "cached", Hidden = "hidden" }
    SwanMode { Live = "live", Degraded = "degraded" }
}

fn on_off(word: &str) -> Option<bool> {
    match word {
        "enabled" => Some(true),
        "disabled" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_reads_as_it_is_stored() {
        let bank = Scope::bank("neonomics", "dnb");
        for (switch, subject, word) in [
            (Switch::Pisp(Scope::All, PispMode::Queue), "pisp.mode", "queue"),
            (Switch::Pisp(bank.clone(), PispMode::Disabled), "pisp.mode/neonomics/dnb", "disabled"),
            (Switch::Aisp(Scope::Provider("p".to_owned()), AispMode::Cached), "aisp.mode/p", "cached"),
            (Switch::CacheTtl(Scope::All, Duration::from_hours(1)), "aisp.cache_ttl", "3600000ms"),
            (Switch::Swan(SwanMode::Degraded), "swan.mode", "degraded"),
            (Switch::Feature("cards".to_owned(), false), "feature.cards", "disabled"),
            (Switch::Rate("neonomics".to_owned(), 7), "rate/neonomics", "7"),
        ] {
            assert_eq!((switch.name().subject().as_str(), switch.word().as_str()), (subject, word));
            assert_eq!(Switch::stored(subject, word), Some(switch));
        }
        for (subject, word) in [("pisp.mode", "off"), ("lights", "on"), ("feature.x", "1"), ("rate/p", "-1")]
        {
            assert_eq!(Switch::stored(subject, word), None, "{subject} {word}");
        }
    }
}
