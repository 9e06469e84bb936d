//! `aemp dump`: what the flight recorder of a node has; and the files that a running node writes of
//! its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aemp::{Dump as Records, Node};
use clap::Args;

use crate::client::Access;
use crate::failure::Failure;
use crate::inspect::{ask, node_id};

/// Files that a node writes because of panics: of ports that panic by the thousand the first ones
/// tell enough.
const PANICS_MAX: usize = 8;

/// Names that are tried for a file.
const NAMES: usize = 1000;

/// Bytes of a node ID in the name of a file.
const ID_MAX: usize = 64;

/// Get what the flight recorder of a node has
///
/// What happened there last, a line of JSON each: connections that came and went, with how many
/// frames went over each; outboxes that broke; ports that died of something; addresses that were
/// dialled. Never anything of a message. Dumps of several nodes together show whether a frame was
/// lost between them: `cargo run -p aemp-sim -- judge FILE...` says so. Perl nodes, and nodes in
/// secure mode, do not tell.
#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// The node
    node: String,
    /// Where to write it, readable by you alone; must not be there. Without it, stdout
    file: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl Dump {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = node_id(&self.node)?;
        let question = async |node: &Node| node.dump_of(&target, self.access.limit.timeout).await;
        let records = ask(&self.access, &target, question).await?;
        let Some(path) = &self.file else { return crate::print(records.to_lines().trim_end()) };
        let written = create(path).and_then(|file| write(file, &records));
        written.map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))
    }
}

/// Creates a file that only this user can read. If there is one already, or a link, that is an
/// error: somebody else may have put it there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write(mut file: File, records: &Records) -> io::Result<()> {
    file.write_all(records.to_lines().as_bytes())
}

/// Where a node that runs writes what its recorder has, when it is told to or something panics.
#[derive(Debug, Clone)]
pub(crate) struct Dumps {
    folder: PathBuf,
    panics: Arc<AtomicUsize>,
}

impl Dumps {
    pub(crate) fn into(folder: Option<PathBuf>) -> Dumps {
        Dumps { folder: folder.unwrap_or_else(std::env::temp_dir), panics: Arc::default() }
    }

    /// Writes a file, and logs where it is.
    pub(crate) fn asked(&self, node: &Node) {
        let (dumps, node) = (self.clone(), node.clone());
        tokio::spawn(async move {
            let records = node.dump("SIGUSR1").await;
            if records.records.is_empty() {
                return tracing::warn!("there is nothing to dump: the flight recorder is off (recorder 0)");
            }
            match dumps.write(&node, &records) {
                Ok(path) => tracing::info!(path = %path.display(), "the flight recorder was dumped"),
                Err(error) => {
                    let folder = dumps.folder.display();
                    tracing::error!(%folder, %error, "the flight recorder cannot be dumped; name another folder (--dumps)");
                }
            }
        });
    }

    /// Writes a file when something panics, in a port or elsewhere, after what happens then anyway.
    pub(crate) fn watch_panics(&self, node: &Node) {
        let (dumps, node) = (self.clone(), node.clone());
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            // Only where: what a panic says may be part of a message.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            dumps.panicked(&node, &format!("panic at {place}"));
        }));
    }

    fn panicked(&self, node: &Node, why: &str) {
        let records = node.dump_now(why);
        if records.records.is_empty() || self.panics.fetch_add(1, Ordering::Relaxed) >= PANICS_MAX {
            return;
        }
        // Not logged: what logs may be what has panicked.
        let _ = match self.write(node, &records) {
            Ok(path) => writeln!(io::stderr(), "the flight recorder was dumped to {}", path.display()),
            Err(error) => writeln!(io::stderr(), "the flight recorder cannot be dumped: {error}"),
        };
    }

    /// Writes a file under the first name that nothing has.
    fn write(&self, node: &Node, records: &Records) -> io::Result<PathBuf> {
        let id: String = node.id().as_str().chars().map(plain).take(ID_MAX).collect();
        for number in 1..=NAMES {
            let path = self.folder.join(format!("aemp-{id}-{}-{number}.jsonl", std::process::id()));
            match create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                file => return file.and_then(|file| write(file, records)).map(|()| path),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, format!("there are {NAMES} dumps there already")))
    }
}

/// What a letter of a node ID is in the name of a file.
fn plain(letter: char) -> char {
    if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') { letter } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn the_first_panics_leave_files_that_say_where_it_was_and_not_what() {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::builder().id("a/b").start().await.unwrap();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        Dumps::into(Some(folder.path().into())).watch_panics(&node);
        for _ in 0..PANICS_MAX + 2 {
            std::thread::spawn(|| panic!("a secret text")).join().unwrap_err();
        }
        std::panic::set_hook(before);
        let files: Vec<PathBuf> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), PANICS_MAX);
        for file in files {
            assert!(file.file_name().unwrap().to_string_lossy().starts_with("aemp-a_b-"), "{file:?}");
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("panic at ") && text.contains("dump.rs:"), "{text}");
            assert!(!text.contains("a secret text"), "{text}");
        }
    }
}
