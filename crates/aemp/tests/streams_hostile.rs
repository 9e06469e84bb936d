//! Data connections with peers made by hand: nobody gets a stream that is not his, or twice, or
//! before he has proven himself; and of what a peer sends ahead no byte is lost.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::io;
use std::time::Duration;

use aemp::{Node, NodeId, Stream, StreamError};
use aemp_proto::link::auth::{self, Lines, Method};
use serde_json::{Value as Json, json};
use support::raw::{Raw, SECRET};
use support::{LIMIT, builder, soon};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const EXPECT: &str = "AnyEvent::MP::DataConn::_expect";
const CONNECT: &str = "AnyEvent::MP::DataConn::_connect";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

async fn target() -> Node {
    let echo = |_, mut stream: Stream, (): ()| async move {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        tokio::io::copy(&mut reader, &mut writer).await?;
        stream.shutdown().await
    };
    let node = builder(false).id("target").bind("127.0.0.1:0").secret(SECRET).stream_function("echo", echo);
    node.stream_function("greet", |_, mut stream: Stream, (): ()| async move {
        stream.write_all(b"hello").await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        stream.write_all(&all).await?;
        Ok::<_, io::Error>(())
    })
    .start()
    .await
    .unwrap()
}

/// A connection of nodes with the target, made by hand.
struct Peer {
    raw: Raw,
}

impl Peer {
    async fn join(node: &Node, id: &str) -> Peer {
        let mut raw = Raw::connect(node).await;
        raw.authenticate(&format!("aemp;1;{id};hmac_sha3_512;json"), "json").await;
        raw.line().await; // its proof
        Peer { raw }
    }

    async fn send(&mut self, message: Json) {
        self.raw.send(message.to_string()).await;
    }

    /// The next message for this port of ours.
    async fn message(&mut self, port: &str) -> Json {
        loop {
            let mut bytes = Vec::new();
            let message = soon("a message", async {
                loop {
                    bytes.push(self.raw.reader.read_u8().await.unwrap());
                    if let Ok(message) = serde_json::from_slice::<Json>(&bytes) {
                        return message;
                    }
                }
            });
            let message = message.await;
            if message[0] == port {
                return message;
            }
        }
    }

    /// The next request with this tag.
    async fn request(&mut self, tag: &str) -> Json {
        // Signs of life are messages too.
        soon("the request", async {
            loop {
                let message = self.message("").await;
                if message[1] == tag {
                    return message;
                }
            }
        })
        .await
    }

    /// Announces a data connection, and waits until it is expected or refused.
    async fn announce(&mut self, own: &str, id: &str, limit: f64, function: &str) {
        self.send(json!(["", EXPECT, id, format!("{own}#port"), limit, function])).await;
        self.send(json!(["", "snd", format!("{own}#answer"), "expected"])).await;
        assert_eq!(self.message("answer").await[1], "expected");
    }
}

fn greeting(node: &str, id: &str) -> String {
    format!("aemp-dataconn;1;{node};hmac_sha3_512;json;dataconn_id={id}")
}

/// Dials a data connection with the right proof.
async fn dial(target: &Node, node: &str, id: &str) -> Raw {
    let mut raw = Raw::connect(target).await;
    raw.authenticate(&greeting(node, id), "json").await;
    raw
}

/// Such a connection was closed, and nothing was said.
async fn is_refused(raw: Raw) {
    let rest = raw.closed().await;
    assert!(rest.is_empty(), "it was told {:?}", String::from_utf8_lossy(&rest));
}

/// The echo of the target, up to the end.
async fn echoes(mut raw: Raw, sent_ahead: &str) {
    assert!(raw.line().await.starts_with(b"hmac_sha3_512;"));
    raw.send("more").await;
    raw.writer.shutdown().await.unwrap();
    assert_eq!(raw.closed().await, format!("{sent_ahead}more").into_bytes());
}

