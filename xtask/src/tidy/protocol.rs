//! `PROTOCOL.md` and the sources that it describes change together.
//!
//! The document carries a hash of them. Anyone who changes one of these sources reads the document
//! again, corrects it where needed, and renews the hash with `--bless`. Comments, blank lines,
//! indentation and tests do not count.

use std::error::Error;
use std::fs;
use std::path::Path;

use sha3::{Digest, Sha3_256};

use super::sources::Sources;
use super::{Mode, Problem};

const DOCUMENT: &str = "PROTOCOL.md";

const SOURCES: [&str; 2] = ["crates/aemp-proto/src/wire/", "crates/aemp-proto/src/link/"];

/// The line of the document, up to the hash and after it.
const MARK: (&str, &str) = ("<!-- wire sources: ", " -->");

/// Compares the hash in the document with the sources, or renews it.
pub(super) fn check(root: &Path, sources: &Sources, mode: Mode) -> Result<Option<Problem>, Box<dyn Error>> {
    let hash = hash(sources);
    let text = sources.get(DOCUMENT).map(|file| file.text.as_str()).unwrap_or_default();
    let Some(recorded) = recorded(text) else {
        return Ok(Some(Problem::new(DOCUMENT, format!("the line `{}{hash}{}` is missing", MARK.0, MARK.1))));
    };
    if recorded == hash {
        return Ok(None);
    }
    if mode == Mode::Bless {
        fs::write(root.join(DOCUMENT), text.replace(recorded, &hash))?;
        return Ok(None);
    }
    let advice =
        "the wire sources have changed: make this document agree, then `cargo run -p xtask -- tidy --bless`";
    Ok(Some(Problem::new(DOCUMENT, advice)))
}

fn recorded(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(MARK.0)?.strip_suffix(MARK.1))
}

fn hash(sources: &Sources) -> String {
    let mut digest = Sha3_256::new();
    let described =
        |path: &str| path.ends_with(".rs") && SOURCES.iter().any(|folder| path.starts_with(folder));
    for file in sources.files().filter(|file| described(&file.path)) {
        let lines =
            file.code_lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        for line in std::iter::once(file.path.as_str()).chain(lines) {
            digest.update(line);
            digest.update("\n");
        }
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_read_from_its_line() {
        assert_eq!(recorded("# Wire\n<!-- wire sources: 0af1 -->\n"), Some("0af1"));
        assert_eq!(recorded("# Wire\n"), None);
    }
}
