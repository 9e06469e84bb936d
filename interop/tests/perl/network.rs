//! Networks of both kinds of nodes, in every combination that matters.

use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::sync::Once;
use std::time::Duration;

use aemp::{AnyMessage, Builder, Context, Node, NodeId, PortId, Reason, Stream, Value};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use crate::peer::{Perl, library};

/// Long enough for any machine; reached only by a test that fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// The key and certificate of the networks that use TLS.
const CERTIFICATE: &str = include_str!("../../certificate.pem");

pub(crate) const SECRET: &str = "a secret that both know";

/// How a network is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// Who is the seed and global node, which the other one dials.
    pub(crate) seed: Kind,
    /// What Perl understands and writes, best first. The Rust side offers what it has.
    pub(crate) framing: &'static [&'static str],
    /// A certificate instead of a secret.
    pub(crate) tls: bool,
}

/// A kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rust,
    Perl,
}

pub(crate) const CBOR: &[&str] = &["cbor", "json", "storable"];
pub(crate) const JSON: &[&str] = &["json"];
/// Rust writes JSON, because Perl likes that best, and Perl writes CBOR.
pub(crate) const MIXED: &[&str] = &["json", "cbor"];

impl Setup {
    pub(crate) const fn new(seed: Kind, framing: &'static [&'static str], tls: bool) -> Setup {
        Setup { seed, framing, tls }
    }

    /// Whether strings lose on their way whether they are bytes or characters.
    pub(crate) fn is_json(&self) -> bool {
        self.framing[0] == "json"
    }

    /// A Rust node of such a network.
    pub(crate) fn rust(&self, id: &str) -> Builder {
        self.rust_at(id, "127.0.0.1:0")
    }

    /// A Rust node that listens on this address.
    pub(crate) fn rust_at(&self, id: &str, address: &str) -> Builder {
        let builder = functions(Node::builder().id(id).bind(address));
        if self.tls { builder.certificate_pem(CERTIFICATE) } else { builder.secret(SECRET) }
    }

    /// The configuration of a Perl node of such a network.
    pub(crate) fn perl(&self, id: &str, seeds: &[String]) -> Json {
        let mut config = json!({
            "nodeid": id, "binds": ["127.0.0.1:*"], "seeds": seeds, "framing_format": self.framing,
        });
        if self.tls {
            config["cert"] = CERTIFICATE.into();
        } else {
            config["secret"] = SECRET.into();
        }
        config
    }
}

/// One node of each kind, connected.
pub(crate) struct Pair {
    pub(crate) setup: Setup,
    pub(crate) rust: Node,
    pub(crate) perl: Perl,
}

impl Pair {
    pub(crate) async fn start(setup: Setup) -> Pair {
        Pair::start_with(setup, Duration::from_secs(30)).await
    }

    pub(crate) async fn start_with(setup: Setup, monitor_timeout: Duration) -> Pair {
        let builder = setup.rust("rust").monitor_timeout(monitor_timeout);
        Pair::start_as(setup, builder).await
    }

    /// With this Rust node, which [`Setup::rust`] has begun.
    pub(crate) async fn start_as(setup: Setup, builder: Builder) -> Pair {
        let (rust, mut perl) = match setup.seed {
            Kind::Rust => {
                let rust = builder.start().await.unwrap();
                let perl = Perl::start(setup.perl("perl", &addresses(&rust))).await;
                (rust, perl)
            }
            Kind::Perl => {
                let perl = Perl::start(setup.perl("perl", &[])).await;
                let rust = seeds(builder, &perl.binds).start().await.unwrap();
                (rust, perl)
            }
        };
        up(&rust, &perl.node).await;
        perl.up(rust.id()).await;
        Pair { setup, rust, perl }
    }

    pub(crate) async fn finish(self) {
        self.perl.finish().await;
        self.rust.shutdown().await;
    }
}

