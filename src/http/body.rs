//! Bodies: JSON objects of at most 256 KB, read strictly.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

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
        let bytes = read(request, MOST_BYTES).await?;
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
        let bytes = read(request, MOST_BYTES).await?;
        if bytes.is_empty() {
            return Ok(OptionalJson(T::default()));
        }
        if !is_json {
            return Err(Code::UnsupportedMediaType.into());
        }
        object(&bytes).map(OptionalJson)
    }
}

/// Reads an object: broken JSON and anything but an object are malformed; an unknown or repeated field is named, and so
/// is a text with the character NUL, which PostgreSQL refuses together with everything that is written at the same time.
fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let starts_as_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if !starts_as_object {
        return Err(Code::MalformedRequest.into());
    }
    // What breaks off in the middle is malformed, whatever stands before the break.
    if serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
        return Err(Code::MalformedRequest.into());
    }
    if let Some(field) = field_with_nul(bytes) {
        return Err(Problem::field(field, "must not contain the character U+0000"));
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

/// The path of the first text with NUL. It can only stand there escaped, since JSON has no bare control characters; a
/// body that is broken is left to the reading proper.
fn field_with_nul(bytes: &[u8]) -> Option<String> {
    const ESCAPED: &[u8] = br"\u0000";
    if !bytes.windows(ESCAPED.len()).any(|window| window == ESCAPED) {
        return None;
    }
    below(&serde_json::from_slice(bytes).ok()?, String::new())
}

fn below(value: &Value, path: String) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then_some(path),
        Value::Array(elements) => {
            elements.iter().enumerate().find_map(|(n, element)| below(element, format!("{path}[{n}]")))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            below(member, path)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The whole body, unless it is too large; one that says so beforehand is not read at all.
pub async fn read(request: Request, most: usize) -> Result<Vec<u8>, Problem> {
    let too_large =
        || Problem::new(Code::PayloadTooLarge, format!("The body is larger than {} KB.", most / 1024));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let mut chunks = request.into_body().into_data_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::MalformedRequest, "The body broke off."))?;
        if body.len() + chunk.len() > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, StatusCode};
    use serde::Deserialize;
    use serde_json::json;

    use super::super::testing::Front;
    use super::super::validation::Given;
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: Given<String>,
    }

    async fn answer(kind: &str, body: impl Into<Body>) -> Result<Sample, Code> {
        let request = Request::builder().header("content-type", kind).body(body.into()).unwrap();
        Json::from_request(request, &()).await.map(|Json(sample)| sample).map_err(|problem| problem.code())
    }

    #[tokio::test]
    async fn a_body_is_a_json_object_without_surprises() {
        let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(MOST_BYTES));
        for (kind, body, code) in [
            ("text/plain", r#"{"name":"x"}"#, Code::UnsupportedMediaType),
            ("", "{}", Code::UnsupportedMediaType),
            ("application/json", "", Code::MalformedRequest),
            ("application/json", "{", Code::MalformedRequest),
            ("application/json", r#"["x"]"#, Code::MalformedRequest),
            ("application/json", "null", Code::MalformedRequest),
            ("application/json", r#"{"name":"x"} {}"#, Code::MalformedRequest),
            ("application/json", r#"{"name":"x","name":"y"}"#, Code::ValidationFailed),
            ("application/json", r#"{"nome":"x"}"#, Code::ValidationFailed),
            ("application/json", &large, Code::PayloadTooLarge),
        ] {
            assert_eq!(answer(kind, body.to_owned()).await.unwrap_err(), code, "{kind} {body:.40}");
        }
        for kind in [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/hal+json",
        ] {
            let sample = answer(kind, r#" {"name":"x"} "#).await.unwrap();
            assert_eq!(sample.name, Given::Value("x".to_owned()));
        }
    }

    #[tokio::test]
    async fn a_large_body_without_a_length_is_cut_off() {
        let chunks =
            futures::stream::iter((0..9).map(|_| Ok::<_, std::io::Error>(vec![b' '; MOST_BYTES / 8])));
        let code = answer("application/json", Body::from_stream(chunks)).await.unwrap_err();
        assert_eq!(code, Code::PayloadTooLarge);
    }

    #[tokio::test]
    async fn the_field_at_fault_is_named() {
        let request =
            Request::builder().header("content-type", "application/json").body(Body::from(r#"{"nome":1}"#));
        let Err(problem) = Json::<Sample>::from_request(request.unwrap(), &()).await else {
            panic!("accepted")
        };
        assert!(format!("{problem:?}").contains(r#"field: "nome""#), "{problem:?}");
    }

    #[tokio::test]
    async fn no_body_is_enough_where_none_is_needed() {
        let request = Request::builder().body(Body::empty()).unwrap();
        assert!(OptionalJson::<Sample>::from_request(request, &()).await.is_ok());
    }

    #[tokio::test]
    async fn a_text_with_nul_is_refused_in_every_field_of_every_body() {
        let front = Front::open().await;
        let (kari, backend) = (front.kari(), front.backend());
        let recipient = "name country town iban bban bic currency";
        let transaction = format!("/v1/transactions/tx_{:032x}", 7);
        let table = [
            (Method::PUT, "/v1/users/usr_a", "firstName lastName email phone birthDate kycStatus"),
            (
                Method::PUT,
                "/v1/users/usr_a/bank-accounts/bac_a",
                "bankId bankName iban providerAccountId currency providerConsentId consentExpiresAt primary",
            ),
            (Method::PUT, "/v1/users/usr_a/recipients/rec_a", recipient),
            (Method::POST, "/v1/recipients", recipient),
            (Method::POST, "/v1/recipients", "onBehalfOf"),
            (Method::PATCH, "/v1/recipients/rec_marko", recipient),
            (Method::DELETE, "/v1/recipients/rec_marko", "onBehalfOf"),
            (Method::PUT, "/v1/merchants/mer_a", "name orgNumber iban ownerUserId"),
            (
                Method::POST,
                "/v1/transactions/remittance",
                "recipientId amount currency sendCurrency receiveCurrency bankAccountId note onBehalfOf",
            ),
            (
                Method::POST,
                "/v1/transactions/qr-payment",
                "merchantId amount currency bankAccountId qr onBehalfOf",
            ),
            (Method::POST, &format!("{transaction}/cancel"), "onBehalfOf"),
            (Method::POST, &format!("{transaction}/continue"), "onBehalfOf"),
        ];
        for (method, path, fields) in table {
            let token = if method == Method::PUT { &backend } else { &kari };
            for field in fields.split(' ') {
                let body = json!({field: "Ma\0rko"}).to_string();
                let (status, answer) = front.ask(method.clone(), path, Some(token), &body).await;
                assert_eq!(
                    (status, &answer["error"], &answer["details"][0]["field"]),
                    (StatusCode::BAD_REQUEST, &json!("validation_failed"), &json!(field)),
                    "{method} {path}: {answer}"
                );
            }
        }
    }

    #[test]
    fn a_text_with_nul_is_found_wherever_it_stands() {
        for (body, field) in [
            (r#"{"a":"\u0000"}"#, Some("a")),
            (r#"{"a":[{"b":"x"},{"b":["y","z\u0000"]}]}"#, Some("a[1].b[1]")),
            (r#"{"a":{"b":{"c":"\u0000"}}}"#, Some("a.b.c")),
            (r#"{"a":"\\u0000"}"#, None),
            (r#"{"a":"\u0001"}"#, None),
            (r#"{"a":"\u0000"#, None),
        ] {
            assert_eq!(field_with_nul(body.as_bytes()).as_deref(), field, "{body}");
        }
    }
}
