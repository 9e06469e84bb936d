//! The beginning of a connection: the handshake machine between a socket and the kernel.

use std::io;

use aemp_proto::kernel::LinkId;
use aemp_proto::link::handshake::NONCE_LEN;
use aemp_proto::link::{Handshake, HandshakeError, HandshakeEvent, Side, Terms};
use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsStream;

use super::tls::Prefixed;
use super::{Command, Event};
use crate::node::Node;

/// Octets that a peer may send ahead while it waits for our line.
const AHEAD_MAX: usize = 64 << 10;

/// Why a connection did not come to be.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error(
        "closed by the peer during the handshake (a wrong secret there, or it is connected to us already)"
    )]
    Ended,
    #[error("the handshake took too long")]
    Late,
    #[error("{0}")]
    Closed(String),
}

/// A stream after its handshake.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Prefixed<TcpStream>>>),
}

/// What a finished handshake leaves: the agreement, the stream, and octets that were read beyond it.
pub(crate) struct Opened {
    pub(crate) terms: Terms,
    pub(crate) stream: Stream,
    pub(crate) read: BytesMut,
}

/// One handshake in progress.
pub(crate) struct Greeter<'a> {
    node: &'a Node,
    link: LinkId,
    commands: &'a mut mpsc::UnboundedReceiver<Command>,
    machine: Handshake,
    read: BytesMut,
}

/// How a stage of the handshake ended.
enum Stage {
    StartTls { client: bool },
    Done(Terms),
}

impl<'a> Greeter<'a> {
    pub(crate) fn new(
        node: &'a Node,
        link: LinkId,
        side: Side,
        stream: &TcpStream,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<Greeter<'a>, Failure> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        let config = node.inner().shared.link.clone();
        let machine = Handshake::new(config, side, stream.local_addr()?, stream.peer_addr()?, nonce);
        Ok(Greeter { node, link, commands, machine, read: BytesMut::with_capacity(1024) })
    }

    /// Goes through the whole handshake, or fails at its time limit.
    pub(crate) async fn run(self, stream: TcpStream) -> Result<Opened, Failure> {
        let limit = self.node.inner().shared.handshake_limit;
        tokio::time::timeout(limit, self.shake(stream)).await.unwrap_or(Err(Failure::Late))
    }

    async fn shake(mut self, mut stream: TcpStream) -> Result<Opened, Failure> {
        let client = match self.stage(&mut stream).await? {
            Stage::Done(terms) => {
                return Ok(Opened { terms, stream: Stream::Plain(stream), read: self.read });
            }
            Stage::StartTls { client } => client,
        };
        let tls = self.node.inner().shared.tls.clone().ok_or(Failure::Ended)?;
        let read = std::mem::take(&mut self.read);
        let mut stream = tls.start(client, stream, read).await.map_err(Failure::Tls)?;
        self.machine.tls_started()?;
        match self.stage(&mut stream).await? {
            Stage::Done(terms) => {
                Ok(Opened { terms, stream: Stream::Tls(Box::new(stream)), read: self.read })
            }
            Stage::StartTls { .. } => Err(Failure::Ended),
        }
    }

    /// Until the handshake is done or continues over TLS.
    async fn stage<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Result<Stage, Failure> {
        loop {
            let output = self.machine.output();
            if !output.is_empty() {
                stream.write_all(&output).await?;
                stream.flush().await?;
            }
            while let Some(event) = self.machine.poll() {
                match event {
                    HandshakeEvent::StartTls { client } => return Ok(Stage::StartTls { client }),
                    HandshakeEvent::Established(terms) => return Ok(Stage::Done(terms)),
                    HandshakeEvent::Greeted(peer) => self.node.event(Event::Greeted(self.link, peer)),
                    HandshakeEvent::Suspicious(what) => {
                        tracing::warn!(%what, "accepted all the same (verify_peeraddr)")
                    }
                    HandshakeEvent::Verified => self.node.event(Event::Verified(self.link)),
                }
            }
            tokio::select! {
                read = stream.read_buf(&mut self.read), if self.read.len() < AHEAD_MAX => {
                    if read? == 0 {
                        return Err(Failure::Ended);
                    }
                    self.machine.input(&mut self.read)?;
                }
                command = self.commands.recv() => match command {
                    Some(Command::Proceed) => self.machine.proceed()?,
                    Some(Command::Close(reason)) => return Err(Failure::Closed(reason)),
                    Some(Command::Attach(_) | Command::Probe) => {}
                    None => return Err(Failure::Closed("the node has ended".into())),
                },
            }
        }
    }
}
