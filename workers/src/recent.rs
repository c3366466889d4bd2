//! The instances that moved last, as they were committed. Bounded, whatever there is.

use std::collections::HashMap;
use std::sync::Arc;

use workflows::ids::WorkflowId;

use crate::store::Instance;

/// Instances of one generation; there are two.
const GENERATION: usize = 2_048;

/// Instances that moved, the latest of them. Those that have ended are among them: what is told of late would otherwise be
/// taken for news.
#[derive(Default)]
pub(crate) struct Recent {
    young: HashMap<WorkflowId, Moved>,
    old: HashMap<WorkflowId, Moved>,
}

/// An instance as it was committed last.
#[derive(Clone)]
pub(crate) struct Moved {
    /// That revision.
    pub(crate) instance: Arc<Instance>,
    /// Whether whoever committed it performs its next step: then it is there that it moves next.
    pub(crate) goes_on_here: bool,
}

impl Recent {
    /// The newest revision that was committed, while it is remembered.
    pub(crate) fn get(&self, id: WorkflowId) -> Option<&Moved> {
        self.young.get(&id).or_else(|| self.old.get(&id))
    }

    /// A revision was committed. An older one than is known changes nothing.
    pub(crate) fn put(&mut self, instance: &Arc<Instance>, goes_on_here: bool) {
        let id = instance.id;
        if self.get(id).is_some_and(|known| known.instance.seq > instance.seq) {
            return;
        }
        if self.young.len() >= GENERATION && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, Moved { instance: Arc::clone(instance), goes_on_here });
    }

    /// Whoever performed its next step does so no more.
    pub(crate) fn rests(&mut self, id: WorkflowId) {
        for generation in [&mut self.young, &mut self.old] {
            if let Some(moved) = generation.get_mut(&id) {
                moved.goes_on_here = false;
            }
        }
    }

    /// What is known of it may be wrong.
    pub(crate) fn forget(&mut self, id: WorkflowId) {
        self.young.remove(&id);
        self.old.remove(&id);
    }
}
