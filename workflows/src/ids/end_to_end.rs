//! The identifier that travels with a payment from order to statement.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{TransactionId, read_bits};
use crate::text::{SepaFault, sepa_fault, serde_as_string};

/// `endToEndIdentification`: 1–35 characters of the SEPA set, without a slash or space at an end and
/// without `//`. The underscore of our own ids is outside that set, hence `tx-` for `tx_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndToEndId(String);

/// Why a text is no end-to-end id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EndToEndIdError {
    /// Nothing at all.
    #[error("an end-to-end id is not empty")]
    Empty,
    /// Longer than banks carry.
    #[error("an end-to-end id has at most {} characters", EndToEndId::MAX)]
    TooLong,
    /// A character that banks do not carry.
    #[error("an end-to-end id has letters a-z, digits, space and / - ? : ( ) . , ' + only")]
    Character,
    /// A slash or space where SEPA forbids it.
    #[error("an end-to-end id neither starts nor ends with a slash or space and has no double slash")]
    Slash,
}

impl EndToEndId {
    /// The longest end-to-end id, in characters.
    pub const MAX: usize = 35;

    /// The end-to-end id of our own payment: `tx-` and the 32 digits of its id, exactly 35 characters.
    pub fn of(transaction: TransactionId) -> Self {
        Self(format!("tx-{:032x}", transaction.as_u128()))
    }

    /// The payment of ours that this names; `None` for an id made elsewhere.
    pub fn transaction(&self) -> Option<TransactionId> {
        self.0.strip_prefix("tx-").and_then(read_bits).map(TransactionId::new)
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndToEndId {
    type Err = EndToEndIdError;

    fn from_str(text: &str) -> Result<Self, EndToEndIdError> {
        match sepa_fault(text) {
            Some(SepaFault::Empty) => Err(EndToEndIdError::Empty),
            Some(SepaFault::Character) => Err(EndToEndIdError::Character),
            Some(SepaFault::Slash) => Err(EndToEndIdError::Slash),
            None if text.len() > Self::MAX => Err(EndToEndIdError::TooLong),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for EndToEndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EndToEndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_string!(EndToEndId, "an end-to-end id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_and_its_end_to_end_id_name_each_other() {
        for bits in [0, 1, u128::MAX, 0x0192_f0c1_a2b3_7c4d_8e5f_6071_8293_a4b5] {
            let transaction = TransactionId::new(bits);
            let id = EndToEndId::of(transaction);
            assert_eq!(id.as_str().len(), EndToEndId::MAX);
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(id.transaction(), Some(transaction));
        }
    }

    #[test]
    fn an_id_made_elsewhere_names_no_transaction() {
        for text in ["tx-rem-abc123", "NOTPROVIDED", "x", &"a".repeat(35)] {
            let id: EndToEndId = text.parse().unwrap();
            assert_eq!(id.transaction(), None);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<EndToEndId>(&json).unwrap(), id);
        }
    }

    #[test]
    fn what_banks_do_not_carry_is_refused() {
        for (text, error) in [
            ("", EndToEndIdError::Empty),
            ("tx_rem_abc123", EndToEndIdError::Character),
            ("tå", EndToEndIdError::Character),
            ("/a", EndToEndIdError::Slash),
            ("a/", EndToEndIdError::Slash),
            ("a//b", EndToEndIdError::Slash),
            (" a", EndToEndIdError::Slash),
            (&"a".repeat(36), EndToEndIdError::TooLong),
        ] {
            assert_eq!(text.parse::<EndToEndId>(), Err(error), "{text:?}");
        }
    }
}
