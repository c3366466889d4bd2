//! A workflow as operators see it.

use ::workflows::ids::TransactionId;
use ::workflows::time::At;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use workers::approvals::{Standing, Which};
use workers::store::{HistoryRow, Instance, TaskRow};

use super::super::App;
use super::super::error::Problem;
use super::super::holds;
use super::super::transaction::{Payment, Transaction};
use super::doubt::{self, Doubt};
use super::holding;
use crate::desk::{Unable, verbs};

/// How many recorded actions are shown.
const ACTIONS: usize = 20;

/// A workflow in a list.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its id.
    #[schema(example = "wf_0192f0c1a2b37c4d8e5f60718293a4b5")]
    id: String,
    /// The transaction that it carries out.
    transaction_id: String,
    /// Which machine.
    #[schema(example = "remittance")]
    kind: String,
    /// Where it stands, for everybody.
    #[schema(example = "processing")]
    status: String,
    /// Where it stands, finer.
    #[schema(example = "in_doubt")]
    phase: String,
    /// Why an operator should look.
    #[schema(required)]
    attention: Option<String>,
    /// The bank that moves it; `null` when its documents cannot be read.
    #[schema(required, example = "dnb")]
    bank: Option<String>,
    /// What it waits for, one sentence; `null` at the end.
    #[schema(required, example = "The payer has to approve the payment at the bank.")]
    waiting_for: Option<String>,
    /// Since when the bank may have it without anybody knowing; `null` unless it is in doubt.
    #[schema(required, example = json!(null))]
    in_doubt_since: Option<String>,
    /// Whose it is.
    #[schema(example = "usr_kari")]
    user_id: String,
    /// What the bank moves, in major units; `null` when its documents cannot be read.
    #[schema(required, example = "2000.00")]
    amount: Option<String>,
    /// Its currency.
    #[schema(required, example = "NOK")]
    currency: Option<String>,
    /// The bank's id of the payment.
    #[schema(required)]
    provider_payment_id: Option<String>,
    /// Number of its last transition.
    revision: i64,
    /// When it was started.
    created_at: String,
    /// When it last moved.
    updated_at: String,
    /// When it ended.
    #[schema(required)]
    completed_at: Option<String>,
}

/// A workflow, with what it waits for and what can be done about it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    #[serde(flatten)]
    summary: Summary,
    /// What is known about its outcome; `null` unless it is in doubt.
    #[schema(required)]
    doubt: Option<Doubt>,
    /// When something happens by itself next; `null` while something is happening, and at the end.
    #[schema(required)]
    next_wake_up: Option<String>,
    /// Steps and timers that are outstanding.
    attempts: Vec<Attempt>,
    /// What can be done, and why the rest cannot.
    allowed_actions: Vec<AllowedAction>,
    /// The request about it that a second person has to decide.
    #[schema(required)]
    pending_approval_id: Option<String>,
    /// What people asked for, newest first.
    actions: Vec<Asked>,
    /// The hold that keeps it from being sent, if one does: its own, or its kind's.
    #[schema(required)]
    held: Option<String>,
    /// Head of the chain of its history.
    hash: String,
}

/// A step or timer that is outstanding.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its name; a timer's begins with `@`.
    #[schema(example = "locate")]
    task: String,
    /// Where it queues.
    #[schema(example = "neonomics/dnb/status")]
    lane: String,
    /// How often it was tried.
    attempts: u32,
    /// How often whoever tried it fell silent.
    losses: u32,
    /// Whether somebody is at it.
    under_way: bool,
    /// When it is due, or, under way, when it is taken over from whoever falls silent.
    due_at: String,
    /// Whether an attempt may have had its effect without anybody knowing.
    in_doubt: bool,
    /// What the last attempt brought.
    #[schema(required)]
    last_finding: Option<String>,
}

/// Something that operators can do, or why they cannot.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedAction {
    /// The verb of the address.
    #[schema(example = "cancel")]
    action: &'static str,
    /// Whether it would do anything here.
    allowed: bool,
    /// The rule that forbids it.
    #[schema(required)]
    reason: Option<String>,
}

/// Something that a person asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The verb.
    action: String,
    /// Who.
    by: String,
    /// In which role.
    role: String,
    /// Why.
    reason: String,
    /// When.
    at: String,
    /// When what was asked for ends by itself.
    #[schema(required)]
    expires_at: Option<String>,
}

