//! A caller's transactions: list, read, wait for, cancel, continue.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use workers::engine::Told;
use workers::store::{Filter, Instance};
use workflows::engine::Status;
use workflows::ids::{TransactionId, UserId, WorkflowId};
use workflows::payment::{By, Event, State as PaymentState, is_cancellation_refused, too_late_to_cancel};
use workflows::ports::payments::BankId;
use workflows::time::At;

use super::App;
use super::auth::{Caller, Reach, Role};
use super::body::OptionalJson;
use super::error::{Code, Problem};
use super::paging::{self, Page};
use super::payments;
use super::prefer::Prefer;
use super::request::{Known, Parameters};
use super::transaction::{KINDS, Payment, Transaction};
use super::validation::{Faults, Given};

/// Which transactions to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `processing` (or `pending`), `queued`, `completed`, `failed`, `cancelled`.
    status: Option<String>,
    /// `remittance` or `qr_payment`.
    r#type: Option<String>,
    /// Created at or after this time (RFC 3339).
    #[param(format = DateTime)]
    from: Option<String>,
    /// Created before this time (RFC 3339).
    #[param(format = DateTime)]
    to: Option<String>,
    /// Whose; for backends and operators, who see everybody's.
    user_id: Option<String>,
    /// From 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Body of an action; may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionRequest {
    /// Whose transaction it is; reserved to the `service` role.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "usr_kari")]
    on_behalf_of: Given<UserId>,
}

/// List transactions, newest first.
#[utoipa::path(get, path = "/v1/transactions", tag = "Payments", operation_id = "listTransactions", params(ListQuery),
    responses((status = 200, body = Page<Transaction>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<axum::Json<Page<Transaction>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let filter = query.filter(&caller.reads()?, limit)?;
    let instances = app.engine.list(&filter).await?;
    let transactions = instances.iter().map(Transaction::of).collect::<Result<_, _>>()?;
    Ok(axum::Json(Page::of(transactions, limit, Transaction::id)))
}

/// Read a transaction.
///
/// With `Prefer: wait=N` the answer comes with the next change, at the latest after N seconds. Send the `ETag` of the
/// state you know as `If-None-Match`, so that a change in between is not missed.
#[utoipa::path(get, path = "/v1/transactions/{id}", tag = "Payments", operation_id = "readTransaction",
    params(
        ("id" = String, Path, description = "A transaction's id"),
        ("Prefer" = Option<String>, Header, description = "wait=N: how many seconds to wait for a change (at most 30)"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the state that is known"),
    ),
    responses(
        (status = 200, body = Transaction),
        (status = 304, description = "Nothing changed since the state named in If-None-Match"),
        (status = 404, description = "`not_found`"),
    ))]
pub async fn read(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<TransactionId>,
    prefer: Prefer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let watch = app.engine.watch(id.into());
    let known = known_revision(&headers);
    let timeout = prefer.for_change();
    let seen = |instance: &Instance| known == Some(instance.seq);
    let found = app.engine.known(id.into(), timeout.unwrap_or_default(), |found| !seen(found)).await?;
    let mut instance = within_reach(&caller, found)?;
    if let Some(timeout) = timeout {
        let seen = known.unwrap_or(instance.seq);
        let moved = |instance: &Instance| instance.seq != seen || instance.status.is_final();
        instance = payments::wait(&app, watch, instance, timeout, moved).await?;
    }
    let mut response = if known == Some(instance.seq) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        axum::Json(Transaction::of(&instance)?).into_response()
    };
    prefer.applied(response.headers_mut());
    let etag = HeaderValue::try_from(format!("\"{}\"", instance.seq))
        .map_err(|error| Problem::internal("write an ETag", error))?;
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

/// Cancel a transaction before the point of no return.
#[utoipa::path(post, path = "/v1/transactions/{id}/cancel", tag = "Payments", operation_id = "cancelTransaction",
    params(
        ("id" = String, Path, description = "A transaction's id"),
        ("Prefer" = Option<String>, Header, description = "wait=N: how many seconds to wait for the end (default 5, at most 30)"),
    ),
    request_body = Option<ActionRequest>,
    responses(
        (status = 200, description = "It is cancelled", body = Transaction),
        (status = 202, description = "It is being cancelled", body = Transaction),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`too_late_to_cancel`"),
    ))]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<TransactionId>,
    prefer: Prefer,
    OptionalJson(request): OptionalJson<ActionRequest>,
) -> Result<Response, Problem> {
    let instance = find_to_act(&app, &caller, id, request.on_behalf_of).await?;
    if instance.status == Status::Cancelled {
        return payments::answer(StatusCode::OK, &instance, prefer);
    }
    if beyond_return(&instance) {
        return Err(Code::TooLateToCancel.into());
    }
    let watch = app.engine.watch(instance.id);
    let told = tell(&app, &caller, instance.id, &Event::CancelAsked { by: By::User }).await?;
    let decided =
        |instance: &Instance| instance.status.is_final() || beyond_return(instance) || is_refused(instance);
    let newest = payments::wait(&app, watch, told, prefer.for_milestone(), decided).await?;
    match newest.status {
        Status::Cancelled => payments::answer(StatusCode::OK, &newest, prefer),
        Status::Completed | Status::Failed => Err(Code::TooLateToCancel.into()),
        Status::Processing | Status::Queued if beyond_return(&newest) || is_refused(&newest) => {
            Err(Code::TooLateToCancel.into())
        }
        Status::Processing | Status::Queued => payments::answer(StatusCode::ACCEPTED, &newest, prefer),
    }
}

