//! The chores of this repository.
//!
//! `tidy` checks what a compiler does not: sizes, names, module docs, the direction of
//! dependencies, and that `PROTOCOL.md` was looked at when the wire sources changed. It runs as a
//! test too, so `cargo test` finds the same.

mod tidy;

use std::path::Path;
use std::process::ExitCode;

use tidy::Mode;

const USAGE: &str = "usage: cargo run -p xtask -- tidy [--bless]

    tidy            report what is wrong, and lower the recorded sizes that have shrunk
    tidy --bless    record the sizes as they are, larger ones too, and the hash of the wire sources";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mode = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => Mode::Tighten,
        ["tidy", "--bless"] => Mode::Bless,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match tidy::run(root(), mode) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            eprintln!("tidy: {} problems", problems.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace: the parent of this crate's.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

#[test]
fn the_repository_is_tidy() {
    let problems: Vec<String> =
        tidy::run(root(), Mode::Check).unwrap().iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
