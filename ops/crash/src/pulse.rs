//! The pulse of the whole system: when any of its processes told of a commit, and who was down meanwhile.
//!
//! A process that comes back may find its work done by others. What an owner asks is whether payments progress: so
//! besides each process' own first commit, it is measured how long after a return anybody committed anything, and how
//! long nobody did although somebody could have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What the harness knows of the system's life. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    inner: Arc<Mutex<Record>>,
}

/// Beats and failures, in the order in which they were noted.
#[derive(Debug, Default)]
struct Record {
    beats: Vec<Instant>,
    downs: Vec<Down>,
}

/// Somebody who could not work for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Down {
    who: Part,
    from: Instant,
    until: Option<Instant>,
}

/// Who is needed for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of those that perform steps; any of them is enough.
    Performer(&'static str),
    /// The database: nothing goes without it.
    Database,
}

impl Pulse {
    /// A commit was told of.
    pub fn beat(&self) {
        self.lock().beats.push(Instant::now());
    }

    /// Somebody stopped working.
    pub fn down(&self, who: Part) {
        self.lock().downs.push(Down { who, from: Instant::now(), until: None });
    }

    /// They are started again or go on: from here on progress is owed.
    pub fn up(&self, who: Part) {
        let now = Instant::now();
        for down in self.lock().downs.iter_mut().filter(|down| down.who == who && down.until.is_none()) {
            down.until = Some(now);
        }
    }

    /// From each of these returns to the next commit of anybody; one after which nothing was told of is left out.
    pub fn after(&self, returns: &[Instant]) -> Vec<Duration> {
        let record = self.lock();
        let next =
            |at: &Instant| record.beats.iter().filter(|beat| *beat >= at).min().map(|beat| *beat - *at);
        returns.iter().filter_map(next).collect()
    }

    /// The silences between one commit and the next within a time, without the parts in which nobody could have
    /// committed: the database was down, or all `performers` were. Longest first.
    pub fn silences(&self, from: Instant, until: Instant, performers: usize) -> Vec<Duration> {
        let record = self.lock();
        let mut beats: Vec<Instant> =
            record.beats.iter().copied().filter(|beat| (from..until).contains(beat)).collect();
        beats.extend([from, until]);
        beats.sort_unstable();
        let mut silences: Vec<Duration> =
            beats.windows(2).map(|pair| record.owed(pair[0], pair[1], performers)).collect();
        silences.sort_unstable_by(|one, other| other.cmp(one));
        silences
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// How much of a silence somebody could have broken.
    fn owed(&self, from: Instant, until: Instant, performers: usize) -> Duration {
        let mut edges: Vec<Instant> = self
            .downs
            .iter()
            .flat_map(|down| [Some(down.from), down.until])
            .flatten()
            .filter(|edge| (from..until).contains(edge))
            .chain([from, until])
            .collect();
        edges.sort_unstable();
        edges.windows(2).filter(|part| !self.is_dead(part[0], performers)).map(|part| part[1] - part[0]).sum()
    }

    /// Whether nobody could commit from this moment on.
    fn is_dead(&self, at: Instant, performers: usize) -> bool {
        let down: Vec<Part> = self
            .downs
            .iter()
            .filter(|down| down.from <= at && down.until.is_none_or(|until| at < until))
            .map(|down| down.who)
            .collect();
        let mut absent: Vec<&str> = down
            .iter()
            .filter_map(|who| match who {
                Part::Performer(name) => Some(*name),
                Part::Database => None,
            })
            .collect();
        absent.sort_unstable();
        absent.dedup();
        down.contains(&Part::Database) || absent.len() >= performers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(t0: Instant, who: Part, from: u64, until: u64) -> Down {
        let at = |ms| t0 + Duration::from_millis(ms);
        Down { who, from: at(from), until: Some(at(until)) }
    }

    #[test]
    fn a_silence_counts_where_somebody_could_have_broken_it() {
        let t0 = Instant::now();
        let (a, b) = (Part::Performer("a"), Part::Performer("b"));
        for (name, downs, longest) in [
            ("nobody was down", vec![], 1_000),
            ("one of two was", vec![(a, 100, 900)], 1_000),
            ("both were for a while", vec![(a, 100, 900), (b, 300, 1_000)], 400),
            ("the same one twice is not two", vec![(a, 100, 500), (a, 400, 900)], 1_000),
            ("the database was", vec![(Part::Database, 200, 500)], 700),
        ] {
            let downs = downs.into_iter().map(|(who, from, until)| down(t0, who, from, until)).collect();
            let beats = vec![t0, t0 + Duration::from_secs(1)];
            let pulse = Pulse { inner: Arc::new(Mutex::new(Record { beats, downs })) };
            let silences = pulse.silences(t0, t0 + Duration::from_secs(1), 2);
            assert_eq!(silences.first(), Some(&Duration::from_millis(longest)), "{name}");
        }
    }

    #[test]
    fn a_return_is_over_with_the_next_commit_of_anybody() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let record = Record { beats: vec![at(50), at(400), at(300)], downs: vec![] };
        let pulse = Pulse { inner: Arc::new(Mutex::new(record)) };
        assert_eq!(pulse.after(&[at(100), at(350), at(500)]), [200, 50].map(Duration::from_millis));
    }
}
