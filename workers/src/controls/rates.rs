//! What operators say about how many calls a second a provider takes, obeyed by every process: one that only answers the
//! app reads balances all the same.

use super::runtime::Controls;
use super::switches::SwitchName;
use crate::limits::Limits;

impl Controls {
    /// Tells `limits` what is said about rates, for as long as somebody else holds these controls. A rate that ends by
    /// itself ends without anybody saying so.
    pub(crate) fn keep_rates(&self, limits: Limits) -> impl Future<Output = ()> + Send + use<> {
        let (inner, mut changes) = (std::sync::Arc::downgrade(&self.inner), self.watch());
        async move {
            loop {
                changes.mark_unchanged();
                let end = {
                    let Some(inner) = inner.upgrade() else { return };
                    let controls = Controls { inner };
                    for provider in limits.providers() {
                        limits.set_rate(provider, controls.rate(provider));
                    }
                    controls.next_end(&limits)
                };
                let ended = async {
                    match end {
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    heard = changes.changed() => if heard.is_err() { return },
                    () = ended => {}
                }
            }
        }
    }

    /// How long until a rate that is in force ends by itself.
    fn next_end(&self, limits: &Limits) -> Option<std::time::Duration> {
        let (known, now) = (self.snapshot(), self.now());
        let rate =
            |provider: &str| known.turn(&SwitchName::Rate(provider.to_owned()), now)?.0.cause.expires_at;
        limits.providers().filter_map(rate).min().map(|end| end.since(now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use workflows::engine::{Book, Finding};
    use workflows::ports::Call;

    use super::super::{Cause, Controls, Settings, Switch};
    use crate::limits::{Limit, Terms};
    use crate::ports::{AnchoredClock, Clock, SystemIds};
    use crate::process::{Neighbourhood, Options, assemble_among};
    use crate::providers::{Context, Provider};
    use crate::store::MemoryStore;

    const MOMENT: Duration = Duration::from_millis(200);

    struct Nobody;

    #[async_trait]
    impl Provider for Nobody {
        async fn perform(&self, _: &Call, _: &Context) -> Finding {
            Finding::NotSent("nothing is performed")
        }
    }

    #[tokio::test]
    async fn a_process_that_performs_nothing_obeys_a_rate_and_its_end() {
        let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::wall());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let controls = Controls::open(store.clone(), Arc::clone(&clock), &SystemIds, Settings::default());
        let controls = controls.await.expect("memory answers");
        let limit = Limit { per_second: 50, in_flight: 10 };
        let terms = Terms { limit, longest_call: Duration::from_secs(1), retry_percent: 10 };
        let neighbourhood = Neighbourhood {
            neighbours: store.clone(),
            limits: [("neonomics".into(), terms)].into(),
            clock: Arc::clone(&clock),
        };
        let options = Options { steps_in_flight: 0, lease: MOMENT, grace: MOMENT };
        let ids = Arc::new(SystemIds);
        let (engine, work) = assemble_among(
            neighbourhood,
            (store.clone(), &controls),
            Book::default(),
            Arc::new(Nobody),
            ids,
            options,
        );
        assert!(work.is_none());
        let rate = || engine.limits().rate("neonomics");
        let cause = |expires_at| Cause { actor: "op".to_owned(), reason: "r".to_owned(), expires_at };
        let slow = Switch::Rate("neonomics".to_owned(), 5);
        controls.set(&slow, cause(None)).await.expect("memory answers");
        tokio::time::sleep(MOMENT / 4).await;
        assert_eq!(rate(), Some(5));
        let slower = Switch::Rate("neonomics".to_owned(), 2);
        controls.set(&slower, cause(Some(clock.now().plus(MOMENT)))).await.expect("memory answers");
        tokio::time::sleep(MOMENT / 4).await;
        assert_eq!(rate(), Some(2));
        tokio::time::sleep(MOMENT).await;
        assert_eq!(rate(), Some(5), "what was said before holds again, without anybody acting");
    }
}
