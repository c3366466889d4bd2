//! The free-text reference of a payment, which the recipient's bank shows to the recipient.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{SepaFault, sepa_fault, serde_as_string, to_sepa};
use crate::ids::{EndToEndId, TransactionId};

/// `remittanceInformationUnstructured`: 1–140 characters of the SEPA set, without a slash or space at
/// an end and without `//`. `Debug` tells its length only: people write names into references.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference(String);

/// Why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing is left to show.
    #[error("a reference has at least one character of the SEPA set")]
    Empty,
    /// Longer than banks carry.
    #[error("a reference has at most {} characters", Reference::MAX)]
    TooLong,
    /// A character that banks do not carry.
    #[error("a reference has letters a-z, digits, space and / - ? : ( ) . , ' + only")]
    Character,
    /// A slash or space where SEPA forbids it.
    #[error("a reference neither starts nor ends with a slash or space and has no double slash")]
    Slash,
}

impl Reference {
    /// The longest reference, in characters.
    pub const MAX: usize = 140;

    /// Makes a reference of any text: brings it into the SEPA set, repairs slashes and cuts it to
    /// [`Reference::MAX`]. Fails when nothing is left.
    pub fn from_text(text: &str) -> Result<Self, ReferenceError> {
        fit(text, Self::MAX).parse()
    }

    /// A label followed by the transaction id in its SEPA form, `Drop remittance tx-…` (RA-06, X-43).
    /// The label gives way when the two are too long together; the id never does.
    pub fn with_id(label: &str, transaction: TransactionId) -> Self {
        let id = EndToEndId::of(transaction);
        let label = fit(label, Self::MAX - EndToEndId::MAX - 1);
        if label.is_empty() { Self(id.to_string()) } else { Self(format!("{label} {id}")) }
    }

    /// The text of the reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The longest beginning of a text that satisfies the rules; possibly nothing.
fn fit(text: &str, max: usize) -> String {
    let mut fitted = String::new();
    for c in to_sepa(text).chars() {
        let fits = if c == '/' {
            !fitted.is_empty() && !fitted.ends_with('/')
        } else {
            c != ' ' || !fitted.is_empty()
        };
        if fits && fitted.len() < max {
            fitted.push(c);
        }
    }
    fitted.truncate(fitted.trim_end_matches(['/', ' ']).len());
    fitted
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match sepa_fault(text) {
            Some(SepaFault::Empty) => Err(ReferenceError::Empty),
            Some(SepaFault::Character) => Err(ReferenceError::Character),
            Some(SepaFault::Slash) => Err(ReferenceError::Slash),
            None if text.len() > Self::MAX => Err(ReferenceError::TooLong),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({} characters)", self.0.len())
    }
}

serde_as_string!(Reference, "a payment reference");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_keeps_the_rules_of_sepa() {
        for (text, error) in [
            ("", ReferenceError::Empty),
            ("/a", ReferenceError::Slash),
            ("a/", ReferenceError::Slash),
            ("a//b", ReferenceError::Slash),
            (" a", ReferenceError::Slash),
            ("a ", ReferenceError::Slash),
            ("tx_rem", ReferenceError::Character),
            ("blå", ReferenceError::Character),
            ("a\nb", ReferenceError::Character),
            (&"a".repeat(141), ReferenceError::TooLong),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(error), "{text:?}");
            assert!(serde_json::from_str::<Reference>(&serde_json::to_string(text).unwrap()).is_err());
        }
        for text in ["a", "a/b", "Drop remittance tx-rem-abc123", &"a".repeat(140)] {
            let reference = text.parse::<Reference>().unwrap();
            assert_eq!(reference.as_str(), text);
            let json = serde_json::to_string(&reference).unwrap();
            assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
        }
    }

    #[test]
    fn any_text_becomes_a_valid_reference_or_none() {
        for (text, made) in [
            ("Drop remittance tx_rem_abc123", Some("Drop remittance tx-rem-abc123")),
            ("//år//2026//", Some("ar/2026")),
            ("/ / a", Some("a")),
            ("a /", Some("a")),
            ("https://drop.example", Some("https:/drop.example")),
            ("\\\\ / ", None),
            ("日本", None),
            ("", None),
        ] {
            let got = Reference::from_text(text);
            assert_eq!(got.as_ref().ok().map(Reference::as_str), made, "{text:?}");
            if let Ok(got) = got {
                assert_eq!(got.as_str().parse(), Ok(got.clone()), "{text:?}");
            }
        }
        for length in 100..200 {
            let cut = Reference::from_text(&"ab/ ".repeat(length)).unwrap();
            assert_eq!(cut.as_str().parse(), Ok(cut.clone()));
        }
    }

    #[test]
    fn the_id_survives_whatever_the_label_is() {
        let transaction = TransactionId::new(0xabc);
        let id = "tx-00000000000000000000000000000abc";
        for (label, made) in [
            ("Drop remittance", format!("Drop remittance {id}")),
            ("", id.to_owned()),
            ("///", id.to_owned()),
            (&"å".repeat(500), format!("{} {id}", "a".repeat(104))),
        ] {
            let reference = Reference::with_id(label, transaction);
            assert_eq!(reference.as_str(), made);
            assert_eq!(made.parse(), Ok(reference));
        }
    }

    #[test]
    fn debug_does_not_repeat_what_people_write() {
        let reference = Reference::from_text("To Kari for the rent").unwrap();
        assert_eq!(format!("{reference:?}"), "Reference(20 characters)");
    }
}
