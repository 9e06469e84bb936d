//! The configured PEM bundle: key, certificate, and the certificates to trust. What peers would
//! refuse is refused here.

use std::time::Duration;

use rustls::Error;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use thiserror::Error as ThisError;

use super::verify::{roots, verify_chain};

/// A certificate that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum BundleError {
    /// No private key in the bundle.
    #[error(
        "the certificate bundle has no private key (PEM: key, certificate, then any CA certificates): {0}"
    )]
    NoKey(String),
    /// A certificate in the bundle cannot be read.
    #[error("the certificate bundle cannot be read: {0}")]
    Pem(String),
    /// No certificate in the bundle.
    #[error("the certificate bundle has no certificate")]
    NoCertificate,
    /// The key belongs to another certificate.
    #[error(
        "the private key does not belong to the first certificate of the bundle (PEM: key, certificate, then any CA certificates)"
    )]
    OtherKey,
    /// The certificate is one of X.509 version 1, as `openssl x509 -req` makes them without
    /// extensions.
    #[error(
        "the certificate is of X.509 version 1, and TLS needs version 3: issue it with an extension (openssl x509 -req -extfile FILE)"
    )]
    Version,
    /// The time of the certificate is over.
    #[error("the certificate expired {} ago: renew it", days(.0))]
    Expired(Duration),
    /// The time of the certificate has not come.
    #[error("the certificate is valid only in {}: is the clock of this machine right?", days(.0))]
    NotYetValid(Duration),
    /// The certificate cannot be read.
    #[error("the certificate is malformed: {0}")]
    Malformed(String),
    /// Key or certificate are of a kind that is not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

impl From<Error> for BundleError {
    fn from(error: Error) -> BundleError {
        BundleError::Unusable(error.to_string())
    }
}

/// What was read, in the order of the bundle.
pub(super) struct Bundle {
    pub(super) key: PrivateKeyDer<'static>,
    /// The own certificate, and then those to trust beside it.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl Bundle {
    /// Reads a bundle.
    pub(super) fn read(pem: &[u8], provider: &CryptoProvider) -> Result<Bundle, BundleError> {
        let key =
            PrivateKeyDer::from_pem_slice(pem).map_err(|error| BundleError::NoKey(error.to_string()))?;
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| BundleError::Pem(error.to_string()))?;
        let bundle = Bundle { key, certificates };
        bundle.check(UnixTime::now(), provider)?;
        Ok(bundle)
    }

    fn check(&self, now: UnixTime, provider: &CryptoProvider) -> Result<(), BundleError> {
        let Some((own, others)) = self.certificates.split_first() else {
            return Err(BundleError::NoCertificate);
        };
        match webpki::EndEntityCert::try_from(own) {
            Ok(_) => {}
            Err(webpki::Error::UnsupportedCertVersion) => return Err(BundleError::Version),
            Err(error) => return Err(BundleError::Malformed(error.to_string())),
        }
        match CertifiedKey::from_der(self.certificates.clone(), self.key.clone_key(), provider) {
            Err(Error::InconsistentKeys(_)) => return Err(BundleError::OtherKey),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        // A certificate that no other one of the bundle has issued is trusted by those who have it
        // in theirs, no matter what stands in it.
        let verify = |now| verify_chain(own, others, &roots(others), now, provider);
        match verify(now) {
            Err(webpki::Error::CertExpired { not_after, .. }) => match verify(not_after) {
                Ok(()) => Err(BundleError::Expired(between(not_after, now))),
                Err(_) => Ok(()),
            },
            Err(webpki::Error::CertNotValidYet { not_before, .. }) => match verify(not_before) {
                Ok(()) => Err(BundleError::NotYetValid(between(now, not_before))),
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn between(earlier: UnixTime, later: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

fn days(duration: &Duration) -> String {
    match duration.as_secs() / 86_400 {
        0 => format!("{} s", duration.as_secs()),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}