/// Go on with a payment that waits for its payer: creates it at the bank and answers with the approval link.
#[utoipa::path(post, path = "/v1/transactions/{id}/continue", tag = "Payments", operation_id = "continueTransaction",
    params(
        ("id" = String, Path, description = "A transaction's id"),
        ("Prefer" = Option<String>, Header, description = "wait=N: how many seconds to wait for the link (default 5, at most 30)"),
    ),
    request_body = Option<ActionRequest>,
    responses(
        (status = 200, description = "The approval link is ready", body = Transaction),
        (status = 202, description = "Still working, or queued again", body = Transaction),
        (status = 404, description = "`not_found`"),
        (status = 409, description = "`not_awaiting_user`"),
        (status = 503, description = "`payments_disabled`"),
    ))]
pub async fn go_on(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<TransactionId>,
    prefer: Prefer,
    OptionalJson(request): OptionalJson<ActionRequest>,
) -> Result<Response, Problem> {
    let instance = find_to_act(&app, &caller, id, request.on_behalf_of).await?;
    let bank = bank_of_waiting(&instance)?.ok_or(Code::NotAwaitingUser)?;
    payments::are_made(&app, &bank.0)?;
    let watch = app.engine.watch(instance.id);
    let told = tell(&app, &caller, instance.id, &Event::Continued).await?;
    let newest = payments::milestone(&app, watch, told, prefer).await?;
    let status = match newest.status {
        Status::Queued => StatusCode::ACCEPTED,
        Status::Processing
            if Payment::of(&newest)?.is_none_or(|payment| payment.facts().sca_redirect.is_none()) =>
        {
            StatusCode::ACCEPTED
        }
        Status::Processing | Status::Completed | Status::Failed | Status::Cancelled => StatusCode::OK,
    };
    payments::answer(status, &newest, prefer)
}

/// A transaction within the caller's reach. What is beyond it does not exist for the caller.
///
/// # Errors
/// `not_found`.
pub async fn find(app: &App, caller: &Caller, id: TransactionId) -> Result<Arc<Instance>, Problem> {
    within_reach(caller, app.engine.get(WorkflowId::from(id)).await?)
}

fn within_reach(caller: &Caller, found: Option<Arc<Instance>>) -> Result<Arc<Instance>, Problem> {
    let reach = caller.reads()?;
    found
        .filter(|found| is_transaction(found) && reach.covers(&found.owner))
        .ok_or_else(|| Code::NotFound.into())
}

/// A transaction that the caller may act on: its payer, or the app's backend for them.
async fn find_to_act(
    app: &App,
    caller: &Caller,
    id: TransactionId,
    on_behalf_of: Given<UserId>,
) -> Result<Arc<Instance>, Problem> {
    let instance = find(app, caller, id).await?;
    let owner = match (caller.role, on_behalf_of) {
        // The transaction itself says on whose behalf the backend acts.
        (Role::Service, Given::Absent | Given::Null) => return Ok(instance),
        (_, on_behalf_of) => caller.acts_for(on_behalf_of)?,
    };
    if Reach::Own(owner).covers(&instance.owner) { Ok(instance) } else { Err(Code::NotFound.into()) }
}

/// What a transaction is after it was told something, whether it cared or not.
async fn tell(app: &App, caller: &Caller, id: WorkflowId, event: &Event) -> Result<Arc<Instance>, Problem> {
    match app.engine.tell(id, event, &caller.subject, None).await? {
        Told::Moved(instance) | Told::Ignored(instance) | Told::Duplicate(instance) => Ok(instance),
        Told::NotFound => Err(Code::NotFound.into()),
    }
}

fn is_transaction(instance: &Instance) -> bool {
    KINDS.contains(&&*instance.kind)
}

/// Whether the bank was asked to take it back and would not.
fn is_refused(instance: &Instance) -> bool {
    let payment = Payment::of(instance).ok().flatten();
    payment.is_some_and(|payment| is_cancellation_refused(&payment.progress.state))
}

/// Documents that cannot be read are past nothing; whoever answers with them reports it.
fn beyond_return(instance: &Instance) -> bool {
    let payment = Payment::of(instance).ok().flatten();
    payment.is_some_and(|payment| too_late_to_cancel(&payment.progress.state))
}

/// The bank of a payment that waits for its payer; nothing when it does not wait.
fn bank_of_waiting(instance: &Instance) -> Result<Option<BankId>, Problem> {
    let waiting = Payment::of(instance)?
        .filter(|payment| matches!(payment.progress.state, PaymentState::AwaitingUser { .. }));
    Ok(waiting.map(|payment| payment.instruction().initiation.bank.clone()))
}

