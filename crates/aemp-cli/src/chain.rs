//! Several commands on one line: `aemp gensecret profile p setnodeid x`.

use std::process;

use clap::error::ErrorKind;
use clap::{Arg, ColorChoice, Command, FromArgMatches, ValueEnum};
use serde_json::Value as Json;

use crate::args::{self, Cli};
use crate::failure::Failure;

/// Parses all commands of a command line before any of them is run.
///
/// Wrong usage and `--help` end the process here, as clap does it.
pub(crate) fn parse(args: Vec<String>) -> Result<Vec<Cli>, Failure> {
    match try_parse(args)? {
        Ok(commands) => Ok(commands),
        Err(Misfit { error, before }) => {
            // Of a wrong command line the exit status has to be enough, if nobody reads what is
            // wrong; help is what was asked for.
            if let (Err(unwritten), false) = (error.print(), error.use_stderr()) {
                return Err(crate::unwritten(&unwritten));
            }
            if let (ErrorKind::InvalidSubcommand, Some(before)) = (error.kind(), before) {
                eprintln!("\n({before} has all its arguments, so the next command was expected.)");
            }
            process::exit(error.exit_code())
        }
    }
}

/// Why a command could not be parsed, and the name of the one before it.
#[derive(Debug)]
struct Misfit {
    error: clap::Error,
    before: Option<String>,
}

fn try_parse(args: Vec<String>) -> Result<Result<Vec<Cli>, Misfit>, Failure> {
    let args = unpack(args)?;
    let colour = colour(&args);
    let mut before = None;
    let mut commands = Vec::new();
    for Line { general, command } in split(&args) {
        match parse_one(general.iter().chain(&command), colour) {
            Ok(parsed) => commands.push(parsed),
            Err(error) => return Ok(Err(Misfit { error, before })),
        }
        before = command.into_iter().next();
    }
    Ok(Ok(commands))
}

fn parse_one<'a>(words: impl Iterator<Item = &'a String>, colour: ColorChoice) -> Result<Cli, clap::Error> {
    let mut cli = args::command().color(colour);
    let matches = cli.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut cli))
}

/// The commands of a line, or what is wrong with it in words.
#[cfg(test)]
pub(crate) fn parsed(args: Vec<String>) -> Result<Vec<Cli>, String> {
    match try_parse(args) {
        Ok(outcome) => outcome.map_err(|misfit| misfit.error.to_string()),
        Err(failure) => Err(format!("{failure:?}")),
    }
}

/// What `--color` says, before the arguments are parsed: that may go wrong, and an error is
/// coloured too.
fn colour(args: &[String]) -> ColorChoice {
    let value = args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix("--color")? {
        "" => args.get(at + 1).map(String::as_str),
        value => value.strip_prefix('='),
    });
    value.and_then(|value| ColorChoice::from_str(value, false).ok()).unwrap_or(ColorChoice::Auto)
}

/// A single JSON list stands for all arguments, and a text may be written as a JSON string. One
/// that would look like JSON again stays as it is, one whose characters could be bytes, and one
/// that would name the place of a secret: their commands know better.
fn unpack(args: Vec<String>) -> Result<Vec<String>, Failure> {
    let args = match args.as_slice() {
        [only] if only.starts_with('[') => {
            let items: Vec<Json> = serde_json::from_str(only).map_err(|error| {
                Failure::usage(format!("an only argument that starts with [ must be a JSON list: {error}"))
            })?;
            items.into_iter().map(argument).collect()
        }
        _ => args,
    };
    let plain = |arg: String| match serde_json::from_str(&arg) {
        Ok(Json::String(text))
            if arg.starts_with('"') && arg.is_ascii() && text.is_ascii() && !is_place(&text) =>
        {
            argument(Json::String(text))
        }
        _ => arg,
    };
    Ok(args.into_iter().map(plain).collect())
}

/// Whether this is where a secret stands, and not the secret.
fn is_place(text: &str) -> bool {
    text == "-" || text.starts_with('@') || text.starts_with("env:")
}

/// A value in the form in which it would have been written as an argument of its own.
fn argument(item: Json) -> String {
    match item {
        Json::String(text) if !text.starts_with(['[', '{', '"']) => text,
        other => other.to_string(),
    }
}

/// The words of one command.
#[derive(Debug, PartialEq)]
struct Line {
    /// The program, and the options that hold for all commands.
    general: Vec<String>,
    /// The command with what belongs to it.
    command: Vec<String>,
}

/// Cuts the arguments into commands, each with the general options and as many arguments as it
/// takes.
fn split(args: &[String]) -> Vec<Line> {
    let mut cli = args::command();
    cli.build();
    let (options, mut rest) = args.split_at(extent(&cli, &[], args));
    let general: Vec<String> = ["aemp".to_owned()].iter().chain(options).cloned().collect();
    let mut lines = Vec::new();
    loop {
        let taken = rest.split_first().map_or(0, |(name, more)| match cli.find_subcommand(name) {
            Some(command) if !takes_all(command) => {
                1 + extent(command, &command.get_positionals().collect::<Vec<_>>(), more)
            }
            _ => rest.len(),
        });
        let (command, more) = rest.split_at(taken);
        lines.push(Line { general: general.clone(), command: options_first(&cli, command) });
        rest = more;
        if rest.is_empty() {
            return lines;
        }
    }
}

