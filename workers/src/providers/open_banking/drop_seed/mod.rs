//! The profile `drop-seed`: the aggregator's contract as the product's own documents write it.
//!
//! [`requests`] turns a question into bytes, [`replies`] an answer into a finding. Both are pure: no clock, no socket.
//! One call has no definite reading by the contract alone and is decided in [`errors`]: which "no" is a proof.

pub(super) mod errors;
pub(super) mod replies;
pub(super) mod requests;
