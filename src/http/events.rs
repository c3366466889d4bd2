//! A transaction's transitions as Server-Sent Events: first those that the caller missed, then each as it happens.
//!
//! The rows are the truth; a wake-up only says when to read them again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Deserialize;
use utoipa::IntoParams;
use workers::Watch;
use workflows::ids::{TransactionId, WorkflowId};

use super::App;
use super::auth::Caller;
use super::error::{Code, Problem};
use super::request::{Known, Parameters};
use super::transaction::TransactionEvent;
use super::transactions::find;

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a transition by another process is seen. This process' own wake the stream at once, so what this buys with
/// many open streams is little and what it costs is one question of each.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where to resume.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// As the header `Last-Event-ID`, for clients that cannot set it.
    last_event_id: Option<String>,
}

/// Follow a transaction: one event `transaction` for each committed transition, until its end.
///
/// The id of an event is the number of its transition; a client that lost the connection sends the last one it saw as
/// `Last-Event-ID` and misses nothing.
#[utoipa::path(get, path = "/v1/transactions/{id}/events", tag = "Payments", operation_id = "followTransaction",
    params(
        ("id" = String, Path, description = "A transaction's id"),
        EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Number of the last transition that was seen"),
    ),
    responses(
        (status = 200, description = "A stream of events", body = TransactionEvent, content_type = "text/event-stream"),
        (status = 204, description = "The transaction is at its end and all of it was seen"),
        (status = 404, description = "`not_found`"),
    ))]
pub async fn follow(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<TransactionId>,
    Parameters(query): Parameters<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_seen(&headers, query.last_event_id.as_deref())?;
    let instance = find(&app, &caller, id).await?;
    if instance.status.is_final() && instance.seq <= after {
        // Everything was seen: this answer, and no other, keeps a browser from connecting again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("");
    let mut response = Sse::new(transitions(app, instance.id, after)).keep_alive(keep_alive).into_response();
    // Proxies that collect an answer before they pass it on would hold the events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Where a stream stands.
struct Position {
    app: App,
    id: WorkflowId,
    after: i64,
    ready: VecDeque<TransactionEvent>,
    watch: Watch,
    ended: bool,
}

fn transitions(app: App, id: WorkflowId, after: i64) -> impl Stream<Item = Result<Event, Infallible>> {
    // Subscribed before the first reading: a transition in between wakes the next wait.
    let watch = app.engine.watch(id);
    let begin = Position { app, id, after, ready: VecDeque::new(), watch, ended: false };
    stream::unfold(begin, |mut position| async move {
        let event = position.next().await?;
        Some((Ok(event), position))
    })
}

impl Position {
    /// The next event; `None` at the end of the transaction, when the service stops, and when the rows cannot be
    /// read: the client comes back and resumes.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return sse(&event);
            }
            if self.ended || !self.read().await.ok()? {
                return None;
            }
            if self.ready.is_empty() {
                self.watch.changed(LOOK_AGAIN).await;
            }
        }
    }

    /// Reads what is new; `false` when nothing more will be.
    async fn read(&mut self) -> Result<bool, Problem> {
        let instance = self.app.engine.get(self.id).await?.ok_or(Code::NotFound)?;
        if instance.seq <= self.after {
            return Ok(self.app.engine.accepting() && !instance.status.is_final());
        }
        for revision in self.app.engine.revisions(&instance).await? {
            if revision.seq > self.after {
                self.after = revision.seq;
                self.ended |= revision.status.is_final();
                self.ready.push_back(TransactionEvent::of(&revision)?);
            }
        }
        Ok(true)
    }
}

fn sse(event: &TransactionEvent) -> Option<Event> {
    match Event::default().id(event.seq().to_string()).event("transaction").json_data(event) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::error!(%error, "an event cannot be written");
            None
        }
    }
}

fn last_seen(headers: &HeaderMap, query: Option<&str>) -> Result<i64, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let Some(text) = header.or(query).filter(|text| !text.is_empty()) else { return Ok(0) };
    match text.parse() {
        Ok(seq @ 0..) => Ok(seq),
        Ok(_) | Err(_) => Err(Problem::field("Last-Event-ID", "must be the id of an event of this stream")),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use futures::StreamExt;
    use tokio::time::Instant;
    use workflows::payment::{By, Event as Said};

    use super::super::testing::Front;
    use super::*;

    #[tokio::test]
    async fn a_transition_is_told_at_once_and_another_process_own_at_the_next_look() {
        let front = Front::open().await;
        let id = WorkflowId::from(front.payment_awaiting_approval().await);
        let mut stream = pin!(transitions(Arc::clone(&front.app), id, 2));
        let elsewhere = front.another_process();
        let seconds = |from, to| Duration::from_secs(from)..Duration::from_secs(to);
        for (engine, told) in [(&front.app.engine, seconds(0, 2)), (&elsewhere, seconds(2, 4))] {
            let begun = Instant::now();
            let (event, moved) = tokio::join!(stream.next(), engine.tell(id, &Said::Hinted, "bank", None));
            assert!(event.is_some() && moved.is_ok());
            assert!(told.contains(&begun.elapsed()), "{:?} is not in {told:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_transaction_wherever_it_resumes() {
        let front = Front::open().await;
        let id = WorkflowId::from(front.payment_awaiting_approval().await);
        for event in [Said::CancelAsked { by: By::User }, Said::CancellationConfirmed] {
            front.app.engine.tell(id, &event, "usr_kari", None).await.unwrap();
        }
        for (after, left) in [(0, 4), (3, 1), (4, 0), (9, 0)] {
            let events = transitions(Arc::clone(&front.app), id, after).count();
            let events = tokio::time::timeout(LOOK_AGAIN, events).await;
            assert_eq!(events, Ok(left), "resumed after {after}");
        }
    }

    #[test]
    fn the_header_says_where_to_resume_then_the_query_then_the_beginning() {
        let table: [(Option<&'static str>, Option<&str>, Option<i64>); 7] = [
            (Some("7"), None, Some(7)),
            (Some("7"), Some("3"), Some(7)),
            (None, Some("3"), Some(3)),
            (None, None, Some(0)),
            (Some(""), None, Some(0)),
            (Some("x"), None, None),
            (None, Some("-1"), None),
        ];
        for (header, query, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(text) = header {
                headers.insert("last-event-id", HeaderValue::from_static(text));
            }
            assert_eq!(last_seen(&headers, query).ok(), expected, "{header:?} {query:?}");
        }
    }
}
