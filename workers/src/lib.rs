//! The durable half of Sluse: it claims what is due, performs it with no transaction open, and settles what it brought.
//!
//! [`store`] keeps instances and their tasks in SQLite, PostgreSQL or memory. Everything that is written at the same
//! time goes into one transaction. [`engine`] is what the front-end talks to; [`process`] puts a process together,
//! front-end half and performing half. [`providers`] holds the only outgoing connections, [`controls`] what may go out
//! at all. [`approvals`], [`actions`] and [`notices`] keep what people decide and providers push.

pub mod actions;
mod apalis;
pub mod approvals;
pub mod balances;
mod bare;
mod committer;
pub mod controls;
mod decide;
pub mod engine;
mod feeder;
mod held;
mod hub;
mod ladders;
mod lanes;
pub mod limits;
pub mod meters;
mod news;
pub mod notices;
pub mod ports;
mod presence;
pub mod process;
pub mod providers;
mod recent;
pub mod registry;
mod rota;
pub mod scanner;
pub mod store;
mod transition;

mod wake;
mod worker;

pub use hub::Watch;
pub use news::{Closed, Listener};
