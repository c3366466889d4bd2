//! Questions to providers and their answers, as data: the business half of every port.
//!
//! A workflow builds a [`Call`]; a provider profile in the durable half turns it into bytes and reads the reply. No
//! provider's paths, headers or error codes appear here.

pub mod payments;

pub use payments::{PaymentsCall, PaymentsReply};

/// A question to one of the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To a bank through the payments port.
    Payments(PaymentsCall),
}

/// A definite answer of one of the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// From the payments port.
    Payments(PaymentsReply),
}
