//! Runs the workers as apalis workers: the only module that knows apalis.
//!
//! The engine's claims reach apalis through a [`Backend`] over a channel; apalis drives them and drains. A task is
//! settled by its own commit, so nothing is acknowledged here. Three traps of apalis 1.0 shape this file: a backend's
//! error would drop every handler in mid-flight, so the error type has no value; one panic would take its neighbours
//! along, so each task is spawned by itself; and what was claimed but not begun at the end is handed back by hand.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{
    Backend, Data, Monitor, ParallelizeExt, Task, TaskBuilder, TaskId, WorkerBuilder, WorkerContext,
};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use tokio::sync::mpsc;
use tower::layer::util::Identity;
use uuid::Uuid;

use crate::feeder::Job;
use crate::worker::Worker;

type Jobs = Arc<Mutex<mpsc::UnboundedReceiver<Job>>>;

/// Performs jobs until `shutdown`, then lets those in flight finish for at most `grace`. Answers the jobs that were
/// never begun.
pub(crate) async fn run(
    worker: Arc<Worker>,
    jobs: mpsc::UnboundedReceiver<Job>,
    steps_in_flight: usize,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> Vec<Job> {
    let jobs = Arc::new(Mutex::new(jobs));
    let source = Arc::clone(&jobs);
    let monitor = Monitor::new()
        .register(move |_restarts| {
            WorkerBuilder::new("steps")
                .backend(EngineBackend { jobs: Arc::clone(&source) })
                .data(Arc::clone(&worker))
                .concurrency(steps_in_flight)
                .parallelize(tokio::spawn)
                .build(perform)
        })
        .should_restart(|_, _| true)
        .with_terminator(async move { tokio::time::sleep(grace).await });
    let ended = monitor
        .run_with_signal(async move {
            shutdown.await;
            Ok(())
        })
        .await;
    if let Err(error) = ended {
        tracing::error!(%error, "the workers ended badly");
    }
    let mut left = vec![];
    let mut jobs = lock(&jobs);
    jobs.close();
    while let Ok(job) = jobs.try_recv() {
        left.push(job);
    }
    left
}

async fn perform(job: Job, worker: Data<Arc<Worker>>) {
    worker.run(job).await;
}

/// The engine's claims as apalis sees them.
struct EngineBackend {
    jobs: Jobs,
}

impl Backend for EngineBackend {
    type Task = Task<Job>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Job>, Infallible>>> {
        match lock(&self.jobs).poll_recv(cx) {
            Poll::Ready(Some(job)) => {
                let id = TaskId::from_uuid(Uuid::from_u128(job.claimed.task.instance.as_u128()));
                Poll::Ready(Some(Ok(TaskBuilder::new(job).task_id(id).build())))
            }
            Poll::Ready(None) => {
                // A backend that ends does not end its worker by itself.
                let _ = worker.stop();
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for EngineBackend {
    type Args = Job;
    type Id = Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

fn lock(jobs: &Jobs) -> std::sync::MutexGuard<'_, mpsc::UnboundedReceiver<Job>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}
