//! Bank codes (ISO 9362).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Country;
use crate::text::serde_as_string;

/// A bank's code: party (4), country (2), place (2) and perhaps a branch (3), all capitals or digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bic {
    code: String,
    country: Country,
}

/// The text is no bank code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a BIC has 8 or 11 capital letters and digits with a country in places 5 and 6, such as DNBANOKK")]
pub struct BicError;

impl Bic {
    /// The code as written: 8 or 11 characters.
    pub fn as_str(&self) -> &str {
        &self.code
    }

    /// The country in which the bank is registered.
    pub const fn country(&self) -> Country {
        self.country
    }

    /// The first eight characters: the bank without the branch.
    pub fn bank(&self) -> &str {
        self.code.get(..8).unwrap_or_default()
    }
}

impl FromStr for Bic {
    type Err = BicError;

    /// `^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$`
    fn from_str(text: &str) -> Result<Self, BicError> {
        let formed = matches!(text.len(), 8 | 11)
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let country =
            text.get(4..6).filter(|_| formed).and_then(|letters| letters.parse().ok()).ok_or(BicError)?;
        Ok(Self { code: text.to_owned(), country })
    }
}

impl fmt::Display for Bic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.code)
    }
}

impl fmt::Debug for Bic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)
    }
}

serde_as_string!(Bic, "a BIC");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_banks_are_read() {
        for text in [
            "DNBANOKK",
            "NDEANOKK",
            "SPTRNO22",
            "SNOWNO22",
            "SPRONO22",
            "SHEDNO22",
            "NORVNO21",
            "SOFJNO22",
            "HELGNO21",
            "RZBSRSBG",
            "DEUTDEFF500",
            "DNBANOKKXXX",
            "1234NO00",
        ] {
            let bic: Bic = text.parse().unwrap();
            assert_eq!(bic.to_string(), text);
            assert_eq!(bic.bank(), &text[..8]);
            assert_eq!(bic.country().as_str(), &text[4..6]);
            let json = serde_json::to_string(&bic).unwrap();
            assert_eq!(serde_json::from_str::<Bic>(&json).unwrap(), bic);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "DNBANOK",
            "DNBANOKKX",
            "DNBANOKKXX",
            "DNBANOKKXXXX",
            "dnbanokk",
            "DNBAN0KK",
            "DNBA12KK",
            "DNBA NOKK",
            "DNB-NOKK",
            "ØDBNOKK",
            "DNBANOKÉ",
        ] {
            assert_eq!(text.parse::<Bic>(), Err(BicError), "{text:?}");
        }
    }
}
