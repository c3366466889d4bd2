//! Typed, prefixed identifiers: a recipient cannot stand where a transaction is meant. What follows
//! the prefix is opaque to callers (REST contract, ids).
//!
//! There are two families. People, accounts and merchants may bring their own ids, so those hold text.
//! Everything the engine makes holds 128 bits, time-ordered as a UUID of version 7; whoever makes them owns the
//! clock and the chance, which are not known here.

mod end_to_end;

pub use self::end_to_end::{EndToEndId, EndToEndIdError};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::text::serde_as_string;

/// The text is not an id of the expected kind. It is not repeated, since anything may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected {expected}")]
pub struct IdError {
    /// The form such an id has.
    pub expected: &'static str,
}

/// The most characters a caller's own id has after its prefix.
const MAX_OPAQUE: usize = 64;

macro_rules! id {
    ($(#[$doc:meta])* text $name:ident, $prefix:literal) => {
        $(#[$doc])*
        ///
        #[doc = concat!("`", $prefix, "` and 1–64 of `A–Z a–z 0–9 _ -`.")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &str = $prefix;
            const FORM: &str = concat!($prefix, " followed by 1 to 64 letters, digits, underscores or hyphens");

            /// An id made here from 128 bits, for objects whose owner brought none.
            pub fn new(bits: u128) -> Self {
                Self(format!("{}{bits:032x}", $prefix).into())
            }

            /// The whole id, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let opaque = text.strip_prefix($prefix).filter(|opaque| is_opaque(opaque));
                opaque.map(|_| Self(text.into())).ok_or(IdError { expected: Self::FORM })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        id!(common $name);
    };

    ($(#[$doc:meta])* bits $name:ident, $prefix:literal) => {
        $(#[$doc])*
        ///
        #[doc = concat!("`", $prefix, "` and 32 lower-case hexadecimal digits of 128 bits.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &str = $prefix;
            const FORM: &str = concat!($prefix, " followed by 32 lower-case hexadecimal digits");

            /// The id of these 128 bits. They order ids when they are those of a UUID of version 7.
            pub const fn new(bits: u128) -> Self {
                Self(bits)
            }

            /// The id of 128 bits in network order, as UUID libraries hand them out.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }

            /// The 128 bits.
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// The 128 bits in network order.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bits = text.strip_prefix($prefix).and_then(read_bits);
                bits.map(Self).ok_or(IdError { expected: Self::FORM })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{:032x}", $prefix, self.0)
            }
        }

        id!(common $name);
    };

    (common $name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        serde_as_string!($name, $name::FORM);
    };
}

id! {
    /// A person who pays.
    text UserId, "usr_"
}
id! {
    /// Someone a person sends money to.
    text RecipientId, "rec_"
}
id! {
    /// A person's account at a bank, as linked here.
    text BankAccountId, "bac_"
}
id! {
    /// A shop that is paid by QR.
    text MerchantId, "mer_"
}
id! {
    /// A payment as its user sees it. It shares its bits with the [`WorkflowId`] that carries it out.
    bits TransactionId, "tx_"
}
id! {
    /// One run of a workflow.
    bits WorkflowId, "wf_"
}
id! {
    /// A consent to read accounts.
    bits ConsentId, "con_"
}
id! {
    /// An account opened for a person at a partner bank.
    bits AccountId, "acc_"
}
id! {
    /// A message to a person.
    bits NotificationId, "ntf_"
}
id! {
    /// An event that subscribers are told.
    bits EventId, "evt_"
}
id! {
    /// One thing asked of a provider, the same however often it is tried.
    bits OperationId, "opn_"
}
id! {
    /// An operator's request that a second person has to approve.
    bits ApprovalId, "apr_"
}

impl From<TransactionId> for WorkflowId {
    fn from(transaction: TransactionId) -> Self {
        Self(transaction.0)
    }
}

impl From<WorkflowId> for TransactionId {
    fn from(workflow: WorkflowId) -> Self {
        Self(workflow.0)
    }
}

fn is_opaque(text: &str) -> bool {
    (1..=MAX_OPAQUE).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Reads exactly 32 lower-case hexadecimal digits: one id has one spelling.
fn read_bits(text: &str) -> Option<u128> {
    let canonical = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;

    fn reads_and_writes<T>(text: &str)
    where
        T: FromStr<Err = IdError> + fmt::Display + fmt::Debug + PartialEq + Serialize + DeserializeOwned,
    {
        let id: T = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("{id:?}"), text);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), id);
    }

    #[test]
    fn callers_may_bring_their_own_ids() {
        reads_and_writes::<RecipientId>("rec_test123");
        reads_and_writes::<UserId>("usr_abc123def456gh78");
        reads_and_writes::<UserId>("usr_-");
        reads_and_writes::<BankAccountId>(&format!("bac_{}", "Z".repeat(64)));
        reads_and_writes::<MerchantId>("mer_A-b_9");
        assert_eq!(UserId::new(0xff).to_string(), "usr_000000000000000000000000000000ff");
        reads_and_writes::<UserId>(UserId::new(u128::MAX).as_str());
    }

    #[test]
    fn a_caller_s_id_of_another_form_is_refused_by_naming_the_form() {
        let long = format!("usr_{}", "a".repeat(65));
        for text in [
            "", "usr_", "usr", "USR_a", "rec_a", " usr_a", "usr_a ", "usr_a.b", "usr_å", "usr_a/b", "usr_%",
            &long,
        ] {
            let error = text.parse::<UserId>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "expected usr_ followed by 1 to 64 letters, digits, underscores or hyphens",
                "{text:?}"
            );
        }
    }

    #[test]
    fn engine_ids_have_one_spelling() {
        let hex = "0192f0c1a2b37c4d8e5f60718293a4b5";
        reads_and_writes::<TransactionId>(&format!("tx_{hex}"));
        reads_and_writes::<WorkflowId>(&format!("wf_{hex}"));
        reads_and_writes::<ConsentId>(&format!("con_{hex}"));
        reads_and_writes::<AccountId>(&format!("acc_{hex}"));
        reads_and_writes::<NotificationId>(&format!("ntf_{hex}"));
        reads_and_writes::<EventId>(&format!("evt_{hex}"));
        reads_and_writes::<OperationId>(&format!("opn_{hex}"));
        reads_and_writes::<ApprovalId>(&format!("apr_{hex}"));
        for text in [
            "",
            "tx_",
            hex,
            &format!("wf_{hex}"),
            &format!("tx_{}", hex.to_uppercase()),
            &format!("tx_{}", &hex[1..]),
            &format!("tx_0{hex}"),
            &format!("tx_+{}", &hex[1..]),
            "tx_0192f0c1-a2b3-7c4d-8e5f-60718293a4b5",
            "tx_rem_abc123",
        ] {
            let error = text.parse::<TransactionId>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "expected tx_ followed by 32 lower-case hexadecimal digits",
                "{text:?}"
            );
        }
    }

    #[test]
    fn ids_order_as_their_spelling_does() {
        let mut bits: Vec<u128> = (0..128).map(|bit| 1 << bit).collect();
        bits.push(0);
        bits.sort_unstable();
        let ids: Vec<_> = bits.iter().map(|bits| TransactionId::new(*bits)).collect();
        let spelt: Vec<_> = ids.iter().map(ToString::to_string).collect();
        assert!(ids.is_sorted() && spelt.is_sorted());
    }

    #[test]
    fn a_transaction_and_its_workflow_share_their_bits() {
        for bits in [0, 1, u128::MAX, 0x0192_f0c1_a2b3_7c4d_8e5f_6071_8293_a4b5] {
            let transaction = TransactionId::new(bits);
            let workflow = WorkflowId::from(transaction);
            assert_eq!(workflow.as_u128(), bits);
            assert_eq!(TransactionId::from(workflow), transaction);
            assert_eq!(TransactionId::from_bytes(transaction.to_bytes()), transaction);
            assert_eq!(workflow.to_string()[3..], transaction.to_string()[3..]);
        }
    }
}
