//! The `aemp` command: run nodes, talk to networks, edit the configuration.
//!
//! One file a command, or a group of commands that do the same to different things. `args` defines
//! the command line, `chain` cuts it into commands, `session` holds the configuration file while
//! they work on it, and `failure` says what the exit statuses mean. Start reading at [`main`];
//! `run` is the command that makes a node, `demo` the one that shows what a network of them does.

#[cfg(not(unix))]
compile_error!(
    "the `aemp` command needs a Unix: it starts and signals processes; the library `aemp` does not"
);

mod args;
mod bench;
mod cal;
mod chain;
mod check;
mod client;
mod completions;
mod condition;
mod db;
mod demo;
mod descriptors;
mod doctor;
#[cfg(test)]
mod document;
mod drain;
mod dump;
mod edit;
mod eval;
mod examples;
mod explain;
mod failure;
mod follow;
mod gate;
mod gather;
#[cfg(any(feature = "metrics", feature = "web"))]
mod http;
mod inspect;
mod kill;
mod listen;
mod log;
mod logging;
mod man;
#[cfg(feature = "scripts")]
mod memory;
mod metrics;
mod mon;
mod names;
mod notify;
mod order;
mod output;
mod overview;
mod ping;
mod profile;
mod reload;
mod repeat;
mod restart;
mod run;
mod scripts;
mod services;
mod session;
mod shell;
mod snd;
mod top;
mod trace;
mod values;
mod wait;
mod watchdog;
mod web;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use args::{Cli, Command, NodeCommand};
use clap::ColorChoice;
use failure::Failure;
use logging::Logging;
use session::Session;

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match chain::parse(args).and_then(run_all) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs the commands in their order. The configuration is written before a node is started, and at
/// the end; not at all if a command before that fails.
fn run_all(commands: Vec<Cli>) -> Result<(), Failure> {
    let mut session = Session::default();
    refuse_if_read_only(&commands)?;
    if let Some(Cli { logging, color, command, .. }) = commands.first() {
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        logging.start(match command {
            Command::Node(command) => command.logs(),
            _ => logging::OF_COMMANDS,
        })?;
    }
    for Cli { logging, command, read_only, .. } in commands {
        match command {
            Command::Edit(edit) => edit.run(&mut session)?,
            Command::Profile(profile) => profile.run(&mut session)?,
            Command::Config(config) => config.run()?,
            Command::Completions(completions) => completions.run()?,
            Command::Explain(explain) => explain.run()?,
            Command::Manual(manual) => manual.run()?,
            Command::Node(command) => {
                session.save()?;
                run_node_command(command, &logging, read_only)?;
            }
        }
    }
    session.save()
}

/// Fails before the first command is run if one of them would do something to the network.
fn refuse_if_read_only(commands: &[Cli]) -> Result<(), Failure> {
    let acting = commands.iter().filter(|cli| cli.read_only).find_map(|cli| match &cli.command {
        Command::Node(command) => command.acting(),
        _ => None,
    });
    acting.map_or(Ok(()), |name| {
        Err(Failure::failed(format!("{name} is refused, for --read-only (or $AEMP_READ_ONLY) is set")))
    })
}

/// Scripts may need so much; with less each call into one would have to get a stack of its own.
/// What is not used costs nothing.
const THREAD_STACK: usize = 20 << 20;

fn run_node_command(command: NodeCommand, logging: &Logging, read_only: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK)
        .build()
        .map_err(|error| Failure::failed(format!("the threads of the runtime cannot be started: {error}")))?;
    let outcome = runtime.block_on(async {
        match command {
            NodeCommand::Run(run) => run.run(logging).await,
            NodeCommand::Restart(restart) => restart.run().await,
            NodeCommand::Reload(reload) => reload.run().await,
            NodeCommand::Drain(drain) => drain.run().await,
            NodeCommand::Snd(snd) => snd.run().await,
            NodeCommand::Cal(cal) => cal.run().await,
            NodeCommand::Listen(listen) => listen.run().await,
            NodeCommand::Mon(mon) => mon.run().await,
            NodeCommand::Wait(wait) => wait.run().await,
            NodeCommand::Kill(kill) => kill.run().await,
            NodeCommand::Spawn(spawn) => spawn.run().await,
            NodeCommand::Ping(ping) => ping.run().await,
            NodeCommand::Latency(latency) => latency.run().await,
            NodeCommand::Inspect(inspect) => inspect.run().await,
            NodeCommand::Top(top) => top.run(read_only).await,
            NodeCommand::Web(web) => web.run().await,
            NodeCommand::Check(check) => check.run().await,
            NodeCommand::Doctor(doctor) => doctor.run().await,
            NodeCommand::Gather(gather) => gather.run().await,
            NodeCommand::Dump(dump) => dump.run().await,
            NodeCommand::Db(db) => db.run().await,
            NodeCommand::Log(log) => log.run().await,
            NodeCommand::Eval(eval) => eval.run().await,
            NodeCommand::Trace(trace) => trace.run().await,
            NodeCommand::Follow(follow) => follow.run().await,
            NodeCommand::Shell(shell) => shell.run().await,
            NodeCommand::Demo(demo) => demo.run(logging).await,
            NodeCommand::Bench(bench) => bench.run().await,
            NodeCommand::DemoNode(node) => node.run().await,
            NodeCommand::CompleteNames(names) => names.run().await,
        }
    });
    // Nothing that is left is worth waiting for: the commands have shut their nodes down.
    runtime.shutdown_background();
    outcome
}

/// Prints a line on stdout.
fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| unwritten(&error))
}

/// Stdout could not be written.
fn unwritten(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::unread(),
        _ => Failure::failed(format!("stdout cannot be written: {error}")),
    }
}
