//! People, as the app's backend registers them.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::registry::{KycStatus, User};
use workflows::ids::UserId;
use workflows::time::At;

use super::App;
use super::auth::Backend;
use super::body::Json;
use super::error::{Code, Detail, Problem};
use super::request::Chosen;
use super::validation::{Faults, Given, line, sure};
use crate::config::ServiceMode;

/// A person to be registered.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserRequest {
    /// Given name.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Kari")]
    first_name: Given<String>,
    /// Family name.
    #[serde(default)]
    #[schema(value_type = String, required, example = "Nordmann")]
    last_name: Given<String>,
    /// Address for messages.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "kari@example.no")]
    email: Given<String>,
    /// A Norwegian number with its country code (FE-01).
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "+4790000000")]
    phone: Given<String>,
    /// Date of birth; nobody under 18 can pay (FE-01).
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date, example = "1990-05-17")]
    birth_date: Given<String>,
    /// Where the identity check stands; can be set in demo mode only, and stays as it is when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "approved")]
    kyc_status: Given<KycStatus>,
}

/// A registered person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserResource {
    /// Their id.
    #[schema(example = "usr_kari")]
    id: String,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// Address for messages.
    #[schema(required)]
    email: Option<String>,
    /// Number with country code.
    #[schema(required)]
    phone: Option<String>,
    /// Date of birth.
    #[schema(required, example = "1990-05-17")]
    birth_date: Option<String>,
    /// `not_started`, `pending`, `action_required`, `manual_review`, `manual_review_aml`, `approved`,
    /// `approved_manual` or `rejected`.
    #[schema(value_type = String, example = "approved")]
    kyc_status: KycStatus,
}

/// Register a person, or replace what is known of them.
#[utoipa::path(put, path = "/v1/users/{id}", tag = "Provisioning", operation_id = "putUser",
    params(("id" = String, Path, description = "An id of the caller's choice: usr_ and 1 to 64 letters, digits, _ or -")),
    request_body = UserRequest,
    responses((status = 200, description = "Replaced", body = UserResource), (status = 201, description = "Registered", body = UserResource),
        (status = 403, description = "`forbidden`: not the service role, or kycStatus in live mode")))]
pub async fn put(
    State(app): State<App>,
    _: Backend,
    Chosen(id): Chosen<UserId>,
    Json(request): Json<UserRequest>,
) -> Result<(StatusCode, axum::Json<UserResource>), Problem> {
    if app.settings.mode == ServiceMode::Live && request.kyc_status != Given::Absent {
        let detail =
            Detail { field: "kycStatus".to_owned(), reason: "cannot be set in live mode".to_owned() };
        return Err(Problem::from(Code::Forbidden).about(vec![detail]));
    }
    let known = app.registry.user(&id).await?;
    let now = app.engine.now();
    let user = request.user(id, known.as_ref(), now)?;
    app.registry.put_user(&user, now).await?;
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(user.into())))
}

impl UserRequest {
    fn user(self, id: UserId, known: Option<&User>, now: At) -> Result<User, Problem> {
        let mut faults = Faults::default();
        let first_name = faults.required("firstName", self.first_name);
        let first_name = faults.read("firstName", first_name, line(100));
        let last_name = faults.required("lastName", self.last_name);
        let last_name = faults.read("lastName", last_name, line(100));
        let email = faults.optional("email", self.email);
        let email = faults.read("email", email, email_address);
        let phone = faults.optional("phone", self.phone);
        let phone = faults.read("phone", phone, |text| norwegian_number(&text));
        let birth_date = faults.optional("birthDate", self.birth_date);
        let birth_date = faults.read("birthDate", birth_date, |text| past_date(&text, now));
        let kyc = faults.optional("kycStatus", self.kyc_status);
        faults.finish()?;
        Ok(User {
            id,
            first_name: sure(first_name)?,
            last_name: sure(last_name)?,
            email,
            phone,
            birth_date,
            kyc: kyc.or(known.map(|user| user.kyc)).unwrap_or(KycStatus::NotStarted),
        })
    }
}

impl From<User> for UserResource {
    fn from(user: User) -> Self {
        UserResource {
            id: user.id.to_string(),
            first_name: user.first_name,
            last_name: user.last_name,
            email: user.email,
            phone: user.phone,
            birth_date: user.birth_date.map(|date| date.to_string()),
            kyc_status: user.kyc,
        }
    }
}

/// Enough to refuse what is no address; only a message that arrives proves one.
fn email_address(text: String) -> Result<String, &'static str> {
    let plain =
        text.len() <= 254 && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control());
    match text.split_once('@') {
        Some((local, domain))
            if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') =>
        {
            Ok(text)
        }
        Some(_) | None => Err("must be an e-mail address"),
    }
}

/// `+47` and eight digits; spaces are passed over.
fn norwegian_number(text: &str) -> Result<String, &'static str> {
    let plain: String = text.chars().filter(|letter| *letter != ' ').collect();
    match plain.strip_prefix("+47") {
        Some(digits) if digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(plain),
        Some(_) | None => Err("must be a Norwegian number: +47 and eight digits"),
    }
}

fn past_date(text: &str, now: At) -> Result<NaiveDate, &'static str> {
    // The library would take a year of any length.
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
    match date {
        Some(date) if date <= now.utc().date_naive() => Ok(date),
        Some(_) => Err("must not lie in the future"),
        None => Err("must be a date such as 1990-05-17"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, known: Option<&User>) -> Result<User, Problem> {
        let request: UserRequest = serde_json::from_str(body).unwrap();
        request.user("usr_kari".parse().unwrap(), known, At::parse("2026-02-23T08:00:00Z").unwrap())
    }

    #[test]
    fn a_person_needs_a_name_and_keeps_their_identity_check() {
        let name = r#"{"firstName":"Kari","lastName":"Nordmann"}"#;
        let user = read(name, None).unwrap();
        assert_eq!(user.kyc, KycStatus::NotStarted);
        let approved = User { kyc: KycStatus::Approved, ..user };
        assert_eq!(read(name, Some(&approved)).unwrap().kyc, KycStatus::Approved);
        let given =
            r#"{"firstName":"Kari","lastName":"Nordmann","kycStatus":"rejected","phone":"+47 900 00 000"}"#;
        let user = read(given, Some(&approved)).unwrap();
        assert_eq!((user.kyc, user.phone.as_deref()), (KycStatus::Rejected, Some("+4790000000")));
    }

    #[test]
    fn every_fault_of_a_person_is_named_at_once() {
        let problem = read(
            r#"{"firstName":"","email":"kari","phone":"+46700000000","birthDate":"2026-02-24","kycStatus":"fine"}"#,
            None,
        );
        let shown = format!("{:?}", problem.err().unwrap());
        for field in ["firstName", "lastName", "email", "phone", "birthDate", "kycStatus"] {
            assert!(shown.contains(field), "{field}: {shown}");
        }
    }
}
