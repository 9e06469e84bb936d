//! 9. A file copied over a data connection: octets beside the messages.
//!
//! In one terminal: `cargo run --release --example 09_copy listen 127.0.0.1:4040`
//! In another one: `cargo run --release --example 09_copy connect 127.0.0.1:4040 FROM TO`
//!
//! The listening side has a function that takes a stream, and writes what comes into the file TO, seen from its folder. FROM is read by
//! the connecting side. At the end both compare the digest of what they sent and wrote: without TLS the end of a stream looks the
//! same whether somebody closed it or died.

mod terminal;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aemp::{Node, Stream};
use sha3::{Digest as _, Sha3_256};
use terminal::{Side, Terminal};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Octets that are read at once.
const BLOCK: usize = 256 << 10;

/// How long to wait for the other side.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    match terminal.side {
        Side::Listen => {
            let node = terminal.node().id("copy").stream_function("copy::receive", receive).start().await?;
            terminal::stay(&node).await
        }
        Side::Connect => {
            let [from, to] = terminal.rest.as_slice() else { return Err("say FROM and TO".into()) };
            let node = terminal.node().start().await?;
            send(&node, from, to).await?;
            node.shutdown().await;
            Ok(())
        }
    }
}

/// Runs on the listening side, with the arguments of the other one.
async fn receive(_: Node, mut stream: Stream, (to, octets): (PathBuf, u64)) -> io::Result<()> {
    let mut file = File::create_new(&to).await?;
    let mut progress = Progress::new(octets);
    let mut digest = Sha3_256::new();
    let mut block = vec![0; BLOCK];
    loop {
        let len = stream.read(&mut block).await?;
        if len == 0 {
            break;
        }
        file.write_all(&block[..len]).await?;
        digest.update(&block[..len]);
        progress.add(len);
    }
    file.sync_all().await?;
    println!("{}: {}", to.display(), progress.summary());
    // The other direction is open yet.
    stream.write_all(&digest.finalize()).await?;
    stream.shutdown().await
}

async fn send(node: &Node, from: &str, to: &str) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(from).await?;
    let octets = file.metadata().await?.len();
    let there = "copy".parse()?;
    let mut stream = node.connect_stream(&there, "copy::receive", (to, octets), LIMIT).await?;
    let mut progress = Progress::new(octets);
    let mut digest = Sha3_256::new();
    let mut block = vec![0; BLOCK];
    loop {
        let len = file.read(&mut block).await?;
        if len == 0 {
            break;
        }
        stream.write_all(&block[..len]).await?;
        digest.update(&block[..len]);
        progress.add(len);
    }
    // That was all; the answer is still to come.
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    println!("{from}: {}", progress.summary());
    if answer != digest.finalize().as_slice() {
        return Err(format!("{to} there is not what {from} is here").into());
    }
    println!("the digests are the same");
    Ok(())
}

/// What is done of the whole, and how fast; said every time that another tenth is done.
struct Progress {
    begun: Instant,
    done: u64,
    whole: u64,
}

impl Progress {
    fn new(whole: u64) -> Progress {
        Progress { begun: Instant::now(), done: 0, whole }
    }

    fn add(&mut self, len: usize) {
        let tenths = |done: u64| done * 10 / self.whole.max(1);
        let before = tenths(self.done);
        self.done += len as u64;
        let now = tenths(self.done);
        if now > before {
            println!("{:3} %  {}", now * 10, self.speed());
        }
    }

    fn speed(&self) -> String {
        format!("{:.1} MB/s", self.done as f64 / 1e6 / self.begun.elapsed().as_secs_f64())
    }

    fn summary(&self) -> String {
        format!("{} octets, {}", self.done, self.speed())
    }
}
