//! A value that changes, for those who want to hear of it. They are told in the order in which they began to wait: tokio's
//! `watch` leaves that order to chance, and two runs of a simulated world would differ.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The value, and the right to change it.
#[derive(Debug)]
pub(crate) struct News<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    state: Mutex<State<T>>,
    told: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    /// Counts the changes.
    version: u64,
    /// Nobody is left who could change it.
    closed: bool,
}

/// One who hears of changes.
#[derive(Debug)]
pub struct Listener<T> {
    inner: Arc<Inner<T>>,
    seen: u64,
}

/// Nobody is left who could change the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody changes this any more")]
pub struct Closed;

impl<T: Clone> News<T> {
    /// A value that nobody has heard of.
    pub(crate) fn new(value: T) -> Self {
        let state = Mutex::new(State { value, version: 0, closed: false });
        News { inner: Arc::new(Inner { state, told: Notify::new() }) }
    }

    /// The value as it is.
    pub(crate) fn get(&self) -> T {
        self.inner.lock().value.clone()
    }

    /// Changes the value where `change` says that it did, and tells everybody who waits.
    pub(crate) fn change_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut state = self.inner.lock();
        let changed = change(&mut state.value);
        if changed {
            state.version += 1;
        }
        drop(state);
        if changed {
            self.inner.told.notify_waiters();
        }
        changed
    }

    /// Hears of every change from here on.
    pub(crate) fn listen(&self) -> Listener<T> {
        Listener { inner: Arc::clone(&self.inner), seen: self.inner.lock().version }
    }
}

impl<T> Drop for News<T> {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.told.notify_waiters();
    }
}

impl<T> Listener<T> {
    /// Returns when the value has changed since it was last looked at.
    ///
    /// # Errors
    /// [`Closed`] when it never will.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let mut told = std::pin::pin!(self.inner.told.notified());
            // In the line before the look, so that no change falls between the two.
            told.as_mut().enable();
            {
                let state = self.inner.lock();
                if state.version != self.seen {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.closed {
                    return Err(Closed);
                }
            }
            told.await;
        }
    }

    /// What changed so far is known.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.inner.lock().version;
    }
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_heard_once_by_everybody_in_the_order_of_waiting() {
        let news = News::new(1);
        let heard = Arc::new(Mutex::new(vec![]));
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (mut listener, heard) = (news.listen(), Arc::clone(&heard));
            waiting.spawn(async move {
                listener.changed().await.unwrap();
                heard.lock().unwrap().push(n);
            });
        }
        tokio::task::yield_now().await;
        assert!(!news.change_if(|_| false));
        assert!(news.change_if(|value| {
            *value = 2;
            true
        }));
        waiting.join_all().await;
        assert_eq!((news.get(), heard.lock().unwrap().clone()), (2, (0..20).collect::<Vec<_>>()));
    }

    #[tokio::test]
    async fn what_changed_before_it_was_marked_is_no_news_and_the_end_is() {
        let news = News::new(());
        let mut listener = news.listen();
        news.change_if(|()| true);
        listener.mark_unchanged();
        drop(news);
        assert_eq!(listener.changed().await, Err(Closed));
    }
}
