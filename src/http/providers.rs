//! Providers and their banks: whether payments are made and balances read, how fast, and their breakers (X-20, X-25 to
//! A change is in force everywhere within a second or two.

mod overriding;

use std::collections::BTreeSet;

use ::workflows::time::At;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::controls::breaker::{Breaker, Opened, Stance, Stand};
use workers::controls::{
    Action, AispMode, BreakerId, Cause, Operation, PispMode, Scope, Snapshot, Switch, SwitchName,
};

use self::overriding::OverrideResource;
use super::App;
use super::auth::{Onlooker, Operator};
use super::body::Json;
use super::control::{bank, cause, provider, record};
use super::error::{Code, Problem};
use super::paging::Page;
use super::request::Known;
use super::validation::{Faults, Given, sure};
use crate::provider::NAME;

/// More calls a second than any provider takes.
pub const MOST_PER_SECOND: u32 = 10_000;

/// How a provider or bank is to be used.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModeRequest {
    /// `queue` or `disabled` stop new payments, `cached` or `hidden` stop reading balances, `live` is for both at once.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "queue")]
    mode: Given<String>,
    /// Payments alone: `live`, `queue` or `disabled`. Instead of `mode`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "live")]
    payments_mode: Given<String>,
    /// Balances alone: `live`, `cached` or `hidden`. Instead of `mode`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "live")]
    balance_mode: Given<String>,
    /// Calls a second. For a whole provider only: what one bank gets of that is not limited.
    #[serde(default)]
    #[schema(value_type = Option<u32>, example = 50)]
    rate_per_second: Given<u32>,
    /// Why.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Neonomics answers 503 since 02:58")]
    reason: Given<String>,
    /// When it ends by itself (RFC 3339), and what was said before holds again; when somebody changes it where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<String>,
}

/// What to do with a breaker.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakerRequest {
    /// `open`, `close` or `probe`.
    #[serde(default)]
    #[schema(value_type = String, required, example = "probe")]
    action: Given<String>,
    /// `aisp`, `initiate`, `status` or `cancel`, for a bank only. Where absent, `open` means new payments and reads of
    /// accounts: where payments stand is asked, and they are taken back, all the same. `close` and `probe` mean every
    /// operation, and for a provider those of its banks too.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "initiate")]
    operation: Given<String>,
    /// Why.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Their status page says it is over")]
    reason: Given<String>,
    /// When a breaker that is opened is probed (RFC 3339); when somebody says so where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<String>,
}

/// A provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderResource {
    /// Its name.
    #[schema(example = "neonomics")]
    name: String,
    /// Whether payments are made: `live`, `queue` or `disabled`.
    mode: &'static str,
    /// Whether balances are read: `live`, `cached` or `hidden`.
    balance_mode: &'static str,
    /// Calls a second.
    rate_per_second: u32,
    /// Who says how payments are made, and why; `null` where the start value holds.
    #[schema(required)]
    payments_override: Option<OverrideResource>,
    /// Who says how balances are read, and why.
    #[schema(required)]
    balance_override: Option<OverrideResource>,
    /// Who says how fast, and why.
    #[schema(required)]
    rate_override: Option<OverrideResource>,
    /// Its own breaker, which closes every bank; opened by an operator, for new payments and reads of accounts.
    breaker: BreakerResource,
    /// The banks that somebody or something has said anything about, or at which payments wait.
    banks: Vec<BankResource>,
}

/// A bank behind a provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BankResource {
    /// Its name.
    #[schema(example = "dnb")]
    name: String,
    /// Whether payments are made: the strictest of what is said for all and for the bank.
    mode: &'static str,
    /// Whether balances are read.
    balance_mode: &'static str,
    /// Who says how payments are made here, and why: for the bank, or for all; `null` where the start value holds.
    #[schema(required)]
    payments_override: Option<OverrideResource>,
    /// Who says how balances are read here, and why.
    #[schema(required)]
    balance_override: Option<OverrideResource>,
    /// One for each operation.
    breakers: Vec<BreakerResource>,
}

/// A breaker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerResource {
    /// `all` for the provider's own.
    #[schema(example = "initiate")]
    operation: &'static str,
    /// `closed`, `open`, `due` (about to be probed) or `half_open`.
    state: &'static str,
    /// Since when it is not closed.
    #[schema(required)]
    since: Option<String>,
    /// When it is probed; `null` when somebody has to say so.
    #[schema(required)]
    until: Option<String>,
    /// `failures`, `credentials` (refused ones), or the operator who opened it.
    #[schema(required)]
    opened_by: Option<String>,
    /// Why an operator opened it.
    #[schema(required)]
    reason: Option<String>,
    /// Until when its calls rest because the bank wants fewer.
    #[schema(required)]
    resting_until: Option<String>,
}

