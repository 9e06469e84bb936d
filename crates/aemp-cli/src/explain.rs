//! `aemp explain`: what a setting, or a word that nodes print, means.
//!
//! What is said of a setting is what its `set` command says: here is only what no command needs.

use std::collections::BTreeMap;

use aemp_config::{Arguments, Host, KEYS, Key, Shape, effective};
use clap::{Args, Command};
use serde_json::{Map, Value as Json, json};

use crate::args;
use crate::examples::example;
use crate::failure::Failure;
use crate::inspect::known::proposal;
use crate::output::shown;
use crate::values::json_text;

/// Settings that the Perl tool has as well.
const OF_PERL: [&str; 15] = [
    "nodeid",
    "secret",
    "cert",
    "binds",
    "seeds",
    "services",
    "secure",
    "monitor_timeout",
    "connect_interval",
    "framing_format",
    "auth_offer",
    "auth_accept",
    "autocork",
    "nodelay",
    "eval",
];

/// What a port can die of, besides what programs say, and what a message can be lost of: the first
/// value of the reason.
#[rustfmt::skip]
const REASONS: &[(&str, &str)] = &[
    ("bad_message", "a message had a tag that the port knows, and other values than it takes: sender and port differ in version or type"),
    ("bad_reason", "a port died of something that could not be sent to this node as it is; the text says why"),
    ("connection_lost", "a message that waited for a connection was lost with it, or because none could be made"),
    ("die", "code that ran in the port failed; the text is its error"),
    ("gated", "a message was sent after an earlier one was lost, before the monitors of the port had told of that"),
    ("killed", "`aemp kill` or `aemp top` has killed the port without another reason"),
    ("limit", "a limit of the node was reached; the text says which"),
    ("mailbox_full", "more waited in the mailbox of the port than it may hold: it is too slow, or its senders do not wait (`ready`)"),
    ("no_such_port", "there is no port with this ID: it has died, or never existed"),
    ("queue_full", "a message was sent when the queue for its node had passed its limit: the node does not read, or senders do not wait (`ready`)"),
    ("reason_too_large", "a port died of something that is too large to be sent; its beginning is in the text"),
    ("refused", "a stream was asked for that the node does not give; the text says why"),
    ("restart_limit", "children of a supervisor died more often than it may restart them"),
    ("shutdown", "a supervisor has stopped the port, or its node has ended"),
    ("spawn_refused", "the node made no port: it does not know the function, is in secure mode, or has reached a limit"),
    ("transport_error", "the connection to the node of the port was lost or could not be made; messages may be lost; the text says why"),
    ("unhandled_message", "a message had a tag that the port does not know"),
];

/// Explain a setting, or the first word of the reason of which a port has died
///
/// Without NAME all names are listed. The values in force are shown by `aemp showconfig`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A setting, such as monitor_timeout, or a reason, such as mailbox_full
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Some(name) = self.name else { return self.list() };
        let explained = match (Key::find(&name), REASONS.iter().find(|(reason, _)| *reason == name)) {
            (Ok(key), _) => of_setting(key),
            (Err(_), Some((reason, about))) => {
                vec![("reason", json!(reason)), ("about", json!(about))]
            }
            (Err(_), None) => {
                let names: Vec<String> = names().map(str::to_owned).collect();
                let like = proposal(&name, names.iter());
                return Err(Failure::usage(format!("{name}: there is no such setting or reason{like}")));
            }
        };
        if self.json {
            let object: Map<String, Json> =
                explained.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            return crate::print(&json_text(&Json::Object(object)));
        }
        let line = |(name, value): (&str, Json)| format!("{name:<10} {}", shown(&value));
        crate::print(&explained.into_iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    fn list(&self) -> Result<(), Failure> {
        let (settings, reasons): (Vec<_>, Vec<_>) =
            (KEYS.iter().map(|key| key.name).collect(), REASONS.iter().map(|(name, _)| *name).collect());
        crate::print(&match self.json {
            true => json!({"settings": settings, "reasons": reasons}).to_string(),
            false => format!("settings   {}\nreasons    {}", settings.join(" "), reasons.join(" ")),
        })
    }
}

/// All that can be explained.
fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name).chain(REASONS.iter().map(|(name, _)| *name))
}

fn of_setting(key: Key) -> Vec<(&'static str, Json)> {
    let cli = args::command();
    let set = cli.find_subcommand(format!("set{}", key.name));
    let about = set.and_then(Command::get_about).map(ToString::to_string).unwrap_or_default();
    let value = set.and_then(|set| set.get_positionals().next()?.get_help()).map(ToString::to_string);
    let form = match key.shape {
        Shape::Text => "a text",
        Shape::Secret => "a text, which is never shown",
        Shape::Flag => "1 or 0",
        Shape::Seconds => "a number of seconds",
        Shape::Bytes => "a number of bytes",
        Shape::List => "a JSON list, or texts separated by commas",
    };
    let mut lines = vec![("setting", json!(key.name)), ("about", json!(about)), ("form", json!(form))];
    lines.extend(
        value
            .filter(|value| value != form && key.shape != Shape::Seconds)
            .map(|value| ("value", json!(value))),
    );
    lines.extend(key.bounds().map(|bounds| {
        let (least, most) = (bounds.start().as_secs_f64(), bounds.end().as_secs_f64());
        ("limits", json!(format!("from {least} to {most} seconds")))
    }));
    lines.extend(defaults().remove(key.name).map(|default| ("default", default)));
    let former: Vec<&str> = key.old_names().collect();
    lines.extend((!former.is_empty()).then(|| ("formerly", json!(former))));
    let of_perl = match OF_PERL.contains(&key.name) {
        true => "the same name",
        false => "not known there, and kept in the file",
    };
    lines.push(("perl", json!(of_perl)));
    lines.extend(set.and_then(example).map(|example| ("example", json!(example))));
    lines
}

/// What holds where nothing is set.
fn defaults() -> BTreeMap<String, Json> {
    let nowhere = Host { name: "localhost".into(), addresses: Vec::new() };
    let settings = effective(None, &Arguments::default(), &nowhere).map(|effective| effective.settings);
    settings.unwrap_or_default().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(name: &str) -> BTreeMap<&'static str, String> {
        let lines = of_setting(Key::find(name).unwrap());
        lines.into_iter().map(|(name, value)| (name, shown(&value))).collect()
    }

    #[test]
    fn every_setting_is_explained_by_its_command() {
        for key in KEYS {
            let lines = explained(key.name);
            assert!(lines["about"].len() > 20, "{lines:?}");
            assert!(lines["example"].starts_with("aemp "), "{lines:?}");
        }
        for name in OF_PERL {
            assert!(Key::find(name).is_ok_and(|key| key.name == name), "{name}");
        }
    }

    #[test]
    fn defaults_and_limits_are_those_in_force() {
        let timeout = explained("monitor_timeout");
        assert_eq!((&*timeout["default"], &*timeout["limits"]), ("30", "from 2 to 86400 seconds"));
        assert_eq!(explained("framing_format")["default"], "aemp1 cbor json");
        assert_eq!(explained("carry")["formerly"], "carry");
        assert!(!explained("nodeid").contains_key("default"));
    }

    #[test]
    fn reasons_are_in_order_and_no_setting_has_their_names() {
        assert!(REASONS.is_sorted_by_key(|(name, _)| *name));
        assert!(REASONS.iter().all(|(name, _)| Key::find(name).is_err()));
    }
}
