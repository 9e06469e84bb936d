//! The command line, defined once: it yields the parser, the help and the way commands are chained.

use clap::builder::FalseyValueParser;
use clap::{ArgAction, ColorChoice, CommandFactory, Parser, Subcommand};

use crate::bench::Bench;
use crate::cal::Cal;
use crate::check::Check;
use crate::completions::Completions;
use crate::db::Db;
use crate::demo::{Demo, DemoNode};
use crate::doctor::Doctor;
use crate::drain::Drain;
use crate::dump::Dump;
use crate::edit::Edit;
use crate::eval::Eval;
use crate::examples::with_examples;
use crate::explain::Explain;
use crate::failure::EXIT_STATUSES;
use crate::follow::Follow;
use crate::gather::Gather;
use crate::inspect::Inspect;
use crate::kill::{Kill, Spawn};
use crate::listen::Listen;
use crate::log::Log;
use crate::logging::{self, Logging};
use crate::man::Manual;
use crate::mon::Mon;
use crate::names::CompleteNames;
use crate::overview::{Config, with_overview};
use crate::ping::{Latency, Ping};
use crate::profile::Profile;
use crate::reload::Reload;
use crate::repeat::with_places;
use crate::restart::Restart;
use crate::run::Run;
use crate::shell::Shell;
use crate::snd::Snd;
use crate::top::Top;
use crate::trace::Trace;
use crate::wait::Wait;
use crate::web::Web;

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
    /// Refuse what sends, kills, spawns, evaluates or changes the database
    #[arg(
        long,
        global = true,
        env = "AEMP_READ_ONLY",
        action = ArgAction::SetTrue,
        value_parser = FalseyValueParser::new()
    )]
    pub(crate) read_only: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The definition, with an example for each command, and the commands in groups.
pub(crate) fn command() -> clap::Command {
    with_overview(with_places(with_examples(Cli::command())))
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
    Explain(Explain),
    #[command(name = "man")]
    Manual(Manual),
}

/// The commands that make a node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    Run(Run),
    Restart(Restart),
    Reload(Reload),
    Drain(Drain),
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
    Top(Top),
    Web(Web),
    Check(Check),
    Doctor(Doctor),
    Gather(Gather),
    Dump(Dump),
    Db(Db),
    Log(Log),
    Eval(Eval),
    Trace(Trace),
    Follow(Follow),
    Shell(Shell),
    Demo(Demo),
    Bench(Bench),
    #[command(hide = true)]
    DemoNode(DemoNode),
    #[command(hide = true)]
    CompleteNames(CompleteNames),
}

impl NodeCommand {
    /// The name of a command that does something to the network, rather than look at it.
    pub(crate) fn acting(&self) -> Option<&'static str> {
        match self {
            NodeCommand::Restart(_) => Some("restart"),
            NodeCommand::Reload(_) => Some("reload"),
            NodeCommand::Drain(_) => Some("drain"),
            NodeCommand::Snd(_) => Some("snd"),
            NodeCommand::Cal(_) => Some("cal"),
            NodeCommand::Listen(listen) => listen.acts().then_some("listen with --family, --reply or --echo"),
            NodeCommand::Kill(_) => Some("kill"),
            NodeCommand::Spawn(_) => Some("spawn"),
            NodeCommand::Eval(_) => Some("eval"),
            NodeCommand::Shell(_) => Some("shell"),
            // It has nodes look at their messages.
            NodeCommand::Follow(_) => Some("follow"),
            NodeCommand::Web(web) => web.acts().then_some("web --allow"),
            NodeCommand::Run(_)
            | NodeCommand::Mon(_)
            | NodeCommand::Wait(_)
            | NodeCommand::Ping(_)
            | NodeCommand::Latency(_)
            | NodeCommand::Inspect(_)
            | NodeCommand::Top(_)
            | NodeCommand::Check(_)
            | NodeCommand::Doctor(_)
            | NodeCommand::Gather(_)
            | NodeCommand::Dump(_)
            | NodeCommand::Db(_)
            | NodeCommand::Log(_)
            | NodeCommand::Trace(_)
            | NodeCommand::Demo(_)
            | NodeCommand::Bench(_)
            | NodeCommand::DemoNode(_)
            | NodeCommand::CompleteNames(_) => None,
        }
    }

    /// What is logged unless something else is asked for.
    pub(crate) fn logs(&self) -> &'static str {
        match self {
            NodeCommand::Run(_) => logging::OF_NODES,
            NodeCommand::Top(top) => top.logs(),
            // That the node is away for a moment is what was asked for.
            NodeCommand::Restart(_) | NodeCommand::Drain(_) => "error",
            // What is proposed is no place for them.
            NodeCommand::CompleteNames(_) => "off",
            _ => logging::OF_COMMANDS,
        }
    }
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
