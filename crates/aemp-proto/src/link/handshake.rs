//! The handshake: from the first byte to two proven sides, as a machine that is fed bytes and asked
//! for bytes.
//!
//! ```text
//!   both          greeting, nonce                 at once, without waiting
//!   both          TLS                             if both greetings say so: `StartTls`
//!   dialler       METHOD;PROOF;FRAMING            after `proceed`
//!   acceptor      METHOD;PROOF;FRAMING            once that is verified, after `proceed`
//! ```
//!
//! Who may proceed is the kernel's decision, for it alone knows the other connections to the same
//! peer. A Perl acceptor sends its line unasked; that is kept until we have sent ours.
//!
//! A data connection (`PROTOCOL.md` §2.7) is greeted in the same way; its dialler says so in its
//! greeting. Whether its ID is awaited is decided by the one who drives the machine, and what
//! follows in the buffer are the bytes of the stream.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf as _, BytesMut};

use super::auth::{self, Lines, Method};
use super::config::{LinkConfig, PeerAddress, Place, STREAM_ID, STREAM_PROTOCOL, Side};
use super::error::HandshakeError;
use super::hello::{Greeting, LINE_MAX};
use crate::peer::Peer;
use crate::{Framing, NodeId};

/// Bytes of randomness in a nonce line.
pub const NONCE_LEN: usize = 66;

/// What a handshake tells its driver.
#[derive(Debug, Clone, PartialEq)]
pub enum HandshakeEvent {
    /// TLS starts with the next byte; afterwards [`Handshake::tls_started`].
    StartTls {
        /// We are the TLS client.
        client: bool,
    },
    /// The peer's greeting is read; nothing of it is trusted.
    Greeted(Peer),
    /// The same in a data connection: who the peer says it is, and the ID that the dialler gave.
    StreamGreeted {
        /// The other side.
        peer: Peer,
        /// The ID of the data connection.
        id: String,
    },
    /// Something is odd with the peer, and the settings say to go on.
    Suspicious(HandshakeError),
    /// The dialler's proof is right, and we, the acceptor, have not answered yet.
    Verified,
    /// Both sides are proven. What follows in the buffer are frames, or the bytes of the stream.
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
    /// Whether the peer says that it speaks the monitoring protocol, as Perl nodes do: then it
    /// answers requests, too.
    pub monitors: bool,
    /// Whether large messages may go in parts: the peer reads native frames, and parts of them.
    pub parts: bool,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// What both ends call the connection when they tell others of it: made of the two nonces, so
    /// no other connection has it, and less than 2^63.
    pub connection: u64,
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
    /// The ID, if this is a data connection. An acceptor learns it from the greeting.
    stream: Option<String>,
    /// Where we are, as the peer must see us.
    local: Place,
    /// Who carries the connection, if it is carried.
    via: Option<NodeId>,
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
    /// Begins: our two lines are ready in [`Handshake::output`]. `local` and `remote` are the ends
    /// of the socket, `nonce` comes from the operating system's generator.
    pub fn new(
        config: Arc<LinkConfig>,
        side: Side,
        local: SocketAddr,
        remote: SocketAddr,
        nonce: [u8; NONCE_LEN],
    ) -> Handshake {
        let greeting = config.greeting(side, &Place::Socket(remote)).to_line();
        Handshake::begin(config, side, None, Place::Socket(local), greeting, nonce)
    }

    /// As [`Handshake::new`], over a connection that this node carries (`PROTOCOL.md` §2.8). Both
    /// ends are where the relay is: a connection that is carried at one end only, or by different
    /// nodes, is not one.
    pub fn relayed(config: Arc<LinkConfig>, side: Side, via: &NodeId, nonce: [u8; NONCE_LEN]) -> Handshake {
        let place = Place::Behind(via.clone());
        let greeting = config.greeting(side, &place).to_line();
        let handshake = Handshake::begin(config, side, None, place, greeting, nonce);
        Handshake { via: Some(via.clone()), ..handshake }
    }

    /// As [`Handshake::new`], over a stream through a broker, which has no addresses. The broker is
    /// not trusted unless `trusted`: then only methods count that need TLS, and without TLS on both
    /// sides the handshake fails.
    pub fn through_broker(
        config: &LinkConfig,
        side: Side,
        trusted: bool,
        nonce: [u8; NONCE_LEN],
    ) -> Handshake {
        let mut config = config.clone();
        if !trusted {
            config.offer.retain(|method| method.needs_tls());
            config.accept.retain(|method| method.needs_tls());
        }
        let greeting = config.greeting(side, &Place::Broker).to_line();
        Handshake::begin(Arc::new(config), side, None, Place::Broker, greeting, nonce)
    }

