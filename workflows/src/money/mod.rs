//! Money: whole minor units of one currency. The one rule: no amount ever passes through a binary
//! float, and no sum, share or conversion overflows or mixes currencies unseen (X-04, X-06, DB-06).

mod currency;
mod decimal;
mod rate;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::currency::{Currency, UnknownCurrency};
use self::decimal::{Decimal, half_up};
pub use self::rate::{Rate, RateError};

/// One hundredth of a percent is one basis point, so the whole is ten thousand of them.
const BASIS_POINTS_IN_WHOLE: i128 = 10_000;

/// An amount in whole minor units of its currency: 2010.00 NOK is 201 000 øre.
///
/// Amounts may be negative (an overdrawn balance). Amounts of two currencies have no order, so
/// there is no `<`: use [`Money::compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units, such as øre or cents.
    pub minor: i64,
    /// The currency, which says how many minor units make one major unit.
    pub currency: Currency,
}

/// Why an amount could not be read or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Something other than digits with at most one point between them.
    #[error("an amount is written as digits, such as 2010 or 2010.00")]
    Malformed,
    /// More decimals than the currency has; trailing zeros count, since they claim a precision.
    #[error("an amount in {currency} has at most {allowed} decimals")]
    TooManyDecimals {
        /// The currency of the amount.
        currency: Currency,
        /// How many decimals that currency has.
        allowed: u8,
    },
    /// The result does not fit in 64 bits of minor units.
    #[error("the amount is too large")]
    Overflow,
    /// Two amounts that cannot be added, subtracted or compared.
    #[error("amounts in {left} and {right} cannot be combined")]
    CurrencyMismatch {
        /// The currency of the first amount.
        left: Currency,
        /// The currency of the second amount.
        right: Currency,
    },
}

