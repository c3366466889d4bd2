//! Whether the process lives, whether it can work, and what the public may know of that.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::{Code, Problem};

/// A good answer.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: anything else is an error.
    #[schema(example = "ok")]
    status: &'static str,
}

const OK: axum::Json<Health> = axum::Json(Health { status: "ok" });

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", tag = "Health", operation_id = "live", security(()), responses((status = 200, body = Health)))]
pub async fn live() -> axum::Json<Health> {
    OK
}

/// Whether the process can take work: its database answers and it is not shutting down.
#[utoipa::path(get, path = "/readyz", tag = "Health", operation_id = "ready", security(()),
    responses((status = 200, body = Health), (status = 503, description = "`database_unavailable`, `overloaded`")))]
pub async fn ready(State(app): State<App>) -> Result<axum::Json<Health>, Problem> {
    if !app.engine.accepting() {
        return Err(Code::Overloaded.into());
    }
    app.engine.ping().await?;
    Ok(OK)
}

/// Whether the service is available to the public.
#[utoipa::path(get, path = "/v1/health", tag = "Health", operation_id = "health", security(()),
    responses((status = 200, body = Health), (status = 503, description = "`database_unavailable`")))]
pub async fn public(State(app): State<App>) -> Result<axum::Json<Health>, Problem> {
    app.engine.ping().await?;
    Ok(OK)
}