/// The revision in `If-None-Match`, when it is one of ours.
fn known_revision(headers: &HeaderMap) -> Option<i64> {
    let etag = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?.trim();
    etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').parse().ok()
}

impl ListQuery {
    fn filter(&self, reach: &Reach, limit: usize) -> Result<Filter, Problem> {
        let mut faults = Faults::default();
        let status = faults.read("status", self.status.as_deref(), |word| {
            Status::parse(word).ok_or("must be processing, pending, queued, completed, failed or cancelled")
        });
        let kind = faults.read("type", self.r#type.as_deref(), |word| {
            KINDS.into_iter().find(|kind| *kind == word).ok_or("must be remittance or qr_payment")
        });
        let from = faults.read("from", self.from.as_deref(), At::parse);
        let to = faults.read("to", self.to.as_deref(), At::parse);
        let user: Option<UserId> = faults.read("userId", self.user_id.as_deref(), str::parse);
        faults.finish()?;
        let before: Option<TransactionId> = paging::after(self.cursor.as_deref())?;
        let owner = match (reach, user) {
            (Reach::Own(own), None) => Some(own.clone()),
            (Reach::Own(own), Some(user)) if *own == user => Some(user),
            (Reach::Own(_), Some(_)) => return Err(Code::Forbidden.into()),
            (Reach::All, user) => user,
        };
        Ok(Filter {
            owner: owner.map(|user| user.as_str().into()),
            kinds: kind.map_or_else(|| KINDS.map(Into::into).into(), |kind| vec![kind.into()]),
            statuses: status.into_iter().collect(),
            from,
            to,
            before: before.map(WorkflowId::from),
            limit: limit + 1,
            ..Filter::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(status: Option<&str>, kind: Option<&str>, user: Option<&str>) -> ListQuery {
        let text = |value: Option<&str>| value.map(str::to_owned);
        ListQuery {
            status: text(status),
            r#type: text(kind),
            from: None,
            to: None,
            user_id: text(user),
            limit: None,
            cursor: None,
        }
    }

    #[test]
    fn a_user_lists_their_own_and_operators_anybodys() {
        let own = Reach::Own("usr_a".parse().unwrap());
        for (reach, user, expected) in [
            (&own, None, Ok(Some("usr_a"))),
            (&own, Some("usr_a"), Ok(Some("usr_a"))),
            (&own, Some("usr_b"), Err(Code::Forbidden)),
            (&Reach::All, None, Ok(None)),
            (&Reach::All, Some("usr_b"), Ok(Some("usr_b"))),
            (&Reach::All, Some("b"), Err(Code::ValidationFailed)),
        ] {
            let filter = query(None, None, user).filter(reach, 50).map_err(|problem| problem.code());
            let owner = filter.map(|filter| filter.owner.map(|owner| owner.to_string()));
            assert_eq!(owner, expected.map(|owner| owner.map(str::to_owned)), "{user:?}");
        }
    }

    #[test]
    fn pending_is_another_word_for_processing_and_one_more_item_is_asked_for() {
        let filter = query(Some("pending"), Some("remittance"), None).filter(&Reach::All, 50).unwrap();
        assert_eq!((filter.statuses, filter.limit), (vec![Status::Processing], 51));
        assert_eq!(query(None, None, None).filter(&Reach::All, 50).unwrap().kinds.len(), 2);
        assert!(query(Some("done"), Some("loan"), None).filter(&Reach::All, 50).is_err());
    }

    #[tokio::test]
    async fn a_payment_does_not_go_on_at_a_bank_that_takes_none() {
        use axum::http::Method;
        use serde_json::json;

        let front = super::super::testing::Front::open().await;
        let transaction = front.start_remittance().await;
        let until = front.app.engine.now().plus(std::time::Duration::from_hours(1));
        let waiting = PaymentState::AwaitingUser { until, parked: 1, coming: false };
        front.put(WorkflowId::from(transaction), waiting).await;
        let (bank, path) =
            ("/v1/providers/neonomics/banks/dnb", format!("/v1/transactions/{transaction}/continue"));
        let operator = front.staff("olga", "operator");
        let mode = json!({"paymentsMode": "disabled", "reason": "r"}).to_string();
        front.ask(Method::PATCH, bank, Some(&operator), &mode).await;
        let (status, answer) = front.ask(Method::POST, &path, Some(&front.kari()), "").await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("payments_disabled"))
        );
        let mode = json!({"paymentsMode": "live", "reason": "r"}).to_string();
        front.ask(Method::PATCH, bank, Some(&operator), &mode).await;
        let (status, answer) = front.ask(Method::POST, &path, Some(&front.kari()), "").await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_ne!(answer["phase"], json!("awaiting_user"), "it went on: {answer}");
    }

    #[test]
    fn an_etag_is_the_revision() {
        for (text, expected) in
            [("\"7\"", Some(7)), ("W/\"7\"", Some(7)), ("7", Some(7)), ("*", None), ("\"x\"", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(text));
            assert_eq!(known_revision(&headers), expected, "{text}");
        }
    }
}
