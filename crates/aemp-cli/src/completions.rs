//! `aemp completions`: a script that lets a shell complete commands, options and names.

use std::fmt::Write as _;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::args;
use crate::failure::Failure;
use crate::names::Kind;

/// Print a script that lets a shell complete commands, options and names
///
/// Names of nodes, ports, families and profiles are those that there are at that moment; bash, zsh
/// and fish ask for them. In a chain of commands only the first one is completed.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aemp completions bash >~/.local/share/bash-completion/completions/aemp
  zsh:  aemp completions zsh >~/.zfunc/_aemp   (with fpath+=~/.zfunc before compinit in ~/.zshrc)
  fish: aemp completions fish >~/.config/fish/completions/aemp.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        crate::print(script(self.shell).trim_end())
    }
}

fn script(shell: Shell) -> String {
    let all = args::command();
    // Hidden commands are for nobody to type.
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut cli = Command::new("aemp").args(all.get_arguments().cloned()).subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli, "aemp", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + &for_bash(&cli),
        Shell::Zsh => for_zsh(script),
        Shell::Fish => script + &for_fish(&cli),
        _ => script,
    }
}

/// Commands and what they name.
fn named(cli: &Command) -> impl Iterator<Item = (&str, String)> {
    let named = |command: &&Command| Kind::of(command).is_some();
    let kind = |command: &Command| Kind::of(command).map(Kind::name).unwrap_or_default();
    cli.get_subcommands().filter(named).map(move |command| (command.get_name(), kind(command)))
}

/// For bash a word ends at a colon as well, which names have: what is before the last one is not
/// replaced.
const BASH: &str = r#"
_aemp_names() {
    _aemp "$@"
    local kind typed=${COMP_LINE:0:COMP_POINT} name
    [[ $COMP_CWORD -ge 2 && ${COMP_WORDS[COMP_CWORD]} != -* ]] || return 0
    case ${COMP_WORDS[1]} in
KINDS        *) return 0 ;;
    esac
    COMPREPLY=()
    typed=${typed##* }
    local before=
    [[ $COMP_WORDBREAKS != *:* ]] || before=${typed%"${typed##*:}"}
    while IFS= read -r name; do
        [[ $name == "$typed"* ]] && COMPREPLY+=("${name#"$before"}")
    done < <(aemp complete-names --timeout 1.5 "$kind" 2>/dev/null)
}
complete -F _aemp_names -o nosort -o bashdefault -o default aemp
"#;

fn for_bash(cli: &Command) -> String {
    let kinds = named(cli).fold(String::new(), |mut kinds, (command, kind)| {
        let _ = writeln!(kinds, "        {command}) kind={kind} ;;");
        kinds
    });
    BASH.replace("KINDS", &kinds)
}

fn for_fish(cli: &Command) -> String {
    named(cli).fold(String::new(), |mut lines, (command, kind)| {
        let _ = writeln!(
            lines,
            "complete -c aemp -n \"__fish_aemp_using_subcommand {command}\" -f -a \"(aemp complete-names --timeout 1.5 {kind} 2>/dev/null)\""
        );
        lines
    })
}

const ZSH: &str = r#"
_aemp_names() {
    local -a names
    names=(${(f)"$(aemp complete-names --timeout 1.5 $1 2>/dev/null)"})
    compadd -a names
}
"#;

/// In this script the arguments stand below the commands that they are of.
fn for_zsh(script: String) -> String {
    let cli = args::command();
    let mut out = String::new();
    let mut kind = None;
    for line in script.lines() {
        if let Some(name) = line.trim().strip_prefix('(').and_then(|line| line.strip_suffix(')')) {
            kind = cli.find_subcommand(name).and_then(Kind::of);
        }
        // The first arguments: those behind them are values.
        let is_named = ["':node ", "'::node ", "':port ", "':name ", "'::name ", "':family ", "':a ", "':b "]
            .iter()
            .any(|start| line.starts_with(start));
        let line = match kind.filter(|_| is_named) {
            Some(kind) => line.replace(":_default'", &format!(": _aemp_names {}'", kind.name())),
            None => line.to_owned(),
        };
        if line.starts_with("_aemp() {") {
            out += ZSH.trim_start();
        }
        out += &line;
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_that_can_asks_for_the_names_of_what_a_command_takes() {
        let cli = args::command();
        let kinds: Vec<_> = named(&cli).collect();
        for expected in [("stats", "nodes"), ("snd", "ports"), ("db", "families"), ("use", "profiles")] {
            assert!(kinds.iter().any(|(name, kind)| (*name, &**kind) == expected), "{expected:?}");
        }
        assert!(!kinds.iter().any(|(name, _)| *name == "explain"));
        assert!(script(Shell::Bash).contains("        stats) kind=nodes ;;"));
        assert!(
            script(Shell::Fish)
                .contains("subcommand db\" -f -a \"(aemp complete-names --timeout 1.5 families")
        );
        let zsh = script(Shell::Zsh);
        for expected in
            ["':node -- The node: _aemp_names nodes'", ": _aemp_names ports'", ": _aemp_names all'"]
        {
            assert!(zsh.contains(expected), "{expected}");
        }
    }
}
