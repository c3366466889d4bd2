//! Countries by ISO 3166 alpha-2 code. Which countries are served is data, not code (FE-03).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::text::{ascii, serde_as_string};

/// Two capital letters that stand for a country.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// The text is not two capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a country is two capital letters, such as NO")]
pub struct CountryError;

impl Country {
    /// Bosnia and Herzegovina.
    pub const BA: Self = Self(*b"BA");
    /// Montenegro.
    pub const ME: Self = Self(*b"ME");
    /// North Macedonia.
    pub const MK: Self = Self(*b"MK");
    /// Norway.
    pub const NO: Self = Self(*b"NO");
    /// Serbia.
    pub const RS: Self = Self(*b"RS");
    /// Slovenia.
    pub const SI: Self = Self(*b"SI");
    /// Kosovo, by the code that banks agreed on.
    pub const XK: Self = Self(*b"XK");

    /// The two letters.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

impl FromStr for Country {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        match *text.as_bytes() {
            [first @ b'A'..=b'Z', second @ b'A'..=b'Z'] => Ok(Self([first, second])),
            _ => Err(CountryError),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_string!(Country, "a country code of two capital letters");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_capital_letters() {
        assert_eq!("NO".parse(), Ok(Country::NO));
        assert_eq!(serde_json::to_string(&Country::RS).unwrap(), "\"RS\"");
        for text in ["", "N", "no", "NOR", "N0", "Ø", " NO"] {
            assert_eq!(text.parse::<Country>(), Err(CountryError), "{text:?}");
        }
    }
}
