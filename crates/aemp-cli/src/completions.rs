//! `aemp completions`: a script that lets a shell complete commands and options.

use clap::Args;
use clap_complete::Shell;

use crate::args;

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
    pub(crate) fn run(self) {
        clap_complete::generate(self.shell, &mut args::command(), "aemp", &mut std::io::stdout());
    }
}
