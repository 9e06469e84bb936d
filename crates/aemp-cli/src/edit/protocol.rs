//! `setsecure`, `setmonitor_timeout` and so on: a `set` and a `del` command for each setting that
//! has no file of its own here.

use aemp_config::{KEYS, Key, Shape, parse_argument};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, FromArgMatches, Subcommand};

use super::Operation;
use crate::failure::Failure;

/// Settings that have commands of their own.
const OTHERS: [&str; 6] = ["nodeid", "secret", "cert", "binds", "seeds", "services"];

/// A setting: its key, what its value is called and may be, and what the `set` command does.
#[derive(Debug, Clone, Copy)]
struct Setting {
    key: &'static str,
    value: &'static str,
    values: &'static str,
    about: &'static str,
}

/// What the Perl tool calls a setting so that the command is not taken for another one.
const WITHOUT_ALIAS: &str = "eval";

const METHODS: &str = "out of tls_sha3_512,hmac_sha3_512,tls_anon,cleartext";

#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    Setting { key: "secure", value: "FLAG", values: "1 or 0",
        about: "Set whether other nodes are refused to run registered functions here" },
    Setting { key: "advertise", value: "ADDRESSES", values: "HOST:PORT,… or a JSON list; `*` is every address of this machine, and without a port the one that the node listens on",
        about: "Set the addresses that other nodes are told to dial, where they differ from those that the node listens on" },
    Setting { key: "behind_nat", value: "FLAG", values: "1 or 0",
        about: "Set whether other nodes cannot dial this one, so that it is reached through a global node" },
    Setting { key: "relay", value: "FLAG", values: "1 or 0; 1 where it is not set",
        about: "Set whether this node relays the connections of nodes that cannot be dialled" },
    Setting { key: "monitor_timeout", value: "SECONDS", values: "30 where it is not set",
        about: "Set how long a node may be silent, or take to be reached, before its monitors fire" },
    Setting { key: "connect_interval", value: "SECONDS", values: "a third of monitor_timeout where it is not set",
        about: "Set how long an attempt to connect to a node may take" },
    Setting { key: "framing_format", value: "LIST", values: "out of aemp1,cbor,json",
        about: "Set the framings to offer, best first" },
    Setting { key: "auth_offer", value: "LIST", values: METHODS,
        about: "Set the authentication methods that this node uses, best first" },
    Setting { key: "auth_accept", value: "LIST", values: METHODS,
        about: "Set the authentication methods that this node accepts, best first" },
    Setting { key: "verify_peeraddr", value: "MODE", values: "auto, strict, warn or off",
        about: "Set what happens when a peer sees this node under a foreign address (address translation, or a relay)" },
    Setting { key: "nodelay", value: "FLAG", values: "1 or 0; 1 where it is not set",
        about: "Set whether small messages are sent at once (TCP_NODELAY)" },
    Setting { key: "eval", value: "CODE", values: "Perl code",
        about: "Set the code that Perl nodes run when they start; it has no effect here" },
    Setting { key: "autocork", value: "FLAG", values: "1 or 0",
        about: "Set whether Perl nodes collect small writes; it has no effect here" },
    Setting { key: "scripts", value: "FOLDERS", values: "separated by commas",
        about: "Set the folders in which functions that are not registered are looked for, in scripts" },
    Setting { key: "script_eval", value: "FLAG", values: "1 or 0",
        about: "Set whether other nodes can have code evaluated here" },
    Setting { key: "script_limits", value: "LIST", values: "NAME=NUMBER,… for steps, milliseconds, depth and others",
        about: "Set limits of scripts that differ from the defaults" },
    Setting { key: "ws", value: "ADDRESS", values: "HOST:PORT",
        about: "Set the address of a WebSocket gateway, for clients that are not members of the network" },
    Setting { key: "ws_clients", value: "FILE", values: "JSON: who the clients of the gateway are, and what they may do",
        about: "Set the file with the rules of the gateway" },
    Setting { key: "metrics", value: "ADDRESS", values: "HOST:PORT; loopback, or a network that you trust",
        about: "Set the address at which a monitoring system finds /metrics, /ready and /alive" },
    Setting { key: "recorder", value: "BYTES", values: "65536 where it is not set, 64 MiB at most; 0: it is off",
        about: "Set how much memory the flight recorder has, which tells what happened before a fault" },
    Setting { key: "log_filter", value: "FILTER", values: "as for --log, which wins over it",
        about: "Set what `aemp run` logs, and from which modules" },
];

