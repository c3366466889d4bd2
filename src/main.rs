//! Sluse.
fn main() {}
