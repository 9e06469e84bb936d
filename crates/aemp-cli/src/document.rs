//! The list of commands in `docs/cli.md`, made out of the command line itself. This is a test: it
//! fails when they differ, and `SNAPSHOTS=overwrite cargo test -p aemp-cli --bin aemp document`
//! writes the list anew.

use clap::{Command, Subcommand};
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

use crate::args::{self, NodeCommand};
use crate::edit::Edit;
use crate::examples::example;
use crate::failure::EXIT_STATUSES;
use crate::profile::Profile;

/// What stands before the list is written by hand.
const MARK: &str = "<!-- What follows is made by crates/aemp-cli/src/document.rs. -->\n";

/// A heading, and which commands stand below it.
type Group = (&'static str, fn(&str) -> bool);

const GROUPS: [Group; 4] = [
    ("Nodes and messages", NodeCommand::has_subcommand),
    ("Profiles", Profile::has_subcommand),
    ("Settings", Edit::has_subcommand),
    ("Besides", |name| {
        !(NodeCommand::has_subcommand(name) || Profile::has_subcommand(name) || Edit::has_subcommand(name))
    }),
];

#[test]
fn the_document_lists_every_command() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (by_hand, _) = text.split_once(MARK).unwrap_or((&text, ""));
    let mut cli = args::command();
    // With `help`, which clap adds.
    cli.build();
    let mut out = format!("{by_hand}{MARK}");
    for (heading, belongs) in GROUPS {
        out += &format!("\n## {heading}\n\n| Command | | Example |\n|---|---|---|\n");
        let listed = |command: &&mut Command| !command.is_hide_set() && belongs(command.get_name());
        for command in cli.get_subcommands_mut().filter(listed) {
            out += &row(command);
        }
    }
    out += &format!(
        "\n## Exit statuses\n\n```text\n{}\n```\n",
        EXIT_STATUSES.trim_start_matches("Exit status:\n")
    );
    let expected = Data::read_from(&path, Some(DataFormat::Text)).raw();
    Assert::new().action_env("SNAPSHOTS").eq(Data::text(out), expected);
}

fn row(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: aemp ").replace(" [OPTIONS]", "");
    let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("<br>`{alias}`")).collect();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let example = example(command).map(|example| format!("`{}`", cell(&example))).unwrap_or_default();
    format!("| `{}`{} | {} | {example} |\n", cell(&usage), aliases.concat(), cell(&about))
}

/// A text inside of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
