//! The command line, defined once: it yields the parser, the help and the way commands are chained.

use clap::{ColorChoice, CommandFactory, Parser, Subcommand};

use crate::cal::Cal;
use crate::completions::Completions;
use crate::db::Db;
use crate::demo::{Demo, DemoNode};
use crate::edit::Edit;
use crate::eval::Eval;
use crate::examples::with_examples;
use crate::failure::EXIT_STATUSES;
use crate::log::Log;
use crate::logging::Logging;
use crate::mon::Mon;
use crate::profile::Profile;
use crate::restart::Restart;
use crate::run::Run;
use crate::shell::Shell;
use crate::snd::Snd;
use crate::trace::Trace;

/// Run nodes, talk to networks and edit the configuration.
///
/// Commands that change the configuration can be chained: each takes its arguments, and what is left is the next
/// command. They change the global settings, or after `profile NAME` those of this profile:
///
///     aemp gensecret profile server setnodeid server/ setbinds '*:4040' setseeds seed.example:4040
///
/// An argument that starts with [, { or " is JSON. If the only argument starts with [, it is the list of all arguments.
///
/// The file is $AEMP_RC, else $XDG_CONFIG_HOME/aemp/config.json (~/.config/aemp/config.json); when nothing is there the
/// one of the Perl tool: $PERL_ANYEVENT_MP_RC, else ~/.perl-anyevent-mp.
#[derive(Debug, Parser)]
#[command(name = "aemp", version, verbatim_doc_comment, after_help = EXIT_STATUSES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: Logging,
    /// When to use colours; auto is on a terminal, unless $NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The definition, with an example for each command.
pub(crate) fn command() -> clap::Command {
    with_examples(Cli::command())
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Node(NodeCommand),
    #[command(flatten)]
    Profile(Profile),
    #[command(flatten)]
    Edit(Edit),
    Completions(Completions),
}

/// The commands that make a node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    Run(Run),
    Restart(Restart),
    Snd(Snd),
    Cal(Cal),
    Mon(Mon),
    Db(Db),
    Log(Log),
    Eval(Eval),
    Trace(Trace),
    Shell(Shell),
    Demo(Demo),
    #[command(hide = true)]
    DemoNode(DemoNode),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_a_description() {
        for command in command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
