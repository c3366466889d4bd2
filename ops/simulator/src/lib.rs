//! The production core, worker and store under virtual time, against a bank with books of its own and against machines
//! that fail.
//!
//! A [`world`] is drawn from a seed ([`plan`]): orders, payers, banks of every class, one to three processes over one
//! store, and how rough it is. It runs on one thread in a runtime whose clock stands still until nothing is left to do,
//! so the same seed is the same run, down to the digest. Processes meet the world through their ports alone: the
//! connection to the store, the line to the aggregator, the clock, the ids. That is where [`faults`] strike, and where
//! a process dies or stands still at a [`boundary`].
//!
//! A judge holds every commit against the bank's books at that moment ([`breach`] lists the rules), and the rows
//! themselves are looked at after each death, now and then, and at the end. A [`campaign`] is many worlds; what fails
//! is made as short as it gets ([`shrink`]).
//!
//! What is not here: a process that stands still between its fence and the wire for longer than an attempt may take,
//! and then sends. Without a key at the bank nobody at our end can take that back; the attempt's own time limit is
//! what ends it. And the machines' wall clocks: the engine never asks them, so that their jumps have nothing to act upon; what
//! jumps is the database's, which each process asks for the time now and then.

#![expect(clippy::expect_used, reason = "a simulation that cannot be set up has nothing to go on with")]

mod bank;
mod blocking;
pub mod boundary;
pub mod breach;
pub mod campaign;
mod chance;
pub mod command;
pub mod faults;
pub mod files;
mod host;
mod house;
mod judge;
mod line;
mod log;
mod orders;
pub mod outage;
mod people;
pub mod plan;
pub mod ports;
mod registry;
pub mod shrink;
mod store;
mod verdict;
pub mod world;
