//! Hostile and broken peers at a listener: nobody is let in, nothing is left behind, others do not
//! notice.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::time::Duration;

use aemp::{Context, Node};
use support::raw::{Raw, SECRET};
use support::{LIMIT, builder, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn listener() -> Node {
    builder(false).id("target").bind("127.0.0.1:0").secret(SECRET).start().await.unwrap()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

#[test]
fn one_who_does_not_prove_himself_is_closed_and_told_nothing() {
    run(async {
        let node = listener().await;
        let greeting = "aemp;1;evil;hmac_sha3_512;json";
        let long = "x".repeat(5000);
        let inputs: Vec<Vec<u8>> = [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "SSH-2.0-OpenSSH_9.9\r\n",
            "\n\n",
            "aemp;2;evil;hmac_sha3_512;json\nn\n",
            "aemp;01;evil;hmac_sha3_512;json\nn\n",
            "aemp;1;evil#port;hmac_sha3_512;json\nn\n",
            "aemp;1;;hmac_sha3_512;json\nn\n",
            "aemp;1;evil;hmac_sha3_512;storable\nn\n",
            "aemp;1;evil;nothing;json\nn\n",
            "aemp;1;evil\nn\n",
            "aemp;1;evil;hmac_sha3_512;json;role=s;inc=00000000000000000000000000000001\nn\n",
            "aemp;1;evil;hmac_sha3_512;json;peeraddr=10.1.2.3:4\nn\n",
            "aemp;1;evil;hmac_sha3_512;json;k=1;k=2\nn\n",
            "aemp-unknown;1;evil;hmac_sha3_512;json\nn\n",
            &format!("{greeting}\nn\nhmac_sha3_512;{};json\n", "0".repeat(128)),
            &format!("{greeting}\nn\nhmac_sha3_512;abc;json\n"),
            &format!("{greeting}\nn\ncleartext;68616e642d6d6164652d736563726574;json\n"),
            &format!("{greeting}\nn\ntls_anon;;json\n"),
            &format!("{greeting}\nn\ntls_sha3_512;{};json\n", "0".repeat(128)),
            &format!("{greeting}\nn\n[\"\",\"mon1\",\"x\"]\n"),
            &format!("{greeting}\nn\nno auth line\n"),
            &long,
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n".to_vec(), b"aemp;1;e\xff;a;b\n\n".to_vec()])
        .collect();
        for input in inputs {
            let mut raw = Raw::connect(&node).await;
            raw.send(&input).await;
            let rest = raw.closed().await;
            assert!(rest.is_empty(), "{:?} was told {rest:?}", String::from_utf8_lossy(&input));
        }
        assert!(node.connected_nodes().is_empty());
    });
}

#[test]
fn the_own_lines_sent_back_are_refused() {
    run(async {
        let node = listener().await;
        let mut raw = Raw::connect(&node).await;
        let echo = [&raw.theirs.greeting[..], b"\n", &raw.theirs.nonce, b"\n"].concat();
        raw.send(echo).await;
        assert!(raw.closed().await.is_empty());
    });
}

#[test]
fn a_proof_made_for_one_connection_is_worth_nothing_on_another() {
    run(async {
        let node = listener().await;
        let mut first = Raw::connect(&node).await;
        let second = Raw::connect(&node).await;
        // The proof is over the lines of the second connection.
        first.theirs = second.theirs.clone();
        first.authenticate("aemp;1;evil;hmac_sha3_512;json", "json").await;
        assert!(first.closed().await.is_empty());
        assert!(node.connected_nodes().is_empty());
    });
}

#[test]
fn a_relay_between_two_listeners_authenticates_nobody() {
    run(async {
        let one = builder(false).id("one").bind("127.0.0.1:0").secret(SECRET).start().await.unwrap();
        let two = builder(false).id("two").bind("127.0.0.1:0").secret(SECRET).start().await.unwrap();
        let mut to_one = TcpStream::connect(&one.local_addrs()[0]).await.unwrap();
        let mut to_two = TcpStream::connect(&two.local_addrs()[0]).await.unwrap();
        let relayed = tokio::io::copy_bidirectional(&mut to_one, &mut to_two);
        // Both see that the other has accepted as well, and close.
        let _ = soon("the end of the relay", relayed).await;
        assert!(one.connected_nodes().is_empty() && two.connected_nodes().is_empty());
    });
}

#[test]
fn a_smallest_peer_is_let_in_where_cleartext_is_accepted() {
    run(async {
        let methods = aemp::AuthMethod::ALL;
        let node = builder(false)
            .id("target")
            .bind("127.0.0.1:0")
            .secret(SECRET)
            .authentication(aemp::AuthMethod::PROOFS, methods)
            .start()
            .await
            .unwrap();
        let port =
            node.port(|cx: &mut Context<'_>, (text, reply): (String, aemp::PortId)| cx.send(&reply, (text,)));
        let mut raw = Raw::connect(&node).await;
        let secret: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        raw.send(format!("aemp;1;tiny;hmac_sha3_512;json\n\ncleartext;{secret};json\n")).await;
        let line = soon("the node's line", raw.line()).await;
        assert!(line.starts_with(b"hmac_sha3_512;"));
        let name = port.name();
        raw.send(format!("[\"{name}\",\"hello\",\"tiny#me\"]")).await;
        let mut answer = [0; 14];
        soon("the answer", raw.reader.read_exact(&mut answer)).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), "[\"me\",\"hello\"]");
    });
}

#[test]
fn bad_frames_end_the_connection_and_monitors_fire() {
    run(async {
        let node = listener().await;
        let json = ["[[[[[}", "[1-2]", "{\"a\":1}", "[\"p\",1e400]", "[\"p\",\"\\ud800\"]", "hello", "]"];
        let cbor: [&[u8]; 6] = [
            b"\x00",
            b"\xa0",
            b"\x82\x40\xff",
            b"\x9a\xff\xff\xff\xff\x40\xff",
            b"\x82\x61\xff\x00",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        let inputs = json.iter().map(|text| ("json", text.as_bytes().to_vec()));
        let inputs = inputs.chain(cbor.iter().map(|bytes| ("cbor", bytes.to_vec())));
        let deep = inputs.chain([("json", vec![b'['; 100_000]), ("cbor", vec![0x81; 100_000])]);
        for (framing, input) in deep {
            let mut raw = Raw::connect(&node).await;
            raw.authenticate("aemp;1;bad;hmac_sha3_512;json,cbor", framing).await;
            let line = soon("the node's line", raw.line()).await;
            assert!(line.starts_with(b"hmac_sha3_512;"));
            let death = node.exited(&aemp::PortId::parse("bad#port").unwrap());
            raw.send(&input).await;
            let reason = soon("the fire", death).await;
            assert_eq!(reason.identifier().as_deref(), Some("transport_error"), "{reason}");
            raw.closed().await;
        }
    });
}

#[test]
fn requests_that_would_break_the_node_port_are_refused() {
    run(async {
        let node = listener().await;
        let mut raw = Raw::connect(&node).await;
        raw.authenticate("aemp;1;odd;hmac_sha3_512;json", "json").await;
        soon("the node's line", raw.line()).await;
        for request in [
            r#"["","kil1",""]"#,
            r#"["","kil1"]"#,
            r#"["","AnyEvent::MP::_spawn","","f"]"#,
            r#"["","mon1"]"#,
            r#"["","no::such::function",1]"#,
            r#"["","eval","die"]"#,
            r#"[]"#,
            r#"[""]"#,
            r#"["","" ]"#,
            r#"["nobody","hello"]"#,
        ] {
            raw.send(request).await;
        }
        raw.send(r#"["","snd","odd#me","still here"]"#).await;
        let mut answer = [0; 19];
        soon("the answer", raw.reader.read_exact(&mut answer)).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), "[\"me\",\"still here\"]");
    });
}

#[test]
fn one_address_cannot_take_all_places_and_authenticated_peers_do_not_notice() {
    run(async {
        let node = listener().await;
        let peer =
            builder(false).id("peer").secret(SECRET).seed(node.local_addrs()[0]).start().await.unwrap();
        let echo =
            node.port(|cx: &mut Context<'_>, (n, reply): (u64, aemp::ReplyTo<u64>)| cx.reply(reply, n));
        assert_eq!(peer.call(&echo, LIMIT, |reply: aemp::ReplyTo<u64>| (1, reply)).await.unwrap(), 1);
        let mut idle = Vec::new();
        // Half of all places.
        for _ in 0..128 {
            idle.push(Raw::connect(&node).await);
        }
        // One more from the same address is let in, and the oldest of them gives way without a
        // word.
        idle.push(Raw::connect(&node).await);
        assert!(idle.remove(0).closed().await.is_empty());
        for n in 0..100 {
            assert_eq!(peer.call(&echo, LIMIT, |reply: aemp::ReplyTo<u64>| (n, reply)).await.unwrap(), n);
        }
        drop(idle);
    });
}

#[cfg(target_os = "linux")] // all of 127.0.0.0/8 is there
#[test]
fn a_crowd_from_many_addresses_keeps_no_newcomer_out() {
    run(async {
        let patient = builder(false).id("target").bind("127.0.0.1:0").secret(SECRET);
        let node = patient.handshake_timeout(Duration::from_secs(900)).start().await.unwrap();
        let mut crowd = Vec::new();
        for n in 0..300u16 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 1 + (n / 200) as u8, 1 + (n % 200) as u8], 0).into()).unwrap();
            let mut idle = socket.connect(node.local_addrs()[0]).await.unwrap();
            // It has been accepted when it is greeted; the first ones may be gone again.
            soon("the greeting", idle.read_u8()).await.unwrap();
            crowd.push(idle);
        }
        let peer = builder(false).id("peer").secret(SECRET).seed(node.local_addrs()[0]);
        support::up(&peer.start().await.unwrap(), node.id()).await;
        assert_eq!(crowd.len(), 300);
    });
}

