//! Where breakers, queues and switches start. A switch that was turned since then stays as it was turned.
//!
//! The product's own documents call some of these by several names. All of them are heard; two that disagree stop the
//! start.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use workers::controls::breaker::Rules;
use workers::controls::ramp::Stages;
use workers::controls::{AispMode, PispMode, Settings, Start, SwanMode};

use super::parse::{millis, number, switch};
use super::setting::{BadSetting, Environment, Setting};
use super::{one_of, some_duration, table};

/// How long a stage of `QUEUE_RAMP` lasts.
const STAGE: Duration = Duration::from_mins(1);
/// What the names of all switches of features begin with.
const FEATURE: &str = "FEATURE_";
/// The two positions of a feature.
const ON_OFF: &[(&str, bool)] = &[("enabled", true), ("disabled", false)];

/// Reads them.
///
/// # Errors
/// The first setting that cannot be understood, or two that disagree.
pub fn read(from: &Environment) -> Result<Settings, BadSetting> {
    Ok(Settings {
        breaker: Rules {
            failures: from.read(&table::NEONOMICS_BREAKER_FAILURES, number(1))?,
            window: from.read(&table::NEONOMICS_BREAKER_WINDOW_MS, millis)?,
            open_for: from.read(&table::NEONOMICS_BREAKER_OPEN_MS, millis)?,
        },
        ramp: Stages { each: from.read(&table::QUEUE_RAMP, stages)?, long: STAGE },
        start: Start {
            pisp: pisp(from)?,
            aisp: aisp(from)?,
            cache_ttl: agreed(
                given(from, &table::AISP_CACHE_TTL, some_duration)?,
                given(from, &table::AISP_FALLBACK_CACHE_TTL, some_duration)?,
            )?,
            swan: from.read(&table::SWAN_MODE, one_of(SwanMode::WORDS))?,
            features: features(from)?,
        },
        ..Settings::default()
    })
}

/// A value with the name of the setting that gave it.
type Given<T> = Option<(&'static str, T)>;

fn pisp(from: &Environment) -> Result<PispMode, BadSetting> {
    let own = given(from, &table::PISP_MODE, one_of(PispMode::WORDS))?;
    Ok(agreed(own, fallback(from, PispMode::Disabled)?)?.unwrap_or_default())
}

fn aisp(from: &Environment) -> Result<AispMode, BadSetting> {
    let own = given(from, &table::AISP_MODE, one_of(AispMode::WORDS))?;
    let alias = given(from, &table::AISP_FALLBACK_MODE, one_of(AispMode::WORDS))?;
    let fallback = fallback(from, AispMode::Cached)?;
    let named = agreed(own, alias)?.map(|mode| (own.or(alias).map_or("", |(name, _)| name), mode));
    Ok(agreed(named, fallback)?.unwrap_or_default())
}

/// What `NEONOMICS_FALLBACK` stands for while it is on; off, it says nothing.
fn fallback<T>(from: &Environment, stands_for: T) -> Result<Given<T>, BadSetting> {
    let on = from.read(&table::NEONOMICS_FALLBACK, switch)?;
    Ok(on.then_some((table::NEONOMICS_FALLBACK.name, stands_for)))
}

/// What somebody set, whatever the default is.
fn given<T, E: Display>(
    from: &Environment,
    setting: &'static Setting,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Given<T>, BadSetting> {
    Ok(from.given(setting, parse)?.map(|value| (setting.name, value)))
}

/// The one value that two names were given for, if any.
fn agreed<T: PartialEq>(one: Given<T>, other: Given<T>) -> Result<Option<T>, BadSetting> {
    match (one, other) {
        (Some((name, one)), Some((other_name, other))) if one != other => Err(BadSetting::new(
            name,
            format!("disagrees with {other_name}; set one of the two, or both alike"),
        )),
        (Some((_, value)), _) | (None, Some((_, value))) => Ok(Some(value)),
        (None, None) => Ok(None),
    }
}

/// Every `FEATURE_…` that is set, by the rest of its name in lower case.
fn features(from: &Environment) -> Result<BTreeMap<String, bool>, BadSetting> {
    let mut features = BTreeMap::new();
    for (name, text) in from.beginning_with(FEATURE) {
        let word = ON_OFF.iter().find(|(word, _)| *word == text);
        let Some((_, on)) = word else {
            let shown: String =
                name.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '_').collect();
            return Err(BadSetting::new(
                table::FEATURE_ACCOUNTS.name,
                format!("{shown} must be enabled or disabled"),
            ));
        };
        features.insert(name.trim_start_matches(FEATURE).to_lowercase(), *on);
    }
    Ok(features)
}

