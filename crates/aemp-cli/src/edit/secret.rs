//! `gensecret`, `setsecret`, `delsecret`.

use aemp_config::{Secret as Shared, random_text};
use clap::Subcommand;
use serde_json::json;

use super::Operation;
use crate::failure::Failure;

/// Letters and digits of a generated secret: 1071 bits, as the Perl tool's.
const SECRET_LEN: usize = 180;

/// The shared secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Make a random shared secret
    #[command(name = "gensecret")]
    Generate,
    /// Set the shared secret: a text, or `-` (from stdin), `@FILE` or `env:NAME` (an environment
    /// variable)
    ///
    /// Other users of this machine may see a text while the command runs. In JSON quotes it is
    /// always a text.
    #[command(name = "setsecret", visible_alias = "secret")]
    Set {
        /// Any text that is not empty, or where it is
        #[arg(allow_hyphen_values = true)]
        secret: String,
    },
    /// Remove the shared secret, so that it is inherited
    #[command(name = "delsecret")]
    Unset,
}

impl Secret {
    pub(super) fn operation(self) -> Result<Operation, Failure> {
        Ok(match self {
            Secret::Generate => Operation::Set("secret", json!(random_text(SECRET_LEN)?)),
            Secret::Set { secret } => {
                let secret = Shared::typed("setsecret", &secret)?;
                if secret.bytes().is_empty() {
                    return Err(Failure::usage("setsecret: the secret must not be empty"));
                }
                if secret.is_short() {
                    let bytes = secret.bytes().len();
                    eprintln!("aemp: a secret of {bytes} bytes can be guessed; `gensecret` makes a good one");
                }
                Operation::Set("secret", json!(Shared::to_text(secret.bytes())))
            }
            Secret::Unset => Operation::Unset("secret"),
        })
    }
}
