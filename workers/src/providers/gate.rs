//! The switch before the payment provider: while payments are queued, none is begun, and those begun go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use workflows::engine::Finding;
use workflows::ports::{Call, PaymentsCall};

use super::{Context, Provider};

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Payments go to the provider.
    Live,
    /// Payments are accepted and wait: none is initiated and the provider counts as not ready.
    Queue,
    /// The front-end accepts no payment; those accepted before go on.
    Disabled,
}

/// A [`Mode`] that everybody who holds a clone sees and sets.
#[derive(Clone, Debug)]
pub struct Switch(Arc<AtomicU8>);

impl Switch {
    /// Standing at `mode`.
    pub fn new(mode: Mode) -> Self {
        Switch(Arc::new(AtomicU8::new(number(mode))))
    }

    /// Where it stands.
    pub fn mode(&self) -> Mode {
        match self.0.load(Ordering::Acquire) {
            LIVE => Mode::Live,
            DISABLED => Mode::Disabled,
            // Only the three numbers are ever stored; what is none of them holds payments back.
            _ => Mode::Queue,
        }
    }

    /// Moves it, for every attempt that begins from here on.
    pub fn set(&self, mode: Mode) {
        self.0.store(number(mode), Ordering::Release);
    }
}

/// A payments provider behind a [`Switch`].
pub struct Gate<P> {
    inner: P,
    switch: Switch,
}

impl<P> Gate<P> {
    /// Puts `switch` before `inner`.
    pub fn new(inner: P, switch: Switch) -> Self {
        Gate { inner, switch }
    }
}

#[async_trait]
impl<P: Provider> Provider for Gate<P> {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        if self.switch.mode() == Mode::Queue && begins(call) {
            return Finding::NotSent("payments are queued");
        }
        self.inner.perform(call, context).await
    }
}

const LIVE: u8 = 0;
const QUEUE: u8 = 1;
const DISABLED: u8 = 2;

fn number(mode: Mode) -> u8 {
    match mode {
        Mode::Live => LIVE,
        Mode::Queue => QUEUE,
        Mode::Disabled => DISABLED,
    }
}

/// Whether the question leads to a payment that does not stand yet.
fn begins(call: &Call) -> bool {
    match call {
        Call::Payments(PaymentsCall::Initiate(_) | PaymentsCall::Probe { .. }) => true,
        Call::Payments(
            PaymentsCall::Status { .. } | PaymentsCall::Locate { .. } | PaymentsCall::Cancel { .. },
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{context, every_call};
    use super::*;

    /// Answers every question by saying that it was asked.
    struct Asked;

    #[async_trait]
    impl Provider for Asked {
        async fn perform(&self, _: &Call, _: &Context) -> Finding {
            Finding::Unknown("asked")
        }
    }

    #[tokio::test]
    async fn queueing_holds_back_what_begins_a_payment_and_nothing_else() {
        let switch = Switch::new(Mode::Live);
        let gate = Gate::new(Asked, switch.clone());
        for mode in [Mode::Live, Mode::Disabled, Mode::Queue, Mode::Live] {
            switch.set(mode);
            for (operation, call) in every_call() {
                let held = mode == Mode::Queue && matches!(operation, "initiate" | "probe");
                let expected =
                    if held { Finding::NotSent("payments are queued") } else { Finding::Unknown("asked") };
                assert_eq!(gate.perform(&call, &context()).await, expected, "{mode:?} {operation}");
            }
        }
    }
}
