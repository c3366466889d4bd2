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
use workers::controls::breaker::Stance;
use workers::controls::{BreakerId, Controls, Operation};
use workers::engine::Engine;
use workers::meters::Spans;
use workers::scanner::{Scanner, Violation};
use workers::store::Backlog;
use workflows::time::At;

/// What is told about.
#[derive(Clone)]
pub struct Metrics {
    /// The engine of this process.
    pub engine: Engine,
    /// What may be sent.
    pub controls: Controls,
    /// Its scanner, where it performs steps.
    pub scanner: Option<Arc<Scanner>>,
}

/// The one route.
pub fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(tell)).with_state(metrics)
}

async fn tell(State(metrics): State<Metrics>) -> Response {
    let parked = match metrics.engine.parked().await {
        Ok(parked) => Some(parked),
        Err(trouble) => {
            tracing::warn!(%trouble, "what is parked could not be counted");
            None
        }
    };
    let text = metrics.text() + &metrics.standing(parked.as_deref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
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
        let about = ("sluse_claim_seconds", "How long the database took to claim due tasks.");
        histogram(&mut text, about, &meters.claims);
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

impl Metrics {
    /// How things stand: breakers, queues, and what nobody knows the outcome of.
    fn standing(&self, parked: Option<&[Backlog]>) -> String {
        let mut text = String::new();
        let (known, now) = (self.controls.snapshot(), self.engine.now());
        let breakers: Vec<_> = known.breakers().map(|(id, breaker, _)| (id, breaker.stance(now))).collect();
        let states = breakers.iter().map(|(id, stance)| {
            let state = match stance {
                Stance::Closed => 0,
                Stance::HalfOpen => 1,
                Stance::Due | Stance::Open => 2,
            };
            let (provider, bank) = (id.provider(), id.bank().unwrap_or("all"));
            (labels(&[("provider", provider), ("bank", bank), ("operation", id.operation())]), state)
        });
        let about = ("sluse_breaker_state", "Breakers with something to say: 0 closed, 1 half-open, 2 open.");
        gauge(&mut text, about, states);
        let is_open = |which: fn(&BreakerId) -> bool| {
            let open = |stance: &Stance| matches!(stance, Stance::Open | Stance::Due);
            u64::from(breakers.iter().any(|(id, stance)| which(id) && open(stance)))
        };
        let pays = |id: &BreakerId| match id {
            BreakerId::Provider(_) => true,
            BreakerId::Bank(_, _, operation) => *operation == Operation::Initiate,
        };
        let reads = |id: &BreakerId| match id {
            BreakerId::Provider(_) => true,
            BreakerId::Bank(_, _, operation) => *operation == Operation::Aisp,
        };
        let about = ("pisp_circuit_open", "1 while a breaker keeps new payments from a bank (MO-04).");
        gauge(&mut text, about, [(String::new(), is_open(pays))].into_iter());
        let about = ("aisp_circuit_open", "1 while a breaker keeps balances of a bank from being read.");
        gauge(&mut text, about, [(String::new(), is_open(reads))].into_iter());
        if let Some(parked) = parked {
            let queues: Vec<_> = parked
                .iter()
                .filter_map(|queue| {
                    let (provider, bank, _) = queue.lane.parts()?;
                    Some((labels(&[("provider", provider), ("bank", bank)]), queue))
                })
                .collect();
            let counts = queues.iter().map(|(labels, queue)| (labels.clone(), queue.waiting));
            gauge(&mut text, ("sluse_queue_parked", "Payments that wait in a queue."), counts);
            let ages = queues.iter().map(|(labels, queue)| (labels.clone(), age(queue.oldest_at, now)));
            gauge(&mut text, ("sluse_queue_oldest_seconds", "Since when the first of them waits."), ages);
        }
        let Some(scanner) = &self.scanner else { return text };
        let found = scanner.last();
        let about = (
            "sluse_in_doubt",
            "Workflows that nobody knows the outcome of, as the scanner's last round counted them.",
        );
        gauge(&mut text, about, [(String::new(), found.in_doubt)].into_iter());
        let about = ("sluse_in_doubt_oldest_seconds", "Since when the first of them is so.");
        gauge(&mut text, about, [(String::new(), age(found.doubted_since, now))].into_iter());
        text
    }
}

/// How many seconds ago something began; 0 when nothing did.
fn age(since: Option<At>, now: At) -> u64 {
    since.map_or(0, |since| now.since(since).as_secs())
}

/// Labels as Prometheus reads them.
fn labels(labels: &[(&str, &str)]) -> String {
    let each: Vec<_> = labels.iter().map(|(name, word)| format!("{name}=\"{}\"", escaped(word))).collect();
    format!("{{{}}}", each.join(","))
}

fn escaped(word: &str) -> String {
    word.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn gauge(text: &mut String, (name, help): (&str, &str), samples: impl Iterator<Item = (String, u64)>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

fn histogram(text: &mut String, (name, help): (&str, &str), spans: &Spans) {
    let (bounded, all) = spans.at_most();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
    for (bound, count) in bounded {
        let _ = writeln!(text, "{name}_bucket{{le=\"{}\"}} {count}", bound.as_secs_f64());
    }
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {all}");
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {all}", spans.total().as_secs_f64());
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
        let word = escaped(word);
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

    /// The provider of an engine that performs nothing.
    struct Nobody;

    #[async_trait::async_trait]
    impl workers::providers::Provider for Nobody {
        async fn perform(
            &self,
            _: &workflows::ports::Call,
            _: &workers::providers::Context,
        ) -> workflows::engine::Finding {
            workflows::engine::Finding::NotSent("this engine performs nothing")
        }
    }

    #[tokio::test]
    async fn breakers_and_queues_are_told_with_where_they_are() {
        use std::time::Duration;

        use workers::controls::{Action, Cause, Settings};
        use workers::ports::{AnchoredClock, SystemIds};
        use workers::process::{Options, assemble};
        use workers::store::MemoryStore;
        use workflows::engine::{Book, Lane};

        let clock = Arc::new(AnchoredClock::wall());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let controls = Controls::open(store.clone(), clock, &SystemIds, Settings::default()).await.unwrap();
        let second = Duration::from_secs(1);
        let options = Options { steps_in_flight: 0, lease: second, grace: second };
        let (book, nobody, ids) = (Book::default(), Arc::new(Nobody), Arc::new(SystemIds));
        let (engine, _) = assemble(store, &controls, book, nobody, ids, options);
        let metrics = Metrics { engine: engine.clone(), controls: controls.clone(), scanner: None };
        let calm = metrics.standing(Some(&[]));
        assert!(
            calm.contains("\npisp_circuit_open 0\n") && calm.contains("\naisp_circuit_open 0\n"),
            "{calm}"
        );
        let cause = Cause { actor: "op".to_owned(), reason: "r".to_owned(), expires_at: None };
        let id = BreakerId::Bank("neonomics".to_owned(), "dnb".to_owned(), Operation::Initiate);
        controls.breaker_of(&id, Action::Open, &cause).await.unwrap();
        let lane = Lane::of("neonomics", "a/b=", "queue");
        let oldest_at = Some(engine.now().minus(Duration::from_mins(2)));
        let text = metrics.standing(Some(&[Backlog { lane, waiting: 7, oldest_at }]));
        for line in [
            r#"sluse_breaker_state{provider="neonomics",bank="dnb",operation="initiate"} 2"#,
            "pisp_circuit_open 1",
            "aisp_circuit_open 0",
            r#"sluse_queue_parked{provider="neonomics",bank="a/b="} 7"#,
            r#"sluse_queue_oldest_seconds{provider="neonomics",bank="a/b="} 120"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    }
}
