//! Running workflows as operators see and steer them (rest-api §6). Names, accounts and the bank's links stay out of it.

mod doubt;
mod holding;
mod resource;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ::workflows::engine::Status;
use ::workflows::ids::{TransactionId, UserId, WorkflowId};
use ::workflows::payment::Truth;
use ::workflows::time::At;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workers::controls::{Cause, HoldOn};
use workers::store::{Filter, Order};

use self::resource::{Step, Summary, Workflow};
use super::App;
use super::approvals::ReasonRequest;
use super::auth::{Onlooker, Operator};
use super::body::Json;
use super::control;
use super::error::{Code, Problem};
use super::paging;
use super::request::{Known, Parameters};
use super::transaction::KINDS;
use super::validation::{Faults, Given, prose, sure};
use crate::desk::Verb;
use crate::provider::NAME;

/// The longest evidence, in characters.
const LONGEST_EVIDENCE: usize = 4_000;

/// Which workflows to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `remittance` or `qr_payment`.
    kind: Option<String>,
    /// `processing` (or `pending`), `queued`, `completed`, `failed`, `cancelled`.
    status: Option<String>,
    /// The finer word, such as `in_doubt` or `parked`.
    phase: Option<String>,
    /// Behind this provider.
    provider: Option<String>,
    /// At this bank.
    bank: Option<String>,
    /// Whose.
    user_id: Option<String>,
    /// `true`: those that an operator should look at only.
    attention: Option<String>,
    /// An id: of a workflow, a transaction, a user, or the provider's of a payment.
    q: Option<String>,
    /// Created at or after this time (RFC 3339).
    #[param(format = DateTime)]
    from: Option<String>,
    /// Created before this time (RFC 3339).
    #[param(format = DateTime)]
    to: Option<String>,
    /// `-createdAt` (when absent), `createdAt`, `-updatedAt` or `updatedAt`; `-` = the latest first.
    sort: Option<String>,
    /// From 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// One page of workflows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowPage {
    /// The workflows, in the order that was asked for.
    items: Vec<Summary>,
    /// How many there are in all; exact.
    total: u64,
    /// What those of them that have not ended are to move, by currency, in main units; exact.
    #[schema(example = json!({"NOK": "4000.00"}))]
    money_at_risk: BTreeMap<String, String>,
    /// What to send as `cursor` for the next page; `null` on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Which transitions to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Revisions after this one only; 0 when absent.
    #[param(value_type = Option<i64>)]
    after: Option<String>,
    /// From 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Some transitions of a workflow.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryPage {
    /// The transitions, oldest first.
    items: Vec<Step>,
    /// What to send as `after` for the next ones; `null` when there are none.
    #[schema(required)]
    next_after: Option<i64>,
}

/// Why a workflow is held, and until when.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = HoldWorkflowRequest)]
pub struct HoldRequest {
    /// Why.
    #[serde(default)]
    #[schema(value_type = String, required, example = "The customer reports a fraud")]
    reason: Given<String>,
    /// When it ends by itself (RFC 3339); when somebody releases it where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<String>,
}

/// What became of a payment in doubt, with proof.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRequest {
    /// `executed` or `not_executed`.
    #[serde(default)]
    #[schema(value_type = String, required, example = "executed")]
    outcome: Given<String>,
    /// What proves it, such as a line of the account statement; at most 4000 characters.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Statement of 23 February, line 17: 2000.00 NOK to RS35...3456757")]
    evidence: Given<String>,
    /// Why it is resolved by hand.
    #[serde(default)]
    #[schema(value_type = String, required, example = "The bank answers no status query since the outage")]
    reason: Given<String>,
}

/// A second person has to decide.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedForApproval {
    /// The request.
    #[schema(example = "apr_0192f0c1a2b37c4d8e5f60718293a4b5")]
    approval_id: String,
    /// Until when it can be decided.
    #[schema(example = "2026-02-24T08:00:00.000Z")]
    expires_at: String,
}

/// List workflows, newest first unless said otherwise.
#[utoipa::path(get, path = "/v1/workflows", tag = "Operators", operation_id = "listWorkflows", params(ListQuery),
    responses((status = 200, body = WorkflowPage)))]
