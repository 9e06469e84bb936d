//! The rules are pure: the sources of `aemp-proto` reach for no socket, clock, file, thread,
//! process or environment.
//!
//! It reads tokens, so comments and strings do not count, and imports in braces do.

use proc_macro2::{TokenStream, TokenTree};

use super::Problem;
use super::sources::{SourceFile, Sources};

const PURE: &str = "crates/aemp-proto/src/";

/// Parts of `std` that stand for a world outside. Addresses as plain data are in `core::net`.
const WORLDLY: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];

/// Types that read a clock or draw a seed.
const IMPURE: [&str; 3] = ["Instant", "SystemTime", "RandomState"];

/// Names every impure word in the pure sources.
pub(super) fn check(sources: &Sources) -> Vec<Problem> {
    sources.files().filter(|file| file.path.starts_with(PURE)).flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Problem> {
    let code = file.code_lines().collect::<Vec<_>>().join("\n");
    let mut words = Vec::new();
    // The file has been parsed as a whole, so a part of it that is no Rust by itself cannot occur
    // here.
    collect(code.parse().unwrap_or_default(), &mut words);
    words
        .into_iter()
        .map(|(line, word)| {
            Problem::at(&file.path, line, format!("{word} has no place in the protocol crate"))
        })
        .collect()
}

fn collect(tokens: TokenStream, words: &mut Vec<(usize, String)>) {
    let mut last = [String::new(), String::new(), String::new()];
    for token in tokens {
        let after_std = last == ["std", ":", ":"];
        let text = match token {
            TokenTree::Group(group) => {
                if after_std {
                    collect_imports(group.stream(), words);
                }
                collect(group.stream(), words);
                String::new()
            }
            other => {
                let text = other.to_string();
                if (after_std && WORLDLY.contains(&text.as_str())) || IMPURE.contains(&text.as_str()) {
                    words.push((other.span().start().line, text.clone()));
                }
                text
            }
        };
        last.rotate_left(1);
        last[2] = text;
    }
}

/// The first words between the commas of `std::{…}`.
fn collect_imports(tokens: TokenStream, words: &mut Vec<(usize, String)>) {
    let mut first = true;
    for token in tokens {
        let text = token.to_string();
        if first && WORLDLY.contains(&text.as_str()) {
            words.push((token.span().start().line, text.clone()));
        }
        first = text == ",";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let file = SourceFile::new(format!("{PURE}a.rs"), text.into()).unwrap();
        check_file(&file).into_iter().map(|p| p.place).collect()
    }

    #[test]
    fn the_world_outside_is_found_however_it_is_imported() {
        assert_eq!(lines("use std::net::IpAddr;"), ["crates/aemp-proto/src/a.rs:1"]);
        assert_eq!(lines("use std::{\n    fmt,\n    fs::File,\n};"), ["crates/aemp-proto/src/a.rs:3"]);
        assert_eq!(lines("use std::time::{Duration, Instant};"), ["crates/aemp-proto/src/a.rs:1"]);
        assert_eq!(lines("fn f() { m!(std::env::args()) }"), ["crates/aemp-proto/src/a.rs:1"]);
    }

    #[test]
    fn comments_strings_and_tests_may_speak_of_it() {
        let text = "// std::fs\nuse std::time::Duration;\nconst A: &str = \"std::fs\";\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}";
        assert_eq!(lines(text), [""; 0]);
    }
}
