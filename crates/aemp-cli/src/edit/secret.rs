//! `gensecret`, `setsecret`, `delsecret`.

use aemp::config::random_text;
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
    /// Set the shared secret (other users of this machine may see it while the command runs: prefer gensecret)
    #[command(name = "setsecret", visible_alias = "secret")]
    Set {
        /// Any text that is not empty
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
            Secret::Set { secret } if secret.is_empty() => {
                return Err(Failure::usage("setsecret: the secret must not be empty"));
            }
            Secret::Set { secret } => Operation::Set("secret", json!(stored(&secret))),
            Secret::Unset => Operation::Unset("secret"),
        })
    }
}

/// A typed secret is octets; the file holds each as one code point, as the Perl tool writes it.
fn stored(typed: &str) -> String {
    typed.bytes().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_octets_that_were_typed() {
        let secret = aemp::config::Secret::from_text(&stored("gehe\u{ef}m \u{20ac}"));
        assert_eq!(secret.octets(), "gehe\u{ef}m \u{20ac}".as_bytes());
    }
}
