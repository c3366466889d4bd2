//! Requests that a second person decides (rest-api §6, reliability §4 "four eyes").

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workers::approvals::{Approval, Standing, Verdict, Which};
use workflows::ids::{ApprovalId, WorkflowId};
use workflows::payment::{Event, Truth};
use workflows::time::At;

use super::App;
use super::auth::{Approver, Onlooker};
use super::body::Json;
use super::error::{Code, Problem};
use super::paging::{self, Page};
use super::request::{Known, Parameters};
use super::validation::{Faults, Given, sure};
use crate::desk::proposed;

/// Which requests to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `pending`, `expired`, `approved`, `applied`, `rejected` or `void`.
    state: Option<String>,
    /// About this workflow only.
    workflow_id: Option<String>,
    /// From 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Why somebody does something.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReasonRequest {
    /// Why; required.
    #[serde(default)]
    #[schema(value_type = String, required, example = "The bank confirmed it by phone, ticket 4711")]
    reason: Given<String>,
}

impl ReasonRequest {
    /// The reason.
    ///
    /// # Errors
    /// `reason_required`, or `validation_failed` when it is too long.
    pub fn read(self) -> Result<String, Problem> {
        let mut faults = Faults::default();
        let reason = faults.reason(self.reason);
        faults.finish()?;
        sure(reason)
    }
}

/// A request that a second person decides.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalResource {
    /// Its id; also the reference in the payment's evidence.
    #[schema(example = "apr_0192f0c1a2b37c4d8e5f60718293a4b5")]
    id: String,
    /// `pending`, `expired`, `approved` (and about to be applied), `applied`, `rejected`, or `void` when what it was
    /// about changed.
    #[schema(example = "pending")]
    state: &'static str,
    /// What is asked for: `resolve`.
    #[schema(example = "resolve")]
    action: String,
    /// What the evidence shows: `executed` or `not_executed`.
    #[schema(required, example = "executed")]
    outcome: Option<&'static str>,
    /// The workflow that it is about.
    #[schema(example = "wf_0192f0c1a2b37c4d8e5f60718293a4b5")]
    workflow_id: String,
    /// The revision that the requester saw.
    revision: i64,
    /// Who asks. Cannot approve it.
    requested_by: String,
    /// Why.
    reason: String,
    /// What proves it; `null` for a `viewer`, who reads without personal data.
    #[schema(required)]
    evidence: Option<String>,
    /// SHA-256 of all that is asked.
    payload_hash: String,
    /// When it was asked for.
    created_at: String,
    /// Until when it can be decided.
    expires_at: String,
    /// Who decided.
    #[schema(required)]
    decided_by: Option<String>,
    /// Why.
    #[schema(required)]
    decision_reason: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<String>,
    /// When the workflow was told.
    #[schema(required)]
    applied_at: Option<String>,
}

/// List requests, newest first.
#[utoipa::path(get, path = "/v1/approvals", tag = "Operators", operation_id = "listApprovals", params(ListQuery),
    responses((status = 200, body = Page<ApprovalResource>)))]
pub async fn list(
    State(app): State<App>,
    onlooker: Onlooker,
    Parameters(query): Parameters<ListQuery>,
) -> Result<axum::Json<Page<ApprovalResource>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let mut faults = Faults::default();
    let standing = faults.read("state", query.state.as_deref(), |word| {
        Standing::parse(word).ok_or("must be pending, expired, approved, applied, rejected or void")
    });
    let instance: Option<WorkflowId> = faults.read("workflowId", query.workflow_id.as_deref(), str::parse);
    faults.finish()?;
    let before: Option<ApprovalId> = paging::after(query.cursor.as_deref())?;
    let now = app.engine.now();
    let which = Which { standing, instance, before, now, limit: limit + 1 };
    let found = app.desk.approvals(&which).await?;
    let items = found.iter().map(|approval| ApprovalResource::for_eyes(approval, now, &onlooker)).collect();
    Ok(axum::Json(Page::of(items, limit, |item: &ApprovalResource| &item.id)))
}

