//! Every boundary that a payment's run crosses, and everything that can happen to a process there.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it fails without")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use simulator::boundary::{ANY, Act, Boundary, Script};
use simulator::campaign::{Kept, run_plan};
use simulator::plan::{Kind, Plan, Story};
use simulator::world::{Manner, Outcome};

/// What there was when this was written; there may be more.
const BOUNDARIES: usize = 60;
const RUNS: usize = 1_986;

/// A look for work crosses the same boundary over and over; the first few times say it all.
const TIMES: u32 = 2;

/// Longer than a claim lasts, and shorter than an attempt.
const STILL: Duration = Duration::from_secs(25);

struct Case {
    kind: Kind,
    story: Story,
    script: Script,
}

#[test]
fn whatever_happens_at_any_boundary_harms_no_payment() {
    let mut names = BTreeSet::new();
    let mut cases = Vec::new();
    for kind in [Kind::Remittance, Kind::QrPayment] {
        for story in Story::ALL {
            let base = base(story);
            let still = run(kind, story, base.clone());
            assert!(still.breaches.is_empty(), "{story:?}: {:?}", still.breaches);
            names.extend(still.boundaries.iter().map(|boundary| boundary.name.clone()));
            cases.extend(scripts(&base, &still.boundaries).map(|script| Case { kind, story, script }));
        }
    }
    println!("{} boundaries, {} runs", names.len(), cases.len());
    for name in &names {
        println!("  {name}");
    }
    let failed = every(&cases);
    assert!(failed.is_empty(), "{} runs failed, the first: {}", failed.len(), failed[0]);
    assert!(names.len() >= BOUNDARIES, "only {} boundaries are left", names.len());
    assert!(cases.len() >= RUNS, "only {} runs are left", cases.len());
}

/// What a story needs to happen: a payment that is looked for or repeated lost its first answer.
fn base(story: Story) -> Script {
    if matches!(story, Story::Looked | Story::Repeated) {
        return vec![(at("initiate:after", 1), Act::Unknown)];
    }
    vec![]
}

/// Everything that happens at each boundary, in a script of its own.
fn scripts<'a>(base: &'a Script, crossed: &'a [Boundary]) -> impl Iterator<Item = Script> + 'a {
    let own = base.first().and_then(|(own, _)| crossed.iter().position(|boundary| boundary == own));
    crossed.iter().enumerate().filter(|(_, boundary)| boundary.nth <= TIMES).flat_map(
        move |(place, boundary)| {
            let again = boundary.nth + (0..9).nth(place % 9).unwrap_or(0);
            let mut happens = vec![
                vec![(boundary.clone(), Act::Crash)],
                vec![(boundary.clone(), Act::Crash), (at(ANY, again), Act::Crash)],
                vec![(boundary.clone(), Act::Pause(STILL))],
            ];
            if boundary.name.ends_with(":after") {
                happens.push(vec![(boundary.clone(), Act::Unknown)]);
            }
            happens.into_iter().filter_map(move |happens| match own {
                Some(own) if place == own => None,
                Some(own) if place > own => Some([base.clone(), happens].concat()),
                _ => Some([happens, base.clone()].concat()),
            })
        },
    )
}

/// Runs every case on two threads; answers those that failed.
fn every(cases: &[Case]) -> Vec<String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let Case { kind, story, script } = case;
                    let outcome = run(*kind, *story, script.clone());
                    if let Some(breach) = outcome.breaches.first() {
                        let what = format!("{kind:?} {story:?} {script:?}: {breach:?}");
                        failed.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

fn run(kind: Kind, story: Story, script: Script) -> Outcome {
    let manner = Manner { script: Some(script), ..Manner::default() };
    run_plan(Plan::told(kind, story), manner, Kept::Memory)
}

fn at(name: &str, nth: u32) -> Boundary {
    Boundary { name: name.to_owned(), nth }
}
