//! Sluse, the service: payments by the payer's own bank, carried out durably.
//!
//! [`config`] is what it was told from outside, [`http`] what callers see,
//! [`desk`] what operators do, [`operator`] their commands, [`service`] one running process. What it
//! decides is in the crate `workflows`, how that survives in the crate `workers`.

pub mod check;
pub mod config;
pub mod desk;
pub mod dev;
pub mod http;
pub mod keys;
pub mod log;
mod metrics;
pub mod operator;
mod provider;
pub mod scan;
pub mod service;
