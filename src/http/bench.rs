//! The bench workflow over HTTP, where `BENCH_WORKFLOW` says so: what `ops/bench` measures. Not part of the described
//! interface, and never served in live mode.
//!
//! Each route does what the one of a payment does: the same credentials, the same start once for each key, the same wait
//! for a milestone, and a signal that is heard once by the inbox.

use std::time::Duration;

use ::workflows::bench::{Bench, Event, Order};
use ::workflows::ids::WorkflowId;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use workers::engine::{Started, Told};
use workers::store::{InboxKey, Instance};

use super::App;
use super::auth::{Caller, Role};
use super::body::OptionalJson;
use super::error::{Code, Problem};
use super::idempotency::IdempotencyKey;
use super::payments::wait;
use super::prefer::Prefer;
use super::request::Known;
use super::validation::{Faults, Given};

/// How long the signal is waited for when nobody says.
const PATIENCE: u32 = 300;
/// The longest that a step may take, in milliseconds: less than an attempt at one.
const LONGEST_WORK: u32 = 4_000;

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/bench", post(start))
        .route("/v1/bench/{id}", get(read))
        .route("/v1/bench/{id}/signal", post(signal))
}

/// A workflow to be started.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartRequest {
    /// Seconds until it gives the signal up; 300 when absent.
    #[serde(default)]
    patience: Given<u32>,
    /// Milliseconds that each step takes; 0 when absent.
    #[serde(default)]
    work_ms: Given<u32>,
}

/// Where a workflow stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    id: String,
    status: &'static str,
    phase: String,
}

async fn start(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    prefer: Prefer,
    OptionalJson(request): OptionalJson<StartRequest>,
) -> Result<Response, Problem> {
    is_backend(&caller)?;
    let mut faults = Faults::default();
    let patience = faults.optional("patience", request.patience).unwrap_or(PATIENCE);
    let work_ms = faults.optional("workMs", request.work_ms).unwrap_or_default();
    if work_ms > LONGEST_WORK {
        faults.add("workMs", "must be at most 4000");
    }
    faults.finish()?;
    let key = key.start_key(&caller, "bench", &(patience, work_ms))?;
    let body_hash = key.body_hash.clone();
    let id = WorkflowId::new(app.engine.ids().ordered());
    let watch = app.engine.watch(id);
    let started = if app.engine.accepting() {
        let work = Duration::from_millis(work_ms.into());
        let order = Order { patience: Duration::from_secs(patience.into()), work };
        app.engine.start::<Bench>(id, &caller.subject, key, &caller.subject, order).await?
    } else {
        let earlier = app.engine.started(&key.scope, &key.key).await?;
        Started::Existing(earlier.ok_or(Code::Overloaded)?)
    };
    match started {
        Started::New(instance) => {
            let instance = wait(&app, watch, instance, prefer.for_milestone(), is_milestone).await?;
            Ok(answer(StatusCode::ACCEPTED, &instance))
        }
        Started::Existing(instance) if *instance.start.body_hash != *body_hash => {
            Err(Code::IdempotencyKeyReused.into())
        }
        Started::Existing(instance) => reached(&app, instance.id, prefer).await,
    }
}

async fn read(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<WorkflowId>,
    prefer: Prefer,
) -> Result<Response, Problem> {
    is_backend(&caller)?;
    reached(&app, id, prefer).await
}

/// It waits for its signal, or has ended, or the caller's patience has.
async fn reached(app: &App, id: WorkflowId, prefer: Prefer) -> Result<Response, Problem> {
    let watch = app.engine.watch(id);
    let known = app.engine.known(id, prefer.for_milestone(), is_milestone).await?;
    let instance = known.filter(|found| is_bench(found)).ok_or(Code::NotFound)?;
    let instance = wait(app, watch, instance, prefer.for_milestone(), is_milestone).await?;
    Ok(answer(StatusCode::OK, &instance))
}

/// The key names the signal: delivered twice, it is heard once.
async fn signal(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    Known(id): Known<WorkflowId>,
    prefer: Prefer,
) -> Result<Response, Problem> {
    is_backend(&caller)?;
    let key = key.start_key(&caller, "bench/signal", &id)?;
    let heard = InboxKey { source: key.scope, event: key.key };
    let watch = app.engine.watch(id);
    let told = app.engine.tell_while(id, &Event::Signalled, &caller.subject, Some(heard), is_bench).await?;
    let instance = match told {
        Told::Moved(instance) | Told::Ignored(instance) | Told::Duplicate(instance) => instance,
        Told::NotFound => return Err(Code::NotFound.into()),
    };
    if !is_bench(&instance) {
        return Err(Code::NotFound.into());
    }
    let ended = |instance: &Instance| instance.status.is_final();
    let instance = wait(&app, watch, instance, prefer.for_milestone(), ended).await?;
    Ok(answer(StatusCode::OK, &instance))
}

fn is_backend(caller: &Caller) -> Result<(), Problem> {
    if caller.role == Role::Service { Ok(()) } else { Err(Code::Forbidden.into()) }
}

fn is_bench(instance: &Instance) -> bool {
    use ::workflows::engine::Machine;
    *instance.kind == *Bench::KIND
}

/// It waits for its signal, or has ended.
fn is_milestone(instance: &Instance) -> bool {
    instance.status.is_final() || &*instance.phase == "waiting"
}

fn answer(status: StatusCode, instance: &Instance) -> Response {
    let resource = Resource {
        id: instance.id.to_string(),
        status: instance.status.as_str(),
        phase: instance.phase.to_string(),
    };
    (status, axum::Json(resource)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::json;

    use super::super::testing::Front;
    use super::*;

    #[tokio::test]
    async fn it_is_served_where_the_settings_say_so_and_to_backends_only() {
        let start = async |front: &Front, token: String| {
            front.ask(Method::POST, "/v1/bench", Some(&token), "{}").await.0
        };
        let closed = Front::open().await;
        assert_eq!(start(&closed, closed.backend()).await, StatusCode::NOT_FOUND);
        let front = Front::told(&[("BENCH_WORKFLOW", "true")]).await;
        assert_eq!(start(&front, front.kari()).await, StatusCode::FORBIDDEN);
        assert_eq!(start(&front, front.backend()).await, StatusCode::ACCEPTED);
    }

    #[tokio::test]
    async fn a_signal_is_heard_once_and_reaches_no_payment() {
        let front = Front::told(&[("BENCH_WORKFLOW", "true")]).await;
        let backend = front.backend();
        let (_, started) = front.ask(Method::POST, "/v1/bench", Some(&backend), "{}").await;
        let id: WorkflowId = started["id"].as_str().unwrap().parse().unwrap();
        let path = format!("/v1/bench/{id}/signal");
        for _ in 0..2 {
            let (status, told) = front.ask(Method::POST, &path, Some(&backend), "").await;
            assert_eq!((status, &told["phase"]), (StatusCode::OK, &json!("validating")), "{told}");
        }
        let history = front.app.engine.history(id, 0, 100).await.unwrap();
        assert_eq!(history.len(), 2, "the start and one signal");
        let payment = WorkflowId::from(front.start_remittance().await);
        let path = format!("/v1/bench/{payment}/signal");
        assert_eq!(front.ask(Method::POST, &path, Some(&backend), "").await.0, StatusCode::NOT_FOUND);
    }
}