pub async fn list(
    State(app): State<App>,
    _: Onlooker,
    Parameters(query): Parameters<ListQuery>,
) -> Result<axum::Json<WorkflowPage>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let before: Option<WorkflowId> = paging::after(query.cursor.as_deref())?;
    let Some(filter) = query.filter(&app, limit).await? else {
        let money_at_risk = BTreeMap::new();
        return Ok(axum::Json(WorkflowPage { items: vec![], total: 0, money_at_risk, next_cursor: None }));
    };
    let filter = Filter { before, ..filter };
    let total = app.engine.count(&filter).await?;
    let at_stake = app.engine.at_stake(&filter).await?;
    let found = app.engine.list(&filter).await?;
    let items = found.iter().map(|one| Summary::of(one, app.engine.is_stopped(one))).collect();
    let paging::Page { items, next_cursor } = paging::Page::of(items, limit, Summary::id);
    let money_at_risk =
        at_stake.iter().map(|money| (money.currency.to_string(), money.to_decimal_string())).collect();
    Ok(axum::Json(WorkflowPage { items, total, money_at_risk, next_cursor }))
}

/// Read a workflow: where it stands, what it waits for, and what can be done about it.
#[utoipa::path(get, path = "/v1/workflows/{id}", tag = "Operators", operation_id = "readWorkflow",
    params(("id" = String, Path, description = "A workflow's id")),
    responses((status = 200, body = Workflow), (status = 404, description = "`not_found`")))]
pub async fn read(
    State(app): State<App>,
    _: Onlooker,
    Known(id): Known<WorkflowId>,
) -> Result<axum::Json<Workflow>, Problem> {
    let instance = app.engine.get(id).await?.ok_or(Code::NotFound)?;
    Ok(axum::Json(Workflow::of(&app, &instance).await?))
}

/// Read what happened to a workflow: every transition, with who or what caused it.
#[utoipa::path(get, path = "/v1/workflows/{id}/history", tag = "Operators", operation_id = "readWorkflowHistory",
    params(("id" = String, Path, description = "A workflow's id"), HistoryQuery),
    responses((status = 200, body = HistoryPage), (status = 404, description = "`not_found`")))]
pub async fn history(
    State(app): State<App>,
    _: Onlooker,
    Known(id): Known<WorkflowId>,
    Parameters(query): Parameters<HistoryQuery>,
) -> Result<axum::Json<HistoryPage>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let after: i64 = match query.after.as_deref().map_or(Ok(0), str::parse) {
        Ok(after) if after >= 0 => after,
        Ok(_) | Err(_) => {
            return Err(Problem::field("after", "must be a revision: a whole number, at least 0"));
        }
    };
    app.engine.get(id).await?.ok_or(Code::NotFound)?;
    // The row before the first tells where that one came from, one behind the last whether there are more.
    let rows = app.engine.history(id, (after - 1).max(0), limit + 2).await?;
    let mut items = Step::follow(&rows);
    items.retain(|step| step.revision() > after);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_after = items.last().filter(|_| more).map(Step::revision);
    Ok(axum::Json(HistoryPage { items, next_after }))
}

/// Take a workflow back before the point of no return.
#[utoipa::path(post, path = "/v1/workflows/{id}/cancel", tag = "Operators", operation_id = "cancelWorkflow",
    params(("id" = String, Path, description = "A workflow's id")), request_body = ReasonRequest,
    responses((status = 200, description = "It is, or is being, cancelled", body = Workflow), (status = 404, description = "`not_found`"),
        (status = 409, description = "`action_not_allowed`, with the rule")))]
pub async fn cancel(
    State(app): State<App>,
    operator: Operator,
    Known(id): Known<WorkflowId>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<Workflow>, Problem> {
    act(&app, &operator, id, Verb::Cancel, request).await
}

/// Undo a stuck workflow, as far as the bank confirms that nothing was executed.
#[utoipa::path(post, path = "/v1/workflows/{id}/compensate", tag = "Operators", operation_id = "compensateWorkflow",
    params(("id" = String, Path, description = "A workflow's id")), request_body = ReasonRequest,
    responses((status = 200, description = "It is, or is being, undone", body = Workflow), (status = 404, description = "`not_found`"),
        (status = 409, description = "`action_not_allowed`, with the rule")))]
