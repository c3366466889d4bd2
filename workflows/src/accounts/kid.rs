//! KID, the Norwegian structured payment reference. It travels in `remittanceInformationStructured` and
//! never together with free text.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::check::{luhn, mod_11};
use super::masked_tail;
use crate::text::serde_as_string;

/// 2–25 characters: digits, of which the last checks the others; under modulo 11 the last may be `-`.
/// `Debug` is masked: an invoice number may lead to a person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

/// Which rule the last digit follows. The payee's agreement with the bank fixes it; the payer cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KidCheck {
    /// Luhn.
    Mod10,
    /// Weights 2–7 from the right; ten is written `-`.
    Mod11,
}

/// Why a text is no KID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KidError {
    /// Not 2–25 digits, or a `-` elsewhere than at the end.
    #[error("a KID has 2 to 25 digits, of which the last may be a hyphen")]
    Malformed,
    /// The last digit fits neither modulo 10 nor modulo 11.
    #[error("the check digit of the KID is wrong")]
    CheckDigit,
}

impl Kid {
    /// The KID of 1–24 digits, by appending their check digit.
    pub fn with_check(payload: &str, check: KidCheck) -> Result<Self, KidError> {
        if !(1..=24).contains(&payload.len()) || !payload.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(KidError::Malformed);
        }
        Ok(Self(format!("{payload}{}", check.digit(payload))))
    }

    /// Whether the last digit follows a rule. Some numbers satisfy both.
    pub fn satisfies(&self, check: KidCheck) -> bool {
        let mut payload = self.0.chars();
        let last = payload.next_back();
        last == Some(check.digit(payload.as_str()))
    }

    /// The text of the KID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KidCheck {
    /// The check digit of a text of digits.
    fn digit(self, payload: &str) -> char {
        let digit = match self {
            Self::Mod10 => Some(luhn(payload.as_bytes())),
            Self::Mod11 => mod_11(payload.as_bytes()),
        };
        digit.map_or('-', |digit| char::from(b'0' + digit))
    }
}

impl FromStr for Kid {
    type Err = KidError;

    fn from_str(text: &str) -> Result<Self, KidError> {
        let digits = text.strip_suffix('-').unwrap_or(text);
        if !(2..=25).contains(&text.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(KidError::Malformed);
        }
        let kid = Self(text.to_owned());
        if kid.satisfies(KidCheck::Mod10) || kid.satisfies(KidCheck::Mod11) {
            Ok(kid)
        } else {
            Err(KidError::CheckDigit)
        }
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KID{}", masked_tail(&self.0))
    }
}

serde_as_string!(Kid, "a KID");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_follows_either_rule() {
        for (payload, mod_10, mod_11) in [
            ("1234", '4', '3'),
            ("123456789", '7', '2'),
            ("2345678", '3', '8'),
            ("60224", '3', '8'),
            ("104", '0', '-'),
        ] {
            for (check, last) in [(KidCheck::Mod10, mod_10), (KidCheck::Mod11, mod_11)] {
                let text = format!("{payload}{last}");
                let kid: Kid = text.parse().unwrap();
                assert!(kid.satisfies(check));
                assert_eq!(Kid::with_check(payload, check), Ok(kid.clone()));
                assert_eq!(serde_json::from_str::<Kid>(&format!("\"{text}\"")).unwrap(), kid);
            }
            for wrong in "0123456789-".chars().filter(|last| *last != mod_10 && *last != mod_11) {
                assert_eq!(format!("{payload}{wrong}").parse::<Kid>(), Err(KidError::CheckDigit));
            }
        }
    }

    #[test]
    fn what_is_no_kid_is_refused() {
        for text in ["", "1", "-", "12-34", "-12", "12 344", "12344-x", "1234٤", &"0".repeat(26)] {
            assert_eq!(text.parse::<Kid>(), Err(KidError::Malformed), "{text:?}");
        }
        for payload in ["", "12-", "x", &"1".repeat(25)] {
            assert_eq!(Kid::with_check(payload, KidCheck::Mod10), Err(KidError::Malformed), "{payload:?}");
        }
        assert_eq!(Kid::with_check(&"1".repeat(24), KidCheck::Mod10).unwrap().as_str().len(), 25);
    }

    #[test]
    fn logs_see_the_last_four_of_long_ones() {
        assert_eq!(format!("{:?}", "1234567897".parse::<Kid>().unwrap()), "KID***7897");
        assert_eq!(format!("{:?}", "12344".parse::<Kid>().unwrap()), "KID***");
    }
}
