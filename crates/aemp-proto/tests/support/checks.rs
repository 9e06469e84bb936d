//! What must hold for any bytes at all. The fuzz targets and the test that replays their corpus
//! call this.

use std::sync::Arc;
use std::time::Duration;

use aemp_proto::NodeId;
use aemp_proto::budget::PeerBudgets;
use aemp_proto::kernel::{Action, Input, Kernel, KernelConfig, LinkId, Peer};
use aemp_proto::link::{Handshake, HandshakeEvent, LinkConfig, Side};
use aemp_proto::wire::{
    Body, Found, Frame, FrameError, FrameReader, Framing, Limits, Request, Str, reframe, write_message,
};
use bytes::{Bytes, BytesMut};

const LIMITS: Limits = Limits::DEFAULT.frame(1 << 16).depth(64);

/// Bytes read as frames: the same whole and in pieces, one by one and in runs, and what is accepted
/// can be decoded and sent on.
#[allow(dead_code)] // each target uses one of the two
pub(crate) fn read_frames(framing: Framing, bytes: &[u8]) {
    let whole = read(framing, bytes, bytes.len());
    for piece in [1, 7] {
        let pieces = read(framing, bytes, piece);
        assert_eq!(format!("{whole:?}"), format!("{pieces:?}"), "in pieces of {piece}");
    }
    assert_eq!(format!("{whole:?}"), format!("{:?}", read_in_runs(framing, bytes)), "in runs");
    for frame in whole.0 {
        if let Frame::Message { port, body, .. } = frame {
            check_message(&port, &body);
        }
    }
}

/// Bytes read as the values of a request: what is understood is understood again after being
/// written.
#[allow(dead_code)]
pub(crate) fn read_request(bytes: &[u8]) {
    // Anyone who makes a body has checked it, and still nothing may go wrong where that was
    // forgotten.
    let _ = Request::decode(&Body::new(1, Bytes::copy_from_slice(bytes)));
    let Ok(body) = Body::parse(Bytes::copy_from_slice(bytes), LIMITS) else { return };
    let Ok(request) = Request::decode(&body) else { return };
    let written = request.encode().expect("what was read within the limits can be written");
    let again = Request::decode(&written).expect("what we write is a request");
    assert_eq!(format!("{request:?}"), format!("{again:?}"));
}

/// Bytes read as what a peer says before there is trust: the same in any pieces, and the one who
/// does not know the secret is not let in.
#[allow(dead_code)]
pub(crate) fn read_handshake(bytes: &[u8]) {
    for side in [Side::Dialler, Side::Acceptor] {
        for relayed in [false, true] {
            let whole = handshake(bytes, bytes.len(), side, relayed);
            for piece in [1, 7] {
                assert_eq!(whole, handshake(bytes, piece, side, relayed), "in pieces of {piece}");
            }
        }
    }
}

/// What came of a handshake, as text. The kernel would let everybody go on.
fn handshake(bytes: &[u8], piece: usize, side: Side, relayed: bool) -> String {
    let node = |id: &str| NodeId::new(id).expect("a node ID");
    let config = Arc::new(LinkConfig::with_secret(node("own"), 7, b"secret"));
    let address = ([127, 0, 0, 1], 4040).into();
    let mut machine = match relayed {
        true => Handshake::relayed(config, side, &node("carrier"), [1; 66]),
        false => Handshake::new(config, side, address, address, [1; 66]),
    };
    let (mut buffer, mut told) = (BytesMut::new(), String::new());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        let read = machine.input(&mut buffer);
        while let Some(event) = machine.poll() {
            assert!(!matches!(event, HandshakeEvent::Verified | HandshakeEvent::Established(_)), "{event:?}");
            told += &format!("{event:?}\n");
        }
        if let Err(error) = read {
            return format!("{told}{error}");
        }
        if side == Side::Dialler {
            // It may be too early, or nothing be in common.
            let _ = machine.proceed();
        }
    }
    told
}

