//! An example for each command, for `--help` and for `docs/cli.md`.
//!
//! A test parses all of them, and finds the commands that have none here and name none in a help
//! text of their own.

use aemp_config::{Key, Shape};
use clap::Command;

/// The name of a command, and how it may be used.
const EXAMPLES: &[(&str, &str)] = &[
    ("snd", "aemp snd 'mynode#port' hello 5 '[1, {\"a\": null}]'"),
    ("cal", "aemp cal mynode time"),
    ("listen", "aemp listen hello --count 1"),
    ("mon", "aemp mon mynode"),
    ("wait", "aemp wait mynode --for up --timeout 30"),
    ("kill", "aemp kill 'mynode#port' stuck 'it does not answer'"),
    ("spawn", "aemp spawn mynode chat::server lobby"),
    ("ping", "aemp ping mynode --count 10"),
    ("follow", "aemp follow resize --count 3"),
    ("latency", "aemp latency mynode othernode"),
    ("nodes", "aemp nodes --wide"),
    ("ports", "aemp ports mynode"),
    ("families", "aemp families -o json"),
    ("top", "aemp top --once --json"),
    ("web", "aemp web 127.0.0.1:0 --allow kill,call"),
    ("explain", "aemp explain monitor_timeout"),
    ("man", "aemp man ~/.local/share/man/man1"),
    ("bench", "aemp bench"),
    ("gather", "aemp gather report.json"),
    ("describe", "aemp describe mynode"),
    ("stats", "aemp stats mynode -o json"),
    ("lost", "aemp lost mynode"),
    ("dump", "aemp dump mynode mynode.jsonl"),
    ("db", "aemp db aemp::echo"),
    ("log", "aemp log warn"),
    ("restart", "aemp restart mynode"),
    ("reload", "aemp reload mynode"),
    ("drain", "aemp drain mynode --limit 60"),
    ("shell", "aemp shell mynode"),
    ("trace", "aemp trace"),
    ("config", "aemp config"),
    ("demo", "aemp demo --workers 4"),
    ("profile", "aemp profile server setnodeid server/ setbinds '*:4040'"),
    ("delprofile", "aemp delprofile server"),
    ("use", "aemp profile remote setseeds seed.example use remote"),
    ("setparent", "aemp profile doomed setparent server"),
    ("delparent", "aemp profile doomed delparent"),
    ("showprofile", "aemp showprofile server"),
    ("showconfig", "aemp showconfig server monitor_timeout 10 force 1"),
    ("setnodeid", "aemp profile server setnodeid server/%n"),
    ("gensecret", "aemp gensecret"),
    ("setsecret", "aemp setsecret 'not a good one'"),
    ("gencert", "aemp gencert"),
    ("setcert", "aemp setcert network.pem"),
    ("setbinds", "aemp profile server setbinds '*:4040'"),
    ("addbind", "aemp profile server addbind '[fd00::1]:4040'"),
    ("delbind", "aemp profile server delbind '*:4040'"),
    ("setadvertise", "aemp profile server setadvertise 203.0.113.7:14040"),
    ("setseeds", "aemp setseeds seed1.example,seed2.example:5000"),
    ("addseed", "aemp addseed seed3.example"),
    ("delseed", "aemp delseed seed3.example"),
    ("setservices", "aemp profile server setservices aemp::echo,aemp::global"),
    ("addservice", "aemp profile server addservice '[\"mymod::start\", 1, 2]'"),
    ("delservice", "aemp profile server delservice aemp::echo"),
    ("setsecure", "aemp profile server setsecure 1"),
    ("setmonitor_timeout", "aemp setmonitor_timeout 10"),
    ("setconnect_interval", "aemp setconnect_interval 2.5"),
    ("setframing_format", "aemp setframing_format aemp1,cbor"),
    ("setauth_offer", "aemp setauth_offer tls_sha3_512"),
    ("setauth_accept", "aemp setauth_accept tls_sha3_512"),
    ("setverify_peeraddr", "aemp profile server setverify_peeraddr off"),
    ("setnodelay", "aemp setnodelay 0"),
    ("setautocork", "aemp setautocork 1"),
    ("setscripts", "aemp profile server setscripts /srv/scripts setservices chat::server::"),
    ("setscript_eval", "aemp profile server setscript_eval 1"),
    ("setscript_limits", "aemp profile server setscript_limits steps=1000000,milliseconds=200"),
    ("setws", "aemp profile web setws 127.0.0.1:4041 setws_clients /etc/aemp/clients.json"),
    ("setws_clients", "aemp profile web setws_clients /etc/aemp/clients.json"),
    ("setmetrics", "aemp profile server setmetrics 127.0.0.1:9464"),
    ("setlog_filter", "aemp profile server setlog_filter info,aemp=debug"),
    ("seteval", "aemp profile perl seteval 'warn \"up\"'"),
];

/// Puts the examples into the help of the commands.
pub(crate) fn with_examples(mut cli: Command) -> Command {
    let names: Vec<String> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        cli = cli.mut_subcommand(&name, |command| match example(&command) {
            Some(example) if !says_one(&command) => {
                let more = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
                command.after_help(format!("{more}Example: {example}"))
            }
            _ => command,
        });
    }
    cli
}

/// How a command may be used.
pub(crate) fn example(command: &Command) -> Option<String> {
    let name = command.get_name();
    let listed = EXAMPLES.iter().find(|(of, _)| *of == name).map(|(_, example)| (*example).to_owned());
    listed.or_else(|| own(command)).or_else(|| {
        // What takes a setting away needs no imagination, and what sets a new one has a value of
        // its shape.
        let set = name.strip_prefix("set").and_then(|key| Key::find(key).ok()).map(|key| match key.shape {
            Shape::Flag => format!("aemp profile server {name} 1"),
            Shape::Seconds => format!("aemp profile server {name} 5"),
            Shape::Bytes => format!("aemp profile server {name} 1048576"),
            Shape::Text | Shape::Secret | Shape::List => format!("aemp profile server {name} TEXT"),
        });
        set.or_else(|| name.strip_prefix("del").map(|_| format!("aemp profile server {name}")))
    })
}

/// The example in a help text, up to the end of its line.
fn own(command: &Command) -> Option<String> {
    let texts = [command.get_after_help(), command.get_long_about(), command.get_about()];
    texts.into_iter().flatten().find_map(|text| {
        let text = text.to_string();
        let (_, example) = text.split_once("Example: ")?;
        example.lines().next().map(str::to_owned)
    })
}

fn says_one(command: &Command) -> bool {
    own(command).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args, chain};

    #[test]
    fn every_command_has_one_that_can_be_parsed() {
        let cli = args::command();
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let example = example(command).unwrap_or_else(|| panic!("{name} has no example"));
            let words = shlex::split(&example).unwrap();
            assert!(words.contains(&name.to_owned()), "{name}: {example}");
            // What goes to a file is the shell's affair.
            let words = words.into_iter().skip(1).take_while(|word| !word.starts_with('>')).collect();
            if let Err(error) = chain::parsed(words) {
                panic!("{name}: {error}");
            }
        }
    }

    #[test]
    fn none_is_for_a_command_that_is_gone() {
        let cli = args::command();
        for (name, _) in EXAMPLES {
            assert!(cli.find_subcommand(name).is_some(), "{name}");
        }
    }

    #[test]
    fn help_shows_it() {
        for name in ["setnodeid", "delbinds", "cal", "run"] {
            let help = args::command().find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert_eq!(help.matches("Example: aemp").count(), 1, "{help}");
        }
    }
}
