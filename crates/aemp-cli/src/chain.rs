//! Several commands on one line: `aemp gensecret profile p setnodeid x`.

use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use serde_json::Value as Json;

use crate::args::{Cli, NodeCommand};
use crate::failure::Failure;

/// Parses all commands of a command line before any of them is run.
///
/// Wrong usage and `--help` end the process here, as clap does it.
pub(crate) fn parse(args: Vec<String>) -> Result<Vec<Cli>, Failure> {
    let args = unpack(args)?;
    Ok(split(&args).into_iter().map(Cli::parse_from).collect())
}

/// A single JSON list stands for all arguments.
fn unpack(args: Vec<String>) -> Result<Vec<String>, Failure> {
    let [only] = args.as_slice() else { return Ok(args) };
    if !only.starts_with('[') {
        return Ok(args);
    }
    let items: Vec<Json> = serde_json::from_str(only).map_err(|error| {
        Failure::usage(format!("an only argument that starts with [ must be a JSON list: {error}"))
    })?;
    Ok(items.into_iter().map(argument).collect())
}

/// A value in the form in which it would have been written as an argument of its own.
fn argument(item: Json) -> String {
    match item {
        Json::String(text) if !text.starts_with(['[', '{', '"']) => text,
        other => other.to_string(),
    }
}

/// Cuts the arguments into commands, each with the general options and as many arguments as it takes.
fn split(args: &[String]) -> Vec<Vec<String>> {
    let cli = Cli::command();
    let is_option = |arg: &String| arg.len() > 1 && arg.starts_with('-');
    let mut general = vec!["aemp".to_owned()];
    let mut rest = args;
    while let Some((option, more)) = rest.split_first().filter(|(option, _)| is_option(option)) {
        let takes_value = cli.get_arguments().any(|arg| {
            matches!(arg.get_action(), ArgAction::Set)
                && arg.get_long().is_some_and(|long| option[1..] == format!("-{long}"))
        });
        let taken = (1 + usize::from(takes_value)).min(rest.len());
        general.extend_from_slice(&rest[..taken]);
        rest = if taken == 1 { more } else { &rest[taken..] };
    }
    let mut commands = Vec::new();
    loop {
        let taken = rest.first().and_then(|name| arity(&cli, name)).map_or(rest.len(), |arity| {
            let end = rest.len().min(1 + arity);
            // Options after the arguments belong to this command: `aemp gensecret --help`.
            end + rest[end..].iter().take_while(|arg| is_option(arg)).count()
        });
        let (command, more) = rest.split_at(taken);
        commands.push(general.iter().chain(command).cloned().collect());
        rest = more;
        if rest.is_empty() {
            return commands;
        }
    }
}

/// How many arguments a command takes; `None` if it takes all that follow, or does not exist.
fn arity(cli: &clap::Command, name: &str) -> Option<usize> {
    let command = cli.find_subcommand(name)?;
    if NodeCommand::has_subcommand(command.get_name()) {
        return None;
    }
    let mut count = 0;
    for argument in command.get_positionals() {
        if argument.get_num_args().is_some_and(|range| range.max_values() > 1) {
            return None;
        }
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(args: &[&str]) -> Vec<Vec<String>> {
        split(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_command_takes_its_arguments() {
        let commands =
            cut(&["--log", "debug", "gensecret", "profile", "p", "binds", "4040,4041", "nodeid", "anon/"]);
        let expected: [&[&str]; 4] =
            [&["gensecret"], &["profile", "p"], &["binds", "4040,4041"], &["nodeid", "anon/"]];
        for (command, expected) in commands.iter().zip(expected) {
            assert_eq!(command[..3], ["aemp", "--log", "debug"]);
            assert_eq!(command[3..], *expected);
        }
        assert_eq!(commands.len(), 4);
    }

    #[test]
    fn commands_of_any_length_take_all() {
        assert_eq!(cut(&["delnodeid", "snd", "a", "delnodeid"])[1], ["aemp", "snd", "a", "delnodeid"]);
        assert_eq!(cut(&["run", "nodeid", "a"]).len(), 1);
        assert_eq!(cut(&["db", "--set", "nodeid=a", "b"]).len(), 1);
        assert_eq!(cut(&["nonsense", "nodeid", "a"]).len(), 1);
        assert_eq!(cut(&[]), [["aemp"]]);
    }

    #[test]
    fn options_after_the_arguments_stay_with_their_command() {
        assert_eq!(cut(&["gensecret", "--help"]), [["aemp", "gensecret", "--help"]]);
        assert_eq!(cut(&["--log=x", "delcert", "delcert"]).len(), 2);
    }

    #[test]
    fn one_json_list_is_the_whole_command_line() {
        let args = unpack(vec![r#"["setbinds", ["*:4040"], 5, "[x"]"#.into()]).unwrap();
        assert_eq!(args, ["setbinds", r#"["*:4040"]"#, "5", r#""[x""#]);
        assert!(unpack(vec!["[1".into()]).is_err());
    }
}
