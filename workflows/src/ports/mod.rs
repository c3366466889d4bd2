//! Questions to providers and their answers, as data: the business half of every port.
//!
//! A workflow builds a [`Call`]; a provider profile in the durable half turns it into bytes and reads the reply. No
//! provider's paths, headers or error codes appear here.

use std::time::Duration;

pub mod consents;
pub mod payments;
pub mod prices;

pub use consents::{ConsentsCall, ConsentsReply};
pub use payments::{PaymentsCall, PaymentsReply};
pub use prices::{PricesCall, PricesReply};

/// A question to one of the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To a bank through the payments port.
    Payments(PaymentsCall),
    /// To a bank through the consents port, or to our own register of accounts.
    Consents(ConsentsCall),
    /// To our own table of prices.
    Prices(PricesCall),
    /// To nobody, about nothing: what is left of a step then is the engine's own cost.
    Nothing {
        /// How long the answer takes.
        takes: Duration,
    },
}

/// A definite answer of one of the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// From the payments port.
    Payments(PaymentsReply),
    /// From the consents port.
    Consents(ConsentsReply),
    /// From the prices port.
    Prices(PricesReply),
    /// To [`Call::Nothing`].
    Nothing,
}
