//! A person's accounts at their banks.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workers::registry::BankAccount;
use workflows::ids::{BankAccountId, UserId};
use workflows::money::Currency;
use workflows::ports::payments::BankId;
use workflows::time::At;

use super::App;
use super::auth::{Backend, Caller};
use super::body::Json;
use super::control::{LONGEST_NAME, is_bank};
use super::error::{Code, Problem};
use super::paging::Page;
use super::request::{Chosen, Parameters};
use super::validation::{Faults, Given, line, sure};

/// A bank account to be linked.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BankAccountRequest {
    /// The bank's id at the aggregator: letters, digits, `-`, `_`, `.`, `=`, `+` and `/`.
    #[serde(default)]
    #[schema(value_type = String, required, example = "dnb")]
    bank_id: Given<String>,
    /// The bank's name for people; its id when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "DNB")]
    bank_name: Given<String>,
    /// The account.
    #[serde(default)]
    #[schema(value_type = String, required, example = "NO9386011117947")]
    iban: Given<String>,
    /// Its id at the provider; the IBAN when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "acc-1")]
    provider_account_id: Given<String>,
    /// Its currency; NOK when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "NOK")]
    currency: Given<Currency>,
    /// The consent at the provider that covers it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "consent-1")]
    provider_consent_id: Given<String>,
    /// When that consent ends.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-05-24T08:00:00.000Z")]
    consent_expires_at: Given<String>,
    /// Whether payments come from here unless said otherwise; makes the person's other accounts secondary.
    #[serde(default)]
    #[schema(value_type = Option<bool>, example = true)]
    primary: Given<bool>,
}

/// A linked bank account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BankAccountResource {
    /// Its id.
    #[schema(example = "bac_1")]
    id: String,
    /// The bank's id at the aggregator.
    #[schema(example = "dnb")]
    bank_id: String,
    /// The bank's name for people.
    #[schema(example = "DNB")]
    bank_name: String,
    /// The account.
    #[schema(example = "NO9386011117947")]
    iban: String,
    /// Its id at the provider.
    provider_account_id: String,
    /// Its currency.
    #[schema(example = "NOK")]
    currency: String,
    /// The consent at the provider that covers it.
    #[schema(required)]
    provider_consent_id: Option<String>,
    /// When that consent ends.
    #[schema(required)]
    consent_expires_at: Option<String>,
    /// Whether payments come from here unless said otherwise.
    primary: bool,
}

/// Whose things to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// Whose; required for backends and operators, one's own otherwise.
    #[param(value_type = Option<String>)]
    pub user_id: Option<UserId>,
}

/// Link a bank account to a person, or replace what is known of it.
#[utoipa::path(put, path = "/v1/users/{userId}/bank-accounts/{id}", tag = "Provisioning", operation_id = "putBankAccount",
    params(("userId" = String, Path, description = "The person"),
        ("id" = String, Path, description = "An id of the caller's choice: bac_ and 1 to 64 letters, digits, _ or -")),
    request_body = BankAccountRequest,
    responses((status = 200, description = "Replaced", body = BankAccountResource),
        (status = 201, description = "Linked", body = BankAccountResource),
        (status = 404, description = "`not_found`: no such person, or the id is somebody else's"),
        (status = 422, description = "`invalid_iban`")))]
pub async fn put(
    State(app): State<App>,
    _: Backend,
    Chosen((owner, id)): Chosen<(UserId, BankAccountId)>,
    Json(request): Json<BankAccountRequest>,
) -> Result<(StatusCode, axum::Json<BankAccountResource>), Problem> {
    let account = request.account(id, owner)?;
    if app.registry.user(&account.owner).await?.is_none() {
        return Err(Problem::new(Code::NotFound, "There is no such user."));
    }
    let known = app.registry.bank_accounts(&account.owner).await?.iter().any(|known| known.id == account.id);
    if !app.registry.put_bank_account(&account, app.engine.now()).await? {
        return Err(Code::NotFound.into());
    }
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(account.into())))
}

