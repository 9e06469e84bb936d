//! Data connections between nodes: bytes both ways, who dials whom, and every way in which there is
//! none.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::future::{pending, poll_fn};
use std::io;
use std::io::Write as _;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use aemp::{Builder, Context, Limits, Node, NodeId, Reason, Stream, StreamError};
use rcgen::{CertificateParams, KeyPair};
use support::{LIMIT, builder, soon, up};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Far more than all buffers on the way.
const LARGE: u64 = 64 << 20;

/// Bytes that are made and compared at once.
const BLOCK: usize = 64 << 10;

/// Says in the environment that this process is the other one.
const OTHER: &str = "AEMP_TEST_STREAMS";

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

/// The block with this number: each is different, so that none can be lost, doubled or moved
/// unnoticed.
fn block(number: u64) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()[5]
        };
        (0..BLOCK).map(|_| next()).collect()
    });
    let mut block = NOISE.clone();
    block[..8].copy_from_slice(&number.to_le_bytes());
    block.rotate_left(usize::try_from(number).unwrap() % BLOCK);
    block
}

async fn pour(stream: &mut Stream, bytes: u64) -> io::Result<()> {
    for number in 0..bytes / BLOCK as u64 {
        stream.write_all(&block(number)).await?;
    }
    stream.shutdown().await
}

