//! Whom a person pays abroad.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workers::registry::Recipient;
use workflows::accounts::{Bban, Bic, Country};
use workflows::ids::{RecipientId, UserId};
use workflows::money::Currency;
use workflows::ports::payments::CreditorAccount;

use super::App;
use super::auth::{Backend, Caller, Role};
use super::bank_accounts::{OwnerQuery, owner};
use super::body::{Json, OptionalJson};
use super::error::{Code, Problem};
use super::paging::{self, Page};
use super::request::{Chosen, Known, Parameters};
use super::validation::{Faults, Given, line, sure};

/// A recipient to be stored: `iban`, or, in countries without IBAN, `bban` and `bic`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecipientRequest {
    /// Name of the payee.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Marko Petrovic")]
    name: Given<String>,
    /// Country of residence and account, ISO 3166 alpha-2.
    #[serde(default)]
    #[schema(value_type = String, required, example = "RS")]
    country: Given<Country>,
    /// Town of residence.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "Beograd")]
    town: Given<String>,
    /// The account.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "RS35265000000123456757")]
    iban: Given<String>,
    /// The account, as its country writes it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = json!(null))]
    bban: Given<String>,
    /// The payee's bank; needed with `bban`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = json!(null))]
    bic: Given<Bic>,
    /// What the payee receives.
    #[serde(default)]
    #[schema(value_type = String, required, example = "EUR")]
    currency: Given<Currency>,
    /// Whose recipient it is; required for, and reserved to, the `service` role.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = json!(null))]
    on_behalf_of: Given<UserId>,
}

/// A stored recipient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecipientResource {
    /// Its id.
    #[schema(example = "rec_marko")]
    id: String,
    /// Name of the payee.
    #[schema(example = "Marko Petrovic")]
    name: String,
    /// ISO 3166 alpha-2.
    #[schema(example = "RS")]
    country: String,
    /// Town of residence.
    #[schema(required)]
    town: Option<String>,
    /// The account.
    #[schema(required, example = "RS35265000000123456757")]
    iban: Option<String>,
    /// The account, where there is no IBAN.
    #[schema(required)]
    bban: Option<String>,
    /// The payee's bank.
    #[schema(required)]
    bic: Option<String>,
    /// What the payee receives.
    #[schema(example = "EUR")]
    currency: String,
}

/// Which recipients to list.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Whose; required for backends and operators, one's own otherwise.
    #[param(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// From 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Store a recipient under an id of the caller's choice, or replace it.
#[utoipa::path(put, path = "/v1/users/{userId}/recipients/{id}", tag = "Provisioning", operation_id = "putRecipient",
    params(("userId" = String, Path, description = "The person"),
        ("id" = String, Path, description = "An id of the caller's choice: rec_ and 1 to 64 letters, digits, _ or -")),
    request_body = RecipientRequest,
    responses((status = 200, description = "Replaced", body = RecipientResource),
        (status = 201, description = "Stored", body = RecipientResource),
        (status = 404, description = "`not_found`: no such person, or the id is somebody else's"),
        (status = 422, description = "`invalid_iban`")))]
pub async fn put(
    State(app): State<App>,
    _: Backend,
    Chosen((owner, id)): Chosen<(UserId, RecipientId)>,
    Json(request): Json<RecipientRequest>,
) -> Result<(StatusCode, axum::Json<RecipientResource>), Problem> {
    if request.on_behalf_of != Given::Absent {
        return Err(Problem::field("onBehalfOf", "the address says whose recipient it is"));
    }
    let recipient = request.recipient(id, owner, None)?;
    if app.registry.user(&recipient.owner).await?.is_none() {
        return Err(Problem::new(Code::NotFound, "There is no such user."));
    }
    let known = app.registry.recipient(&recipient.owner, &recipient.id).await?;
    store(&app, &recipient).await?;
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(recipient.into())))
}

/// Store a recipient of one's own.
#[utoipa::path(post, path = "/v1/recipients", tag = "Recipients", operation_id = "createRecipient", request_body = RecipientRequest,
    responses((status = 201, description = "Stored", body = RecipientResource),
        (status = 422, description = "`invalid_iban`")))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(mut request): Json<RecipientRequest>,
) -> Result<Response, Problem> {
    let owner = caller.acts_for(std::mem::take(&mut request.on_behalf_of))?;
    let id = RecipientId::new(app.engine.ids().ordered());
    let recipient = request.recipient(id, owner, None)?;
    store(&app, &recipient).await?;
    let location = HeaderValue::try_from(format!("/v1/recipients/{}", recipient.id))
        .map_err(|error| Problem::internal("write a location", error))?;
    let stored = axum::Json(RecipientResource::from(recipient));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], stored).into_response())
}

