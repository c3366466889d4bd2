//! Who waits for which instance in this process. A hint, never the truth: whoever waits also reads the store now and
//! then, since the instance may move in another process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use workflows::ids::WorkflowId;

use crate::store::Instance;

/// The instances that somebody waits for.
#[derive(Default)]
pub struct Hub {
    waiting: Mutex<HashMap<WorkflowId, watch::Sender<Option<Arc<Instance>>>>>,
}

impl Hub {
    /// Waits for an instance from here on.
    pub fn watch(self: &Arc<Self>, id: WorkflowId) -> Watch {
        let news = self.lock().entry(id).or_insert_with(|| watch::Sender::new(None)).subscribe();
        Watch { id, news, hub: Arc::clone(self) }
    }

    /// An instance was committed.
    pub(crate) fn publish(&self, instance: &Arc<Instance>) {
        if let Some(sender) = self.lock().get(&instance.id) {
            sender.send_modify(|newest| {
                if newest.as_ref().is_none_or(|newest| newest.seq < instance.seq) {
                    *newest = Some(Arc::clone(instance));
                }
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkflowId, watch::Sender<Option<Arc<Instance>>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiter.
pub struct Watch {
    id: WorkflowId,
    news: watch::Receiver<Option<Arc<Instance>>>,
    hub: Arc<Hub>,
}

impl Watch {
    /// Waits until the instance moves in this process, `at_most` so long. The newest revision that was seen here, if
    /// it moved.
    pub async fn changed(&mut self, at_most: Duration) -> Option<Arc<Instance>> {
        tokio::time::timeout(at_most, self.news.changed()).await.ok()?.ok()?;
        self.news.borrow_and_update().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.hub.lock();
        // This receiver is still counted.
        if waiting.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
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
