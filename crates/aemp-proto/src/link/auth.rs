//! Digests of the greeting lines: the proof that a peer knows the secret, or owns the certificate.

use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use sha3::{Digest as _, Sha3_512};
use subtle::ConstantTimeEq as _;

/// How one side proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// A digest after a TLS handshake with certificates on both sides.
    TlsSha3,
    /// A keyed digest: both know the secret.
    HmacSha3,
    /// Nothing, over TLS: the greeting of such a peer proves nothing.
    TlsAnon,
    /// The secret itself. Accepted where configured, never sent.
    Cleartext,
}

impl Method {
    /// All, best first.
    pub const ALL: [Method; 4] = [Method::TlsSha3, Method::HmacSha3, Method::TlsAnon, Method::Cleartext];

    /// Those that prove the whole greeting; the default for both directions.
    pub const PROOFS: [Method; 2] = [Method::TlsSha3, Method::HmacSha3];

    /// The name in greeting and authentication line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::TlsSha3 => "tls_sha3_512",
            Method::HmacSha3 => "hmac_sha3_512",
            Method::TlsAnon => "tls_anon",
            Method::Cleartext => "cleartext",
        }
    }

    /// The method with this name.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Whether it is only possible after a TLS handshake.
    pub fn needs_tls(self) -> bool {
        matches!(self, Method::TlsSha3 | Method::TlsAnon)
    }
}

/// The two lines with which a side begins, without line ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// The greeting.
    pub greeting: Vec<u8>,
    /// The nonce.
    pub nonce: Vec<u8>,
}

/// What a side sends as the proof: `from` are its own lines, `to` the other side's.
pub fn proof(method: Method, secret: &[u8], from: &Lines, to: &Lines) -> String {
    let lines = [&from.greeting, &from.nonce, &to.greeting, &to.nonce];
    match method {
        Method::TlsSha3 => {
            let mut digest = Sha3_512::new();
            for line in lines {
                digest.update(line);
                digest.update(b"\n");
            }
            hex(&digest.finalize())
        }
        Method::HmacSha3 => {
            let mut mac =
                SimpleHmac::<Sha3_512>::new_from_slice(secret).expect("HMAC takes a key of any length");
            for line in lines {
                mac.update(line);
                mac.update(b"\n");
            }
            hex(&mac.finalize().into_bytes())
        }
        Method::TlsAnon => String::new(),
        Method::Cleartext => hex(secret),
    }
}

/// Whether `given` is the proof that side would have sent, in a time that does not depend on where
/// they differ.
pub fn verify(method: Method, secret: &[u8], from: &Lines, to: &Lines, given: &[u8]) -> bool {
    proof(method, secret, from, to).as_bytes().ct_eq(given).into()
}

/// The number that both ends of a connection have for it. It goes over no wire, but two versions
/// have to agree on it: the first eight bytes of the digest of the two lines with the nonces, the
/// smaller one first, without the highest bit.
pub(super) fn connection(ours: &Lines, theirs: &Lines) -> u64 {
    let (one, other) = (ours.nonce.as_slice().min(&theirs.nonce), ours.nonce.as_slice().max(&theirs.nonce));
    let mut digest = Sha3_512::new();
    for line in [one, other] {
        digest.update(line);
        digest.update(b"\n");
    }
    let first = digest.finalize().into_iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(byte)) & !(1 << 63)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_another_implementation() {
        // python3: hmac.new(b"key", b"a\nb\nc\nd\n", hashlib.sha3_512).hexdigest()
        let lines = |greeting: &str, nonce: &str| Lines { greeting: greeting.into(), nonce: nonce.into() };
        let proof = proof(Method::HmacSha3, b"key", &lines("a", "b"), &lines("c", "d"));
        assert_eq!(proof, HMAC);
        assert!(verify(Method::HmacSha3, b"key", &lines("a", "b"), &lines("c", "d"), HMAC.as_bytes()));
        assert!(!verify(Method::HmacSha3, b"key", &lines("c", "d"), &lines("a", "b"), HMAC.as_bytes()));
        assert!(!verify(
            Method::HmacSha3,
            b"key",
            &lines("a", "b"),
            &lines("c", "d"),
            HMAC.to_uppercase().as_bytes()
        ));
        assert!(!verify(
            Method::HmacSha3,
            b"key",
            &lines("a", "b"),
            &lines("c", "d"),
            &HMAC.as_bytes()[..127]
        ));
    }

    const HMAC: &str = "45ed5de4c13e1d8a9413f43dc76b5c5f3dafad5e5b91ec7ffc3c6adc1e33f3f2229a2e3b555157e3264600fcf9274dcd1abc0fd981be40548c1cdd686613992c";
}
