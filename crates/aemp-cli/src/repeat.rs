//! The same message again and again, or one for each line of stdin, for `snd` and `cal`.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use aemp::{AnyMessage, Value};
use aemp_config::value_from_text;
use anstyle::Style;
use clap::builder::StyledStr;
use clap::{Args, Command};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin, stdin};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::{client, run};

/// The places in texts.
const NUMBER: &str = "{n}";
const LINE: &str = "{line}";

/// Lets the help of commands show `{n}`, which clap takes for a line end: not when a style begins
/// in the middle of it.
pub(crate) fn with_places(mut cli: Command) -> Command {
    let bold = Style::new().bold();
    let shown = |text: &StyledStr| {
        StyledStr::from(text.ansi().to_string().replace(NUMBER, &format!("{{{bold}n{bold:#}}}")))
    };
    // Each of them, as this puts a command at the end of the list.
    let names: Vec<String> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        cli = cli.mut_subcommand(&name, |command| {
            let long = command.get_long_about().map(shown);
            let command = command.mut_args(|argument| match argument.get_help().map(shown) {
                Some(help) => argument.help(help),
                None => argument,
            });
            match long {
                Some(long) => command.long_about(long),
                None => command,
            }
        });
    }
    cli
}

/// How often a message is sent.
#[derive(Debug, Args)]
pub(crate) struct Repeat {
    /// The number of messages; {n} in their texts is the number of each, from 1
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Seconds from one message to the next; the end is --count, the end of stdin, or Ctrl-C
    #[arg(short, long, value_name = "SECONDS", value_parser = client::seconds)]
    interval: Option<Duration>,
    /// Send a message for each line of stdin; {line} in its texts is the line, else the line is
    /// its last value
    #[arg(long)]
    stdin: bool,
}

impl Repeat {
    /// Whether there may be other than one message.
    pub(crate) fn is_used(&self) -> bool {
        self.count.is_some() || self.interval.is_some() || self.stdin
    }

    /// The messages with these values, as they were typed. Without any of the options it is one, as
    /// it is.
    pub(crate) fn messages(&self, arguments: &[String]) -> Result<Messages, Failure> {
        let value =
            |text: &String| match self.is_used() && (text.starts_with(NUMBER) || text.starts_with(LINE)) {
                // A brace in front means JSON otherwise.
                true => Ok(AnyMessage(vec![value_from_text(text)])),
                false => client::message(std::slice::from_ref(text)),
            };
        let values: Result<Vec<AnyMessage>, Failure> = arguments.iter().map(value).collect();
        let template = AnyMessage(values?.into_iter().flat_map(|AnyMessage(values)| values).collect());
        let once = if self.stdin || self.interval.is_some() { None } else { Some(1) };
        let timer = self.interval.filter(|pause| !pause.is_zero()).map(|pause| {
            let mut timer = interval(pause);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        });
        let ending: Pin<Box<dyn Future<Output = ()> + Send>> = match self.is_used() {
            true => Box::pin(run::ending()?),
            false => Box::pin(std::future::pending()),
        };
        Ok(Messages {
            template,
            is_template: self.is_used(),
            left: self.count.or(once),
            number: 0,
            timer,
            lines: self.stdin.then(|| BufReader::new(stdin()).lines()),
            ending,
        })
    }
}

/// Messages that are still to be sent.
pub(crate) struct Messages {
    template: AnyMessage,
    is_template: bool,
    left: Option<u64>,
    number: u64,
    timer: Option<Interval>,
    lines: Option<Lines<BufReader<Stdin>>>,
    /// Told to end, they end as if there were no more.
    ending: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Messages {
    /// How many there were so far.
    pub(crate) fn count(&self) -> u64 {
        self.number
    }

    /// The next message, when it is time for it.
    pub(crate) async fn next(&mut self) -> Result<Option<AnyMessage>, Failure> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let (lines, timer) = (&mut self.lines, &mut self.timer);
        let line = async {
            let line = match lines {
                // There are no lines to end it.
                None => Some(None),
                Some(lines) => lines.next_line().await?.map(Some),
            };
            if let (Some(timer), Some(_)) = (timer, &line) {
                timer.tick().await;
            }
            Ok(line)
        };
        let line: io::Result<_> = tokio::select! {
            biased;
            () = &mut self.ending => Ok(None),
            line = line => line,
        };
        let line = line.map_err(|error| Failure::failed(format!("stdin cannot be read: {error}")))?;
        let Some(line) = line else { return Ok(None) };
        self.left = self.left.map(|left| left - 1);
        self.number += 1;
        let mut message = self.template.clone();
        if self.is_template {
            fill(&mut message, self.number, line.as_deref());
        }
        Ok(Some(message))
    }
}

