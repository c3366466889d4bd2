//! The operators' desk: what people ask of running workflows, what takes two of them, and what providers pushed.
//!
//! The one rule: nothing here writes a workflow. The desk keeps what was asked, decided or pushed, and then tells the
//! engine, which decides by its machine. Whatever was kept and not yet told is told later, whatever happens in between.

mod act;
mod follow_up;
mod notices;
mod payment;
mod resolve;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use workers::actions::{Action, Actions};
use workers::approvals::{Approval, Approvals, Rule, Which};
use workers::engine::Engine;
use workers::notices::Notices;
use workers::store::Trouble;
use workflows::ids::ApprovalId;
use workflows::time::At;

pub use act::{Verb, verbs};
pub use notices::Push;
pub use resolve::proposed;

/// The desk of one process. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    engine: Engine,
    drawers: Drawers,
    expiry: Duration,
    news: Arc<Notify>,
}

/// Where the desk keeps things.
#[derive(Clone)]
pub struct Drawers {
    /// Requests and decisions.
    pub approvals: Arc<dyn Approvals>,
    /// What people did.
    pub actions: Arc<dyn Actions>,
    /// What providers pushed.
    pub notices: Arc<dyn Notices>,
}

/// Who asks or decides.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Their name.
    pub name: &'a str,
    /// The word of their role.
    pub role: &'static str,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    /// There is no such workflow or request.
    #[error("there is no such thing")]
    NotFound,
    /// A rule forbids it here; the sentence says which.
    #[error("{0}")]
    Forbidden(String),
    /// A rule of two people forbids it.
    #[error("{0}")]
    Rule(#[from] Rule),
    /// The store does not answer.
    #[error("the store does not answer")]
    Store(#[from] Trouble),
}

impl Desk {
    /// A desk in front of an engine; requests can be decided for as long as `expiry`.
    pub fn new(engine: Engine, drawers: Drawers, expiry: Duration) -> Self {
        Desk { engine, drawers, expiry, news: Arc::new(Notify::new()) }
    }

    /// Records who asks for what, why and until when, before it is carried out.
    ///
    /// # Errors
    /// When the store does not answer; nothing may be carried out then.
    pub async fn record(
        &self,
        who: Person<'_>,
        verb: &str,
        subject: &str,
        (reason, expires_at): (&str, Option<At>),
    ) -> Result<(), Trouble> {
        let action = Action {
            id: self.engine.ids().ordered(),
            at: self.engine.now(),
            actor: who.name.to_owned(),
            role: who.role.to_owned(),
            verb: verb.to_owned(),
            subject: subject.to_owned(),
            reason: reason.to_owned(),
            expires_at,
        };
        self.drawers.actions.record(&action).await?;
        tracing::info!(actor = who.name, role = who.role, verb, subject, "asked for");
        Ok(())
    }

    /// What was asked for on a subject, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn actions(&self, subject: &str, limit: usize) -> Result<Vec<Action>, Trouble> {
        self.drawers.actions.actions(subject, limit).await
    }

    /// A request.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, Trouble> {
        self.drawers.approvals.approval(id).await
    }

    /// Requests, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn approvals(&self, which: &Which) -> Result<Vec<Approval>, Trouble> {
        self.drawers.approvals.approvals(which).await
    }
}
