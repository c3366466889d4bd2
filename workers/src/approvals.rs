//! What takes two people: one asks, with evidence, and another one decides.
//!
//! The one rule is kept where it is stored, not where it is shown: the transaction that decides also checks that the
//! requester is not the approver, that nobody decided before, that the request has not expired, that it still says what
//! was asked, and that the instance stands at the revision that the approver's check was made on (payments practice
//! §4.3, reliability §4 "four eyes").

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use workflows::ids::{ApprovalId, WorkflowId};
use workflows::time::At;

use crate::store::Trouble;

/// Requests and decisions. Each method is one transaction.
#[async_trait]
pub trait Approvals: Send + Sync {
    /// Files a request, unless the instance has left the revision that it was made on, or another request about it
    /// is open.
    async fn ask(&self, request: &Request) -> Result<Asked, Trouble>;

    /// Decides a request, once, `checked_on` being the revision of the instance on which the decision was found to
    /// make sense. See [`Approval::judge`] for what is checked in the same transaction.
    async fn decide(&self, id: ApprovalId, decision: &Decision, checked_on: i64) -> Result<Decided, Trouble>;

    /// One request, with what became of it.
    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, Trouble>;

    /// Requests, newest first.
    async fn approvals(&self, filter: &Which) -> Result<Vec<Approval>, Trouble>;

    /// Approved and not applied yet, earliest decision first.
    async fn to_apply(&self, limit: usize) -> Result<Vec<Approval>, Trouble>;

    /// Records what came of an approval. The first result counts; `false` when there is one already.
    async fn applied(&self, id: ApprovalId, result: Outcome, at: At) -> Result<bool, Trouble>;
}

/// What somebody asks for. `Debug` leaves out what people wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: ApprovalId,
    /// What kind of action, one word.
    pub action: String,
    /// The action itself, JSON.
    pub proposal: String,
    /// What it is about.
    pub instance: WorkflowId,
    /// The revision that the requester saw.
    pub revision: i64,
    /// What must still be so when it is decided and when it is applied; whoever asks knows how to read it.
    pub target: String,
    /// Who asks.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// What proves it; free text by a person, never logged.
    pub evidence: String,
    /// When.
    pub created_at: At,
    /// Until when it can be decided.
    pub expires_at: At,
}

/// A decision about a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which way.
    pub verdict: Verdict,
    /// Who decides.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: At,
}

/// Which way a request was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It shall be done.
    Approved,
    /// It shall not.
    Rejected,
    /// What it was about has changed: nobody can decide it any more.
    Void,
}

/// What came of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Applied,
    /// What it was about changed before it was done, so nothing was.
    Void,
}

/// A request with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What was asked for.
    pub request: Request,
    /// [`Request::digest`] at the time of asking.
    pub digest: String,
    /// What was decided, once it was.
    pub decision: Option<Decision>,
    /// What came of an approval, and when.
    pub result: Option<(Outcome, At)>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A second person has to decide.
    Pending,
    /// Nobody decided in time.
    Expired,
    /// Approved, and about to be applied.
    Approved,
    /// Approved and done.
    Applied,
    /// A second person said no.
    Rejected,
    /// What it was about has changed.
    Void,
}

/// What asking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is filed.
    Filed,
    /// The instance has moved on from the revision that the request was made on; look again.
    Moved,
    /// This request about the same instance is open.
    Open(ApprovalId),
}

/// What deciding came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is decided.
    Done(Box<Approval>),
    /// A rule forbids it; nothing was written.
    Forbidden(Rule),
    /// There is no such request.
    NotFound,
}

/// Why a request cannot be decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// One person cannot be both pairs of eyes.
    #[error("whoever asked for it cannot approve it")]
    OwnRequest,
    /// The first decision counts.
    #[error("it has been decided already")]
    AlreadyDecided,
    /// Too late.
    #[error("it has expired: it has to be asked for anew")]
    Expired,
    /// The instance moved since the approver's check; whoever decides checks again.
    #[error("the workflow moved while this was decided")]
    Moved,
    /// Somebody changed the stored request.
    #[error("what is stored is not what was asked for")]
    Altered,
}

/// Which requests to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// Where they stand; `None` = anywhere.
    pub standing: Option<Standing>,
    /// About this instance only.
    pub instance: Option<WorkflowId>,
    /// Ids below this one only: the cursor.
    pub before: Option<ApprovalId>,
    /// What time it is: a request expires by itself.
    pub now: At,
    /// At most so many.
    pub limit: usize,
}

impl Request {
    /// SHA-256 over everything that is asked, lower-case hex: what the second person approves.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.id.to_bytes());
        hasher.update(self.instance.to_bytes());
        for number in [self.revision, self.created_at.as_micros(), self.expires_at.as_micros()] {
            hasher.update(number.to_be_bytes());
        }
        let texts =
            [&self.action, &self.proposal, &self.target, &self.requested_by, &self.reason, &self.evidence];
        for text in texts {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hex::encode(hasher.finalize())
    }
}

impl Approval {
    /// A request that was just filed.
    pub fn filed(request: Request) -> Self {
        let digest = request.digest();
        Approval { request, digest, decision: None, result: None }
    }

    /// Whether what is stored is what was asked for.
    pub fn is_genuine(&self) -> bool {
        self.request.digest() == self.digest
    }

    /// Where it stands at `now`.
    pub fn standing(&self, now: At) -> Standing {
        match (&self.decision, self.result) {
            (None, _) if now >= self.request.expires_at => Standing::Expired,
            (None, _) => Standing::Pending,
            (Some(Decision { verdict: Verdict::Rejected, .. }), _) => Standing::Rejected,
            (Some(Decision { verdict: Verdict::Void, .. }), _) | (Some(_), Some((Outcome::Void, _))) => {
                Standing::Void
            }
            (Some(Decision { verdict: Verdict::Approved, .. }), Some((Outcome::Applied, _))) => {
                Standing::Applied
            }
            (Some(Decision { verdict: Verdict::Approved, .. }), None) => Standing::Approved,
        }
    }

