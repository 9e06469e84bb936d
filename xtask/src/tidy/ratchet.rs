//! The recorded exceptions from the budgets: `xtask/ratchet.txt`, one `SIZE PATH` or `SIZE
//! PATH::FUNCTION` a line.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{fmt, fs};

const FILE: &str = "xtask/ratchet.txt";

const HEAD: &str = "\
# Files and functions over their budget, with the size that they may not exceed. A size may only shrink, and the
# line goes when it is within the budget: `cargo run -p xtask -- tidy` writes this file.
";

/// What is over its budget, with its size in lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ratchet {
    sizes: BTreeMap<String, usize>,
}

impl Ratchet {
    /// Reads the recorded sizes; none if there is no file.
    pub(super) fn read(root: &Path) -> Result<Ratchet, Box<dyn Error>> {
        let path = root.join(FILE);
        if !path.exists() {
            return Ok(Ratchet::default());
        }
        Ratchet::parse(&fs::read_to_string(path)?)
    }

    pub(super) fn write(&self, root: &Path) -> Result<(), Box<dyn Error>> {
        Ok(fs::write(root.join(FILE), self.to_string())?)
    }

    pub(super) fn set(&mut self, name: &str, size: usize) {
        self.sizes.insert(name.into(), size);
    }

    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.sizes.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sizes.keys().map(String::as_str)
    }

    fn parse(text: &str) -> Result<Ratchet, Box<dyn Error>> {
        let mut ratchet = Ratchet::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (size, name) = line.split_once(' ').ok_or_else(|| format!("{FILE}: no size in {line:?}"))?;
            ratchet.set(name, size.parse().map_err(|e| format!("{FILE}: {line:?}: {e}"))?);
        }
        Ok(ratchet)
    }
}

impl fmt::Display for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        self.sizes.iter().try_for_each(|(name, size)| writeln!(f, "{size} {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let mut ratchet = Ratchet::default();
        ratchet.set("a.rs", 700);
        ratchet.set("a.rs::f", 90);
        assert_eq!(Ratchet::parse(&ratchet.to_string()).unwrap(), ratchet);
    }

    #[test]
    fn a_line_without_a_size_is_an_error() {
        assert!(Ratchet::parse("a.rs\n").is_err());
        assert!(Ratchet::parse("x a.rs\n").is_err());
    }
}
