//! What opens a breaker, what closes it, and what does neither.

use super::*;

const RULES: Rules = Rules { failures: 3, window: Duration::from_mins(1), open_for: Duration::from_mins(1) };

fn at(second: u64) -> At {
    At::EPOCH.plus(Duration::from_secs(second))
}

fn lease(by: &str, until: u64) -> Lease {
    Lease { by: by.to_owned(), until: at(until) }
}

fn failed_at(seconds: &[u64]) -> Breaker {
    seconds
        .iter()
        .fold(Breaker::default(), |breaker, second| breaker.after(&Effect::Failed(None), &RULES, at(*second)))
}

fn open() -> Breaker {
    failed_at(&[0, 1, 2])
}

fn half_open() -> Breaker {
    let probe = lease("a", 75);
    let probed = open().probed_by(&probe, &RULES, at(62)).expect("it is due");
    probed.after_probe(&probe, true, &RULES, at(63)).expect("who probes is who probed")
}

fn cause(expires_at: Option<At>) -> Cause {
    Cause { actor: "op".to_owned(), reason: "test".to_owned(), expires_at }
}

#[test]
fn so_many_failures_within_the_window_open_it() {
    for (seconds, stance) in [
        (&[0, 1][..], Stance::Closed),
        (&[0, 1, 2], Stance::Open),
        (&[0, 30, 59], Stance::Open),
        (&[0, 30, 61], Stance::Closed),
        (&[0, 1, 30, 61, 62], Stance::Open),
    ] {
        let breaker = failed_at(seconds);
        let now = at(*seconds.last().expect("some"));
        assert_eq!(breaker.stance(now), stance, "{seconds:?}");
    }
}

#[test]
fn it_goes_from_open_over_a_probe_and_a_real_success_to_closed() {
    let open = open();
    assert_eq!((open.stance(at(61)), open.wants_probe(&RULES, at(61))), (Stance::Open, false));
    assert_eq!((open.stance(at(62)), open.wants_probe(&RULES, at(62))), (Stance::Due, true));
    let probe = lease("a", 75);
    let probed = open.probed_by(&probe, &RULES, at(62)).expect("it is due");
    assert_eq!(probed.probed_by(&lease("b", 75), &RULES, at(63)), None, "one process probes");
    assert!(probed.probed_by(&lease("b", 90), &RULES, at(75)).is_some(), "one that died does not hold it up");
    assert_eq!(probed.after_probe(&lease("b", 75), true, &RULES, at(63)), None);
    let again = probed.after_probe(&probe, false, &RULES, at(63)).expect("it probed");
    assert_eq!((again.stance(at(122)), again.stance(at(123))), (Stance::Open, Stance::Due));

    let trial = lease("a", 108);
    let tried = half_open().tried_by(&trial, false, at(63)).expect("nobody tries");
    assert_eq!(tried.stance(at(64)), Stance::HalfOpen);
    assert_eq!(tried.tried_by(&lease("b", 109), false, at(64)), None, "one at a time");
    for (effect, stance) in [
        (Effect::Well(Some(trial.clone())), Stance::Closed),
        (Effect::Failed(Some(trial.clone())), Stance::Open),
        (Effect::Idle(trial.clone()), Stance::HalfOpen),
        // What began before it opened says nothing about today.
        (Effect::Well(Some(lease("b", 108))), Stance::HalfOpen),
        (Effect::Failed(None), Stance::HalfOpen),
    ] {
        let after = tried.after(&effect, &RULES, at(64));
        assert_eq!(after.stance(at(64)), stance, "{effect:?}");
        let may_try = after.tried_by(&lease("b", 110), false, at(65)).is_some();
        assert_eq!(may_try, matches!(effect, Effect::Idle(_)), "{effect:?}");
    }
    assert_eq!(open.after(&Effect::Failed(None), &RULES, at(30)), open, "stragglers do not prolong it");
}

