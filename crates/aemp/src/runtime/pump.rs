//! The life of a connection: the reading half, its watch over the peer's life, and the end.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use aemp_proto::history::Mark;
use aemp_proto::kernel::{LinkId, Time};
use aemp_proto::link::{Liveness, Pulse, Terms};
use aemp_proto::wire::native::Control;
use aemp_proto::wire::{Body, Frame, FrameError, FrameReader, Request, Room};
use aemp_proto::{Framing, TraceContext, Value, name};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::marks::conn_of;
use super::outgoing::Outgoing;
use super::shutdown::SHUT_DOWN;
use super::streak::Streak;
use super::tcp::Abort;
use super::writer::{self, WriteError};
use super::{Command, Ended, Event};
use crate::node::{Node, Place};
use crate::recorder::compact::MARKED;
use crate::recorder::pending_mark::PendingMark;
use crate::remote::Remote;
use crate::stats::counts::BreakCause;
use aemp_ports::port_no::PortNo;

/// The name of the port that answers to our probes come to; it exists on every link by itself.
pub(super) const PROBE_PORT: &str = "aemp::alive";

/// How long a peer may take to answer when the kernel asks whether it lives.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// How long the end of a connection may take that we close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How often to look whether a peer is still there whose requests wait.
const PRESENCE_INTERVAL: Duration = Duration::from_millis(100);

/// Later than anything is due.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Bytes after which the ports get their turn, while the messages are in the cache.
const BURST: usize = 256 << 10;

/// Messages of a native peer after which they are acknowledged.
const ACK_EVERY: u64 = 1024;

/// One open connection.
pub(crate) struct Pump {
    pub(super) node: Node,
    pub(super) link: LinkId,
    pub(super) remote: Arc<Remote>,
    pub(super) frames: FrameReader,
    pub(super) streak: Streak,
    pub(super) outgoing: Arc<Outgoing>,
    live: Liveness,
    /// Until when the kernel waits for a sign of life.
    asked: Option<Time>,
    /// Number of the last native message, and of the last one that was acknowledged.
    pub(super) received: u64,
    acknowledged: u64,
    /// Messages and requests that are counted already, and the requests that are not.
    counted: u64,
    requests: u64,
    /// Messages and requests that were taken one by one.
    pub(super) single: u64,
    /// Whether the peer numbers its messages.
    pub(super) numbered: bool,
    /// When a sign of life was asked for that has not been answered.
    pinged: Option<Time>,
    /// Whether the peer is of our kind, and records marks.
    pub(super) knows_marks: bool,
    /// Those that have to be recorded by both ends; who has asked waits.
    pub(super) marks: Vec<(u64, Arc<PendingMark>)>,
    /// It is recorded how much has come in all.
    pub(super) ended: bool,
    /// What the peer asks for is not done any more, for nobody is there to hear of it.
    pub(super) gone: bool,
}

impl Drop for Pump {
    fn drop(&mut self) {
        let mut rooms = self.remote.rooms.lock();
        rooms.push(self.frames.take_room());
        rooms.retain_mut(Room::is_kept);
    }
}

/// The task of the writing half. It ends with the reading half, however that ends.
struct Writer(JoinHandle<Result<(), WriteError>>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// As long as this is there any thread can write to the socket.
struct Direct<'a> {
    remote: &'a Remote,
    outgoing: Arc<Outgoing>,
}

impl<'a> Direct<'a> {
    fn open(remote: &'a Remote, outgoing: &Arc<Outgoing>) -> Direct<'a> {
        *remote.direct.lock() = Some(outgoing.clone());
        Direct { remote, outgoing: outgoing.clone() }
    }
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        let mut direct = self.remote.direct.lock();
        if direct.as_ref().is_some_and(|direct| Arc::ptr_eq(direct, &self.outgoing)) {
            *direct = None;
        }
    }
}