/// Of a command that takes settings, to their end: its options before these, wherever they stand. A
/// value that begins with a dash and is no option of the command stays where it is.
fn options_first(cli: &Command, words: &[String]) -> Vec<String> {
    let takes_settings = |arg: &&Arg| arg.is_trailing_var_arg_set() && !arg.is_allow_hyphen_values_set();
    let command = words.first().and_then(|name| cli.find_subcommand(name));
    let Some(command) = command.filter(|command| command.get_positionals().any(|arg| takes_settings(&arg)))
    else {
        return words.to_vec();
    };
    let (mut options, mut others) = (vec![words[0].clone()], Vec::new());
    let mut words = words[1..].iter();
    while let Some(word) = words.next() {
        match option(command, word).filter(|_| word.starts_with("--") && word.len() > 2) {
            Some(arg) => {
                options.push(word.clone());
                let has_value = arg.get_action().takes_values() && !word.contains('=');
                options.extend(has_value.then(|| words.next().cloned()).flatten());
            }
            None => {
                others.push(word.clone());
                if word == "--" {
                    others.extend(words.by_ref().cloned());
                }
            }
        }
    }
    [options, others].concat()
}

/// Whether nothing can follow a command: it takes any number of arguments, or is `help`.
fn takes_all(command: &Command) -> bool {
    let many = |arg: &Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    command.has_subcommands() || command.get_positionals().any(many)
}

/// How many of these words belong to a command that takes these arguments: they, and options
/// before, between and behind them.
fn extent(command: &Command, positionals: &[&Arg], words: &[String]) -> usize {
    let mut positionals = positionals.iter();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let option = (word.len() > 1 && word.starts_with('-')).then(|| option(command, word));
        let may_be_anything =
            positionals.as_slice().first().is_some_and(|arg| arg.is_allow_hyphen_values_set());
        match option {
            // Something with a dash that is no option of this command.
            Some(None) if may_be_anything => at += usize::from(positionals.next().is_some()),
            Some(None) => at += 1,
            Some(Some(arg)) => at += 1 + usize::from(arg.get_action().takes_values() && !word.contains('=')),
            None if positionals.next().is_some() => at += 1,
            None => break,
        }
    }
    at.min(words.len())
}

/// The option that is written so.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| {
        let long = name.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name));
        long || name
            .strip_prefix('-')
            .is_some_and(|name| arg.get_short().is_some_and(|c| name == c.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(args: &[&str]) -> Vec<Vec<String>> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        split(&args).into_iter().map(|line| [line.general, line.command].concat()).collect()
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
    fn commands_that_make_a_node_can_be_followed_by_others_too() {
        let commands =
            cut(&["mon", "a", "--set", "x=1", "--profile=p", "mon", "b", "--json", "setnodeid", "c"]);
        let expected: [&[&str]; 3] = [
            &["aemp", "mon", "a", "--set", "x=1", "--profile=p"],
            &["aemp", "mon", "b", "--json"],
            &["aemp", "setnodeid", "c"],
        ];
        assert_eq!(commands, expected);
        assert_eq!(cut(&["help", "setnodeid", "x"]).len(), 1);
    }

    #[test]
    fn an_argument_may_start_with_a_dash_where_anything_is_allowed() {
        assert_eq!(cut(&["setsecret", "-x", "gensecret"])[0], ["aemp", "setsecret", "-x"]);
        assert_eq!(cut(&["setsecret", "--help"])[0], ["aemp", "setsecret", "--help"]);
        assert_eq!(cut(&["snd", "a", "-x", "gensecret"]).len(), 1);
    }

    #[test]
    fn options_may_stand_behind_the_settings() {
        let run = |args: &[&str]| cut(&[&["run"], args].concat())[0][1..].join(" ");
        assert_eq!(run(&["nodeid", "a", "--log", "error", "x", "y"]), "run --log error nodeid a x y");
        assert_eq!(run(&["nodeid", "a", "--json", "--log=x"]), "run --json --log=x nodeid a");
        assert_eq!(run(&["secret", "-x", "--", "--json"]), "run secret -x -- --json");
        assert_eq!(run(&["secret", "--nothing"]), "run secret --nothing");
        assert_eq!(cut(&["snd", "a", "--json"])[0][1..], ["snd", "a", "--json"]);
        assert_eq!(cut(&["kill", "a#b", "x", "--yes"])[0][1..], ["kill", "--yes", "a#b", "x"]);
    }

    #[test]
    fn the_colour_is_known_before_the_rest() {
        let colour = |args: &[&str]| colour(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
        assert_eq!(colour(&["--color", "never", "x"]), ColorChoice::Never);
        assert_eq!(colour(&["x", "--color=always"]), ColorChoice::Always);
        assert_eq!(colour(&["--color"]), ColorChoice::Auto);
    }

    #[test]
    fn one_json_list_is_the_whole_command_line() {
        let args = unpack(vec![r#"["setbinds", ["*:4040"], 5, "[x"]"#.into()]).unwrap();
        assert_eq!(args, ["setbinds", r#"["*:4040"]"#, "5", r#""[x""#]);
        assert!(unpack(vec!["[1".into()]).is_err());
    }

    #[test]
    fn every_text_may_be_a_json_string() {
        let args = [r#""setnodeid""#, r#""[x""#, "\"\u{e9}\"", "\"open", "5", r#""-""#, r#""@x""#]
            .map(str::to_owned);
        assert_eq!(
            unpack(args.into()).unwrap(),
            ["setnodeid", r#""[x""#, "\"\u{e9}\"", "\"open", "5", r#""-""#, r#""@x""#]
        );
    }
}