    /// Begins as the dialler of the data connection with this ID; otherwise as [`Handshake::new`].
    pub fn for_stream(
        config: Arc<LinkConfig>,
        id: &str,
        local: SocketAddr,
        remote: SocketAddr,
        nonce: [u8; NONCE_LEN],
    ) -> Handshake {
        let greeting = config.stream_greeting(&Place::Socket(remote), id).to_line();
        Handshake::begin(config, Side::Dialler, Some(id.into()), Place::Socket(local), greeting, nonce)
    }

    fn begin(
        config: Arc<LinkConfig>,
        side: Side,
        stream: Option<String>,
        local: Place,
        greeting: String,
        nonce: [u8; NONCE_LEN],
    ) -> Handshake {
        let nonce = STANDARD_NO_PAD.encode(nonce);
        let output = format!("{greeting}\n{nonce}\n").into_bytes();
        Handshake {
            config,
            side,
            stream,
            local,
            via: None,
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

    /// Takes the bytes that are to be sent now.
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

    /// Sends our authentication line: for a dialler after the greeting, for an acceptor after
    /// `Verified`. In a connection of nodes the kernel says so.
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
        self.check_protocol(&greeting)?;
        if line == self.ours.greeting {
            return Err(HandshakeError::Echo);
        }
        self.check_role(&greeting)?;
        greeting.heartbeat()?;
        greeting.incarnation()?;
        self.theirs.greeting = line.to_vec();
        self.greeting = Some(greeting);
        self.stage = Stage::Nonce;
        Ok(())
    }

    /// An acceptor speaks what the dialler wants, and greets as `aemp` itself: it does not know
    /// yet.
    fn check_protocol(&mut self, greeting: &Greeting) -> Result<(), HandshakeError> {
        match (greeting.protocol.as_str(), self.side) {
            ("aemp", _) => {}
            (STREAM_PROTOCOL, Side::Dialler) if self.stream.is_some() => {}
            (STREAM_PROTOCOL, Side::Acceptor) if self.via.is_none() => {
                let id = greeting.get(STREAM_ID).filter(|id| !id.is_empty());
                self.stream = Some(id.ok_or(HandshakeError::NoStreamId)?.into());
            }
            (other, _) => return Err(HandshakeError::OtherProtocol(other.into())),
        }
        Ok(())
    }

    fn check_role(&mut self, greeting: &Greeting) -> Result<(), HandshakeError> {
        let own = if self.side == Side::Dialler { "c" } else { "s" };
        let role = greeting.get("role");
        if role == Some(own) {
            return Err(HandshakeError::SameRole);
        }
        let checked = match self.config.verify_peeraddr {
            // There is no address translation between two ends of a relayed connection.
            PeerAddress::Auto => role.is_none() || self.via.is_some(),
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
            Some(seen) if self.local.is(seen) => Ok(()),
            Some(seen) if self.via.is_none() && self.config.is_advertised(self.side, seen) => Ok(()),
            Some(seen) => {
                Err(HandshakeError::PeerAddress { seen: seen.into(), local: self.local.to_string() })
            }
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

    /// Both lines (and TLS) are through. An acceptor says at once if it could not answer no matter
    /// what the dialler proves.
    fn greeted(&mut self) -> Result<(), HandshakeError> {
        let Some(greeting) = &self.greeting else { return Err(HandshakeError::Early) };
        self.choose_method(greeting)?;
        self.choose_framing(greeting)?;
        self.stage = Stage::Auth;
        let peer = self.peer(greeting);
        self.events.push_back(match self.stream.clone() {
            Some(id) => HandshakeEvent::StreamGreeted { peer, id },
            None => HandshakeEvent::Greeted(peer),
        });
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

    fn peer(&self, greeting: &Greeting) -> Peer {
        Peer {
            node: greeting.node.clone(),
            // The greeting was checked when it came.
            incarnation: greeting.incarnation().ok().flatten(),
            native: greeting.get("role").is_some() && greeting.get("inc").is_some(),
            can_relay: has_capability(greeting, "carry"),
            client: has_capability(greeting, "client"),
            via: self.via.clone(),
        }
    }

    fn establish(&mut self) {
        let (Some(send), Some(receive), Some(greeting)) = (self.send, self.receive, &self.greeting) else {
            return;
        };
        let heartbeat = greeting.heartbeat().ok().flatten();
        let peer = self.peer(greeting);
        self.stage = Stage::Done;
        self.events.push_back(HandshakeEvent::Established(Terms {
            peer,
            send,
            receive,
            heartbeat,
            monitors: greeting.get("mproto").is_some(),
            parts: send == Framing::Native && has_capability(greeting, "part"),
            tls: self.tls,
            connection: auth::connection(&self.ours, &self.theirs),
        }));
    }
}

fn has_capability(greeting: &Greeting, name: &str) -> bool {
    greeting.get("caps").is_some_and(|caps| caps.split(',').any(|cap| cap == name))
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