/// Why the loop ended.
pub(super) enum End {
    /// The peer closed, or the socket or a frame is broken.
    Lost(BreakCause, String),
    /// Nothing is heard of the peer any more. It may still hear us.
    Silent(String),
    /// The peer has said that it closes. It reads until we do.
    Bye,
    /// We close.
    Close(String),
    /// We close when everything is delivered, at the latest at this time.
    Shutdown(Instant),
}

impl Pump {
    /// In a box, for a future that is given it by value has it twice, and each connection is one.
    pub(crate) fn new(
        node: Node,
        link: LinkId,
        terms: Terms,
        remote: Arc<Remote>,
        read: BytesMut,
    ) -> Box<Pump> {
        let shared = &node.inner().shared;
        let now = shared.now();
        let room = remote.rooms.lock().pop();
        let room = room.unwrap_or_else(|| Room::charged_to(&shared.budgets.of(&remote.node)));
        remote.counts.connected(&terms);
        remote.counts.read(read.len());
        let mut frames = FrameReader::with_room(terms.receive, shared.frames, room);
        frames.buffer().unsplit(read);
        let mut live = Liveness::new(shared.link().monitor_timeout, terms.heartbeat, now);
        if terms.monitors {
            live.ask_at_once();
        }
        let outgoing = Outgoing::new((link, conn_of(&terms)), terms.send, None, now);
        let streak = Streak::default();
        Box::new(Pump {
            node,
            link,
            remote,
            frames,
            streak,
            outgoing,
            live,
            asked: None,
            received: 0,
            acknowledged: 0,
            counted: 0,
            requests: 0,
            single: 0,
            numbered: terms.receive == Framing::Native,
            pinged: None,
            knows_marks: terms.peer.native,
            marks: Vec::new(),
            ended: false,
            gone: false,
        })
    }

    /// Runs until the connection is over; says why.
    pub(crate) async fn run<R, W>(
        self: Box<Pump>,
        reader: R,
        writer: W,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Ended
    where
        R: AsyncRead + Abort + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (node, remote, outgoing) = (self.node.clone(), self.remote.clone(), self.outgoing.clone());
        // What is encrypted or carried ends only behind what came before; that nothing can be
        // written any more is seen sooner.
        let writer = tokio::spawn(writer::write(node, remote, outgoing, writer));
        self.live(reader, |_| false, writer, commands).await
    }

