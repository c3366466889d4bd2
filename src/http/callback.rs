//! The browser's return from the bank. It proves nothing about money: it is a hint that has the bank asked.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use serde::Deserialize;
use sha2::Sha256;
use utoipa::IntoParams;
use workers::engine::Told;
use workers::store::InboxKey;
use workflows::ids::{TransactionId, WorkflowId};
use workflows::payment::Event;
use workflows::ports::payments::ProviderPaymentId;
use workflows::time::At;

use super::App;
use super::error::{Code, Problem};
use super::request::Parameters;
use super::transaction::Payment;

/// How many bytes of the MAC stand in an address: 128 bits.
const MAC_BYTES: usize = 16;
/// The longest payment id that is taken from an address; providers' ids are held to the same length.
const LONGEST_ID: usize = 256;
/// The address that the provider sends browsers back to (provider profile, browser returns).
const REGISTERED_PATH: &str = "/v1/payments/callback";
/// The same for browsers that come from the approval of a consent.
const CONSENTS_PATH: &str = "/v1/consents/callback";

/// What the bank's redirect brings. Banks may add what they like.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReturnQuery {
    /// Names the payment; made by this service.
    state: Option<String>,
    /// The bank's id of the payment. One that is not 1 to 256 printable ASCII characters counts as absent.
    #[serde(rename = "paymentId")]
    #[param(rename = "paymentId")]
    payment_id: Option<String>,
    /// The provider's session, as some providers send it; not needed.
    #[serde(rename = "resource_id")]
    _resource_id: Option<String>,
    /// What the bank says happened; not believed.
    #[serde(rename = "result")]
    _result: Option<String>,
}

/// Return from the bank: has the payment's status asked for and sends the browser back to the app.
#[utoipa::path(get, path = "/v1/payments/callback", tag = "Payments", operation_id = "returnFromBank", params(ReturnQuery), security(()),
    responses(
        (status = 303, description = "To the app, with `transactionId`"),
        (status = 400, description = "`invalid_state`"),
    ))]
pub async fn returned(
    State(app): State<App>,
    Parameters(query): Parameters<ReturnQuery>,
) -> Result<Response, Problem> {
    let state = query.state.as_deref().unwrap_or_default();
    let transaction = app.settings.callback.verify(state).ok_or(Code::InvalidState)?;
    let id = WorkflowId::from(transaction);
    let instance = app.engine.get(id).await?.ok_or(Code::InvalidState)?;
    let known = Payment::of(&instance)?.ok_or(Code::InvalidState)?.facts().provider_payment;
    let payment = query.payment_id.and_then(named);
    if matches!((&payment, &known), (Some(named), Some(known)) if named != known) {
        return Err(Code::InvalidState.into());
    }
    let heard = once_a_second(id, app.engine.now());
    match app.engine.tell(id, &Event::Returned { payment }, "browser", Some(heard)).await? {
        Told::Moved(_) | Told::Ignored(_) | Told::Duplicate(_) => {
            see_app(&app.settings.return_url, transaction)
        }
        Told::NotFound => Err(Code::InvalidState.into()),
    }
}

/// Whoever has seen a return address can call it for ever, and each return that is heard asks the bank and stays in the
/// history. So a payment hears one in each second of the database's time, whatever process it comes to.
pub(super) fn once_a_second(id: WorkflowId, now: At) -> InboxKey {
    InboxKey { source: "callback".into(), event: format!("{id} {}", now.as_secs()).into() }
}

/// The payment that the bank names, when it may be one's id. It decides nothing: the bank is asked about the payment
/// that this service placed.
fn named(id: String) -> Option<ProviderPaymentId> {
    let printable = id.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    ((1..=LONGEST_ID).contains(&id.len()) && printable).then_some(ProviderPaymentId(id))
}

