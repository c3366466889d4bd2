//! What several test binaries share.

pub mod chance;
pub mod postgres;
