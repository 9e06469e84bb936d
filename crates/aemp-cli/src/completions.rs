//! `aemp completions`: a script that lets a shell complete commands and options.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::args;
use crate::failure::Failure;

/// Print a script that lets a shell complete commands and options
///
/// In a chain of commands only the first one is completed.
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
        let all = args::command();
        // Hidden commands are for nobody to type.
        let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let mut cli = Command::new("aemp").args(all.get_arguments().cloned()).subcommands(shown);
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "aemp", &mut script);
        crate::print(String::from_utf8_lossy(&script).trim_end())
    }
}