#[test]
fn an_id_is_good_once_for_one_node_and_only_with_a_proof() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        is_refused(dial(&target, "friend", "first").await).await; // not announced yet
        peer.announce("friend", "first", 20.0, "echo").await;
        for (node, id) in [("friend", "firs"), ("friend", "first2"), ("friend", "FIRST"), ("other", "first")]
        {
            is_refused(dial(&target, node, id).await).await;
        }
        let mut unproven = Raw::connect(&target).await;
        let wrong = "0".repeat(128);
        unproven.send(format!("{}\nn\nhmac_sha3_512;{wrong};json\n", greeting("friend", "first"))).await;
        is_refused(unproven).await;
        // None of that has used it up.
        echoes(dial(&target, "friend", "first").await, "").await;
        is_refused(dial(&target, "friend", "first").await).await;
        // The same ID anew is another connection.
        peer.announce("friend", "first", 20.0, "echo").await;
        echoes(dial(&target, "friend", "first").await, "").await;
    });
}

#[test]
fn two_who_dial_the_same_id_at_once_are_not_both_let_in() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        for round in 0..20 {
            let id = format!("round{round}");
            peer.announce("friend", &id, 20.0, "greet").await;
            let (one, two) = tokio::join!(dial(&target, "friend", &id), dial(&target, "friend", &id));
            let finish = async |mut raw: Raw| {
                // An error says that it was closed already.
                let _ = raw.writer.shutdown().await;
                raw.closed().await.ends_with(b"hello")
            };
            let (one, two) = tokio::join!(finish(one), finish(two));
            assert!(one != two, "{one} {two}");
        }
    });
}

#[test]
fn an_id_that_is_expected_already_is_refused() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        peer.announce("friend", "taken", 20.0, "echo").await;
        let mut other = Peer::join(&target, "other").await;
        other.send(json!(["", EXPECT, "taken", "other#port", 20, "greet"])).await;
        let killed = other.request("kil1").await;
        assert_eq!((&killed[2], &killed[3]), (&json!("port"), &json!("AnyEvent::MP::DataConn")));
        echoes(dial(&target, "friend", "taken").await, "").await;
    });
}

#[test]
fn what_comes_too_late_is_refused_and_the_port_is_told() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        peer.announce("friend", "late", 0.05, "echo").await;
        let killed = peer.request("kil1").await;
        assert_eq!((&killed[2], &killed[3]), (&json!("port"), &json!("AnyEvent::MP::DataConn")));
        assert!(killed[4].as_str().unwrap().contains("within"), "{killed}");
        is_refused(dial(&target, "friend", "late").await).await;
    });
}

#[test]
fn what_nobody_wants_any_more_is_not_expected() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        peer.send(json!(["", EXPECT, "given.up", "friend#port", 20, "echo"])).await;
        assert_eq!(peer.request("mon1").await[2], "port");
        peer.send(json!(["", "kil0", "port"])).await;
        // It withdraws in a task of its own: until then the ID is taken.
        soon("the withdrawal", async {
            loop {
                peer.send(json!(["", EXPECT, "given.up", "friend#second", 20, "echo"])).await;
                loop {
                    let message = peer.message("").await;
                    match message[1].as_str().unwrap() {
                        "mon1" if message[2] == "second" => return,
                        "kil1" if message[2] == "second" => break,
                        _ => {}
                    }
                }
            }
        })
        .await;
        echoes(dial(&target, "friend", "given.up").await, "").await;
    });
}

#[test]
fn bad_requests_are_refused_one_by_one() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        for request in [
            json!([EXPECT]),
            json!([EXPECT, "a", "friend#port", "soon", "echo"]),
            json!([EXPECT, "a", "friend#port", -1, "echo"]),
            json!([EXPECT, "a", "target#port", 20, "echo"]),
            json!([EXPECT, "a", "nobody#port", 20, "echo"]),
            json!([EXPECT, "", "friend#port", 20, "echo"]),
            json!([EXPECT, "a;b=c", "friend#port", 20, "echo"]),
            json!([EXPECT, "a\nb", "friend#port", 20, "echo"]),
            json!([EXPECT, "a%3b", "friend#port", 20, "echo"]),
            json!([EXPECT, "x".repeat(2000), "friend#port", 20, "echo"]),
            json!([CONNECT]),
            json!([CONNECT, "unknown", "friend"]),
            json!([CONNECT, "unknown", "target"]),
            json!(["AnyEvent::MP::DataConn::connect_to", "friend", 10, "echo"]),
            json!(["AnyEvent::MP::DataConn::_inject"]),
        ] {
            let mut message = request.as_array().unwrap().clone();
            message.insert(0, json!(""));
            peer.send(Json::Array(message)).await;
        }
        for id in ["a", "a;b=c", "unknown", "x"] {
            is_refused(dial(&target, "friend", id).await).await;
        }
        peer.announce("friend", "good", 20.0, "echo").await;
        echoes(dial(&target, "friend", "good").await, "").await;
    });
}

