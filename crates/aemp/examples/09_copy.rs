//! 9. A file copied over a data connection: bytes beside the messages.
//!
//! In one terminal: `cargo run --release --example 09_copy listen 127.0.0.1:4040 FOLDER`
//! In another one: `cargo run --release --example 09_copy connect 127.0.0.1:4040 FILE`
//!
//! The listening side has a function that takes a stream, and writes what comes into a new file of
//! its folder. At the end the digest of what was written goes back, and is compared with that of
//! what was sent: without TLS the end of a stream looks the same whether somebody closed it or
//! died.

mod terminal;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aemp::{Node, Stream};
use sha3::{Digest as _, Sha3_256};
use terminal::{Side, Terminal};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// How long to wait for the other side.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    match terminal.side {
        Side::Listen => {
            let folder = PathBuf::from(terminal.rest.first().map_or(".", String::as_str));
            let receive = move |_: Node, stream: Stream, (name, bytes): (String, u64)| {
                let folder = folder.clone();
                async move {
                    let received = receive(&folder, stream, &name, bytes).await;
                    received.inspect_err(|error| println!("{name}: {error}"))
                }
            };
            let node = terminal.node().id("copy").stream_function("copy::receive", receive).start().await?;
            terminal::stay(&node).await
        }
        Side::Connect => {
            let [file] = terminal.rest.as_slice() else { return Err("say which FILE".into()) };
            let node = terminal.node().start().await?;
            send(&node, Path::new(file)).await?;
            node.shutdown().await;
            Ok(())
        }
    }
}

/// Runs on the listening side, with the arguments of the other one.
async fn receive(folder: &Path, mut stream: Stream, name: &str, bytes: u64) -> io::Result<()> {
    if Path::new(name).file_name() != Some(name.as_ref()) {
        return Err(io::Error::other("it would leave the folder"));
    }
    let mut file = File::create_new(folder.join(name)).await?;
    let mut progress = Progress::new(bytes);
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
    println!("{name}: {}", progress.summary());
    // The other direction is open yet.
    stream.write_all(&digest.finalize()).await?;
    stream.shutdown().await
}

async fn send(node: &Node, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(path).await?;
    let bytes = file.metadata().await?.len();
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("this file has no name to send")?;
    let there = "copy".parse()?;
    let mut stream = node.connect_stream(&there, "copy::receive", (name, bytes), LIMIT).await?;
    let mut progress = Progress::new(bytes);
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
    println!("{name}: {}", progress.summary());
    if answer != digest.finalize().as_slice() {
        return Err(format!("{name} there is not what it is here").into());
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
        format!("{} bytes, {}", self.done, self.speed())
    }
}
