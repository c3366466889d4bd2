//! The description of the interface: OpenAPI 3.1 made from the handlers, and a page to read it on. The page loads
//! nothing from elsewhere.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::{
    Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder, SecurityRequirement,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::App;
use super::error::{Code, Detail, Envelope, ProblemDetails};

/// What the page may do: run its own script, use its own style, and fetch the description.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The groups of operations, in the order in which somebody new would read them.
const TAGS: [(&str, &str); 7] = [
    ("Payments", "Start, follow, cancel and continue payments."),
    ("Recipients", "Whom a person pays."),
    ("Accounts", "A person's accounts at their banks."),
    ("Provisioning", "What the app's backend registers (`service` role)."),
    ("Operators", "Look after running workflows; every action needs a reason, and some a second person."),
    ("Webhooks", "What providers push."),
    ("Health", "Whether the service works."),
];

/// What is not derived from a handler.
pub fn base() -> OpenApi {
    let codes: Vec<String> =
        Code::ALL.iter().map(|code| format!("- `{}` ({})", code.word(), code.status().as_u16())).collect();
    let codes = codes.join("\n");
    let description = format!(
        "Payments by the payer's own bank, carried out durably.\n\n\
         Every answer carries `x-request-id`. Every error has the same form, \
         `{{\"error\",\"message\",\"details\"}}`, or RFC 9457 for callers that accept `application/problem+json`. \
         Money is written as decimal strings, time as RFC 3339 in UTC. Unknown fields are refused.\n\n\
         Aliases for the runbooks: `/api/transactions/remittance`, `/api/transactions/qr-payment` and \
         `/api/payments/callback` are the same handlers as their `/v1` addresses; `/api/accounts/balance` writes the \
         amount as a number and answers 401 where `/v1/accounts/balance` answers 403.\n\n\
         Error codes:\n\n{codes}"
    );
    let info =
        InfoBuilder::new().title("Sluse").version(env!("CARGO_PKG_VERSION")).description(Some(description));
    let mut api = OpenApiBuilder::new()
        .info(info.build())
        .tags(Some(TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())))
        .security(Some([
            SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("cookie", []),
        ]))
        .build();
    let components = api.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token (HS256) or an API key that begins with sk_"))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let cookie = ApiKeyValue::with_description("drop_token", "The web app's session");
    components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    components.schemas.insert(Envelope::name().into_owned(), Envelope::schema());
    components.schemas.insert(ProblemDetails::name().into_owned(), ProblemDetails::schema());
    components.schemas.insert(Detail::name().into_owned(), Detail::schema());
    api
}

/// Gives every operation the error form that all share.
pub fn complete(api: &mut OpenApi) {
    let error = ResponseBuilder::new()
        .description("Any error")
        .content("application/json", Content::new(Some(Ref::from_schema_name(Envelope::name()))))
        .content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name(ProblemDetails::name()))),
        )
        .build();
    for item in api.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten();
        for operation in operations {
            operation.responses.responses.insert("default".to_owned(), error.clone().into());
        }
    }
}

/// The routes of the description and its page.
pub fn routes(api: &OpenApi) -> axum::Router<App> {
    // It is made of literals and derived schemas; a test writes it.
    let json = Bytes::from(api.to_pretty_json().unwrap_or_default());
    let asset = |kind: &'static str, content: &'static str| {
        get(move || async move { page(kind, Bytes::from_static(content.as_bytes())) })
    };
    axum::Router::new()
        .route("/openapi.json", get(move || async move { page("application/json", json.clone()) }))
        .route("/", asset("text/html; charset=utf-8", include_str!("docs/home.html")))
        .route("/docs", asset("text/html; charset=utf-8", include_str!("docs/index.html")))
        .route("/docs/docs.js", asset("text/javascript; charset=utf-8", include_str!("docs/docs.js")))
        .route("/docs/docs.css", asset("text/css; charset=utf-8", include_str!("docs/docs.css")))
}

fn page(kind: &'static str, content: Bytes) -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    fn document() -> Value {
        serde_json::to_value(super::super::description()).unwrap()
    }

    #[test]
    fn the_description_is_openapi_3_1_and_names_every_route() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let paths: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        for path in [
            "/v1/transactions/remittance",
            "/v1/transactions/qr-payment",
            "/v1/transactions/{id}/events",
            "/v1/payments/callback",
            "/v1/users/{userId}/bank-accounts/{id}",
            "/v1/exchange-rates",
            "/readyz",
        ] {
            assert!(paths.contains(path), "{path} is missing in {paths:?}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_says_what_an_error_looks_like() {
        let document = document();
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let tag = operation["tags"][0].as_str().unwrap();
                assert!(
                    document["tags"].as_array().unwrap().iter().any(|known| known["name"] == tag),
                    "{tag}"
                );
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name), "{name} names two operations");
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
            }
        }
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for content in
            [include_str!("docs/index.html"), include_str!("docs/docs.js"), include_str!("docs/docs.css")]
        {
            for outside in ["http://", "https://", "//cdn", "innerHTML", "eval("] {
                assert!(!content.contains(outside), "{outside}");
            }
        }
    }

    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    match value.as_str() {
                        Some(reference) if key == "$ref" => into.push(reference.to_owned()),
                        _ => collect(value, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