/// List providers with what is said about them and their banks.
#[utoipa::path(get, path = "/v1/providers", tag = "Operators", operation_id = "listProviders",
    responses((status = 200, body = Page<ProviderResource>)))]
pub async fn list(
    State(app): State<App>,
    _: Onlooker,
) -> Result<axum::Json<Page<ProviderResource>>, Problem> {
    Ok(axum::Json(Page::whole(vec![ProviderResource::of(&app).await?])))
}

/// Say whether payments are made and balances read behind a provider, and how fast.
#[utoipa::path(patch, path = "/v1/providers/{name}", tag = "Operators", operation_id = "changeProvider",
    params(("name" = String, Path, description = "A provider's name")), request_body = ModeRequest,
    responses((status = 200, body = ProviderResource), (status = 404, description = "`not_found`")))]
pub async fn change(
    State(app): State<App>,
    operator: Operator,
    Known(name): Known<String>,
    Json(request): Json<ModeRequest>,
) -> Result<axum::Json<ProviderResource>, Problem> {
    let of = provider(&name)?;
    // It is the only provider of payments and balances: what is said of it is said of all, over the start values too.
    turn(&app, &operator, (Scope::All, of.to_owned()), request).await?;
    Ok(axum::Json(ProviderResource::of(&app).await?))
}

/// Say whether payments are made and balances read at a bank.
#[utoipa::path(patch, path = "/v1/providers/{name}/banks/{bank}", tag = "Operators", operation_id = "changeBank",
    params(("name" = String, Path, description = "A provider's name"), ("bank" = String, Path, description = "A bank's name")),
    request_body = ModeRequest,
    responses((status = 200, body = ProviderResource), (status = 404, description = "`not_found`"),
        (status = 422, description = "`rate_of_a_bank`: `ratePerSecond` is for a whole provider; PATCH /v1/providers/{name}")))]
pub async fn change_bank(
    State(app): State<App>,
    operator: Operator,
    Known((name, at)): Known<(String, String)>,
    Json(request): Json<ModeRequest>,
) -> Result<axum::Json<ProviderResource>, Problem> {
    let (of, at) = (provider(&name)?, bank(&at)?);
    turn(&app, &operator, (Scope::bank(of, at), format!("{of}/{at}")), request).await?;
    Ok(axum::Json(ProviderResource::of(&app).await?))
}

/// Open, close or probe a provider's own breaker; closing and probing reach those of its banks too.
#[utoipa::path(post, path = "/v1/providers/{name}/breaker", tag = "Operators", operation_id = "setProviderBreaker",
    params(("name" = String, Path, description = "A provider's name")), request_body = BreakerRequest,
    responses((status = 200, body = ProviderResource), (status = 404, description = "`not_found`")))]
pub async fn breaker(
    State(app): State<App>,
    operator: Operator,
    Known(name): Known<String>,
    Json(request): Json<BreakerRequest>,
) -> Result<axum::Json<ProviderResource>, Problem> {
    let of = provider(&name)?;
    set_breaker(&app, &operator, (of, None), request).await?;
    Ok(axum::Json(ProviderResource::of(&app).await?))
}

/// Open, close or probe the breakers of a bank.
#[utoipa::path(post, path = "/v1/providers/{name}/banks/{bank}/breaker", tag = "Operators", operation_id = "setBankBreaker",
    params(("name" = String, Path, description = "A provider's name"), ("bank" = String, Path, description = "A bank's name")),
    request_body = BreakerRequest,
    responses((status = 200, body = ProviderResource), (status = 404, description = "`not_found`")))]
pub async fn bank_breaker(
    State(app): State<App>,
    operator: Operator,
    Known((name, at)): Known<(String, String)>,
    Json(request): Json<BreakerRequest>,
) -> Result<axum::Json<ProviderResource>, Problem> {
    let (of, at) = (provider(&name)?, bank(&at)?);
    set_breaker(&app, &operator, (of, Some(at)), request).await?;
    Ok(axum::Json(ProviderResource::of(&app).await?))
}

