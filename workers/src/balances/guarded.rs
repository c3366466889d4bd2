//! Reads of accounts under the controls of this process: modes, breakers and rests.

use std::time::Duration;

use async_trait::async_trait;
use workflows::engine::Lane;

use super::admission::{Admission, Entrance, Leave, Mode, Verdict};
use crate::controls::{self, Admitted, AispMode, Controls, Gate, Reason};

/// Admission by the controls.
#[derive(Clone)]
pub struct Guarded {
    controls: Controls,
}

impl Guarded {
    /// By these controls.
    pub fn new(controls: Controls) -> Self {
        Guarded { controls }
    }
}

#[async_trait]
impl Admission for Guarded {
    fn mode(&self, lane: &Lane) -> Mode {
        let Some((provider, bank, _)) = lane.parts() else { return Mode::Live };
        match self.controls.aisp(provider, bank) {
            AispMode::Live => Mode::Live,
            AispMode::Cached => Mode::Cached,
            AispMode::Hidden => Mode::Hidden,
        }
    }

    fn cache_ttl(&self, lane: &Lane) -> Option<Duration> {
        let (provider, bank, _) = lane.parts()?;
        Some(self.controls.cache_ttl(provider, bank))
    }

    fn is_down(&self, lane: &Lane) -> bool {
        // One that is to be probed is probed because somebody asks: see [`Controls::admit`].
        self.controls.gate(lane) == Gate::Shut(Reason::Broken)
    }

    async fn enter(&self, lane: &Lane) -> Entrance {
        match self.controls.admit(lane.clone()).await {
            Ok(admitted) => Entrance::Open(Box::new(Left { controls: self.controls.clone(), admitted })),
            Err(Gate::Shut(Reason::Broken) | Gate::OneAtATime | Gate::Probed | Gate::Open) => Entrance::Down,
            Err(Gate::Until(_) | Gate::Shut(_)) => Entrance::Resting,
        }
    }
}

/// One call that the controls have let through.
struct Left {
    controls: Controls,
    admitted: Admitted,
}

#[async_trait]
impl Leave for Left {
    async fn brought(self: Box<Self>, verdict: Verdict) {
        let Left { controls, admitted } = *self;
        let verdict = match verdict {
            Verdict::Answered => controls::Verdict::Answered,
            Verdict::Failed => controls::Verdict::Failed,
            Verdict::Unreached => controls::Verdict::Unreached,
            Verdict::ProviderFailed => controls::Verdict::ProviderFailed,
            Verdict::Limited { rests } => controls::Verdict::TooMany(controls.clock().now().plus(rests)),
        };
        controls.report(admitted, verdict).await;
    }

    async fn unused(self: Box<Self>) {
        let Left { controls, admitted } = *self;
        controls.withdraw(admitted).await;
    }
}
