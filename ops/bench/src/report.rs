//! What was measured, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::database::Floor;
use crate::figures::{Run, Spread, as_json, spreads};
use crate::machine;
use crate::scenario::Setup;

/// The figures at one load and one backlog.
pub struct Point {
    /// How many clients there were.
    pub concurrency: usize,
    /// How many workflows there were before.
    pub backlog: usize,
    runs: Vec<Run>,
    spreads: Vec<(&'static str, Spread)>,
}

/// Everything that a scenario measured.
pub struct Report {
    value: Value,
    floor: Floor,
    points: Vec<Point>,
}

impl Point {
    /// Of these runs.
    pub fn new(concurrency: usize, backlog: usize, runs: Vec<Run>) -> Self {
        let spreads = spreads(&runs);
        Point { concurrency, backlog, runs, spreads }
    }

    /// A figure by its name.
    fn figure(&self, name: &str) -> Option<Spread> {
        self.spreads.iter().find(|(known, _)| *known == name).map(|(_, spread)| *spread)
    }

    /// A table of its figures, with what share of the floor they are.
    pub fn in_words(&self, floor: &Floor) -> String {
        let mut text = format!("concurrency {}, backlog {}\n", self.concurrency, self.backlog);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<24}{:>12}{:>12}{:>12}", "", "min", "median", "max");
        for (name, Spread { min, median, max }) in &self.spreads {
            let _ = writeln!(text, "{name:<24}{min:>12.2}{median:>12.2}{max:>12.2}");
        }
        for (name, ratio) in self.ratios(floor) {
            let _ = writeln!(text, "{name:<24}{:>12}{ratio:>12.3}", "");
        }
        text
    }

    /// How the figures stand to what the machine does with the database alone.
    fn ratios(&self, floor: &Floor) -> Vec<(&'static str, f64)> {
        let done = self.figure("workflows_per_s").map_or(0.0, |spread| spread.median);
        let rows = self.figure("rows").map(|rows| rows.median * done / floor.rows_per_second);
        let commits = Some(done / floor.commits_per_second);
        let all = [("workflows_per_floor_commit", commits), ("rows_per_floor_row", rows)];
        all.into_iter().filter_map(|(name, ratio)| Some((name, ratio?))).collect()
    }

    fn as_json(&self, floor: &Floor, first: &Point) -> Value {
        let ratios: serde_json::Map<_, _> =
            self.ratios(floor).into_iter().map(|(name, ratio)| (name.to_owned(), json!(ratio))).collect();
        json!({
            "concurrency": self.concurrency, "backlog": self.backlog, "summary": as_json(&self.spreads),
            "ratios": ratios, "fall_percent": self.fall_since(first), "runs": self.runs,
        })
    }

    /// By how many percent fewer workflows are done than at an earlier point of the same load.
    pub fn fall_since(&self, earlier: &Point) -> Option<f64> {
        let before = earlier.figure("workflows_per_s").filter(|_| earlier.concurrency == self.concurrency)?;
        let after = self.figure("workflows_per_s").filter(|_| earlier.backlog != self.backlog)?;
        Some(100.0 * (1.0 - after.median / before.median))
    }
}

impl Report {
    /// Of these points.
    pub fn new(scenario: &str, setup: &Setup<'_>, floor: Floor, points: Vec<Point>) -> Self {
        let shown: Vec<Value> =
            points.iter().filter_map(|point| Some(point.as_json(&floor, points.first()?))).collect();
        let value = json!({
            "scenario": scenario, "database": setup.kind, "processors": machine::processors(),
            "warmup_seconds": setup.pace.warmup, "settings": setup.settings, "server": setup.server, "floor": floor, "points": shown,
        });
        Report { value, floor, points }
    }

    /// As one document.
    pub fn as_json(&self) -> &Value {
        &self.value
    }

    /// What holds for all of its points: the floor, and how throughput fell since the first where backlogs differ.
    pub fn in_words(&self) -> String {
        let Floor { commits_per_second, rows_per_second } = self.floor;
        let mut text = format!(
            "floor: {commits_per_second:.0} one-row commits/s, {rows_per_second:.0} rows/s at 256 to a commit\n"
        );
        let Some(first) = self.points.first() else { return text };
        for point in &self.points {
            if let Some(fall) = point.fall_since(first) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "backlog {}: {fall:.1} % fewer than without", point.backlog);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(backlog: usize, per_second: f64) -> Point {
        Point::new(64, backlog, vec![Run { per_second, ..Run::default() }])
    }

    #[test]
    fn a_fall_is_told_against_the_first_point() {
        let (empty, full) = (point(0, 200.0), point(100_000, 190.0));
        assert!((full.fall_since(&empty).unwrap() - 5.0).abs() < 1e-9);
        assert_eq!(empty.fall_since(&empty), None, "it is the first itself");
        let floor = Floor { commits_per_second: 100.0, rows_per_second: 1_000.0 };
        assert_eq!(empty.ratios(&floor), [("workflows_per_floor_commit", 2.0)]);
        assert!(full.in_words(&floor).contains("workflows_per_s"));
    }
}