#[test]
fn hostile_greetings_are_closed_and_told_nothing() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        peer.announce("friend", "wanted", 20.0, "echo").await;
        for greeting in [
            "aemp-dataconn;1;friend;hmac_sha3_512;json",
            "aemp-dataconn;1;friend;hmac_sha3_512;json;dataconn_id=",
            "aemp-dataconn;1;friend;hmac_sha3_512;json;dataconn_id=wanted;dataconn_id=wanted",
            "aemp-dataconn;1;friend;hmac_sha3_512;json;dataconn_id=wanted;role=s;inc=00000000000000000000000000000001",
            "aemp-dataconn;1;friend;hmac_sha3_512;json;dataconn_id=wanted;peeraddr=10.1.2.3:4",
            "aemp-dataconn;2;friend;hmac_sha3_512;json;dataconn_id=wanted",
            "aemp-dataconns;1;friend;hmac_sha3_512;json;dataconn_id=wanted",
            "aemp-DATACONN;1;friend;hmac_sha3_512;json;dataconn_id=wanted",
            "aemp-dataconn;1;friend;nothing;json;dataconn_id=wanted",
        ] {
            let mut raw = Raw::connect(&target).await;
            raw.authenticate(greeting, "json").await;
            is_refused(raw).await;
        }
        // A proof for a connection of nodes is not one for a stream.
        let mut raw = Raw::connect(&target).await;
        let node = Lines { greeting: "aemp;1;friend;hmac_sha3_512;json".into(), nonce: "n".into() };
        let proof = auth::proof(Method::HmacSha3, SECRET.as_bytes(), &node, &raw.theirs);
        raw.send(format!("{}\nn\nhmac_sha3_512;{proof};json\n", greeting("friend", "wanted"))).await;
        is_refused(raw).await;
        echoes(dial(&target, "friend", "wanted").await, "").await;
    });
}

#[test]
fn bytes_behind_the_proof_belong_to_the_stream() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        peer.announce("friend", "eager", 20.0, "echo").await;
        let mut raw = Raw::connect(&target).await;
        let greeting = greeting("friend", "eager");
        let ours = Lines { greeting: greeting.clone().into(), nonce: "n".into() };
        let proof = auth::proof(Method::HmacSha3, SECRET.as_bytes(), &ours, &raw.theirs);
        let ahead = "aemp;1;like a greeting\n\r\n[\"\"]".repeat(1000);
        raw.send(format!("{greeting}\nn\nhmac_sha3_512;{proof};json\n{ahead}")).await;
        echoes(raw, &ahead).await;
    });
}

/// Plays the listener of `friend`, which was asked to be dialled: answers as this node, with bytes
/// right behind the proof.
async fn accept(listener: &TcpListener, as_node: &str, right: bool) -> Vec<u8> {
    let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader);
    let mut line = async || {
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line).await.unwrap();
        line.pop();
        line
    };
    let theirs = Lines { greeting: line().await, nonce: line().await };
    let greeting = String::from_utf8(theirs.greeting.clone()).unwrap();
    assert!(greeting.starts_with("aemp-dataconn;1;target;"), "{greeting}");
    assert!(greeting.ends_with(";dataconn_id=back;inc=") || greeting.contains(";dataconn_id=back;"));
    let ours = Lines { greeting: format!("aemp;1;{as_node};hmac_sha3_512;json").into(), nonce: "n".into() };
    writer.write_all(&[&ours.greeting[..], b"\nn\n"].concat()).await.unwrap();
    if line().await.is_empty() {
        return Vec::new(); // it does not prove anything to this node
    }
    let secret: &[u8] = if right { SECRET.as_bytes() } else { b"another one" };
    let proof = auth::proof(Method::HmacSha3, secret, &ours, &theirs);
    writer.write_all(format!("hmac_sha3_512;{proof};json\nahead").as_bytes()).await.unwrap();
    // An error says that the node has closed the connection.
    let _ = writer.shutdown().await;
    let mut rest = Vec::new();
    let _ = soon("the end", lines.read_to_end(&mut rest)).await;
    rest
}

