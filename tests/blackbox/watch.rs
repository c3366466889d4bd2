//! Everything that was ever shown of a transaction, by the plain answer and by the event stream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::bank::Truth;
use crate::client::{Caller, try_answer};

/// How often the plain answer is asked for.
const LOOK: Duration = Duration::from_millis(15);

/// One thing that was shown: status, phase, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub status: String,
    pub phase: String,
    pub by: &'static str,
}

impl Sighting {
    /// What an answer or an event shows.
    pub fn of(body: &Value, by: &'static str) -> Self {
        let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Sighting { status: word("status"), phase: word("phase"), by }
    }

    /// Whether it is an end.
    pub fn is_final(&self) -> bool {
        ["completed", "failed", "cancelled"].contains(&self.status.as_str())
    }
}

/// Watches one transaction until it is dropped or the transaction has ended.
pub struct Watch {
    id: String,
    app: Caller,
    seen: Arc<Mutex<Vec<Sighting>>>,
    gaps: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// From here on.
    pub fn begin(app: &Caller, id: &str) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gaps = Arc::new(Mutex::new(Vec::new()));
        let tasks = vec![
            tokio::spawn(look(app.clone(), id.to_owned(), Arc::clone(&seen))),
            tokio::spawn(follow(app.clone(), id.to_owned(), Arc::clone(&seen), Arc::clone(&gaps))),
        ];
        Watch { id: id.to_owned(), app: app.clone(), seen, gaps, tasks }
    }

    /// The distinct sightings so far, in the order they were made.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.seen.lock().expect("no watcher panics").clone()
    }

    /// The last answer and all that was shown before; no event was left out or told twice.
    pub async fn end(self) -> Vec<Sighting> {
        let last = self.app.get(&format!("/v1/transactions/{}", self.id)).await.is(200);
        note(&self.seen, Sighting::of(&last.body, "answer"));
        // The whole story again from its beginning: what was missed by looking must not differ from what was told.
        let mut last = None;
        for (seq, event) in events(&self.app, &self.id, None, Duration::from_secs(5)).await {
            note_gap(&self.gaps, &self.id, last, seq);
            last = Some(seq);
            note(&self.seen, Sighting::of(&event, "story"));
        }
        // Whoever follows does so in a task of its own, where an assertion would fail nothing.
        let gaps = self.gaps.lock().expect("no watcher panics").clone();
        assert_eq!(gaps, Vec::<String>::new());
        self.sightings()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What was shown, held against what happened. `may_queue`: nothing had reached the bank when it was queued.
pub fn judge(shown: &[Sighting], truth: &Truth, may_queue: bool) {
    let said = |status: &str| shown.iter().any(|sighting| sighting.status == status);
    let tale = || format!("\nshown: {shown:#?}\ntruth: {truth:#?}");
    assert!(truth.executed <= 1, "money moved {} times{}", truth.executed, tale());
    assert!(truth.live() <= 1, "more than one live payment{}", tale());
    match truth.executed {
        0 => assert!(!said("completed"), "shown as completed, but no money moved{}", tale()),
        _ => assert!(!said("failed") && !said("cancelled"), "shown as failed, but money moved{}", tale()),
    }
    let last = shown.iter().find(|sighting| sighting.is_final());
    let last = last.unwrap_or_else(|| panic!("no end{}", tale()));
    assert_eq!(last.status == "completed", truth.executed == 1, "the end is not the truth{}", tale());
    assert!(truth.executed == 1 || truth.live() == 0, "ended with a live payment at the bank{}", tale());
    let ends: Vec<_> =
        shown.iter().filter(|one| one.is_final()).map(|one| (&one.status, &one.phase)).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "an end changed{}", tale());
    // Each witness told its own story in order.
    for by in ["answer", "stream", "story"] {
        let mut sent = false;
        for one in shown.iter().filter(|one| one.by == by) {
            let queued = one.status == "queued";
            assert!(!queued || (may_queue && !sent), "queued although it was sent{}", tale());
            sent |= ["awaiting_sca", "in_doubt", "confirming"].contains(&one.phase.as_str());
        }
    }
}

/// The events of a transaction after `last`, at most for `limit`: number and body. Ends early when the stream does.
pub async fn events(app: &Caller, id: &str, last: Option<i64>, limit: Duration) -> Vec<(i64, Value)> {
    let mut told = Vec::new();
    let read = read_events(app, id, last, |seq, body| {
        told.push((seq, body));
        true
    });
    // What was read until then counts, whether the stream ended or our patience did.
    let _ = tokio::time::timeout(limit, read).await;
    told
}

/// Reads events until the stream ends or `take` has had enough.
pub async fn read_events(
    app: &Caller,
    id: &str,
    last: Option<i64>,
    mut take: impl FnMut(i64, Value) -> bool,
) {
    let mut request = app.request(Method::GET, &format!("/v1/transactions/{id}/events"));
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last.to_string());
    }
    let Ok(answer) = request.send().await else { return };
    if !answer.status().is_success() {
        return;
    }
    let mut stream = answer.bytes_stream();
    let mut text = String::new();
    while let Some(Ok(chunk)) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some(end) = text.find("\n\n") {
            let block: String = text.drain(..end + 2).collect();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let (Some(id), Some(data)) = (field("id:"), field("data:")) else { continue };
            let body = serde_json::from_str(data).expect("an event holds JSON");
            if !take(id.parse().expect("an event's id is a number"), body) {
                return;
            }
        }
    }
}

async fn look(app: Caller, id: String, seen: Arc<Mutex<Vec<Sighting>>>) {
    loop {
        // A service that is down shows nothing.
        if let Ok(answer) = try_answer(app.request(Method::GET, &format!("/v1/transactions/{id}"))).await
            && answer.status == 200
        {
            note(&seen, Sighting::of(&answer.body, "answer"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn follow(app: Caller, id: String, seen: Arc<Mutex<Vec<Sighting>>>, gaps: Arc<Mutex<Vec<String>>>) {
    let mut last = None;
    loop {
        let mut ended = false;
        read_events(&app, &id, last, |seq, body| {
            note_gap(&gaps, &id, last, seq);
            last = Some(seq);
            let sighting = Sighting::of(&body, "stream");
            ended = sighting.is_final();
            note(&seen, sighting);
            true
        })
        .await;
        if ended {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An event that does not follow the one before.
fn note_gap(gaps: &Mutex<Vec<String>>, id: &str, last: Option<i64>, seq: i64) {
    if last.is_some_and(|last| seq != last + 1) {
        gaps.lock().expect("no watcher panics").push(format!("{id}: event {seq} after {last:?}"));
    }
}

fn note(seen: &Mutex<Vec<Sighting>>, sighting: Sighting) {
    let mut seen = seen.lock().expect("no watcher panics");
    if seen.iter().rfind(|one| one.by == sighting.by) != Some(&sighting) {
        seen.push(sighting);
    }
}
