//! Switches: modes, features, the age of balances and rates, turned while everything runs. The environment
//! says where they start; what is said here is kept, audited, and in force everywhere within a second or two.

use std::collections::BTreeMap;
use std::time::Duration;

use ::workflows::time::At;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::controls::{Cause, Scope, Start, Switch, SwitchName};

use super::App;
use super::approvals::ReasonRequest;
use super::auth::{Caller, Operator, Role};
use super::body::Json;
use super::control::{cause, is_bank, record};
use super::error::{Code, Problem};
use super::paging::Page;
use super::providers::MOST_PER_SECOND;
use super::request::Known;
use super::validation::{Faults, Given, sure};
use crate::config;
use crate::provider::NAME;

/// The longest name of a feature.
const LONGEST_FEATURE: usize = 64;

/// Where a switch is to stand.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SwitchRequest {
    /// `pisp.mode`: `live`, `queue` or `disabled`; `aisp.mode`: `live`, `cached` or `hidden`; `swan.mode`: `live` or
    /// `degraded`; `feature.…`: `enabled` or `disabled`; `aisp.cache_ttl`: a duration such as `90s` or `1h`; `rate:…`:
    /// calls a second.
    #[serde(default)]
    #[schema(value_type = String, required, example = "disabled")]
    value: Given<String>,
    /// Why.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Card issuing is down at Swan")]
    reason: Given<String>,
    /// When it ends by itself (RFC 3339), and what was said before holds again; when somebody turns it where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Given<String>,
}

/// A switch.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchResource {
    /// Its name: `pisp.mode`, `aisp.mode`, `aisp.cache_ttl`, each also for one bank (`pisp.mode:neonomics:dnb`);
    /// `swan.mode`, `feature.cards`, `rate:neonomics`.
    #[schema(example = "feature.cards")]
    name: String,
    /// Where it stands; `null` where nothing is said, so that the switch for all decides, or the mode.
    #[schema(required, example = "disabled")]
    value: Option<String>,
    /// Where it started; `null` where nothing was said.
    #[schema(required, example = "enabled")]
    start_value: Option<String>,
    /// `start`, or `override` when somebody turned it.
    #[schema(example = "override")]
    source: &'static str,
    /// Who turned it. Not for backends.
    #[schema(required)]
    actor: Option<String>,
    /// Why. Not for backends.
    #[schema(required)]
    reason: Option<String>,
    /// Since when.
    #[schema(required)]
    since: Option<String>,
    /// When it ends by itself; `null` when somebody has to turn it.
    #[schema(required)]
    expires_at: Option<String>,
    /// What somebody said before, which holds again then; `null` = the start value.
    #[schema(required)]
    then: Option<String>,
}

/// List switches. The app's backend (`service`) sees the features: one that is not among them is enabled.
#[utoipa::path(get, path = "/v1/switches", tag = "Operators", operation_id = "listSwitches",
    responses((status = 200, body = Page<SwitchResource>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
) -> Result<axum::Json<Page<SwitchResource>>, Problem> {
    let mut items = all(&app);
    match caller.role {
        Role::Viewer | Role::Operator | Role::Approver | Role::Admin => {}
        Role::Service => {
            items.retain(|(name, _)| matches!(name, SwitchName::Feature(_)));
            for (_, item) in &mut items {
                (item.actor, item.reason) = (None, None);
            }
        }
        Role::User | Role::Merchant => return Err(Code::Forbidden.into()),
    }
    Ok(axum::Json(Page::whole(items.into_iter().map(|(_, item)| item).collect())))
}

/// Turn a switch.
#[utoipa::path(put, path = "/v1/switches/{name}", tag = "Operators", operation_id = "turnSwitch",
    params(("name" = String, Path, description = "A switch's name")), request_body = SwitchRequest,
    responses((status = 200, description = "Turned", body = SwitchResource), (status = 404, description = "`not_found`: there is no such switch")))]
pub async fn turn(
    State(app): State<App>,
    operator: Operator,
    Known(name): Known<String>,
    Json(request): Json<SwitchRequest>,
) -> Result<axum::Json<SwitchResource>, Problem> {
    let name = read(&name).ok_or(Code::NotFound)?;
    let mut faults = Faults::default();
    let value = faults.required("value", request.value);
    let switch = faults.read("value", value, |word| position(&name, &word));
    let cause = cause(&mut faults, &operator, (request.reason, request.expires_at), app.engine.now());
    faults.finish()?;
    let (switch, cause) = (sure(switch)?, sure(cause)?);
    record(&app, &operator, &format!("set {}", shown(&switch)), &name_of(&name), &cause).await?;
    app.controls.set(&switch, cause).await?;
    Ok(axum::Json(one(&app, &name)))
}

/// Take back everything that was said about a switch: its start value holds again.
#[utoipa::path(delete, path = "/v1/switches/{name}", tag = "Operators", operation_id = "releaseSwitch",
    params(("name" = String, Path, description = "A switch's name")), request_body = ReasonRequest,
    responses((status = 200, description = "Where it stands from here on", body = SwitchResource),
        (status = 404, description = "`not_found`: there is no such switch, or nobody turned it")))]
pub async fn release(
    State(app): State<App>,
    operator: Operator,
    Known(name): Known<String>,
    Json(request): Json<ReasonRequest>,
) -> Result<axum::Json<SwitchResource>, Problem> {
    let reason = request.read()?;
    let name = read(&name).ok_or(Code::NotFound)?;
    if app.controls.snapshot().turn(&name, app.engine.now()).is_none() {
        return Err(Code::NotFound.into());
    }
    let cause = Cause { actor: operator.person().name.to_owned(), reason, expires_at: None };
    record(&app, &operator, "unset", &name_of(&name), &cause).await?;
    app.controls.unset(&name, &cause).await?;
    Ok(axum::Json(one(&app, &name)))
}

