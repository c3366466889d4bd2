//! The bank as its clients meet it: over HTTP on loopback, each test with a bank and a ledger of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers around the tests are tests too")]

mod classes;
mod contract;
mod durability;
mod faults;
mod pages;
mod replay;
mod webhooks;
mod world;
