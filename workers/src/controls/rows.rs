//! How controls are stored: small documents with compare-and-swap, and one number that grows with every change.

use std::sync::Arc;

use async_trait::async_trait;
use workflows::time::At;

use crate::store::Trouble;

/// Durable controls. Each method is one transaction.
#[async_trait]
pub trait ControlStore: Send + Sync {
    /// The number that grows with every change; 0 before the first.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn controls_revision(&self) -> Result<i64, Trouble>;

    /// Every control as of one revision, which is answered with them.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn controls(&self) -> Result<(i64, Vec<ControlRow>), Trouble>;

    /// Writes or removes one control, if it still is of the version that the change was decided on.
    ///
    /// # Errors
    /// When the store does not answer. Whether it was written is then unknown, and the caller reads again.
    async fn change_control(&self, change: &Change, now: At) -> Result<Changed, Trouble>;
}

/// What a control is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A breaker; its subject is a [`super::BreakerId`].
    Breaker,
    /// A switch; its subject is a [`super::SwitchName`].
    Switch,
    /// A hold; its subject is a [`super::HoldOn`].
    Hold,
    /// A queue; its subject is its lane.
    Queue,
    /// That operators were told of a breaker; its subject is that [`super::BreakerId`].
    Alarm,
}

/// A stored control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRow {
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub subject: Arc<str>,
    /// What it says, JSON.
    pub document: Arc<str>,
    /// The revision that wrote it.
    pub version: i64,
    /// When it was written.
    pub updated_at: At,
}

/// A change of a control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub subject: Arc<str>,
    /// The version that the change was decided on; 0 = there was none.
    pub version: i64,
    /// What it is to say; `None` = nothing, the row goes.
    pub document: Option<Arc<str>>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Written as this revision.
    Written(i64),
    /// It was changed meanwhile; nothing was written.
    Stale,
}

impl Kind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Breaker => "breaker",
            Kind::Switch => "switch",
            Kind::Hold => "hold",
            Kind::Queue => "queue",
            Kind::Alarm => "alarm",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Kind::Breaker, Kind::Switch, Kind::Hold, Kind::Queue, Kind::Alarm]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}