/// Adds seeds to a node.
pub(crate) fn seeds(builder: Builder, seeds: &[String]) -> Builder {
    seeds.iter().fold(builder, |builder, seed| builder.seed(seed.clone()))
}

/// What the nodes of the other kind may spawn and call on a Rust node.
fn functions(builder: Builder) -> Builder {
    builder
        .function("rust::echo", |cx: &mut Context<'_>, ()| {
            cx.receive(|cx, AnyMessage(mut values): AnyMessage| {
                let to = values.pop().and_then(|to| to.to_name()?.parse::<PortId>().ok());
                match to {
                    Some(to) => cx.send(&to, AnyMessage(values)),
                    None => cx.fail("no port to answer to"),
                }
            });
            Ok::<_, Reason>(())
        })
        .function("rust::tell", |cx: &mut Context<'_>, (to, word): (PortId, String)| {
            let me = cx.me();
            cx.send(&to, ("told", word, me));
            cx.receive(|_, ()| {});
            Ok::<_, Reason>(())
        })
        .function("rust::dying", |_: &mut Context<'_>, (word,): (String,)| {
            Err::<(), _>(Reason::died(format_args!("no luck with {word}")))
        })
        .stream_function("rust::stream", |_, stream: Stream, (word,): (String,)| async move {
            let mut stream = BufReader::new(stream);
            stream.write_all(format!("hello {word}\n").as_bytes()).await?;
            stream.flush().await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            stream.write_all(line.as_bytes()).await?;
            stream.shutdown().await
        })
        .function("rust::without_receiver", |_: &mut Context<'_>, ()| Ok::<_, Reason>(()))
}

/// Waits until a Rust node is connected to another node.
pub(crate) async fn up(node: &Node, peer: &NodeId) {
    let mut events = node.node_events();
    soon(&format!("the connection of {} to {peer}", node.id()), async {
        while !node.connected_nodes().contains(peer) {
            events.next().await.unwrap();
        }
    })
    .await;
}

/// Waits until the database says where this node listens.
pub(crate) async fn listed(node: &Node, id: &str) {
    let mut listeners = node.db().watch("'l");
    let listed = async { while !listeners.next().await.unwrap().content.contains_key(id) {} };
    soon(format!("an address of {id}"), listed).await;
}

/// A port that gives every message to the test.
pub(crate) fn inbox(node: &Node) -> (PortId, mpsc::UnboundedReceiver<AnyMessage>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let port = node.port(move |_: &mut Context<'_>, message: AnyMessage| {
        // The test may have ended.
        let _ = sender.send(message);
    });
    (port.into(), receiver)
}

/// The next message of an inbox.
pub(crate) async fn next(inbox: &mut mpsc::UnboundedReceiver<AnyMessage>) -> Vec<Value> {
    soon("a message", inbox.recv()).await.expect("the port lives").0
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: impl fmt::Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {LIMIT:?}"),
    }
}

/// Strings as Perl sees them: with no difference between bytes and the same code points.
pub(crate) fn plain(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::name(text),
        Value::List(values) => Value::List(values.iter().map(plain).collect()),
        Value::Map(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (plain(key), plain(value))).collect())
        }
        other => other.clone(),
    }
}

/// A reason or message as JSON, for a comparison with what Perl says.
pub(crate) fn words(values: &[Value]) -> Vec<String> {
    values.iter().map(|value| value.to_name().unwrap_or_else(|| format!("{value:?}"))).collect()
}

/// Runs a test if there is a Perl library, and says so if there is no library.
pub(crate) fn with_perl(test: impl Future<Output = ()>) {
    static SAID: Once = Once::new();
    if library().is_none() {
        // Not by a macro: a test that passes is not heard then.
        SAID.call_once(|| {
            let _ = writeln!(std::io::stderr(), "skipped: AEMP_PERL_LIB is not set");
        });
        return;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Where a node of ours can be dialled, as Perl's configuration has it.
pub(crate) fn addresses(node: &Node) -> Vec<String> {
    node.local_addrs().iter().map(ToString::to_string).collect()
}