/// Payments a minute, stage by stage.
fn stages(text: &str) -> Result<Vec<u32>, String> {
    let stage = |part: &str| part.trim().parse().ok().filter(|payments| *payments > 0);
    let stages: Option<Vec<u32>> = text.split(',').map(stage).collect();
    stages.ok_or_else(|| "must be whole numbers above 0, separated by commas, such as 1,5,25".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(variables: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        read(&given.collect())
    }

    #[test]
    fn nothing_set_is_as_delivered() {
        assert_eq!(read_from(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn several_names_lead_to_one_switch() {
        let start = |variables: &[(&str, &str)]| read_from(variables).unwrap().start;
        let cached = Start { aisp: AispMode::Cached, ..Start::default() };
        for variables in [
            &[("AISP_MODE", "cached")][..],
            &[("AISP_FALLBACK_MODE", "cached")],
            &[("AISP_MODE", "cached"), ("AISP_FALLBACK_MODE", "cached")],
            &[("AISP_MODE", "cached"), ("NEONOMICS_FALLBACK", "false")],
        ] {
            assert_eq!(start(variables), cached, "{variables:?}");
        }
        let outage = Start { pisp: PispMode::Disabled, ..cached.clone() };
        assert_eq!(start(&[("NEONOMICS_FALLBACK", "true")]), outage);
        assert_eq!(start(&[("NEONOMICS_FALLBACK", "true"), ("PISP_MODE", "disabled")]), outage);
        assert_eq!(start(&[("AISP_FALLBACK_CACHE_TTL", "3600")]).cache_ttl, Some(Duration::from_hours(1)));
        let accounts = [("accounts".to_owned(), false)].into();
        assert_eq!(
            start(&[("FEATURE_ACCOUNTS", "disabled"), ("SWAN_MODE", "degraded")]),
            Start { features: accounts, swan: SwanMode::Degraded, ..Start::default() }
        );
        assert_eq!(read_from(&[("QUEUE_RAMP", "2, 4")]).unwrap().ramp.each, [2, 4]);
    }

    #[test]
    fn two_names_that_disagree_stop_the_start_and_are_both_named() {
        for (one, other) in [
            (("AISP_MODE", "live"), ("AISP_FALLBACK_MODE", "cached")),
            (("AISP_MODE", "live"), ("NEONOMICS_FALLBACK", "true")),
            (("AISP_FALLBACK_MODE", "live"), ("NEONOMICS_FALLBACK", "true")),
            (("PISP_MODE", "live"), ("NEONOMICS_FALLBACK", "true")),
            (("AISP_CACHE_TTL", "60"), ("AISP_FALLBACK_CACHE_TTL", "3600")),
        ] {
            let error = read_from(&[one, other]).unwrap_err().to_string();
            assert!(error.starts_with(one.0) && error.contains(other.0), "{error}");
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        for (name, value) in [
            ("PISP_MODE", "off"),
            ("AISP_MODE", "on"),
            ("AISP_CACHE_TTL", "0"),
            ("SWAN_MODE", "down"),
            ("QUEUE_RAMP", "1,0"),
            ("QUEUE_RAMP", "fast"),
            ("NEONOMICS_BREAKER_FAILURES", "0"),
            ("NEONOMICS_BREAKER_OPEN_MS", "1m"),
            ("NEONOMICS_FALLBACK", "yes"),
            ("FEATURE_CARDS", "1"),
        ] {
            let error = read_from(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }
}
