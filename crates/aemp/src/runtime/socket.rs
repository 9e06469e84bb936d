//! The socket of a connection, encrypted or not.

use tokio::net::TcpStream;

use super::tls::{TlsStream, below};

/// A stream after its handshake.
pub(crate) enum Stream<S = TcpStream> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl Stream {
    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => below(stream),
        }
    }
}
