//! The pure core of Sluse: what a workflow decides, never what it does.
//!
//! A workflow is a [`engine::Machine`]: a function from an immutable order, a state and one thing that happened to
//! the next state and the effects that must follow. Nothing in this crate knows a clock, a random number, a socket
//! or a database; time arrives as an argument and leaves as a duration.
//!
//! Read [`engine`] for the vocabulary, then [`payment`] for the machine that carries the promise, then
//! [`remittance`] and [`qr_payment`] for what is sold on top of it. [`bench`] is what the engine is measured with.

pub mod accounts;
pub mod bench;
pub mod calendar;
pub mod engine;
pub mod ids;
pub mod money;
pub mod payment;
pub mod planted;
pub mod ports;
pub mod qr_payment;
pub mod remittance;
pub mod text;
pub mod time;