#[test]
fn a_peer_that_wants_to_be_dialled_has_to_be_the_right_one() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "friend").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        peer.send(json!(["", "g_slave", {"'l": {"friend": [address]}}])).await;
        for (as_node, right, expected) in
            [("friend", true, "helloahead"), ("other", true, ""), ("friend", false, "")]
        {
            peer.announce("friend", "back", 20.0, "greet").await;
            peer.send(json!(["", CONNECT, "back", "friend"])).await;
            peer.send(json!(["", CONNECT, "back", "friend"])).await; // once is enough
            let got = accept(&listener, as_node, right).await;
            assert_eq!(String::from_utf8(got).unwrap(), expected);
            if expected.is_empty() {
                assert_eq!(peer.request("kil1").await[2], "port");
            }
        }
        // Only that node may ask for it.
        peer.announce("friend", "back", 20.0, "greet").await;
        let mut other = Peer::join(&target, "other").await;
        other.send(json!(["", CONNECT, "back", "friend"])).await;
        other.send(json!(["", CONNECT, "back", "other"])).await;
        other.send(json!(["", "snd", "other#answer", "done"])).await;
        other.message("answer").await;
        echoes_greet(dial(&target, "friend", "back").await).await;
        // Nobody was dialled meanwhile.
        let waits = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(waits.is_err());
    });
}

#[test]
fn what_is_not_expected_any_more_is_not_dialled() {
    run(async {
        let target = target().await;
        // It takes connections and never greets.
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = Peer::join(&target, "friend").await;
        let address = mute.local_addr().unwrap().to_string();
        peer.send(json!(["", "g_slave", {"'l": {"friend": [address]}}])).await;
        // More than are dialled at once.
        for number in 0..20 {
            peer.send(json!(["", EXPECT, format!("id{number}"), "friend#port", 0.01, "greet"])).await;
            peer.send(json!(["", CONNECT, format!("id{number}"), "friend"])).await;
        }
        for _ in 0..20 {
            assert_eq!(peer.request("kil1").await[2], "port");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut other = Peer::join(&target, "other").await;
        other.send(json!(["", "g_slave", {"'l": {"other": [address]}}])).await;
        other.announce("other", "back", 20.0, "greet").await;
        other.send(json!(["", CONNECT, "back", "other"])).await;
        assert_eq!(accept(&listener, "other", true).await, b"helloahead");
    });
}

async fn echoes_greet(mut raw: Raw) {
    raw.line().await;
    raw.writer.shutdown().await.unwrap();
    assert_eq!(raw.closed().await, b"hello");
}

#[test]
fn a_peer_that_never_answers_costs_no_more_than_the_time() {
    run(async {
        let target = target().await;
        let mut peer = Peer::join(&target, "mute").await;
        let mute = NodeId::new("mute").unwrap();
        let limit = Duration::from_millis(200);
        let error = soon("an error", target.connect_stream(&mute, "echo", (), limit)).await.unwrap_err();
        assert!(matches!(error, StreamError::TimedOut { .. }), "{error}");
        // It was asked as Perl would ask, with an ID of 128 bits.
        let asked = peer.request(EXPECT).await;
        let id = asked[2].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!((&asked[4], &asked[5]), (&json!(0.2), &json!("echo")));
        // Anyone who is late now gets nothing.
        is_refused(dial(&target, "mute", id).await).await;

        // A peer that is connected no more is an error at once.
        let waiting = tokio::spawn(target.connect_stream(&mute, "echo", (), LIMIT));
        peer.request(EXPECT).await;
        drop(peer);
        let error = soon("an error", waiting).await.unwrap().unwrap_err();
        assert!(matches!(error, StreamError::Lost { .. }), "{error}");
    });
}
