//! `setnodeid`, `delnodeid`.

use aemp_config::parse_text;
use clap::Subcommand;
use serde_json::json;

use super::Operation;

/// The node ID.
#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Set the node ID: `%n` is the host's name, `%u` and the end after a trailing `/` are random
    #[command(name = "setnodeid", visible_alias = "nodeid")]
    Set {
        /// The ID, e.g. `server/%n` or `anon/`
        #[arg(value_name = "NODEID", value_parser = parse_text)]
        id: String,
    },
    /// Remove the node ID, so that it is inherited
    #[command(name = "delnodeid")]
    Unset,
}

impl Identity {
    pub(super) fn operation(self) -> Operation {
        match self {
            Identity::Set { id } => Operation::Set("nodeid", json!(id)),
            Identity::Unset => Operation::Unset("nodeid"),
        }
    }
}
