//! What is known about a payment of which nobody knows whether the bank has it: for whoever has to find out.

use ::workflows::engine::Named;
use ::workflows::payment::{State, Step as Question};
use ::workflows::time::At;
use serde::Serialize;
use utoipa::ToSchema;
use workers::store::{Instance, TaskRow};

use super::super::App;
use super::super::error::Problem;
use super::super::transaction::Payment;
use super::resource::Step;

/// How many transitions are shown.
const SHOWN: usize = 20;

/// What is known about the outcome of a payment in doubt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// Since when the bank may have it without anybody knowing.
    since: String,
    /// How often it was sent, under one key.
    sendings: u32,
    /// How often the bank is being asked whether it knows the payment, since its last answer that counted.
    lookups: u32,
    /// Whether "I know of none" counts by now: it is late enough for the bank to see what it was sent.
    absence_counts: bool,
    /// How many such answers agree so far,
    agreeing_absences: u32,
    /// of how many that have to.
    needed_absences: u32,
    /// What was heard and done since then, oldest first: the latest 20 transitions.
    evidence: Vec<Step>,
}

/// What the state of a payment says about a doubt.
struct Doubted {
    since: At,
    round: u8,
    ripe: bool,
    agreeing: u8,
}

/// Since when the bank may have a payment without anybody knowing; nothing when that is no question.
pub fn since(payment: &Payment) -> Option<At> {
    doubted(payment).map(|doubted| doubted.since)
}

fn doubted(payment: &Payment) -> Option<Doubted> {
    match &payment.progress.state {
        State::InDoubt { since, round, ripe, agreeing, .. } => {
            Some(Doubted { since: *since, round: *round, ripe: *ripe, agreeing: *agreeing })
        }
        // It is sent anew because nobody knows what became of the sending before.
        State::Initiating { round, since, .. } if *round > 0 => {
            Some(Doubted { since: *since, round: *round, ripe: false, agreeing: 0 })
        }
        State::Initiating { .. }
        | State::AwaitingConsent { .. }
        | State::Parked { .. }
        | State::AwaitingUser { .. }
        | State::AwaitingSca { .. }
        | State::Closing { .. }
        | State::Confirming { .. }
        | State::Settled { .. }
        | State::Failed { .. }
        | State::Cancelled { .. } => None,
    }
}

impl Doubt {
    /// Of an instance with what is outstanding for it; nothing when its outcome is known, or it cannot be read.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of(app: &App, instance: &Instance, tasks: &[TaskRow]) -> Result<Option<Self>, Problem> {
        let Some(payment) = Payment::of(instance).ok().flatten() else { return Ok(None) };
        let Some(Doubted { since, round, ripe, agreeing }) = doubted(&payment) else { return Ok(None) };
        let shown = i64::try_from(SHOWN).unwrap_or(i64::MAX);
        let after = instance.seq.saturating_sub(shown + 1).max(0);
        let rows = app.engine.history(instance.id, after, SHOWN + 1).await?;
        let from = rows.iter().position(|row| row.at >= since && row.seq > 1).unwrap_or(rows.len());
        // The row before the first tells where that one came from.
        let mut evidence = Step::follow(&rows);
        evidence.drain(..from.max(evidence.len().saturating_sub(SHOWN)).min(evidence.len()));
        let lookup = tasks.iter().find(|task| task.task.name.as_str() == Question::Locate.name());
        Ok(Some(Doubt {
            since: since.to_rfc3339_millis(),
            sendings: u32::from(round) + 1,
            lookups: lookup.map_or(0, |task| task.attempts),
            absence_counts: ripe,
            agreeing_absences: agreeing.into(),
            needed_absences: payment.instruction().terms.agreeing_reads.into(),
            evidence,
        }))
    }
}
