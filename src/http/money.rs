//! Amounts and rates as they stand in a body: a JSON string or number, kept as the text it was written in, so that no
//! binary float ever comes between.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A decimal number as it was written: `"2010.00"` and `2010.00` are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(pub String);

impl PartialSchema for Decimal {
    fn schema() -> RefOr<Schema> {
        let either = SchemaType::from_iter([Type::String, Type::Number]);
        RefOr::T(ObjectBuilder::new().schema_type(either).into())
    }
}

impl ToSchema for Decimal {}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Decimal).map_err(D::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Decimal(text.to_owned())),
            Some(_) | None => Err(D::Error::custom("must be a decimal number or a string that holds one")),
        }
    }
}

#[cfg(test)]
mod tests {
    use workflows::money::{Currency, Money};

    use super::super::validation::Given;
    use super::*;

    #[test]
    fn an_amount_is_exact_however_it_is_written() {
        for (json, minor) in [
            ("100", Some(10_000)),
            ("100.0", Some(10_000)),
            ("\"100.00\"", Some(10_000)),
            ("2010.10", Some(201_010)),
            ("4503599627370497.5", Some(450_359_962_737_049_750)),
            ("-1", Some(-100)),
            ("1e3", None),
            ("\"1e3\"", None),
            ("100.001", None),
            ("\"1,5\"", None),
            ("\"\"", None),
            ("\" 1\"", None),
            ("92233720368547758.08", None),
        ] {
            let Decimal(text) = serde_json::from_str(json).unwrap();
            assert_eq!(Money::parse(&text, Currency::NOK).ok().map(|money| money.minor), minor, "{json}");
        }
    }

    #[test]
    fn nothing_else_is_a_number() {
        for json in ["true", "[1]", "{}", "[]"] {
            assert!(matches!(serde_json::from_str::<Given<Decimal>>(json), Ok(Given::Wrong(_))), "{json}");
        }
    }
}
