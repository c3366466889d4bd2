//! The consents port: ask a bank for access on the customer's behalf, see where that stands, and make it the account's.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::payments::BankId;
use crate::ids::{BankAccountId, UserId};
use crate::time::At;

/// A question about a consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentsCall {
    /// Ask the bank for a new consent; the customer approves it at the link of the answer.
    Ask {
        /// The bank.
        bank: BankId,
        /// The account at the provider that it shall cover, when the bank wants to know.
        account: Option<String>,
        /// Where the bank sends the customer's browser afterwards.
        redirect_uri: String,
        /// The customer's address, if present.
        psu_ip: Option<IpAddr>,
    },
    /// Where a consent stands.
    Read {
        /// The bank, for the lane and the log.
        bank: BankId,
        /// Its id at the provider.
        consent: ProviderConsentId,
    },
    /// The consent that a bank account has by now. Local.
    Find {
        /// Whose account.
        user: UserId,
        /// Which account.
        account: BankAccountId,
    },
    /// Make a valid consent the one of a bank account. Local, and the same when repeated.
    Adopt {
        /// Whose account.
        user: UserId,
        /// Which account.
        account: BankAccountId,
        /// Its id at the provider.
        consent: ProviderConsentId,
        /// Until when it is valid, by the bank's word.
        valid_until: Option<At>,
    },
}

/// A definite answer about a consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentsReply {
    /// The consent stands at the bank and waits for the customer.
    Asked {
        /// Its id at the provider.
        consent: ProviderConsentId,
        /// Where the customer approves it.
        sca: Option<String>,
    },
    /// Where it stands.
    Standing {
        /// Whether it may be used.
        standing: ConsentStanding,
        /// Until when, by the bank's word.
        valid_until: Option<At>,
    },
    /// The consent that the account has, if it may be used.
    Known {
        /// Its id at the provider.
        consent: Option<ProviderConsentId>,
    },
    /// The account uses it from here on.
    Adopted,
}

/// A consent's id at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderConsentId(pub String);

/// Whether a consent may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentStanding {
    /// The customer has not decided yet.
    Waiting,
    /// It may be used.
    Valid,
    /// It may not and never will: rejected, revoked, expired or ended.
    Dead,
}
