//! Prices of one currency in another.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use workers::registry::ExchangeRate;
use workflows::money::{Currency, Rate};
use workflows::time::At;

use super::App;
use super::auth::{Backend, Caller};
use super::body::Json;
use super::error::{Code, Problem};
use super::money::Decimal;
use super::request::Parameters;
use super::validation::{Faults, Given, Object, sure};

/// The most pairs in one request.
const MOST: usize = 1_000;

/// Prices to be stored, all or none.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatesRequest {
    /// The prices.
    #[serde(default)]
    #[schema(value_type = Vec<RateRequest>, required)]
    rates: Given<Vec<Object<RateRequest>>>,
}

/// One price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateRequest {
    /// One unit of this
    #[serde(default)]
    #[schema(value_type = String, required, example = "NOK")]
    from: Given<Currency>,
    /// costs so much of this.
    #[serde(default)]
    #[schema(value_type = String, required, example = "EUR")]
    to: Given<Currency>,
    /// The price: a decimal string or number above 0.
    #[serde(default)]
    #[schema(value_type = Decimal, inline, required, example = "0.0870")]
    rate: Given<Decimal>,
    /// Until when it may be promised; for ever when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime, example = json!(null))]
    valid_until: Given<String>,
}

/// A stored price.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateResource {
    /// One unit of this
    #[schema(example = "NOK")]
    from: String,
    /// costs so much of this.
    #[schema(example = "EUR")]
    to: String,
    /// The price.
    #[schema(example = "0.0870")]
    rate: String,
    /// Until when it may be promised.
    #[schema(required, example = json!(null))]
    valid_until: Option<String>,
}

/// The prices that were stored.
#[derive(Serialize, ToSchema)]
pub struct RatesResource {
    /// The prices.
    rates: Vec<RateResource>,
}

/// Which price.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RateQuery {
    /// Currency that is given.
    #[param(required, example = "NOK")]
    from: Option<String>,
    /// Currency that is received.
    #[param(required, example = "EUR")]
    to: Option<String>,
}

/// Store prices; all of them or, when one is wrong, none.
#[utoipa::path(put, path = "/v1/exchange-rates", tag = "Provisioning", operation_id = "putExchangeRates", request_body = RatesRequest,
    responses((status = 200, body = RatesResource)))]
pub async fn put(
    State(app): State<App>,
    _: Backend,
    Json(request): Json<RatesRequest>,
) -> Result<axum::Json<RatesResource>, Problem> {
    let rates = request.rates()?;
    app.registry.put_rates(&rates, app.engine.now()).await?;
    Ok(axum::Json(RatesResource { rates: rates.into_iter().map(Into::into).collect() }))
}

/// Read the price of a pair.
#[utoipa::path(get, path = "/v1/exchange-rates", tag = "Payments", operation_id = "readExchangeRate", params(RateQuery),
    responses((status = 200, body = RateResource), (status = 404, description = "`not_found`: no price, or it has expired")))]
pub async fn read(
    State(app): State<App>,
    _: Caller,
    Parameters(query): Parameters<RateQuery>,
) -> Result<axum::Json<RateResource>, Problem> {
    let mut faults = Faults::default();
    let from: Option<Currency> = currency(&mut faults, "from", query.from.as_deref());
    let to = currency(&mut faults, "to", query.to.as_deref());
    faults.finish()?;
    let stored = app.registry.rate(sure(from)?, sure(to)?).await?;
    let now = app.engine.now();
    let rate = stored.filter(|rate| rate.valid_until.is_none_or(|until| until > now));
    let rate =
        rate.ok_or_else(|| Problem::new(Code::NotFound, "There is no exchange rate for this pair."))?;
    Ok(axum::Json(rate.into()))
}

fn currency(faults: &mut Faults, field: &str, text: Option<&str>) -> Option<Currency> {
    let text = faults.required(field, text.map_or(Given::Absent, Given::Value));
    faults.read(field, text, str::parse)
}

impl RatesRequest {
    fn rates(self) -> Result<Vec<ExchangeRate>, Problem> {
        let mut faults = Faults::default();
        let requests = faults.required("rates", self.rates).unwrap_or_default();
        if requests.len() > MOST {
            faults.add("rates", format_args!("must have at most {MOST} elements"));
        }
        let mut rates: Vec<ExchangeRate> = Vec::with_capacity(requests.len());
        for (place, Object(request)) in requests.into_iter().enumerate() {
            let mut inner = Faults::default();
            if let Some(rate) = request.rate(&mut inner) {
                if rates.iter().any(|earlier| (earlier.from, earlier.to) == (rate.from, rate.to)) {
                    inner.add("to", "this pair stands here twice");
                }
                rates.push(rate);
            }
            faults.within(&format!("rates[{place}]"), inner);
        }
        faults.finish()?;
        if rates.is_empty() {
            return Err(Problem::field("rates", "must have at least one element"));
        }
        Ok(rates)
    }
}

impl RateRequest {
    fn rate(self, faults: &mut Faults) -> Option<ExchangeRate> {
        let from = faults.required("from", self.from);
        let to = faults.required("to", self.to);
        if from.is_some() && from == to {
            faults.add("to", "must differ from from");
        }
        let rate = faults.required("rate", self.rate);
        let rate = faults.read("rate", rate, |Decimal(text)| Rate::parse(&text));
        let valid_until = faults.optional("validUntil", self.valid_until);
        let valid_until = faults.read("validUntil", valid_until, |text| At::parse(&text));
        Some(ExchangeRate { from: from?, to: to?, rate: rate?, valid_until })
    }
}

impl From<ExchangeRate> for RateResource {
    fn from(rate: ExchangeRate) -> Self {
        RateResource {
            from: rate.from.to_string(),
            to: rate.to.to_string(),
            rate: rate.rate.to_string(),
            valid_until: rate.valid_until.map(At::to_rfc3339_millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<ExchangeRate>, String> {
        let request: RatesRequest = serde_json::from_str(body).unwrap();
        request.rates().map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn a_price_is_exact_and_keeps_its_digits() {
        let rates = read(r#"{"rates":[{"from":"NOK","to":"EUR","rate":0.0870,"validUntil":null}]}"#).unwrap();
        assert_eq!(rates[0].rate.to_string(), "0.0870");
    }

    #[test]
    fn the_faulty_element_is_named() {
        for (body, field) in [
            ("{}", "rates"),
            (r#"{"rates":[]}"#, "rates"),
            (r#"{"rates":[["NOK","EUR","1"]]}"#, "rates"),
            (r#"{"rates":[{"from":"NOK","to":"EUR","rate":"1","extra":1}]}"#, "extra"),
            (
                r#"{"rates":[{"from":"NOK","to":"EUR","rate":"1"},{"from":"NOK","to":"SEK","rate":"0"}]}"#,
                "rates[1].rate",
            ),
            (r#"{"rates":[{"from":"NOK","to":"NOK","rate":"1"}]}"#, "rates[0].to"),
            (
                r#"{"rates":[{"from":"NOK","to":"EUR","rate":"1"},{"from":"NOK","to":"EUR","rate":"2"}]}"#,
                "rates[1].to",
            ),
            (r#"{"rates":[{"from":"kr","to":"EUR","rate":"1"}]}"#, "rates[0].from"),
            (
                r#"{"rates":[{"from":"NOK","to":"EUR","rate":"1","validUntil":"soon"}]}"#,
                "rates[0].validUntil",
            ),
        ] {
            let shown = read(body).unwrap_err();
            assert!(shown.contains(field), "{field}: {shown}");
        }
    }
}
