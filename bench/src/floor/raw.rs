//! The workloads between two processes on a tokio socket and nothing else: one task reads and
//! writes, without a channel and without other tasks. Nothing can be below it but the kernel.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::serve;
use super::socket::{TRIP, prefix};
use crate::catalogue::payload;
use crate::measure::{Measured, Times};
use crate::process::Peer;

/// What the far end reads at once.
const READ: usize = 256 << 10;

/// The far end: echoes, or counts bytes until there are no more.
pub(super) async fn peer(workload: String) {
    serve(|stream| async move {
        match workload.as_str() {
            "r2" => echo(stream).await,
            _ => count(stream).await,
        }
    })
    .await;
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; TRIP];
    while stream.read_exact(&mut buffer).await.is_ok() {
        if stream.write_all(&buffer).await.is_err() {
            return;
        }
    }
}

async fn count(mut stream: TcpStream) {
    let (mut buffer, mut seen) = (vec![0; READ], 0);
    while let Ok(more @ 1..) = stream.read(&mut buffer).await {
        seen += more as u64;
    }
    // The workload is over either way.
    let _ = stream.write_all(&seen.to_le_bytes()).await;
}

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(system: &str, workload: &str, count: u64) -> Option<Measured> {
    let bytes = payload(workload).map(|payload| payload.bytes);
    if bytes.is_none() && workload != "r2" {
        return None;
    }
    let peer = Peer::start(system, workload);
    let stream = TcpStream::connect(&peer.line).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(match bytes {
        None => round_trips(stream, count).await,
        Some(bytes) => one_direction(stream, count, bytes).await,
    })
}

async fn round_trips(mut stream: TcpStream, count: u64) -> Measured {
    let (mut times, mut buffer) = (Times::new(), [7; TRIP]);
    let began = Instant::now();
    for _ in 0..count {
        let sent = Instant::now();
        assert!(stream.write_all(&buffer).await.is_ok());
        assert!(stream.read_exact(&mut buffer).await.is_ok());
        times.add(sent.elapsed());
    }
    Measured::since(began, count).with_times(&times)
}

async fn one_direction(mut stream: TcpStream, count: u64, bytes: usize) -> Measured {
    let mut frame = prefix(bytes).to_vec();
    frame.resize(frame.len() + bytes, 7);
    let began = Instant::now();
    for _ in 0..count {
        assert!(stream.write_all(&frame).await.is_ok());
    }
    assert!(stream.shutdown().await.is_ok());
    assert_eq!(stream.read_u64_le().await.ok(), Some(count * frame.len() as u64));
    Measured::since(began, count).megabytes(count * bytes as u64)
}
