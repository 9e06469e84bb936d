//! Why a handshake can fail.

use thiserror::Error;

use super::hello::{HelloError, LINE_MAX};

/// Why a handshake failed. What is shown to people names no secret; the peer is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum HandshakeError {
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("a line of the handshake is longer than {LINE_MAX} bytes")]
    LineTooLong,
    #[error("the peer speaks {0:?}, which nothing here understands")]
    OtherProtocol(String),
    #[error("the peer begins a data connection and does not say which (dataconn_id)")]
    NoStreamId,
    #[error("the peer sent our own greeting or nonce back")]
    Echo,
    #[error("both ends claim the same role (possible relay attack)")]
    SameRole,
    #[error(
        "the peer sees us as {seen}, but we are {local}: address translation, or somebody in between (verify_peeraddr)"
    )]
    PeerAddress { seen: String, local: String },
    #[error("the peer does not say how it sees us, and verify_peeraddr is strict")]
    NoPeerAddress,
    #[error(
        "no common authentication method: the peer accepts {0}; is a secret or certificate missing here?"
    )]
    NoMethod(String),
    #[error("no common framing: the peer reads {0}")]
    NoFraming(String),
    #[error("the peer has no certificate, and TLS is required here")]
    TlsRequired,
    #[error("the authentication line has not the form METHOD;DATA;FRAMING")]
    AuthForm,
    #[error("the peer authenticates by {0:?}, which we did not offer")]
    MethodNotOffered(String),
    #[error("the peer chose the framing {0:?}, which we did not offer")]
    FramingNotOffered(String),
    #[error("authentication failed: the secret (or certificate) of the peer differs from ours")]
    WrongProof,
    #[error("the peer spoke before we had answered")]
    Early,
}

impl HandshakeError {
    /// The cause in one word, to be counted by.
    pub fn cause(&self) -> &'static str {
        match self {
            HandshakeError::Hello(_)
            | HandshakeError::LineTooLong
            | HandshakeError::NoStreamId
            | HandshakeError::AuthForm
            | HandshakeError::Early => "malformed",
            HandshakeError::OtherProtocol(_) => "other_protocol",
            HandshakeError::Echo | HandshakeError::SameRole => "reflected",
            HandshakeError::PeerAddress { .. } | HandshakeError::NoPeerAddress => "peer_address",
            HandshakeError::NoMethod(_) | HandshakeError::MethodNotOffered(_) => "no_common_method",
            HandshakeError::NoFraming(_) | HandshakeError::FramingNotOffered(_) => "no_common_framing",
            HandshakeError::TlsRequired => "tls_required",
            HandshakeError::WrongProof => "wrong_secret",
        }
    }
}
