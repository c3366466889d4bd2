//! What one person may do alone to a workflow: cancel, compensate, let go on. The machine is asked first, and the
//! reason is kept before anything happens.

use std::sync::Arc;

use workers::engine::{Foresight, Resumed, Told};
use workers::store::Instance;
use workflows::ids::WorkflowId;
use workflows::payment::{By, Event, Truth, too_late_to_cancel};

use super::payment::progress;
use super::{Desk, Person, Unable};

/// What an operator can do to a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Take it back before the point of no return.
    Cancel,
    /// Undo a stuck one.
    Compensate,
    /// Let a stopped one go on.
    Resume,
    /// Bring one in doubt to its end by evidence; takes a second person.
    Resolve,
}

impl Verb {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Cancel => "cancel",
            Verb::Compensate => "compensate",
            Verb::Resume => "resume",
            Verb::Resolve => "resolve",
        }
    }

    /// What the machine would be told; resuming is the engine's own business.
    fn event(self) -> Option<Event> {
        match self {
            Verb::Cancel => Some(Event::CancelAsked { by: By::Operator }),
            Verb::Compensate => Some(Event::CancelAsked { by: By::Compensation }),
            Verb::Resume => None,
            Verb::Resolve => Some(Event::Resolved { outcome: Truth::NotExecuted, reference: String::new() }),
        }
    }
}

/// Every verb, in the order in which it is offered.
pub const fn verbs() -> [Verb; 4] {
    [Verb::Cancel, Verb::Compensate, Verb::Resume, Verb::Resolve]
}

impl Desk {
    /// Whether a verb would do anything to an instance as it stands.
    ///
    /// # Errors
    /// [`Unable::Forbidden`] with the rule; [`Unable::Store`] when the instance cannot be read.
    pub fn allows(&self, instance: &Instance, verb: Verb) -> Result<(), Unable> {
        let forbidden = |rule: &str| Err(Unable::Forbidden(rule.to_owned()));
        let Some(event) = verb.event() else {
            return if self.engine.is_stopped(instance) {
                Ok(())
            } else {
                forbidden("it is not stopped: it goes on by itself")
            };
        };
        if verb == Verb::Resolve {
            return self.takes(instance, &event);
        }
        if instance.status.is_final() {
            return Err(Unable::Forbidden(format!("it has come to its end: {}", instance.phase)));
        }
        let Some(progress) = progress(instance) else { return forbidden("this workflow is not a payment") };
        if too_late_to_cancel(&progress.state) {
            return forbidden("it is past the point of no return: it is followed to its end");
        }
        match self.engine.foresee(instance, &event)? {
            Foresight::Moves(..) => Ok(()),
            Foresight::Nothing => forbidden("it is being taken back already"),
            Foresight::Stops(why) => forbidden(why),
        }
    }

    /// Does to a workflow what one person may do alone; this is it afterwards.
    ///
    /// # Errors
    /// [`Unable`], with the rule that forbids it.
    pub async fn act(
        &self,
        who: Person<'_>,
        workflow: WorkflowId,
        verb: Verb,
        reason: &str,
    ) -> Result<Arc<Instance>, Unable> {
        let instance = self.engine.get(workflow).await?.ok_or(Unable::NotFound)?;
        self.allows(&instance, verb)?;
        self.record(who, verb.word(), &workflow.to_string(), (reason, None)).await?;
        let moved_on = || Unable::Forbidden("it moved on while this was asked for".to_owned());
        match verb {
            Verb::Resume => match self.engine.resume(workflow, who.name).await? {
                Resumed::GoesOn(instance) => Ok(instance),
                Resumed::NotStopped(_) => Err(moved_on()),
                Resumed::Stuck(_) => Err(Unable::Forbidden(
                    "nothing that is safe leads on from where it stands: it needs a newer version".to_owned(),
                )),
                Resumed::NotFound => Err(Unable::NotFound),
            },
            Verb::Resolve => Err(Unable::Forbidden("it takes evidence and a second person".to_owned())),
            Verb::Cancel | Verb::Compensate => {
                let event = verb.event().ok_or_else(moved_on)?;
                match self.engine.tell(workflow, &event, who.name, None).await? {
                    Told::Moved(instance) => Ok(instance),
                    Told::Ignored(_) | Told::Duplicate(_) => Err(moved_on()),
                    Told::NotFound => Err(Unable::NotFound),
                }
            }
        }
    }
}
