//! The workloads between two processes on a tokio socket: a channel, a writer task that gathers, a
//! reader task, a channel.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::serve;
use crate::catalogue::payload;
use crate::measure::{Measured, Times};
use crate::process::Peer;

/// The writer writes when it has gathered this much.
const GATHERED: usize = 256 << 10;
/// Bytes of a number, the least that a frame has.
const NUMBER: usize = 8;
/// Bytes of a message of the round trips, all in all.
pub(super) const TRIP: usize = 4 + NUMBER;
const SENDERS: u64 = 1000;

/// The far end: counts, or echoes.
pub(super) async fn peer(workload: String) {
    serve(|stream| async move {
        let (reader, writer) = stream.into_split();
        match workload.as_str() {
            "r2" => echo(reader, writer).await,
            "r1k" => spread(reader, writer).await,
            _ => count(reader, writer, payload(&workload).map_or(u64::MAX, |payload| payload.every)).await,
        }
    })
    .await;
}

/// What comes before a frame with this many bytes.
pub(super) fn prefix(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("frames are small").to_le_bytes()
}

/// A task gets the frames through a channel and sends them back through another one.
async fn echo(reader: OwnedReadHalf, writer: OwnedWriteHalf) {
    let (out, numbers) = mpsc::unbounded_channel();
    tokio::spawn(write_frames(numbers, writer));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(read_frames(reader, move |number, _| sender.send(number).is_ok()));
    while let Some(number) = receiver.recv().await {
        if out.send((number, NUMBER)).is_err() {
            return;
        }
    }
}

/// Reads frames and hands each on.
async fn read_frames(reader: OwnedReadHalf, mut take: impl FnMut(u64, Vec<u8>) -> bool) {
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    while let Ok(len) = reader.read_u32_le().await {
        let mut frame = vec![0; len as usize];
        if reader.read_exact(&mut frame).await.is_err() {
            return;
        }
        let mut number = [0; NUMBER];
        number.copy_from_slice(&frame[..NUMBER]);
        if !take(u64::from_le_bytes(number), frame) {
            return;
        }
    }
}

/// Another task gets the frames through a channel, and answers every so often and at the frame with
/// number 0.
async fn count(reader: OwnedReadHalf, mut writer: OwnedWriteHalf, every: u64) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, Vec<u8>)>();
    tokio::spawn(read_frames(reader, move |number, frame| sender.send((number, frame)).is_ok()));
    let mut seen = 0u64;
    while let Some((number, _frame)) = receiver.recv().await {
        seen += 1;
        if (seen.is_multiple_of(every) || number == 0) && writer.write_all(&seen.to_le_bytes()).await.is_err()
        {
            return;
        }
    }
}

/// A thousand tasks get the frames, each the ones with its number, and say when they have had the
/// last one, whose number is 0 but for the task.
async fn spread(reader: OwnedReadHalf, mut writer: OwnedWriteHalf) {
    let (done, mut all_done) = mpsc::unbounded_channel();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, Vec<u8>)>();
            let done = done.clone();
            tokio::spawn(async move {
                while let Some((number, _frame)) = receiver.recv().await {
                    if number < SENDERS && done.send(()).is_err() {
                        return;
                    }
                }
            });
            sender
        })
        .collect();
    tokio::spawn(read_frames(reader, move |number, frame| {
        senders[(number % SENDERS) as usize].send((number, frame)).is_ok()
    }));
    for _ in 0..SENDERS {
        all_done.recv().await;
    }
    // The workload is over either way.
    let _ = writer.write_all(&SENDERS.to_le_bytes()).await;
}

/// Runs a workload; `None` if nothing has this name.
pub(super) async fn run(system: &str, workload: &str, count: u64) -> Option<Measured> {
    let known = matches!(workload, "r1" | "r1k" | "r2") || payload(workload).is_some();
    if !known {
        return None;
    }
    let peer = Peer::start(system, workload);
    let stream = TcpStream::connect(&peer.line).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (reader, writer) = stream.into_split();
    Some(match workload {
        "r1" => send_frames(reader, writer, count, NUMBER, u64::MAX).await,
        "r1k" => from_a_thousand(reader, writer, count).await,
        "r2" => round_trips(reader, writer, count).await,
        _ => {
            let payload = payload(workload)?;
            let measured = send_frames(reader, writer, count, payload.bytes, payload.window).await;
            measured.megabytes(count * payload.bytes as u64)
        }
    })
}

/// Gathers what is in the channel and writes it.
async fn write_frames(mut receiver: mpsc::UnboundedReceiver<(u64, usize)>, mut writer: OwnedWriteHalf) {
    let mut out = Vec::new();
    let mut numbers = Vec::new();
    while receiver.recv_many(&mut numbers, 4096).await > 0 {
        for (number, size) in numbers.drain(..) {
            out.extend_from_slice(&prefix(size));
            let start = out.len();
            out.resize(start + size, 7);
            out[start..start + NUMBER].copy_from_slice(&number.to_le_bytes());
            if out.len() >= GATHERED {
                assert!(writer.write_all(&out).await.is_ok());
                out.clear();
            }
        }
        assert!(writer.write_all(&out).await.is_ok());
        out.clear();
    }
}

async fn send_frames(
    mut reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    count: u64,
    size: usize,
    window: u64,
) -> Measured {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(write_frames(receiver, writer));
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

async fn from_a_thousand(mut reader: OwnedReadHalf, writer: OwnedWriteHalf, count: u64) -> Measured {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(write_frames(receiver, writer));
    let each = (count / SENDERS).max(1);
    let began = Instant::now();
    for task in 0..SENDERS {
        let sender = sender.clone();
        tokio::spawn(async move {
            for n in 0..each {
                assert!(sender.send(((each - 1 - n) * SENDERS + task, NUMBER)).is_ok());
                if n % 1024 == 1023 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    assert_eq!(reader.read_u64_le().await.ok(), Some(SENDERS));
    Measured::since(began, each * SENDERS)
}

async fn round_trips(reader: OwnedReadHalf, writer: OwnedWriteHalf, count: u64) -> Measured {
    let (out, numbers) = mpsc::unbounded_channel();
    tokio::spawn(write_frames(numbers, writer));
    let (sender, mut answers) = mpsc::unbounded_channel();
    tokio::spawn(read_frames(reader, move |number, _| sender.send(number).is_ok()));
    let mut times = Times::new();
    let began = Instant::now();
    for n in 0..count {
        let sent = Instant::now();
        assert!(out.send((n, NUMBER)).is_ok());
        assert_eq!(answers.recv().await, Some(n));
        times.add(sent.elapsed());
    }
    Measured::since(began, count).with_times(&times)
}
