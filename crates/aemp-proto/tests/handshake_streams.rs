//! The handshake of data connections: whose greeting says what, which proofs count, and where the
//! stream begins.

use std::net::SocketAddr;
use std::sync::Arc;

use aemp_proto::NodeId;
use aemp_proto::link::{Handshake, HandshakeError, HandshakeEvent, LinkConfig, Side};
use bytes::BytesMut;

const DIALLER: &str = "127.0.0.1:40000";
const ACCEPTOR: &str = "127.0.0.1:4040";

fn config(node: &str, secret: &str) -> Arc<LinkConfig> {
    Arc::new(LinkConfig::with_secret(NodeId::new(node).expect("a node ID"), 7, secret.as_bytes()))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn dials(id: &str) -> Handshake {
    Handshake::for_stream(config("a", "secret"), id, address(DIALLER), address(ACCEPTOR), [1; 66])
}

fn accepts(secret: &str) -> Handshake {
    let config = config("b", secret);
    Handshake::new(config, Side::Acceptor, address(ACCEPTOR), address(DIALLER), [2; 66])
}

/// Gives one side what the other has to say, in pieces of this size.
fn hand_over(from: &mut Handshake, to: &mut Handshake, size: usize) -> Result<BytesMut, HandshakeError> {
    let mut buffer = BytesMut::new();
    for piece in from.output().chunks(size) {
        buffer.extend_from_slice(piece);
        to.input(&mut buffer)?;
    }
    Ok(buffer)
}

fn greeted(machine: &mut Handshake) -> (String, String) {
    match machine.poll() {
        Some(HandshakeEvent::StreamGreeted { peer, id }) => (peer.node.to_string(), id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_learn_which_stream_it_is_before_and_whose_after_the_proofs() {
    for size in [1, 7, 4096] {
        let (mut dialler, mut acceptor) = (dials("some@id"), accepts("secret"));
        hand_over(&mut dialler, &mut acceptor, size).expect("a greeting");
        hand_over(&mut acceptor, &mut dialler, size).expect("a greeting");
        assert_eq!(greeted(&mut acceptor), ("a".into(), "some@id".into()));
        assert_eq!(greeted(&mut dialler), ("b".into(), "some@id".into()));
        // Nobody has said more unasked.
        assert!(acceptor.output().is_empty() && dialler.output().is_empty());
        dialler.proceed().expect("a common method");
        hand_over(&mut dialler, &mut acceptor, size).expect("a proof");
        assert_eq!(acceptor.poll(), Some(HandshakeEvent::Verified));
        acceptor.proceed().expect("a common method");
        let mut buffer = BytesMut::from(&[&acceptor.output()[..], b"\nof the stream\n"].concat()[..]);
        dialler.input(&mut buffer).expect("a proof");
        assert_eq!(&buffer[..], b"\nof the stream\n");
        for machine in [&mut dialler, &mut acceptor] {
            assert!(matches!(machine.poll(), Some(HandshakeEvent::Established(_))));
        }
    }
}

#[test]
fn the_greeting_says_what_a_perl_node_needs_and_nothing_of_messages() {
    let line = String::from_utf8(dials("b@a").output()).expect("ASCII");
    let line = line.lines().next().expect("a greeting").to_string();
    assert!(line.starts_with("aemp-dataconn;1;a;hmac_sha3_512;"), "{line}");
    let keys: Vec<&str> = line.split(';').skip(5).filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    assert_eq!(keys, ["dataconn_id", "inc", "peeraddr", "provider", "role"]);
    assert!(line.contains(";dataconn_id=b@a;") && line.contains(";peeraddr=127.0.0.1:4040;"), "{line}");
}

#[test]
fn an_acceptor_wants_an_id_and_a_proof_of_the_same_secret() {
    let mut other = accepts("another one");
    let mut dialler = dials("id");
    hand_over(&mut dialler, &mut other, 4096).expect("a greeting");
    hand_over(&mut other, &mut dialler, 4096).expect("a greeting");
    dialler.proceed().expect("a common method");
    assert_eq!(hand_over(&mut dialler, &mut other, 4096), Err(HandshakeError::WrongProof));
    for line in
        ["aemp-dataconn;1;a;hmac_sha3_512;cbor\n", "aemp-dataconn;1;a;hmac_sha3_512;cbor;dataconn_id=\n"]
    {
        let error = accepts("secret").input(&mut BytesMut::from(line));
        assert_eq!(error, Err(HandshakeError::NoStreamId));
    }
    let error = accepts("secret").input(&mut BytesMut::from("aemp-other;1;a;hmac_sha3_512;cbor\n"));
    assert_eq!(error, Err(HandshakeError::OtherProtocol("aemp-other".into())));
}

#[test]
fn only_the_dialler_of_a_stream_takes_a_stream_for_an_answer() {
    let line = "aemp-dataconn;1;b;hmac_sha3_512;cbor;dataconn_id=x\n";
    assert_eq!(dials("id").input(&mut BytesMut::from(line)), Ok(()));
    let config = config("a", "secret");
    let mut node = Handshake::new(config, Side::Dialler, address(DIALLER), address(ACCEPTOR), [1; 66]);
    let error = node.input(&mut BytesMut::from(line));
    assert_eq!(error, Err(HandshakeError::OtherProtocol("aemp-dataconn".into())));
}
