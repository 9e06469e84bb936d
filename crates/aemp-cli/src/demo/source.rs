//! The input as a stream of chunks, and the plain count to check the network's result against.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::corpus::{self, Found};
use super::text::{self, Counts};
use crate::failure::Failure;

/// Files that may wait for the plain count; each is held in memory.
const FILES_AHEAD: usize = 2;

/// Chunks that may wait to be sent.
const CHUNKS_AHEAD: usize = 64;

/// What the reader says.
#[derive(Debug)]
pub(crate) enum Read {
    /// A piece of a file.
    Chunk(Bytes),
    /// This file is not counted, and why.
    Skipped(Found, String),
}

/// The threads that read and count.
#[derive(Debug)]
pub(crate) struct Source {
    /// What is read; ends when all is.
    pub(crate) reads: mpsc::Receiver<Read>,
    plain: JoinHandle<Plain>,
}

/// The result of the plain count.
#[derive(Debug)]
pub(crate) struct Plain {
    /// How often each word occurs.
    pub(crate) counts: Counts,
    /// The time that this took, without reading.
    pub(crate) took: Duration,
}

impl Source {
    /// Starts to read these files, cut into chunks of about `size` bytes. Each file is read once,
    /// so that network and plain count see the same bytes even if it is being written to.
    pub(crate) fn start(files: Vec<Found>, size: usize) -> Source {
        let (reads_sender, reads) = mpsc::channel(CHUNKS_AHEAD);
        let (texts_sender, texts) = sync_channel(FILES_AHEAD);
        thread::spawn(move || read_all(files, size, &reads_sender, &texts_sender));
        Source { reads, plain: thread::spawn(move || count_all(&texts)) }
    }

    /// The plain count, after the last file was read.
    pub(crate) async fn plain(self) -> Result<Plain, Failure> {
        // A reader that still waits for somebody to take its chunks ends now.
        drop(self.reads);
        let joined = tokio::task::spawn_blocking(move || self.plain.join()).await;
        joined
            .map_err(|error| Failure::failed(format!("the plain count was not done: {error}")))?
            .map_err(|_| Failure::failed("the plain count panicked; this is a fault of the demo"))
    }
}

/// Ends early when nobody listens any more.
fn read_all(files: Vec<Found>, size: usize, reads: &mpsc::Sender<Read>, texts: &SyncSender<Bytes>) {
    for file in files {
        let content = match corpus::read(&file.path) {
            Ok(content) => content,
            Err(why) => {
                if reads.blocking_send(Read::Skipped(file, why)).is_err() {
                    return;
                }
                continue;
            }
        };
        if texts.send(content.clone()).is_err() {
            return;
        }
        for chunk in text::chunks(&content, size) {
            if reads.blocking_send(Read::Chunk(chunk)).is_err() {
                return;
            }
        }
    }
}

fn count_all(texts: &Receiver<Bytes>) -> Plain {
    let mut plain = Plain { counts: Counts::new(), took: Duration::ZERO };
    for text in texts {
        let start = Instant::now();
        text::add(&mut plain.counts, text::count(&text));
        plain.took += start.elapsed();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> Found {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Found { path, bytes: content.len() as u64 }
    }

    #[tokio::test]
    async fn chunks_and_plain_count_come_from_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let text = "three ".repeat(1000);
        let files = [
            write(&folder, "a", b"one two two"),
            write(&folder, "b", b"\0"),
            write(&folder, "c", text.as_bytes()),
        ];
        let mut source = Source::start(files.to_vec(), 100);
        let (mut counts, mut bytes, mut skipped) = (Counts::new(), 0, Vec::new());
        while let Some(read) = source.reads.recv().await {
            match read {
                Read::Chunk(chunk) => {
                    bytes += chunk.len();
                    text::add(&mut counts, text::count(&chunk));
                }
                Read::Skipped(file, why) => skipped.push((file, why)),
            }
        }
        assert_eq!((bytes, skipped), (6011, vec![(files[1].clone(), "not text".into())]));
        let plain = source.plain().await.unwrap();
        assert_eq!(plain.counts, counts);
        assert_eq!(counts["three"], 1000);
    }

    #[tokio::test]
    async fn a_reader_that_nobody_listens_to_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(&folder, "a", "word ".repeat(10_000).as_bytes());
        let source = Source::start(vec![file], 1);
        assert!(source.plain().await.is_ok());
    }
}