#[test]
fn a_peer_that_never_reads_is_lost_when_too_much_waits_for_it() {
    run(async {
        let limits = aemp::OutboxLimits::default().connected(4 << 20);
        let node = builder(false)
            .id("target")
            .bind("127.0.0.1:0")
            .secret(SECRET)
            .outbox_limits(limits)
            .start()
            .await
            .unwrap();
        let mut raw = Raw::connect(&node).await;
        raw.authenticate("aemp;1;deaf;hmac_sha3_512;json", "json").await;
        soon("the node's line", raw.line()).await;
        let port = aemp::PortId::parse("deaf#port").unwrap();
        let death = node.exited(&port);
        let filling = async {
            loop {
                node.send(&port, ("x".repeat(100_000),)).unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            reason = soon("the fire", death) => assert_eq!(reason.identifier().as_deref(), Some("transport_error")),
            () = filling => {}
        }
    });
}

#[test]
fn the_whole_handshake_has_one_limit_however_slowly_it_goes_on() {
    run(async {
        let limit = Duration::from_millis(300);
        let node = builder(false)
            .id("target")
            .bind("127.0.0.1:0")
            .secret(SECRET)
            .handshake_timeout(limit)
            .start()
            .await
            .unwrap();
        // Silence.
        assert!(Raw::connect(&node).await.closed().await.is_empty());
        // One byte now and then.
        let mut slow = Raw::connect(&node).await;
        let mut bytes = b"aemp;1;slow;hmac_sha3_512;json\nnonce\n".iter().cycle();
        let drip = async {
            loop {
                slow.writer.write_all(&[*bytes.next().unwrap()]).await?;
                tokio::time::sleep(limit / 20).await; // sleep: the peer is slow
            }
        };
        let ended: Result<(), std::io::Error> = soon("the end of a slow handshake", drip).await;
        assert!(ended.is_err());
    });
}

#[test]
fn a_frame_beyond_the_limit_ends_the_connection_and_one_at_the_limit_does_not() {
    run(async {
        for (extra, arrives) in [(-1, true), (0, true), (1, false)] {
            let limits = aemp::FrameLimits::default().frame(1000);
            let node = builder(false)
                .id("target")
                .bind("127.0.0.1:0")
                .secret(SECRET)
                .frame_limits(limits)
                .start()
                .await
                .unwrap();
            let mut raw = Raw::connect(&node).await;
            raw.authenticate("aemp;1;large;hmac_sha3_512;json", "json").await;
            soon("the node's line", raw.line()).await;
            let frame = |padding: usize| format!("[\"\",\"snd\",\"large#me\",1,\"{}\"]", "x".repeat(padding));
            let padding = (1000 - frame(0).len()).checked_add_signed(extra).unwrap();
            raw.send(frame(padding)).await;
            if arrives {
                let mut answer = [0; 6];
                soon("the answer", raw.reader.read_exact(&mut answer)).await.unwrap();
                assert_eq!(&answer, b"[\"me\",");
            } else {
                assert!(raw.closed().await.is_empty());
            }
        }
    });
}

#[test]
fn a_peer_that_speaks_the_monitoring_protocol_is_probed_before_it_was_silent() {
    run(async {
        // A quarter of this is beyond the patience of the test.
        let limit = Duration::from_secs(300);
        let node = builder(false).id("target").bind("127.0.0.1:0").secret(SECRET).monitor_timeout(limit);
        let node = node.start().await.unwrap();
        let mut raw = Raw::connect(&node).await;
        raw.authenticate("aemp;1;perl;hmac_sha3_512;json;mproto=1", "json").await;
        soon("the node's line", raw.line()).await;
        let expected = "[\"\",\"snd\",\"target#";
        let mut probe = vec![0; expected.len()];
        soon("the probe", raw.reader.read_exact(&mut probe)).await.unwrap();
        assert_eq!(std::str::from_utf8(&probe).unwrap(), expected);
    });
}

#[test]
fn a_peer_without_heartbeat_that_answered_once_is_lost_when_it_is_silent_for_the_limit() {
    run(async {
        let limit = Duration::from_secs(2);
        let node = builder(false)
            .id("target")
            .bind("127.0.0.1:0")
            .secret(SECRET)
            .monitor_timeout(limit)
            .start()
            .await
            .unwrap();
        let mut raw = Raw::connect(&node).await;
        raw.authenticate("aemp;1;perl;hmac_sha3_512;json", "json").await;
        soon("the node's line", raw.line()).await;
        let death = node.exited(&aemp::PortId::parse("perl").unwrap());
        // The probe asks for a message to a port of the node; what it sends before are keep-alives.
        let mut probe = Vec::new();
        while !probe.ends_with(b",1]") {
            probe.push(soon("a probe", raw.reader.read_u8()).await.unwrap());
        }
        raw.send(b"[\"aemp::alive\",1]").await;
        let answered = std::time::Instant::now();
        let reason = soon("the fire", death).await;
        assert!(reason.to_string().contains("nothing was heard"), "{reason}");
        let silence = answered.elapsed();
        assert!(silence >= limit.mul_f64(0.75) && silence < limit * 2, "{silence:?}");
    });
}