/// Every switch that has a start value, and every one that somebody turned, by its name.
fn all(app: &App) -> Vec<(SwitchName, SwitchResource)> {
    let (known, now) = (app.controls.snapshot(), app.engine.now());
    let features = app.controls.settings().start.features.keys().cloned().map(SwitchName::Feature);
    let standing = [
        SwitchName::Pisp(Scope::All),
        SwitchName::Aisp(Scope::All),
        SwitchName::CacheTtl(Scope::All),
        SwitchName::Swan,
        SwitchName::Rate(NAME.to_owned()),
    ];
    let turned = known.switches(now).map(|(turn, _)| turn.switch.name());
    let names: BTreeMap<String, SwitchName> =
        standing.into_iter().chain(features).chain(turned).map(|name| (name_of(&name), name)).collect();
    names
        .into_values()
        .map(|name| {
            let resource = one(app, &name);
            (name, resource)
        })
        .collect()
}

fn one(app: &App, name: &SwitchName) -> SwitchResource {
    let settings = app.controls.settings();
    let start_value = started(&settings.start, settings.rate, name);
    let (known, now) = (app.controls.snapshot(), app.engine.now());
    let turned = known.turn(name, now);
    let (turn, next) = (turned.map(|(turn, _)| turn), turned.and_then(|(_, next)| next));
    SwitchResource {
        name: name_of(name),
        value: turn.map(|turn| shown(&turn.switch)).or_else(|| start_value.clone()),
        start_value,
        source: if turn.is_some() { "override" } else { "start" },
        actor: turn.map(|turn| turn.cause.actor.clone()),
        reason: turn.map(|turn| turn.cause.reason.clone()),
        since: turn.map(|turn| turn.since.to_rfc3339_millis()),
        expires_at: turn.and_then(|turn| turn.cause.expires_at).map(At::to_rfc3339_millis),
        then: next.map(|next| shown(&next.switch)),
    }
}

/// Where a switch stands that nobody has turned; nothing where only something wider says so.
fn started(start: &Start, rate: u32, name: &SwitchName) -> Option<String> {
    match name {
        SwitchName::Pisp(Scope::All) => Some(start.pisp.as_str().to_owned()),
        SwitchName::Aisp(Scope::All) => Some(start.aisp.as_str().to_owned()),
        SwitchName::CacheTtl(Scope::All) => start.cache_ttl.map(lasting),
        SwitchName::Pisp(_) | SwitchName::Aisp(_) | SwitchName::CacheTtl(_) => None,
        SwitchName::Swan => Some(start.swan.as_str().to_owned()),
        SwitchName::Feature(feature) => {
            let on = start.features.get(feature).copied().unwrap_or(true);
            Some(Switch::Feature(feature.clone(), on).word())
        }
        SwitchName::Rate(_) => Some(rate.to_string()),
    }
}

/// Where it stands, as people write it.
fn shown(switch: &Switch) -> String {
    match switch {
        Switch::CacheTtl(_, ttl) => lasting(*ttl),
        Switch::Pisp(..) | Switch::Aisp(..) | Switch::Swan(_) | Switch::Feature(..) | Switch::Rate(..) => {
            switch.word()
        }
    }
}

fn lasting(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

/// The position that a word means.
fn position(name: &SwitchName, word: &str) -> Result<Switch, String> {
    match name {
        SwitchName::CacheTtl(scope) => Ok(Switch::CacheTtl(scope.clone(), config::some_duration(word)?)),
        SwitchName::Rate(provider) => match word.parse() {
            Ok(rate @ 1..=MOST_PER_SECOND) => Ok(Switch::Rate(provider.clone(), rate)),
            Ok(_) | Err(_) => Err(format!("must be a whole number from 1 to {MOST_PER_SECOND}")),
        },
        SwitchName::Pisp(_) => known(name, word, "must be live, queue or disabled"),
        SwitchName::Aisp(_) => known(name, word, "must be live, cached or hidden"),
        SwitchName::Swan => known(name, word, "must be live or degraded"),
        SwitchName::Feature(_) => known(name, word, "must be enabled or disabled"),
    }
}

fn known(name: &SwitchName, word: &str, otherwise: &str) -> Result<Switch, String> {
    Switch::stored(&name.subject(), word).ok_or_else(|| otherwise.to_owned())
}

/// A switch's name in addresses: its parts with colons between them. A bank's name may hold slashes of its own.
pub fn name_of(name: &SwitchName) -> String {
    name.subject().replacen('/', ":", 2)
}

/// The switch of a name in addresses, if there is one.
fn read(name: &str) -> Option<SwitchName> {
    let found = SwitchName::stored(&name.replacen(':', "/", 2))?;
    let in_reach = |scope: &Scope| match scope {
        Scope::All => true,
        Scope::Provider(provider) => provider == NAME,
        Scope::Bank(provider, bank) => provider == NAME && is_bank(bank),
    };
    let exists = match &found {
        SwitchName::Pisp(scope) | SwitchName::Aisp(scope) | SwitchName::CacheTtl(scope) => in_reach(scope),
        SwitchName::Swan => true,
        SwitchName::Feature(feature) => is_feature(feature),
        SwitchName::Rate(provider) => provider == NAME,
    };
    (exists && name_of(&found) == name).then_some(found)
}

/// Features are named as their settings are, in lower case.
fn is_feature(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=LONGEST_FEATURE).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests;
