//! Exact amounts: integer minor units with a currency, written as decimal strings.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A sum in one currency, in minor units. Written as `{"amount":"2000.00","currency":"NOK"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(Cow<'static, str>);

/// Why an amount or a currency was not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unreadable {
    /// Not three capital letters.
    #[error("the currency must be an ISO 4217 code of three capital letters")]
    Currency,
    /// Not a plain decimal number, or with more decimals than the currency has.
    #[error("the amount must be a decimal string with at most {0} decimals")]
    Amount(usize),
}

#[derive(Clone, Serialize, Deserialize)]
struct Written {
    amount: String,
    currency: String,
}

impl Money {
    /// A sum given in minor units.
    pub fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads `"2000.00"`: digits, an optional point and at most the currency's decimals; no sign, no exponent.
    pub fn parse(amount: &str, currency: &str) -> Result<Self, Unreadable> {
        let currency = Currency::parse(currency)?;
        let minor = currency.minor(amount).ok_or(Unreadable::Amount(currency.decimals()))?;
        Ok(Self { minor, currency })
    }

    /// The sum in minor units.
    pub fn minor(&self) -> i64 {
        self.minor
    }

    /// Its currency.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// The decimal string, with all the currency's decimals.
    pub fn amount(&self) -> String {
        self.currency.written(self.minor)
    }
}

impl Currency {
    /// Norwegian kroner.
    pub const NOK: Self = Self(Cow::Borrowed("NOK"));
    /// Euro.
    pub const EUR: Self = Self(Cow::Borrowed("EUR"));

    /// Reads three capital letters.
    pub fn parse(code: &str) -> Result<Self, Unreadable> {
        if code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_uppercase()) {
            Ok(Self(Cow::Owned(code.to_owned())))
        } else {
            Err(Unreadable::Currency)
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many decimals ISO 4217 gives the currency.
    pub fn decimals(&self) -> usize {
        match self.as_str() {
            "CLP" | "ISK" | "JPY" | "KRW" | "PYG" | "UGX" | "VND" | "XAF" | "XOF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }

    /// A sum of this currency in minor units as its decimal string.
    pub fn written(&self, minor: i64) -> String {
        let decimals = self.decimals();
        let sign = if minor < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", minor.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
    }

    fn minor(&self, amount: &str) -> Option<i64> {
        let decimals = self.decimals();
        let (whole, part) = match amount.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, part)) => (whole, part),
            None => (amount, ""),
        };
        let plain = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(part) || part.len() > decimals {
            return None;
        }
        format!("{whole}{part:0<decimals$}").parse().ok()
    }
}

impl TryFrom<String> for Currency {
    type Error = Unreadable;
    fn try_from(code: String) -> Result<Self, Unreadable> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.0.into_owned()
    }
}

impl TryFrom<Written> for Money {
    type Error = Unreadable;
    fn try_from(written: Written) -> Result<Self, Unreadable> {
        Self::parse(&written.amount, &written.currency)
    }
}

impl From<Money> for Written {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        let read = |amount, currency| Money::parse(amount, currency).map(|money| money.minor());
        for (amount, currency, minor) in [
            ("2000.00", "NOK", 200_000),
            ("0.1", "EUR", 10),
            ("7", "NOK", 700),
            ("100", "ISK", 100),
            ("1.234", "KWD", 1234),
        ] {
            assert_eq!(read(amount, currency), Ok(minor), "{amount} {currency}");
        }
        for (amount, currency) in [
            ("", "NOK"),
            (".5", "NOK"),
            ("5.", "NOK"),
            ("-1", "NOK"),
            ("+1", "NOK"),
            ("1e3", "NOK"),
            ("1,00", "NOK"),
            ("1.001", "NOK"),
            ("1.5", "ISK"),
            (" 1", "NOK"),
            ("99999999999999999999", "NOK"),
            ("1", "nok"),
            ("1", "NO"),
        ] {
            assert!(read(amount, currency).is_err(), "{amount} {currency}");
        }
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for (minor, currency, written) in [
            (5, "NOK", "0.05"),
            (-5, "NOK", "-0.05"),
            (0, "NOK", "0.00"),
            (7, "ISK", "7"),
            (1, "KWD", "0.001"),
        ] {
            let money = Money::from_minor(minor, Currency::parse(currency).unwrap());
            assert_eq!(money.amount(), written);
        }
    }
}
