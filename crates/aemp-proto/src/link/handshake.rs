//! The handshake: from the first octet to two proven sides, as a machine that is fed octets and asked for octets.
//!
//! ```text
//!   both          greeting, nonce                 at once, without waiting
//!   both          TLS                             if both greetings say so: [`HandshakeEvent::StartTls`]
//!   dialler       METHOD;PROOF;FRAMING            after [`Handshake::proceed`]
//!   acceptor      METHOD;PROOF;FRAMING            once the dialler's is verified, after [`Handshake::proceed`]
//! ```
//!
//! Who may proceed is the kernel's decision, for it alone knows the other connections to the same peer. A Perl acceptor sends
//! its line unasked; that is kept until we have sent ours.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf as _, BytesMut};
use thiserror::Error;

use super::auth::{self, Lines, Method};
use super::hello::{Greeting, HelloError, LINE_MAX};
use crate::kernel::Peer;
use crate::{Framing, NodeId};

/// Octets of randomness in a nonce line.
pub const NONCE_LEN: usize = 66;

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We dialled.
    Dialler,
    /// We accepted.
    Acceptor,
}

/// How the address that the peer sees of us is held against the one we have (`reliability` §1: a relay that joins two
/// listeners shows by it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerAddress {
    /// Strict for a peer that gives no role, off for one that does (its role is checked).
    #[default]
    Auto,
    /// Must be there and be right.
    Strict,
    /// What does not fit is reported, [`HandshakeEvent::Suspicious`], and accepted.
    Warn,
    /// Not checked.
    Off,
}

/// What is the same for all connections of a node.
#[derive(Clone)]
pub struct LinkConfig {
    /// Our node ID.
    pub node: NodeId,
    /// 128 random bits that tell this run of the node from others.
    pub incarnation: u128,
    /// How long silence may last.
    pub monitor_timeout: Duration,
    /// The shared secret; an empty one counts as none.
    pub secret: Option<Vec<u8>>,
    /// Whether a certificate is configured.
    pub tls: bool,
    /// The methods that we are willing to prove ourselves with.
    pub offer: Vec<Method>,
    /// The methods that we accept, as far as they are possible here. Without one that works in plain text, peers need TLS.
    pub accept: Vec<Method>,
    /// The framings that we speak, best first.
    pub framings: Vec<Framing>,
    /// See [`PeerAddress`].
    pub verify_peeraddr: PeerAddress,
}

impl LinkConfig {
    /// The settings of a node that has this secret, and else the defaults.
    pub fn with_secret(node: NodeId, incarnation: u128, secret: &[u8]) -> LinkConfig {
        LinkConfig {
            node,
            incarnation,
            monitor_timeout: Duration::from_secs(30),
            secret: Some(secret.to_vec()),
            tls: false,
            offer: Method::PROOFS.to_vec(),
            accept: Method::PROOFS.to_vec(),
            framings: Framing::ALL.to_vec(),
            verify_peeraddr: PeerAddress::Auto,
        }
    }

    fn secret(&self) -> Option<&[u8]> {
        self.secret.as_deref().filter(|secret| !secret.is_empty())
    }

    fn is_possible(&self, method: Method) -> bool {
        match method {
            Method::TlsSha3 | Method::TlsAnon => self.tls,
            Method::HmacSha3 | Method::Cleartext => self.secret().is_some(),
        }
    }

    fn accepts(&self, method: Method) -> bool {
        self.accept.contains(&method) && self.is_possible(method)
    }

    fn greeting(&self, side: Side, remote: SocketAddr) -> Greeting {
        let mut pairs: Vec<(&str, String)> = vec![
            ("provider", format!("aemp-{}", env!("CARGO_PKG_VERSION"))),
            ("peeraddr", canonical(remote).to_string()),
            ("mproto", "1".into()),
            ("gproto", "1".into()),
            ("role", if side == Side::Dialler { "c" } else { "s" }.into()),
            ("inc", format!("{:032x}", self.incarnation)),
            ("hb", self.monitor_timeout.as_secs_f64().to_string()),
            ("caps", "ack".into()),
        ];
        if self.tls {
            pairs.push(("tls", "1.0".into()));
        }
        let offered = Method::ALL.into_iter().filter(|method| self.accepts(*method));
        Greeting {
            protocol: "aemp".into(),
            node: self.node.clone(),
            methods: offered.map(|method| method.as_str().into()).collect(),
            framings: self.framings.iter().map(|framing| framing.as_str().into()).collect(),
            pairs: pairs.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        }
    }
}

