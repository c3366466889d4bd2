//! Mistakes with money, planted one after the other where somebody would really make them: the invariants find each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use simulator::campaign::{Args, Kept, world_of};
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

/// A mistake that no invariant saw in so many worlds is not found.
const WORLDS: u64 = 120;
const ARGS: Args =
    Args { seed: 7, worlds: WORLDS, from: 0, workflows_per_world: 50, store: Kept::Memory, json: false };

#[test]
fn every_planted_mistake_is_found() {
    let mistakes: Vec<&'static str> = MISTAKES.into_iter().chain(MORE).collect();
    assert!(mistakes.len() >= 25);
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mistake) = mistakes.get(next.fetch_add(1, Ordering::SeqCst)) {
                    planted::plant(Some(mistake));
                    let found = finds();
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

#[test]
fn without_one_nothing_is_found() {
    assert_eq!(finds_within(20), None);
}

fn finds() -> Option<(&'static str, usize)> {
    finds_within(WORLDS)
}

/// The first invariant that is breached, and after how many workflows.
fn finds_within(worlds: u64) -> Option<(&'static str, usize)> {
    let mut workflows = 0;
    for number in 0..worlds {
        let outcome = world_of(ARGS, number, Manner::default());
        workflows += outcome.workflows;
        if let Some(breach) = outcome.breaches.first() {
            return Some((breach.rule.id(), workflows));
        }
    }
    None
}