/// List a person's bank accounts, the primary one first.
#[utoipa::path(get, path = "/v1/bank-accounts", tag = "Accounts", operation_id = "listBankAccounts", params(OwnerQuery),
    responses((status = 200, body = Page<BankAccountResource>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<OwnerQuery>,
) -> Result<axum::Json<Page<BankAccountResource>>, Problem> {
    let owner = query.owner(&caller)?;
    let accounts = app.registry.bank_accounts(&owner).await?;
    Ok(axum::Json(Page::whole(accounts.into_iter().map(Into::into).collect())))
}

impl OwnerQuery {
    /// Whose things the caller means, and may read.
    ///
    /// # Errors
    /// Those of [`owner`].
    pub fn owner(self, caller: &Caller) -> Result<UserId, Problem> {
        owner(caller, self.user_id)
    }
}

/// Whose things a caller means: their own, or, for those who may read everybody's, those of the user they name.
///
/// # Errors
/// `forbidden` for somebody else's, `validation_failed` when nobody is named.
pub fn owner(caller: &Caller, named: Option<UserId>) -> Result<UserId, Problem> {
    let reach = caller.reads()?;
    match (caller.user(), named) {
        (Some(own), None) => Ok(own),
        (_, Some(named)) if reach.covers(named.as_str()) => Ok(named),
        (_, Some(_)) => Err(Code::Forbidden.into()),
        (None, None) => Err(Problem::field("userId", "is required for callers that are no user")),
    }
}

impl BankAccountRequest {
    fn account(self, id: BankAccountId, owner: UserId) -> Result<BankAccount, Problem> {
        let mut faults = Faults::default();
        let bank = faults.required("bankId", self.bank_id);
        let bank = faults.read("bankId", bank, bank_id);
        let bank_name = faults.optional("bankName", self.bank_name);
        let bank_name = faults.read("bankName", bank_name, line(100));
        let iban = faults.required("iban", self.iban);
        let iban = faults.iban("iban", iban);
        let provider_account = faults.optional("providerAccountId", self.provider_account_id);
        let provider_account = faults.read("providerAccountId", provider_account, line(200));
        let currency = faults.optional("currency", self.currency).unwrap_or(Currency::NOK);
        let provider_consent = faults.optional("providerConsentId", self.provider_consent_id);
        let provider_consent = faults.read("providerConsentId", provider_consent, line(200));
        let consent_expires_at = faults.optional("consentExpiresAt", self.consent_expires_at);
        let consent_expires_at = faults.read("consentExpiresAt", consent_expires_at, |text| At::parse(&text));
        let primary = faults.optional("primary", self.primary).unwrap_or(false);
        faults.finish()?;
        let (bank, iban) = (sure(bank)?, sure(iban)?);
        Ok(BankAccount {
            id,
            owner,
            bank_name: bank_name.unwrap_or_else(|| bank.0.clone()),
            bank,
            provider_account: provider_account.unwrap_or_else(|| iban.as_str().to_owned()),
            iban,
            currency,
            provider_consent,
            consent_expires_at,
            primary,
        })
    }
}

impl From<BankAccount> for BankAccountResource {
    fn from(account: BankAccount) -> Self {
        BankAccountResource {
            id: account.id.to_string(),
            bank_id: account.bank.0,
            bank_name: account.bank_name,
            iban: account.iban.to_string(),
            provider_account_id: account.provider_account,
            currency: account.currency.to_string(),
            provider_consent_id: account.provider_consent,
            consent_expires_at: account.consent_expires_at.map(At::to_rfc3339_millis),
            primary: account.primary,
        }
    }
}

fn bank_id(text: String) -> Result<BankId, String> {
    if is_bank(&text) {
        Ok(BankId(text))
    } else {
        Err(format!("must have 1 to {LONGEST_NAME} letters, digits or characters of -_.=+/"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::auth::Role;
    use super::*;

    fn read(body: &str) -> Result<BankAccount, Problem> {
        let request: BankAccountRequest = serde_json::from_str(body).unwrap();
        request.account("bac_1".parse().unwrap(), "usr_kari".parse().unwrap())
    }

    #[test]
    fn bank_and_iban_are_all_that_has_to_be_given() {
        let account = read(r#"{"bankId":"dnb","iban":"NO93 8601 1117 947"}"#).ok().unwrap();
        assert_eq!(
            (account.bank_name.as_str(), account.currency, account.primary),
            ("dnb", Currency::NOK, false)
        );
        assert_eq!(account.provider_account, "NO9386011117947");
    }

    #[test]
    fn a_wrong_iban_and_a_wrong_field_are_told_apart() {
        for (body, code) in [
            (r#"{"bankId":"dnb","iban":"NO9386011117948"}"#, Code::InvalidIban),
            (r#"{"bankId":"dnb"}"#, Code::ValidationFailed),
            (r#"{"bankId":"a b","iban":"NO9386011117947"}"#, Code::ValidationFailed),
            (r#"{"bankId":"dnb","iban":"NO9386011117947","currency":"XXX"}"#, Code::ValidationFailed),
            (
                r#"{"bankId":"dnb","iban":"NO9386011117947","consentExpiresAt":"soon"}"#,
                Code::ValidationFailed,
            ),
            (r#"{"bankId":"dnb","iban":"NO9386011117947","primary":"yes"}"#, Code::ValidationFailed),
        ] {
            assert_eq!(read(body).err().map(|problem| problem.code()), Some(code), "{body}");
        }
    }

    #[test]
    fn people_see_their_own_and_backends_say_whose() {
        let caller = |subject: &str, role| Caller { subject: subject.to_owned(), role };
        let id = |text: &str| text.parse::<UserId>().ok();
        for (caller, named, expected) in [
            (caller("usr_a", Role::User), None, Ok("usr_a")),
            (caller("usr_a", Role::User), id("usr_a"), Ok("usr_a")),
            (caller("usr_a", Role::User), id("usr_b"), Err(Code::Forbidden)),
            (caller("app", Role::Service), id("usr_b"), Ok("usr_b")),
            (caller("app", Role::Service), None, Err(Code::ValidationFailed)),
            (caller("mer_1", Role::Merchant), None, Err(Code::Forbidden)),
        ] {
            let found = owner(&caller, named).map_err(|problem| problem.code());
            assert_eq!(found.as_ref().map(UserId::as_str), expected.as_ref().copied(), "{caller:?}");
        }
    }
}