pub(super) fn see_app(return_url: &Url, transaction: TransactionId) -> Result<Response, Problem> {
    let mut url = return_url.clone();
    url.query_pairs_mut().append_pair("transactionId", &transaction.to_string());
    let location =
        HeaderValue::try_from(url.as_str()).map_err(|error| Problem::internal("write a location", error))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// Makes and checks the `state` of return addresses.
#[derive(Clone)]
pub struct Callback {
    public_base: String,
    mac: Hmac<Sha256>,
}

impl Callback {
    /// With a key of its own, derived from the token secret.
    ///
    /// # Errors
    /// None in practice: HMAC takes keys of any length.
    pub fn new(public_base: &str, secret: &[u8]) -> Result<Self, hmac::digest::InvalidLength> {
        let mut derive = Hmac::<Sha256>::new_from_slice(secret)?;
        derive.update(b"payments-callback");
        let mac = Hmac::new_from_slice(&derive.finalize().into_bytes())?;
        Ok(Callback { public_base: public_base.to_owned(), mac })
    }

    /// Where the bank sends the customer's browser after the approval of a consent that a payment waits for.
    pub fn consent_redirect_uri(&self, transaction: TransactionId) -> String {
        format!("{}{CONSENTS_PATH}?state={}", self.public_base, self.state(transaction))
    }

    /// Where the bank sends the payer's browser after a payment.
    pub fn redirect_uri(&self, transaction: TransactionId) -> String {
        format!("{}{REGISTERED_PATH}?state={}", self.public_base, self.state(transaction))
    }

    fn state(&self, transaction: TransactionId) -> String {
        let mut mac = self.mac.clone();
        mac.update(&transaction.to_bytes());
        let tag = mac.finalize().into_bytes();
        format!("{}.{}", hex::encode(transaction.to_bytes()), hex::encode(&tag[..MAC_BYTES]))
    }

    /// The payment that a `state` of ours names, checked in constant time.
    pub(super) fn verify(&self, state: &str) -> Option<TransactionId> {
        let (id, tag) = state.split_once('.')?;
        let id: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
        let tag: [u8; MAC_BYTES] = hex::decode(tag).ok()?.try_into().ok()?;
        let mut mac = self.mac.clone();
        mac.update(&id);
        mac.verify_truncated_left(&tag).ok()?;
        Some(TransactionId::from_bytes(id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{BEGIN, Front, PUBLIC};
    use super::*;

    const ID: TransactionId = TransactionId::new(0x0192_f0c1_a2b3_7c4d_8e5f_6071_8293_a4b5);

    fn callback(secret: &[u8]) -> Callback {
        Callback::new("https://pay.example", secret).unwrap()
    }

    #[test]
    fn only_our_own_state_names_a_payment() {
        let ours = callback(b"secret");
        let uri = ours.redirect_uri(ID);
        let state = uri.strip_prefix("https://pay.example/v1/payments/callback?state=").unwrap();
        assert_eq!(state.len(), 32 + 1 + 32);
        assert_eq!(ours.verify(state), Some(ID));
        let (id, tag) = state.split_once('.').unwrap();
        let other_id = format!("{:032x}.{tag}", 7);
        let other_tag = format!("{id}.{}", "0".repeat(32));
        let shorter = format!("{id}.{}", &tag[..30]);
        let others = callback(b"another").state(ID);
        for forged in ["", ".", id, &other_id, &other_tag, &shorter, &others, &format!("{state}0")] {
            assert_eq!(ours.verify(forged), None, "{forged}");
        }
    }

    #[test]
    fn the_browser_goes_back_with_the_transaction_on_the_address() {
        for (url, expected) in [
            ("https://app.example/pay", "https://app.example/pay?transactionId=tx_"),
            ("https://app.example/?a=1#top", "https://app.example/?a=1&transactionId=tx_"),
            ("drop://auth/callback", "drop://auth/callback?transactionId=tx_"),
        ] {
            let response = see_app(&url.parse().unwrap(), ID).unwrap();
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            let location = response.headers()["location"].to_str().unwrap();
            assert!(location.starts_with(expected), "{location}");
        }
    }

    #[test]
    fn a_name_that_no_provider_gives_counts_as_absent() {
        for (id, counts) in [
            ("pmt-7f", true),
            ("a~b", true),
            ("a b", false),
            (&"a".repeat(256), true),
            (&"a".repeat(257), false),
            ("", false),
            ("a\0", false),
            ("a\n", false),
            ("a\u{7f}", false),
            ("bétaling", false),
        ] {
            let found = named(id.to_owned());
            assert_eq!(found, counts.then(|| ProviderPaymentId(id.to_owned())), "{id:?}");
        }
    }

    #[tokio::test]
    async fn a_return_that_is_repeated_is_heard_once_a_second() {
        let front = Front::open().await;
        let transaction = front.payment_awaiting_approval().await;
        let back = front.app.settings.callback.redirect_uri(transaction);
        let path = back.strip_prefix(PUBLIC).unwrap();
        for (millis, heard) in [(0, 1), (0, 1), (999, 1), (1_000, 2), (1_500, 2), (5_000, 3)] {
            front.clock.set(BEGIN.plus(Duration::from_millis(millis)));
            let (status, _) = front.get(path).await;
            assert_eq!(status, StatusCode::SEE_OTHER, "each browser goes on to the app");
            let history = front.app.engine.history(transaction.into(), 0, 100).await.unwrap();
            let returns = history.iter().filter(|row| &*row.actor == "browser").count();
            assert_eq!(returns, heard, "after {millis} ms");
        }
    }
}
