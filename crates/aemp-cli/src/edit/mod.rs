//! The commands that change settings: each is one operation on one key.

mod addresses;
mod apply;
mod certificate;
mod identity;
mod protocol;
mod secret;
mod services;

use clap::Subcommand;

use crate::failure::Failure;
use crate::session::Session;
use apply::Operation;

/// All of them, by what they are about.
#[derive(Debug, Subcommand)]
pub(crate) enum Edit {
    #[command(flatten)]
    Identity(identity::Identity),
    #[command(flatten)]
    Secret(secret::Secret),
    #[command(flatten)]
    Certificate(certificate::Certificate),
    #[command(flatten)]
    Addresses(addresses::Addresses),
    #[command(flatten)]
    Services(services::Services),
    #[command(flatten)]
    Protocol(protocol::Protocol),
}

impl Edit {
    /// Changes the selected profile, or the global settings.
    pub(crate) fn run(self, session: &mut Session) -> Result<(), Failure> {
        let operation = match self {
            Edit::Identity(command) => command.operation(),
            Edit::Secret(command) => command.operation()?,
            Edit::Certificate(command) => command.operation()?,
            Edit::Addresses(command) => command.operation()?,
            Edit::Services(command) => command.operation()?,
            Edit::Protocol(command) => command.operation()?,
        };
        operation.apply(session)
    }
}