/// One transition.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its number, from 1.
    revision: i64,
    /// When.
    at: String,
    /// What happened, in a word or two.
    #[schema(example = "created")]
    event: String,
    /// The phase before; `null` for the first.
    #[schema(required)]
    from: Option<String>,
    /// The phase afterwards.
    to: String,
    /// The status afterwards.
    status: String,
    /// Who or what caused it.
    actor: String,
    /// The step whose answer this was.
    #[schema(required)]
    cause: Option<String>,
    /// Which attempt of that step.
    #[schema(required)]
    attempt: Option<i64>,
    /// How long that attempt took, in milliseconds.
    #[schema(required)]
    latency_ms: Option<i64>,
    /// Its link in the chain.
    hash: String,
}

impl Summary {
    /// A workflow in a list. One whose documents cannot be read is listed without its amount: operators have to see
    /// it most.
    pub fn of(instance: &Instance, stopped: bool) -> Self {
        let payment = Payment::of(instance).ok().flatten();
        let since = payment.as_ref().and_then(doubt::since);
        let transaction = Transaction::of(instance).ok();
        let (amount, provider_payment_id) = transaction.map(Transaction::essence).unzip();
        let (amount, currency) = amount.unzip();
        Summary {
            id: instance.id.to_string(),
            transaction_id: TransactionId::from(instance.id).to_string(),
            kind: instance.kind.to_string(),
            status: instance.status.to_string(),
            phase: instance.phase.to_string(),
            attention: instance.attention.as_deref().map(str::to_owned),
            bank: payment.map(|payment| payment.instruction().initiation.bank.0.clone()),
            waiting_for: waiting_for(instance, stopped),
            in_doubt_since: since.map(At::to_rfc3339_millis),
            user_id: instance.owner.to_string(),
            amount,
            currency,
            provider_payment_id: provider_payment_id.flatten(),
            revision: instance.seq,
            created_at: instance.created_at.to_rfc3339_millis(),
            updated_at: instance.updated_at.to_rfc3339_millis(),
            completed_at: instance.completed_at.map(At::to_rfc3339_millis),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Workflow {
    /// A workflow with all that is owed to it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of(app: &App, instance: &Instance) -> Result<Self, Problem> {
        let tasks = app.engine.tasks(instance.id).await?;
        let which = Which {
            standing: Some(Standing::Pending),
            instance: Some(instance.id),
            before: None,
            now: app.engine.now(),
            limit: 1,
        };
        let pending = app.desk.approvals(&which).await?;
        let actions = app.desk.actions(&instance.id.to_string(), ACTIONS).await?;
        let mut allowed_actions = Vec::new();
        for verb in verbs() {
            let reason = match app.desk.allows(instance, verb) {
                Ok(()) => None,
                Err(Unable::Forbidden(rule)) => Some(rule),
                Err(Unable::Store(_)) => Some("this version cannot read it".to_owned()),
                Err(other @ (Unable::NotFound | Unable::Rule(_))) => return Err(other.into()),
            };
            allowed_actions.push(AllowedAction { action: verb.word(), allowed: reason.is_none(), reason });
        }
        for (action, allowed) in
            [("hold", holding::hold(app, instance)), ("release", holding::release(app, instance))]
        {
            let reason = allowed.err().map(|unable| unable.to_string());
            allowed_actions.push(AllowedAction { action, allowed: reason.is_none(), reason });
        }
        let next = tasks.iter().filter(|task| task.lease.is_none()).map(|task| task.due_at).min();
        Ok(Workflow {
            summary: Summary::of(instance, app.engine.is_stopped(instance)),
            doubt: Doubt::of(app, instance, &tasks).await?,
            next_wake_up: next.map(At::to_rfc3339_millis),
            attempts: tasks.iter().map(Attempt::of).collect(),
            allowed_actions,
            pending_approval_id: pending.first().map(|approval| approval.request.id.to_string()),
            actions: actions
                .into_iter()
                .map(|action| Asked {
                    action: action.verb,
                    by: action.actor,
                    role: action.role,
                    reason: action.reason,
                    at: action.at.to_rfc3339_millis(),
                    expires_at: action.expires_at.map(At::to_rfc3339_millis),
                })
                .collect(),
            held: app.controls.held(instance.id, &instance.kind).map(|hold| holds::id(&hold)),
            hash: instance.hash.to_string(),
        })
    }
}

impl Attempt {
    fn of(task: &TaskRow) -> Self {
        Attempt {
            task: task.task.name.to_string(),
            lane: task.lane.as_str().to_owned(),
            attempts: task.attempts,
            losses: task.losses,
            under_way: task.lease.is_some(),
            due_at: task.due_at.to_rfc3339_millis(),
            in_doubt: task.doubt,
            last_finding: task.finding.clone(),
        }
    }
}

/// What a workflow waits for, one sentence for each phase (payments practice §4.2, "why waiting").
fn waiting_for(instance: &Instance, stopped: bool) -> Option<String> {
    if instance.status.is_final() {
        return None;
    }
    if stopped {
        let why = instance.attention.as_deref().unwrap_or_default();
        return Some(format!("An operator has to look at it: {why}."));
    }
    let sentence = match &*instance.phase {
        "initiating" => "The bank has not answered the payment order yet.",
        "awaiting_sca" => "The payer has to approve the payment at the bank.",
        "confirming" => "The bank is executing it and has not reported settlement yet.",
        "in_doubt" => "Nobody knows whether the bank has it; the bank is asked until it says so.",
        "cancelling" => "The bank has not confirmed yet that it is taken back.",
        "awaiting_consent" => "The bank wants its connection renewed before it takes the payment.",
        "parked" => "Nothing was sent; the provider does not take payments at the moment.",
        "awaiting_user" => "Nothing was sent; the provider is back and the payer has to go on.",
        other => return Some(format!("It is {other}.")),
    };
    Some(sentence.to_owned())
}

impl Step {
    /// Transitions in a row, oldest first.
    pub fn follow(rows: &[HistoryRow]) -> Vec<Self> {
        let before = std::iter::once(None).chain(rows.iter().map(Some));
        rows.iter().zip(before).map(|(row, before)| Step::of(row, before)).collect()
    }

    /// Its number.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    fn of(row: &HistoryRow, before: Option<&HistoryRow>) -> Self {
        let of_step = !row.step.is_empty();
        Step {
            revision: row.seq,
            at: row.at.to_rfc3339_millis(),
            event: happened(&row.occurrence),
            from: before.map(|before| before.phase.to_string()),
            to: row.phase.to_string(),
            status: row.status.to_string(),
            actor: row.actor.to_string(),
            cause: of_step.then(|| row.step.to_string()),
            attempt: of_step.then_some(row.attempt),
            latency_ms: of_step.then_some(row.latency_us / 1_000),
            hash: row.hash.to_string(),
        }
    }
}

/// The name of what happened, without what came with it: that holds the bank's links.
fn happened(occurrence: &str) -> String {
    let document: Value = serde_json::from_str(occurrence).unwrap_or_default();
    let (how, what) = match &document {
        Value::Object(members) => match members.iter().next() {
            Some((how, what)) => (how.as_str(), named(what)),
            None => ("", vec![]),
        },
        Value::String(word) => (word.as_str(), vec![]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => ("", vec![]),
    };
    match how {
        // What the world said is named by what it said.
        "said" => what.join(" "),
        _ => std::iter::once(how).chain(what).collect::<Vec<_>>().join(" "),
    }
}

/// A variant's name, with or without content, or the names of several.
fn named(value: &Value) -> Vec<&str> {
    match value {
        Value::String(word) => vec![word],
        Value::Object(members) => members.keys().take(1).map(String::as_str).collect(),
        Value::Array(values) => values.iter().flat_map(named).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_named_without_what_came_with_it() {
        for (occurrence, expected) in [
            (r#""started""#, "started"),
            (r#""resumed""#, "resumed"),
            (r#"{"said":"absent"}"#, "absent"),
            (r#"{"said":{"created":{"payment":"p","sca":"https://bank/secret"}}}"#, "created"),
            (r#"{"fired":"ripe"}"#, "fired ripe"),
            (r#"{"gave_up":["initiate","unknown"]}"#, "gave_up initiate unknown"),
            ("{", ""),
        ] {
            assert_eq!(happened(occurrence), expected, "{occurrence}");
        }
    }
}
