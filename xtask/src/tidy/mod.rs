//! The tidy check: one file a concern, each a function from the sources to a list of problems.
//!
//! Nothing here knows the network; a rule belongs here if it is about the shape of the repository
//! and can be decided by reading it. What clippy can decide is left to clippy.

mod budgets;
mod circles;
mod direction;
mod documents;
mod figures;
mod floors;
mod modules;
mod operations;
mod packages;
mod parity;
mod proof;
mod protocol;
mod purity;
mod queues;
mod ratchet;
mod sources;
mod vocabulary;
mod words;

use std::error::Error;
use std::fmt;
use std::path::Path;

use ratchet::Ratchet;
use sources::Sources;

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: the test.
    Check,
    /// Recorded sizes may be lowered.
    Tighten,
    /// Recorded sizes may be raised, and the hash of the wire sources renewed.
    Bless,
}

/// Something that is not tidy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    place: String,
    what: String,
}

impl Problem {
    fn new(place: impl fmt::Display, what: impl Into<String>) -> Problem {
        Problem { place: place.to_string(), what: what.into() }
    }

    fn at(path: &str, line: usize, what: impl Into<String>) -> Problem {
        Problem::new(format_args!("{path}:{line}"), what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks the repository at `root`, and writes what `mode` allows.
///
/// # Errors
///
/// A file cannot be read, written or parsed, or `cargo` cannot be asked for the dependencies.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<Vec<Problem>, Box<dyn Error>> {
    let sources = Sources::read(root)?;
    let (ratchet, mut problems) = budgets::check(&sources, &Ratchet::read(root)?, mode);
    if mode != Mode::Check {
        ratchet.write(root)?;
    }
    problems.extend(protocol::check(root, &sources, mode)?);
    problems.extend(words::check(&sources));
    problems.extend(vocabulary::check(root, &sources, mode)?);
    problems.extend(modules::check(&sources));
    problems.extend(circles::check(&sources));
    problems.extend(floors::check(&sources));
    problems.extend(parity::check(&sources));
    problems.extend(operations::check(&sources));
    problems.extend(proof::check(&sources));
    problems.extend(documents::check(root, &sources));
    problems.extend(purity::check(&sources));
    problems.extend(queues::check(&sources));
    problems.extend(direction::check(root)?);
    problems.extend(figures::check(root, &sources, mode)?);
    problems.extend(packages::check(root, &sources)?);
    Ok(problems)
}
