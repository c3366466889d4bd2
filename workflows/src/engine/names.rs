//! Names of steps and timers as they stand in the `tasks` table.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A step or timer with a stable name.
pub trait Named: Copy + Eq + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Every one there is.
    const ALL: &'static [Self];
    /// Its name in the database: lower case, never reused for another meaning.
    fn name(self) -> &'static str;
    /// The one of that name.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }
}

/// Declares an enum of steps or timers with its stored names.
#[macro_export]
macro_rules! named {
    ($(#[$meta:meta])* $vis:vis enum $ty:ident { $($(#[$vmeta:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize)]
        $vis enum $ty { $($(#[$vmeta])* #[serde(rename = $name)] $variant),+ }
        impl $crate::engine::Named for $ty {
            const ALL: &'static [Self] = &[$($ty::$variant),+];
            fn name(self) -> &'static str {
                match self { $($ty::$variant => $name),+ }
            }
        }
    };
}

/// The name of a task within its instance: a step by its name, a timer by its name behind an `@`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskName(Cow<'static, str>);

impl TaskName {
    /// The task of a step.
    pub fn step<S: Named>(step: S) -> Self {
        TaskName(Cow::Borrowed(step.name()))
    }

    /// The task of a timer.
    pub fn timer<T: Named>(timer: T) -> Self {
        TaskName(Cow::Owned(format!("@{}", timer.name())))
    }

    /// A name as it was stored.
    pub fn stored(name: String) -> Self {
        TaskName(Cow::Owned(name))
    }

    /// As stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a timer.
    pub fn is_timer(&self) -> bool {
        self.0.starts_with('@')
    }

    /// The step of this name, unless it is a timer or unknown.
    pub fn as_step<S: Named>(&self) -> Option<S> {
        S::named(&self.0)
    }

    /// The timer of this name, unless it is a step or unknown.
    pub fn as_timer<T: Named>(&self) -> Option<T> {
        self.0.strip_prefix('@').and_then(T::named)
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
