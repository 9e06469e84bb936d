//! The beginning of a connection: the handshake machine between a socket and the kernel.

use std::io;

use aemp_proto::NodeId;
use aemp_proto::kernel::{LinkId, NO_ADDRESS, Peer};
use aemp_proto::link::handshake::NONCE_LEN;
use aemp_proto::link::{Handshake, HandshakeError, HandshakeEvent, Side, Terms};
use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::admission::Permit;
use super::shutdown::SHUT_DOWN;
use super::socket::Stream;
use super::{Command, Event};
use crate::node::Node;
use crate::stream::{Claim, Unawaited};

/// Bytes that a peer may send ahead while it waits for our line.
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
    #[error(transparent)]
    Unawaited(#[from] Unawaited),
    #[error("a different node ({}) answered", _0.node)]
    OtherNode(Box<Peer>),
    #[error("it is this node itself")]
    Itself,
    #[error("another node has the ID of this one; stop one of them, or give it another ID")]
    Twin,
    #[error("given up for newer connections: too many that have not authenticated themselves")]
    Displaced,
    #[error("the name cannot be resolved: {0}")]
    Name(String),
    #[error("{0}")]
    Unreachable(String),
    /// Nobody has subscribed to what is for this node at the broker.
    #[error("{NO_ADDRESS}")]
    Nobody,
    #[error(
        "it is not encrypted, and the broker is not trusted: both nodes need a certificate (aemp gencert)"
    )]
    Unencrypted,
    #[error("{0}")]
    Closed(String),
}

impl Failure {
    /// The cause in one word, to be counted by; `None` if the connection was not wanted.
    pub(crate) fn cause(&self) -> Option<&'static str> {
        Some(match self {
            Failure::Handshake(error) => error.cause(),
            Failure::Socket(_) => "socket",
            Failure::Tls(_) => "tls",
            Failure::Ended => "closed",
            Failure::Late => "timeout",
            Failure::Unawaited(_) => "unexpected_stream",
            Failure::OtherNode(_) => "other_node",
            Failure::Twin => "same_node_id",
            Failure::Displaced => "displaced",
            Failure::Name(_) => "unknown_name",
            Failure::Unreachable(_) | Failure::Nobody => "unreachable",
            Failure::Unencrypted => "unencrypted",
            Failure::Itself | Failure::Closed(_) => return None,
        })
    }
}

/// What a finished handshake leaves: the agreement, the stream, and bytes that were read beyond it;
/// and who waits for it, if it is a data connection.
pub(crate) struct Opened<S = TcpStream> {
    pub(crate) terms: Terms,
    pub(crate) stream: Stream<S>,
    pub(crate) read: BytesMut,
    pub(crate) claim: Option<Claim>,
}

/// One handshake in progress.
pub(crate) struct Greeter<'a> {
    node: &'a Node,
    link: LinkId,
    commands: &'a mut mpsc::UnboundedReceiver<Command>,
    machine: Handshake,
    read: BytesMut,
    /// The place among the unauthenticated connections, until the peer is proven.
    permit: Option<Permit>,
    /// Who says it is the dialler of a data connection, and of which.
    stream: Option<(NodeId, String)>,
    claim: Option<Claim>,
}

/// How a stage of the handshake ended.
enum Stage {
    StartTls { client: bool },
    Done(Terms),
}

impl<'a> Greeter<'a> {
    /// The beginning of an accepted connection.
    pub(crate) fn accepted(
        node: &'a Node,
        link: LinkId,
        stream: &TcpStream,
        permit: Permit,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<Greeter<'a>, Failure> {
        let nonce = nonce()?;
        let config = node.inner().shared.link();
        let ends = (stream.local_addr()?, stream.peer_addr()?);
        let machine = Handshake::new(config, Side::Acceptor, ends.0, ends.1, nonce);
        Ok(Greeter { permit: Some(permit), ..Greeter::with(node, link, machine, commands) })
    }

