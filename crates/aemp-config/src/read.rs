//! What is read as a configuration: regular files that are not too large. A FIFO would wait for
//! somebody, a device might never end.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// More than this is no configuration, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// More than this is no secret and no certificate with its key, in bytes.
const SECRET_MAX: u64 = 1 << 20;

/// A file, and whether everybody on this machine can read it.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) is_open: bool,
}

/// The content of a file; `None` if it is not there. `/dev/null` is an empty one, as everywhere.
///
/// # Errors
///
/// It is something else than a file, too large, or cannot be read.
pub(super) fn file(path: &Path) -> io::Result<Option<Content>> {
    if path == Path::new("/dev/null") {
        return Ok(Some(Content { bytes: Vec::new(), is_open: false }));
    }
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other(format!("it is {}, and not a file", kind(&found))));
    }
    Ok(Some(Content { bytes: at_most(file, FILE_MAX)?, is_open: is_open(&found) }))
}

/// What stands in a file that holds nothing but a secret or a certificate, or comes through a pipe.
pub(super) fn secret(from: impl Read) -> io::Result<Vec<u8>> {
    at_most(from, SECRET_MAX)
}

fn at_most(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // A FIFO that nobody writes to is opened and then refused.
    File::options().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn is_open(found: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(found) & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open(_found: &Metadata) -> bool {
    false
}

/// What is there instead of a file.
#[cfg(unix)]
pub(super) fn kind(found: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_symlink() => "a symbolic link",
        () => "a device",
    }
}

#[cfg(not(unix))]
pub(super) fn kind(_found: &Metadata) -> &'static str {
    "something else"
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| file(path).err().expect("an error").to_string();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(error(&fifo), "it is a FIFO, and not a file");
        assert_eq!(error(Path::new("/dev/zero")), "it is a device, and not a file");
        assert_eq!(error(folder.path()), "it is a folder, and not a file");
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert!(error(&large).contains("more than 16777216 bytes"));
        assert!(file(&folder.path().join("none")).unwrap().is_none());
        assert!(file(Path::new("/dev/null")).unwrap().unwrap().bytes.is_empty());
    }

    #[test]
    fn who_can_read_it_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rc");
        std::fs::write(&path, "x").unwrap();
        for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(file(&path).unwrap().unwrap().is_open, is_open, "{mode:o}");
        }
    }
}
