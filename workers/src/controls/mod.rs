//! What may be sent now: breakers, modes, holds, and the queue that is let through step by step (X-15, X-20, X-25 to
//!
//!
//! Four kinds of small documents, kept in one table and shared by all processes. What they mean is decided by pure
//! functions that are told the time ([`breaker`], [`switches`], [`holds`], [`ramp`], put together in [`gate`]);
//! [`Controls`] keeps a [`Snapshot`] of them that every decision reads without asking anybody, notices within a second
//! when another process changed one, and writes with compare-and-swap. A document that has an end ends by the clock,
//! without anybody acting.
//!
//! The one rule: a control stops money, never truth. Deadlines, status reads and cancellations of payments that stand
//! at a bank go on whatever an operator or a fault does to new ones.

mod alarms;
pub mod breaker;
mod cause;
pub mod gate;
pub mod holds;
mod layers;
mod operators;
mod prober;
pub mod ramp;
mod rates;
mod report;
mod rows;
mod runtime;
mod settings;
mod snapshot;
mod subject;
pub mod switches;

pub(crate) use alarms::keep_telling;
pub(crate) use breaker::AT_ONCE;
pub use breaker::Action;
pub use cause::Cause;
pub use gate::{Gate, Reason};
pub use holds::HoldOn;
pub use layers::Turn;
pub(crate) use prober::Prober;
pub use ramp::Drain;
pub use report::{Admitted, Verdict};
pub use rows::{Change, Changed, ControlRow, ControlStore, Kind};
pub use runtime::Controls;
pub(crate) use runtime::{Granted, Trial};
pub use settings::{Settings, Start};
pub use snapshot::Snapshot;
pub use subject::held_aside;
pub use subject::{BreakerId, Operation, Scope};
pub(crate) use subject::{aside_of, is_parked, is_queue, queue_before, turns_away};
pub use switches::{AispMode, PispMode, SwanMode, Switch, SwitchName};
