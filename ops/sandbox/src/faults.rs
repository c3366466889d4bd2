//! What can be made to go wrong between the client and the bank.

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::banks::BankId;

/// A call of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Initiate,
    Status,
    Locate,
    Cancel,
    Balances,
    Consent,
    Token,
    Health,
    Banks,
    /// A call the contract does not know.
    Other,
    /// In a fault: whichever.
    Any,
}

impl Operation {
    /// The call a request is.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let parts = path.trim_matches('/').split('/').collect::<Vec<_>>();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["health"]) => Self::Health,
            ("POST", ["auth", "token"]) => Self::Token,
            ("GET", ["banks"]) => Self::Banks,
            ("POST", ["v1", "consents"]) | ("GET" | "DELETE", ["v1", "consents", _]) => Self::Consent,
            ("GET", ["v1", "accounts", _, "balances"]) => Self::Balances,
            ("POST", ["v1", "payments", _]) => Self::Initiate,
            ("GET", ["v1", "payments", _, "status"]) => Self::Status,
            ("GET", ["v1", "payments"]) => Self::Locate,
            ("DELETE", ["v1", "payments", _]) => Self::Cancel,
            _ => Self::Other,
        }
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Done, `latencyMs` later.
    Latency,
    /// Not done, and an error.
    ErrorBefore,
    /// Done, and an error.
    ErrorAfter,
    /// Not done, and the connection is reset.
    ResetBefore,
    /// Done, and the connection is reset.
    ResetAfter,
    /// Done, and no answer ever.
    HangAfter,
    /// Done, and an answer that is no JSON.
    Garbage,
    /// Not done: 503, whatever the call.
    Outage,
    /// Answered at once as `answer` says, and done `latencyMs` later.
    LateCreate,
    /// Not done: 429 with `Retry-After`.
    RateLimit,
}

/// What the client sees of a late creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LateAnswer {
    /// An error status.
    #[default]
    Error,
    /// A reset.
    Reset,
    /// Nothing until the client gives up.
    Hang,
}

/// A fault as an operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Fault {
    #[serde(default = "any")]
    pub(crate) operation: Operation,
    #[serde(default)]
    pub(crate) bank: Option<BankId>,
    pub(crate) kind: Kind,
    #[serde(default = "internal_error")]
    pub(crate) status: u16,
    #[serde(default = "bank_api_timeout")]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) latency_ms: u64,
    #[serde(default)]
    pub(crate) retry_after: Option<u64>,
    #[serde(default)]
    pub(crate) answer: LateAnswer,
    /// How many calls it strikes; without it, every one until removed.
    #[serde(default)]
    pub(crate) times: Option<u32>,
}

/// A fault in force.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Placed {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) fault: Fault,
}

/// The faults in force, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    placed: Vec<Placed>,
    last_id: u64,
}

/// What strikes one call: some latency, and at most one other fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) latency_ms: u64,
    pub(crate) fault: Option<Fault>,
}

fn any() -> Operation {
    Operation::Any
}

fn internal_error() -> u16 {
    500
}

fn bank_api_timeout() -> String {
    "BANK_API_TIMEOUT".to_owned()
}

impl Fault {
    /// The status an error is answered with; 500 for a number that is none.
    pub(crate) fn http_status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn strikes(&self, operation: Operation, bank: Option<&BankId>) -> bool {
        let whichever = self.operation == Operation::Any || self.kind == Kind::Outage;
        (whichever || self.operation == operation)
            && self.bank.as_ref().is_none_or(|struck| Some(struck) == bank)
    }
}

impl Faults {
    pub(crate) fn place(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.placed.push(Placed { id: self.last_id, fault });
        self.last_id
    }

    /// False when there is no such fault.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.placed.len();
        self.placed.retain(|placed| placed.id != id);
        self.placed.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.placed.clear();
    }

    pub(crate) fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// What strikes this call: every latency that fits, and the oldest other fault that does. Uses them up.
    pub(crate) fn strike(&mut self, operation: Operation, bank: Option<&BankId>) -> Weather {
        let mut weather = Weather::default();
        for Placed { fault, .. } in &mut self.placed {
            let latency = fault.kind == Kind::Latency;
            if fault.times == Some(0)
                || !fault.strikes(operation, bank)
                || (!latency && weather.fault.is_some())
            {
                continue;
            }
            fault.times = fault.times.map(|times| times - 1);
            if latency {
                weather.latency_ms += fault.latency_ms;
            } else {
                weather.fault = Some(fault.clone());
            }
        }
        self.placed.retain(|placed| placed.fault.times != Some(0));
        weather
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_fault_strikes_its_operation_and_bank_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.place(fault(r#"{"operation":"status","bank":"dnb","kind":"error_before","times":2}"#));
        let dnb = BankId("dnb".to_owned());
        let mut struck = |operation, bank| faults.strike(operation, bank).fault.is_some();
        assert!(!struck(Operation::Initiate, Some(&dnb)));
        assert!(!struck(Operation::Status, None));
        assert!(struck(Operation::Status, Some(&dnb)));
        assert!(struck(Operation::Status, Some(&dnb)));
        assert!(!struck(Operation::Status, Some(&dnb)));
        assert!(faults.placed().is_empty());
    }

    #[test]
    fn latency_adds_to_another_fault_and_the_older_of_two_others_goes_first() {
        let mut faults = Faults::default();
        faults.place(fault(r#"{"kind":"latency","latencyMs":5}"#));
        faults.place(fault(r#"{"kind":"reset_after","times":1}"#));
        faults.place(fault(r#"{"kind":"garbage","times":1}"#));
        let first = faults.strike(Operation::Initiate, None);
        let second = faults.strike(Operation::Initiate, None);
        assert_eq!((first.latency_ms, first.fault.map(|fault| fault.kind)), (5, Some(Kind::ResetAfter)));
        assert_eq!((second.latency_ms, second.fault.map(|fault| fault.kind)), (5, Some(Kind::Garbage)));
    }
}
