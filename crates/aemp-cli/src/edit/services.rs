//! `setservices` and what belongs to it.

use aemp_config::parse_argument;
use clap::Subcommand;

use super::Operation;
use crate::failure::Failure;

/// What a node runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Services {
    /// Set the functions that run when a node starts
    #[command(name = "setservices", visible_alias = "services")]
    Set {
        /// FUNCTION,… or a JSON list, in which ["FUNCTION", ARG…] gives arguments
        #[arg(value_name = "FUNCTIONS")]
        list: String,
    },
    /// Remove the list of services, so that it is inherited
    #[command(name = "delservices")]
    Unset,
    /// Add a service, once more if it is there
    #[command(name = "addservice")]
    Add {
        /// FUNCTION, or ["FUNCTION", ARG…]
        service: String,
    },
    /// Remove a service once
    #[command(name = "delservice")]
    Remove {
        /// FUNCTION, or ["FUNCTION", ARG…]
        service: String,
    },
}

impl Services {
    pub(super) fn operation(self) -> Result<Operation, Failure> {
        Ok(match self {
            Services::Set { list } => Operation::Set("services", parse_argument(&list)?),
            Services::Unset => Operation::Unset("services"),
            Services::Add { service } => Operation::Append("services", parse_argument(&service)?),
            Services::Remove { service } => Operation::RemoveOne("services", parse_argument(&service)?),
        })
    }
}
