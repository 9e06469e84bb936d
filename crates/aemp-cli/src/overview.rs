//! What `aemp --help` shows: the commands in groups. Those that change the configuration are many,
//! and stand under `aemp help config`.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Effects, Style};
use clap::{Args, Command, Subcommand};

use crate::args;
use crate::edit::Edit;
use crate::failure::Failure;
use crate::profile::Profile;

/// A group of commands, line by line.
type Group = (&'static str, &'static [Row]);

/// The commands of one line; what is said of them stands there, or is what one command says of
/// itself.
type Row = (&'static [&'static str], &'static str);

const GROUPS: [Group; 5] = [
    (
        "Run",
        &[
            (&["run", "check", "gather"], "Run a node; check settings only; gather what a report needs"),
            (
                &["restart", "reload", "drain"],
                "Have a node start again; read its settings again; leave in order",
            ),
            (&["demo", "bench"], "Show a network of processes that count words; measure this machine"),
        ],
    ),
    (
        "Talk",
        &[
            (&["snd", "cal", "listen"], "Send a message; with a port for the answer; show what a port gets"),
            (&["mon", "wait"], "Wait until a port dies; until something is there, or gone"),
            (&["kill", "spawn"], "Kill a port; make one on a node with one of its functions"),
            (&["eval", "shell"], "Have a node evaluate code, once or line by line"),
        ],
    ),
    (
        "Watch",
        &[
            (&["nodes", "ports", "describe"], "List the nodes; the ports of a node; tell of one of them"),
            (
                &["stats", "lost", "top", "web"],
                "Show what a node counts; what it lost; watch the network; in a browser",
            ),
            (&["ping", "latency", "trace"], "Measure the time to a node; between two; show all connections"),
            (
                &["log", "follow", "doctor", "dump"],
                "Show all logs; the hops of a message; what is wrong; what happened",
            ),
        ],
    ),
    (
        "Database",
        &[(&["db", "families"], "Show a family of the shared database, or its changes; list all families")],
    ),
    (
        "Configure",
        &[
            (&["profile", "use"], "Name the profile for what follows; the one that commands use"),
            (&["showconfig", "explain"], "Show the settings; explain one of them, or a reason"),
            (&["config"], ""),
        ],
    ),
];

/// Options of all commands, line by line, and what is said of them.
const OPTIONS: [(&[&str], &str); 3] = [
    (&["log", "log-format"], "What is logged on stderr (error … trace); text or json"),
    (&["color", "read-only"], "auto, always or never; refuse what sends, kills or changes something"),
    (&["help", "version"], "Print this; print the version (also -h, -V)"),
];

/// What stands under the groups.
const MORE: &str = "\
`aemp help COMMAND` tells more, and has an example. The configuration is read from $AEMP_RC, else
~/.config/aemp/config.json ($XDG_CONFIG_HOME), else from the file of the Perl tool.
Exit status: 0 done, 1 failed, 2 wrong command line, 3 no usable configuration, 130 interrupted.";

/// List the commands that change the configuration
///
/// They can be chained: each takes its arguments, and what is left is the next command. They change
/// the global settings, or after `profile NAME` those of this profile.
///
/// An argument that starts with [, { or " is JSON. If the only argument starts with [, it is the
/// list of all arguments.
///
/// The file is $AEMP_RC, else $XDG_CONFIG_HOME/aemp/config.json (~/.config/aemp/config.json); when
/// nothing is there the one of the Perl tool: $PERL_ANYEVENT_MP_RC, else ~/.perl-anyevent-mp.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aemp gensecret profile server setnodeid server/ setbinds '*:4040' setseeds seed.example:4040")]
pub(crate) struct Config {}

impl Config {
    /// Prints the list.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let list = configuration(&args::command());
        // What reads it may be a pipe, which needs no colours.
        crate::print(&anstream::adapter::strip_str(list.trim_end()).to_string())
    }
}

/// Gives the command line its help, and that of `config`.
pub(crate) fn with_overview(cli: Command) -> Command {
    let (list, help) = (configuration(&cli), overview(&cli));
    cli.mut_subcommand("config", |command| {
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        command.after_long_help(format!("{list}\n{example}"))
    })
    .override_help(help)
}

fn overview(cli: &Command) -> String {
    let heading = Style::new().effects(Effects::BOLD | Effects::UNDERLINE);
    let about = cli.get_about().map(ToString::to_string).unwrap_or_default();
    let mut help = format!("{about}\n\n{heading}Usage:{heading:#} aemp [OPTIONS] <COMMAND>\n");
    for (name, commands) in GROUPS {
        let _ = writeln!(help, "\n{heading}{name}:{heading:#}");
        for (names, text) in commands {
            let own = || names.first().and_then(|name| cli.find_subcommand(name)?.get_about());
            let own = own().map(ToString::to_string).unwrap_or_default();
            help += &line(&names.join(", "), if text.is_empty() { &own } else { text });
        }
    }
    let _ = writeln!(help, "\n{heading}Help:{heading:#}");
    help += &line(
        "help, completions, man",
        "Explain a command, or `config`; scripts that complete words; manual pages",
    );
    let _ = writeln!(help, "\n{heading}Options:{heading:#}");
    for (options, text) in OPTIONS {
        let options: Vec<String> = options.iter().map(|option| format!("--{option}")).collect();
        help += &line(&options.join(", "), text);
    }
    let _ = write!(help, "\n{MORE}\n");
    help
}

/// The commands that change the configuration, one a line.
fn configuration(cli: &Command) -> String {
    let belongs = |command: &&Command| {
        Profile::has_subcommand(command.get_name()) || Edit::has_subcommand(command.get_name())
    };
    cli.get_subcommands().filter(|command| !command.is_hide_set()).filter(belongs).map(row).collect()
}

fn row(command: &Command) -> String {
    line(command.get_name(), &command.get_about().map(ToString::to_string).unwrap_or_default())
}

fn line(name: &str, text: &str) -> String {
    let style = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    format!("  {style}{name:<22}{style:#} {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help() -> String {
        plain(&args::command().render_help().to_string())
    }

    fn plain(styled: &str) -> String {
        anstream::adapter::strip_str(styled.trim_end()).to_string()
    }

    #[test]
    fn the_first_help_fits_on_a_screen() {
        let help = help();
        assert!(help.lines().count() <= 40, "{} lines:\n{help}", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn every_command_is_listed_somewhere() {
        let cli = args::command();
        let (first, config) = (help(), plain(&configuration(&cli)));
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let listed = ["completions", "man"].contains(&name)
                || GROUPS.iter().flat_map(|(_, rows)| *rows).any(|(names, _)| names.contains(&name));
            let row = format!("  {name} ");
            assert!(listed || first.contains(&row) || config.contains(&row), "{name}");
        }
        for argument in cli.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(OPTIONS.iter().any(|(options, _)| options.contains(&argument)), "--{argument}");
        }
        for name in GROUPS.iter().flat_map(|(_, rows)| *rows).flat_map(|(names, _)| *names) {
            assert!(cli.find_subcommand(name).is_some(), "{name}");
        }
    }
}
