//! `GET /metrics`: what this process counts and what the scanner found, in Prometheus' text format (REST contract §7).
//!
//! Labels are words of ours; no id, name or amount is among them.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use workers::engine::Engine;
use workers::scanner::{Scanner, Violation};

/// What is told about.
#[derive(Clone)]
pub struct Metrics {
    /// The engine of this process.
    pub engine: Engine,
    /// Its scanner, where it performs steps.
    pub scanner: Option<Arc<Scanner>>,
}

/// The one route.
pub fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(tell)).with_state(metrics)
}

async fn tell(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text()).into_response()
}

impl Metrics {
    fn text(&self) -> String {
        let mut text = String::new();
        let meters = self.engine.meters();
        let families = [
            ("sluse_workflows_started_total", "Workflows started by this process.", "kind", &meters.started),
            (
                "sluse_workflows_ended_total",
                "Workflows this process brought to an end.",
                "status",
                &meters.ended,
            ),
            ("sluse_alerts_total", "What operators were told of by this process.", "about", &meters.alerts),
            (
                "sluse_steps_settled_total",
                "Attempts and timers settled by this process.",
                "finding",
                &meters.settled,
            ),
        ];
        for (name, help, label, tally) in families {
            let counts = tally.counts();
            let samples = counts.iter().map(|(word, count)| (&**word, *count));
            family(&mut text, (name, "counter", help), label, samples);
        }
        let Some(scanner) = &self.scanner else { return text };
        let found = scanner.last();
        let violations = Violation::ALL.map(|violation| (violation.word(), found.count(violation) as u64));
        family(
            &mut text,
            ("sluse_invariant_violations", "gauge", "What cannot be, as the scanner's last round found it."),
            "kind",
            violations.into_iter(),
        );
        let ever = scanner.violated().counts();
        family(
            &mut text,
            (
                "sluse_invariant_violations_found_total",
                "counter",
                "What cannot be, in all rounds of this process.",
            ),
            "kind",
            ever.iter().map(|(word, count)| (&**word, *count)),
        );
        family(
            &mut text,
            (
                "sluse_workflows",
                "gauge",
                "Workflows without an end, as the scanner's last round counted them.",
            ),
            "status",
            found.live.iter().map(|(status, count)| (&**status, *count)),
        );
        family(
            &mut text,
            ("sluse_workflows_stopped", "gauge", "Workflows that stand still and wait for an operator."),
            "by",
            [("attention", found.stopped)].into_iter(),
        );
        text
    }
}

fn family<'a>(
    text: &mut String,
    (name, kind, help): (&str, &str, &str),
    label: &str,
    samples: impl Iterator<Item = (&'a str, u64)>,
) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (word, count) in samples {
        let word = word.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        let _ = writeln!(text, "{name}{{{label}=\"{word}\"}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut text = String::new();
        let samples = [("done", 3), ("a \"b\"\\\n", 0)];
        family(&mut text, ("sluse_x_total", "counter", "What."), "finding", samples.into_iter());
        let expected = "# HELP sluse_x_total What.\n# TYPE sluse_x_total counter\n\
                        sluse_x_total{finding=\"done\"} 3\nsluse_x_total{finding=\"a \\\"b\\\"\\\\\\n\"} 0\n";
        assert_eq!(text, expected);
    }
}
