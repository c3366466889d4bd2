//! Norwegian account numbers: `bbbb.kk.nnnnc`, eleven digits of which the last is a modulo-11 check.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::check::{control_97, mod_11};
use super::{Country, Iban, masked_tail};
use crate::text::{ascii, serde_as_string};

/// A Norwegian account number whose check digit is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NorwegianAccount([u8; 11]);

/// Why a text is no Norwegian account number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NorwegianAccountError {
    /// Not eleven digits, grouped by dots or spaces or not at all.
    #[error("a Norwegian account number has 11 digits, such as 8601.11.17947")]
    Malformed,
    /// The last digit does not follow from the others.
    #[error("the check digit of the Norwegian account number is wrong")]
    CheckDigit,
}

impl NorwegianAccount {
    /// The eleven digits.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }

    /// The first four digits, by which the bank register assigns numbers.
    pub fn bank_code(&self) -> &str {
        ascii(&self.0[..4])
    }

    /// The number as Norwegians write it, `8601.11.17947`.
    pub fn dotted(&self) -> String {
        format!("{}.{}.{}", self.bank_code(), ascii(&self.0[4..6]), ascii(&self.0[6..]))
    }

    /// The IBAN of the account: always 15 characters.
    pub fn to_iban(&self) -> Iban {
        let control = control_97(&format!("{}{}", self.as_str(), Country::NO));
        Iban::checked(Country::NO, control, self.as_str())
    }

    /// What may stand in a log: `NO***7947`.
    pub fn masked(&self) -> String {
        format!("{}{}", Country::NO, masked_tail(self.as_str()))
    }
}

impl FromStr for NorwegianAccount {
    type Err = NorwegianAccountError;

    fn from_str(text: &str) -> Result<Self, NorwegianAccountError> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'.' | b' ')).collect();
        let digits = <[u8; 11]>::try_from(digits).map_err(|_| NorwegianAccountError::Malformed)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(NorwegianAccountError::Malformed);
        }
        let [payload @ .., last] = &digits;
        if mod_11(payload) == Some(last - b'0') {
            Ok(Self(digits))
        } else {
            Err(NorwegianAccountError::CheckDigit)
        }
    }
}

impl fmt::Display for NorwegianAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for NorwegianAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

serde_as_string!(NorwegianAccount, "a Norwegian account number");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_right_check_digit_are_read() {
        for text in ["86011117947", "12073650567", "12032202452"] {
            let account: NorwegianAccount = text.parse().unwrap();
            assert_eq!(account.to_string(), text);
            assert_eq!(account.dotted().parse(), Ok(account));
            assert_eq!(account.to_iban().to_string().parse(), Ok(account.to_iban()));
            assert_eq!(serde_json::from_str::<NorwegianAccount>(&format!("\"{text}\"")).unwrap(), account);
        }
        for text in ["8601.11.17947", "8601 11 17947", " 86011117947"] {
            assert_eq!(text.parse(), "86011117947".parse::<NorwegianAccount>(), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "8601111794", "860111179470", "8601-11-17947", "8601111794x", "８６０１１１１７９４７"]
        {
            assert_eq!(text.parse::<NorwegianAccount>(), Err(NorwegianAccountError::Malformed), "{text:?}");
        }
        let right = b'7';
        for digit in (b'0'..=b'9').filter(|digit| *digit != right) {
            let text = format!("8601111794{}", char::from(digit));
            assert_eq!(text.parse::<NorwegianAccount>(), Err(NorwegianAccountError::CheckDigit), "{text}");
        }
    }

    #[test]
    fn a_number_whose_check_would_be_ten_does_not_exist() {
        // 5·2 + 4·1 + 3·1 + 2·1 + 7·1 + 6·1 = 32 and 32 mod 11 = 10, so c = 1; raising the weight-2 digit by
        // one makes 34 mod 11 = 1, so c = 10.
        assert!("21111100001".parse::<NorwegianAccount>().is_ok());
        for last in 0..=9 {
            let text = format!("2111110001{last}");
            assert_eq!(text.parse::<NorwegianAccount>(), Err(NorwegianAccountError::CheckDigit), "{text}");
        }
    }

    #[test]
    fn the_iban_and_the_dotted_form_follow_from_the_number() {
        let account: NorwegianAccount = "86011117947".parse().unwrap();
        assert_eq!(account.to_iban().as_str(), "NO9386011117947");
        assert_eq!(account.dotted(), "8601.11.17947");
        assert_eq!(account.bank_code(), "8601");
        assert_eq!(format!("{account:?}"), "NO***7947");
    }
}
