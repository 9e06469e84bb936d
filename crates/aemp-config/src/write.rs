//! A file is replaced as a whole: anyone who reads it sees the old or the new content, and so does
//! who comes after a crash.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::read::kind;

/// Links that lead to links, as many as Linux follows.
const LINKS: usize = 40;

/// The path behind symbolic links, where a file is or would be made.
///
/// # Errors
///
/// The links lead in a circle, or what is there is no file.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => {
                not_planted(&path)?;
                path = folder_of(&path).join(target);
            }
            Err(_) => {
                return match fs::symlink_metadata(&path) {
                    Ok(found) if !found.is_file() => {
                        Err(io::Error::other(format!("it is {}, and not a regular file", kind(&found))))
                    }
                    _ => Ok(path),
                };
            }
        }
    }
    Err(io::Error::other("its symbolic links lead in a circle"))
}

/// A link of somebody else, who has no say over our files, could lead to any of them.
#[cfg(unix)]
fn not_planted(link: &Path) -> io::Result<()> {
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(link)?);
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let what =
        format!("{} is a symbolic link of another user ({owner}), and is not followed", link.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}

#[cfg(not(unix))]
fn not_planted(_link: &Path) -> io::Result<()> {
    Ok(())
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder, for the owner only, and those above it.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Gives the file at `path`, which is no link, this content. Only one process may do this at a
/// time.
///
/// # Errors
///
/// It cannot be written; the file is as it was then.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let old = match fs::symlink_metadata(path) {
        Ok(old) if !old.is_file() => {
            return Err(io::Error::other(format!("it is {} now, and not a regular file", kind(&old))));
        }
        Ok(old) if old.permissions().readonly() => {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
        }
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.new"));
    // A process that was killed may have left it.
    let _ = fs::remove_file(&fresh);
    let outcome = write_new(&fresh, text, old.as_ref()).and_then(|()| fs::rename(&fresh, path));
    if outcome.is_err() {
        // There may be nothing to remove, and that is no second error.
        let _ = fs::remove_file(&fresh);
    }
    outcome.and_then(|()| sync(folder))
}

/// The content is on the disk before the name is.
fn write_new(path: &Path, text: &[u8], old: Option<&Metadata>) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    if let Some(old) = old {
        inherit(&file, old)?;
    }
    file.sync_all()
}

/// Owner, group and their rights are those of the old file. There are secrets in it, so others have
/// none.
#[cfg(unix)]
fn inherit(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    if new.uid() != old.uid() {
        fchown(file, Some(old.uid()), None).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("it belongs to another user, and would become yours: {error}"),
            )
        })?;
    }
    // Who is not in the group cannot give a file to it; then the group that it has instead must not
    // read it.
    let keeps_group = new.gid() == old.gid() || fchown(file, None, Some(old.gid())).is_ok();
    let kept = if keeps_group { 0o770 } else { 0o700 };
    file.set_permissions(fs::Permissions::from_mode(old.mode() & kept))
}

#[cfg(not(unix))]
fn inherit(_file: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// The rename itself must reach the disk too.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn rights_are_kept_but_not_those_of_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rc");
        for (before, after) in [(0o600, 0o600), (0o644, 0o640), (0o660, 0o660), (0o700, 0o700)] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            replace(&path, b"new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, after);
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
    }

    #[test]
    fn a_read_only_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rc");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(replace(&path, b"new").unwrap_err().to_string().contains("read-only"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn what_a_killed_process_left_hinders_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rc");
        fs::write(folder.path().join(".rc.new"), "half").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("other"), "mine").unwrap();
        // Planted in the moment before: the links of the path itself were followed already.
        symlink("other", at("rc")).unwrap();
        assert!(replace(&at("rc"), b"new").unwrap_err().to_string().contains("a symbolic link now"));
        // And where the new content is written first.
        fs::remove_file(at("rc")).unwrap();
        symlink("other", at(".rc.new")).unwrap();
        replace(&at("rc"), b"new").unwrap();
        assert_eq!(
            (fs::read(at("other")).unwrap(), fs::read(at("rc")).unwrap()),
            (b"mine".to_vec(), b"new".to_vec())
        );
    }

    #[test]
    fn a_link_of_another_user_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("rc");
        symlink("other", &link).unwrap();
        resolve(&link).unwrap();
        if std::os::unix::fs::lchown(&link, Some(12345), None).is_err() {
            eprintln!("a_link_of_another_user_is_not_followed: the rest is skipped without root");
            return;
        }
        assert!(resolve(&link).unwrap_err().to_string().contains("another user (12345)"));
    }

    #[test]
    fn links_in_a_circle_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(resolve(&at("a")).unwrap_err().to_string().contains("circle"));
    }
}
