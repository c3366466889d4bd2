//! The operators' commands. They speak to a running service as any other caller (`SLUSE_URL`, `SLUSE_API_KEY`), so the
//! same roles, reasons and second persons are asked for; nothing here reaches past it to the database.

mod remote;
mod shown;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use self::remote::{Refused, Remote};
use crate::config;

/// What operators can do from the command line. Each needs `SLUSE_URL` and `SLUSE_API_KEY`, the key of whoever gives the
/// command.
#[derive(Subcommand)]
pub enum Command {
    /// List workflows of the running service (`SLUSE_URL`, `SLUSE_API_KEY`).
    Workflows {
        /// Those that an operator should look at only.
        #[arg(long)]
        attention: bool,
        /// processing, queued, completed, failed or cancelled.
        #[arg(long)]
        status: Option<String>,
        /// Such as `in_doubt` or `parked`.
        #[arg(long)]
        phase: Option<String>,
        /// An id of a workflow, transaction, user or provider payment.
        #[arg(long)]
        q: Option<String>,
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Show a workflow: where it stands, what it waits for, what can be done.
    Workflow {
        /// Its id.
        id: String,
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Show what happened to a workflow.
    History {
        /// Its id.
        id: String,
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Take a workflow back before the point of no return.
    Cancel(OnWorkflow),
    /// Undo a stuck workflow.
    Compensate(OnWorkflow),
    /// Let a stopped workflow go on.
    Resume(OnWorkflow),
    /// Ask to settle a payment in doubt by evidence; a second person decides.
    Resolve {
        /// The workflow's id.
        id: String,
        /// What the evidence shows.
        #[arg(long)]
        outcome: Truth,
        /// What proves it.
        #[arg(long)]
        evidence: String,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// List requests that need a second person.
    Approvals {
        /// pending, expired, approved, applied, rejected or void.
        #[arg(long)]
        state: Option<String>,
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Approve somebody else's request.
    Approve {
        /// Its id.
        id: String,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// Reject a request.
    Reject {
        /// Its id.
        id: String,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// List providers, their banks, modes and breakers.
    Providers {
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Say whether payments are made and balances read, and how fast.
    Mode {
        /// Where.
        #[command(flatten)]
        place: Place,
        /// live, cached, hidden, disabled or queue; live is for payments and balances at once.
        #[arg(long, required_unless_present_any = ["rate", "payments", "balances"])]
        mode: Option<String>,
        /// Payments alone: live, queue or disabled.
        #[arg(long, conflicts_with = "mode")]
        payments: Option<String>,
        /// Balances alone: live, cached or hidden.
        #[arg(long, conflicts_with = "mode")]
        balances: Option<String>,
        /// Calls a second, for the whole provider.
        #[arg(long, conflicts_with = "bank")]
        rate: Option<u32>,
        /// When it ends by itself.
        #[command(flatten)]
        until: Until,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// Features, modes, the age of balances and rates: list, set, or take back to the start value.
    Switches {
        /// What to do.
        #[command(subcommand)]
        what: Switches,
    },
    /// Open, close or probe breakers.
    Breaker {
        /// What to do.
        action: BreakerAction,
        /// Where.
        #[command(flatten)]
        place: Place,
        /// aisp, initiate, status or cancel; all of the bank's where absent.
        #[arg(long, requires = "bank")]
        operation: Option<String>,
        /// When it ends by itself.
        #[command(flatten)]
        until: Until,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// List the queues of parked payments.
    Queues {
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Let parked payments through at a pace, or by the usual stages.
    #[command(visible_alias = "process-pending-payments")]
    Drain {
        /// A queue's name, such as neonomics:dnb.
        #[arg(default_value = "all")]
        queue: String,
        /// Payments a minute; 0 pauses; the usual stages where absent.
        #[arg(long)]
        per_minute: Option<u32>,
        /// When it ends by itself.
        #[command(flatten)]
        until: Until,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// List holds.
    Holds {
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Hold new payments: wf_…, kind:remittance, provider:neonomics or bank:neonomics:dnb.
    Hold {
        /// What.
        on: String,
        /// When it ends by itself.
        #[command(flatten)]
        until: Until,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// Release what is held.
    Release {
        /// What.
        on: String,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
}

/// What to do about switches.
#[derive(Subcommand)]
pub enum Switches {
    /// List them with where they stand and who says so.
    List {
        /// The form of the answer.
        #[command(flatten)]
        form: Form,
    },
    /// Turn one.
    Set {
        /// Its name, such as feature.cards or swan.mode.
        name: String,
        /// Where it is to stand.
        value: String,
        /// When it ends by itself.
        #[command(flatten)]
        until: Until,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
    /// Take one back: its start value holds again.
    Unset {
        /// Its name.
        name: String,
        /// Why it is done.
        #[command(flatten)]
        why: Why,
    },
}

/// A workflow and why.
#[derive(Args)]
pub struct OnWorkflow {
    /// The workflow's id.
    id: String,
    /// Why it is done.
    #[command(flatten)]
    why: Why,
}

/// Why something is done, and in which form the answer is shown.
#[derive(Args)]
pub struct Why {
    /// Why; kept with the action.
    #[arg(long)]
    reason: String,
    /// The form of the answer.
    #[command(flatten)]
    form: Form,
}

/// When it ends.
#[derive(Args)]
pub struct Until {
    /// When it ends by itself (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

/// The form of an answer.
#[derive(Args)]
pub struct Form {
    /// Print the service's JSON answer.
    #[arg(long)]
    json: bool,
}

/// A provider or one of its banks.
#[derive(Args)]
pub struct Place {
    /// The provider.
    #[arg(long, default_value = crate::provider::NAME)]
    provider: String,
    /// One of its banks.
    #[arg(long)]
    bank: Option<String>,
}

/// What evidence shows.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Truth {
    /// Money moved.
    Executed,
    /// It did not and will not.
    NotExecuted,
}

/// What to do with a breaker.
#[derive(Clone, Copy, ValueEnum)]
pub enum BreakerAction {
    /// Nothing passes.
    Open,
    /// Everything passes.
    Close,
    /// Find out.
    Probe,
}

/// One call.
struct Call {
    method: Method,
    /// Segments behind `/v1`.
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    json: bool,
}

/// Gives a command to the running service and prints what it answers. The exit code is 0 when it was done, 2 when the
/// request was wrong, 3 when the key may not do that, 4 when there is no such thing, 5 when a rule forbids it, and 1
/// for everything else.
pub async fn run(command: Command, settings: &config::Remote) -> ExitCode {
    let call = command.call();
    let json = call.json;
    let answer = match Remote::new(settings) {
        Ok(remote) => remote.ask(call).await,
        Err(refused) => Err(refused),
    };
    match answer {
        Ok(body) => {
            shown::print(&body, json);
            ExitCode::SUCCESS
        }
        Err(refused) => {
            if let (true, Refused::Answer { body, .. }) = (json, &refused) {
                shown::print(body, true);
            }
            shown::complain(&refused);
            ExitCode::from(refused.exit_code())
        }
    }
}

impl Command {
    fn call(self) -> Call {
        match self {
            Command::Workflows { attention, status, phase, q, form } => {
                let given = [("status", status), ("phase", phase), ("q", q)];
                let mut query: Vec<_> =
                    given.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
                query.extend(attention.then(|| ("attention", "true".to_owned())));
                Call { query, ..get(["workflows"], &form) }
            }
            Command::Workflow { id, form } => get(["workflows", &id], &form),
            Command::History { id, form } => get(["workflows", &id, "history"], &form),
            Command::Cancel(on) => on.call("cancel"),
            Command::Compensate(on) => on.call("compensate"),
            Command::Resume(on) => on.call("resume"),
            Command::Resolve { id, outcome, evidence, why } => {
                let outcome = match outcome {
                    Truth::Executed => "executed",
                    Truth::NotExecuted => "not_executed",
                };
                let body = json!({ "outcome": outcome, "evidence": evidence });
                why.send(Method::POST, ["workflows", &id, "resolve"], body)
            }
            Command::Approvals { state, form } => {
                let query = state.into_iter().map(|state| ("state", state)).collect();
                Call { query, ..get(["approvals"], &form) }
            }
            Command::Approve { id, why } => why.send(Method::POST, ["approvals", &id, "approve"], json!({})),
            Command::Reject { id, why } => why.send(Method::POST, ["approvals", &id, "reject"], json!({})),
            Command::Providers { form } => get(["providers"], &form),
            Command::Mode { place, mode, payments, balances, rate, until, why } => {
                let body = json!({ "mode": mode, "paymentsMode": payments, "balanceMode": balances,
                    "ratePerSecond": rate, "expiresAt": until.until });
                why.send(Method::PATCH, place.segments(), body)
            }
            Command::Switches { what } => what.call(),
            Command::Breaker { action, place, operation, until, why } => {
                let action = match action {
                    BreakerAction::Open => "open",
                    BreakerAction::Close => "close",
                    BreakerAction::Probe => "probe",
                };
                let body = json!({ "action": action, "operation": operation, "expiresAt": until.until });
                let mut path = place.segments();
                path.push("breaker".to_owned());
                why.send(Method::POST, path, body)
            }
            Command::Queues { form } => get(["queues"], &form),
            Command::Drain { queue, per_minute, until, why } => {
                let body = json!({ "perMinute": per_minute, "expiresAt": until.until });
                why.send(Method::POST, ["queues", &queue, "drain"], body)
            }
            Command::Holds { form } => get(["holds"], &form),
            Command::Hold { on, until, why } => {
                if on.starts_with(WORKFLOW) {
                    let body = json!({ "expiresAt": until.until });
                    why.send(Method::POST, ["workflows", &on, "hold"], body)
                } else {
                    let body = json!({ "on": on, "expiresAt": until.until });
                    why.send(Method::POST, ["holds"], body)
                }
            }
            Command::Release { on, why } => {
                if on.starts_with(WORKFLOW) {
                    why.send(Method::POST, ["workflows", &on, "release"], json!({}))
                } else {
                    why.send(Method::DELETE, ["holds", &on], json!({}))
                }
            }
        }
    }
}

/// How a workflow's id begins.
const WORKFLOW: &str = workflows::ids::WorkflowId::PREFIX;

impl Switches {
    fn call(self) -> Call {
        match self {
            Switches::List { form } => get(["switches"], &form),
            Switches::Set { name, value, until, why } => {
                let body = json!({ "value": value, "expiresAt": until.until });
                why.send(Method::PUT, ["switches", &name], body)
            }
            Switches::Unset { name, why } => why.send(Method::DELETE, ["switches", &name], json!({})),
        }
    }
}

impl OnWorkflow {
    fn call(self, verb: &str) -> Call {
        self.why.send(Method::POST, ["workflows", &self.id, verb], json!({}))
    }
}

impl Place {
    fn segments(self) -> Vec<String> {
        let bank = self.bank.into_iter().flat_map(|bank| ["banks".to_owned(), bank]);
        ["providers".to_owned(), self.provider].into_iter().chain(bank).collect()
    }
}

impl Why {
    fn send<S: Into<String>>(
        self,
        method: Method,
        path: impl IntoIterator<Item = S>,
        mut body: Value,
    ) -> Call {
        body["reason"] = self.reason.into();
        let path = path.into_iter().map(Into::into).collect();
        Call { method, path, query: vec![], body: Some(body), json: self.form.json }
    }
}

fn get<'a>(path: impl IntoIterator<Item = &'a str>, form: &Form) -> Call {
    let path = path.into_iter().map(str::to_owned).collect();
    Call { method: Method::GET, path, query: vec![], body: None, json: form.json }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn call(line: &str) -> Option<Call> {
        let words = std::iter::once("sluse").chain(line.split(' '));
        Line::try_parse_from(words).ok().map(|line| line.command.call())
    }

    #[test]
    fn a_line_is_one_call() {
        for (line, method, path, body) in [
            ("switches list", Method::GET, "switches", Value::Null),
            (
                "switches set feature.cards disabled --reason r --until 2026-03-01T00:00:00Z",
                Method::PUT,
                "switches feature.cards",
                json!({"value": "disabled", "expiresAt": "2026-03-01T00:00:00Z", "reason": "r"}),
            ),
            (
                "switches unset swan.mode --reason r",
                Method::DELETE,
                "switches swan.mode",
                json!({"reason": "r"}),
            ),
            (
                "mode --payments live --bank dnb --reason r",
                Method::PATCH,
                "providers neonomics banks dnb",
                json!({"mode": null, "paymentsMode": "live", "balanceMode": null, "ratePerSecond": null,
                    "expiresAt": null, "reason": "r"}),
            ),
        ] {
            let call = call(line).expect(line);
            let expected = (method, path.to_owned(), body);
            assert_eq!((call.method, call.path.join(" "), call.body.unwrap_or_default()), expected, "{line}");
        }
        for line in ["mode --reason r", "mode --mode live --payments live --reason r", "switches set x y"] {
            assert!(call(line).is_none(), "{line}");
        }
    }
}
