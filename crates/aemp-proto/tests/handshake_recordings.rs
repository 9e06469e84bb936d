//! Recorded handshakes of Perl nodes: their proofs verify, and our machine reads their lines and
//! gets to the same agreement.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aemp_proto::link::auth::{self, Lines, Method};
use aemp_proto::link::{Greeting, Handshake, HandshakeError, HandshakeEvent, LinkConfig, PeerAddress, Side};
use aemp_proto::{Framing, NodeId};
use bytes::BytesMut;
use serde_json::Value as Json;

/// All recordings of version 2.02, by name.
fn recordings() -> BTreeMap<String, Json> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/aemp-2.02");
    let files = std::fs::read_dir(folder).expect("the recordings");
    let read = |path: &Path| {
        let session = serde_json::from_slice(&std::fs::read(path).expect("a recording")).expect("JSON");
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), session)
    };
    files.map(|file| read(&file.expect("a file").path())).collect()
}

/// The lines that one side of each connection sent, without their ends: connection and direction →
/// lines.
fn sides(session: &Json) -> BTreeMap<(u64, String), Vec<String>> {
    let mut sides: BTreeMap<(u64, String), Vec<String>> = BTreeMap::new();
    for line in session["handshake"].as_array().expect("lines") {
        let key =
            (line["conn"].as_u64().expect("a number"), line["dir"].as_str().expect("a direction").into());
        // One client of the recordings ends its lines with CR LF.
        sides
            .entry(key)
            .or_default()
            .push(line["line"].as_str().expect("a line").trim_end_matches('\r').into());
    }
    sides
}

fn reverse(direction: &str) -> String {
    direction.chars().rev().collect()
}

fn secret_of<'a>(session: &'a Json, node: &str) -> &'a str {
    session["secret"].as_str().or_else(|| session["secret"][node].as_str()).expect("a secret")
}

fn lines(side: &[String]) -> Lines {
    Lines { greeting: side[0].clone().into(), nonce: side[1].clone().into() }
}

/// Whether the proof in a recorded authentication line is right for this secret.
fn verifies(from: &[String], to: &[String], secret: &str) -> bool {
    let [name, data, framing] = from[2].split(';').collect::<Vec<_>>()[..] else {
        panic!("an authentication line")
    };
    assert!(framing == "storable" || Framing::from_name(framing).is_some());
    let method = Method::from_name(name).expect("a method");
    auth::verify(method, secret.as_bytes(), &lines(from), &lines(to), data.as_bytes())
}

#[test]
fn every_recorded_proof_verifies_against_the_recorded_lines() {
    let mut verified = 0;
    for (name, session) in recordings() {
        let sides = sides(&session);
        for ((conn, direction), from) in &sides {
            let Some(to) = sides.get(&(*conn, reverse(direction))) else { continue };
            if from.len() < 3 || to.len() < 2 {
                // Refused before (self_seed, second_connection, no_common_auth), or opaque (tls).
                assert!(
                    ["self_seed", "second_connection", "no_common_auth", "tls", "wrong_secret"]
                        .contains(&&*name),
                    "{name} has no authentication line"
                );
                continue;
            }
            let (sender, receiver) = direction.split_once('>').expect("a direction");
            assert!(
                verifies(from, to, secret_of(&session, sender)),
                "{name}, connection {conn}, {direction}"
            );
            let same = secret_of(&session, sender) == secret_of(&session, receiver);
            assert_eq!(verifies(from, to, secret_of(&session, receiver)), same, "{name}");
            assert!(!verifies(from, to, "another secret"), "{name}");
            verified += 1;
        }
    }
    assert!(verified >= 50, "only {verified} lines were checked");
}

