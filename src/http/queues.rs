//! Parked payments, and how they are let through when their bank is back.

use std::time::Duration;

use ::workflows::engine::Lane;
use ::workflows::time::At;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::controls::ramp::{Queue, Stages};
use workers::controls::{Cause, Drain, Gate, held_aside};
use workers::store::Backlog;

use super::App;
use super::auth::{Onlooker, Operator};
use super::body::Json;
use super::control::{cause, is_bank, record};
use super::error::{Code, Problem};
use super::paging::Page;
use super::request::Known;
use super::validation::{Faults, Given, sure};
use crate::provider::NAME;

/// The last part of a queue's lane.
const QUEUE: &str = "queue";
/// Stands for every queue.
const EVERY: &str = "all";
/// More than any bank takes.
const MOST_PER_MINUTE: u32 = 100_000;

/// How a queue is to be let through.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainRequest {
    /// Payments a minute; 0 lets none through; by the usual stages where absent.
    #[serde(default)]
    #[schema(value_type = Option<u32>, example = 25)]
    per_minute: Given<u32>,
    /// Why.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Neonomics is back, first payments went through")]
    reason: Given<String>,
    /// When the wish ends by itself (RFC 3339).
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<String>,
}

/// Payments that wait at a bank.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueResource {
    #[serde(skip)]
    lane: Lane,
    /// Its name in addresses.
    #[schema(example = "neonomics:dnb")]
    name: String,
    /// The provider.
    provider: String,
    /// The bank.
    bank: String,
    /// How many wait; exact.
    waiting: u64,
    /// Since when the oldest of them waits.
    #[schema(required)]
    oldest_at: Option<String>,
    /// `open`, `ramping`, `paused` or `shut`.
    state: &'static str,
    /// Why nothing is let through, such as `breaker_open`, `held`, `queueing` or `disabled`.
    #[schema(required)]
    why: Option<String>,
    /// Which stage of the ramp it is in, from 1; one more than the last = the provider's rate.
    #[schema(required)]
    stage: Option<usize>,
    /// Payments a minute, where an operator or the stage says so.
    #[schema(required)]
    per_minute: Option<u32>,
    /// When the last of them has been let through, at the present pace; `null` while nothing is.
    #[schema(required)]
    estimated_empty_at: Option<String>,
}

/// List the queues that hold payments, or that somebody has a wish for.
#[utoipa::path(get, path = "/v1/queues", tag = "Operators", operation_id = "listQueues",
    responses((status = 200, body = Page<QueueResource>)))]
pub async fn list(State(app): State<App>, _: Onlooker) -> Result<axum::Json<Page<QueueResource>>, Problem> {
    Ok(axum::Json(Page::whole(all(&app).await?)))
}

/// Let a queue through at so many payments a minute, pause it, or leave it to its stages again. `all` means every queue
/// that holds payments.
#[utoipa::path(post, path = "/v1/queues/{name}/drain", tag = "Operators", operation_id = "drainQueue",
    params(("name" = String, Path, description = "A queue's name, or `all`")), request_body = DrainRequest,
    responses((status = 200, description = "The queues as they are now", body = Page<QueueResource>), (status = 404, description = "`not_found`")))]
pub async fn drain(
    State(app): State<App>,
    operator: Operator,
    Known(name): Known<String>,
    Json(request): Json<DrainRequest>,
) -> Result<axum::Json<Page<QueueResource>>, Problem> {
    let mut faults = Faults::default();
    let per_minute = faults.optional("perMinute", request.per_minute);
    let how = faults.read("perMinute", per_minute, |each| match each {
        0 => Ok(Drain::Paused),
        1..=MOST_PER_MINUTE => Ok(Drain::PerMinute(each)),
        _ => Err(format!("must be a whole number from 0 to {MOST_PER_MINUTE}")),
    });
    let cause = cause(&mut faults, &operator, (request.reason, request.expires_at), app.engine.now());
    faults.finish()?;
    let (how, cause): (Drain, Cause) = (how.unwrap_or(Drain::Ramp), sure(cause)?);
    // What is stored is meant as it is stored: no odd name keeps the others from being drained.
    let meant: Vec<(String, Lane)> = if name == EVERY {
        all(&app).await?.into_iter().map(|queue| (queue.name, queue.lane)).collect()
    } else {
        let lane = lane(&name).ok_or(Code::NotFound)?;
        vec![(name, lane)]
    };
    for (name, lane) in &meant {
        record(&app, &operator, "drain", name, &cause).await?;
        app.controls.drain(lane, how, cause.clone()).await?;
    }
    let mut now = all(&app).await?;
    now.retain(|queue| meant.iter().any(|(_, lane)| *lane == queue.lane));
    Ok(axum::Json(Page::whole(now)))
}

/// Every queue that holds payments or has something to say.
async fn all(app: &App) -> Result<Vec<QueueResource>, Problem> {
    let known = app.controls.snapshot();
    let mut backlog = whole(app.engine.backlog().await?);
    for (lane, _) in known.queues() {
        if !backlog.iter().any(|waiting| waiting.lane == *lane) {
            backlog.push(Backlog { lane: lane.clone(), waiting: 0, oldest_at: None });
        }
    }
    backlog.sort_by(|one, other| one.lane.as_str().cmp(other.lane.as_str()));
    let queues = known.queues();
    let stored: std::collections::BTreeMap<&str, &Queue> =
        queues.map(|(lane, queue)| (lane.as_str(), queue)).collect();
    let nothing = Queue::default();
    let of = |waiting: &Backlog| {
        let queue = stored.get(waiting.lane.as_str()).copied().unwrap_or(&nothing);
        QueueResource::of(app, waiting, queue)
    };
    Ok(backlog.iter().filter_map(of).collect())
}