    /// The same for a TCP socket, which is written by any thread that has something for it.
    pub(crate) async fn run_tcp(
        mut self: Box<Pump>,
        socket: TcpStream,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Ended {
        let (reader, writer) = socket.into_split();
        let now = self.node.inner().shared.now();
        let (link, conn, framing) = (self.link, self.outgoing.conn, self.outgoing.framing());
        self.outgoing = Outgoing::new((link, conn), framing, Some(writer), now);
        let (node, remote, outgoing) = (self.node.clone(), self.remote.clone(), self.outgoing.clone());
        let _direct = Direct::open(&remote, &outgoing);
        let writer = tokio::spawn(writer::write_shared(node, remote.clone(), outgoing));
        self.live(reader, has_ended, writer, commands).await
    }

    async fn live<R>(
        mut self: Box<Pump>,
        mut reader: R,
        ended: fn(&R) -> bool,
        writer: JoinHandle<Result<(), WriteError>>,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Ended
    where
        R: AsyncRead + Abort + Unpin + Send + 'static,
    {
        let mut writer = Writer(writer);
        let end = self.read(&mut reader, ended, commands, &mut writer.0).await;
        self.note_loss(&end);
        self.remote.spare.clear();
        let given_up = self.remote.outbox.lock().link() != Some(self.link);
        if given_up || matches!(end, End::Silent(_)) {
            // An orderly end would wait behind what the peer has not acknowledged, which it may
            // never do.
            reader.abort();
        }
        let here = |reason| Ended { reason, cause: BreakCause::Here };
        match end {
            End::Lost(cause, reason) => Ended { reason, cause },
            End::Silent(reason) => Ended { reason, cause: BreakCause::Silent },
            End::Bye => {
                // Bytes that nobody reads would make a reset of our end, which the peer waits for.
                tokio::spawn(timeout(CLOSE_LIMIT, async move { drain(&mut reader).await }));
                Ended { reason: "the node has shut down".into(), cause: BreakCause::ShutDown }
            }
            End::Close(reason) if given_up => here(reason),
            End::Close(reason) => {
                self.outgoing.close(&self.remote);
                // One that has failed is known to have ended, and cannot be waited for again.
                if !writer.0.is_finished() {
                    // What takes longer is not waited for.
                    let _ = timeout(CLOSE_LIMIT, &mut writer.0).await;
                }
                here(reason)
            }
            End::Shutdown(deadline) => {
                let finished = timeout_at(deadline, self.finish(&mut reader, &mut writer.0)).await;
                here(match finished.unwrap_or_else(|_| Err("it did not read everything in time".into())) {
                    Ok(()) => {
                        self.node.event(Event::Delivered(self.link));
                        self.note_delivered();
                        SHUT_DOWN.into()
                    }
                    Err(reason) => reason,
                })
            }
        }
    }

    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        ended: fn(&R) -> bool,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        writer: &mut JoinHandle<Result<(), WriteError>>,
    ) -> End {
        let mut write_error = None;
        if let Err(end) = self.frames() {
            return end;
        }
        let mut burst = 0;
        let mut timer = pin!(tokio::time::sleep_until(self.due()));
        loop {
            let room = self.room(write_error.is_some());
            let has_room = room.is_none();
            // What is heard puts it off: it is set again when it is over, which is rarer.
            if self.due() < timer.deadline() {
                timer.as_mut().reset(self.due());
            }
            self.frames.make_room();
            tokio::select! {
                read = reader.read_buf(self.frames.buffer()), if has_room => match read {
                    Ok(0) => return match write_error {
                        Some(error) => End::Lost(BreakCause::Socket, error),
                        None => {
                            self.closed();
                            End::Lost(BreakCause::Closed, "the connection was closed".into())
                        }
                    },
                    Err(error) => return End::Lost(BreakCause::Socket, error.to_string()),
                    Ok(bytes) => {
                        self.heard();
                        if let Err(end) = self.read_frames(bytes) {
                            return end;
                        }
                        burst += bytes;
                        if burst >= BURST {
                            burst = 0;
                            tokio::task::yield_now().await;
                        }
                    }
                },
                () = waited_for(room), if !has_room => {
                    // Nothing is heard of a peer that nobody listens to.
                    self.live.received(self.node.inner().shared.now());
                    self.gone |= ended(reader);
                }
                command = commands.recv() => match command {
                    Some(Command::Close(reason)) => return End::Close(reason),
                    Some(Command::Shutdown(deadline)) => return End::Shutdown(deadline),
                    Some(Command::Probe) => self.probe(),
                    Some(Command::Mark(number, asker)) => self.mark(number, asker),
                    Some(Command::Attach(_) | Command::Proceed) => {}
                    None => return End::Close("the node has ended".into()),
                },
                written = &mut *writer, if write_error.is_none() => {
                    // What the peer sent before it went is still to be read; its end follows.
                    write_error = Some(match written {
                        Ok(Ok(())) => return taken_over(),
                        Ok(Err(WriteError::Frame(error))) => return End::Lost(BreakCause::Here, error.to_string()),
                        Ok(Err(WriteError::Socket(error))) => error.to_string(),
                        Err(error) => return End::Lost(BreakCause::Here, error.to_string()),
                    });
                }
                () = &mut timer => {
                    if let Err(end) = self.pulse() {
                        return end;
                    }
                    timer.as_mut().reset(self.due());
                }
            }
        }
    }

    /// What to wait for before more is read, because the driver is behind with the requests of this
    /// link. They do not count any more when the peer has gone, or nothing can be written to it:
    /// then all that it has sent is read, and its end seen.
    fn room(&mut self, deaf: bool) -> Option<OwnedNotified> {
        self.gone |= deaf;
        let requests = &self.node.inner().shared.requests;
        if self.gone {
            requests.forget(self.link);
            return None;
        }
        requests.room(self.link)
    }

    /// When the clock is to be looked at.
    fn due(&self) -> Instant {
        let due = self.asked.unwrap_or(Time::MAX).min(self.live.next());
        let started = self.node.inner().shared.started;
        started.checked_add(due).unwrap_or_else(|| started + FAR)
    }

    /// Something came from the peer.
    fn heard(&mut self) {
        self.live.received(self.node.inner().shared.now());
        if self.asked.take().is_some() {
            self.node.event(Event::ProbeDone(self.link, true));
        }
    }

    fn probe(&mut self) {
        self.asked = Some(self.node.inner().shared.now() + PROBE_LIMIT);
        self.ask(0);
    }

    /// Asks for an answer that every peer gives.
    fn ask(&mut self, number: u64) {
        if self.outgoing.framing() == Framing::Native {
            self.pinged.get_or_insert(self.node.inner().shared.now());
            return self.outgoing.control(&self.remote, Control::Ping(number));
        }
        let to = self.node.id().named(PROBE_PORT);
        if let Ok(body) = Body::encode(&[Value::from(number)]) {
            self.aside(&Request::Send(to, body), None);
        }
    }

    pub(super) fn aside(&self, request: &Request, mark: Option<Mark>) {
        if let Err(error) = self.outgoing.aside(&self.remote, request, mark) {
            tracing::error!(%error, "a sign of life cannot be written");
        }
    }

    /// The clock says that something is due.
    fn pulse(&mut self) -> Result<(), End> {
        let now = self.node.inner().shared.now();
        if self.asked.is_some_and(|until| now >= until) {
            self.asked = None;
            self.node.event(Event::ProbeDone(self.link, false));
        }
        let sent = self.outgoing.last_sent();
        self.live.sent(sent);
        // This is so rare that a busy link does not notice, and an idle one keeps nothing.
        self.frames.rest();
        self.remote.spare.clear();
        // Only while something of ours still waits can a probe stand behind it.
        if self.remote.outbox.lock().backlog() > 0 {
            self.live.progress(sent);
        }
        while let Some(pulse) = self.live.poll(now) {
            match pulse {
                Pulse::Dead => {
                    let limit = self.node.inner().shared.link().monitor_timeout;
                    return Err(End::Silent(format!("nothing was heard of the node for {limit:?}")));
                }
                Pulse::Probe(number) => self.ask(number),
                Pulse::KeepAlive if self.outgoing.framing() == Framing::Native => self.ask(0),
                Pulse::KeepAlive => self.aside(&Request::Nothing, None),
            }
        }
        Ok(())
    }

    /// Delivers the frames that are complete, as long as this is the link to its node.
    fn frames(&mut self) -> Result<(), End> {
        let remote = self.remote.clone();
        let delivering = remote.delivering.lock();
        if *delivering != Some(self.link) {
            return Err(taken_over());
        }
        while self.frames.fill().map_err(bad_frame)? {
            // Where there are rules each message is looked at.
            if (self.node.follows_by_rules() || !self.messages()?)
                && let Some(frame) = self.frames.next().map_err(bad_frame)?
            {
                self.frame(frame)?;
            }
        }
        self.count();
        if self.numbered && self.received - self.acknowledged >= ACK_EVERY {
            self.acknowledged = self.received;
            self.outgoing.control(&self.remote, Control::Ack(self.received));
        }
        Ok(())
    }

    /// Bytes were read: delivers the frames that are complete by now.
    pub(super) fn read_frames(&mut self, bytes: usize) -> Result<(), End> {
        self.remote.counts.read(bytes);
        self.frames()
    }

    /// Adds what has come to what is counted.
    fn count(&mut self) {
        let (all, requests) = (self.received - self.counted, std::mem::take(&mut self.requests));
        if all > 0 {
            self.counted = self.received;
            self.remote.counts.received(all.saturating_sub(requests), requests);
        }
    }

    fn frame(&mut self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::Message { seq, port, body, trace } => {
                self.received = seq.unwrap_or(self.received + 1);
                self.single += 1;
                self.message(&port, body, trace.map(|trace| *trace))?;
            }
            Frame::Ping(number) => {
                if number & MARKED != 0 {
                    self.note_taken(Mark::Ping(number));
                }
                self.outgoing.control(&self.remote, Control::Pong(number));
            }
            Frame::Bye => {
                self.note_end();
                return Err(End::Bye);
            }
            Frame::Pong(number) => {
                if number & MARKED != 0 {
                    self.marked(number);
                }
                if let Some(asked) = self.pinged.take() {
                    self.remote.counts.answered(self.node.inner().shared.now().saturating_sub(asked));
                }
            }
            // Nothing is resumed yet, so what arrived there need not be known; credit is not
            // limited yet.
            Frame::Ack(_) | Frame::Credit(_) | Frame::KeepAlive => {}
        }
        Ok(())
    }

