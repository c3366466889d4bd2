//! Single rows that are asked for at the same time are read together.
//!
//! Whoever asks first reads for everybody who asks while the reading before it is under way: the cost of a look falls as
//! load rises, and a lone one never waits. A reading begins after each of its questions was asked, so nobody is answered
//! with what was there before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::{Mutex as Turn, oneshot};

use super::{Fate, Trouble};

/// The most rows of one reading.
const MOST: usize = 256;

/// Questions of one kind, by `K`, with answers `V`.
pub(super) struct Gather<K, V> {
    waiting: Mutex<Vec<Asked<K, V>>>,
    reading: Turn<()>,
}

/// A reading under way.
pub(super) type Reading<'r, K, V> = BoxFuture<'r, Result<HashMap<K, V>, Trouble>>;

struct Asked<K, V> {
    key: K,
    answer: oneshot::Sender<Result<Option<V>, Trouble>>,
}

impl<K, V> Default for Gather<K, V> {
    fn default() -> Self {
        Gather { waiting: Mutex::default(), reading: Turn::default() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Gather<K, V> {
    /// The row of a key. `read` answers those of several that there are.
    ///
    /// # Errors
    /// Why the reading failed, for everybody who took part in it.
    pub(super) async fn ask<'r, R>(&self, key: K, read: R) -> Result<Option<V>, Trouble>
    where
        R: Fn(Vec<K>) -> Reading<'r, K, V>,
    {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.lock().push(Asked { key: key.clone(), answer });
            let _turn = tokio::select! {
                biased;
                answer = &mut answered => match answer {
                    Ok(answered) => return answered,
                    // Whoever read for this one gave up in the middle.
                    Err(_) => continue,
                },
                turn = self.reading.lock() => turn,
            };
            // Of many that wait, those at the front; this one may not be among them.
            let batch: Vec<Asked<K, V>> = {
                let mut waiting = self.lock();
                let count = waiting.len().min(MOST);
                waiting.drain(..count).filter(|asked| !asked.answer.is_closed()).collect()
            };
            let keys = batch.iter().map(|asked| asked.key.clone()).collect();
            answer_all(batch, read(keys)).await;
            if let Ok(answered) = answered.try_recv() {
                return answered;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Asked<K, V>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer_all<K: Clone + Eq + Hash, V: Clone>(batch: Vec<Asked<K, V>>, reading: Reading<'_, K, V>) {
    let found = reading.await.map_err(Shared::from);
    for Asked { key, answer } in batch {
        let answered = match &found {
            Ok(found) => Ok(found.get(&key).cloned()),
            Err(shared) => Err(shared.trouble()),
        };
        // Whoever stopped waiting needs no answer.
        let _ = answer.send(answered);
    }
}

/// One failure that many have to hear of.
struct Shared {
    doing: &'static str,
    fate: Fate,
    source: Arc<dyn std::error::Error + Send + Sync>,
}

impl From<Trouble> for Shared {
    fn from(trouble: Trouble) -> Self {
        let Trouble { doing, fate, source } = trouble;
        Shared { doing, fate, source: Arc::from(source) }
    }
}

impl Shared {
    fn trouble(&self) -> Trouble {
        Trouble { doing: self.doing, fate: self.fate, source: Box::new(Arc::clone(&self.source)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    /// Every key is its own answer, a little later.
    fn itself<K: Clone + Eq + Hash + Send + 'static>(keys: Vec<K>) -> Reading<'static, K, K> {
        async move {
            tokio::task::yield_now().await;
            Ok(keys.into_iter().map(|key| (key.clone(), key)).collect())
        }
        .boxed()
    }

    #[tokio::test]
    async fn what_is_asked_during_a_reading_is_read_in_one_go() {
        let (gather, readings) = (Gather::<u32, u32>::default(), AtomicUsize::new(0));
        let read = |keys: Vec<u32>| {
            readings.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(keys.into_iter().filter(|key| key % 10 != 0).map(|key| (key, key * 2)).collect())
            }
            .boxed()
        };
        let answers = join_all((0..100).map(|key| gather.ask(key, read))).await;
        for (key, answer) in (0..100).zip(answers) {
            assert_eq!(answer.unwrap(), (key % 10 != 0).then_some(key * 2));
        }
        let readings = readings.load(Ordering::SeqCst);
        assert!(readings <= 2, "{readings} readings");
    }

    #[tokio::test]
    async fn more_than_one_reading_holds_are_all_answered() {
        let gather = Gather::<usize, usize>::default();
        let read = |keys: Vec<usize>| {
            assert!(keys.len() <= MOST);
            itself(keys)
        };
        let answers = join_all((0..3 * MOST).map(|key| gather.ask(key, read))).await;
        assert!(answers.into_iter().enumerate().all(|(key, answer)| answer.unwrap() == Some(key)));
    }

    #[tokio::test]
    async fn whoever_gives_up_in_the_middle_harms_nobody_who_asked_with_them() {
        let gather = Arc::new(Gather::<u32, u32>::default());
        let slow = {
            let gather = Arc::clone(&gather);
            tokio::spawn(async move { gather.ask(1, |_| std::future::pending().boxed()).await })
        };
        tokio::task::yield_now().await;
        let other = {
            let gather = Arc::clone(&gather);
            tokio::spawn(async move { gather.ask(2, itself).await })
        };
        tokio::task::yield_now().await;
        slow.abort();
        assert_eq!(other.await.unwrap().unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_reading_that_fails_fails_for_everybody_in_it_with_its_cause() {
        let gather = Gather::<u32, u32>::default();
        let read = |_| -> Reading<'static, u32, u32> {
            async {
                tokio::task::yield_now().await;
                let source = std::io::Error::other("gone").into();
                Err(Trouble { doing: "look", fate: Fate::NotCommitted, source })
            }
            .boxed()
        };
        for answer in join_all((0..3).map(|key| gather.ask(key, read))).await {
            let trouble = answer.unwrap_err();
            assert_eq!((trouble.doing, trouble.source.to_string()), ("look", "gone".to_owned()));
        }
    }
}
