//! Reading workflows, and waiting for them to move.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use workflows::ids::WorkflowId;
use workflows::money::Money;

use super::Engine;
use crate::hub::Watch;
use crate::store::{Backlog, Filter, HistoryRow, Instance, TaskRow, Trouble};

/// How long a waiter trusts that a move would have been heard of in this process.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Engine {
    /// An instance.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn get(&self, id: WorkflowId) -> Result<Option<Arc<Instance>>, Trouble> {
        Ok(self.inner.store.load(id).await?.map(Arc::new))
    }

    /// The instances that the outside world calls by a name: a provider's id of a payment.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn by_reference(&self, reference: &str) -> Result<Vec<Instance>, Trouble> {
        self.inner.store.by_reference(reference).await
    }

    /// Instances, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Instance>, Trouble> {
        self.inner.store.list(filter).await
    }

    /// How many instances a filter means, whatever its cursor and limit.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn count(&self, filter: &Filter) -> Result<u64, Trouble> {
        self.inner.store.count(filter).await
    }

    /// What waits in each queue of parked work.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn parked(&self) -> Result<Vec<Backlog>, Trouble> {
        self.inner.store.parked().await
    }

    /// What the instances that a filter means weigh together, as far as they have not ended, by currency.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn at_stake(&self, filter: &Filter) -> Result<Vec<Money>, Trouble> {
        self.inner.store.at_stake(filter).await
    }

    /// What waits in each lane.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, Trouble> {
        self.inner.store.backlog().await
    }

    /// What is still owed to an instance.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn tasks(&self, id: WorkflowId) -> Result<Vec<TaskRow>, Trouble> {
        self.inner.store.tasks(id).await
    }

    /// Transitions of an instance after a revision, oldest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn history(
        &self,
        id: WorkflowId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, Trouble> {
        self.inner.store.history(id, after, limit).await
    }

    /// The instance as each revision left it, oldest first: the machine is pure, so its history is enough. Revisions
    /// that this process cannot follow, because an older version made them, show what the instance is now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn revisions(&self, instance: &Instance) -> Result<Vec<Instance>, Trouble> {
        let rows = self.history(instance.id, 0, usize::MAX).await?;
        let workflow = self.inner.book.get(&instance.kind);
        let mut live = workflow.and_then(|workflow| workflow.first(instance.version, &instance.order).ok());
        let mut revisions = Vec::with_capacity(rows.len());
        for row in rows {
            if row.seq > 1 {
                live = live.and_then(|live| match live.replayed(&row.occurrence, row.at) {
                    Ok(moved) => Some(moved.unwrap_or(live)),
                    Err(_) => None,
                });
            }
            let status = live.as_ref().map_or(instance.status, |live| live.view().status);
            revisions.push(Instance {
                state: live
                    .as_ref()
                    .map_or_else(|| Arc::clone(&instance.state), |live| live.state_doc().into()),
                status,
                phase: row.phase,
                seq: row.seq,
                hash: row.hash,
                updated_at: row.at,
                completed_at: status.is_final().then_some(row.at),
                ..instance.clone()
            });
        }
        Ok(revisions)
    }

    /// Wakes when the instance moves in this process.
    pub fn watch(&self, id: WorkflowId) -> Watch {
        self.inner.hub.watch(id)
    }

    /// The instance as soon as it is `enough`, or as it is when the time is up.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn wait(
        &self,
        id: WorkflowId,
        timeout: Duration,
        enough: impl Fn(&Instance) -> bool + Send,
    ) -> Result<Option<Arc<Instance>>, Trouble> {
        let watch = self.watch(id);
        let Some(known) = self.known(id, timeout, &enough).await? else { return Ok(None) };
        self.wait_from(watch, known, timeout, enough).await.map(Some)
    }

    /// An instance to be waited for. While this process performs its next step and it is not `enough` yet, the store is
    /// not asked: what comes next is heard of here.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn known(
        &self,
        id: WorkflowId,
        timeout: Duration,
        enough: impl Fn(&Instance) -> bool,
    ) -> impl Future<Output = Result<Option<Arc<Instance>>, Trouble>> + Send {
        let waits = !timeout.is_zero() && self.accepting();
        let moving = if waits { self.inner.hub.going_on_here(id) } else { None };
        let moving = moving.filter(|moving| !enough(moving));
        async move {
            match moving {
                Some(moving) => Ok(Some(moving)),
                None => self.get(id).await,
            }
        }
    }

    /// The same, where the instance is known. It was read after the `watch` began, so that no move is missed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn wait_from(
        &self,
        mut watch: Watch,
        known: Arc<Instance>,
        timeout: Duration,
        enough: impl Fn(&Instance) -> bool + Send,
    ) -> Result<Arc<Instance>, Trouble> {
        let until = self.now().plus(timeout);
        let mut newest = known;
        loop {
            let left = until.since(self.now());
            if enough(&newest) || timeout.is_zero() {
                return Ok(newest);
            }
            if left.is_zero() {
                // What was heard of here may not be all.
                return Ok(self.get(newest.id).await?.unwrap_or(newest));
            }
            match watch.changed(left.min(LOOK_AGAIN)).await {
                Some(moved) if moved.seq >= newest.seq => newest = moved,
                Some(_) => {}
                None => newest = self.get(newest.id).await?.unwrap_or(newest),
            }
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Trouble> {
        self.inner.store.ping().await
    }
}