    /// Whether a decision may be made that was checked on one revision, the instance standing at `revision`.
    ///
    /// # Errors
    /// The [`Rule`] that forbids it.
    pub fn judge(&self, decision: &Decision, checked_on: i64, revision: Option<i64>) -> Result<(), Rule> {
        if self.decision.is_some() {
            return Err(Rule::AlreadyDecided);
        }
        if !self.is_genuine() {
            return Err(Rule::Altered);
        }
        if self.standing(decision.at) == Standing::Expired {
            return Err(Rule::Expired);
        }
        match decision.verdict {
            Verdict::Approved if same_person(&self.request.requested_by, &decision.by) => {
                Err(Rule::OwnRequest)
            }
            Verdict::Approved | Verdict::Void if revision != Some(checked_on) => Err(Rule::Moved),
            Verdict::Approved | Verdict::Void | Verdict::Rejected => Ok(()),
        }
    }
}

/// Names that differ in case or surrounding space alone are one person's: the doubt goes against the approval.
fn same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Each with its word, as stored and shown.
            pub const ALL: &[(&str, $type)] = &[$(($word, $type::$variant)),+];

            /// The word for it.
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }

            /// The one of that word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, one)| *one)
            }
        }
    };
}

words! { Verdict { Approved = "approved", Rejected = "rejected", Void = "void" } }
words! { Outcome { Applied = "applied", Void = "void" } }
words! {
    Standing {
        Pending = "pending", Expired = "expired", Approved = "approved", Applied = "applied",
        Rejected = "rejected", Void = "void",
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("action", &self.action)
            .field("instance", &self.instance)
            .field("revision", &self.revision)
            .field("requested_by", &self.requested_by)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Decision { verdict, by, at, .. } = self;
        f.debug_struct("Decision")
            .field("verdict", verdict)
            .field("by", by)
            .field("at", at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: At = At::from_millis(1_771_833_600_000);
    const DAY: Duration = Duration::from_hours(24);

    fn approval() -> Approval {
        Approval::filed(Request {
            id: ApprovalId::new(1),
            action: "resolve".to_owned(),
            proposal: "{}".to_owned(),
            instance: WorkflowId::new(7),
            revision: 3,
            target: "t".to_owned(),
            requested_by: "ola".to_owned(),
            reason: "the bank called".to_owned(),
            evidence: "letter 17".to_owned(),
            created_at: NOW,
            expires_at: NOW.plus(DAY),
        })
    }

    fn decision(verdict: Verdict, by: &str) -> Decision {
        Decision { verdict, by: by.to_owned(), reason: "seen".to_owned(), at: NOW }
    }

    #[test]
    fn every_rule_of_four_eyes_is_kept() {
        use Verdict::{Approved, Rejected, Void};
        let decided = Approval { decision: Some(decision(Rejected, "eva")), ..approval() };
        let mut altered = approval();
        altered.request.evidence = "letter 18".to_owned();
        let late = |verdict| Decision { at: NOW.plus(DAY), ..decision(verdict, "eva") };
        for (approval, decision, revision, expected) in [
            (approval(), decision(Approved, "eva"), Some(4), Ok(())),
            (approval(), decision(Approved, "ola"), Some(4), Err(Rule::OwnRequest)),
            (approval(), decision(Approved, " OLA "), Some(4), Err(Rule::OwnRequest)),
            (approval(), decision(Approved, "eva"), Some(5), Err(Rule::Moved)),
            (approval(), decision(Approved, "eva"), None, Err(Rule::Moved)),
            (approval(), decision(Void, "ola"), Some(4), Ok(())),
            (approval(), decision(Void, "ola"), Some(5), Err(Rule::Moved)),
            (approval(), decision(Rejected, "ola"), Some(9), Ok(())),
            (approval(), late(Approved), Some(4), Err(Rule::Expired)),
            (approval(), late(Rejected), Some(4), Err(Rule::Expired)),
            (decided.clone(), decision(Approved, "eva"), Some(4), Err(Rule::AlreadyDecided)),
            (decided, decision(Rejected, "eva"), Some(4), Err(Rule::AlreadyDecided)),
            (altered, decision(Approved, "eva"), Some(4), Err(Rule::Altered)),
        ] {
            assert_eq!(approval.judge(&decision, 4, revision), expected, "{decision:?} on {revision:?}");
        }
    }

    #[test]
    fn a_request_stands_where_its_decision_and_the_clock_say() {
        let approved = Approval { decision: Some(decision(Verdict::Approved, "eva")), ..approval() };
        let with = |outcome| Approval { result: Some((outcome, NOW)), ..approved.clone() };
        for (approval, at, expected) in [
            (approval(), NOW, Standing::Pending),
            (approval(), NOW.plus(DAY), Standing::Expired),
            (approved.clone(), NOW.plus(DAY), Standing::Approved),
            (with(Outcome::Applied), NOW, Standing::Applied),
            (with(Outcome::Void), NOW, Standing::Void),
            (Approval { decision: Some(decision(Verdict::Void, "eva")), ..approval() }, NOW, Standing::Void),
        ] {
            assert_eq!(approval.standing(at), expected);
        }
    }

    #[test]
    fn nothing_that_people_wrote_shows_in_debug_output() {
        let shown = format!("{:?} {:?}", approval(), decision(Verdict::Approved, "eva"));
        assert!(!shown.contains("letter") && !shown.contains("called") && !shown.contains("seen"), "{shown}");
    }
}