#[test]
fn the_right_of_a_dead_process_is_free_at_once() {
    let trial = lease("dead", 108);
    let tried = half_open().tried_by(&trial, false, at(63)).expect("nobody tries");
    let probed = open().probed_by(&lease("dead", 75), &RULES, at(62)).expect("it is due");
    for held in [tried, probed] {
        assert_eq!(held.without(|by| by == "another"), None);
        let free = held.without(|by| by == "dead").expect("it held a right");
        let (by, now) = (lease("b", 120), at(64));
        assert!(free.tried_by(&by, false, now).or(free.probed_by(&by, &RULES, now)).is_some());
    }
}

#[test]
fn a_read_is_its_own_probe() {
    assert_eq!(open().tried_by(&lease("a", 100), true, at(61)), None);
    let tried = open().tried_by(&lease("a", 100), true, at(62)).expect("it is due");
    assert_eq!(tried.stance(at(62)), Stance::HalfOpen);
    assert_eq!(open().tried_by(&lease("a", 100), false, at(62)), None, "money comes after a question");
}

#[test]
fn a_lane_rests_for_as_long_as_the_longest_wish_and_that_is_no_failure() {
    let rest = |until| Effect::Rests(at(until));
    let breaker = [rest(10), rest(30), rest(20)]
        .iter()
        .fold(Breaker::default(), |breaker, effect| breaker.after(effect, &RULES, at(0)));
    assert_eq!(breaker.rests(at(29)), Some(at(30)));
    assert_eq!((breaker.rests(at(30)), breaker.stance(at(0))), (None, Stance::Closed));
    assert_eq!((breaker.is_forgettable(at(29)), breaker.is_forgettable(at(30))), (false, true));
}

#[test]
fn refused_credentials_open_it_at_once_until_a_probe_and_a_trial_find_them_accepted() {
    let locked = Breaker::default().after(&Effect::Locked(None), &RULES, at(0));
    assert!(matches!(&locked.stand, Stand::Open { by: Opened::Credentials, .. }));
    assert!(locked.wants_probe(&RULES, at(60)));
    let trial = lease("a", 108);
    let tried = half_open().tried_by(&trial, false, at(63)).expect("nobody tries");
    let again = tried.after(&Effect::Locked(Some(trial)), &RULES, at(64));
    assert!(matches!(&again.stand, Stand::Open { by: Opened::Credentials, .. }));
    assert_eq!(tried.after(&Effect::Locked(None), &RULES, at(64)), tried, "it began before");
}

#[test]
fn a_provider_in_question_is_probed_soon_and_a_failed_probe_counts() {
    let mut breaker = failed_at(&[0]);
    for (second, stance) in [(1, Stance::Closed), (2, Stance::Open)] {
        assert!(breaker.is_in_question(&RULES, at(second)));
        assert!(!breaker.wants_probe(&RULES, at(second).minus(Duration::from_millis(1))));
        let probe = lease("a", second + 15);
        breaker = breaker.probed_by(&probe, &RULES, at(second)).expect("due");
        let well = breaker.after_probe(&probe, true, &RULES, at(second)).expect("it probed");
        assert_eq!(well, Breaker::default());
        breaker = breaker.after_probe(&probe, false, &RULES, at(second)).expect("it probed");
        assert_eq!(breaker.stance(at(second)), stance);
    }
    assert!(!failed_at(&[0]).is_in_question(&RULES, at(60)), "failures are forgotten");
}

