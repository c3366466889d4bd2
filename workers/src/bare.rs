//! Performs jobs without apalis, each spawned by itself in the order in which it was fed: for whoever has to know what
//! runs when.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::feeder::Job;
use crate::worker::Worker;

/// Performs jobs until `shutdown`, then lets those in flight finish for at most `grace`. Answers the jobs that were
/// never begun.
pub(crate) async fn run(
    worker: Arc<Worker>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    shutdown: BoxFuture<'static, ()>,
    grace: Duration,
) -> Vec<Job> {
    let mut in_flight = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = in_flight.join_next() => report(ended),
            job = jobs.recv() => {
                let Some(job) = job else { break };
                let worker = Arc::clone(&worker);
                in_flight.spawn(async move { worker.run(job).await });
            }
        }
    }
    jobs.close();
    let left = std::iter::from_fn(|| jobs.try_recv().ok()).collect();
    let ending = async {
        while let Some(ended) = in_flight.join_next().await {
            report(ended);
        }
    };
    // What does not end in time is cut off; its claim lapses.
    let _ = tokio::time::timeout(grace, ending).await;
    left
}

/// A step that panicked harms nobody else: its claim lapses and it comes back.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a step ended badly");
    }
}