/// List one's own recipients, by id.
#[utoipa::path(get, path = "/v1/recipients", tag = "Recipients", operation_id = "listRecipients", params(ListQuery),
    responses((status = 200, body = Page<RecipientResource>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<axum::Json<Page<RecipientResource>>, Problem> {
    let owner = owner(&caller, query.user_id)?;
    let limit = paging::limit(query.limit.as_deref())?;
    let after = paging::after(query.cursor.as_deref())?;
    let recipients = app.registry.recipients(&owner, after.as_ref(), limit + 1).await?;
    let recipients = recipients.into_iter().map(RecipientResource::from).collect();
    Ok(axum::Json(Page::of(recipients, limit, |recipient| &recipient.id)))
}

/// Read a recipient of one's own.
#[utoipa::path(get, path = "/v1/recipients/{id}", tag = "Recipients", operation_id = "readRecipient",
    params(("id" = String, Path, description = "A recipient's id"), OwnerQuery),
    responses((status = 200, body = RecipientResource), (status = 404, description = "`not_found`")))]
pub async fn read(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<RecipientId>,
    Parameters(query): Parameters<OwnerQuery>,
) -> Result<axum::Json<RecipientResource>, Problem> {
    let owner = query.owner(&caller)?;
    Ok(axum::Json(find(&app, &owner, &id).await?.into()))
}

/// Change a recipient of one's own: fields that are absent stay as they are, `null` takes an optional one away.
#[utoipa::path(patch, path = "/v1/recipients/{id}", tag = "Recipients", operation_id = "changeRecipient",
    params(("id" = String, Path, description = "A recipient's id")),
    request_body = RecipientRequest,
    responses((status = 200, body = RecipientResource), (status = 404, description = "`not_found`"),
        (status = 422, description = "`invalid_iban`")))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<RecipientId>,
    Json(mut request): Json<RecipientRequest>,
) -> Result<axum::Json<RecipientResource>, Problem> {
    let owner = caller.acts_for(std::mem::take(&mut request.on_behalf_of))?;
    let known = find(&app, &owner, &id).await?;
    let recipient = request.recipient(id, owner, Some(&known))?;
    store(&app, &recipient).await?;
    Ok(axum::Json(recipient.into()))
}

/// Body of a removal; may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveRequest {
    /// Whose recipient it is; required for, and reserved to, the `service` role.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "usr_kari")]
    on_behalf_of: Given<UserId>,
}

/// Remove a recipient of one's own. Payments to it are not touched.
#[utoipa::path(delete, path = "/v1/recipients/{id}", tag = "Recipients", operation_id = "removeRecipient",
    params(("id" = String, Path, description = "A recipient's id"), OwnerQuery),
    responses((status = 204, description = "Removed"), (status = 404, description = "`not_found`")))]
pub async fn remove(
    State(app): State<App>,
    caller: Caller,
    Known(id): Known<RecipientId>,
    Parameters(query): Parameters<OwnerQuery>,
    OptionalJson(request): OptionalJson<RemoveRequest>,
) -> Result<StatusCode, Problem> {
    // Clients that cannot send a body with DELETE name the user on the address.
    let on_behalf_of = match (caller.role, request.on_behalf_of, query.user_id) {
        (Role::Service, Given::Absent, Some(user)) => Given::Value(user),
        (_, given, _) => given,
    };
    let owner = caller.acts_for(on_behalf_of)?;
    let removed = app.registry.remove_recipient(&owner, &id).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(Code::NotFound.into()) }
}

async fn find(app: &App, owner: &UserId, id: &RecipientId) -> Result<Recipient, Problem> {
    app.registry.recipient(owner, id).await?.ok_or_else(|| Code::NotFound.into())
}

async fn store(app: &App, recipient: &Recipient) -> Result<(), Problem> {
    let stored = app.registry.put_recipient(recipient, app.engine.now()).await?;
    if stored { Ok(()) } else { Err(Code::NotFound.into()) }
}

impl RecipientRequest {
    /// The recipient that is asked for; `known` fills what is absent.
    fn recipient(
        self,
        id: RecipientId,
        owner: UserId,
        known: Option<&Recipient>,
    ) -> Result<Recipient, Problem> {
        let request = match known {
            Some(known) => self.filled_from(known),
            None => self,
        };
        let mut faults = Faults::default();
        let name = faults.required("name", request.name);
        let name = faults.read("name", name, line(140));
        let country = faults.required("country", request.country);
        let town = faults.optional("town", request.town);
        let town = faults.read("town", town, line(35));
        let bic = faults.optional("bic", request.bic);
        let currency = faults.required("currency", request.currency);
        let account = account(&mut faults, country, request.iban, request.bban);
        if matches!(account, Some(CreditorAccount::Bban(_))) && bic.is_none() {
            faults.add("bic", "is required with bban");
        }
        faults.finish()?;
        Ok(Recipient {
            id,
            owner,
            name: sure(name)?,
            country: sure(country)?.to_string(),
            town,
            account: sure(account)?,
            bic,
            currency: sure(currency)?,
        })
    }