/// Why a handshake failed. What is shown to people names no secret; the peer is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum HandshakeError {
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("a line of the handshake is longer than {LINE_MAX} octets")]
    LineTooLong,
    #[error("the peer speaks {0:?}, which nothing here understands")]
    OtherProtocol(String),
    #[error("the peer sent our own greeting or nonce back")]
    Echo,
    #[error("the peer dialled and accepted the same way as we did: somebody joins two connections")]
    SameRole,
    #[error(
        "the peer sees us as {seen}, but we are {local}: address translation, or somebody in between (verify_peeraddr)"
    )]
    PeerAddress { seen: String, local: SocketAddr },
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

/// What a handshake tells its driver.
#[derive(Debug, Clone, PartialEq)]
pub enum HandshakeEvent {
    /// TLS starts with the next octet; afterwards [`Handshake::tls_started`].
    StartTls {
        /// We are the TLS client.
        client: bool,
    },
    /// The peer's greeting is read; nothing of it is trusted.
    Greeted(Peer),
    /// Something is odd with the peer, and the settings say to go on.
    Suspicious(HandshakeError),
    /// The dialler's proof is right, and we, the acceptor, have not answered yet.
    Verified,
    /// Both sides are proven. What follows in the buffer are frames.
    Established(Terms),
}

/// What two proven sides have agreed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The other side.
    pub peer: Peer,
    /// How we write.
    pub send: Framing,
    /// How the peer writes.
    pub receive: Framing,
    /// The peer's limit of silence, if it knows our heartbeat.
    pub heartbeat: Option<Duration>,
    /// Whether the peer says that it speaks the monitoring protocol, as Perl nodes do: then it answers requests, too.
    pub monitors: bool,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Nonce,
    Tls,
    Auth,
    Done,
}

/// One handshake.
pub struct Handshake {
    config: Arc<LinkConfig>,
    side: Side,
    local: SocketAddr,
    stage: Stage,
    tls: bool,
    ours: Lines,
    theirs: Lines,
    greeting: Option<Greeting>,
    receive: Option<Framing>,
    send: Option<Framing>,
    output: Vec<u8>,
    events: VecDeque<HandshakeEvent>,
}

impl Handshake {
    /// Begins: our two lines are ready in [`Handshake::output`]. `local` and `remote` are the ends of the socket, `nonce` comes
    /// from the operating system's generator.
    pub fn new(
        config: Arc<LinkConfig>,
        side: Side,
        local: SocketAddr,
        remote: SocketAddr,
        nonce: [u8; NONCE_LEN],
    ) -> Handshake {
        let greeting = config.greeting(side, remote).to_line();
        let nonce = STANDARD_NO_PAD.encode(nonce);
        let output = format!("{greeting}\n{nonce}\n").into_bytes();
        Handshake {
            config,
            side,
            local: canonical(local),
            stage: Stage::Greeting,
            tls: false,
            ours: Lines { greeting: greeting.into(), nonce: nonce.into() },
            theirs: Lines::default(),
            greeting: None,
            receive: None,
            send: None,
            output,
            events: VecDeque::new(),
        }
    }

    /// Takes the octets that are to be sent now.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes complete lines from `buffer`. What is left in it after [`HandshakeEvent::StartTls`] or
    /// [`HandshakeEvent::Established`] belongs to TLS or to the frames.
    ///
    /// # Errors
    ///
    /// The peer is not one that we can or want to talk to; close the connection.
    pub fn input(&mut self, buffer: &mut BytesMut) -> Result<(), HandshakeError> {
        while !matches!(self.stage, Stage::Tls | Stage::Done) {
            if self.stage == Stage::Auth && self.receive.is_some() {
                break; // frames of a peer that waits for our line
            }
            let Some(line) = take_line(buffer)? else { break };
            match self.stage {
                Stage::Greeting => self.greeting_line(&line)?,
                Stage::Nonce => self.nonce_line(line)?,
                Stage::Auth => self.auth_line(&line)?,
                Stage::Tls | Stage::Done => {}
            }
        }
        Ok(())
    }

