//! How streams end: what is complete can be told from what is broken, and alike with TLS, without,
//! and within one process.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::io;

use aemp::{Builder, Node, Reason, Stream};
use support::{LIMIT, soon, up};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

/// More than a reader has read when the function ends, and less than all buffers hold.
const PART: usize = 300_000;

/// How the function "source" ends, and whether its stream is complete then.
const ENDS: [(&str, bool); 5] =
    [("return", true), ("shutdown", true), ("error", false), ("panic", false), ("moved", false)];

/// A node whose function "source" ends as it is told to, and whose function "sink" tells what it
/// has read.
fn functions(builder: Builder, told: mpsc::UnboundedSender<io::Result<usize>>) -> Builder {
    let source = |_, mut stream: Stream, (how,): (String,)| async move {
        stream.write_all(&[7; PART]).await?;
        match how.as_str() {
            "shutdown" => stream.shutdown().await?,
            "error" => return Err(Reason::died("the disk is gone")),
            "panic" => assert!(std::hint::black_box(false), "as it was asked for"),
            "moved" => {
                // Dropped by somebody else, who does not end it.
                let (sender, dropped) = oneshot::channel();
                tokio::spawn(async move {
                    drop(stream);
                    drop(sender);
                });
                let _: Result<(), _> = dropped.await;
                return Err(Reason::NORMAL);
            }
            _ => {}
        }
        Ok(())
    };
    let sink = move |_, mut stream: Stream, (): ()| {
        let told = told.clone();
        async move {
            let mut read = Vec::new();
            let end = stream.read_to_end(&mut read).await;
            told.send(end).unwrap();
            Ok::<(), Reason>(())
        }
    };
    // Reads one byte of what comes, and has much to say.
    let hasty = |_, mut stream: Stream, (): ()| async move {
        stream.read_u8().await?;
        stream.write_all(&[7; PART]).await?;
        stream.shutdown().await?;
        Ok::<(), io::Error>(())
    };
    builder.stream_function("source", source).stream_function("sink", sink).stream_function("hasty", hasty)
}

fn certificate() -> String {
    let own = rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap();
    own.signing_key.serialize_pem() + &own.cert.pem()
}

/// The node with the functions, one that asks for them, and what the sink told.
struct Pair {
    serves: Node,
    asks: Node,
    told: mpsc::UnboundedReceiver<io::Result<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Tcp,
    Tls,
    Memory,
}

async fn pair(over: Over) -> Pair {
    let (sender, told) = mpsc::unbounded_channel();
    let pem = certificate();
    let with = |builder: Builder| match over {
        Over::Tls => builder.certificate_pem(pem.clone()),
        Over::Tcp | Over::Memory => builder.secret("s"),
    };
    let serves = functions(with(Node::builder().id("serves").bind("127.0.0.1:0")), sender);
    let serves = serves.start().await.unwrap();
    if over == Over::Memory {
        return Pair { asks: serves.clone(), serves, told };
    }
    let asks = with(Node::builder().id("asks")).seed(serves.local_addrs()[0]).start().await.unwrap();
    up(&asks, serves.id()).await;
    Pair { serves, asks, told }
}

impl Pair {
    async fn stream(&self, function: &str, args: impl serde::Serialize) -> Stream {
        let stream = self.asks.connect_stream(self.serves.id(), function, args, LIMIT);
        soon("a stream", stream).await.unwrap()
    }
}

fn each(test: impl AsyncFn(Over)) {
    for over in [Over::Tcp, Over::Tls, Over::Memory] {
        for workers in [0, 2] {
            let mut runtime = match workers {
                0 => tokio::runtime::Builder::new_current_thread(),
                _ => tokio::runtime::Builder::new_multi_thread(),
            };
            runtime.enable_all().build().unwrap().block_on(test(over));
        }
    }
}

#[test]
fn a_reader_can_tell_a_complete_stream_from_a_broken_one() {
    each(async |over| {
        let pair = pair(over).await;
        for (how, complete) in ENDS {
            let mut stream = pair.stream("source", (how,)).await;
            let mut read = Vec::new();
            let end = soon("the end", stream.read_to_end(&mut read)).await.map_err(|error| error.kind());
            let expected = if complete { Ok(PART) } else { Err(io::ErrorKind::ConnectionReset) };
            assert_eq!(end, expected, "{over:?}, ended by {how}, after {} bytes", read.len());
            assert!(!complete || read.len() == PART);
        }
    });
}

#[test]
fn the_side_that_asked_for_a_stream_breaks_it_by_dropping_it_and_ends_it_by_shutdown() {
    each(async |over| {
        let mut pair = pair(over).await;
        for complete in [true, false] {
            let mut stream = pair.stream("sink", ()).await;
            stream.write_all(&[7; PART]).await.unwrap();
            if complete {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            let end = soon("the end", pair.told.recv()).await.unwrap().map_err(|error| error.kind());
            let expected = if complete { Ok(PART) } else { Err(io::ErrorKind::ConnectionReset) };
            assert_eq!(end, expected, "{over:?}");
        }
    });
}

#[test]
fn what_nobody_reads_does_not_break_a_stream_that_was_ended() {
    each(async |over| {
        let pair = pair(over).await;
        let mut stream = pair.stream("hasty", ()).await;
        // Much more than it reads, and all there before it ends.
        stream.write_all(&[1; 50_000]).await.unwrap();
        let mut read = Vec::new();
        let end = soon("the end", stream.read_to_end(&mut read)).await.map_err(|error| error.kind());
        assert_eq!(end, Ok(PART), "{over:?}, after {} bytes", read.len());
    });
}

#[test]
fn a_function_that_ends_with_its_node_leaves_a_broken_stream() {
    each(async |over| {
        let pair = pair(over).await;
        let mut stream = pair.stream("sink", ()).await;
        stream.write_all(b"x").await.unwrap();
        pair.serves.shutdown().await;
        let end = soon("the end", stream.read(&mut [0; 8])).await.map_err(|error| error.kind());
        assert_eq!(end, Err(io::ErrorKind::ConnectionReset), "{over:?}");
    });
}
