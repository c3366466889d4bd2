//! Who says how a provider or bank is used, in place of the start value.

use ::workflows::time::At;
use serde::Serialize;
use utoipa::ToSchema;
use workers::controls::{Scope, Snapshot, SwitchName, Turn};

use super::super::App;
use super::super::switches::name_of;
use crate::provider::NAME;

/// What an operator says in place of the start value.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideResource {
    /// The switch that they turned.
    #[schema(example = "pisp.mode:neonomics:dnb")]
    switch: String,
    /// Where it stands.
    #[schema(example = "queue")]
    value: String,
    /// Who.
    actor: String,
    /// Why.
    reason: String,
    /// Since when.
    since: String,
    /// When it ends by itself; `null` when somebody has to end it.
    #[schema(required)]
    expires_at: Option<String>,
    /// What an operator said before, which holds again then; `null` = the start value.
    #[schema(required)]
    then: Option<String>,
}

impl OverrideResource {
    /// Of one switch, while it is turned.
    pub fn of(known: &Snapshot, name: &SwitchName, now: At) -> Option<Self> {
        known.turn(name, now).map(|(turn, next)| Self::shown(turn, next))
    }

    /// Of whether payments are made: at a bank, or at any. Where several speak, of the one that decides.
    pub fn of_payments(app: &App, known: &Snapshot, bank: Option<&str>, now: At) -> Option<Self> {
        let mode = app.controls.pisp(NAME, bank.unwrap_or_default()).as_str();
        Self::deciding(known, SwitchName::Pisp, (bank, mode), now)
    }

    /// The same of whether balances are read.
    pub fn of_balances(app: &App, known: &Snapshot, bank: Option<&str>, now: At) -> Option<Self> {
        let mode = app.controls.aisp(NAME, bank.unwrap_or_default()).as_str();
        Self::deciding(known, SwitchName::Aisp, (bank, mode), now)
    }

    /// Of the nearest switch that stands where the strictest does.
    fn deciding(
        known: &Snapshot,
        name: fn(Scope) -> SwitchName,
        (bank, mode): (Option<&str>, &str),
        now: At,
    ) -> Option<Self> {
        let nearest_first = bank
            .map(|bank| Scope::bank(NAME, bank))
            .into_iter()
            .chain([Scope::Provider(NAME.to_owned()), Scope::All]);
        nearest_first
            .filter_map(|scope| known.turn(&name(scope), now))
            .find(|(turn, _)| turn.switch.word() == mode)
            .map(|(turn, next)| Self::shown(turn, next))
    }

    fn shown(turn: &Turn, next: Option<&Turn>) -> Self {
        OverrideResource {
            switch: name_of(&turn.switch.name()),
            value: turn.switch.word(),
            actor: turn.cause.actor.clone(),
            reason: turn.cause.reason.clone(),
            since: turn.since.to_rfc3339_millis(),
            expires_at: turn.cause.expires_at.map(At::to_rfc3339_millis),
            then: next.map(|next| next.switch.word()),
        }
    }
}
