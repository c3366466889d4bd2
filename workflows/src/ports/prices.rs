//! The prices port: whether a price that was promised still holds. Local: the product's own table of rates answers.

use serde::{Deserialize, Serialize};

use crate::money::{Money, Rate};
use crate::time::At;

/// A price that was promised to the customer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Price {
    /// The exchange rate.
    pub rate: Rate,
    /// What the payee receives at that rate.
    pub receive: Money,
    /// Until when it was promised; `None` = until it is used.
    pub until: Option<At>,
}

/// A question about a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PricesCall {
    /// Whether this price still holds, and what it is otherwise.
    Renew {
        /// What the bank moves.
        amount: Money,
        /// The price so far.
        price: Price,
    },
}

/// A definite answer about a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PricesReply {
    /// It still holds.
    Kept,
    /// It does not; this is today's.
    Quoted(Price),
    /// It does not, and there is none at the moment.
    None,
}
