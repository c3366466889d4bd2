//! The profile `drop-seed`: the aggregator's contract as the product's own documents write it.
//!
//! [`requests`] turns a question into bytes, [`replies`] an answer into a finding. Both are pure: no clock, no socket.
//! Which "no" is a proof that nothing happened is decided in `errors`, once for every question.

mod errors;
pub(super) mod replies;
pub(super) mod requests;