/// Puts the number, and the line, where the texts of a message have places for them.
fn fill(AnyMessage(values): &mut AnyMessage, number: u64, line: Option<&str>) {
    let number = number.to_string();
    let mut has_line = false;
    values.iter_mut().for_each(|value| has_line |= fill_value(value, &number, line));
    if let (Some(line), false) = (line, has_line) {
        values.push(value_from_text(line));
    }
}

/// The same for one value; says whether the line was put somewhere.
fn fill_value(value: &mut Value, number: &str, line: Option<&str>) -> bool {
    match value {
        Value::Text(_) | Value::Bytes(_) => {
            let Some(text) = value.to_name() else { return false };
            let (filled, has_line) = filled(&text, number, line);
            *value = value_from_text(&filled);
            has_line
        }
        Value::List(items) => {
            items.iter_mut().fold(false, |has_line, item| fill_value(item, number, line) | has_line)
        }
        Value::Map(entries) => entries.iter_mut().fold(false, |has_line, (key, value)| {
            fill_value(key, number, line) | fill_value(value, number, line) | has_line
        }),
        Value::Tag(_, value) => fill_value(value, number, line),
        _ => false,
    }
}

/// A text whose places are filled, from left to right: what is put in is not looked through.
fn filled(text: &str, number: &str, line: Option<&str>) -> (String, bool) {
    let (mut out, mut rest, mut has_line) = (String::new(), text, false);
    while let Some(at) = rest.find('{') {
        let (before, place) = rest.split_at(at);
        out += before;
        let line = line.filter(|_| place.starts_with(LINE));
        rest = match line {
            Some(line) => {
                out += line;
                has_line = true;
                &place[LINE.len()..]
            }
            None if place.starts_with(NUMBER) => {
                out += number;
                &place[NUMBER.len()..]
            }
            None => {
                out.push('{');
                &place[1..]
            }
        };
    }
    (out + rest, has_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(arguments: &[&str]) -> Messages {
        let repeat = Repeat { count: Some(2), interval: Some(Duration::from_millis(1)), stdin: false };
        repeat.messages(&arguments.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn message(arguments: &[&str]) -> AnyMessage {
        client::message(&arguments.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn after(arguments: &[&str], number: u64, line: Option<&str>) -> AnyMessage {
        let mut message = repeated(arguments).template;
        fill(&mut message, number, line);
        message
    }

    #[test]
    fn help_shows_the_places() {
        for name in ["snd", "cal"] {
            let help = crate::args::command().find_subcommand_mut(name).unwrap().render_long_help();
            let help = help.to_string();
            assert!(help.contains("; {n} in their texts is the number of each"), "{help}");
            assert!(help.contains("{line} "), "{help}");
            assert_eq!(help.matches(NUMBER).count(), 2, "{help}");
        }
    }

    #[tokio::test]
    async fn places_are_filled_in_all_texts_and_nothing_else_changes() {
        assert_eq!(after(&["job {n}", "x{", "5"], 7, None), message(&["job 7", "x{", "5"]));
        assert_eq!(
            after(&[r#"[1, {"key {n}": "{line}{line}"}]"#], 2, Some(r#"a "b" {n}"#)),
            message(&[r#"[1, {"key 2": "a \"b\" {n}a \"b\" {n}"}]"#])
        );
        // Without stdin there is no line.
        assert_eq!(after(&["{line}"], 1, None), AnyMessage(vec![Value::name("{line}")]));
    }

    #[tokio::test]
    async fn a_line_without_a_place_is_the_last_value() {
        assert_eq!(after(&["put", "{n}"], 3, Some("5")), message(&["put", "3", "5"]));
        assert_eq!(after(&[], 1, Some("")), message(&[""]));
    }

    #[tokio::test]
    async fn as_many_messages_come_as_were_asked_for() {
        let mut messages = repeated(&["{n}"]);
        assert_eq!(messages.next().await.unwrap(), Some(message(&["1"])));
        assert_eq!(messages.next().await.unwrap(), Some(message(&["2"])));
        assert_eq!((messages.next().await.unwrap(), messages.count()), (None, 2));
        let once = Repeat { count: None, interval: None, stdin: false };
        let mut once = once.messages(&["a {n}".to_owned()]).unwrap();
        assert_eq!(once.next().await.unwrap(), Some(message(&["a {n}"])));
        assert_eq!(once.next().await.unwrap(), None);
    }
}
