//! The input: which files are read, in which order, and why others are not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::text;

/// A file is held in memory while its chunks are under way, so there is a limit.
const LARGEST_FILE: u64 = 256 << 20;

/// A file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// How large it was when it was found.
    pub(crate) bytes: u64,
}

/// The files to be counted, in a fixed order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Corpus {
    /// The files.
    pub(crate) files: Vec<Found>,
    /// Folders that cannot be looked into, and why.
    pub(crate) skipped: Vec<(PathBuf, String)>,
}

impl Corpus {
    /// Finds the files under these paths: regular ones, in the order of their names, without hidden
    /// ones and the folders named `target`. A path that is named itself is taken no matter what it
    /// is called.
    ///
    /// # Errors
    ///
    /// One of the paths is not there.
    pub(crate) fn find(paths: &[PathBuf]) -> io::Result<Corpus> {
        let mut corpus = Corpus::default();
        let mut seen = BTreeSet::new();
        for path in paths {
            let kind = fs::metadata(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            corpus.visit(path, kind.is_dir(), &mut seen);
        }
        Ok(corpus)
    }

    fn visit(&mut self, path: &Path, is_folder: bool, seen: &mut BTreeSet<PathBuf>) {
        // Paths may overlap, and no file is to be counted twice.
        let canonical = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !seen.insert(canonical) {
            return;
        }
        if !is_folder {
            let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
            return self.files.push(Found { path: path.to_owned(), bytes });
        }
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.skipped.push((path.to_owned(), error.to_string())),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            // Links are not followed: they could lead in a circle.
            let Ok(kind) = entry.file_type() else { continue };
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if !hidden && (kind.is_file() || kind.is_dir() && name != "target") {
                self.visit(&entry.path(), kind.is_dir(), seen);
            }
        }
    }
}

/// Reads a file if it is text; else says why it is not counted.
pub(crate) fn read(path: &Path) -> Result<Bytes, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".into());
    }
    if metadata.len() > LARGEST_FILE {
        return Err(format!("larger than {} MiB", LARGEST_FILE >> 20));
    }
    let content = fs::read(path).map_err(|error| error.to_string())?;
    if text::is_text(&content) { Ok(content.into()) } else { Err("not text".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_without_hidden_ones_and_targets() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b/2", "b/1", "a", ".git/x", "target/x", "c/target/y", "c/.hidden", "c/target.txt"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "word").unwrap();
        }
        let corpus = Corpus::find(&[root.to_owned()]).unwrap();
        let expected =
            ["a", "b/1", "b/2", "c/target.txt"].map(|name| Found { path: root.join(name), bytes: 4 });
        assert_eq!(corpus.files, expected);
        let twice = Corpus::find(&[root.to_owned(), root.join("b"), root.join("target")]).unwrap();
        assert_eq!(twice.files.len(), 5, "named itself, a target folder counts; nothing counts twice");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
        assert_eq!(Corpus::find(&[folder.path().to_owned()]).unwrap(), Corpus::default());
    }

    #[test]
    fn what_is_not_text_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        assert!(Corpus::find(std::slice::from_ref(&file)).unwrap_err().to_string().contains("x: "));
        assert!(read(&file).is_err());
        fs::write(&file, b"a\0b").unwrap();
        assert_eq!(read(&file).unwrap_err(), "not text");
        fs::write(&file, "a b").unwrap();
        assert_eq!(read(&file).unwrap(), "a b");
        assert_eq!(read(folder.path()).unwrap_err(), "not a regular file");
    }
}