#[test]
fn every_recorded_greeting_is_read_and_written_again() {
    for (name, session) in recordings() {
        for side in sides(&session).values() {
            let greeting =
                Greeting::parse(side[0].as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(
                Greeting::parse(greeting.to_line().as_bytes()).expect("our own line"),
                greeting,
                "{name}"
            );
        }
    }
}

fn machine(side: Side, secret: &str, local: &str, config: impl Fn(&mut LinkConfig)) -> Handshake {
    let node = NodeId::new("ours").expect("a node ID");
    let mut link = LinkConfig::with_secret(node, 1, secret.as_bytes());
    config(&mut link);
    let local: SocketAddr = local.parse().expect("an address");
    let remote = "127.0.0.1:9".parse().expect("an address");
    Handshake::new(Arc::new(link), side, local, remote, [7; 66])
}

/// Feeds a Perl side's greeting and nonce to our machine, which has the address that the Perl node
/// saw, and answers with the line that the Perl node would send to *our* lines. Returns both
/// machines' agreement.
#[test]
fn our_machine_agrees_with_the_recorded_sides() {
    let mut agreed = 0;
    for (name, session) in recordings() {
        for ((conn, direction), theirs) in sides(&session) {
            let greeting = Greeting::parse(theirs[0].as_bytes()).expect("it was read before");
            // Not played: opaque after the greeting (tls), refused before the line, a method or
            // framing that is not ours.
            let other = ["tls", "no_common_auth", "handshake_storable"].contains(&&*name);
            if other || theirs.len() < 3 || theirs[2].starts_with("cleartext") {
                continue;
            }
            let place = format!("{name}, connection {conn}, {direction}");
            let secret = secret_of(&session, greeting.node.as_str());
            let local = greeting.get("peeraddr").unwrap_or("127.0.0.1:1").to_string();
            for side in [Side::Dialler, Side::Acceptor] {
                let mut ours = machine(side, secret, &local, |_| ());
                let output = ours.output();
                let mut our_lines = output.split(|b| *b == b'\n').map(|line| line.to_vec());
                let our_lines = Lines {
                    greeting: our_lines.next().expect("a greeting"),
                    nonce: our_lines.next().expect("a nonce"),
                };
                let mut buffer = BytesMut::from(format!("{}\r\n{}\n", theirs[0], theirs[1]).as_bytes());
                ours.input(&mut buffer).unwrap_or_else(|error| panic!("{place}: {error}"));
                let Some(HandshakeEvent::Greeted(peer)) = ours.poll() else { panic!("{place}: not greeted") };
                assert_eq!((peer.node, peer.native), (greeting.node.clone(), false));
                let answer = auth::proof(Method::HmacSha3, secret.as_bytes(), &lines(&theirs), &our_lines);
                let mut buffer = BytesMut::from(format!("hmac_sha3_512;{answer};json\n").as_bytes());
                if side == Side::Acceptor {
                    ours.input(&mut buffer).expect("the proof is right");
                    assert_eq!(ours.poll(), Some(HandshakeEvent::Verified), "{place}");
                }
                ours.proceed().expect("a method and a framing in common");
                let line = String::from_utf8(ours.output()).expect("ASCII");
                let expected = auth::proof(Method::HmacSha3, secret.as_bytes(), &our_lines, &lines(&theirs));
                // The framing is the first that they read and we write.
                let framing = if theirs[0].contains(";json") { "json" } else { "cbor" };
                assert_eq!(line, format!("hmac_sha3_512;{expected};{framing}\n"), "{place}");
                ours.input(&mut buffer).expect("the proof is right");
                let Some(HandshakeEvent::Established(terms)) = ours.poll() else {
                    panic!("{place}: no agreement")
                };
                assert_eq!(terms.receive, Framing::Json);
                assert_eq!(terms.heartbeat, None);
                assert_eq!(terms.monitors, theirs[0].contains(";mproto=1"), "{place}");
                agreed += 1;
            }
        }
    }
    assert!(agreed >= 80, "only {agreed} handshakes were played");
}

/// Bytes of the other side, whole, and what becomes of them.
fn fails_with(config: impl Fn(&mut LinkConfig), side: Side, input: &[u8]) -> Option<HandshakeError> {
    let mut ours = machine(side, "secret", "127.0.0.1:1", config);
    ours.input(&mut BytesMut::from(input)).err()
}

#[test]
fn a_peer_that_saw_another_address_is_refused_unless_its_role_says_more() {
    let line = |pairs: &str| format!("aemp;1;n;hmac_sha3_512;json{pairs}\nnonce\n").into_bytes();
    let auto = |_: &mut LinkConfig| ();
    let strict = |config: &mut LinkConfig| config.verify_peeraddr = PeerAddress::Strict;
    let dialler = Side::Dialler;
    assert_eq!(fails_with(auto, dialler, &line(";peeraddr=127.0.0.1:1")), None);
    assert_eq!(fails_with(auto, dialler, &line(";peeraddr=[::ffff:127.0.0.1]:1")), None);
    // Who dials all addresses of its own host reaches loopback.
    assert_eq!(fails_with(auto, Side::Acceptor, &line(";peeraddr=0.0.0.0:1")), None);
    assert!(fails_with(auto, Side::Acceptor, &line(";peeraddr=0.0.0.0:2")).is_some());
    assert_eq!(fails_with(auto, dialler, &line("")), None);
    assert_eq!(
        fails_with(auto, dialler, &line(";peeraddr=10.0.0.1:1;role=s;inc=00000000000000000000000000000001")),
        None
    );
    let other = fails_with(auto, dialler, &line(";peeraddr=10.0.0.1:1"));
    assert!(matches!(other, Some(HandshakeError::PeerAddress { .. })), "{other:?}");
    assert_eq!(fails_with(auto, dialler, &line(";role=c")), Some(HandshakeError::SameRole));
    assert_eq!(fails_with(auto, Side::Acceptor, &line(";role=s")), Some(HandshakeError::SameRole));
    assert_eq!(fails_with(strict, dialler, &line("")), Some(HandshakeError::NoPeerAddress));
    assert!(
        fails_with(
            strict,
            dialler,
            &line(";peeraddr=10.0.0.1:1;role=s;inc=00000000000000000000000000000001")
        )
        .is_some()
    );
}

#[test]
fn a_node_may_be_seen_where_it_advertises_that_it_can_be_dialled() {
    let line = |keys: &str| format!("aemp;1;n;hmac_sha3_512;cbor{keys}\nn\n").into_bytes();
    let seen = |address: &str| line(&format!(";peeraddr={address}"));
    let behind = |config: &mut LinkConfig| {
        config.advertised = vec!["203.0.113.7:14040".parse().unwrap(), "[2001:db8::7]:0".parse().unwrap()];
        config.advertised_names = vec![("node.example".into(), 14040), ("any.example".into(), 0)];
    };
    let strictly = |config: &mut LinkConfig| {
        config.verify_peeraddr = PeerAddress::Strict;
        behind(config);
    };
    for (side, address, fits) in [
        (Side::Acceptor, "203.0.113.7:14040", true),
        (Side::Acceptor, "[::ffff:203.0.113.7]:14040", true),
        (Side::Acceptor, "203.0.113.7:4040", false),
        (Side::Acceptor, "203.0.113.8:14040", false),
        (Side::Acceptor, "[2001:db8::7]:99", true),
        (Side::Acceptor, "nonsense", false),
        // A Perl node that has dialled a name says the name.
        (Side::Acceptor, "node.example:14040", true),
        (Side::Acceptor, "Node.Example:14040", true),
        (Side::Acceptor, "node.example:4040", false),
        (Side::Acceptor, "other.example:14040", false),
        (Side::Acceptor, "any.example:99", true),
        (Side::Dialler, "node.example:14040", false),
        // Where we dial from, address translation chooses the port.
        (Side::Dialler, "203.0.113.7:50000", true),
        (Side::Dialler, "203.0.113.8:50000", false),
    ] {
        for error in [fails_with(behind, side, &seen(address)), fails_with(strictly, side, &seen(address))] {
            assert_eq!(error.is_none(), fits, "{side:?} {address}: {error:?}");
        }
    }
}

#[test]
fn unknown_capabilities_and_keys_mean_nothing() {
    let line =
        b"aemp;1;n;hmac_sha3_512,future;aemp9,aemp1,cbor;role=s;inc=0000000000000000000000000000000f;hb=4;caps=ack,warp,9;colour=blue\nn\n";
    let mut ours = machine(Side::Dialler, "secret", "127.0.0.1:1", |_| ());
    ours.input(&mut BytesMut::from(&line[..])).expect("nothing is wrong with it");
    let Some(HandshakeEvent::Greeted(peer)) = ours.poll() else { panic!("not greeted") };
    assert_eq!((peer.incarnation, peer.native), (Some(15), true));
    ours.output();
    ours.proceed().expect("hmac and aemp1 are in common");
    assert!(String::from_utf8(ours.output()).expect("ASCII").ends_with(";aemp1\n"));
}

#[test]
fn what_was_not_offered_is_refused() {
    let begin = "aemp;1;n;hmac_sha3_512;json\nn\n";
    for (auth, plain_secret_accepted) in
        [("cleartext;736563726574;json\n", true), ("tls_anon;;json\n", false)]
    {
        let input = format!("{begin}{auth}");
        let error = fails_with(|_| (), Side::Acceptor, input.as_bytes());
        assert!(matches!(error, Some(HandshakeError::MethodNotOffered(_))), "{auth}: {error:?}");
        let open = |config: &mut LinkConfig| config.accept = Method::ALL.to_vec();
        assert_eq!(
            fails_with(open, Side::Acceptor, input.as_bytes()).is_none(),
            plain_secret_accepted,
            "{auth}"
        );
    }
    let input = format!("{begin}hmac_sha3_512;00;storable\n");
    let error = fails_with(|_| (), Side::Acceptor, input.as_bytes());
    assert!(matches!(error, Some(HandshakeError::FramingNotOffered(_))), "{error:?}");
    let error = fails_with(|_| (), Side::Acceptor, b"aemp;1;n;hmac_md6_64_256;json\nn\n");
    assert!(matches!(error, Some(HandshakeError::NoMethod(_))), "{error:?}");
    let error = fails_with(|_| (), Side::Acceptor, b"aemp;1;n;hmac_sha3_512;storable\nn\n");
    assert!(matches!(error, Some(HandshakeError::NoFraming(_))), "{error:?}");
    let tls_only = |config: &mut LinkConfig| config.accept = vec![Method::TlsSha3];
    assert_eq!(fails_with(tls_only, Side::Acceptor, begin.as_bytes()), Some(HandshakeError::TlsRequired));
}

#[test]
fn lines_are_limited_and_echoes_are_noticed() {
    let long = |len: usize| [vec![b'a'; len], b"\n".to_vec()].concat();
    let error = fails_with(|_| (), Side::Acceptor, &long(4096));
    assert_eq!(error, Some(HandshakeError::LineTooLong));
    let error = fails_with(|_| (), Side::Acceptor, &vec![b'a'; 4096]);
    assert_eq!(error, Some(HandshakeError::LineTooLong));
    let mut greeting = b"aemp;1;n;hmac_sha3_512;json;k=".to_vec();
    greeting.resize(4095, b'x');
    greeting.push(b'\n');
    assert_eq!(fails_with(|_| (), Side::Acceptor, &greeting), None);
    let mut ours = machine(Side::Dialler, "secret", "127.0.0.1:1", |_| ());
    let mut echo = BytesMut::from(&ours.output()[..]);
    let error = ours.input(&mut echo).expect_err("an echo");
    // Our own greeting has our own role.
    assert!(matches!(error, HandshakeError::Echo | HandshakeError::SameRole), "{error}");
}
