//! All text files of the repository, read once; Rust files parsed.

use std::error::Error;
use std::path::Path;
use std::{fs, io};

/// Folders that hold nothing written by hand.
const SKIPPED_FOLDERS: [&str; 4] = [".git", "target", "artifacts", "corpus"];

/// Every text file of the repository, in the order of the paths.
pub(super) struct Sources {
    files: Vec<SourceFile>,
}

/// One text file.
pub(super) struct SourceFile {
    /// The path from the root, with `/` between its parts.
    pub(super) path: String,
    pub(super) text: String,
    /// The parsed text, if it is Rust.
    pub(super) syntax: Option<syn::File>,
}

impl Sources {
    /// Reads all files under `root`.
    pub(super) fn read(root: &Path) -> Result<Sources, Box<dyn Error>> {
        let mut paths = Vec::new();
        list(root, "", &mut paths)?;
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            // What is not UTF-8 is not text.
            if let Ok(text) = String::from_utf8(fs::read(root.join(&path))?) {
                files.push(SourceFile::new(path, text)?);
            }
        }
        Ok(Sources { files })
    }

    /// These files, by path and text.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Sources {
        let file = |(path, text): &(&str, &str)| SourceFile::new((*path).into(), (*text).into());
        Sources { files: files.iter().map(|of| file(of).expect("it is Rust")).collect() }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// The Rust files, with their syntax.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&SourceFile, &syn::File)> {
        self.files.iter().filter_map(|file| Some((file, file.syntax.as_ref()?)))
    }

    pub(super) fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl SourceFile {
    pub(super) fn new(path: String, text: String) -> Result<SourceFile, Box<dyn Error>> {
        let syntax = if path.ends_with(".rs") {
            Some(syn::parse_file(&text).map_err(|e| format!("{path}:{}: {e}", e.span().start().line))?)
        } else {
            None
        };
        Ok(SourceFile { path, text, syntax })
    }

    /// Whether the whole file is test code.
    pub(super) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The lines that are not test code: up to the test module, which stands last.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = &str> {
        let end = if self.is_test() { 0 } else { first_test_line(&self.text) };
        self.text.lines().take(end)
    }
}

/// The number of lines in front of `#[cfg(test)] mod … {`; all lines if there is no such line.
fn first_test_line(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let starts =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(starts).unwrap_or(lines.len())
}

fn list(root: &Path, folder: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            list(root, &path, paths)?;
        } else if kind.is_file() && path != ".git" {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_where_the_test_module_begins() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        let file = SourceFile::new("crates/x/src/a.rs".into(), text.into()).unwrap();
        assert_eq!(file.code_lines().collect::<Vec<_>>(), ["fn a() {}"]);
    }

    #[test]
    fn a_test_file_has_no_other_code() {
        let file = SourceFile::new("crates/x/tests/a.rs".into(), "fn a() {}\n".into()).unwrap();
        assert_eq!(file.code_lines().count(), 0);
    }
}
