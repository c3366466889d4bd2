//! A payment in doubt, or one about which the bank says otherwise than was reported, is settled by evidence and by two
//! people (OA-10, X-70; payments practice §3.2, 9 and 10).

use workers::approvals::{Approval, Asked, Decided, Decision, Outcome, Request, Rule, Verdict};
use workers::engine::{Foresight, Told};
use workers::store::{InboxKey, Instance, Trouble};
use workflows::ids::{ApprovalId, WorkflowId};
use workflows::payment::{Event, Truth};

use super::payment::target;
use super::{Desk, Person, Unable};

/// The word of this action in the stored request.
const RESOLVE: &str = "resolve";
/// Under which name a decision is told to its workflow, once.
const HEARD_FROM: &str = "approval";

impl Desk {
    /// Files a request to bring a payment in doubt to its end; a second person decides.
    ///
    /// # Errors
    /// [`Unable`], among others when the machine would not take such evidence where the workflow stands, or another
    /// request about it is open.
    pub async fn ask_to_resolve(
        &self,
        who: Person<'_>,
        workflow: WorkflowId,
        outcome: Truth,
        (evidence, reason): (String, String),
    ) -> Result<Approval, Unable> {
        let id = ApprovalId::new(self.engine.ids().ordered());
        let event = Event::Resolved { outcome, reference: id.to_string() };
        let proposal = serde_json::to_string(&event).map_err(|error| unwritable(error.into()))?;
        loop {
            let instance = self.engine.get(workflow).await?.ok_or(Unable::NotFound)?;
            self.takes(&instance, &event)?;
            let now = self.engine.now();
            let request = Request {
                id,
                action: RESOLVE.to_owned(),
                proposal: proposal.clone(),
                instance: workflow,
                revision: instance.seq,
                target: target(&instance),
                requested_by: who.name.to_owned(),
                reason: reason.clone(),
                evidence: evidence.clone(),
                created_at: now,
                expires_at: now.plus(self.expiry),
            };
            match self.drawers.approvals.ask(&request).await? {
                Asked::Filed => {
                    tracing::info!(approval = %id, %workflow, by = who.name, "asked for a second person");
                    return Ok(Approval::filed(request));
                }
                // It moved meanwhile: what is asked is looked at anew on what is there.
                Asked::Moved => {}
                Asked::Open(open) => {
                    return Err(Unable::Forbidden(format!(
                        "a request about this workflow is still open: {open}"
                    )));
                }
            }
        }
    }

    /// Decides a request and, when it is approved, has it carried out. What was approved and could not be told to its
    /// workflow at once is told later.
    ///
    /// # Errors
    /// [`Unable`], with the rule that forbids it.
    pub async fn decide(
        &self,
        who: Person<'_>,
        id: ApprovalId,
        verdict: Verdict,
        reason: &str,
    ) -> Result<Approval, Unable> {
        loop {
            let approval = self.approval(id).await?.ok_or(Unable::NotFound)?;
            let (sound, revision) = match verdict {
                Verdict::Approved => self.still_makes_sense(&approval).await?,
                Verdict::Rejected | Verdict::Void => (true, approval.request.revision),
            };
            let decision = Decision {
                verdict: if sound { verdict } else { Verdict::Void },
                by: who.name.to_owned(),
                reason: reason.to_owned(),
                at: self.engine.now(),
            };
            match self.drawers.approvals.decide(id, &decision, revision).await? {
                Decided::NotFound => return Err(Unable::NotFound),
                Decided::Forbidden(Rule::Moved) => {}
                Decided::Forbidden(rule) => return Err(rule.into()),
                Decided::Done(decided) => {
                    let word = decision.verdict.word();
                    tracing::info!(approval = %id, by = who.name, verdict = word, "decided");
                    if !sound {
                        return Err(Unable::Forbidden(
                            "what it was about has changed since it was asked for: the request is void"
                                .to_owned(),
                        ));
                    }
                    return self.carry_out(*decided).await;
                }
            }
        }
    }

