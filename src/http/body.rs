//! Bodies: JSON objects of at most 256 KB, read strictly.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_limit::read;
use serde::de::DeserializeOwned;

use super::error::{Code, Problem};
use super::validation::without_position;

/// The most that a body may have (rest-api §1).
pub const MOST_BYTES: usize = 256 * 1024;

/// A JSON object in the body.
pub struct Json<T>(pub T);

/// A JSON object in the body, or no body at all.
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = read(request).await?;
        if !is_json {
            return Err(Code::UnsupportedMediaType.into());
        }
        object(&bytes).map(Json)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = read(request).await?;
        match bytes.is_empty() {
            true => Ok(OptionalJson(T::default())),
            false if !is_json => Err(Code::UnsupportedMediaType.into()),
            false => object(&bytes).map(OptionalJson),
        }
    }
}

/// Reads an object: broken JSON and anything but an object are malformed; an unknown or repeated field is named.
fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let starts_as_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if !starts_as_object {
        return Err(Code::MalformedRequest.into());
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        match error.inner().classify() {
            serde_json::error::Category::Data => {
                let reason = without_position(error.inner());
                Problem::field(quoted(&reason).unwrap_or(path), reason)
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => Code::MalformedRequest.into(),
        }
    })?;
    json.end().map_err(|_| Problem::from(Code::MalformedRequest))?;
    Ok(value)
}

/// The field that "unknown field `x`" and "duplicate field `x`" speak of: the path then names the object around it.
fn quoted(reason: &str) -> Option<String> {
    let rest = reason.strip_prefix("unknown field `").or_else(|| reason.strip_prefix("duplicate field `"))?;
    rest.split_once('`').map(|(field, _)| field.to_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

mod http_body_limit {
    use super::{Bytes, Code, MOST_BYTES, Problem, Request, header};

    /// The whole body, unless it is too large; one that says so beforehand is not read at all.
    pub async fn read(request: Request) -> Result<Bytes, Problem> {
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > MOST_BYTES as u64) {
            return Err(Code::PayloadTooLarge.into());
        }
        axum::body::to_bytes(request.into_body(), MOST_BYTES).await.map_err(|error| {
            // The limit is the only fault that the library reports by a type of its own.
            let too_large = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
            if too_large { Code::PayloadTooLarge.into() } else { Code::MalformedRequest.into() }
        })
    }
}
