//! What operators do: each verb carries who, why and until when, and is stored with them.
//!
//! The same verb twice leaves the same; the later one wins.

use serde::Serialize;
use workflows::engine::Lane;

use super::breaker::Action;
use super::cause::Cause;
use super::holds::HoldOn;
use super::layers::Layers;
use super::ramp::{Drain, Queue};
use super::rows::Kind;
use super::runtime::Controls;
use super::subject::{BreakerId, Operation, Scope};
use super::switches::{PispMode, Switch, SwitchName};
use crate::store::Trouble;

impl Controls {
    /// Turns a switch. One that is turned for a while falls back to where it stood before.
    ///
    /// # Errors
    /// When the store does not answer: the switch may or may not be turned, and turning it again is safe.
    pub async fn set(&self, switch: &Switch, cause: Cause) -> Result<(), Trouble> {
        let name = switch.name().subject();
        loop {
            let known = self.snapshot();
            let (version, before) = known.stored_switch(&switch.name());
            let layers = Layers::over(before, switch, cause.clone(), self.now());
            if self.write(Kind::Switch, &name, version, Some(&layers)).await? {
                break;
            }
        }
        tracing::info!(
            event = "switch_turned",
            switch = name,
            to = switch.word(),
            actor = cause.actor,
            "switch turned"
        );
        if let Switch::Pisp(scope, PispMode::Queue | PispMode::Disabled) = switch {
            self.stop_queues(|place| scope.covers(place.provider, place.bank)).await?;
        }
        Ok(())
    }

    /// Takes a switch back, with everything that was said before: the start value holds again.
    ///
    /// # Errors
    /// As for [`Controls::set`].
    pub async fn unset(&self, name: &SwitchName, cause: &Cause) -> Result<(), Trouble> {
        self.put::<Layers>(Kind::Switch, &name.subject(), None).await?;
        tracing::info!(
            event = "switch_released",
            switch = name.subject(),
            actor = cause.actor,
            "switch taken back"
        );
        Ok(())
    }

    /// Holds payments back.
    ///
    /// # Errors
    /// As for [`Controls::set`].
    pub async fn hold(&self, what: &HoldOn, cause: Cause) -> Result<(), Trouble> {
        self.put(Kind::Hold, &what.to_string(), Some(&cause)).await?;
        tracing::info!(event = "held", hold = %what, actor = cause.actor, "payments are held");
        match what.scope() {
            Some(scope) => self.stop_queues(|place| scope.covers(place.provider, place.bank)).await,
            None => Ok(()),
        }
    }

    /// Lets held payments go on.
    ///
    /// # Errors
    /// As for [`Controls::set`].
    pub async fn unhold(&self, what: &HoldOn, cause: &Cause) -> Result<(), Trouble> {
        self.put::<Cause>(Kind::Hold, &what.to_string(), None).await?;
        tracing::info!(event = "released", hold = %what, actor = cause.actor, "payments are held no longer");
        Ok(())
    }

    /// Opens, closes or probes what [`Controls::reached`] says. A probe is made by a process that performs, within a
    /// second.
    ///
    /// # Errors
    /// As for [`Controls::set`].
    pub async fn breaker(&self, of: &Scope, action: Action, cause: &Cause) -> Result<(), Trouble> {
        for id in self.reached(of, action) {
            self.breaker_of(&id, action, cause).await?;
        }
        Ok(())
    }

    /// The breakers that an action without a word about the operation reaches. Opening stops money, and the reads of
    /// accounts before it, never truth: of a bank those two are opened, and a provider's own, opened by hand, lets
    /// everything else pass. Closing and probing reach every one, those of a provider's banks too.
    pub fn reached(&self, of: &Scope, action: Action) -> Vec<BreakerId> {
        let known = self.snapshot();
        let known = || known.breakers().map(|(id, ..)| id.clone());
        match (of, action) {
            (Scope::All, Action::Open) => known().filter(BreakerId::is_opened_by_hand).collect(),
            (Scope::All, Action::Close | Action::Probe) => known().collect(),
            (Scope::Provider(provider), Action::Open) => vec![BreakerId::Provider(provider.clone())],
            (Scope::Provider(provider), Action::Close | Action::Probe) => {
                let of_its_banks = known().filter(|id| id.provider() == provider && id.bank().is_some());
                std::iter::once(BreakerId::Provider(provider.clone())).chain(of_its_banks).collect()
            }
            (Scope::Bank(provider, bank), action) => Operation::ALL
                .map(|operation| BreakerId::Bank(provider.clone(), bank.clone(), operation))
                .into_iter()
                .filter(|id| action != Action::Open || id.is_opened_by_hand())
                .collect(),
        }
    }

    /// Opens, closes or probes one breaker.
    ///
    /// # Errors
    /// As for [`Controls::set`].
    pub async fn breaker_of(&self, id: &BreakerId, action: Action, cause: &Cause) -> Result<(), Trouble> {
        let changed =
            self.change_breaker(id, |breaker, now| Some(breaker.acted_on(action, cause, now))).await?;
        let Some((before, after)) = changed else { return Ok(()) };
        tracing::info!(event = "breaker_set", breaker = %id, ?action, actor = cause.actor, "breaker set");
        self.turned(id, &before, &after);
        if action == Action::Open && id.stops_money() {
            self.stop_queues(|place| id.covers(place)).await?;
        }
        Ok(())
    }

    /// Lets a queue out at an operator's pace, pauses it, or leaves it to its stages again.
    ///
    /// # Errors
    /// As for [`Controls::set`].
    pub async fn drain(&self, queue: &Lane, how: Drain, cause: Cause) -> Result<(), Trouble> {
        let actor = cause.actor.clone();
        let wish = Some((how, cause));
        self.change_queue(queue, |queue, _| Some(Queue { wish: wish.clone(), ..queue.clone() })).await?;
        tracing::info!(event = "queue_set", queue = queue.as_str(), ?how, actor, "queue set");
        Ok(())
    }

    /// Writes a switch or hold over whatever is there.
    async fn put<T: Serialize + Sync>(
        &self,
        kind: Kind,
        subject: &str,
        what: Option<&T>,
    ) -> Result<(), Trouble> {
        while !self.write(kind, subject, self.snapshot().version(kind, subject), what).await? {}
        Ok(())
    }
}
