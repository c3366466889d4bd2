//! The durable record: JSON lines, one per fact, on disk before any answer that depends on them leaves.
//!
//! One thread writes. Lines that are queued while an fsync is in flight share the next one, so the disk's latency
//! bounds the time of an answer but not how many are answered per second.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::book::{Book, Fact};

/// A fact with its number (1, 2, 3 ... without gaps) and time.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    n: u64,
    at: DateTime<Utc>,
    #[serde(flatten)]
    fact: Fact,
}

/// Why a ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file could not be read or written.
    #[error("could not {doing} the ledger {path}")]
    File {
        /// What was being attempted.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line before the last is not a line of a ledger.
    #[error("line {line} of the ledger {path} is not readable")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// Which file.
        path: PathBuf,
        /// Why not; absent when its number is out of order.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// Another bank has it open.
    #[error("the ledger {0} is in use by another bank")]
    InUse(PathBuf),
}

/// The ledger could not be written; nothing is answered as done from then on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be written: {0}")]
pub(crate) struct NotDurable(String);

#[derive(Clone, Debug)]
enum Durable {
    UpTo(u64),
    Failed(String),
}

enum Post {
    Lines { bytes: Vec<u8>, last: u64 },
    Close,
}

/// The open ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    appended: u64,
    writer: mpsc::Sender<Post>,
}

/// What can be awaited of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Durability(watch::Receiver<Durable>);

/// The writing thread, to be joined at the end.
#[derive(Debug)]
pub(crate) struct Writer(Mutex<Option<thread::JoinHandle<()>>>);

impl Ledger {
    /// Opens or creates the file, tells `book` everything it holds and cuts off a torn last line.
    pub(crate) fn open(path: &Path, book: &mut Book) -> Result<(Self, Durability, Writer), LedgerError> {
        let failed = |doing| {
            let path = path.to_owned();
            move |source| LedgerError::File { doing, path, source }
        };
        let mut file = create(path).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(LedgerError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let (lines, whole) = replay(&bytes, path, book)?;
        if whole < bytes.len() {
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX)).map_err(failed("cut the torn end of"))?;
            file.sync_all().map_err(failed("sync"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("read"))?;

        let (told, durable) = watch::channel(Durable::UpTo(lines));
        let (writer, queue) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write(&mut file, &queue, &told))
            .map_err(failed("start the writer of"))?;
        let ledger = Self { path: path.to_owned(), appended: lines, writer };
        Ok((ledger, Durability(durable), Writer(Mutex::new(Some(thread)))))
    }

    /// Queues facts; they are durable when [`Durability::up_to`] the returned number says so.
    pub(crate) fn append(&mut self, at: DateTime<Utc>, facts: &[Fact]) -> u64 {
        let mut bytes = Vec::new();
        for fact in facts {
            self.appended += 1;
            let line = Line { n: self.appended, at, fact: fact.clone() };
            // A Vec takes everything and every key of a fact is a string: this cannot fail, and if it did, the
            // missing number would stop the next start.
            if serde_json::to_writer(&mut bytes, &line).is_ok() {
                bytes.push(b'\n');
            }
        }
        if !bytes.is_empty() {
            // A writer that is gone has said why in the watch, or will be found gone by whoever waits.
            let _ = self.writer.send(Post::Lines { bytes, last: self.appended });
        }
        self.appended
    }

    /// The number of the last line queued.
    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the writer to finish what is queued and to let go of the file.
    pub(crate) fn close(&self) {
        let _ = self.writer.send(Post::Close);
    }
}

impl Durability {
    /// Waits until line `n` is on disk.
    pub(crate) async fn up_to(&self, n: u64) -> Result<(), NotDurable> {
        let mut durable = self.0.clone();
        let reached = durable
            .wait_for(|durable| match durable {
                Durable::UpTo(synced) => *synced >= n,
                Durable::Failed(_) => true,
            })
            .await;
        match reached.as_deref() {
            Ok(Durable::UpTo(_)) => Ok(()),
            Ok(Durable::Failed(why)) => Err(NotDurable(why.clone())),
            Err(_) => Err(NotDurable("the bank is closing".to_owned())),
        }
    }
}

impl Writer {
    /// Waits for the writing thread to end; [`Ledger::close`] comes first. Blocks.
    pub(crate) fn join(&self) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // A new file is only as durable as its entry in the folder.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Applies every whole line; answers how many there are and how many bytes they take.
fn replay(bytes: &[u8], path: &Path, book: &mut Book) -> Result<(u64, usize), LedgerError> {
    let mut whole = 0;
    let mut count = 0;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let last = whole + text.len() == bytes.len();
        if !text.ends_with(b"\n") {
            // Never acknowledged: an answer leaves only after the line and its end are on disk.
            break;
        }
        match serde_json::from_slice::<Line>(text) {
            Ok(line) if line.n == count + 1 => {
                book.apply(line.at, line.fact);
                count += 1;
                whole += text.len();
            }
            Ok(_) => return Err(LedgerError::Line { line: count + 1, path: path.to_owned(), source: None }),
            Err(_) if last => break,
            Err(source) => {
                return Err(LedgerError::Line {
                    line: count + 1,
                    path: path.to_owned(),
                    source: Some(source),
                });
            }
        }
    }
    Ok((count, whole))
}

fn write(file: &mut File, queue: &mpsc::Receiver<Post>, told: &watch::Sender<Durable>) {
    while let Ok(Post::Lines { mut bytes, mut last }) = queue.recv() {
        let mut closing = false;
        for post in queue.try_iter() {
            match post {
                Post::Lines { bytes: more, last: later } => {
                    bytes.extend(more);
                    last = later;
                }
                Post::Close => {
                    closing = true;
                    break;
                }
            }
        }
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // What the file holds is uncertain from here on, and a second fsync would not tell.
            told.send_replace(Durable::Failed(error.to_string()));
            return;
        }
        told.send_replace(Durable::UpTo(last));
        if closing {
            return;
        }
    }
}
