//! Mistakes with money that a test may plant, each in the place where somebody would really make it.
//!
//! Without the feature `planted`, which no build but the simulation's own tests asks for, none is there: the question
//! is answered "no" by the compiler.

/// Whether this mistake is made on this thread.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "what asks has to vanish")]
pub const fn is(_: &str) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use here::{is, plant};

#[cfg(feature = "planted")]
mod here {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Whether this mistake is made on this thread.
    pub fn is(mistake: &str) -> bool {
        PLANTED.with(|planted| planted.get() == Some(mistake))
    }

    /// Makes a mistake on this thread from here on, or none.
    pub fn plant(mistake: Option<&'static str>) {
        PLANTED.with(|planted| planted.set(mistake));
    }
}
