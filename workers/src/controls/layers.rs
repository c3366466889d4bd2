//! What a switch falls back to when what an operator said for a while has ended: to what was said before, not to the
//! start value.
//!
//! A switch is stored as one document: where it stands, and beneath it what it stood at, as far as that outlasts
//! everything above it. So there are never more layers than ends that lie ahead, and the first that has not ended is the
//! one in force.

use serde::{Deserialize, Serialize};
use workflows::time::At;

use super::cause::Cause;
use super::snapshot::Turned;
use super::switches::Switch;

/// Most layers that are kept: nobody means more.
const DEEPEST: usize = 8;

/// The document of a switch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Layers {
    /// What was said last.
    #[serde(flatten)]
    pub(super) top: Turned,
    /// What was said before, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) beneath: Vec<Beneath>,
}

/// What was said before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Beneath {
    #[serde(flatten)]
    turned: Turned,
    since: At,
}

/// A switch that somebody turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Where it stands.
    pub switch: Switch,
    /// Who turned it, why and until when.
    pub cause: Cause,
    /// When.
    pub since: At,
}

impl Layers {
    /// Every layer, the latest first. `None` when this version does not know the switch, or not where it stands.
    pub(super) fn read(&self, subject: &str, updated_at: At) -> Option<Vec<Turn>> {
        let turn = |turned: &Turned, since| {
            let switch = Switch::stored(subject, &turned.value)?;
            Some(Turn { switch, cause: turned.cause.clone(), since })
        };
        let top = turn(&self.top, updated_at)?;
        // One beneath that a newer version wrote is passed over: it is not in force.
        let beneath = self.beneath.iter().filter_map(|one| turn(&one.turned, one.since));
        Some(std::iter::once(top).chain(beneath).collect())
    }

    /// A switch that is turned at `now` over what it was before.
    pub(super) fn over(before: &[Turn], switch: &Switch, cause: Cause, now: At) -> Self {
        let mut outlasted = cause.expires_at;
        let mut beneath = Vec::new();
        for turn in before {
            let Some(end) = outlasted else { break };
            let outlasts = turn.cause.expires_at.is_none_or(|expires_at| expires_at > end);
            if turn.cause.holds_at(now) && outlasts && beneath.len() < DEEPEST {
                outlasted = turn.cause.expires_at;
                let turned = Turned { value: turn.switch.word(), cause: turn.cause.clone() };
                beneath.push(Beneath { turned, since: turn.since });
            }
        }
        Layers { top: Turned { value: switch.word(), cause }, beneath }
    }
}

/// The layer in force, and what will be when that has ended.
pub(super) fn in_force(layers: &[Turn], now: At) -> Option<(&Turn, Option<&Turn>)> {
    let mut holding = layers.iter().filter(|turn| turn.cause.holds_at(now));
    let first = holding.next()?;
    Some((first, holding.next().filter(|_| first.cause.expires_at.is_some())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::subject::Scope;
    use super::super::switches::PispMode;
    use super::*;

    const NOW: At = At::from_millis(1_000_000);

    fn minutes(n: u64) -> At {
        NOW.plus(Duration::from_mins(n))
    }

    fn turned(stored: &[Turn], mode: PispMode, expires_at: Option<At>, now: At) -> Vec<Turn> {
        let cause = Cause { actor: "op".to_owned(), reason: mode.as_str().to_owned(), expires_at };
        let layers = Layers::over(stored, &Switch::Pisp(Scope::All, mode), cause, now);
        let text = serde_json::to_string(&layers).expect("it serialises");
        let read: Layers = serde_json::from_str(&text).expect("it reads");
        read.read("pisp.mode", now).expect("known")
    }

    fn mode(stored: &[Turn], now: At) -> Option<String> {
        in_force(stored, now).map(|(turn, _)| turn.switch.word())
    }

    #[test]
    fn what_was_said_for_a_while_leaves_what_was_said_before() {
        let disabled = turned(&[], PispMode::Disabled, None, NOW);
        let queued = turned(&disabled, PispMode::Queue, Some(minutes(10)), minutes(1));
        let live = turned(&queued, PispMode::Live, Some(minutes(5)), minutes(2));
        for (at, expected) in [(2, "live"), (4, "live"), (5, "queue"), (9, "queue"), (10, "disabled")] {
            assert_eq!(mode(&live, minutes(at)).as_deref(), Some(expected), "after {at} minutes");
        }
        let (now, next) = in_force(&live, minutes(5)).expect("turned");
        assert_eq!(
            (now.since, now.cause.reason.as_str()),
            (minutes(1), "queue"),
            "each keeps who, why and when"
        );
        assert_eq!(next.map(|turn| (turn.since, turn.switch.word())), Some((NOW, "disabled".to_owned())));
        assert_eq!(in_force(&live, minutes(10)).expect("turned").1, None);
    }

    #[test]
    fn nothing_is_kept_that_will_never_be_in_force() {
        let disabled = turned(&[], PispMode::Disabled, None, NOW);
        let for_good = turned(&disabled, PispMode::Live, None, NOW);
        assert_eq!(for_good.len(), 1);
        let short = turned(&[], PispMode::Queue, Some(minutes(5)), NOW);
        let long = turned(&short, PispMode::Live, Some(minutes(10)), NOW);
        assert_eq!((long.len(), mode(&long, minutes(10))), (1, None), "the start value holds again");
        let mut deep = disabled;
        for end in (1..100).rev() {
            deep = turned(&deep, PispMode::Live, Some(minutes(end)), NOW);
        }
        assert!(deep.len() <= DEEPEST + 1, "{}", deep.len());
    }

    #[test]
    fn a_document_of_an_older_version_reads() {
        let text = r#"{"value":"queue","cause":{"actor":"op","reason":"r","expires_at":null}}"#;
        let layers: Layers = serde_json::from_str(text).expect("it reads");
        assert_eq!(mode(&layers.read("pisp.mode", NOW).expect("known"), NOW).as_deref(), Some("queue"));
    }
}