/// Bytes read as messages of three peers to the node port of a global node, which acts on them. The
/// port's name says which peer. What it wants sent can be sent, and nothing is kept for peers that
/// have gone.
#[allow(dead_code)]
pub(crate) fn act_on_requests(bytes: &[u8]) {
    let node = |id: &str| NodeId::new(id).expect("a node ID");
    let budgets = PeerBudgets::new(1 << 16);
    let mut config = KernelConfig::new(node("own"));
    (config.global, config.budgets) = (true, budgets.clone());
    let mut now = Duration::ZERO;
    let mut kernel = Kernel::new(config, now);
    let peers = ["a", "b", "c"].map(node);
    for (number, peer) in (0..).zip(&peers) {
        let (link, native) = (LinkId::accepted(number), number != 1);
        let incarnation = native.then_some(7);
        let peer =
            Peer { node: peer.clone(), incarnation, native, can_relay: native, client: false, via: None };
        kernel.handle(Input::Greeted { link, peer }, now);
        kernel.handle(Input::Verified { link }, now);
        kernel.handle(Input::Established { link }, now);
    }
    let mut reader = FrameReader::new(Framing::Cbor, LIMITS);
    reader.buffer().extend_from_slice(bytes);
    while let Ok(Some(frame)) = reader.next() {
        let Frame::Message { port, body, .. } = frame else { continue };
        let Ok(Request::Mesh(request)) = Request::decode(&body) else { continue };
        let from = peers[port.len() % peers.len()].clone();
        now += Duration::from_millis(50);
        kernel.handle(Input::Request { from, request }, now);
        perform(&mut kernel);
        assert!(peers.iter().all(|peer| budgets.of(peer).used() <= 1 << 16));
    }
    for number in 0..3 {
        kernel.handle(Input::Closed { link: LinkId::accepted(number), reason: "gone".into() }, now);
    }
    now += Duration::from_secs(10);
    kernel.handle(Input::Tick, now);
    perform(&mut kernel);
    assert!(peers.iter().all(|peer| budgets.of(peer).used() == 0), "{:?}", budgets);
}

fn perform(kernel: &mut Kernel) {
    while let Some(action) = kernel.poll() {
        if let Action::Send { request, .. } = action {
            let body = Request::Mesh(request).encode().expect("what a node sends can be written");
            Request::decode(&body).expect("what a node sends is a request");
        }
    }
}

fn read(framing: Framing, bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut reader = FrameReader::new(framing, LIMITS);
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        reader.buffer().extend_from_slice(piece);
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Reads as a reader does that delivers the messages for one port together.
fn read_in_runs(framing: Framing, bytes: &[u8]) -> (Vec<Frame>, Option<FrameError>) {
    let mut reader = FrameReader::new(framing, LIMITS);
    let mut frames = Vec::new();
    for piece in bytes.chunks(100) {
        reader.make_room();
        reader.buffer().extend_from_slice(piece);
        loop {
            loop {
                let batch = reader.batch().clone();
                match reader.find() {
                    Ok(Some(Found { seq, port, span, .. })) => {
                        let port =
                            Str::from_utf8(batch.slice(port)).expect("the reader has checked the name");
                        let body = span.body(&batch);
                        frames.push(Frame::Message { seq: Some(seq), port, body, trace: None });
                    }
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn check_message(port: &str, body: &Body) {
    let values = body.decode().expect("the reader has checked the body");
    assert_eq!(values.len(), body.count() as usize);
    assert_eq!(Body::parse(body.items().clone(), LIMITS).as_ref(), Ok(body));
    let encoded = Body::encode(&values).expect("what was decoded can be encoded");
    assert_eq!(encoded.decode().expect("just encoded"), values);
    let mut native = Vec::new();
    if write_message(&mut native, 1, port, body).is_err() {
        assert!(port.len() > usize::from(u16::MAX));
        return;
    }
    check_parts(&native, body);
    for framing in Framing::ALL {
        let mut out = Vec::new();
        let sent = reframe(&native, framing, &mut out);
        if framing == Framing::Json {
            assert_eq!(sent.is_ok(), body.len_in(Framing::Json, "").is_ok());
        }
        if sent.is_err() {
            continue;
        }
        // Large in another framing is not wrong, only too long for these limits.
        let mut reader = FrameReader::new(framing, Limits::DEFAULT);
        reader.buffer().extend_from_slice(&out);
        let Ok(Some(Frame::Message { port: name, body: received, .. })) = reader.next() else {
            panic!("{framing} did not come back");
        };
        assert_eq!(name, *port);
        assert_eq!(received.count(), body.count());
        if framing != Framing::Json {
            assert_eq!(received, *body);
        }
    }
}

/// The same message comes out of the parts of a native frame, however many there are.
fn check_parts(native: &[u8], body: &Body) {
    let payload = &native[16..];
    for pieces in [1, 2, 5] {
        let mut reader = FrameReader::new(Framing::Native, Limits::DEFAULT);
        let mut left = payload.len();
        for piece in payload.chunks(payload.len().div_ceil(pieces)) {
            reader.buffer().extend_from_slice(&(20 + piece.len() as u32).to_le_bytes());
            reader.buffer().extend_from_slice(&[
                2,
                0,
                u8::from(piece.len() == left),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ]);
            reader.buffer().extend_from_slice(&[[1, 0, 0, 0], (left as u32).to_le_bytes()].concat());
            reader.buffer().extend_from_slice(piece);
            left -= piece.len();
        }
        let Ok(Some(Frame::Message { seq: Some(1), body: received, .. })) = reader.next() else {
            panic!("{pieces} parts did not become a message");
        };
        assert_eq!(received, *body);
    }
}
