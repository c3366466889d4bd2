//! The durable half of Sluse: it claims what is due, performs it with no transaction open, and settles what it brought.
//!
//! [`store`] keeps instances and their tasks in SQLite, PostgreSQL or memory. [`committer`] puts everything that is
//! written at the same time into one transaction. [`engine`] is what the front-end talks to; [`worker`] is claim,
//! perform, settle; [`apalis`] runs it. [`providers`] holds the only outgoing connections.

pub mod ports;
pub mod providers;
pub mod registry;
pub mod store;
