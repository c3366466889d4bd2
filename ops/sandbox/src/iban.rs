//! Account numbers: IBAN by ISO 13616 with its mod-97 check.

use serde::{Deserialize, Serialize};

/// An IBAN in electronic form (no spaces) whose check digits hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Iban(String);

/// The text is no IBAN: wrong shape, or mod 97 of the rearranged number is not 1.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid IBAN")]
pub struct NotAnIban;

impl Iban {
    /// Reads an IBAN in electronic form.
    pub fn parse(text: &str) -> Result<Self, NotAnIban> {
        let bytes = text.as_bytes();
        let shaped = (15..=34).contains(&bytes.len())
            && bytes.iter().take(2).all(u8::is_ascii_uppercase)
            && bytes.iter().skip(2).take(2).all(u8::is_ascii_digit)
            && bytes.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && (!text.starts_with("NO")
                || (bytes.len() == 15 && bytes.iter().skip(2).all(u8::is_ascii_digit)));
        if shaped && remainder(text) == 1 { Ok(Self(text.to_owned())) } else { Err(NotAnIban) }
    }

    /// The IBAN of a Norwegian account number (11 digits).
    pub fn norwegian(number: &str) -> Result<Self, NotAnIban> {
        let check = 98 - remainder(&format!("NO00{number}"));
        Self::parse(&format!("NO{check:02}{number}"))
    }

    /// The electronic form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The four digits that name the bank in a Norwegian account number.
    pub fn norwegian_bank_code(&self) -> Option<u16> {
        self.0.strip_prefix("NO")?.get(2..6)?.parse().ok()
    }
}

/// Mod 97 of the number with the first four characters moved to the end and letters read as 10 to 35.
fn remainder(text: &str) -> u32 {
    let (head, tail) = text.split_at(4.min(text.len()));
    tail.chars().chain(head.chars()).filter_map(|letter| letter.to_digit(36)).fold(0, |rest, value| {
        let shift = if value > 9 { 100 } else { 10 };
        (rest * shift + value) % 97
    })
}

impl TryFrom<String> for Iban {
    type Error = NotAnIban;
    fn try_from(text: String) -> Result<Self, NotAnIban> {
        Self::parse(&text)
    }
}

impl From<Iban> for String {
    fn from(iban: Iban) -> Self {
        iban.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_decide() {
        for good in
            ["NO9386011117947", "RS35265000000123456757", "DE89370400440532013000", "GB82WEST12345698765432"]
        {
            assert!(Iban::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "NO9386011117946",
            "NO9386011117",
            "no9386011117947",
            "NO93 8601 1117 947",
            "",
            "RS35265000000123456758",
            "NØ93",
        ] {
            assert!(Iban::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_norwegian_number_gets_its_check_digits() {
        assert_eq!(Iban::norwegian("86011117947").unwrap().as_str(), "NO9386011117947");
        assert_eq!(Iban::norwegian("12073650567").unwrap().norwegian_bank_code(), Some(1207));
    }
}
