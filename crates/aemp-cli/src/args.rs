//! The command line, defined once: it yields the parser, the help and the way commands are chained.

use clap::{ColorChoice, CommandFactory, Parser, Subcommand};

use crate::cal::Cal;
use crate::check::Check;
use crate::completions::Completions;
use crate::db::Db;
use crate::demo::{Demo, DemoNode};
use crate::doctor::Doctor;
use crate::edit::Edit;
use crate::eval::Eval;
use crate::examples::with_examples;
use crate::failure::EXIT_STATUSES;
use crate::gather::Gather;
use crate::inspect::Inspect;
use crate::kill::{Kill, Spawn};
use crate::listen::Listen;
use crate::log::Log;
use crate::logging::Logging;
use crate::mon::Mon;
use crate::overview::{Config, with_overview};
use crate::ping::{Latency, Ping};
use crate::profile::Profile;
use crate::restart::Restart;
use crate::run::Run;
use crate::shell::Shell;
use crate::snd::Snd;
use crate::trace::Trace;
use crate::wait::Wait;

/// Run nodes, talk to networks and edit the configuration
#[derive(Debug, Parser)]
#[command(name = "aemp", version, after_help = EXIT_STATUSES)]
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

/// The definition, with an example for each command, and the commands in groups.
pub(crate) fn command() -> clap::Command {
    with_overview(with_examples(Cli::command()))
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
    Config(Config),
    Completions(Completions),
}

/// The commands that make a node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    Run(Run),
    Restart(Restart),
    Snd(Snd),
    Cal(Cal),
    Listen(Listen),
    Mon(Mon),
    Wait(Wait),
    Kill(Kill),
    Spawn(Spawn),
    Ping(Ping),
    Latency(Latency),
    #[command(flatten)]
    Inspect(Inspect),
    Check(Check),
    Doctor(Doctor),
    Gather(Gather),
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
