//! Shops, as the app's backend registers them.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::registry::Merchant;
use workflows::ids::{MerchantId, UserId};

use super::App;
use super::auth::Backend;
use super::body::Json;
use super::error::Problem;
use super::request::Chosen;
use super::validation::{Faults, Given, line, sure};

/// A shop to be registered.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MerchantRequest {
    /// Its name.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Kiosken")]
    name: Given<String>,
    /// Norwegian organisation number.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "974760673")]
    org_number: Given<String>,
    /// Where it is paid.
    #[serde(default)]
    #[schema(value_type = String, required, example = "NO9386011117947")]
    iban: Given<String>,
    /// The person who runs it.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "usr_ola")]
    owner_user_id: Given<UserId>,
}

/// A registered shop.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MerchantResource {
    /// Its id.
    #[schema(example = "mer_kiosk")]
    id: String,
    /// Its name.
    #[schema(example = "Kiosken")]
    name: String,
    /// Norwegian organisation number.
    #[schema(required)]
    org_number: Option<String>,
    /// Where it is paid.
    #[schema(example = "NO9386011117947")]
    iban: String,
    /// The person who runs it.
    #[schema(required)]
    owner_user_id: Option<String>,
}

/// Register a shop, or replace what is known of it.
#[utoipa::path(put, path = "/v1/merchants/{id}", tag = "Provisioning", operation_id = "putMerchant",
    params(("id" = String, Path, description = "An id of the caller's choice: mer_ and 1 to 64 letters, digits, _ or -")),
    request_body = MerchantRequest,
    responses((status = 200, description = "Replaced", body = MerchantResource),
        (status = 201, description = "Registered", body = MerchantResource),
        (status = 422, description = "`invalid_iban`")))]
pub async fn put(
    State(app): State<App>,
    _: Backend,
    Chosen(id): Chosen<MerchantId>,
    Json(request): Json<MerchantRequest>,
) -> Result<(StatusCode, axum::Json<MerchantResource>), Problem> {
    let merchant = request.merchant(id)?;
    if let Some(owner) = &merchant.owner
        && app.registry.user(owner).await?.is_none()
    {
        return Err(Problem::field("ownerUserId", "there is no such user"));
    }
    let known = app.registry.merchant(&merchant.id).await?;
    app.registry.put_merchant(&merchant, app.engine.now()).await?;
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(merchant.into())))
}

impl MerchantRequest {
    fn merchant(self, id: MerchantId) -> Result<Merchant, Problem> {
        let mut faults = Faults::default();
        let name = faults.required("name", self.name);
        let name = faults.read("name", name, line(140));
        let org_number = faults.optional("orgNumber", self.org_number);
        let org_number = faults.read("orgNumber", org_number, |text| org_number_of(&text));
        let iban = faults.required("iban", self.iban);
        let iban = faults.iban("iban", iban);
        let owner = faults.optional("ownerUserId", self.owner_user_id);
        faults.finish()?;
        Ok(Merchant { id, name: sure(name)?, org_number, iban: sure(iban)?, owner })
    }
}

impl From<Merchant> for MerchantResource {
    fn from(merchant: Merchant) -> Self {
        MerchantResource {
            id: merchant.id.to_string(),
            name: merchant.name,
            org_number: merchant.org_number,
            iban: merchant.iban.to_string(),
            owner_user_id: merchant.owner.map(|owner| owner.to_string()),
        }
    }
}

/// Nine digits of which the last is the weighted check digit of Brønnøysund; spaces are passed over.
fn org_number_of(text: &str) -> Result<String, &'static str> {
    const WEIGHTS: [u32; 8] = [3, 2, 7, 6, 5, 4, 3, 2];
    let wrong = "must be nine digits with a valid check digit";
    let plain: String = text.chars().filter(|letter| *letter != ' ').collect();
    let digits: Vec<u32> =
        plain.chars().map(|letter| letter.to_digit(10)).collect::<Option<_>>().ok_or(wrong)?;
    let [head @ .., check] = digits.as_slice() else { return Err(wrong) };
    if head.len() != WEIGHTS.len() {
        return Err(wrong);
    }
    let sum: u32 = head.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    // A remainder of 1 would need a check digit of 10; such numbers are not given out.
    if (sum + check).is_multiple_of(11) { Ok(plain) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_number_carries_its_check_digit() {
        for (text, valid) in [
            ("974760673", true),
            ("974 760 673", true),
            ("974760674", false),
            ("97476067", false),
            ("9747606730", false),
            ("97476067x", false),
            ("", false),
        ] {
            assert_eq!(org_number_of(text).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_shop_needs_a_name_and_an_account() {
        let request: MerchantRequest = serde_json::from_str(r#"{"orgNumber":"1"}"#).unwrap();
        let shown = format!("{:?}", request.merchant("mer_1".parse().unwrap()).unwrap_err());
        for field in ["name", "iban", "orgNumber"] {
            assert!(shown.contains(field), "{field}: {shown}");
        }
    }
}