async fn turn(
    app: &App,
    operator: &Operator,
    (scope, subject): (Scope, String),
    request: ModeRequest,
) -> Result<(), Problem> {
    let mut faults = Faults::default();
    let mode = faults.optional("mode", request.mode);
    let payments = faults.optional("paymentsMode", request.payments_mode);
    let balances = faults.optional("balanceMode", request.balance_mode);
    let rate = faults.optional("ratePerSecond", request.rate_per_second);
    match (&mode, &payments, &balances, rate) {
        (None, None, None, None) => {
            faults.add("mode", "is required, unless paymentsMode, balanceMode or ratePerSecond is given");
        }
        (Some(_), Some(_), _, _) | (Some(_), _, Some(_), _) => {
            faults.add("mode", "says both; give it, or paymentsMode and balanceMode");
        }
        _ => {}
    }
    let mut switches = faults.read("mode", mode, |word| modes(&scope, &word)).unwrap_or_default();
    switches.extend(faults.read("paymentsMode", payments, |word| {
        let mode = PispMode::parse(&word).ok_or("must be live, queue or disabled")?;
        Ok::<_, &str>(Switch::Pisp(scope.clone(), mode))
    }));
    switches.extend(faults.read("balanceMode", balances, |word| {
        let mode = AispMode::parse(&word).ok_or("must be live, cached or hidden")?;
        Ok::<_, &str>(Switch::Aisp(scope.clone(), mode))
    }));
    switches.extend(match (rate, &scope) {
        (None, _) => None,
        (Some(_), Scope::Bank(..)) => {
            faults.push(Code::RateOfABank, "ratePerSecond", "is set for the whole provider only");
            None
        }
        (rate @ Some(_), Scope::All | Scope::Provider(_)) => {
            faults.read("ratePerSecond", rate, |rate| match rate {
                1..=MOST_PER_SECOND => Ok(Switch::Rate(NAME.to_owned(), rate)),
                _ => Err(format!("must be a whole number from 1 to {MOST_PER_SECOND}")),
            })
        }
    });
    let cause = cause(&mut faults, operator, (request.reason, request.expires_at), app.engine.now());
    faults.finish()?;
    let cause: Cause = sure(cause)?;
    for switch in &switches {
        let verb = format!("{}={}", switch.name().subject(), switch.word());
        record(app, operator, &verb, &subject, &cause).await?;
        app.controls.set(switch, cause.clone()).await?;
    }
    Ok(())
}

/// The switches that a mode's word turns (rest-api §6). `live` alone is for both.
fn modes(scope: &Scope, word: &str) -> Result<Vec<Switch>, &'static str> {
    let pisp = |mode| Switch::Pisp(scope.clone(), mode);
    let aisp = |mode| Switch::Aisp(scope.clone(), mode);
    match word {
        "live" => Ok(vec![pisp(PispMode::Live), aisp(AispMode::Live)]),
        "queue" => Ok(vec![pisp(PispMode::Queue)]),
        "disabled" => Ok(vec![pisp(PispMode::Disabled)]),
        "cached" => Ok(vec![aisp(AispMode::Cached)]),
        "hidden" => Ok(vec![aisp(AispMode::Hidden)]),
        _ => Err("must be live, cached, hidden, disabled or queue"),
    }
}

async fn set_breaker(
    app: &App,
    operator: &Operator,
    (of, at): (&str, Option<&str>),
    request: BreakerRequest,
) -> Result<(), Problem> {
    let mut faults = Faults::default();
    let action = faults.required("action", request.action);
    let action = faults.read("action", action, |word| match word.as_str() {
        "open" => Ok((Action::Open, "open breaker")),
        "close" => Ok((Action::Close, "close breaker")),
        "probe" => Ok((Action::Probe, "probe breaker")),
        _ => Err("must be open, close or probe"),
    });
    let operation = faults.optional("operation", request.operation);
    let operation = faults.read("operation", operation, |word| match (Operation::parse(&word), at) {
        (Some(operation), Some(_)) => Ok(operation),
        (None, Some(_)) => Err("must be aisp, initiate, status or cancel"),
        (_, None) => Err("belongs to a bank: POST /v1/providers/{name}/banks/{bank}/breaker"),
    });
    let cause = cause(&mut faults, operator, (request.reason, request.expires_at), app.engine.now());
    faults.finish()?;
    let ((action, verb), cause) = (sure(action)?, sure(cause)?);
    let ids: Vec<BreakerId> = match (at, operation) {
        (None, _) => app.controls.reached(&Scope::Provider(of.to_owned()), action),
        (Some(at), Some(operation)) => vec![BreakerId::Bank(of.to_owned(), at.to_owned(), operation)],
        (Some(at), None) => app.controls.reached(&Scope::bank(of, at), action),
    };
    for id in ids {
        record(app, operator, verb, &id.to_string(), &cause).await?;
        app.controls.breaker_of(&id, action, &cause).await?;
    }
    Ok(())
}