    /// The same for a connection that was dialled: the peer has greeted.
    pub(crate) fn dialled(
        node: &'a Node,
        link: LinkId,
        machine: Handshake,
        read: BytesMut,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
    ) -> Greeter<'a> {
        Greeter { read, ..Greeter::with(node, link, machine, commands) }
    }

    fn with(
        node: &'a Node,
        link: LinkId,
        machine: Handshake,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
    ) -> Greeter<'a> {
        let read = BytesMut::with_capacity(1024);
        Greeter { node, link, commands, machine, read, permit: None, stream: None, claim: None }
    }

    /// The same for a connection that this node carries.
    pub(crate) fn relayed(
        node: &'a Node,
        link: LinkId,
        side: Side,
        via: &NodeId,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<Greeter<'a>, Failure> {
        let machine = Handshake::relayed(node.inner().shared.link(), side, via, nonce()?);
        Ok(Greeter::with(node, link, machine, commands))
    }

    /// The same for a stream through a broker; `permit` if it was accepted.
    pub(crate) fn through_broker(
        node: &'a Node,
        link: LinkId,
        side: Side,
        trusted: bool,
        permit: Option<Permit>,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<Greeter<'a>, Failure> {
        let config = node.inner().shared.link();
        let machine = Handshake::through_broker(&config, side, trusted, nonce()?);
        Ok(Greeter { permit, ..Greeter::with(node, link, machine, commands) })
    }

    /// Goes through the whole handshake, or fails at its time limit.
    pub(crate) async fn run<S>(self, stream: S) -> Result<Opened<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.node.inner().shared.handshake_limit;
        tokio::time::timeout(limit, self.shake(stream)).await.unwrap_or(Err(Failure::Late))
    }

    /// Goes through the rest of the handshake, behind the greeting of the peer, or fails at its
    /// time limit.
    pub(crate) async fn finish(mut self, mut stream: Stream) -> Result<Opened, Failure> {
        let limit = self.node.inner().shared.handshake_limit;
        let stage = async {
            match &mut stream {
                Stream::Plain(stream) => self.stage(stream).await,
                Stream::Tls(stream) => self.stage(stream.as_mut()).await,
            }
        };
        match tokio::time::timeout(limit, stage).await.unwrap_or(Err(Failure::Late))? {
            Stage::Done(terms) => Ok(Opened { terms, stream, read: self.read, claim: None }),
            Stage::StartTls { .. } => Err(Failure::Ended),
        }
    }

    async fn shake<S>(mut self, mut stream: S) -> Result<Opened<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = match self.stage(&mut stream).await? {
            Stage::Done(terms) => {
                let stream = Stream::Plain(stream);
                return Ok(Opened { terms, stream, read: self.read, claim: self.claim });
            }
            Stage::StartTls { client } => client,
        };
        let tls = self.node.inner().shared.tls().ok_or(Failure::Ended)?;
        let read = std::mem::take(&mut self.read);
        let mut stream = tls.start(client, stream, read).await.map_err(Failure::Tls)?;
        self.machine.tls_started()?;
        match self.stage(&mut stream).await? {
            Stage::Done(terms) => {
                let stream = Stream::Tls(Box::new(stream));
                Ok(Opened { terms, stream, read: self.read, claim: self.claim })
            }
            Stage::StartTls { .. } => Err(Failure::Ended),
        }
    }

    /// Until the handshake is done or continues over TLS.
    async fn stage<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Result<Stage, Failure> {
        loop {
            write(&mut self.machine, stream).await?;
            if let Some(event) = self.machine.poll() {
                match event {
                    HandshakeEvent::StartTls { client } => return Ok(Stage::StartTls { client }),
                    HandshakeEvent::Established(terms) => return Ok(Stage::Done(terms)),
                    HandshakeEvent::Greeted(peer) => {
                        self.check_own(&peer)?;
                        self.node.event(Event::Greeted(self.link, peer));
                    }
                    HandshakeEvent::StreamGreeted { peer, id } => self.stream = Some((peer.node, id)),
                    HandshakeEvent::Suspicious(what) => {
                        let shared = &self.node.inner().shared;
                        if let Some(withheld) = shared.suspicious.take(shared.now()) {
                            suspicious(&what, withheld);
                        }
                    }
                    HandshakeEvent::Verified => self.verified().await?,
                }
                continue; // it may have made us say something
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
                    Some(Command::Shutdown(_)) => return Err(Failure::Closed(SHUT_DOWN.into())),
                    Some(Command::Attach(_) | Command::Probe | Command::Mark(..)) => {}
                    None => return Err(Failure::Closed("the node has ended".into())),
                },
            }
        }
    }

    /// Whether an accepted connection comes from this very node, which has dialled an address of
    /// its own. Of one that was dialled the kernel decides what that means.
    fn check_own(&self, peer: &Peer) -> Result<(), Failure> {
        let own = self.node.inner().shared.link();
        match peer.incarnation == Some(own.incarnation) {
            _ if peer.node != own.node || self.link.is_dialled() => Ok(()),
            true => Err(Failure::Itself),
            false => Err(Failure::Twin),
        }
    }

    /// The dialler is proven: the kernel decides, or the one who awaits this data connection.
    async fn verified(&mut self) -> Result<(), Failure> {
        self.permit = None;
        let Some((from, id)) = &self.stream else {
            self.node.event(Event::Verified(self.link));
            return Ok(());
        };
        self.node.streams().prepared(id).await;
        self.claim = Some(self.node.streams().claim(id, from)?);
        Ok(self.machine.proceed()?)
    }
}

/// Randomness for a handshake, from the operating system.
pub(crate) fn nonce() -> Result<[u8; NONCE_LEN], Failure> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(nonce)
}

/// Drives a handshake that nobody else has a say in, until it tells something.
pub(crate) async fn next_event<S: AsyncRead + AsyncWrite + Unpin>(
    machine: &mut Handshake,
    stream: &mut S,
    read: &mut BytesMut,
) -> Result<HandshakeEvent, Failure> {
    loop {
        write(machine, stream).await?;
        match machine.poll() {
            // One line for each data connection that this node has asked for.
            Some(HandshakeEvent::Suspicious(what)) => suspicious(&what, 0),
            Some(event) => return Ok(event),
            None if stream.read_buf(read).await? == 0 => return Err(Failure::Ended),
            None => machine.input(read)?,
        }
    }
}

async fn write<S: AsyncWrite + Unpin>(machine: &mut Handshake, stream: &mut S) -> io::Result<()> {
    let output = machine.output();
    if !output.is_empty() {
        stream.write_all(&output).await?;
        stream.flush().await?;
    }
    Ok(())
}

fn suspicious(what: &HandshakeError, withheld: u64) {
    tracing::warn!(%what, withheld, "accepted all the same (verify_peeraddr)")
}
