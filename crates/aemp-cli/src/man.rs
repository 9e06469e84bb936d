//! `aemp man`: manual pages, made of the definition of the command line.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::failure::Failure;
use crate::{args, inspect};

/// Write a manual page for aemp and each of its commands into a folder
#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// The folder, which is made if needed
    folder: PathBuf,
}

impl Manual {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let failed = |error| Failure::failed(format!("{} cannot be written: {error}", self.folder.display()));
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut count = 0;
        for (name, text) in pages(&date()) {
            std::fs::write(self.folder.join(name), text).map_err(failed)?;
            count += 1;
        }
        crate::print(&format!("{count} pages are in {}", self.folder.display()))
    }
}

/// Today, or where the same pages have to come out again and again the day of $SOURCE_DATE_EPOCH.
fn date() -> String {
    let chosen = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    inspect::stats::time(chosen.unwrap_or_else(inspect::now)).chars().take("2026-01-01".len()).collect()
}

/// The page of the whole, and one for each command: names of files, and texts.
fn pages(date: &str) -> Vec<(String, String)> {
    let mut cli = args::command().disable_help_subcommand(true);
    cli.build();
    let shown: Vec<Command> =
        cli.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    std::iter::once(cli).chain(shown).map(|command| page(command, date)).collect()
}

fn page(command: Command, date: &str) -> (String, String) {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let page = Man::new(command).title(&title).date(date).manual("aemp");
    let mut text = Vec::new();
    // Writing into memory does not fail.
    let _ = page.render(&mut text);
    (page.get_filename(), without_double_breaks(&String::from_utf8_lossy(&text)))
}

/// A line break beside a paragraph break does nothing, and is complained of by those who check
/// pages.
fn without_double_breaks(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        match (lines.last(), line) {
            (Some(&("" | ".sp" | ".br")), ".br") => {}
            (Some(&".br"), "" | ".sp") => {
                lines.pop();
                lines.push(line);
            }
            _ => lines.push(line),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_beside_paragraphs_are_left_out() {
        assert_eq!(without_double_breaks("a\n.br\n\n.br\nb\n.br\nc\n"), "a\n\nb\n.br\nc\n");
    }

    #[test]
    fn a_page_has_the_name_of_its_command_and_the_date() {
        let pages = pages("2026-01-02");
        let (_, text) = pages.iter().find(|(name, _)| name == "aemp-snd.1").unwrap();
        assert!(text.contains(".TH aemp-snd 1 2026-01-02"), "{text}");
        assert!(!pages.iter().any(|(name, _)| name.contains("demo-node")));
    }
}