/// Read a request.
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "Operators", operation_id = "readApproval",
    params(("id" = String, Path, description = "A request's id")),
    responses((status = 200, body = ApprovalResource), (status = 404, description = "`not_found`")))]
pub async fn read(
    State(app): State<App>,
    onlooker: Onlooker,
    Known(id): Known<ApprovalId>,
) -> Result<axum::Json<ApprovalResource>, Problem> {
    let approval = app.desk.approval(id).await?.ok_or(Code::NotFound)?;
    Ok(axum::Json(ApprovalResource::for_eyes(&approval, app.engine.now(), &onlooker)))
}

/// Approve a request of somebody else's, and have it carried out.
#[utoipa::path(post, path = "/v1/approvals/{id}/approve", tag = "Operators", operation_id = "approve",
    params(("id" = String, Path, description = "A request's id")), request_body = ReasonRequest,
    responses(
        (status = 200, description = "Approved; `applied` as soon as the workflow was told", body = ApprovalResource),
        (status = 403, description = "`own_request`"),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`already_decided`, `approval_expired`, or `action_not_allowed` when what it was about has changed"),
    ))]
pub async fn approve(
    State(app): State<App>,
    approver: Approver,
    Known(id): Known<ApprovalId>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<ApprovalResource>, Problem> {
    decide(&app, &approver, id, Verdict::Approved, request).await
}

/// Reject a request.
#[utoipa::path(post, path = "/v1/approvals/{id}/reject", tag = "Operators", operation_id = "reject",
    params(("id" = String, Path, description = "A request's id")), request_body = ReasonRequest,
    responses(
        (status = 200, description = "Rejected", body = ApprovalResource),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`already_decided`, `approval_expired`"),
    ))]
pub async fn reject(
    State(app): State<App>,
    approver: Approver,
    Known(id): Known<ApprovalId>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<ApprovalResource>, Problem> {
    decide(&app, &approver, id, Verdict::Rejected, request).await
}

async fn decide(
    app: &App,
    approver: &Approver,
    id: ApprovalId,
    verdict: Verdict,
    request: ReasonRequest,
) -> Result<axum::Json<ApprovalResource>, Problem> {
    let reason = request.read()?;
    let decided = app.desk.decide(approver.person(), id, verdict, &reason).await?;
    Ok(axum::Json(ApprovalResource::of(&decided, app.engine.now())))
}

impl ApprovalResource {
    /// As somebody who reads may see it: what people wrote as proof names accounts and people.
    fn for_eyes(approval: &Approval, now: At, onlooker: &Onlooker) -> Self {
        let whole = ApprovalResource::of(approval, now);
        if onlooker.reads_private() { whole } else { ApprovalResource { evidence: None, ..whole } }
    }

    fn of(approval: &Approval, now: At) -> Self {
        let Approval { request, digest, decision, result } = approval;
        let outcome = match proposed(approval) {
            Some(Event::Resolved { outcome: Truth::Executed, .. }) => Some("executed"),
            Some(Event::Resolved { outcome: Truth::NotExecuted, .. }) => Some("not_executed"),
            Some(_) | None => None,
        };
        ApprovalResource {
            id: request.id.to_string(),
            state: approval.standing(now).word(),
            action: request.action.clone(),
            outcome,
            workflow_id: request.instance.to_string(),
            revision: request.revision,
            requested_by: request.requested_by.clone(),
            reason: request.reason.clone(),
            evidence: Some(request.evidence.clone()),
            payload_hash: digest.clone(),
            created_at: request.created_at.to_rfc3339_millis(),
            expires_at: request.expires_at.to_rfc3339_millis(),
            decided_by: decision.as_ref().map(|decision| decision.by.clone()),
            decision_reason: decision.as_ref().map(|decision| decision.reason.clone()),
            decided_at: decision.as_ref().map(|decision| decision.at.to_rfc3339_millis()),
            applied_at: result.map(|(_, at)| at.to_rfc3339_millis()),
        }
    }
}

#[cfg(test)]
mod tests;