pub async fn compensate(
    State(app): State<App>,
    operator: Operator,
    Known(id): Known<WorkflowId>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<Workflow>, Problem> {
    act(&app, &operator, id, Verb::Compensate, request).await
}

/// Let a stopped workflow go on.
///
/// What may have been sent is never sent anew: such a payment goes on as one in doubt.
#[utoipa::path(post, path = "/v1/workflows/{id}/resume", tag = "Operators", operation_id = "resumeWorkflow",
    params(("id" = String, Path, description = "A workflow's id")), request_body = ReasonRequest,
    responses((status = 200, description = "It goes on", body = Workflow), (status = 404, description = "`not_found`"),
        (status = 409, description = "`action_not_allowed`, with the rule")))]
pub async fn resume(
    State(app): State<App>,
    operator: Operator,
    Known(id): Known<WorkflowId>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<Workflow>, Problem> {
    act(&app, &operator, id, Verb::Resume, request).await
}

/// Ask to bring a payment in doubt to its end by evidence; a second person decides.
#[utoipa::path(post, path = "/v1/workflows/{id}/resolve", tag = "Operators", operation_id = "resolveWorkflow",
    params(("id" = String, Path, description = "A workflow's id")), request_body = ResolveRequest,
    responses((status = 202, description = "A second person has to decide", body = AskedForApproval), (status = 404, description = "`not_found`"),
        (status = 409, description = "`action_not_allowed`, with the rule")))]
pub async fn resolve(
    State(app): State<App>,
    operator: Operator,
    Known(id): Known<WorkflowId>,
    Json(request): Json<ResolveRequest>,
) -> Result<(StatusCode, axum::Json<AskedForApproval>), Problem> {
    let (outcome, evidence, reason) = request.read()?;
    let approval = app.desk.ask_to_resolve(operator.person(), id, outcome, (evidence, reason)).await?;
    let asked = AskedForApproval {
        approval_id: approval.request.id.to_string(),
        expires_at: approval.request.expires_at.to_rfc3339_millis(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(asked)))
}

/// Hold a workflow: nothing new is sent for it. Questions, deadlines and cancellations go on.
#[utoipa::path(post, path = "/v1/workflows/{id}/hold", tag = "Operators", operation_id = "holdWorkflow",
    params(("id" = String, Path, description = "A workflow's id")), request_body = HoldRequest,
    responses((status = 200, description = "It is held", body = Workflow), (status = 404, description = "`not_found`"),
        (status = 409, description = "`action_not_allowed`, with the rule")))]
pub async fn hold(
    State(app): State<App>,
    operator: Operator,
    Known(id): Known<WorkflowId>,
    Json(request): Json<HoldRequest>,
) -> Result<axum::Json<Workflow>, Problem> {
    let mut faults = Faults::default();
    let cause =
        control::cause(&mut faults, &operator, (request.reason, request.expires_at), app.engine.now());
    faults.finish()?;
    let cause = sure(cause)?;
    let instance = app.engine.get(id).await?.ok_or(Code::NotFound)?;
    holding::hold(&app, &instance)?;
    control::record(&app, &operator, "hold", &id.to_string(), &cause).await?;
    app.controls.hold(&HoldOn::Instance(id), cause).await?;
    Ok(axum::Json(Workflow::of(&app, &instance).await?))
}

/// Let a workflow go on that is held.
#[utoipa::path(post, path = "/v1/workflows/{id}/release", tag = "Operators", operation_id = "releaseWorkflow",
    params(("id" = String, Path, description = "A workflow's id")), request_body = ReasonRequest,
    responses((status = 200, description = "It goes on", body = Workflow), (status = 404, description = "`not_found`"),
        (status = 409, description = "`action_not_allowed`, with the rule")))]
