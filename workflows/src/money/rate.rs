//! Exchange rates: exact decimals, kept with the digits the provider gave.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::decimal::half_up;
use super::{Currency, Decimal, Money, MoneyError};
use crate::text::serde_as_string;

/// What one major unit of the sent currency is worth in major units of the received one. Positive,
/// at most 12 digits before the point and 10 after it. `0.0870` stays `0.0870`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(rust_decimal::Decimal);

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RateError {
    /// Something other than digits with at most one point between them, or too many digits.
    #[error(
        "a rate is written as at most 12 digits, optionally a point and at most 10 decimals, such as 0.0870"
    )]
    Malformed,
    /// Zero or below: it would turn money into nothing.
    #[error("a rate is above zero")]
    NotPositive,
}

const MAX_WHOLE_DIGITS: usize = 12;
const MAX_DECIMALS: usize = 10;

impl Rate {
    /// Reads a rate exactly, such as `0.0870`.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let decimal = Decimal::read(text).ok_or(RateError::Malformed)?;
        if decimal.whole.len() > MAX_WHOLE_DIGITS || decimal.fraction.len() > MAX_DECIMALS {
            return Err(RateError::Malformed);
        }
        if decimal.negative || decimal.digits().all(|digit| digit == 0) {
            return Err(RateError::NotPositive);
        }
        rust_decimal::Decimal::from_str_exact(text).map(Self).map_err(|_| RateError::Malformed)
    }

    /// The worth of an amount in another currency, rounded half up to a whole minor unit of it.
    pub fn convert(self, sent: Money, received: Currency) -> Result<Money, MoneyError> {
        let up = power_of_ten(u32::from(received.exponent()));
        let down = power_of_ten(self.0.scale() + u32::from(sent.currency.exponent()));
        let minor = i128::from(sent.minor)
            .checked_mul(self.0.mantissa())
            .and_then(|product| product.checked_mul(up))
            .and_then(|exact| i64::try_from(half_up(exact, down)).ok())
            .ok_or(MoneyError::Overflow)?;
        Ok(Money::new(minor, received))
    }
}

/// Exponents here are at most 14: ten decimals of a rate and four of a currency.
const fn power_of_ten(exponent: u32) -> i128 {
    10_i128.pow(exponent)
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        Self::parse(text)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

serde_as_string!(Rate, "an exchange rate written as a decimal string");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_keeps_the_digits_it_was_given() {
        for text in [
            "0.0870",
            "0.087",
            "1",
            "11.4942528736",
            "1.0000000000",
            "0.0000000001",
            "999999999999.9999999999",
        ] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(serde_json::to_string(&rate).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Rate>(&format!("\"{text}\"")).unwrap(), rate);
        }
        assert!(serde_json::from_str::<Rate>("0.087").is_err(), "a JSON number may have been a float");
    }

    #[test]
    fn what_is_no_positive_decimal_is_refused() {
        for (text, error) in [
            ("", RateError::Malformed),
            ("1.", RateError::Malformed),
            (".5", RateError::Malformed),
            ("+1", RateError::Malformed),
            ("1e-3", RateError::Malformed),
            ("1_000", RateError::Malformed),
            ("0.00000000001", RateError::Malformed),
            ("1000000000000", RateError::Malformed),
            ("0", RateError::NotPositive),
            ("0.000", RateError::NotPositive),
            ("-0.087", RateError::NotPositive),
        ] {
            assert_eq!(Rate::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn conversion_rounds_half_up_to_the_received_currency() {
        for (rate, sent, received, minor) in [
            ("0.0870", Money::new(200_000, Currency::NOK), Currency::EUR, 17_400), // 2000.00 NOK, 174.00 EUR
            ("0.5", Money::new(1, Currency::NOK), Currency::EUR, 1),
            ("0.4999999999", Money::new(1, Currency::NOK), Currency::EUR, 0),
            ("0.5", Money::new(-1, Currency::NOK), Currency::EUR, -1),
            ("14.2", Money::new(1_005, Currency::NOK), Currency::JPY, 143), // 10.05 NOK, 142.71 JPY
            ("0.0703", Money::new(1_000, Currency::JPY), Currency::NOK, 7_030),
            ("0.03", Money::new(10_000, Currency::NOK), Currency::KWD, 3_000),
            ("1", Money::new(i64::MAX, Currency::NOK), Currency::EUR, i64::MAX),
        ] {
            let converted = Rate::parse(rate).unwrap().convert(sent, received);
            assert_eq!(converted, Ok(Money::new(minor, received)), "{sent} at {rate}");
        }
    }

    #[test]
    fn a_conversion_beyond_64_bits_is_refused() {
        for rate in ["1.1", "999999999999.9999999999"] {
            for minor in [i64::MAX, i64::MIN] {
                let converted =
                    Rate::parse(rate).unwrap().convert(Money::new(minor, Currency::NOK), Currency::EUR);
                assert_eq!(converted, Err(MoneyError::Overflow), "{minor} at {rate}");
            }
        }
    }

    #[test]
    fn conversion_is_within_half_a_minor_unit_of_the_exact_value() {
        for minor in (1..2_000_000).step_by(997) {
            for (rate, mantissa, scale) in [
                ("0.0870", 870, 10_000),
                ("11.73", 1_173, 100),
                ("0.3333333333", 3_333_333_333, 10_000_000_000),
            ] {
                let got = Rate::parse(rate)
                    .unwrap()
                    .convert(Money::new(minor, Currency::NOK), Currency::EUR)
                    .unwrap();
                let error = i128::from(got.minor) * scale - i128::from(minor) * mantissa;
                assert!(2 * error.abs() <= scale, "{minor} at {rate} gave {got}");
            }
        }
    }
}