/// Queues with what was put aside of them while it is held.
fn whole(lanes: Vec<Backlog>) -> Vec<Backlog> {
    let mut queues: Vec<Backlog> = vec![];
    for waiting in lanes {
        let lane = held_aside(&waiting.lane).map_or_else(|| waiting.lane.clone(), |(queue, _)| queue);
        match queues.iter_mut().find(|queue| queue.lane == lane) {
            Some(queue) => {
                queue.waiting += waiting.waiting;
                queue.oldest_at = [queue.oldest_at, waiting.oldest_at].into_iter().flatten().min();
            }
            None => queues.push(Backlog { lane, ..waiting }),
        }
    }
    queues
}

impl QueueResource {
    /// A queue as it is now; `None` when the lane is none.
    fn of(app: &App, backlog: &Backlog, queue: &Queue) -> Option<Self> {
        let (provider, bank, operation) = backlog.lane.parts()?;
        if operation != QUEUE {
            return None;
        }
        let now = app.engine.now();
        let settings = app.controls.settings();
        let why = match app.controls.gate(&backlog.lane) {
            Gate::Shut(reason) => Some(reason.as_str().to_owned()),
            Gate::Until(_) => Some("too_many_calls".to_owned()),
            Gate::Probed => Some("breaker_open".to_owned()),
            Gate::Open | Gate::OneAtATime => None,
        };
        let wish = queue.wish_at(now);
        let climbed = queue.stage(&settings.ramp, now);
        let state = match (&why, wish, climbed) {
            (Some(_), ..) => "shut",
            (None, Some(Drain::Paused), _) => "paused",
            (None, _, Some(_)) if backlog.waiting > 0 => "ramping",
            (None, ..) => "open",
        };
        let per_minute = match wish {
            Some(Drain::PerMinute(each)) => Some(each),
            Some(Drain::Paused) => Some(0),
            Some(Drain::Ramp) | None => climbed.and_then(|stage| settings.ramp.each.get(stage).copied()),
        };
        let rate = app.controls.rate(provider);
        let lasts = match (state, wish) {
            ("shut" | "paused", _) => None,
            (_, Some(Drain::PerMinute(each))) => Some(paced(backlog.waiting, each)),
            (..) => Some(ramped(backlog.waiting, climbed, &settings.ramp, rate)),
        };
        Some(QueueResource {
            lane: backlog.lane.clone(),
            name: format!("{provider}:{bank}"),
            provider: provider.to_owned(),
            bank: bank.to_owned(),
            waiting: backlog.waiting,
            oldest_at: backlog.oldest_at.map(At::to_rfc3339_millis),
            state,
            why,
            stage: climbed.map(|stage| stage + 1),
            per_minute,
            estimated_empty_at: lasts.map(|lasts| now.plus(lasts).to_rfc3339_millis()),
        })
    }
}

/// How long so many take at so many a minute.
fn paced(waiting: u64, per_minute: u32) -> Duration {
    let minutes = waiting.div_ceil(u64::from(per_minute.max(1)));
    Duration::from_mins(1).saturating_mul(u32::try_from(minutes).unwrap_or(u32::MAX))
}

/// How long so many take by the stages from here on, and then at so many a second.
fn ramped(waiting: u64, stage: Option<usize>, stages: &Stages, rate: u32) -> Duration {
    let (mut left, mut lasts) = (waiting, Duration::ZERO);
    for each in stages.each.iter().skip(stage.unwrap_or(usize::MAX)) {
        if left == 0 {
            return lasts;
        }
        left = left.saturating_sub(u64::from(*each));
        lasts += stages.long;
    }
    lasts + Duration::from_secs(left.div_ceil(u64::from(rate.max(1))))
}

/// The lane of a queue's name.
fn lane(name: &str) -> Option<Lane> {
    let (provider, bank) = name.split_once(':')?;
    (provider == NAME && is_bank(bank)).then(|| Lane::of(provider, bank, QUEUE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_while_it_is_held_waits_in_its_queue_all_the_same() {
        let lane = |operation| Lane::of("neonomics", "dnb", operation);
        let waiting = |operation, waiting, oldest| Backlog {
            lane: lane(operation),
            waiting,
            oldest_at: Some(At::from_millis(oldest)),
        };
        let lanes =
            vec![waiting("held.kind.remittance", 300, 1), waiting("initiate", 1, 9), waiting("queue", 2, 5)];
        assert_eq!(whole(lanes), [waiting("queue", 302, 1), waiting("initiate", 1, 9)]);
    }

    #[test]
    fn the_end_of_a_queue_is_estimated_by_its_pace() {
        let stages = Stages { each: vec![1, 5, 25], long: Duration::from_mins(1) };
        for (waiting, stage, expected) in [
            (0, Some(0), 0),
            (1, Some(0), 60),
            (6, Some(0), 120),
            (7, Some(0), 180),
            (131, Some(0), 190),
            (26, Some(2), 61),
            (100, None, 10),
        ] {
            assert_eq!(ramped(waiting, stage, &stages, 10).as_secs(), expected, "{waiting} from {stage:?}");
        }
        for (waiting, per_minute, expected) in [(0, 25, 0), (25, 25, 60), (26, 25, 120)] {
            assert_eq!(paced(waiting, per_minute).as_secs(), expected);
        }
    }

    #[test]
    fn a_queue_is_named_by_provider_and_bank() {
        assert_eq!(lane("neonomics:dnb"), Some(Lane::of("neonomics", "dnb", "queue")));
        assert_eq!(lane("neonomics:d/b="), Some(Lane::of("neonomics", "d/b=", "queue")));
        for name in ["dnb", "other:dnb", "neonomics:", "neonomics:d b", "neonomics:a:b", ""] {
            assert_eq!(lane(name), None, "{name}");
        }
    }
}
