//! `setbinds`, `setseeds` and what belongs to them.

use aemp_config::{parse_argument, parse_text};
use clap::Subcommand;
use serde_json::json;

use super::Operation;
use crate::failure::Failure;

/// Where to listen, and whom to contact first.
#[derive(Debug, Subcommand)]
#[command(rename_all = "lower")]
pub(crate) enum Addresses {
    /// Set the addresses to listen on
    #[command(visible_alias = "binds")]
    SetBinds {
        /// HOST:PORT,… or a JSON list; `*` is every address of this machine, and a port that the
        /// system chooses
        #[arg(value_name = "ADDRESSES")]
        list: String,
    },
    /// Remove the list of addresses to listen on, so that it is inherited
    DelBinds,
    /// Add an address to listen on
    AddBind {
        /// HOST:PORT
        #[arg(value_parser = parse_text)]
        address: String,
    },
    /// Remove an address to listen on
    DelBind {
        /// HOST:PORT as it is in the list
        #[arg(value_parser = parse_text)]
        address: String,
    },
    /// Set the addresses of the nodes to contact first
    #[command(visible_alias = "seeds")]
    SetSeeds {
        /// HOST:PORT,… or a JSON list; without a port 4040 is meant
        #[arg(value_name = "ADDRESSES")]
        list: String,
    },
    /// Remove the list of seeds, so that it is inherited
    DelSeeds,
    /// Add a seed
    AddSeed {
        /// HOST:PORT
        #[arg(value_parser = parse_text)]
        address: String,
    },
    /// Remove a seed
    DelSeed {
        /// HOST:PORT as it is in the list
        #[arg(value_parser = parse_text)]
        address: String,
    },
}

impl Addresses {
    pub(super) fn operation(self) -> Result<Operation, Failure> {
        Ok(match self {
            Addresses::SetBinds { list } => Operation::Set("binds", parse_argument(&list)?),
            Addresses::DelBinds => Operation::Unset("binds"),
            Addresses::AddBind { address } => Operation::Add("binds", json!(address)),
            Addresses::DelBind { address } => Operation::Remove("binds", json!(address)),
            Addresses::SetSeeds { list } => Operation::Set("seeds", parse_argument(&list)?),
            Addresses::DelSeeds => Operation::Unset("seeds"),
            Addresses::AddSeed { address } => Operation::Add("seeds", json!(address)),
            Addresses::DelSeed { address } => Operation::Remove("seeds", json!(address)),
        })
    }
}
