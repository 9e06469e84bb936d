//! `gensecret`, `setsecret`, `delsecret`.

use aemp::config::{parse_text, random_text};
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
            Secret::Set { secret } => {
                let text = stored(&secret)?;
                if text.is_empty() {
                    return Err(Failure::usage("setsecret: the secret must not be empty"));
                }
                Operation::Set("secret", json!(text))
            }
            Secret::Unset => Operation::Unset("secret"),
        })
    }
}

/// A typed secret is octets; the file holds each as one code point, as the Perl tool writes it. What is written as a JSON string
/// is code points already.
fn stored(typed: &str) -> Result<String, Failure> {
    let text = parse_text(typed)?;
    Ok(if typed.starts_with('"') { text } else { aemp::config::Secret::to_text(text.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_octets_that_were_typed() {
        let octets = |typed: &str| Vec::from(aemp::config::Secret::from_text(&stored(typed).unwrap()));
        assert_eq!(octets("gehe\u{ef}m \u{20ac}"), "gehe\u{ef}m \u{20ac}".as_bytes());
        assert_eq!(octets("\"caf\u{e9}\""), b"caf\xe9");
        assert!(stored("[1]").is_err());
    }
}
