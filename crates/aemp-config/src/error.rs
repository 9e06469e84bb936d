//! What can be wrong with a configuration, said so that it can be put right.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use aemp::{BundleError, NameError};

/// A configuration that cannot be used, or a file that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no place for a file.
    #[error("no place for a configuration file: set $AEMP_RC to a path, or $HOME")]
    NoPlace,
    /// The file is there and cannot be read.
    #[error("{}: cannot be read: {source}. Mend its permissions, or let $AEMP_RC name another file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be; it is never written over.
    #[error("{}: is not a configuration file: {what}. It is left as it is: mend it, or move it away", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where they are known.
        what: String,
    },
    /// The file cannot be written; the old content is still there.
    #[error("{}: cannot be written: {source}. The file is as it was before", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else is changing the file and does not come to an end.
    #[error("{}: is being changed by {holder}, for more than {waited:?}. End that, or try again later", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// Who has the lock, as far as it is known.
        holder: String,
        /// How long this process has waited.
        waited: Duration,
    },
    /// Profiles that inherit from each other in a circle.
    #[error("the profiles inherit in a circle: {}. Give one of them another parent (aemp profile NAME delparent)", chain.join(" -> "))]
    ParentLoop {
        /// The names, the first one again at the end.
        chain: Vec<String>,
    },
    /// The certificate is one that cannot be used.
    #[error("cert: {0}")]
    Certificate(BundleError),
    /// An argument list whose shape is wrong.
    #[error("{0}")]
    Arguments(String),
    /// A key that is not known.
    #[error("{key}: no such setting{}. Known are: {known}", .close.map(|c| format!(" (meant {c}?)")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// A known key that looks alike.
        close: Option<&'static str>,
        /// All known keys.
        known: String,
    },
    /// A value that does not fit its key.
    #[error("{key}: expected {expected}, found {found}")]
    BadValue {
        /// The key.
        key: String,
        /// What would fit.
        expected: String,
        /// What was there; for keys with secrets only its kind.
        found: String,
    },
    /// The node ID cannot be one.
    #[error("nodeid: {text:?} is not a node ID: {source}")]
    NodeId {
        /// The text after expansion.
        text: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A secret is not where it was said to be.
    #[error("{key}: {from} cannot be read: {source}")]
    SecretSource {
        /// The key.
        key: String,
        /// Where it was looked for.
        from: String,
        /// What went wrong.
        source: io::Error,
    },
    /// Seeds are not where they were said to be.
    #[error("seeds: {from}: {what}")]
    SeedSource {
        /// Where they were looked for.
        from: String,
        /// What is wrong.
        what: String,
    },
    /// The operating system has no random bytes.
    #[error("the operating system gave no random numbers: {0}")]
    Random(getrandom::Error),
}
