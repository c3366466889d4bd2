//! The durable half of Sluse: it claims what is due, performs it with no transaction open, and settles what it brought.
//!
//! [`store`] keeps instances and their tasks in SQLite, PostgreSQL or memory. Everything that is written at the same
//! time goes into one transaction. [`engine`] is what the front-end talks to; [`process`] puts a process together,
//! front-end half and performing half. [`providers`] holds the only outgoing connections.

mod apalis;
mod committer;
mod decide;
pub mod engine;
mod feeder;
mod held;
mod hub;
mod lanes;
pub mod ports;
pub mod process;
pub mod providers;
pub mod registry;
pub mod store;
mod transition;
mod wake;
mod worker;

pub use hub::Watch;