/// Reads blocks up to the end; how many bytes were as they should be.
async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u64> {
    let mut read = vec![0; BLOCK];
    for number in 0.. {
        match stream.read_exact(&mut read).await {
            Ok(_) if read == block(number) => {}
            Ok(_) => return Err(io::Error::other(format!("block {number} is another one"))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(number * BLOCK as u64),
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// What the nodes of these tests can be asked for.
fn functions(builder: Builder) -> Builder {
    builder
        .stream_function("echo", |_, mut stream: Stream, (): ()| async move {
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            tokio::io::copy(&mut reader, &mut writer).await?;
            stream.shutdown().await
        })
        .stream_function("greet", |node: Node, mut stream: Stream, (word, n): (String, u32)| async move {
            let text = format!("{word} {n} from {} to {}", node.id(), stream.peer());
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        })
        .stream_function("count", |_, mut stream: Stream, (): ()| async move {
            let count = drain(&mut stream).await?;
            stream.write_u64(count).await?;
            stream.shutdown().await
        })
        .stream_function("pour", |_, mut stream: Stream, (bytes,): (u64,)| async move {
            pour(&mut stream, bytes).await
        })
        .stream_function("hold", |_, mut stream: Stream, (): ()| async move {
            stream.write_all(b"h").await?;
            pending::<io::Result<()>>().await
        })
        .stream_function("fail", |_, _stream: Stream, (): ()| async { Err::<(), _>(io::Error::other("no")) })
        .stream_function("panic", |_, _stream: Stream, (): ()| async {
            assert!(std::hint::black_box(false), "as it was asked for");
            Ok::<_, io::Error>(())
        })
        .function("port", |cx: &mut Context<'_>, ()| {
            cx.receive(|_, ()| ());
            Ok::<_, Reason>(())
        })
}

fn with_secret(id: &str) -> Builder {
    functions(builder(false).id(id).secret("of the streams"))
}

async fn seed(builder: Builder) -> Node {
    builder.bind("127.0.0.1:0").start().await.unwrap()
}

async fn joined(builder: Builder, seed: &Node) -> Node {
    let node = builder.seed(seed.local_addrs()[0]).start().await.unwrap();
    up(&node, seed.id()).await;
    up(seed, node.id()).await;
    node
}

/// A node that listens, and one that does not.
async fn pair() -> (Node, Node) {
    let seed = seed(with_secret("listens")).await;
    let other = joined(with_secret("hides"), &seed).await;
    (seed, other)
}

async fn connected(from: &Node, to: &Node, function: &str) -> Stream {
    soon("a stream", from.connect_stream(to.id(), function, (), Duration::MAX)).await.unwrap()
}

async fn refused(from: &Node, to: &NodeId, function: &str) -> String {
    match soon("a refusal", from.connect_stream(to, function, (), LIMIT)).await {
        Err(StreamError::Refused { node, reason }) => {
            assert_eq!(node, *to);
            reason.to_string()
        }
        other => panic!("{other:?}"),
    }
}

async fn rest(stream: &mut Stream) -> String {
    let mut rest = String::new();
    soon("the end of the stream", stream.read_to_string(&mut rest)).await.unwrap();
    rest
}

/// Nothing more comes, and not because that was all.
async fn is_broken(stream: &mut Stream) {
    let error = soon("the end of the stream", stream.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Bytes both ways at the same time, then one direction ends and the other goes on.
async fn use_it(from: &Node, to: &Node) {
    let mut stream =
        soon("a stream", from.connect_stream(to.id(), "greet", ("hello", 7), LIMIT)).await.unwrap();
    assert_eq!(stream.peer(), to.id());
    assert_eq!(rest(&mut stream).await, format!("hello 7 from {} to {}", to.id(), from.id()));

    let mut stream = connected(from, to, "echo").await;
    for text in ["one", "two"] {
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut back = [0; 3];
        soon("an echo", stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, text.as_bytes());
    }
    stream.write_all(b"and the rest").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "and the rest");

    // The other side speaks when it has read everything.
    let mut stream = connected(from, to, "count").await;
    pour(&mut stream, 1 << 20).await.unwrap();
    assert_eq!(soon("the count", stream.read_u64()).await.unwrap(), 1 << 20);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[test]
fn who_can_be_dialled_is_dialled_and_who_cannot_dials() {
    run(async {
        let (listens, hides) = pair().await;
        use_it(&hides, &listens).await;
        use_it(&listens, &hides).await;
        let both = joined(with_secret("both").bind("127.0.0.1:0"), &listens).await;
        use_it(&both, &listens).await;
        use_it(&listens, &both).await;
        // These two have never talked to each other.
        use_it(&hides, &both).await;
        use_it(&both, &hides).await;
    });
}

#[test]
fn a_stream_to_the_own_node_needs_no_socket() {
    run(async {
        let node = with_secret("alone").start().await.unwrap();
        use_it(&node, &node).await;
        assert!(refused(&node, node.id(), "nothing").await.contains("\"nothing\""));
    });
}

#[test]
fn streams_of_a_network_with_certificates_are_encrypted_ones() {
    run(async {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        let tls = |id: &str| functions(builder(false).id(id).certificate_pem(pem.as_str()));
        let listens = seed(tls("listens")).await;
        let hides = joined(tls("hides"), &listens).await;
        for (from, to) in [(&hides, &listens), (&listens, &hides)] {
            use_it(from, to).await;
            is_broken(&mut connected(from, to, "fail").await).await;
        }
    });
}

#[test]
fn large_data_arrive_whole() {
    run(async {
        let (listens, hides) = pair().await;
        let from = soon("a stream", hides.connect_stream(listens.id(), "pour", (LARGE,), LIMIT));
        let mut from = from.await.unwrap();
        let mut to = connected(&listens, &hides, "count").await;
        let poured = tokio::spawn(async move {
            pour(&mut to, LARGE).await.unwrap();
            to.read_u64().await.unwrap()
        });
        assert_eq!(drain(&mut from).await.unwrap(), LARGE);
        assert_eq!(poured.await.unwrap(), LARGE);
    });
}

#[test]
fn many_streams_at_once_do_not_disturb_each_other() {
    run(async {
        let (listens, hides) = pair().await;
        let streams: Vec<_> = (0..40)
            .map(|number| {
                let (from, to) = if number % 2 == 0 { (&listens, &hides) } else { (&hides, &listens) };
                tokio::spawn(from.connect_stream(to.id(), "greet", ("hello", number), LIMIT))
            })
            .collect();
        for (number, stream) in streams.into_iter().enumerate() {
            let mut stream = soon("a stream", stream).await.unwrap().unwrap();
            assert!(rest(&mut stream).await.starts_with(&format!("hello {number} from ")));
        }
    });
}

#[test]
fn a_reader_may_pause_for_longer_than_a_node_may_be_silent() {
    run(async {
        let limit = Duration::from_secs(2);
        let seed = seed(with_secret("listens").monitor_timeout(limit)).await;
        let node = joined(with_secret("hides").monitor_timeout(limit), &seed).await;
        let read_late = async |from: &Node, to: &Node| {
            let stream = from.connect_stream(to.id(), "pour", (LARGE / 4,), LIMIT);
            let mut stream = soon("a stream", stream).await.unwrap();
            let lost = timeout(limit * 2, from.exited(&to.id().control_port())).await;
            assert!(lost.is_err(), "{lost:?}");
            assert_eq!(soon("the data", drain(&mut stream)).await.unwrap(), LARGE / 4);
        };
        tokio::join!(read_late(&node, &seed), read_late(&seed, &node));
    });
}

#[test]
fn nothing_but_registered_functions_can_be_named() {
    run(async {
        let (listens, hides) = pair().await;
        for (from, to) in [(&hides, &listens), (&listens, &hides)] {
            for function in ["nothing", "port", ""] {
                assert!(refused(from, to.id(), function).await.contains(&format!("{function:?}")));
            }
            // Its arguments are two others.
            assert!(refused(from, to.id(), "greet").await.contains("bad_message"));
            // And it is no function for ports.
            let port = from.spawn(to.id(), "echo", ()).unwrap();
            let reason = soon("the end of the port", from.exited(&port)).await;
            assert_eq!(reason.identifier().as_deref(), Some("spawn_refused"));
        }
        let secure = joined(with_secret("secure").bind("127.0.0.1:0").secure(true), &listens).await;
        assert!(refused(&listens, secure.id(), "echo").await.contains("secure"));
        use_it(&secure, &listens).await;
    });
}

#[test]
fn a_function_that_fails_ends_its_stream_and_nothing_else() {
    run(async {
        let (listens, hides) = pair().await;
        for function in ["fail", "panic"] {
            is_broken(&mut connected(&hides, &listens, function).await).await;
        }
        use_it(&hides, &listens).await;
    });
}

#[test]
fn a_node_that_cannot_be_reached_at_all_is_an_error_at_once() {
    run(async {
        let seed = seed(with_secret("seed")).await;
        let one = joined(with_secret("one").connect_interval(Duration::from_secs(1)), &seed).await;
        let two = joined(with_secret("two"), &seed).await;
        // With nobody to carry their messages they cannot even ask.
        let result = soon("an error", one.connect_stream(two.id(), "echo", (), LIMIT)).await;
        assert!(
            matches!(result, Err(StreamError::Lost { .. } | StreamError::Unreachable { .. })),
            "{result:?}"
        );
        let nobody = NodeId::new("nobody").unwrap();
        let result = soon("an error", one.connect_stream(&nobody, "echo", (), LIMIT)).await;
        assert!(matches!(result, Err(StreamError::Lost { .. })), "{result:?}");
        let stranger = functions(builder(false).id("stranger").secret("another one"));
        let stranger = stranger.seed(seed.local_addrs()[0]).start().await.unwrap();
        let limit = Duration::from_millis(300);
        let result = soon("an error", stranger.connect_stream(seed.id(), "echo", (), limit)).await;
        assert!(matches!(result, Err(StreamError::Lost { .. } | StreamError::TimedOut { .. })), "{result:?}");
    });
}

#[test]
fn a_port_that_wants_a_stream_gets_it_or_dies() {
    run(async {
        let (listens, hides) = pair().await;
        let (sender, mut texts) = tokio::sync::mpsc::unbounded_channel();
        let port = hides.port(move |cx: &mut Context<'_>, (to, function): (NodeId, String)| {
            let sender = sender.clone();
            cx.connect_stream(&to, &function, ("hello", 1), LIMIT, move |cx, mut stream| {
                cx.task(async move { rest(&mut stream).await }, move |_, text| sender.send(text).unwrap());
            });
        });
        let death = hides.exited(&port);
        hides.send(&port, (listens.id(), "greet")).unwrap();
        assert_eq!(soon("the text", texts.recv()).await.unwrap(), "hello 1 from listens to hides");
        hides.send(&port, (listens.id(), "nothing")).unwrap();
        let reason = soon("the death", death).await;
        assert_eq!(reason.identifier().as_deref(), Some("AnyEvent::MP::DataConn"), "{reason}");
        assert_eq!(reason.values().len(), 2);
    });
}

#[test]
fn places_are_limited_and_given_back() {
    run(async {
        let limits = Limits::default().streams(3).peer_streams(2);
        let seed = seed(with_secret("seed").limits(limits)).await;
        let one = joined(with_secret("one"), &seed).await;
        let two = joined(with_secret("two"), &seed).await;
        let mut streams = Vec::new();
        for node in [&one, &one, &two] {
            streams.push(connected(node, &seed, "hold").await);
        }
        for node in [&one, &two] {
            assert!(refused(node, seed.id(), "hold").await.contains("too many"));
        }
        // What it has itself does not count.
        use_it(&seed, &one).await;
        let mut stream = streams.remove(0);
        assert_eq!(stream.read_u8().await.unwrap(), b'h');
        seed.shutdown().await;
        // Its functions end with it.
        is_broken(&mut stream).await;
    });
}

/// What the future says when it is asked once.
async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

#[test]
fn a_node_that_ends_tells_the_one_who_waits_for_a_stream() {
    run(async {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        // Often, as several ends of the wait become known at once.
        for _ in 0..20 {
            let node = with_secret("node").seed(&*address).start().await.unwrap();
            let far = NodeId::new("far").unwrap();
            let mut waiting = Box::pin(node.connect_stream(&far, "echo", (), LIMIT));
            assert!(poll_once(&mut waiting).await.is_pending());
            let late = node.connect_stream(&far, "echo", (), LIMIT);
            node.shutdown_within(Duration::ZERO).await;
            for result in [soon("an error", waiting).await, soon("an error", late).await] {
                assert!(matches!(result, Err(StreamError::Shutdown)), "{result:?}");
            }
        }
    });
}

#[test]
fn a_stream_outlives_the_connection_of_the_messages_and_the_own_node() {
    run(async {
        let (listens, hides) = pair().await;
        let mut stream = connected(&hides, &listens, "echo").await;
        hides.shutdown().await;
        stream.write_all(b"still here").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "still here");
    });
}

/// The other process: a seed with the functions. Does nothing when it runs as a test.
#[test]
fn other_process() {
    if std::env::var(OTHER).is_err() {
        return;
    }
    run(async {
        let node = seed(with_secret("victim")).await;
        writeln!(io::stdout(), "ready {}", node.local_addrs()[0]).unwrap();
        // Until it is killed, or the test is gone.
        tokio::task::spawn_blocking(|| io::stdin().lines().count()).await.unwrap();
    });
}

#[test]
fn the_death_of_the_other_process_ends_the_stream() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(OTHER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
    let address = lines.find_map(|line| Some(line.ok()?.strip_prefix("ready ")?.to_string())).unwrap();
    run(async {
        let node = with_secret("survivor").seed(address).start().await.unwrap();
        let victim = NodeId::new("victim").unwrap();
        up(&node, &victim).await;
        let pours = node.connect_stream(&victim, "pour", (1_u64 << 40,), LIMIT);
        let mut pours = soon("a stream", pours).await.unwrap();
        let mut holds = soon("a stream", node.connect_stream(&victim, "hold", (), LIMIT)).await.unwrap();
        let mut some = vec![0; BLOCK];
        soon("a block", pours.read_exact(&mut some)).await.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // The writer is told too, though the other side read nothing.
        let writes = async { while holds.write_all(&some).await.is_ok() {} };
        soon("an error for the writer", writes).await;
        // An error and not an end, after what had arrived.
        let reads = async {
            loop {
                match pours.read(&mut some).await {
                    Ok(len) => assert!(len > 0),
                    Err(error) => return error.kind(),
                }
            }
        };
        assert_eq!(soon("the error for the reader", reads).await, io::ErrorKind::ConnectionReset);
    });
}
