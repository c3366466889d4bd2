//! What a SQLite file goes through while another process writes to it, read from its shared-memory index: the header
//! there counts transactions and frames, so nothing has to be asked of the writer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the header is looked at. Frames of the moment before the log begins anew are missed: at most those of one
/// such interval in every 4,000.
const LOOK: Duration = Duration::from_millis(5);
/// What the log holds beside each page, in bytes (SQLite file format §4.1).
const FRAME_HEADER: u64 = 24;

/// Counts what happens to a file from here on.
pub struct Watch {
    counted: Arc<Counted>,
    looking: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counted {
    commits: AtomicU64,
    log_bytes: AtomicU64,
    over: AtomicBool,
}

/// The part of the index's header that matters here (SQLite WAL-index format §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    transactions: u32,
    page: u16,
    frames: u32,
}

impl Watch {
    /// Watches the file of this name.
    pub fn start(database: &Path) -> Self {
        let counted = Arc::<Counted>::default();
        let (index, count) = (index_of(database), Arc::clone(&counted));
        let looking = std::thread::spawn(move || look(&index, &count));
        Watch { counted, looking: Some(looking) }
    }

    /// Transactions and bytes of the log so far.
    pub fn counts(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.counted.commits), read(&self.counted.log_bytes))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.counted.over.store(true, Ordering::Relaxed);
        if let Some(looking) = self.looking.take() {
            // It only reads; a panic there would be a bug that the counts show.
            let _ = looking.join();
        }
    }
}

fn index_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-shm");
    PathBuf::from(name)
}

fn look(index: &Path, counted: &Counted) {
    let mut last: Option<Header> = None;
    while !counted.over.load(Ordering::Relaxed) {
        if let Some(header) = Header::read(index) {
            if let Some(last) = last {
                let (commits, bytes) = header.since(last);
                counted.commits.fetch_add(commits, Ordering::Relaxed);
                counted.log_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            last = Some(header);
        }
        std::thread::sleep(LOOK);
    }
}

impl Header {
    /// The header, when both of its copies agree: a writer is in the middle of it otherwise.
    fn read(index: &Path) -> Option<Self> {
        let mut copies = [0_u8; 96];
        File::open(index).ok()?.read_exact_at(&mut copies, 0).ok()?;
        let (first, second) = copies.split_at(48);
        (first == second).then(|| Header::of(first)).flatten()
    }

    /// In the byte order of the machine that wrote it, which is this one.
    fn of(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let page = u16::from_ne_bytes(bytes.get(14..16)?.try_into().ok()?);
        Some(Header { transactions: word(8)?, page, frames: word(16)? })
    }

    /// Transactions and bytes since an earlier look. With fewer frames than then, the log has begun anew.
    fn since(self, last: Header) -> (u64, u64) {
        let commits = self.transactions.wrapping_sub(last.transactions);
        let frames = if self.frames >= last.frames { self.frames - last.frames } else { self.frames };
        (commits.into(), u64::from(frames) * (u64::from(self.page) + FRAME_HEADER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_counts_transactions_and_frames() {
        let mut bytes = [0_u8; 48];
        bytes[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[14..16].copy_from_slice(&4096_u16.to_ne_bytes());
        bytes[16..20].copy_from_slice(&30_u32.to_ne_bytes());
        let header = Header::of(&bytes).unwrap();
        assert_eq!(header, Header { transactions: 7, page: 4096, frames: 30 });
        let later = |transactions, frames| Header { transactions, frames, ..header };
        assert_eq!(later(9, 35).since(header), (2, 5 * 4120));
        assert_eq!(later(8, 3).since(header), (1, 3 * 4120), "the log has begun anew");
        assert_eq!(later(1, 31).since(later(u32::MAX, 30)).0, 2, "the count goes round");
    }
}
