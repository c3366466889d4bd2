//! Every boundary that a payment's run crosses, everything that can happen to a process there, and a second death at
//! each boundary of the recovery.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it fails without")]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use simulator::boundary::{Act, Boundary, Place, Played, Script};
use simulator::campaign::{Kept, run_plan};
use simulator::plan::{Kind, Plan, Story};
use simulator::world::{Manner, Outcome};

/// What there was when this was written; there may be more.
const BOUNDARIES: usize = 72;
const RUNS: usize = 21_596;
const RUNS_ON_SQLITE: usize = 284;

/// A look for work crosses the same boundary over and over; the first few times say it all.
const TIMES: u32 = 2;

/// Longer than a claim lasts, and shorter than an attempt.
const STILL: Duration = Duration::from_secs(25);

/// A payment's run with something that happens in it.
#[derive(Clone, Debug)]
struct Case {
    kind: Kind,
    story: Story,
    script: Script,
    kept: Kept,
}

#[test]
fn whatever_happens_at_any_boundary_harms_no_payment() {
    let mut names = BTreeSet::new();
    let (mut single, mut deaths) = (Vec::new(), Vec::new());
    for kind in [Kind::Remittance, Kind::QrPayment] {
        for story in Story::ALL {
            let still = Case { kind, story, script: base(story), kept: Kept::Memory };
            let crossed = crossed(&still);
            names.extend(crossed.iter().map(|boundary| boundary.name.clone()));
            for boundary in crossed {
                let happens = |act| still.with(Place::At(boundary.clone()), act);
                deaths.push(happens(Act::Crash));
                single.push(happens(Act::Pause(STILL)));
                if boundary.name.ends_with(":after") {
                    single.push(happens(Act::Unknown));
                }
            }
        }
    }
    let after_deaths = every(&deaths);
    every(&single);
    // Each recovery is cut short once at each of its boundaries with work, in a process that is alive.
    let again: Vec<Case> = deaths
        .iter()
        .zip(&after_deaths)
        .flat_map(|(death, recovering)| {
            (1..=*recovering).map(|nth| death.with(Place::Recovering(nth), Act::Crash))
        })
        .collect();
    every(&again);
    let runs = deaths.len() + single.len() + again.len();
    let mut told =
        format!("{} boundaries, {runs} runs, {} of them with a second death", names.len(), again.len());
    for name in &names {
        told.push_str("\n  ");
        told.push_str(name);
    }
    writeln!(std::io::stderr(), "{told}").unwrap();
    assert!(names.len() >= BOUNDARIES, "only {} boundaries are left", names.len());
    assert!(runs >= RUNS, "only {runs} runs are left");
}

#[test]
fn nor_over_the_statements_of_production() {
    let mut cases = Vec::new();
    let stories = [Story::Approved, Story::Looked, Story::Repeated, Story::Parked];
    for (kind, story) in [Kind::Remittance, Kind::QrPayment].into_iter().cycle().zip(stories) {
        let still = Case { kind, story, script: base(story), kept: Kept::Sqlite };
        for boundary in crossed(&still) {
            cases.push(still.with(Place::At(boundary.clone()), Act::Crash));
            if boundary.name.ends_with(":after") {
                cases.push(still.with(Place::At(boundary), Act::Unknown));
            }
        }
    }
    every(&cases);
    writeln!(std::io::stderr(), "{} runs over SQLite", cases.len()).unwrap();
    assert!(cases.len() >= RUNS_ON_SQLITE, "only {} runs are left", cases.len());
}

/// What a story needs to happen: a payment that is looked for or repeated lost its first answer.
fn base(story: Story) -> Script {
    if matches!(story, Story::Looked | Story::Repeated) {
        return vec![(Place::At(Boundary { name: "initiate:after".to_owned(), nth: 1 }), Act::Unknown)];
    }
    vec![]
}

/// The boundaries of an undisturbed run, the repeated ones a few times, without those of the story itself.
fn crossed(still: &Case) -> Vec<Boundary> {
    let outcome = still.run();
    assert!(outcome.breaches.is_empty(), "{still:?}: {:?}", outcome.breaches);
    let of_story =
        |boundary: &Boundary| still.script.iter().any(|(place, _)| *place == Place::At(boundary.clone()));
    let crossed = outcome.played.crossed.into_iter();
    crossed.filter(|boundary| boundary.nth <= TIMES && !of_story(boundary)).collect()
}

/// Runs every case on two threads; answers how many boundaries each recovery had. None harms a payment, and in each
/// everything happened that was to.
fn every(cases: &[Case]) -> Vec<u32> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let recovering = Mutex::new(vec![0; cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else { return };
                    let outcome = case.run();
                    recovering.lock().unwrap()[number] = outcome.played.recovering;
                    if let Some(breach) = outcome.breaches.first() {
                        failed.lock().unwrap().push(format!("{case:?}: {breach:?}"));
                    } else if !case.was_played(&outcome.played) {
                        failed
                            .lock()
                            .unwrap()
                            .push(format!("{case:?}: {:?} never happened", outcome.played.left));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} runs failed, the first: {}", failed.len(), cases.len(), failed[0]);
    recovering.into_inner().unwrap()
}

impl Case {
    fn with(&self, place: Place, act: Act) -> Case {
        let mut more = self.clone();
        more.script.push((place, act));
        more
    }

    /// Whether everything happened that was to. A payment whose process died before it was sent may never be sent, and
    /// no first answer of its is lost then.
    fn was_played(&self, played: &Played) -> bool {
        let of_story = base(self.story);
        let sent = played.crossed.iter().any(|boundary| boundary.name == "initiate:after");
        played.left.iter().all(|left| of_story.contains(left) && !sent)
    }

    fn run(&self) -> Outcome {
        let manner = Manner { script: Some(self.script.clone()), ..Manner::default() };
        run_plan(Plan::told(self.kind, self.story), manner, self.kept).unwrap()
    }
}
