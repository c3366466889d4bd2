//! Mistakes with money, planted one after the other where somebody would really make them: the invariants find each.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it fails without")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use simulator::campaign::{Args, Kept, run_prepared, world_of};
use simulator::shrink;
use simulator::world::Manner;
use workflows::planted;

/// Every mistake that can be planted.
const MISTAKES: [&str; 30] = [
    "a 5xx is a refusal",
    "a doubt is lost",
    "a key beyond its window",
    "a lost claim was not sent",
    "a new key for each attempt",
    "a refused cancellation is one",
    "a refused repetition is believed",
    "a timer is lost",
    "absence before the lag",
    "accepted is done",
    "an amount without its øre",
    "an early timer",
    "an end that opens again",
    "an unknown commit is one",
    "another amount on a repetition",
    "answered before the commit",
    "callback as proof",
    "callbacks not told apart",
    "cancellation unconfirmed",
    "deadline without asking",
    "discard of a live task",
    "fail on time-out",
    "no fence at the call",
    "no guard on the claim",
    "no guard on the revision",
    "not found is rejected",
    "one absence is enough",
    "park what is unknown",
    "rejection ignored",
    "released twice",
];

/// And these, which are found by fewer worlds.
const MORE: [&str; 3] = ["repeat without a key", "sent while held back", "two starts under one key"];

/// And in the statements of production, these.
const IN_SQL: [&str; 4] =
    ["a message is lost", "no guard on the claim", "no guard on the revision", "two starts under one key"];

/// A mistake that no invariant saw in so many worlds is not found.
const WORLDS: u64 = 120;
const ARGS: Args =
    Args { seed: 7, worlds: WORLDS, from: 0, workflows_per_world: 50, store: Kept::Memory, json: false };
/// A world over a file takes longer.
const OVER_FILES: Args = Args { worlds: 40, workflows_per_world: 25, store: Kept::Sqlite, ..ARGS };

#[test]
fn every_planted_mistake_is_found() {
    let mistakes: Vec<&'static str> = MISTAKES.into_iter().chain(MORE).collect();
    assert!(mistakes.len() >= 25);
    all_are_found(&mistakes, ARGS);
}

#[test]
fn every_mistake_in_the_statements_of_production_is_found() {
    all_are_found(&IN_SQL, OVER_FILES);
}

#[test]
fn without_one_nothing_is_found_in_the_same_worlds() {
    for args in [ARGS, OVER_FILES] {
        let report = run_prepared(args, &|| planted::plant(None)).unwrap();
        assert!(report.failed.is_none(), "{report}");
    }
}

#[test]
fn what_is_found_is_told_in_the_fewest_words_that_still_fail() {
    let mistake = "a doubt is lost";
    let report = run_prepared(ARGS, &|| planted::plant(Some(mistake))).unwrap();
    let text = report.to_string();
    let failed = report.failed.expect("it is found");
    let whole = world_of(ARGS, failed.world, Manner { told: true, ..Manner::default() }).unwrap();
    let rule = failed.breach.rule;
    for told in [format!("seed {}", ARGS.seed), format!("world {}", failed.world), rule.id().to_owned()] {
        assert!(text.contains(&told), "{told} is not in {text}");
    }
    let shortest = &failed.shortest;
    assert!(!shortest.lines.is_empty() && shortest.lines.iter().all(|line| text.contains(line)));
    assert!(shortest.lines.len() < whole.lines.len() && shortest.orders.len() < 50, "{text}");
    let again = shrink::again(ARGS, failed.world, shortest).unwrap();
    assert!(again.breaches.iter().any(|breach| breach.rule == rule));
    assert_eq!(again.lines, shortest.lines);
    planted::plant(None);
    let sound = shrink::again(ARGS, failed.world, shortest).unwrap();
    assert_eq!(sound.breaches, [], "it is the mistake that makes it fail");
}

/// Plants one after the other; each is found.
fn all_are_found(mistakes: &[&'static str], args: Args) {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mistake) = mistakes.get(next.fetch_add(1, Ordering::SeqCst)) {
                    planted::plant(Some(mistake));
                    let found = finds(args);
                    planted::plant(None);
                    match found {
                        Some((rule, workflows)) => {
                            println!("{rule:>4} after {workflows:>5} workflows: {mistake}");
                        }
                        None => missed.lock().unwrap().push(*mistake),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "no invariant saw: {missed:?}");
}

/// The first invariant that is breached, and after how many workflows.
fn finds(args: Args) -> Option<(&'static str, usize)> {
    let mut workflows = 0;
    for number in 0..args.worlds {
        let outcome = world_of(args, number, Manner::default()).unwrap();
        workflows += outcome.workflows;
        if let Some(breach) = outcome.breaches.first() {
            return Some((breach.rule.id(), workflows));
        }
    }
    None
}
