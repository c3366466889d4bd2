//! A SQLite file of a world, with the runtime of real time that it is asked on.

use std::sync::{Arc, mpsc};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use workers::ports::Clock;
use workers::store::{Neighbours, OpenError, Options, Store, Trouble, open_by_clock};

use crate::blocking::{Between, Blocking, Watch};
use crate::ports::Virtual;

/// This machine has no room for a simulation: nothing was simulated.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// No directory for its files.
    #[error("no directory for the files of a world")]
    Directory(#[source] std::io::Error),
    /// No thread, or nothing to run on it.
    #[error("no runtime for a world")]
    Runtime(#[source] std::io::Error),
    /// No database in its directory.
    #[error("no database for a world")]
    Database(#[source] OpenError),
    /// The database does not answer.
    #[error("the database of a world does not answer")]
    Answer(#[source] Trouble),
    /// Whoever was to open it is gone.
    #[error("the thread of a world's database ended")]
    Thread,
}

/// Where Linux keeps files in memory: no simulated machine loses its power, so nothing has to reach a disk.
const IN_MEMORY: &str = "/dev/shm";

/// A directory with a database, and the threads that it works on.
pub struct Files {
    real: Runtime,
    directory: TempDir,
}

/// A database for a simulated thread.
#[derive(Clone)]
pub struct Kept {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What its processes share beside it.
    pub neighbours: Arc<dyn Neighbours>,
}

impl Files {
    /// Makes one. Must not be dropped within a runtime.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn new() -> Result<Self, NoRoom> {
        let directory = tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir());
        let directory = directory.map_err(NoRoom::Directory)?;
        let real = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(NoRoom::Runtime)?;
        Ok(Files { real, directory })
    }

    /// Opens the database, by the time of a world; `watch` sees what is committed.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn open(&self, clock: &Arc<Virtual>, watch: Watch) -> Result<Kept, NoRoom> {
        let (opened, opens) = mpsc::sync_channel(1);
        let (path, by) = (self.directory.path().join("sluse.db"), Arc::new(clock.shown()));
        self.real.spawn(async move {
            // Whoever opens it is blocked on the other end.
            let _ =
                opened.send(open_by_clock(&path, &Options { readers: 1, ..Options::default() }, by).await);
        });
        let database = opens.recv().map_err(|_| NoRoom::Thread)?.map_err(NoRoom::Database)?;
        let (real, clock): (_, Arc<dyn Clock>) = (self.real.handle(), Arc::<Virtual>::clone(clock));
        let store = Blocking { inner: database.store, clock: Arc::clone(&clock), real: real.clone(), watch };
        Ok(Kept {
            store: Arc::new(store),
            neighbours: Arc::new(Between { inner: database.neighbours, clock, real: real.clone() }),
        })
    }
}
