//! `gencert`, `setcert`, `delcert`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aemp_config::Secret;
use clap::Subcommand;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use super::Operation;
use crate::failure::Failure;

/// More is no key with certificates, in bytes.
const PEM_MAX: u64 = 1 << 20;

/// The certificate.
#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Make a self-signed certificate with its key; give it to all nodes of the network, and TLS
    /// protects all traffic
    #[command(name = "gencert")]
    Generate,
    /// Take the certificate from a PEM file: the key, the certificate, then the certificates to
    /// trust beside it
    #[command(name = "setcert", visible_alias = "cert")]
    Set {
        /// The file
        file: PathBuf,
    },
    /// Remove the certificate, so that it is inherited
    #[command(name = "delcert")]
    Unset,
}

impl Certificate {
    pub(super) fn operation(self) -> Result<Operation, Failure> {
        Ok(match self {
            Certificate::Generate => Operation::Set("cert", json!(generate()?)),
            Certificate::Set { file } => {
                let pem =
                    read(&file).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
                Operation::Set("cert", json!(Secret::to_text(&pem)))
            }
            Certificate::Unset => Operation::Unset("cert"),
        })
    }
}

/// A device might never end.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(file)?.take(PEM_MAX + 1).read_to_end(&mut pem)?;
    if pem.len() as u64 > PEM_MAX {
        return Err(io::Error::other(format!("it has more than {PEM_MAX} bytes")));
    }
    Ok(pem)
}

/// Key and certificate of a network in one PEM text (`PROTOCOL.md` §2.2). It names no host and does
/// not run out: anyone who has it belongs to the network.
fn generate() -> Result<String, Failure> {
    let fault = |error: rcgen::Error| Failure::failed(format!("the certificate cannot be made: {error}"));
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "AnyEvent::MP");
    let certificate = params.self_signed(&key).map_err(fault)?;
    Ok([key.serialize_pem(), certificate.pem()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_certificate_can_be_used() {
        let pem = generate().unwrap();
        assert_eq!(pem.matches("-----BEGIN ").count(), 2);
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(crate::session::check("cert", &json!(pem)).is_ok());
        assert_ne!(pem, generate().unwrap());
    }
}
