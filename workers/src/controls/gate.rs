//! What a lane allows now: the breakers before it, its mode and its holds, put together.

use std::fmt;

use workflows::engine::Lane;
use workflows::time::At;

use super::breaker::{Opened, Stance, Stand};
use super::holds::HoldOn;
use super::settings::Settings;
use super::snapshot::Snapshot;
use super::subject::{Place, Work, held_aside};
use super::switches::PispMode;

/// What a lane allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Everything.
    Open,
    /// One real attempt at a time, over all processes: its breaker is half-open.
    OneAtATime,
    /// Nothing before this time, which is near; who waits, waits.
    Until(At),
    /// Nothing until its breaker was probed, which is about to happen; who waits, waits.
    Probed,
    /// Nothing, for longer.
    Shut(Reason),
}

/// Why a lane is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Payments are switched off.
    Disabled,
    /// Payments are queued.
    Queueing,
    /// An operator holds it.
    Held,
    /// Its breaker is open.
    Broken,
    /// The bank wants no calls for a long while.
    TooMany,
    /// The bank refuses our credentials.
    Credentials,
}

impl Reason {
    /// One word for logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Disabled => "disabled",
            Reason::Queueing => "queueing",
            Reason::Held => "held",
            Reason::Broken => "breaker_open",
            Reason::TooMany => "too_many_calls",
            Reason::Credentials => "credentials_refused",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `lane` allows at `now`. Timers and lanes of nobody are always open.
pub fn gate(snapshot: &Snapshot, settings: &Settings, lane: &Lane, now: At) -> Gate {
    let Some(place) = Place::of(lane) else { return Gate::Open };
    if let Some(reason) = stopped(snapshot, settings, place, now) {
        return Gate::Shut(reason);
    }
    if let Some((_, hold)) = held_aside(lane) {
        // What it comes to afterwards is its queue's matter.
        return if snapshot.is_held(&[hold], now) { Gate::Shut(Reason::Held) } else { Gate::Open };
    }
    let mut gate = Gate::Open;
    for id in place.breakers() {
        let Some(breaker) = snapshot.breaker(&id) else { continue };
        let says = match breaker.stance(now) {
            // What is parked comes out after the provider was reached, not before.
            Stance::Closed
                if place.work == Work::Queue
                    && id.bank().is_none()
                    && breaker.is_in_question(&settings.breaker, now) =>
            {
                Gate::Probed
            }
            // An operator's word about a provider stops money, never truth.
            Stance::Open | Stance::Due | Stance::HalfOpen
                if id.bank().is_none() && breaker.is_by_hand() && !place.work.is_stopped_by_hand() =>
            {
                Gate::Open
            }
            Stance::Open => Gate::Shut(match breaker.stand {
                Stand::Open { by: Opened::Credentials, .. } => Reason::Credentials,
                Stand::Open { .. } | Stand::Closed { .. } | Stand::HalfOpen { .. } => Reason::Broken,
            }),
            // Nobody waits for a probe that hangs.
            Stance::Due if breaker.is_kept_waiting(now) => Gate::Shut(Reason::Broken),
            // A read may be the trial itself; what moves money comes after a question that moves none.
            Stance::Due if id.stops_money() => Gate::Probed,
            Stance::Due => Gate::OneAtATime,
            Stance::HalfOpen if matches!(place.work, Work::Attempts(_)) => Gate::OneAtATime,
            // What is let out of a queue is not sent yet: it comes to its own lane, where one goes at a time.
            Stance::HalfOpen | Stance::Closed => Gate::Open,
        };
        gate = stricter(gate, says);
        if let Some(until) = breaker.rests(now) {
            // Nobody should wait in a lane for longer than for a breaker.
            let is_long = until.since(now) > settings.breaker.open_for;
            gate = stricter(gate, if is_long { Gate::Shut(Reason::TooMany) } else { Gate::Until(until) });
        }
    }
    gate
}

/// The mode or hold that stops new payments in a place.
fn stopped(snapshot: &Snapshot, settings: &Settings, place: Place<'_>, now: At) -> Option<Reason> {
    if !place.work.is_money() {
        return None;
    }
    match snapshot.pisp(settings, place.provider, place.bank, now) {
        PispMode::Live => {}
        PispMode::Queue => return Some(Reason::Queueing),
        PispMode::Disabled => return Some(Reason::Disabled),
    }
    snapshot.is_held(&HoldOn::at(place), now).then_some(Reason::Held)
}

fn stricter(one: Gate, other: Gate) -> Gate {
    let rank = |gate: &Gate| match gate {
        Gate::Open => (0, At::MIN),
        Gate::OneAtATime => (1, At::MIN),
        Gate::Until(at) => (2, *at),
        Gate::Probed => (3, At::MIN),
        Gate::Shut(_) => (4, At::MIN),
    };
    if rank(&other) > rank(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use workflows::ids::WorkflowId;

    use super::super::breaker::{Breaker, Lease, PROBE};
    use super::super::cause::Cause;
    use super::super::rows::{ControlRow, Kind};
    use super::super::snapshot::{Turned, document};
    use super::super::subject::aside_of;
    use super::*;

    const NOW: At = At::from_millis(1_000_000);

    fn later(seconds: u64) -> At {
        NOW.plus(std::time::Duration::from_secs(seconds))
    }

    fn row(kind: Kind, subject: &str, what: &impl Serialize) -> ControlRow {
        let document = document(what);
        ControlRow { kind, subject: subject.into(), document, version: 1, updated_at: NOW }
    }

    fn cause(expires_at: Option<At>) -> Cause {
        Cause { actor: "op".to_owned(), reason: "test".to_owned(), expires_at }
    }

    fn switch(subject: &str, value: &str, expires_at: Option<At>) -> ControlRow {
        row(Kind::Switch, subject, &Turned { value: value.to_owned(), cause: cause(expires_at) })
    }

    fn breaker(subject: &str, stand: Stand, rests_until: Option<At>) -> ControlRow {
        row(Kind::Breaker, subject, &Breaker { stand, rests_until })
    }

    fn open(until: At) -> Stand {
        Stand::Open { since: NOW, until: Some(until), by: Opened::Failures, asked: false, probe: None }
    }

    fn locked(until: At) -> Stand {
        Stand::Open { since: NOW, until: Some(until), by: Opened::Credentials, asked: false, probe: None }
    }

    fn by_hand(until: Option<At>) -> Stand {
        let by = Opened::Operator(cause(None));
        Stand::Open { since: NOW, until, by, asked: false, probe: None }
    }

    /// Due, and probed since so many milliseconds.
    fn probed_for(millis: u64) -> Stand {
        let until = NOW.minus(std::time::Duration::from_millis(millis)).plus(PROBE);
        let probe = Some(Lease { by: "a".to_owned(), until });
        Stand::Open { since: NOW, until: Some(NOW), by: Opened::Failures, asked: false, probe }
    }

    fn closed(failures: Vec<At>) -> Stand {
        Stand::Closed { failures, at_banks: vec![], probe: None }
    }

    /// What initiate, queue, status, cancel and aisp at the bank allow, and initiate at another one.
    fn gates(rows: &[ControlRow], settings: &Settings) -> [Gate; 6] {
        let snapshot = Snapshot::of(1, rows);
        let at = |bank, operation| gate(&snapshot, settings, &Lane::of("neonomics", bank, operation), NOW);
        let [initiate, queue, status, cancel, aisp] =
            ["initiate", "queue", "status", "cancel", "aisp"].map(|operation| at("dnb", operation));
        [initiate, queue, status, cancel, aisp, at("nordea", "initiate")]
    }

    #[test]
    fn each_control_shuts_what_it_is_about_and_nothing_else() {
        use Gate::{OneAtATime, Open, Probed, Until};
        let (shut, broken) = (Gate::Shut, Gate::Shut(Reason::Broken));
        let half_open = Stand::HalfOpen { since: NOW, by: Some(Opened::Failures), trial: None };
        let (over, ahead) = (NOW, later(9));
        let initiate = "neonomics/dnb/initiate";
        let held = shut(Reason::Held);
        let queueing = shut(Reason::Queueing);
        let disabled = shut(Reason::Disabled);
        for (what, rows, expected) in [
            ("nothing", vec![], [Open; 6]),
            (
                "queue",
                vec![switch("pisp.mode", "queue", None)],
                [queueing, queueing, Open, Open, Open, queueing],
            ),
            (
                "bank disabled",
                vec![switch("pisp.mode/neonomics/dnb", "disabled", None)],
                [disabled, disabled, Open, Open, Open, Open],
            ),
            (
                "strictest",
                vec![switch("pisp.mode", "queue", None), switch("pisp.mode/neonomics/dnb", "live", None)],
                [queueing, queueing, Open, Open, Open, queueing],
            ),
            ("expired", vec![switch("pisp.mode", "queue", Some(NOW))], [Open; 6]),
            (
                "hold",
                vec![row(Kind::Hold, "bank/neonomics/dnb", &cause(Some(ahead)))],
                [held, held, Open, Open, Open, Open],
            ),
            ("hold over", vec![row(Kind::Hold, "provider/neonomics", &cause(Some(NOW)))], [Open; 6]),
            ("breaker", vec![breaker(initiate, open(ahead), None)], [broken, broken, Open, Open, Open, Open]),
            ("due", vec![breaker(initiate, open(over), None)], [Probed, Probed, Open, Open, Open, Open]),
            (
                "half-open",
                vec![breaker(initiate, half_open.clone(), None)],
                [OneAtATime, Open, Open, Open, Open, Open],
            ),
            (
                "read",
                vec![breaker("neonomics/dnb/status", open(ahead), None)],
                [Open, Open, broken, Open, Open, Open],
            ),
            (
                "read due",
                vec![breaker("neonomics/dnb/aisp", open(over), None)],
                [Open, Open, Open, Open, OneAtATime, Open],
            ),
            ("provider", vec![breaker("neonomics", open(ahead), None)], [broken; 6]),
            ("provider due", vec![breaker("neonomics", open(over), None)], [Probed; 6]),
            (
                "provider half-open",
                vec![breaker("neonomics", half_open, None)],
                [OneAtATime, Open, OneAtATime, OneAtATime, OneAtATime, OneAtATime],
            ),
            (
                "in question",
                vec![breaker("neonomics", closed(vec![NOW]), None)],
                [Open, Probed, Open, Open, Open, Open],
            ),
            ("failed", vec![breaker(initiate, closed(vec![NOW]), None)], [Open; 6]),
            (
                "too many",
                vec![breaker(initiate, closed(vec![]), Some(later(9)))],
                [Until(ahead), Until(ahead), Open, Open, Open, Open],
            ),
            (
                "far too many",
                vec![breaker(initiate, closed(vec![]), Some(later(61)))],
                [shut(Reason::TooMany), shut(Reason::TooMany), Open, Open, Open, Open],
            ),
            (
                "credentials",
                vec![breaker(initiate, locked(ahead), None)],
                [shut(Reason::Credentials), shut(Reason::Credentials), Open, Open, Open, Open],
            ),
        ] {
            assert_eq!(gates(&rows, &Settings::default()), expected, "{what}");
        }
    }

    #[test]
    fn a_probe_that_hangs_keeps_nobody_waiting_and_what_is_opened_by_hand_stops_no_truth() {
        use Gate::{OneAtATime, Open, Probed};
        let (broken, over, initiate) = (Gate::Shut(Reason::Broken), NOW, "neonomics/dnb/initiate");
        let half_open_by_hand =
            Stand::HalfOpen { since: NOW, by: Some(Opened::Operator(cause(None))), trial: None };
        for (what, rows, expected) in [
            (
                "probed just now",
                vec![breaker(initiate, probed_for(999), None)],
                [Probed, Probed, Open, Open, Open, Open],
            ),
            (
                "a probe that hangs",
                vec![breaker(initiate, probed_for(1_000), None)],
                [broken, broken, Open, Open, Open, Open],
            ),
            (
                "provider by hand",
                vec![breaker("neonomics", by_hand(None), None)],
                [broken, broken, Open, Open, broken, broken],
            ),
            (
                "provider by hand, due",
                vec![breaker("neonomics", by_hand(Some(over)), None)],
                [Probed, Probed, Open, Open, Probed, Probed],
            ),
            (
                "provider by hand, half-open",
                vec![breaker("neonomics", half_open_by_hand, None)],
                [OneAtATime, Open, Open, Open, OneAtATime, OneAtATime],
            ),
            (
                "status by hand",
                vec![breaker("neonomics/dnb/status", by_hand(None), None)],
                [Open, Open, broken, Open, Open, Open],
            ),
        ] {
            assert_eq!(gates(&rows, &Settings::default()), expected, "{what}");
        }
    }

    #[test]
    fn a_start_value_holds_until_somebody_turns_the_switch_and_again_when_that_expires() {
        let mut settings = Settings::default();
        settings.start.pisp = PispMode::Disabled;
        for (rows, expected) in [
            (vec![], Gate::Shut(Reason::Disabled)),
            (vec![switch("pisp.mode", "live", None)], Gate::Open),
            (vec![switch("pisp.mode", "live", Some(NOW))], Gate::Shut(Reason::Disabled)),
        ] {
            assert_eq!(gates(&rows, &settings)[0], expected);
        }
    }

    #[test]
    fn what_was_put_aside_waits_for_the_end_of_its_hold() {
        let queue = Lane::of("neonomics", "dnb", "queue");
        for hold in [HoldOn::Kind("remittance".to_owned()), HoldOn::Instance(WorkflowId::new(7))] {
            let aside = aside_of(&queue, &hold).expect("it has a lane");
            let gate = |rows: &[ControlRow]| gate(&Snapshot::of(1, rows), &Settings::default(), &aside, NOW);
            let held = |until| [row(Kind::Hold, &hold.to_string(), &cause(until))];
            assert_eq!(gate(&held(None)), Gate::Shut(Reason::Held), "{hold}");
            assert_eq!((gate(&held(Some(NOW))), gate(&[])), (Gate::Open, Gate::Open), "{hold}");
        }
    }

    #[test]
    fn timers_are_never_shut() {
        let rows = [switch("pisp.mode", "disabled", None), breaker("timer", open(later(9)), None)];
        assert_eq!(gate(&Snapshot::of(1, &rows), &Settings::default(), &Lane::timers(), NOW), Gate::Open);
    }
}