    /// The TLS handshake that was asked for is done, with certificates verified on both sides.
    ///
    /// # Errors
    ///
    /// As [`Handshake::input`].
    pub fn tls_started(&mut self) -> Result<(), HandshakeError> {
        self.tls = true;
        self.greeted()
    }

    /// Sends our authentication line. The kernel says so: for a dialler after `Greeted`, for an acceptor after `Verified`.
    ///
    /// # Errors
    ///
    /// Nothing that the peer accepts is possible here.
    pub fn proceed(&mut self) -> Result<(), HandshakeError> {
        let Some(greeting) = &self.greeting else { return Err(HandshakeError::Early) };
        if self.send.is_some() {
            return Ok(());
        }
        let method = self.choose_method(greeting)?;
        let framing = self.choose_framing(greeting)?;
        let secret = self.config.secret().unwrap_or_default();
        let proof = auth::proof(method, secret, &self.ours, &self.theirs);
        self.output.extend(format!("{};{proof};{framing}\n", method.as_str()).into_bytes());
        self.send = Some(framing);
        self.establish();
        Ok(())
    }

    /// What happened, in order.
    pub fn poll(&mut self) -> Option<HandshakeEvent> {
        self.events.pop_front()
    }

    fn greeting_line(&mut self, line: &[u8]) -> Result<(), HandshakeError> {
        let greeting = Greeting::parse(line)?;
        if greeting.protocol != "aemp" {
            return Err(HandshakeError::OtherProtocol(greeting.protocol));
        }
        if line == self.ours.greeting {
            return Err(HandshakeError::Echo);
        }
        self.check_role(&greeting)?;
        self.theirs.greeting = line.to_vec();
        self.greeting = Some(greeting);
        self.stage = Stage::Nonce;
        Ok(())
    }