#[test]
fn an_operator_opens_closes_and_has_it_probed() {
    let act = |breaker: &Breaker, action, expires_at| breaker.acted_on(action, &cause(expires_at), at(5));
    let held_open = act(&Breaker::default(), Action::Open, None);
    assert_eq!((held_open.stance(at(9_999)), held_open.next_probe(&RULES)), (Stance::Open, None));
    let ends = act(&Breaker::default(), Action::Open, Some(at(50)));
    assert_eq!((ends.stance(at(49)), ends.stance(at(50))), (Stance::Open, Stance::Due));
    let asked = act(&held_open, Action::Probe, None);
    assert!(asked.is_asked() && asked.wants_probe(&RULES, at(5)));
    let ends_asked = act(&ends, Action::Probe, None);
    for (asked, until) in [(asked, None), (ends_asked, Some(at(50)))] {
        // What a probe or a trial finds does not end what an operator said.
        let lease = lease("a", 20);
        let probed = asked.probed_by(&lease, &RULES, at(5)).expect("it is due");
        let failed = probed.after_probe(&lease, false, &RULES, at(6)).expect("it probed");
        let half_open = probed.after_probe(&lease, true, &RULES, at(6)).expect("it probed");
        let tried = half_open.tried_by(&lease, false, at(7)).expect("nobody tries");
        let by_read = asked.tried_by(&lease, true, at(7)).expect("it is due");
        let lost = Effect::Failed(Some(lease));
        for after in [failed, tried.after(&lost, &RULES, at(8)), by_read.after(&lost, &RULES, at(8))] {
            assert!(after.is_by_hand() && !after.is_asked(), "{after:?}");
            assert_eq!((after.next_probe(&RULES), after.stance(at(49))), (until, Stance::Open));
        }
    }
    for breaker in [held_open, open(), half_open()] {
        assert_eq!(act(&breaker, Action::Close, None), Breaker::default());
    }
    assert_eq!(act(&Breaker::default(), Action::Probe, None), Breaker::default());
}

#[test]
fn failures_at_several_banks_that_none_is_blamed_for_are_the_providers() {
    for (banks, stance) in [
        (&[("dnb", 0), ("nordea", 1)][..], Stance::Closed),
        (&[("dnb", 0), ("nordea", 1), ("dnb", 2)], Stance::Open),
        (&[("dnb", 0), ("dnb", 1), ("dnb", 2), ("dnb", 3)], Stance::Closed),
        (&[("nordea", 0), ("dnb", 59), ("dnb", 60), ("dnb", 61)], Stance::Closed),
        (&[("nordea", 0), ("dnb", 58), ("dnb", 59)], Stance::Open),
    ] {
        let breaker = banks.iter().fold(Breaker::default(), |breaker, (bank, second)| {
            breaker.after(&Effect::FailedAt((*bank).to_owned()), &RULES, at(*second))
        });
        assert_eq!(breaker.stance(at(61)), stance, "{banks:?}");
        assert!(!breaker.is_in_question(&RULES, at(61)), "it was reached");
    }
}

#[test]
fn a_probe_that_is_due_is_wished_for_once_and_keeps_nobody_waiting() {
    assert_eq!((open().asked_for(at(61)), Breaker::default().asked_for(at(61))), (None, None));
    let asked = open().asked_for(at(62)).expect("it is due");
    assert!(asked.is_asked() && !open().is_asked());
    assert_eq!(asked.asked_for(at(63)), None);
    let probed = asked.probed_by(&lease("a", 62 + 15), &RULES, at(62)).expect("it is due");
    for (second, waits) in [(62, false), (63, true), (76, true), (77, false)] {
        assert_eq!(probed.is_kept_waiting(at(second)), waits, "{second}");
    }
}

#[test]
fn a_document_reads_as_it_was_written() {
    let at_bank = Breaker::default().after(&Effect::FailedAt("dnb".to_owned()), &RULES, at(0));
    for breaker in [Breaker::default(), failed_at(&[0]), at_bank, open(), half_open()] {
        let text = serde_json::to_string(&breaker).expect("it serialises");
        assert_eq!(serde_json::from_str::<Breaker>(&text).expect("it reads"), breaker);
    }
    for text in [
        r#"{"stand":{"closed":{"failures":[],"probe":null}},"rests_until":null}"#,
        r#"{"stand":{"half_open":{"since":0,"trial":null}},"rests_until":null}"#,
    ] {
        assert!(serde_json::from_str::<Breaker>(text).is_ok(), "written by an older process: {text}");
    }
}
