//! The instances that moved last, as they were committed. Bounded, whatever there is.

use std::collections::HashMap;
use std::sync::Arc;

use workflows::ids::WorkflowId;

use crate::store::Instance;

/// Instances of one generation; there are two.
const GENERATION: usize = 2_048;

/// Instances that moved and have not ended, the latest of them.
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

    /// A revision was committed. An older one than is known changes nothing; one at the end is forgotten.
    pub(crate) fn put(&mut self, instance: &Arc<Instance>, goes_on_here: bool) {
        let id = instance.id;
        if self.get(id).is_some_and(|known| known.instance.seq > instance.seq) {
            return;
        }
        if instance.status.is_final() {
            self.young.remove(&id);
            self.old.remove(&id);
            return;
        }
        if self.young.len() >= GENERATION && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, Moved { instance: Arc::clone(instance), goes_on_here });
    }
}