    fn message(&mut self, port: &str, body: Body, trace: Option<TraceContext>) -> Result<(), End> {
        if port.is_empty() {
            self.requests += 1;
            if !self.numbered {
                self.note_mark(&body);
            }
            if self.gone && Request::is_mesh(&body) {
                return Ok(());
            }
            self.node.remote_request(&self.remote, self.link, body, trace);
            return Ok(());
        }
        match port_here(&self.node, &mut self.live, port) {
            Some(number) => self.node.deliver_from(number, &self.remote.node, body, trace),
            None if port == PROBE_PORT => self.note_answer(&body),
            None => self.node.undeliverable_body(self.node.id().named(port), &body),
        }
        Ok(())
    }

    /// Delivers the messages that come next in the batch. False if something else comes.
    fn messages(&mut self) -> Result<bool, End> {
        let batch = self.frames.batch().clone();
        let before = self.received;
        let ended = loop {
            match self.frames.find() {
                Ok(Some(found)) => {
                    self.received = found.seq;
                    let (node, live) = (&self.node, &mut self.live);
                    self.streak.add(node, &batch, found, |name| port_here(node, live, name));
                }
                Ok(None) => break Ok(self.received != before),
                Err(error) => break Err(bad_frame(error)),
            }
        };
        self.streak.deliver(&self.node, &batch);
        ended
    }
}

