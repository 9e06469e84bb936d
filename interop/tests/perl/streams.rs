//! Data connections with a Perl node. Its passive side works; its active side does where it is told
//! addresses by hand.

use aemp::StreamError;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::network::{LIMIT, Pair, Setup, addresses, soon, up};
use crate::peer::Perl;

/// More than any buffer on the way.
const BYTES: usize = 8 << 20;

pub(crate) async fn to_perl(setup: Setup) {
    let Pair { rust, mut perl, .. } = Pair::start(setup).await;
    for n in 0..3 {
        let stream = rust.connect_stream(&perl.node, "main::stream_echo", ("number", n), LIMIT);
        let mut stream = BufReader::new(soon("a stream", stream).await.unwrap());
        let mut line = String::new();
        soon("the greeting", stream.read_line(&mut line)).await.unwrap();
        assert_eq!(line, format!("hello number {n}\n"));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..BYTES).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            writer.write_all(&copy).await.unwrap();
            // Perl goes on in plain text where one direction of TLS has ended.
            if setup.tls { writer.flush().await.unwrap() } else { writer.shutdown().await.unwrap() }
        });
        let mut back = vec![0; BYTES];
        soon("the echo", reader.read_exact(&mut back)).await.unwrap();
        assert!(back == sent);
        soon("the end of writing", writing).await.unwrap();
        if !setup.tls {
            assert_eq!(soon("the end", reader.read(&mut [0])).await.unwrap(), 0);
            perl.event("stream_eof").await;
        }
    }
    perl.finish().await;
}

pub(crate) async fn from_perl(setup: Setup) {
    let Pair { rust, mut perl, .. } = Pair::start(setup).await;
    let here = rust.id().clone();
    // It dials; and where it knows no address, it wants to be dialled.
    for addresses in [json!(addresses(&rust)), json!([])] {
        perl.run(&format!("stream_to '{here}', {addresses}, 'rust::stream', 'perl'")).await;
        assert_eq!(perl.event("stream_line").await, [json!("hello perl")]);
        assert_eq!(perl.event("stream_line").await, [json!("from perl")]);
    }
    for function in ["'nothing'", "'rust::echo'", "'rust::stream'"] {
        perl.run(&format!("stream_to '{here}', [], {function}")).await;
        let failed = perl.event("stream_failed").await;
        assert_eq!(failed[0], "AnyEvent::MP::DataConn", "{failed:?}");
        assert!(failed[1].as_str().unwrap().contains("no function") || function == "'rust::stream'");
    }
    perl.finish().await;
}

pub(crate) async fn impossible(setup: Setup) {
    // Perl cannot dial whom it would have to.
    let hub = setup.rust("hub").start().await.unwrap();
    let mut config = setup.perl("perl", &addresses(&hub));
    config["binds"] = json!([]);
    let perl = Perl::start(config).await;
    up(&hub, &perl.node).await;
    let error = soon("an error", hub.connect_stream(&perl.node, "main::stream_echo", (), LIMIT)).await;
    match error {
        Err(StreamError::Refused { reason, .. }) => {
            assert_eq!(reason.identifier().as_deref(), Some("AnyEvent::MP::DataConn"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    perl.finish().await;
}
