//! Recovery by itself: when a breaker's time is over and something waits behind it, one process asks whether the bank
//! is back, with a question that moves no money.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use workflows::engine::{Class, Finding};
use workflows::ports::payments::BankId;
use workflows::ports::{Call, PaymentsCall};

use super::breaker::Lease;
use super::runtime::Controls;
use super::subject::BreakerId;
use crate::committer::chain;
use crate::limits::{Limits, Pass};
use crate::ports::Ids;
use crate::presence::Presence;
use crate::providers::{Context, Provider, is_own_fault, is_the_providers};
use crate::store::Trouble;

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for its turn at the provider before it is left for later.
const TURN: Duration = Duration::from_secs(4);
/// How long to wait when nothing is known to be due: whatever makes something due wakes the prober.
const IDLE: Duration = Duration::from_mins(1);
/// How long to wait after the database did not answer.
const TROUBLE: Duration = Duration::from_millis(500);

/// Probes breakers for a process that performs.
pub(crate) struct Prober {
    pub(crate) controls: Controls,
    pub(crate) limits: Limits,
    pub(crate) presence: Arc<Presence>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) ids: Arc<dyn Ids>,
}

impl Prober {
    /// Probes until it is dropped.
    pub(crate) async fn run(self) {
        let this = Arc::new(self);
        let (mut changes, mut work) = (this.controls.watch(), this.controls.watch_work());
        let mut deaths = this.presence.deaths();
        let mut probes = JoinSet::new();
        // Nobody waits for those who will not come back; some may have died before this process began.
        let mut unburied = true;
        loop {
            let mut rest = IDLE;
            if unburied {
                unburied = false;
                if let Err(trouble) = this.bury().await {
                    tracing::error!(error = %chain(&trouble), "the rights of the dead could not be freed");
                    unburied = true;
                    rest = TROUBLE;
                }
            }
            changes.mark_unchanged();
            work.mark_unchanged();
            let (due, next) = this.controls.to_probe();
            rest = rest.min(next.map_or(IDLE, |at| at.since(this.controls.now())));
            for (id, bank) in due {
                // Before the right to probe, which others wait for while it is held.
                let Some(pass) = this.limits.pass(id.provider(), TURN).await else {
                    rest = Duration::ZERO;
                    continue;
                };
                match this.controls.begin_probe(&id).await {
                    Ok(Some(lease)) => {
                        let this = Arc::clone(&this);
                        probes.spawn(async move { this.probe(id, bank, lease, pass).await });
                    }
                    Ok(None) => {}
                    Err(trouble) => {
                        tracing::error!(error = %chain(&trouble), "a probe could not be begun");
                        rest = rest.min(TROUBLE);
                    }
                }
            }
            tokio::select! {
                biased;
                () = sleep(rest) => {}
                _ = changes.changed() => {}
                _ = work.changed() => {}
                _ = deaths.changed() => unburied = true,
                Some(_) = probes.join_next() => {}
            }
        }
    }

    async fn bury(&self) -> Result<(), Trouble> {
        match self.presence.living().await? {
            Some(living) => self.controls.bury_all_but(&living).await,
            None => Ok(()),
        }
    }

    async fn probe(&self, id: BreakerId, bank: String, lease: Lease, pass: Pass) {
        let patience = PATIENCE.min(self.limits.longest_call(id.provider()));
        let context = Context::new(&*self.ids, patience, pass);
        let call = Call::Payments(PaymentsCall::Probe { bank: BankId(bank) });
        let finding = timeout(patience, self.provider.perform(&call, &context)).await;
        drop(context);
        let finding = finding.unwrap_or(Finding::Unknown("the probe took too long"));
        if matches!(finding, Finding::NotSent(why) if is_own_fault(why)) {
            // Nothing was asked and nothing is known: the right to probe lapses, and the next one probes.
            return tracing::warn!(breaker = %id, finding = finding.word(), "a breaker was not probed");
        }
        let well = is_well(&id, &finding);
        tracing::info!(event = "breaker_probed", breaker = %id, finding = finding.word(), well, "breaker probed");
        // A store that does not answer lets the right to probe lapse, and the next one probes again.
        if let Err(trouble) = self.controls.end_probe(&id, &lease, well).await {
            log(&trouble);
        }
    }
}

/// Whether real attempts may be tried again. A bank has to answer the question; a provider has to be there.
fn is_well(id: &BreakerId, finding: &Finding) -> bool {
    match (id, finding) {
        (_, Finding::NotSent(_)) | (BreakerId::Bank(..), Finding::Unknown(_)) => false,
        // One that fails itself is there and of no use.
        (BreakerId::Provider(_), Finding::Unknown(why)) => !is_the_providers(why),
        (BreakerId::Provider(_), Finding::Done(_) | Finding::Refused(_))
        | (BreakerId::Bank(..), Finding::Done(_)) => true,
        (BreakerId::Bank(..), Finding::Refused(refusal)) => match refusal.class {
            Class::Final | Class::Consent => true,
            Class::Credential | Class::RateLimited { .. } => false,
        },
    }
}

fn log(trouble: &Trouble) {
    tracing::error!(error = %chain(trouble), "what a probe found could not be written");
}
