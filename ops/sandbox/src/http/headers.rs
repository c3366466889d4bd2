//! The headers of the contract, read strictly.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header::CONTENT_TYPE};
use uuid::Uuid;

use crate::{book::ConsentId, refusal::Refusal};

/// `X-Request-ID`: a UUID in its usual form, on every call.
pub(super) fn request_id(headers: &HeaderMap) -> Result<Uuid, Refusal> {
    text(headers, "X-Request-ID")?
        .filter(|text| text.len() == 36)
        .and_then(|text| Uuid::try_parse(text).ok())
        .ok_or_else(|| Refusal::format("X-Request-ID must be a UUID"))
}

/// `PSU-IP-Address`: present when a person is.
pub(super) fn psu_ip(headers: &HeaderMap) -> Result<Option<IpAddr>, Refusal> {
    text(headers, "PSU-IP-Address")?
        .map(|text| text.parse().map_err(|_| Refusal::format("PSU-IP-Address must be an IP address")))
        .transpose()
}

/// `X-Consent-ID`.
pub(super) fn consent_id(headers: &HeaderMap) -> Result<Option<ConsentId>, Refusal> {
    Ok(text(headers, "X-Consent-ID")?.map(|text| ConsentId(text.to_owned())))
}

/// `TPP-Redirect-URI`: an absolute URI, of the web or of an app.
pub(super) fn redirect(headers: &HeaderMap) -> Result<String, Refusal> {
    let missing = || Refusal::format("TPP-Redirect-URI must be an absolute URI");
    let text = text(headers, "TPP-Redirect-URI")?.ok_or_else(missing)?;
    let uri = text.parse::<Uri>().map_err(|_| missing())?;
    if uri.scheme().is_none() || uri.authority().is_none() {
        return Err(missing());
    }
    Ok(text.to_owned())
}

/// Bodies are JSON and say so.
pub(super) fn json_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = text(headers, CONTENT_TYPE.as_str())?.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::format("Content-Type must be application/json"))
    }
}

/// A header's text; the contract's headers come once.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::format(format!("{name} came more than once")));
    }
    value.to_str().map(Some).map_err(|_| Refusal::format(format!("{name} must be ASCII")))
}
