//! Only one process at a time changes a configuration file.
//!
//! The lock is on a file of its own: the configuration file is replaced by each change, so a lock
//! on it would be one on what is no longer there. The same is true for the lock file, which is
//! removed after each change; so who gets the lock looks whether the file is still the one with
//! that name.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{process, thread};

use super::read::kind;
use super::write::{create_folder, folder_of};
use super::{ConfigError, Host};

/// How often it is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// The right to change a file, until it is dropped or the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of the file `real`, which the user knows as `path`, as soon as nobody else
    /// has it.
    ///
    /// # Errors
    ///
    /// Somebody has it for as long as `patience`, or the folder cannot be written.
    pub(super) fn take(path: &Path, real: &Path, patience: Duration) -> Result<Lock, ConfigError> {
        let fault = |source| ConfigError::Write { path: path.into(), source };
        let folder = folder_of(real);
        let name = real.file_name().unwrap_or_default().to_string_lossy();
        let lock_path = folder.join(format!(".{name}.lock"));
        create_folder(folder).map_err(fault)?;
        let start = Instant::now();
        loop {
            let file = open(&lock_path).map_err(fault)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &lock_path) => return Ok(Lock::new(lock_path, file)),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(
                        lock = %lock_path.display(), %error,
                        "this file system has no locks: a change that another process makes at the same moment may be lost"
                    );
                    return Ok(Lock::new(lock_path, file));
                }
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(ConfigError::Locked { path: path.into(), holder: holder(&lock_path), waited });
            }
            thread::sleep(PAUSE);
        }
    }

    fn new(path: PathBuf, mut file: File) -> Lock {
        // For the message of others only: where it cannot be written they name the file.
        let _ = file.set_len(0).and_then(|()| write!(file, "{} {}", process::id(), Host::current_name()));
        Lock { path, _file: file }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is held: later it could be the file of somebody else. What cannot be
        // removed does no harm.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    }
    let file = options.open(path).map_err(|error| {
        if let Ok(found) = fs::symlink_metadata(path)
            && !found.is_file()
        {
            return misplaced(path, &found);
        }
        let folder = folder_of(path).display();
        io::Error::new(error.kind(), format!("no file can be made in {folder}: {error}"))
    })?;
    let found = file.metadata()?;
    if found.is_file() { Ok(file) } else { Err(misplaced(path, &found)) }
}

/// Somebody has put something else in the place of the lock.
fn misplaced(path: &Path, found: &fs::Metadata) -> io::Error {
    io::Error::other(format!("its lock {} is {}, which is not used: remove it", path.display(), kind(found)))
}

/// Whether this is still the file with that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata().map(id), fs::symlink_metadata(path).map(id)), (Ok(held), Ok(named)) if held == named)
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// Who has the lock, in words.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let _ = open(path).and_then(|file| file.take(300).read_to_string(&mut text));
    match text.split_once(' ') {
        Some((process, host)) => format!("process {process} on {host} (it holds {})", path.display()),
        None => format!("another process (it holds {})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.json");
        (folder, path)
    }

    #[test]
    fn one_who_waits_too_long_is_told_for_whom() {
        let (_folder, path) = place();
        let _held = Lock::take(&path, &path, Duration::ZERO).unwrap();
        let error = Lock::take(&path, &path, Duration::from_millis(20)).unwrap_err().to_string();
        let holder = format!("is being changed by process {} on {}", process::id(), Host::current_name());
        assert!(error.contains(&holder) && error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains(".config.json.lock"), "{error}");
    }

    #[test]
    fn only_one_has_it_and_nothing_stays_behind() {
        let (_folder, path) = place();
        let inside = std::sync::atomic::AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = Lock::take(&path, &path, Duration::from_secs(60)).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn what_somebody_has_planted_is_not_used_as_a_lock() {
        let (_folder, path) = place();
        let folder = path.parent().unwrap();
        fs::create_dir(folder).unwrap();
        let (lock, other) = (folder.join(".config.json.lock"), folder.join("other"));
        fs::write(&other, "precious").unwrap();
        for target in [&other, &folder.join("nowhere")] {
            std::os::unix::fs::symlink(target, &lock).unwrap();
            let error = Lock::take(&path, &path, Duration::ZERO).unwrap_err().to_string();
            assert!(error.contains("is a symbolic link, which is not used"), "{error}");
            fs::remove_file(&lock).unwrap();
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, &lock, rustix::fs::Mode::RWXU).unwrap();
        let error = Lock::take(&path, &path, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("is a FIFO, which is not used"), "{error}");
        assert_eq!(fs::read(&other).unwrap(), b"precious");
        assert!(!folder.join("nowhere").exists());
    }

    #[test]
    fn a_lock_file_of_a_process_that_was_killed_is_nobodys() {
        let (_folder, path) = place();
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(path.with_file_name(".config.json.lock"), "1 elsewhere").unwrap();
        Lock::take(&path, &path, Duration::ZERO).unwrap();
    }
}