pub async fn release(
    State(app): State<App>,
    operator: Operator,
    Known(id): Known<WorkflowId>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<Workflow>, Problem> {
    let reason = request.read()?;
    let instance = app.engine.get(id).await?.ok_or(Code::NotFound)?;
    holding::release(&app, &instance)?;
    let cause = Cause { actor: operator.person().name.to_owned(), reason, expires_at: None };
    control::record(&app, &operator, "release", &id.to_string(), &cause).await?;
    app.controls.unhold(&HoldOn::Instance(id), &cause).await?;
    Ok(axum::Json(Workflow::of(&app, &instance).await?))
}

async fn act(
    app: &App,
    operator: &Operator,
    id: WorkflowId,
    verb: Verb,
    request: ReasonRequest,
) -> Result<axum::Json<Workflow>, Problem> {
    let reason = request.read()?;
    let instance = app.desk.act(operator.person(), id, verb, &reason).await?;
    Ok(axum::Json(Workflow::of(app, &instance).await?))
}

impl ResolveRequest {
    fn read(self) -> Result<(Truth, String, String), Problem> {
        let mut faults = Faults::default();
        let outcome = faults.required("outcome", self.outcome);
        let outcome = faults.read("outcome", outcome, |word| match word.as_str() {
            "executed" => Ok(Truth::Executed),
            "not_executed" => Ok(Truth::NotExecuted),
            _ => Err("must be executed or not_executed"),
        });
        let evidence = faults.required("evidence", self.evidence);
        let evidence = faults.read("evidence", evidence, prose(LONGEST_EVIDENCE));
        let reason = faults.reason(self.reason);
        faults.finish()?;
        Ok((sure(outcome)?, sure(evidence)?, sure(reason)?))
    }
}

impl ListQuery {
    /// What is asked for; `None` when nothing can have that id.
    async fn filter(&self, app: &App, limit: usize) -> Result<Option<Filter>, Problem> {
        let mut faults = Faults::default();
        let kind = faults.read("kind", self.kind.as_deref(), |word| {
            KINDS.into_iter().find(|kind| *kind == word).ok_or("must be remittance or qr_payment")
        });
        let status = faults.read("status", self.status.as_deref(), |word| {
            Status::parse(word).ok_or("must be processing, pending, queued, completed, failed or cancelled")
        });
        let phase = faults.read("phase", self.phase.as_deref(), |word| {
            let plain =
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if plain { Ok(word) } else { Err("must be a word such as in_doubt") }
        });
        let user: Option<UserId> = faults.read("userId", self.user_id.as_deref(), str::parse);
        let attention: Option<bool> = faults.read("attention", self.attention.as_deref(), |word| {
            word.parse().map_err(|_| "must be true or false")
        });
        if self.bank.as_deref().is_some_and(|bank| !control::is_bank(bank)) {
            faults.add("bank", "must be a bank's name");
        }
        let from = faults.read("from", self.from.as_deref(), At::parse);
        let to = faults.read("to", self.to.as_deref(), At::parse);
        let sort = faults.read("sort", self.sort.as_deref(), |word| match word {
            "-createdAt" => Ok(Order::NewestFirst),
            "createdAt" => Ok(Order::OldestFirst),
            "-updatedAt" => Ok(Order::LatestMovedFirst),
            "updatedAt" => Ok(Order::EarliestMovedFirst),
            _ => Err("must be createdAt, -createdAt, updatedAt or -updatedAt"),
        });
        let sought = faults.read("q", self.q.as_deref(), Sought::read);
        faults.finish()?;
        // There is one provider, and every payment goes through it.
        if self.provider.as_deref().is_some_and(|provider| provider != NAME) {
            return Ok(None);
        }
        let mut filter = Filter {
            bank: self.bank.as_deref().map(Into::into),
            order: sort.unwrap_or_default(),
            owner: user.map(|user| user.as_str().into()),
            kinds: kind.into_iter().map(Into::into).collect(),
            statuses: status.into_iter().collect(),
            phases: phase.into_iter().map(Into::into).collect(),
            attention: attention.unwrap_or(false),
            from,
            to,
            limit: limit + 1,
            ..Filter::default()
        };
        match sought {
            None => {}
            Some(Sought::Workflow(id)) => filter.ids = vec![id],
            Some(Sought::Of(user)) if filter.owner.as_deref().is_none_or(|owner| owner == user.as_str()) => {
                filter.owner = Some(user.as_str().into());
            }
            Some(Sought::Of(_)) => return Ok(None),
            Some(Sought::Outside(name)) => {
                filter.ids = app.engine.by_reference(&name).await?.iter().map(|found| found.id).collect();
                if filter.ids.is_empty() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(filter))
    }
}

/// What `q` names.
enum Sought {
    Workflow(WorkflowId),
    Of(UserId),
    Outside(String),
}

impl Sought {
    fn read(text: &str) -> Result<Self, &'static str> {
        let workflow = text.parse().or_else(|_| text.parse::<TransactionId>().map(WorkflowId::from));
        if let Ok(id) = workflow {
            return Ok(Sought::Workflow(id));
        }
        if let Ok(user) = text.parse() {
            return Ok(Sought::Of(user));
        }
        let printable = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if printable {
            return Ok(Sought::Outside(text.to_owned()));
        }
        Err("must be an id of a workflow, transaction, user or provider payment")
    }
}
