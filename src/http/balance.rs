//! What is on a person's bank account: fresh, or as last known with a word about its age (rest-api §3, FE-24, FE-50).

mod held;

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use workers::balances::{Cause, Presence, Shown, Source, Told};
use workers::registry::BankAccount;
use workflows::ids::{BankAccountId, UserId};
use workflows::money::Money;
use workflows::time::At;

use self::held::held;
use super::App;
use super::auth::Caller;
use super::error::{Code, Problem};
use super::payments::{PsuIp, choose};
use super::request::Parameters;
use super::request_id::X_REQUEST_ID;
use super::validation::Given;

/// Which account's balance.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BalanceQuery {
    /// Which account; the only or primary one when absent.
    #[param(value_type = Option<String>)]
    bank_account_id: Option<BankAccountId>,
    /// Whose account; reserved to the `service` role, which has to say it.
    #[param(value_type = Option<String>)]
    on_behalf_of: Option<UserId>,
}

/// What is on an account. What is not known is `null`, and never 0.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceResource {
    /// In the currency's main unit.
    #[schema(required, value_type = Option<String>, example = "15000.50")]
    balance: Option<Amount>,
    /// In the currency's smallest unit.
    #[schema(required, example = 1_500_050)]
    balance_minor: Option<i64>,
    /// What the account's own payments take that were sent and have not ended, in the currency's main unit. It is not
    /// taken off `balance`, which is the bank's word; the bank may have reserved it already.
    #[schema(required, value_type = Option<String>, example = "2010.00")]
    held: Option<Amount>,
    /// The same in the currency's smallest unit.
    #[schema(required, example = 201_000)]
    held_minor: Option<i64>,
    /// The account's currency.
    #[schema(example = "NOK")]
    currency: String,
    /// When the bank was asked for it.
    #[schema(required, format = DateTime, example = "2026-02-23T08:00:00.000Z")]
    last_updated: Option<String>,
    /// `live` when the bank said it to this very question, else `cached`.
    #[schema(required, example = "live")]
    source: Option<&'static str>,
    /// What people should know about it.
    #[schema(required, example = json!(null))]
    warning: Option<String>,
}

/// An amount as the two addresses write it.
#[derive(Serialize)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Number(Box<RawValue>),
}

/// Read the balance of a bank account.
///
/// A balance that is too old is asked for at the bank. When the bank gives none within a few seconds, the last known one
/// is shown with a `warning`, unless it is older than a day. A call of the person's own device is their own request to
/// the bank; calls on their behalf are limited to four in 24 hours (RTS (EU) 2018/389 Art. 36(5)(b)).
#[utoipa::path(get, path = "/v1/accounts/balance", tag = "Accounts", operation_id = "readBalance", params(BalanceQuery),
    responses((status = 200, body = BalanceResource),
        (status = 403, description = "`consent_expired`, with what was last known beside the error"),
        (status = 404, description = "`not_found`: no such account")))]
pub async fn read(
    State(app): State<App>,
    caller: Caller,
    ip: PsuIp,
    headers: HeaderMap,
    Parameters(query): Parameters<BalanceQuery>,
) -> Result<axum::Json<BalanceResource>, Problem> {
    answer(&app, &caller, ip, &headers, query, &CANONICAL).await
}

/// The same at the runbooks' address, where the amount is a number and an expired consent is a 401.
pub async fn read_alias(
    State(app): State<App>,
    caller: Caller,
    ip: PsuIp,
    headers: HeaderMap,
    Parameters(query): Parameters<BalanceQuery>,
) -> Result<axum::Json<BalanceResource>, Problem> {
    answer(&app, &caller, ip, &headers, query, &ALIAS).await
}

/// What the two addresses do differently.
struct Manner {
    amount: fn(String) -> Result<Amount, Problem>,
    consent_expired: Code,
}

const CANONICAL: Manner =
    Manner { amount: |decimal| Ok(Amount::Text(decimal)), consent_expired: Code::ReadingConsentExpired };

const ALIAS: Manner = Manner {
    amount: |decimal| {
        let number = RawValue::from_string(decimal);
        number.map(Amount::Number).map_err(|error| Problem::internal("write an amount as a number", error))
    },
    consent_expired: Code::AliasConsentExpired,
};

async fn answer(
    app: &App,
    caller: &Caller,
    ip: PsuIp,
    headers: &HeaderMap,
    query: BalanceQuery,
    manner: &Manner,
) -> Result<axum::Json<BalanceResource>, Problem> {
    let user = caller.acts_for(query.on_behalf_of.map_or(Given::Absent, Given::Value))?;
    let accounts = app.registry.bank_accounts(&user).await?;
    let account = choose(accounts, query.bank_account_id.as_ref())
        .ok_or_else(|| Problem::new(Code::NotFound, "There is no such bank account."))?;
    let presence = ip.of(caller).map_or(Presence::Nobody, Presence::Customer);
    // Before the bank is asked: what ends meanwhile is rather counted twice than not at all.
    let held = held(app, &account).await?;
    match app.balances.of(&account, presence, cause(headers)).await? {
        Told::Balance(shown) => Ok(axum::Json(BalanceResource::of(&shown, held, &account, manner)?)),
        Told::ConsentExpired(shown) => Err(Problem::new(manner.consent_expired, renew(&account))
            .beside(&BalanceResource::of(&shown, held, &account, manner)?)),
    }
}

impl BalanceResource {
    fn of(
        shown: &Shown,
        held: Option<Money>,
        account: &BankAccount,
        manner: &Manner,
    ) -> Result<Self, Problem> {
        let Shown { currency, figure, warning } = *shown;
        let written = |amount: Option<Money>| {
            amount.map(|amount| (manner.amount)(amount.to_decimal_string())).transpose()
        };
        Ok(BalanceResource {
            balance: written(figure.map(|figure| figure.amount))?,
            held: written(held)?,
            held_minor: held.map(|held| held.minor),
            balance_minor: figure.map(|figure| figure.amount.minor),
            currency: currency.to_string(),
            last_updated: figure.map(|figure| figure.as_of).map(At::to_rfc3339_millis),
            source: figure.map(|figure| match figure.source {
                Source::Live => "live",
                Source::Cached => "cached",
            }),
            warning: warning.map(|warning| warning.text(&account.bank_name)),
        })
    }
}

/// M-01, with the bank's name.
fn renew(account: &BankAccount) -> String {
    format!(
        "Banktilkobling utløpt\nGodkjenningen for å hente saldo fra {} har utløpt.\n\
         Trykk her for å fornye tilkoblingen.",
        account.bank_name
    )
}

/// The request's id goes to the provider's log line, and the caller's trace to the provider.
fn cause(headers: &HeaderMap) -> Cause {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Cause { traceparent: text("traceparent"), request: text(X_REQUEST_ID.as_str()) }
}

#[cfg(test)]
mod tests;