impl Money {
    /// An amount of `minor` units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Reads major units exactly: an optional `-`, digits, and optionally a point with at most the
    /// currency's number of decimals (X-04). Text of a JSON number may be handed over as it stands;
    /// exponents, `+`, spaces and bare points are refused.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let decimal = Decimal::read(text).ok_or(MoneyError::Malformed)?;
        let allowed = currency.exponent();
        let missing = usize::from(allowed)
            .checked_sub(decimal.fraction.len())
            .ok_or(MoneyError::TooManyDecimals { currency, allowed })?;
        let sign = if decimal.negative { -1 } else { 1 };
        let minor = decimal
            .digits()
            .chain(std::iter::repeat_n(0, missing))
            .try_fold(0_i64, |so_far, digit| so_far.checked_mul(10)?.checked_add(sign * i64::from(digit)))
            .ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor, currency))
    }

    /// Major units with exactly the currency's decimals, `2010.00`: the form providers are sent.
    pub fn to_decimal_string(self) -> String {
        let exponent = self.currency.exponent();
        let unit = 10_u64.pow(u32::from(exponent));
        let sign = if self.minor < 0 { "-" } else { "" };
        let minor = self.minor.unsigned_abs();
        if exponent == 0 {
            return format!("{sign}{minor}");
        }
        let (whole, rest) = (minor / unit, minor % unit);
        format!("{sign}{whole}.{rest:0>width$}", width = usize::from(exponent))
    }

    /// The sum of two amounts in one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        self.with_minor(self.minor.checked_add(other.minor))
    }

    /// The difference of two amounts in one currency.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        self.with_minor(self.minor.checked_sub(other.minor))
    }

    /// Which of two amounts in one currency is larger.
    pub fn compare(self, other: Self) -> Result<Ordering, MoneyError> {
        self.same_currency(other)?;
        Ok(self.minor.cmp(&other.minor))
    }

    /// A share in basis points, rounded half up to a whole minor unit. The fee of FE-03, 0.5 %, is
    /// a share of 50. Half of a minor unit moves away from zero, so that a refund mirrors a charge.
    pub fn share(self, basis_points: u32) -> Result<Self, MoneyError> {
        let exact = i128::from(self.minor) * i128::from(basis_points);
        self.with_minor(i64::try_from(half_up(exact, BASIS_POINTS_IN_WHOLE)).ok())
    }

    /// Whether the amount is above zero.
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// Whether the amount is zero.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency })
        }
    }

    fn with_minor(self, minor: Option<i64>) -> Result<Self, MoneyError> {
        minor.map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_decimal_string(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_exactly() {
        for (text, currency, minor) in [
            ("2000", Currency::NOK, 200_000),
            ("2000.0", Currency::NOK, 200_000),
            ("2010.00", Currency::NOK, 201_000),
            ("15000.50", Currency::NOK, 1_500_050),
            ("0.01", Currency::EUR, 1),
            ("007", Currency::EUR, 700),
            ("-12.5", Currency::NOK, -1_250),
            ("-0", Currency::NOK, 0),
            // Not a binary fraction: a float would make it 110.00000000000001 øre.
            ("1.1", Currency::NOK, 110),
            ("4503599627370497.5", Currency::NOK, 450_359_962_737_049_750),
            ("2000", Currency::JPY, 2_000),
            ("1.234", Currency::KWD, 1_234),
            ("1.2345", Currency::CLF, 12_345),
            ("92233720368547758.07", Currency::NOK, i64::MAX),
            ("-92233720368547758.08", Currency::NOK, i64::MIN),
        ] {
            assert_eq!(Money::parse(text, currency), Ok(Money::new(minor, currency)), "{text} {currency}");
        }
    }

    #[test]
    fn anything_but_plain_digits_is_refused() {
        for text in [
            "", " ", "-", ".", "1e3", "1E3", "+1", " 1", "1 ", "1.", ".5", "-.5", "--1", "1.2.3", "1,5",
            "1_000", "0x10", "NaN", "inf", "١", "½", "1\n", "\u{0}", "−1",
        ] {
            assert_eq!(Money::parse(text, Currency::NOK), Err(MoneyError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn more_decimals_than_the_currency_has_are_refused() {
        for (text, currency, allowed) in [
            ("1.001", Currency::NOK, 2),
            ("1.000", Currency::NOK, 2),
            ("1.0", Currency::JPY, 0),
            ("1.0001", Currency::BHD, 3),
            ("1.00001", Currency::UYW, 4),
        ] {
            assert_eq!(Money::parse(text, currency), Err(MoneyError::TooManyDecimals { currency, allowed }));
        }
    }

    #[test]
    fn an_amount_beyond_64_bits_is_refused() {
        for text in
            ["92233720368547758.08", "-92233720368547758.09", "9223372036854775807", &"9".repeat(10_000)]
        {
            assert_eq!(Money::parse(text, Currency::NOK), Err(MoneyError::Overflow));
        }
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let currencies = [Currency::NOK, Currency::JPY, Currency::KWD, Currency::CLF];
        let edges = [0, 1, -1, 9, 10, 99, 100, -100, 201_000, i64::MAX, i64::MIN];
        let spread = (0..62).flat_map(|bit| [1_i64 << bit, -(1_i64 << bit) + 7]);
        for minor in edges.into_iter().chain(spread) {
            for currency in currencies {
                let money = Money::new(minor, currency);
                assert_eq!(Money::parse(&money.to_decimal_string(), currency), Ok(money));
                let json = serde_json::to_string(&money).unwrap();
                assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
            }
        }
    }

    #[test]
    fn amounts_are_shown_with_the_decimals_of_their_currency() {
        for (money, shown) in [
            (Money::new(201_000, Currency::NOK), "2010.00 NOK"),
            (Money::new(5, Currency::EUR), "0.05 EUR"),
            (Money::new(-5, Currency::EUR), "-0.05 EUR"),
            (Money::new(2_000, Currency::JPY), "2000 JPY"),
            (Money::new(1, Currency::TND), "0.001 TND"),
            (Money::new(i64::MIN, Currency::NOK), "-92233720368547758.08 NOK"),
        ] {
            assert_eq!(money.to_string(), shown);
        }
    }

    #[test]
    fn json_holds_minor_units_and_currency_and_nothing_else() {
        let json = r#"{"minor":201000,"currency":"NOK"}"#;
        assert_eq!(serde_json::to_string(&Money::new(201_000, Currency::NOK)).unwrap(), json);
        for bad in [
            r#"{"minor":1.5,"currency":"NOK"}"#,
            r#"{"minor":1,"currency":"XXX"}"#,
            r#"{"minor":1}"#,
            r#"{"minor":1,"currency":"NOK","major":2}"#,
        ] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_fee_is_rounded_half_up_to_a_whole_minor_unit() {
        for (minor, basis_points, fee) in [
            (200_000, 50, 1_000), // the sample of PI-02: 2000.00 and 10.00 make 2010.00
            (10_000, 50, 50),
            (10_099, 50, 50),
            (10_100, 50, 51), // 50.5
            (99, 50, 0),
            (100, 50, 1), // 0.5
            (-100, 50, -1),
            (12_345, 0, 0),
            (12_345, 10_000, 12_345),
            (i64::MAX, 10_000, i64::MAX),
        ] {
            let money = Money::new(minor, Currency::NOK);
            assert_eq!(
                money.share(basis_points),
                Ok(Money::new(fee, Currency::NOK)),
                "{minor} {basis_points}"
            );
        }
        assert_eq!(Money::new(i64::MAX, Currency::NOK).share(10_001), Err(MoneyError::Overflow));
    }

    #[test]
    fn amounts_of_two_currencies_do_not_combine_and_sums_do_not_wrap() {
        let (kroner, euros) = (Money::new(100, Currency::NOK), Money::new(100, Currency::EUR));
        let mismatch = MoneyError::CurrencyMismatch { left: Currency::NOK, right: Currency::EUR };
        assert_eq!(kroner.checked_add(euros), Err(mismatch));
        assert_eq!(kroner.checked_sub(euros), Err(mismatch));
        assert_eq!(kroner.compare(euros), Err(mismatch));
        assert_eq!(kroner.checked_add(kroner), Ok(Money::new(200, Currency::NOK)));
        assert_eq!(kroner.checked_sub(kroner), Ok(Money::zero(Currency::NOK)));
        assert_eq!(kroner.compare(Money::zero(Currency::NOK)), Ok(Ordering::Greater));
        assert_eq!(Money::new(i64::MAX, Currency::NOK).checked_add(kroner), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MIN, Currency::NOK).checked_sub(kroner), Err(MoneyError::Overflow));
    }
}