/// How nodes talk to each other.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// `set…`, with the argument as it was typed.
    Set(&'static str, String),
    /// `del…`
    Unset(&'static str),
}

impl Protocol {
    pub(super) fn operation(self) -> Result<Operation, Failure> {
        Ok(match self {
            Protocol::Set(key, text) => Operation::Set(key, parse_argument(&text)?),
            Protocol::Unset(key) => Operation::Unset(key),
        })
    }
}

/// All settings: those above, and what else the library knows.
fn settings() -> impl Iterator<Item = Setting> {
    let described = |name: &str| SETTINGS.iter().any(|setting| setting.key == name);
    let rest = KEYS.iter().filter(move |key| !OTHERS.contains(&key.name) && !described(key.name));
    SETTINGS.iter().copied().chain(rest.map(undescribed))
}

/// A setting about which nothing is said but its shape.
fn undescribed(key: &Key) -> Setting {
    let (value, values) = match key.shape {
        Shape::Text | Shape::Secret => ("TEXT", "a text"),
        Shape::Flag => ("FLAG", "1 or 0"),
        Shape::Seconds => ("SECONDS", "a number of seconds, a day at most"),
        Shape::Bytes => ("BYTES", "a number of bytes"),
        Shape::List => ("LIST", "a JSON list, or texts with commas between them"),
    };
    Setting { key: key.name, value, values, about: "" }
}

/// The key of a command `set…` or `del…`.
fn key_of(command: &str, prefix: &str) -> Option<&'static str> {
    let name = command.strip_prefix(prefix)?;
    settings().map(|setting| setting.key).find(|key| *key == name)
}

impl FromArgMatches for Protocol {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Protocol, clap::Error> {
        let unknown = || clap::Error::new(ErrorKind::InvalidSubcommand);
        let (command, arguments) = matches.subcommand().ok_or_else(unknown)?;
        if let Some(key) = key_of(command, "del") {
            return Ok(Protocol::Unset(key));
        }
        let key = key_of(command, "set").ok_or_else(unknown)?;
        let text = arguments.get_one::<String>("value").cloned();
        Ok(Protocol::Set(key, text.ok_or_else(|| clap::Error::new(ErrorKind::MissingRequiredArgument))?))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Protocol::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Protocol {
    fn augment_subcommands(mut command: Command) -> Command {
        for setting in settings() {
            let value = Arg::new("value").value_name(setting.value).help(setting.values).required(true);
            let about = match setting.about {
                "" => format!("Set {}", setting.key),
                about => about.to_owned(),
            };
            let mut set = Command::new(format!("set{}", setting.key)).about(about).arg(value);
            if setting.key != WITHOUT_ALIAS {
                set = set.visible_alias(setting.key);
            }
            let mut del = Command::new(format!("del{}", setting.key))
                .about(format!("Remove {}, so that it is inherited", setting.key));
            for old in Key::find(setting.key).into_iter().flat_map(Key::old_names) {
                set = set.aliases([format!("set{old}"), old.to_owned()]);
                del = del.alias(format!("del{old}"));
            }
            command = command.subcommand(set).subcommand(del);
        }
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Protocol::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        key_of(name, "set").or_else(|| key_of(name, "del")).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn every_key_that_is_known_has_its_commands_and_no_other() {
        let cli = args::command();
        for key in KEYS {
            for prefix in ["set", "del"] {
                assert!(
                    cli.find_subcommand(format!("{prefix}{}", key.name)).is_some(),
                    "{prefix}{}",
                    key.name
                );
            }
        }
        for setting in SETTINGS {
            assert!(Key::find(setting.key).is_ok(), "{}", setting.key);
        }
    }

    #[test]
    fn the_old_names_of_settings_are_commands_too() {
        let cli = args::command();
        for (old, now) in [("private", "behind_nat"), ("carry", "relay")] {
            for (command, canonical) in [
                (format!("set{old}"), format!("set{now}")),
                (format!("del{old}"), format!("del{now}")),
                (old.into(), format!("set{now}")),
            ] {
                assert_eq!(
                    cli.find_subcommand(&command).map(Command::get_name),
                    Some(&*canonical),
                    "{command}"
                );
            }
        }
    }

    #[test]
    fn a_new_key_has_a_description_made_of_its_shape() {
        let new = undescribed(&Key { name: "new", shape: Shape::Flag });
        assert_eq!((new.key, new.value, new.values), ("new", "FLAG", "1 or 0"));
    }
}