    fn check_role(&mut self, greeting: &Greeting) -> Result<(), HandshakeError> {
        let own = if self.side == Side::Dialler { "c" } else { "s" };
        let role = greeting.get("role");
        if role == Some(own) {
            return Err(HandshakeError::SameRole);
        }
        let checked = match self.config.verify_peeraddr {
            PeerAddress::Auto => role.is_none(),
            PeerAddress::Strict | PeerAddress::Warn => true,
            PeerAddress::Off => false,
        };
        match self.check_address(greeting.get("peeraddr")) {
            Err(error) if checked && self.config.verify_peeraddr == PeerAddress::Warn => {
                self.events.push_back(HandshakeEvent::Suspicious(error));
                Ok(())
            }
            Err(error) if checked => Err(error),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    fn check_address(&self, seen: Option<&str>) -> Result<(), HandshakeError> {
        match seen {
            None if self.config.verify_peeraddr == PeerAddress::Strict => Err(HandshakeError::NoPeerAddress),
            None => Ok(()),
            Some(seen) if seen.parse().map(canonical) == Ok(self.local) => Ok(()),
            Some(seen) => Err(HandshakeError::PeerAddress { seen: seen.into(), local: self.local }),
        }
    }

    fn nonce_line(&mut self, line: Vec<u8>) -> Result<(), HandshakeError> {
        if line == self.ours.nonce {
            return Err(HandshakeError::Echo);
        }
        self.theirs.nonce = line;
        let peer_tls = self
            .greeting
            .as_ref()
            .and_then(|g| g.get("tls"))
            .is_some_and(|v| v == "1" || v.starts_with("1."));
        if self.config.tls && peer_tls {
            self.stage = Stage::Tls;
            let client = self.ours.nonce < self.theirs.nonce;
            self.events.push_back(HandshakeEvent::StartTls { client });
            return Ok(());
        }
        if self.config.accept.iter().all(|method| method.needs_tls()) {
            return Err(HandshakeError::TlsRequired);
        }
        self.greeted()
    }

    /// Both lines (and TLS) are through. An acceptor says at once if it could not answer whatever the dialler proves.
    fn greeted(&mut self) -> Result<(), HandshakeError> {
        let Some(greeting) = &self.greeting else { return Err(HandshakeError::Early) };
        self.choose_method(greeting)?;
        self.choose_framing(greeting)?;
        self.stage = Stage::Auth;
        self.events.push_back(HandshakeEvent::Greeted(peer_of(greeting)));
        Ok(())
    }

    fn choose_method(&self, greeting: &Greeting) -> Result<Method, HandshakeError> {
        let possible = |method: Method| {
            self.config.offer.contains(&method)
                && self.config.is_possible(method)
                && (self.tls || !method.needs_tls())
                // The secret itself is never shown.
                && method != Method::Cleartext
        };
        let mut accepted = greeting.methods.iter().filter_map(|name| Method::from_name(name));
        accepted
            .find(|method| possible(*method))
            .ok_or_else(|| HandshakeError::NoMethod(greeting.methods.join(",")))
    }

    fn choose_framing(&self, greeting: &Greeting) -> Result<Framing, HandshakeError> {
        let mut read = greeting.framings.iter().filter_map(|name| Framing::from_name(name));
        read.find(|framing| self.config.framings.contains(framing))
            .ok_or_else(|| HandshakeError::NoFraming(greeting.framings.join(",")))
    }

    fn auth_line(&mut self, line: &[u8]) -> Result<(), HandshakeError> {
        let text = std::str::from_utf8(line).map_err(|_| HandshakeError::AuthForm)?;
        let [name, data, framing] = text.split(';').collect::<Vec<_>>()[..] else {
            return Err(HandshakeError::AuthForm);
        };
        let method = Method::from_name(name)
            .filter(|method| self.config.accepts(*method) && (self.tls || !method.needs_tls()))
            .ok_or_else(|| HandshakeError::MethodNotOffered(name.chars().take(40).collect()))?;
        let framing = Framing::from_name(framing)
            .filter(|framing| self.config.framings.contains(framing))
            .ok_or_else(|| HandshakeError::FramingNotOffered(framing.chars().take(40).collect()))?;
        let secret = self.config.secret().unwrap_or_default();
        if !auth::verify(method, secret, &self.theirs, &self.ours, data.as_bytes()) {
            return Err(HandshakeError::WrongProof);
        }
        self.receive = Some(framing);
        if self.side == Side::Acceptor && self.send.is_none() {
            self.events.push_back(HandshakeEvent::Verified);
        }
        self.establish();
        Ok(())
    }

    fn establish(&mut self) {
        let (Some(send), Some(receive), Some(greeting)) = (self.send, self.receive, &self.greeting) else {
            return;
        };
        let heartbeat = greeting
            .get("hb")
            .and_then(|text| text.parse().ok())
            .and_then(|s| Duration::try_from_secs_f64(s).ok());
        let peer = peer_of(greeting);
        self.stage = Stage::Done;
        self.events.push_back(HandshakeEvent::Established(Terms {
            peer,
            send,
            receive,
            heartbeat,
            monitors: greeting.get("mproto").is_some(),
            tls: self.tls,
        }));
    }
}

fn peer_of(greeting: &Greeting) -> Peer {
    Peer {
        node: greeting.node.clone(),
        incarnation: greeting.get("inc").and_then(|text| u128::from_str_radix(text, 16).ok()),
        native: greeting.get("role").is_some() && greeting.get("inc").is_some(),
    }
}

/// The next line without its end (LF or CR LF), if it is complete.
fn take_line(buffer: &mut BytesMut) -> Result<Option<Vec<u8>>, HandshakeError> {
    let seen = &buffer[..buffer.len().min(LINE_MAX)];
    let Some(end) = seen.iter().position(|b| *b == b'\n') else {
        return if buffer.len() >= LINE_MAX { Err(HandshakeError::LineTooLong) } else { Ok(None) };
    };
    let line = buffer.split_to(end);
    buffer.advance(1);
    Ok(Some(line.strip_suffix(b"\r").unwrap_or(&line).to_vec()))
}

/// An IPv4 address that came through an IPv6 socket is the same address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => SocketAddr::new(ip.to_canonical(), address.port()),
        IpAddr::V4(_) => address,
    }
}
