//! How the two processes of a workload talk, as its name says: which framing, and whether through
//! TLS.

use aemp::{Builder, Framing, Node};
use rcgen::{CertificateParams, KeyPair};

/// Where the far end finds key and certificate.
const BUNDLE: &str = "AEMP_BENCH_PEM";

/// A node that talks in the way of this workload.
pub(super) fn builder(workload: &str, bundle: Option<&str>) -> Builder {
    let builder = Node::builder().secret("bench");
    match bundle {
        Some(pem) => builder.certificate_pem(pem),
        None if workload.starts_with("f-json") => builder.framings([Framing::Json]),
        None if workload.starts_with("f-cbor") => builder.framings([Framing::Cbor]),
        None => builder,
    }
}

/// For the first process: the environment for the far end, which holds a new key and certificate if
/// the way is TLS.
pub(super) fn environment(workload: &str) -> Option<(&'static str, String)> {
    if !workload.starts_with("f-tls") {
        return None;
    }
    let key = KeyPair::generate().expect("the system is random");
    let certificate = CertificateParams::default().self_signed(&key).expect("a certificate of nobody");
    Some((BUNDLE, key.serialize_pem() + &certificate.pem()))
}

/// For the far end: key and certificate.
pub(super) fn bundle() -> Option<String> {
    std::env::var(BUNDLE).ok()
}
