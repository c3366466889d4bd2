//! Path and query parameters, whose faults are answered like all others.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::{Code, Problem};

/// The ids in the path of something that exists: what is no id cannot exist.
pub struct Known<T>(pub T);

/// The ids in the path of something that the caller names itself.
pub struct Chosen<T>(pub T);

/// The parameters behind the question mark; unknown ones are refused where the type says so.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Known<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(ids)| Known(ids)).map_err(|_| Code::NotFound.into())
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Chosen<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(ids)| Chosen(ids)).map_err(|_| {
            Problem::field(
                "id",
                "must be a prefix such as usr_ and 1 to 64 letters, digits, underscores or hyphens",
            )
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Parameters(query)).map_err(|rejection| {
            let text = rejection.body_text();
            let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::field("query", reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};

    use super::super::testing::Front;

    #[tokio::test]
    async fn no_address_with_nul_reaches_the_store() {
        let front = Front::open().await;
        let (kari, backend) = (front.kari(), front.backend());
        let wrong = StatusCode::BAD_REQUEST;
        let missing = StatusCode::NOT_FOUND;
        for (method, address, status) in [
            (Method::GET, "/v1/transactions/tx_%00", missing),
            (Method::GET, "/v1/transactions/tx_%00/events", missing),
            (Method::POST, "/v1/transactions/tx_%00/cancel", missing),
            (Method::POST, "/v1/transactions/tx_%00/continue", missing),
            (Method::GET, "/v1/recipients/rec_%00", missing),
            (Method::DELETE, "/v1/recipients/rec_%00", missing),
            (Method::PUT, "/v1/users/usr_%00", wrong),
            (Method::PUT, "/v1/users/usr_a/bank-accounts/bac_%00", wrong),
            (Method::PUT, "/v1/users/usr_%00/recipients/rec_a", wrong),
            (Method::PUT, "/v1/merchants/mer_%00", wrong),
            (Method::GET, "/v1/transactions?status=%00", wrong),
            (Method::GET, "/v1/transactions?type=remittance%00", wrong),
            (Method::GET, "/v1/transactions?from=%00", wrong),
            (Method::GET, "/v1/transactions?to=%00", wrong),
            (Method::GET, "/v1/transactions?userId=usr_%00", wrong),
            (Method::GET, "/v1/transactions?limit=1%00", wrong),
            // "tx_" and "rec_" with NUL, in base64.
            (Method::GET, "/v1/transactions?cursor=dHhfAA", wrong),
            (Method::GET, "/v1/recipients?cursor=cmVjXwA", wrong),
            (Method::GET, "/v1/recipients?userId=usr_%00", wrong),
            (Method::GET, "/v1/bank-accounts?userId=usr_%00", wrong),
            (Method::GET, "/v1/exchange-rates?from=NO%00&to=EUR", wrong),
            (Method::GET, "/v1/exchange-rates?from=NOK&to=EU%00", wrong),
            (Method::GET, "/v1/payments/callback?state=%00", wrong),
        ] {
            let token = if method == Method::PUT { &backend } else { &kari };
            let (answered, answer) = front.ask(method.clone(), address, Some(token), "{}").await;
            assert_eq!(answered, status, "{method} {address}: {answer}");
        }
    }
}
