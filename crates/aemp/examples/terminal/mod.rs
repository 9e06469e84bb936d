//! What the examples share: which side this terminal is, and where the other one is.

#![allow(dead_code)] // each example uses a part

use std::env::args;
use std::error::Error;
use std::process::exit;

use aemp::{Builder, Node};

/// Good enough for two terminals of one machine. Give a better one with `--secret`.
const SECRET: &str = "an example, and no secret at all";

/// Which of the two terminals this is.
pub(crate) enum Side {
    Listen,
    Connect,
}

/// The command line: `listen HOST:PORT` or `connect HOST:PORT`, then what the example wants itself.
pub(crate) struct Terminal {
    pub(crate) side: Side,
    pub(crate) rest: Vec<String>,
    address: String,
    secret: String,
}

impl Terminal {
    /// Reads the command line; ends the program with a word of help if it is something else.
    pub(crate) fn new() -> Terminal {
        let mut words: Vec<String> = args().skip(1).collect();
        let mut secret = SECRET.to_string();
        if let Some(at) = words.iter().position(|word| word == "--secret")
            && at + 1 < words.len()
        {
            secret = words.remove(at + 1);
            words.remove(at);
        }
        let mut words = words.into_iter();
        let side = match words.next().as_deref() {
            Some("listen") => Side::Listen,
            Some("connect") => Side::Connect,
            _ => usage(),
        };
        let Some(address) = words.next() else { usage() };
        Terminal { side, rest: words.collect(), address, secret }
    }

    /// The description of this side's node.
    pub(crate) fn node(&self) -> Builder {
        let builder = Node::builder().secret(self.secret.as_str());
        match self.side {
            Side::Listen => builder.bind(self.address.as_str()),
            Side::Connect => builder.seed(self.address.as_str()),
        }
    }
}

/// The listening side says where it can be found.
pub(crate) fn announce(node: &Node) {
    for address in node.local_addrs() {
        println!("listening on {address}");
    }
}

/// The listening side says where it can be found, and stays until ctrl-c.
pub(crate) async fn stay(node: &Node) -> Result<(), Box<dyn Error>> {
    announce(node);
    until_ctrl_c(node).await
}

/// Ends the node in order when the user wants it.
pub(crate) async fn until_ctrl_c(node: &Node) -> Result<(), Box<dyn Error>> {
    tokio::signal::ctrl_c().await?;
    node.shutdown().await;
    Ok(())
}

fn usage() -> ! {
    eprintln!("usage: EXAMPLE listen|connect HOST:PORT [--secret WORDS] [MORE…]");
    eprintln!("listen in one terminal, connect to the same HOST:PORT in another");
    exit(2)
}
