//! The browser's return from the bank after a consent. Like the return from a payment it proves nothing: it is a hint that
//! has the bank asked.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use workers::engine::Told;
use workflows::ids::WorkflowId;
use workflows::payment::Event;

use super::App;
use super::callback::{once_a_second, see_app};
use super::error::{Code, Problem};
use super::request::Parameters;

/// What the bank's redirect brings. Banks may add what they like.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConsentReturnQuery {
    /// Names the payment that waits for the consent; made by this service.
    state: Option<String>,
    /// The bank's id of the consent; not needed, since the payment knows which one it asked for.
    #[serde(rename = "consentId")]
    #[param(rename = "consentId")]
    _consent_id: Option<String>,
}

/// Return from the bank after a consent: has the bank asked where it stands and sends the browser back to the app.
#[utoipa::path(get, path = "/v1/consents/callback", tag = "Accounts", operation_id = "returnFromConsent",
    params(ConsentReturnQuery), security(()),
    responses(
        (status = 303, description = "To the app, with `transactionId`"),
        (status = 400, description = "`invalid_state`"),
    ))]
pub async fn returned(
    State(app): State<App>,
    Parameters(query): Parameters<ConsentReturnQuery>,
) -> Result<Response, Problem> {
    let state = query.state.as_deref().unwrap_or_default();
    let transaction = app.settings.callback.verify(state).ok_or(Code::InvalidState)?;
    let id = WorkflowId::from(transaction);
    let heard = once_a_second(id, app.engine.now());
    match app.engine.tell(id, &Event::Returned { payment: None }, "browser", Some(heard)).await? {
        Told::Moved(_) | Told::Ignored(_) | Told::Duplicate(_) => {
            see_app(&app.settings.return_url, transaction)
        }
        Told::NotFound => Err(Code::InvalidState.into()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::testing::{Front, PUBLIC};

    #[tokio::test]
    async fn a_return_from_a_consent_is_heard_by_its_payment_and_leads_to_the_app() {
        let front = Front::open().await;
        let transaction = front.payment_awaiting_approval().await;
        let back = front.app.settings.callback.consent_redirect_uri(transaction);
        let path = back.strip_prefix(PUBLIC).unwrap();
        assert!(path.starts_with("/v1/consents/callback?state="), "{path}");
        let returns = async || {
            let history = front.app.engine.history(transaction.into(), 0, 100).await.unwrap();
            history.iter().filter(|row| &*row.actor == "browser").count()
        };
        for forged in ["/v1/consents/callback", "/v1/consents/callback?state=x", &format!("{path}0")] {
            let (status, body) = front.get(forged).await;
            assert_eq!((status, body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_state")));
        }
        assert_eq!(returns().await, 0);
        for path in [path.to_owned(), format!("{path}&consentId=cns-1&result=ok")] {
            let (status, _) = front.get(&path).await;
            assert_eq!(status, StatusCode::SEE_OTHER, "{path}");
        }
        assert_eq!(returns().await, 1, "a repetition within the second is no news");
    }
}
