//! Who may call: a bearer key, or a token got with client credentials.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use axum::{
    Form, Json,
    extract::{Request, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, headers, lock};
use crate::{
    config::{Client, Config},
    faults::Operation,
    ports,
    refusal::Refusal,
};

/// The credentials the bank knows. Tokens are forgotten when it stops, as if they had expired.
pub(crate) struct Tokens {
    api_key: Option<String>,
    client: Option<Client>,
    ttl: Duration,
    issued: Mutex<HashMap<String, DateTime<Utc>>>,
}

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
}

impl Tokens {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            api_key: config.api_key.clone(),
            client: config.client.clone(),
            ttl: config.token_ttl,
            issued: Mutex::default(),
        }
    }

    /// A token for whoever has the client's credentials; for anybody where the bank asks for none.
    fn issue(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<Value, Refusal> {
        if request.grant_type != "client_credentials" {
            return Err(Refusal::format("grant_type must be client_credentials"));
        }
        let known = match (&self.client, &self.api_key) {
            (Some(client), _) => client.id == request.client_id && client.secret == request.client_secret,
            (None, Some(_)) => false,
            (None, None) => true,
        };
        if !known {
            return Err(invalid("the client credentials are not known"));
        }
        let token = ports::secret_id().simple().to_string();
        let mut issued = lock(&self.issued);
        issued.retain(|_, expires| *expires > now);
        issued.insert(token.clone(), now + self.ttl);
        Ok(json!({ "access_token": token, "expires_in": self.ttl.as_secs(), "token_type": "Bearer" }))
    }

    fn check(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<(), Refusal> {
        if self.api_key.is_none() && self.client.is_none() {
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given
            .and_then(|given| given.strip_prefix("Bearer "))
            .ok_or_else(|| invalid("no bearer token"))?;
        let is_key = self.api_key.as_deref() == Some(token);
        let is_live = || lock(&self.issued).get(token).is_some_and(|expires| now < *expires);
        if is_key || is_live() { Ok(()) } else { Err(invalid("the token is unknown or has expired")) }
    }
}

/// `POST /auth/token`
pub(super) async fn token(
    State(app): State<App>,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Result<Json<Value>, Refusal> {
    let Form(request) = form.map_err(|error| Refusal::format(error.body_text()))?;
    app.tokens.issue(&request, ports::now()).map(Json)
}

/// Lets through who is known and sends what every call must carry.
pub(super) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let admitted = match Operation::of(request.method(), request.uri().path()) {
        Operation::Health | Operation::Token => Ok(()),
        Operation::Initiate
        | Operation::Status
        | Operation::Locate
        | Operation::Cancel
        | Operation::Balances
        | Operation::Consent
        | Operation::Banks
        | Operation::Other
        | Operation::Any => app
            .tokens
            .check(request.headers(), ports::now())
            .and_then(|()| headers::request_id(request.headers()))
            .and_then(|_| headers::psu_ip(request.headers()))
            .map(|_| ()),
    };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "invalid_api_key", text)
}
