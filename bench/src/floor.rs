//! What lies below: tokio's unbounded channel between tasks, and a tokio socket with a channel, a writer task and a reader
//! task on each side, which is the usual shape of a framework.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::measure::{Measured, Peer, ready};

const PAIRS: u64 = 1000;
const PAYLOAD: usize = 64 << 10;
const WINDOW: u64 = 1024;
const ACK_EVERY: u64 = 256;

/// A tag and a number.
struct Count(u64);

/// Runs a local workload; `None` if the floor has none of this name.
pub(crate) async fn local(workload: String, count: u64) -> Option<Measured> {
    Some(match workload.as_str() {
        "l1" => one_way(1, 1, count).await,
        "l1x4" => one_way(4, 1, count).await,
        "l1pairs" => one_way(PAIRS, PAIRS, count).await,
        "l2" => ping_pong(1, count).await,
        "l2pairs" => ping_pong(PAIRS, count).await,
        "l4" => calls(count).await,
        _ => return None,
    })
}

async fn one_way(producers: u64, consumers: u64, count: u64) -> Measured {
    let began = Instant::now();
    let mut tasks = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..consumers {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        senders.push(sender);
        tasks.push(tokio::spawn(async move {
            let mut sum = 0u64;
            while let Some(Count(n)) = receiver.recv().await {
                sum = sum.wrapping_add(n);
            }
            sum
        }));
    }
    for producer in 0..producers {
        let sender = senders[(producer % consumers) as usize].clone();
        tokio::spawn(async move {
            for n in 0..count / producers {
                assert!(sender.send(Count(n)).is_ok());
                if n % 1024 == 1023 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    drop(senders);
    for task in tasks {
        assert!(task.await.is_ok());
    }
    Measured::since(began, count)
}

async fn ping_pong(pairs: u64, count: u64) -> Measured {
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..pairs {
        let (ping, mut pinged) = mpsc::unbounded_channel();
        let (pong, mut ponged) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Count(n)) = pinged.recv().await {
                assert!(pong.send(Count(n)).is_ok());
            }
        });
        tasks.push(tokio::spawn(async move {
            for n in 0..count / pairs {
                assert!(ping.send(Count(n)).is_ok());
                ponged.recv().await;
            }
        }));
    }
    for task in tasks {
        assert!(task.await.is_ok());
    }
    Measured::since(began, count)
}

async fn calls(count: u64) -> Measured {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, oneshot::Sender<u64>)>();
    tokio::spawn(async move {
        while let Some((value, reply)) = receiver.recv().await {
            assert!(reply.send(value + 1).is_ok());
        }
    });
    let began = Instant::now();
    for value in 0..count {
        let (reply, answer) = oneshot::channel();
        assert!(sender.send((value, reply)).is_ok());
        assert_eq!(answer.await.ok(), Some(value + 1));
    }
    Measured::since(began, count)
}

/// The peer of the remote workloads: counts, echoes, or acknowledges.
pub(crate) async fn peer(workload: String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the workload connects");
        stream.set_nodelay(true).expect("a TCP option");
        let (reader, writer) = stream.into_split();
        if workload == "r2" { echo(reader, writer).await } else { count(reader, writer).await }
    });
    ready(&address.to_string()).await;
}

async fn echo(mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf) {
    let mut buffer = [0; 12];
    while reader.read_exact(&mut buffer).await.is_ok() {
        if writer.write_all(&buffer).await.is_err() {
            return;
        }
    }
}

/// Reads frames in one task and hands each to another one through a channel, which answers every so often and at the frame
/// with number 0.
async fn count(reader: OwnedReadHalf, mut writer: OwnedWriteHalf) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, Vec<u8>)>();
    tokio::spawn(async move {
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        while let Ok(len) = reader.read_u32_le().await {
            let mut frame = vec![0; len as usize];
            if reader.read_exact(&mut frame).await.is_err() {
                return;
            }
            let mut number = [0; 8];
            number.copy_from_slice(&frame[..8]);
            if sender.send((u64::from_le_bytes(number), frame)).is_err() {
                return;
            }
        }
    });
    let mut seen = 0u64;
    while let Some((number, frame)) = receiver.recv().await {
        seen += 1;
        let large = frame.len() >= PAYLOAD && seen.is_multiple_of(ACK_EVERY);
        if (large || number == 0) && writer.write_all(&seen.to_le_bytes()).await.is_err() {
            return;
        }
    }
}

/// Runs a remote workload; `None` if the floor has none of this name.
pub(crate) async fn remote(workload: String, count: u64) -> Option<Measured> {
    let peer = Peer::start("floor", &workload);
    let stream = TcpStream::connect(&peer.line).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (reader, writer) = stream.into_split();
    Some(match workload.as_str() {
        "r1" => send_frames(reader, writer, count, 8, u64::MAX).await,
        "r2" => round_trips(reader, writer, count).await,
        "r3" => {
            let measured = send_frames(reader, writer, count, PAYLOAD, WINDOW).await;
            let rate = (count as usize * PAYLOAD) as f64 / 1e6 / measured.elapsed.as_secs_f64();
            measured.with_rate(rate)
        }
        _ => return None,
    })
}

/// Through a channel to a writer task, which gathers what is there.
async fn send_frames(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    count: u64,
    size: usize,
    window: u64,
) -> Measured {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, usize)>();
    tokio::spawn(async move {
        let mut out = Vec::new();
        let mut numbers = Vec::new();
        while receiver.recv_many(&mut numbers, 4096).await > 0 {
            for (number, size) in numbers.drain(..) {
                out.extend_from_slice(&(size as u32).to_le_bytes());
                let start = out.len();
                out.resize(start + size, 7);
                out[start..start + 8].copy_from_slice(&number.to_le_bytes());
                if out.len() >= 256 << 10 {
                    assert!(writer.write_all(&out).await.is_ok());
                    out.clear();
                }
            }
            assert!(writer.write_all(&out).await.is_ok());
            out.clear();
        }
    });
    let began = Instant::now();
    let mut seen = 0;
    for n in 0..count {
        while n - seen >= window {
            seen = reader.read_u64_le().await.unwrap_or(count);
        }
        // The last one has number 0: it is answered.
        assert!(sender.send((count - 1 - n, size)).is_ok());
        if n % 1024 == 1023 {
            tokio::task::yield_now().await;
        }
    }
    while seen < count {
        seen = reader.read_u64_le().await.unwrap_or(count);
    }
    Measured::since(began, count)
}

async fn round_trips(mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf, count: u64) -> Measured {
    let mut times = Vec::with_capacity(count as usize);
    let mut buffer = [7; 12];
    let began = Instant::now();
    for _ in 0..count {
        let sent = Instant::now();
        assert!(writer.write_all(&buffer).await.is_ok());
        assert!(reader.read_exact(&mut buffer).await.is_ok());
        times.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    Measured::since(began, count).with_round_trips(times)
}