/// Whether the peer has closed, as the system tells it also while there is unread data.
fn has_ended(reader: &OwnedReadHalf) -> bool {
    let ready = pin!(reader.ready(Interest::READABLE)).poll(&mut task::Context::from_waker(Waker::noop()));
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

/// Waits until there is room, or it is time to look whether the peer is still there.
async fn waited_for(room: Option<OwnedNotified>) {
    if let Some(room) = room {
        let _ = tokio::time::timeout(PRESENCE_INTERVAL, room).await;
    }
}

/// The port of this node with this name. An answer to a probe is noted instead.
fn port_here(node: &Node, live: &mut Liveness, name: &str) -> Option<PortNo> {
    if name == PROBE_PORT {
        live.answered();
        return None;
    }
    let (head, number) = name::split_name(name);
    match node.place_here(head, number) {
        Place::Here(number) => Some(number),
        Place::Node | Place::Nowhere | Place::There(_) => None,
    }
}

/// Reads and forgets what comes until the peer has ended.
pub(super) async fn drain<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<()> {
    match tokio::io::copy(reader, &mut tokio::io::sink()).await {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn taken_over() -> End {
    End::Lost(BreakCause::Replaced, "another connection took over".into())
}

fn bad_frame(error: FrameError) -> End {
    End::Lost(BreakCause::Malformed, format!("peer sent a malformed frame: {error}"))
}
