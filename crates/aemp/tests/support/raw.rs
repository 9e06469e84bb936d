//! A peer made by hand: a socket, and the lines of the handshake.

#![allow(clippy::unwrap_used)] // a part of tests

use aemp::Node;
use aemp_proto::link::auth::{self, Lines, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::soon;

/// The secret of nodes that hand-made peers talk to.
pub(crate) const SECRET: &str = "hand-made-secret";

/// A raw connection to a node.
pub(crate) struct Raw {
    pub(crate) reader: BufReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
    pub(crate) theirs: Lines,
}

impl Raw {
    /// Connects and reads the node's two lines.
    pub(crate) async fn connect(node: &Node) -> Raw {
        let stream = TcpStream::connect(&node.local_addrs()[0]).await.unwrap();
        let (reader, writer) = stream.into_split();
        let mut raw = Raw { reader: BufReader::new(reader), writer, theirs: Lines::default() };
        raw.theirs = Lines { greeting: raw.line().await, nonce: raw.line().await };
        raw
    }

    pub(crate) async fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        loop {
            match self.reader.read_u8().await.unwrap() {
                b'\n' => return line,
                byte => line.push(byte),
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The node may have closed already; what matters is what it does.
        let _ = self.writer.write_all(bytes.as_ref()).await;
    }

    /// Sends greeting and nonce, and the right line for them.
    pub(crate) async fn authenticate(&mut self, greeting: &str, framing: &str) {
        let ours = Lines { greeting: greeting.into(), nonce: "a nonce".into() };
        let proof = auth::proof(Method::HmacSha3, SECRET.as_bytes(), &ours, &self.theirs);
        self.send(format!("{greeting}\na nonce\nhmac_sha3_512;{proof};{framing}\n")).await;
    }

    /// Waits until the node has closed the connection, and gives what it sent before.
    pub(crate) async fn closed(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = soon("the end of the connection", self.reader.read_to_end(&mut rest)).await;
        // A reset is an end too.
        drop(read);
        rest
    }
}