    fn filled_from(self, known: &Recipient) -> Self {
        fn filled<T>(given: Given<T>, known: Option<T>) -> Given<T> {
            match (given, known) {
                (Given::Absent, Some(known)) => Given::Value(known),
                (given, _) => given,
            }
        }
        // A new account replaces the old one, whichever of the two ways it was written in.
        let (iban, bban) = match (&known.account, &self.iban, &self.bban) {
            (CreditorAccount::Iban(iban), Given::Absent, Given::Absent | Given::Null) => {
                (Given::Value(iban.to_string()), Given::Absent)
            }
            (CreditorAccount::Bban(bban), Given::Absent | Given::Null, Given::Absent) => {
                (Given::Absent, Given::Value(bban.as_str().to_owned()))
            }
            _ => (self.iban, self.bban),
        };
        RecipientRequest {
            name: filled(self.name, Some(known.name.clone())),
            country: filled(self.country, known.country.parse().ok()),
            town: filled(self.town, known.town.clone()),
            iban,
            bban,
            bic: filled(self.bic, known.bic.clone()),
            currency: filled(self.currency, Some(known.currency)),
            on_behalf_of: Given::Absent,
        }
    }
}

/// The one account of a recipient, by either way of writing.
fn account(
    faults: &mut Faults,
    country: Option<Country>,
    iban: Given<String>,
    bban: Given<String>,
) -> Option<CreditorAccount> {
    let iban = faults.optional("iban", iban);
    let bban = faults.optional("bban", bban);
    match (iban, bban) {
        (Some(_), Some(_)) => {
            faults.add("bban", "give iban or bban, not both");
            None
        }
        (Some(iban), None) => faults.iban("iban", Some(iban)).map(CreditorAccount::Iban),
        (None, Some(bban)) => {
            let country = country?;
            faults.read("bban", Some(bban), |bban| Bban::parse(country, &bban)).map(CreditorAccount::Bban)
        }
        (None, None) => {
            faults.add("iban", "iban or bban is required");
            None
        }
    }
}

impl From<Recipient> for RecipientResource {
    fn from(recipient: Recipient) -> Self {
        let (iban, bban) = match recipient.account {
            CreditorAccount::Iban(iban) => (Some(iban.to_string()), None),
            CreditorAccount::Bban(bban) => (None, Some(bban.to_string())),
        };
        RecipientResource {
            id: recipient.id.to_string(),
            name: recipient.name,
            country: recipient.country,
            town: recipient.town,
            iban,
            bban,
            bic: recipient.bic.map(|bic| bic.to_string()),
            currency: recipient.currency.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, known: Option<&Recipient>) -> Result<Recipient, Problem> {
        let request: RecipientRequest = serde_json::from_str(body).unwrap();
        request.recipient("rec_marko".parse().unwrap(), "usr_kari".parse().unwrap(), known)
    }

    const BY_IBAN: &str =
        r#"{"name":"Marko","country":"RS","iban":"RS35 2650 0000 0123 4567 57","currency":"EUR"}"#;
    const BY_BBAN: &str =
        r#"{"name":"Marko","country":"RS","bban":"265-1234567-57","bic":"RZBSRSBG","currency":"RSD"}"#;

    #[test]
    fn an_account_is_written_in_one_of_two_ways() {
        assert!(matches!(read(BY_IBAN, None).ok().unwrap().account, CreditorAccount::Iban(_)));
        assert!(matches!(read(BY_BBAN, None).ok().unwrap().account, CreditorAccount::Bban(_)));
        for (from, to, code) in [
            (BY_IBAN, BY_IBAN.replace("57\"", "58\""), Code::InvalidIban),
            (BY_IBAN, BY_IBAN.replace("iban", "town"), Code::ValidationFailed),
            (BY_IBAN, BY_IBAN.replace('}', r#","bban":"265-1234567-57"}"#), Code::ValidationFailed),
            (BY_BBAN, BY_BBAN.replace("567-57", "567-58"), Code::ValidationFailed),
            (BY_BBAN, BY_BBAN.replace(r#""bic":"RZBSRSBG","#, ""), Code::ValidationFailed),
            (BY_BBAN, BY_BBAN.replace("\"RSD\"", "\"XXX\""), Code::ValidationFailed),
            (BY_BBAN, BY_BBAN.replace("\"RS\"", "\"Serbia\""), Code::ValidationFailed),
        ] {
            assert_ne!(from, to);
            assert_eq!(read(&to, None).err().map(|problem| problem.code()), Some(code), "{to}");
        }
    }

    #[test]
    fn a_change_keeps_what_is_absent_and_drops_what_is_null() {
        let known = read(&BY_BBAN.replace('}', r#","town":"Beograd"}"#), None).ok().unwrap();
        let same = read("{}", Some(&known)).ok().unwrap();
        assert!(same == known);
        let changed = read(r#"{"name":"Ana","town":null}"#, Some(&known)).ok().unwrap();
        assert_eq!((changed.name.as_str(), changed.town), ("Ana", None));
        let moved = read(r#"{"iban":"RS35265000000123456757"}"#, Some(&known)).ok().unwrap();
        assert!(matches!(moved.account, CreditorAccount::Iban(_)));
        assert!(read(r#"{"name":null}"#, Some(&known)).is_err());
    }
}
