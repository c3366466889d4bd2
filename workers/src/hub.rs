//! Who waits for which instance in this process, and what was committed here last. A hint, never the truth: whoever waits
//! also reads the store now and then, since the instance may move in another process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use workflows::ids::WorkflowId;

use crate::recent::Recent;
use crate::store::Instance;

/// The instances that somebody waits for, and those that moved here last.
#[derive(Default)]
pub struct Hub {
    waiting: Mutex<HashMap<WorkflowId, watch::Sender<Option<Arc<Instance>>>>>,
    recent: Mutex<Recent>,
}

impl Hub {
    /// Waits for an instance from here on.
    pub fn watch(self: &Arc<Self>, id: WorkflowId) -> Watch {
        let news = self.lock().entry(id).or_insert_with(|| watch::Sender::new(None)).subscribe();
        Watch { id, news: Some(news), hub: Arc::clone(self) }
    }

    /// An instance was committed; `goes_on_here` when this process performs its next step at once.
    pub(crate) fn publish(&self, instance: &Arc<Instance>, goes_on_here: bool) {
        self.recent().put(instance, goes_on_here);
        if let Some(sender) = self.lock().get(&instance.id) {
            sender.send_modify(|newest| {
                if newest.as_ref().is_none_or(|newest| newest.seq < instance.seq) {
                    *newest = Some(Arc::clone(instance));
                }
            });
        }
    }

    /// This process performs nothing of an instance any more.
    pub(crate) fn rests(&self, id: WorkflowId) {
        self.recent().rests(id);
    }

    /// The revision of an instance that was committed here last, while it is remembered.
    pub(crate) fn newest_here(&self, id: WorkflowId) -> Option<Arc<Instance>> {
        self.recent().get(id).map(|moved| Arc::clone(&moved.instance))
    }

    /// The same of an instance that moves here next: whoever waits for that need not look at the store first.
    pub(crate) fn going_on_here(&self, id: WorkflowId) -> Option<Arc<Instance>> {
        let recent = self.recent();
        recent.get(id).filter(|moved| moved.goes_on_here).map(|moved| Arc::clone(&moved.instance))
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkflowId, watch::Sender<Option<Arc<Instance>>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter.
pub struct Watch {
    id: WorkflowId,
    /// There until it is dropped.
    news: Option<watch::Receiver<Option<Arc<Instance>>>>,
    hub: Arc<Hub>,
}

impl Watch {
    /// Waits until the instance moves in this process, `at_most` so long. The newest revision that was seen here, if
    /// it moved.
    pub async fn changed(&mut self, at_most: Duration) -> Option<Arc<Instance>> {
        let news = self.news.as_mut()?;
        tokio::time::timeout(at_most, news.changed()).await.ok()?.ok()?;
        news.borrow_and_update().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.hub.lock();
        self.news = None;
        if waiting.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_remembered_who_no_longer_waits() {
        let hub = Arc::new(Hub::default());
        let first = hub.watch(WorkflowId::new(1));
        let second = hub.watch(WorkflowId::new(1));
        drop(first);
        assert_eq!(hub.lock().len(), 1);
        drop(second);
        assert_eq!(hub.lock().len(), 0);
    }
}
