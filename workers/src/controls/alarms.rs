//! What operators are told about breakers that do not close (X-21): at once where new payments stand still, after five
//! minutes where people see an old balance or news of a payment are late.
//!
//! Whoever tells writes that first, so that an opening is told once, whichever process notices it and however often one
//! starts anew. A breaker that an operator opened is no news to them.

use std::time::Duration;

use tokio::time::sleep;
use workflows::time::At;

use super::breaker::{Breaker, Opened, Stand};
use super::rows::Kind;
use super::runtime::Controls;
use super::subject::BreakerId;
use crate::committer::chain;
use crate::engine::Engine;
use crate::store::Trouble;

/// How long a breaker that stops no money may be open before somebody is told.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long to wait when nothing is known to be due: every change wakes the alarms.
const IDLE: Duration = Duration::from_mins(1);
/// How long to wait after the database did not answer.
const TROUBLE: Duration = Duration::from_millis(500);

/// What is told of a breaker, and how loudly.
struct Alarm {
    about: &'static str,
    severity: &'static str,
    after: Duration,
}

impl Alarm {
    fn of(id: &BreakerId) -> Self {
        if id.stops_money() {
            Alarm { about: "breaker.payments_stand_still", severity: "critical", after: Duration::ZERO }
        } else {
            Alarm { about: "breaker.stays_open", severity: "high", after: PATIENCE }
        }
    }
}

/// Tells until it is dropped.
pub(crate) async fn keep_telling(controls: Controls, engine: Engine) {
    let mut changes = controls.watch();
    loop {
        changes.mark_unchanged();
        let rest = match controls.tell_of_breakers(&engine).await {
            Ok(next) => next.map_or(IDLE, |at| at.since(controls.now()).min(IDLE)),
            Err(trouble) => {
                tracing::error!(error = %chain(&trouble), "what operators are to be told could not be kept");
                TROUBLE
            }
        };
        tokio::select! {
            () = sleep(rest) => {}
            heard = changes.changed() => if heard.is_err() { return },
        }
    }
}

impl Controls {
    /// Tells of every breaker that it is time to tell of; answers when the next one may be due.
    async fn tell_of_breakers(&self, engine: &Engine) -> Result<Option<At>, Trouble> {
        let (known, now) = (self.snapshot(), self.now());
        for (id, told_of) in known.alarms() {
            if known.breaker(id).and_then(opening) != Some(told_of) {
                let version = known.version(Kind::Alarm, &id.to_string());
                self.write::<At>(Kind::Alarm, &id.to_string(), version, None).await?;
            }
        }
        let mut next = None;
        for (id, breaker, _) in known.breakers() {
            let told = known.alarms().any(|(of, told_of)| of == id && Some(told_of) == opening(breaker));
            let Some(since) = to_tell(breaker).filter(|_| !told) else { continue };
            let Alarm { about, severity, after } = Alarm::of(id);
            let due = since.plus(after);
            if now < due {
                next = Some(next.map_or(due, |next: At| next.min(due)));
                continue;
            }
            let version = self.snapshot().version(Kind::Alarm, &id.to_string());
            if self.write(Kind::Alarm, &id.to_string(), version, Some(&since)).await? {
                engine.meters().alerts.count(about);
                tracing::warn!(event = about, severity, breaker = %id, since = %since, "operators are told");
            }
        }
        Ok(next)
    }
}

/// When a breaker opened that has not closed since.
fn opening(breaker: &Breaker) -> Option<At> {
    match &breaker.stand {
        Stand::Closed { .. } => None,
        Stand::Open { since, .. } | Stand::HalfOpen { since, .. } => Some(*since),
    }
}

/// When a breaker opened that operators are to be told of: one that is about to close by itself is not, nor one that an
/// operator opened.
fn to_tell(breaker: &Breaker) -> Option<At> {
    match &breaker.stand {
        Stand::Open { since, by: Opened::Failures | Opened::Credentials, .. } => Some(*since),
        Stand::Open { by: Opened::Operator(_), .. } | Stand::Closed { .. } | Stand::HalfOpen { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use workflows::engine::{Book, Finding};
    use workflows::ports::Call;

    use super::super::{Action, Cause, Operation, Settings, Trial, Verdict};
    use super::*;
    use crate::ports::{Clock, SystemIds};
    use crate::process::{Options, assemble};
    use crate::providers::{Context, Provider};
    use crate::store::MemoryStore;

    struct Told(Mutex<At>);

    impl Clock for Told {
        fn now(&self) -> At {
            *self.0.lock().expect("nobody panicked")
        }
    }

    struct Nobody;

    #[async_trait]
    impl Provider for Nobody {
        async fn perform(&self, _: &Call, _: &Context) -> Finding {
            Finding::NotSent("nothing is performed")
        }
    }

    async fn process(store: &Arc<MemoryStore>, clock: &Arc<Told>) -> (Controls, Engine) {
        let controls = Controls::open(store.clone(), clock.clone(), &SystemIds, Settings::default());
        let controls = controls.await.expect("memory answers");
        let second = Duration::from_secs(1);
        let options = Options { steps_in_flight: 0, lease: second, grace: second };
        let ids = Arc::new(SystemIds);
        let (engine, _) = assemble(store.clone(), &controls, Book::default(), Arc::new(Nobody), ids, options);
        (controls, engine)
    }

    async fn told((controls, engine): &(Controls, Engine)) -> Vec<(String, u64)> {
        controls.refresh().await.expect("memory answers");
        controls.tell_of_breakers(engine).await.expect("memory answers");
        engine.meters().alerts.counts().into_iter().map(|(about, n)| (about.to_string(), n)).collect()
    }

    #[tokio::test]
    async fn an_opening_is_told_once_over_all_processes_when_its_time_has_come() {
        let begin = At::from_millis(1_000_000);
        let clock = Arc::new(Told(Mutex::new(begin)));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let (one, other) = (process(&store, &clock).await, process(&store, &clock).await);
        let fail = async |operation: Operation| {
            for _ in 0..3 {
                let lane = operation.lane("neonomics", "dnb");
                one.0.attempted(&lane, Trial::default(), Verdict::Failed).await;
            }
        };
        let (high, critical) = ("breaker.stays_open".to_owned(), "breaker.payments_stand_still".to_owned());
        fail(Operation::Aisp).await;
        assert_eq!((told(&one).await, told(&other).await), (vec![], vec![]), "it may close again");
        fail(Operation::Initiate).await;
        assert_eq!(told(&one).await, [(critical.clone(), 1)], "at once");
        assert_eq!((told(&one).await, told(&other).await), (vec![(critical.clone(), 1)], vec![]), "and once");
        *clock.0.lock().expect("nobody panicked") = begin.plus(PATIENCE);
        assert_eq!(told(&other).await, [(high.clone(), 1)]);
        assert_eq!(told(&one).await, [(critical.clone(), 1)]);
        // What closed and opens again is another matter; what an operator opens is none.
        let cause = Cause { actor: "op".to_owned(), reason: "r".to_owned(), expires_at: None };
        let id = BreakerId::Bank("neonomics".to_owned(), "dnb".to_owned(), Operation::Initiate);
        one.0.breaker_of(&id, Action::Close, &cause).await.expect("memory answers");
        told(&one).await;
        fail(Operation::Initiate).await;
        assert_eq!(told(&one).await, [(critical.clone(), 2)]);
        one.0.breaker_of(&id, Action::Close, &cause).await.expect("memory answers");
        told(&one).await;
        one.0.breaker_of(&id, Action::Open, &cause).await.expect("memory answers");
        assert_eq!(told(&one).await, [(critical, 2)]);
    }
}