    /// Tells a workflow what two people decided, if that has not been done. Exactly once, however often it is called.
    ///
    /// # Errors
    /// When the store does not answer; it is called again later.
    pub(super) async fn apply(&self, approval: &Approval) -> Result<Outcome, Trouble> {
        let request = &approval.request;
        let (Some(event), Some(decision)) = (proposed(approval), &approval.decision) else {
            return self.conclude(approval, Outcome::Void).await;
        };
        let heard = InboxKey { source: HEARD_FROM.into(), event: request.id.to_string().into() };
        let actors = format!("{}, {}", request.requested_by, decision.by);
        let still = |instance: &Instance| target(instance) == request.target;
        let outcome =
            match self.engine.tell_while(request.instance, &event, &actors, Some(heard), still).await? {
                Told::Moved(_) | Told::Duplicate(_) => Outcome::Applied,
                // The bank's own word came first, or the payment was sent again: what was approved is about a doubt
                // that is gone.
                Told::Ignored(_) | Told::NotFound => Outcome::Void,
            };
        self.conclude(approval, outcome).await
    }

    /// A decision stands from its commit on; that it is told may wait.
    async fn carry_out(&self, mut decided: Approval) -> Result<Approval, Unable> {
        if decided.decision.as_ref().is_some_and(|decision| decision.verdict == Verdict::Approved) {
            match self.apply(&decided).await {
                Ok(outcome) => decided.result = Some((outcome, self.engine.now())),
                Err(trouble) => {
                    tracing::warn!(approval = %decided.request.id, %trouble, "approved, and told to its workflow later");
                    self.news.notify_one();
                }
            }
        }
        Ok(decided)
    }

    async fn conclude(&self, approval: &Approval, outcome: Outcome) -> Result<Outcome, Trouble> {
        let id = approval.request.id;
        self.drawers.approvals.applied(id, outcome, self.engine.now()).await?;
        tracing::info!(approval = %id, workflow = %approval.request.instance, outcome = outcome.word(), "carried out");
        Ok(outcome)
    }

    /// Whether the workflow still stands where the request meant it, and at which revision that was seen.
    async fn still_makes_sense(&self, approval: &Approval) -> Result<(bool, i64), Unable> {
        let Some(instance) = self.engine.get(approval.request.instance).await? else {
            return Err(Unable::NotFound);
        };
        let takes = proposed(approval).is_some_and(|event| self.takes(&instance, &event).is_ok());
        Ok((takes && target(&instance) == approval.request.target, instance.seq))
    }

    /// Whether the machine takes an operator's evidence where the workflow stands.
    pub(super) fn takes(&self, instance: &Instance, event: &Event) -> Result<(), Unable> {
        if super::payment::progress(instance).is_none() {
            return Err(Unable::Forbidden("this workflow is not a payment".to_owned()));
        }
        match self.engine.foresee(instance, event)? {
            Foresight::Moves(..) => Ok(()),
            Foresight::Nothing | Foresight::Stops(_) => Err(Unable::Forbidden(format!(
                "only a payment in doubt, in conflict with the bank, or without its certain word for too long is \
                 resolved by evidence; this one is {}{}",
                instance.phase,
                if *instance.phase == *"in_doubt" { ", with an attempt still on its way" } else { "" }
            ))),
        }
    }
}

/// What a request would have told to its workflow; `None` when it is not a request to resolve a payment as it was
/// asked for.
pub fn proposed(approval: &Approval) -> Option<Event> {
    let ours = approval.request.action == RESOLVE && approval.is_genuine();
    if !ours {
        tracing::error!(approval = %approval.request.id, "a stored request is not what was asked for");
        return None;
    }
    serde_json::from_str(&approval.request.proposal).ok()
}

fn unwritable(source: Box<dyn std::error::Error + Send + Sync>) -> Trouble {
    Trouble { doing: "write a request", fate: workers::store::Fate::NotCommitted, source }
}
