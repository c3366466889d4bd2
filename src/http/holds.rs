//! Holds: an operator's stop on new payments of a kind, behind a provider or at a bank. One workflow is held under its
//! own address. What was sent goes on.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::controls::{Cause, HoldOn};

use super::App;
use super::approvals::ReasonRequest;
use super::auth::{Onlooker, Operator};
use super::body::Json;
use super::control::{cause, is_bank, record};
use super::error::{Code, Problem};
use super::paging::Page;
use super::request::Known;
use super::transaction::KINDS;
use super::validation::{Faults, Given, sure};
use crate::provider::NAME;
use ::workflows::time::At;

/// What is to be held.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldRequest {
    /// `kind:remittance`, `provider:neonomics` or `bank:neonomics:dnb`.
    #[serde(default)]
    #[schema(value_type = String, required, example = "bank:neonomics:dnb")]
    on: Given<String>,
    /// Why.
    #[serde(default)]
    #[schema(value_type = String, required, example = "DNB reports duplicate bookings, incident 17")]
    reason: Given<String>,
    /// When it ends by itself (RFC 3339); when somebody releases it where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<String>,
}

/// A hold in force.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldResource {
    /// Its id: what is held.
    #[schema(example = "bank:neonomics:dnb")]
    id: String,
    /// Who holds it.
    held_by: String,
    /// Why.
    reason: String,
    /// When it ends by itself.
    #[schema(required)]
    expires_at: Option<String>,
}

/// List the holds in force.
#[utoipa::path(get, path = "/v1/holds", tag = "Operators", operation_id = "listHolds",
    responses((status = 200, body = Page<HoldResource>)))]
pub async fn list(State(app): State<App>, _: Onlooker) -> axum::Json<Page<HoldResource>> {
    let known = app.controls.snapshot();
    let items = known.holds(app.engine.now()).map(|(on, cause)| HoldResource::of(on, cause)).collect();
    axum::Json(Page::whole(items))
}

/// Hold new payments of a kind, behind a provider or at a bank. What was sent goes on.
#[utoipa::path(post, path = "/v1/holds", tag = "Operators", operation_id = "hold", request_body = HoldRequest,
    responses((status = 201, description = "Held; one that was held already carries the new reason", body = HoldResource)))]
pub async fn create(
    State(app): State<App>,
    operator: Operator,
    Json(request): Json<HoldRequest>,
) -> Result<(StatusCode, axum::Json<HoldResource>), Problem> {
    let mut faults = Faults::default();
    let on = faults.required("on", request.on);
    let on = faults.read("on", on, |id| match read(&id) {
        Some(HoldOn::Instance(_)) | None => {
            Err("must be kind:KIND, provider:PROVIDER or bank:PROVIDER:BANK; a workflow is held under its own address")
        }
        Some(on) => Ok(on),
    });
    let cause = cause(&mut faults, &operator, (request.reason, request.expires_at), app.engine.now());
    faults.finish()?;
    let (on, cause) = (sure(on)?, sure(cause)?);
    record(&app, &operator, "hold", &id(&on), &cause).await?;
    app.controls.hold(&on, cause.clone()).await?;
    Ok((StatusCode::CREATED, axum::Json(HoldResource::of(&on, &cause))))
}

/// Release what is held.
#[utoipa::path(delete, path = "/v1/holds/{id}", tag = "Operators", operation_id = "release",
    params(("id" = String, Path, description = "A hold's id")), request_body = ReasonRequest,
    responses((status = 204, description = "Released"), (status = 404, description = "`not_found`: it is not held")))]
pub async fn remove(
    State(app): State<App>,
    operator: Operator,
    Known(text): Known<String>,
    Json(request): Json<ReasonRequest>,
) -> Result<StatusCode, Problem> {
    let reason = request.read()?;
    let on = read(&text).ok_or(Code::NotFound)?;
    if in_force(&app, &on).is_none() {
        return Err(Code::NotFound.into());
    }
    let cause = Cause { actor: operator.person().name.to_owned(), reason, expires_at: None };
    record(&app, &operator, "release", &id(&on), &cause).await?;
    app.controls.unhold(&on, &cause).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who holds something and why, while it is held.
pub fn in_force(app: &App, on: &HoldOn) -> Option<Cause> {
    let known = app.controls.snapshot();
    known.holds(app.engine.now()).find(|(held, _)| *held == on).map(|(_, cause)| cause.clone())
}

impl HoldResource {
    fn of(on: &HoldOn, cause: &Cause) -> Self {
        HoldResource {
            id: id(on),
            held_by: cause.actor.clone(),
            reason: cause.reason.clone(),
            expires_at: cause.expires_at.map(At::to_rfc3339_millis),
        }
    }
}

/// A hold's id in addresses: its parts with colons between them. A bank's name may hold slashes of its own.
pub fn id(on: &HoldOn) -> String {
    match on {
        HoldOn::Instance(id) => format!("instance:{id}"),
        HoldOn::Kind(kind) => format!("kind:{kind}"),
        HoldOn::Provider(provider) => format!("provider:{provider}"),
        HoldOn::Bank(provider, bank) => format!("bank:{provider}:{bank}"),
    }
}

/// What an id names, if anything can be called so.
fn read(id: &str) -> Option<HoldOn> {
    let (what, which) = id.split_once(':')?;
    let on = HoldOn::parse(&format!("{what}/{}", which.replacen(':', "/", 1)))?;
    let known = match &on {
        HoldOn::Instance(_) => true,
        HoldOn::Kind(kind) => KINDS.contains(&kind.as_str()),
        HoldOn::Provider(provider) => provider == NAME,
        HoldOn::Bank(provider, bank) => provider == NAME && is_bank(bank),
    };
    known.then_some(on)
}