impl ProviderResource {
    async fn of(app: &App) -> Result<Self, Problem> {
        let (known, now) = (app.controls.snapshot(), app.engine.now());
        let mut banks: BTreeSet<String> = named(&known, now);
        for waiting in app.engine.backlog().await? {
            if let Some((NAME, bank, _)) = waiting.lane.parts() {
                banks.insert(bank.to_owned());
            }
        }
        Ok(ProviderResource {
            name: NAME.to_owned(),
            // No bank is called so: what is said for all, and nothing that is said for one.
            mode: app.controls.pisp(NAME, "").as_str(),
            balance_mode: app.controls.aisp(NAME, "").as_str(),
            rate_per_second: app.controls.rate(NAME),
            payments_override: OverrideResource::of_payments(app, &known, None, now),
            balance_override: OverrideResource::of_balances(app, &known, None, now),
            rate_override: OverrideResource::of(&known, &SwitchName::Rate(NAME.to_owned()), now),
            breaker: BreakerResource::of(&known, &BreakerId::Provider(NAME.to_owned()), now),
            banks: banks.into_iter().map(|bank| BankResource::of(app, &known, bank, now)).collect(),
        })
    }
}

/// The banks that something is said about.
fn named(known: &Snapshot, now: At) -> BTreeSet<String> {
    use workers::controls::HoldOn;
    let breakers = known.breakers().filter_map(|(id, ..)| id.bank().map(str::to_owned));
    let switches = known.switches(now).filter_map(|(turn, _)| match &turn.switch {
        Switch::Pisp(Scope::Bank(_, bank), _) | Switch::Aisp(Scope::Bank(_, bank), _) => Some(bank.clone()),
        Switch::Pisp(..)
        | Switch::Aisp(..)
        | Switch::CacheTtl(..)
        | Switch::Swan(_)
        | Switch::Feature(..)
        | Switch::Rate(..) => None,
    });
    let holds = known.holds(now).filter_map(|(hold, _)| match hold {
        HoldOn::Bank(_, bank) => Some(bank.clone()),
        HoldOn::Instance(_) | HoldOn::Kind(_) | HoldOn::Provider(_) => None,
    });
    breakers.chain(switches).chain(holds).collect()
}

impl BankResource {
    fn of(app: &App, known: &Snapshot, name: String, now: At) -> Self {
        let breaker = |operation| BreakerId::Bank(NAME.to_owned(), name.clone(), operation);
        BankResource {
            mode: app.controls.pisp(NAME, &name).as_str(),
            balance_mode: app.controls.aisp(NAME, &name).as_str(),
            payments_override: OverrideResource::of_payments(app, known, Some(&name), now),
            balance_override: OverrideResource::of_balances(app, known, Some(&name), now),
            breakers: Operation::ALL
                .map(|operation| BreakerResource::of(known, &breaker(operation), now))
                .into(),
            name,
        }
    }
}

impl BreakerResource {
    fn of(known: &Snapshot, id: &BreakerId, now: At) -> Self {
        let closed = Breaker::default();
        let breaker = known.breaker(id).unwrap_or(&closed);
        let (since, until, by) = match &breaker.stand {
            Stand::Closed { .. } => (None, None, None),
            Stand::Open { since, until, by, .. } => (Some(*since), *until, Some(by)),
            Stand::HalfOpen { since, .. } => (Some(*since), None, None),
        };
        let (opened_by, reason) = match by {
            None => (None, None),
            Some(Opened::Failures) => (Some("failures".to_owned()), None),
            Some(Opened::Credentials) => (Some("credentials".to_owned()), None),
            Some(Opened::Operator(cause)) => (Some(cause.actor.clone()), Some(cause.reason.clone())),
        };
        BreakerResource {
            operation: id.operation(),
            state: match breaker.stance(now) {
                Stance::Closed => "closed",
                Stance::HalfOpen => "half_open",
                Stance::Due => "due",
                Stance::Open => "open",
            },
            since: since.map(At::to_rfc3339_millis),
            until: until.map(At::to_rfc3339_millis),
            opened_by,
            reason,
            resting_until: breaker.rests(now).map(At::to_rfc3339_millis),
        }
    }
}
