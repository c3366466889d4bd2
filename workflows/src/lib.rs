//! The pure core of Sluse: values, laws and state machines. It reads no clock, holds no generator
//! and does no I/O; time and chance reach it as arguments.

pub mod accounts;
pub mod calendar;
pub mod ids;
pub mod money;
pub mod text;
pub mod time;
