//! A course: from the first message to selective receive. Every piece of code here is compiled and
//! run with the tests.
//!
//! The numbered examples beside this crate (`cargo run --example 01_ping`, and so on) are the same
//! steps as programs for two terminals. Who comes from AnyEvent::MP finds the Perl names as aliases
//! in the search of these pages: `snd`, `rcv`, `mon`, `kil`, `cal`.
//!
//! # 1. A node, a port, a message
//!
//! A program becomes a *node*; there may be several in one process, and nothing is global. What can
//! be sent to is a *port*. A port is code with a queue of messages in front of it: it takes one
//! after the other, and never two at a time, so its state needs no lock.
//!
//! ```
//! use aemp::{Context, Message, Node};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Message)]
//! enum Counter {
//!     Add { n: u64 },
//!     Stop,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().start().await?;
//!
//! let mut total = 0;
//! let counter = node.port(move |cx: &mut Context<'_>, message| match message {
//!     Counter::Add { n } => total += n,
//!     Counter::Stop => {
//!         println!("counted {total}");
//!         cx.end(aemp::Reason::NORMAL);
//!     }
//! });
//!
//! let death = node.exited(&counter); // before it can happen
//! node.send(&counter, Counter::Add { n: 20 })?;
//! node.send(&counter, Counter::Add { n: 22 })?;
//! node.send(&counter, Counter::Stop)?;
//! assert!(death.await.is_normal());
//! # Ok(())
//! # }
//! ```
//!
//! What one sender sends to one port arrives in that order. [`send`](crate::Node::send) never waits
//! and gives no receipt: that it returned means that the message is on its way.
//!
//! `counter` is an [`Addr<Counter>`](crate::Addr): to send it something else does not compile.
//! Inside is the name of the port, a [`PortId`](crate::PortId). Both are plain values, that can be
//! copied, printed and sent to others; holding them keeps nothing alive.
//!
//! # 2. What a message is
//!
//! On the wire a message is a list of values, the first of which is mostly a *tag*. `Counter::Add {
//! n: 20 }` is `["add", 20]`; the names of the fields do not travel. So the same message can be
//! sent in several ways, from Rust as from Perl. What is no `Counter` for the compiler may be sent
//! to the port ID, and is checked when it arrives:
//!
//! ```
//! # use aemp::{AnyMessage, Context, Message, Node, Value};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, PartialEq, Serialize, Deserialize, Message)]
//! # enum Counter { Add { n: u64 } }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = Node::builder().start().await?;
//! # let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
//! # let seen = move |_: &mut Context<'_>, message: Counter| seen.send(message).unwrap();
//! # let counter = node.port(seen);
//! node.send(&counter, Counter::Add { n: 20 })?; // moved to the port if it takes just this type
//! node.send(counter.port(), ("add", 20))?; // a tuple
//! // A list; numbers may be texts, as in Perl:
//! node.send(counter.port(), AnyMessage(vec![Value::from("add"), Value::from("20")]))?;
//! # for _ in 0..3 { assert_eq!(sees.recv().await, Some(Counter::Add { n: 20 })); }
//! # Ok(())
//! # }
//! ```
//!
//! A message that does not fit kills the port, because dropping it would be a silent hole in what
//! the sender believes. For rolling upgrades a variant can take what is unknown
//! (`#[message(other)]`), surplus values are ignored, and missing ones may have a
//! `#[serde(default)]`.
//!
//! # 3. Questions and answers
//!
//! Anyone who wants to know something sends along where the answer is to go.
//! [`call`](crate::Node::call) makes a port for just that, monitors the other one, and waits:
//!
//! ```
//! use aemp::{CallError, Context, Message, Node, ReplyTo};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize, Message)]
//! enum Work {
//!     Add { a: i64, b: i64, reply: ReplyTo<i64> },
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = Node::builder().start().await?;
//! let adder = node.port(|cx: &mut Context<'_>, Work::Add { a, b, reply }| cx.reply(reply, a + b));
//!
//! let limit = Duration::from_secs(1);
//! let sum = node.call(&adder, limit, |reply| Work::Add { a: 20, b: 22, reply }).await?;
//! assert_eq!(sum, 42);
//!
//! node.kill(&adder, aemp::Reason::NORMAL);
//! let none = node.call(&adder, limit, |reply| Work::Add { a: 1, b: 1, reply }).await;
//! assert!(matches!(none, Err(CallError::Died(_)))); // at once, not after a second
//! # Ok(())
//! # }
//! ```
//!
//! # 4. Monitors: knowing that something went wrong
//!
//! Ports die: of an error or panic in their code, because somebody kills them, or because their
//! process or machine is gone. A *monitor* tells. It is also what makes messages dependable:
//!
//! > From the moment a monitor is set on a port, either every message that this node sends to the
//! > port arrives, in order, or the monitor fires.
//!
//! ```
//! # use aemp::{AnyMessage, Context, Node};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = Node::builder().start().await?;
//! let fragile = node.port(|_: &mut Context<'_>, _: AnyMessage| panic!("as anybody may"));
//! # let (told, tells) = tokio::sync::oneshot::channel();
//!
//! // A callback. Its guard would withdraw it when dropped; `detach` lets it stand.
//! node.monitor(&fragile, |reason| {
//!     println!("gone: {reason}");
//! #   told.send(reason).unwrap();
//! }).detach();
//!
//! // A port that dies with another one.
//! let friend = node.port(|_: &mut Context<'_>, _: AnyMessage| {});
//! node.monitor_kill(&fragile, &friend).detach();
//! let death = node.exited(&friend); // a monitor as a future
//!
//! node.send(&fragile, ("anything",))?;
//! assert_eq!(tells.await?.identifier().as_deref(), Some("die"));
//! assert_eq!(death.await.identifier().as_deref(), Some("die"));
//! # Ok(())
//! # }
//! ```
//!
//! A monitor of a port on another node may also fire with `transport_error`. That does not say that
//! the port is dead; it says that messages to it may be lost, and that nothing sent later reaches
//! it before you have been told. What to do then is yours: begin anew, look for another port, or
//! give up.
//!
//! # 5. Two nodes
//!
//! Nodes find each other through *seeds*: addresses of nodes that are there already. Everybody in a
//! network knows one secret. Afterwards it makes no difference where a port is.
//!
//! ```
//! use aemp::{Context, Node};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let seed = Node::builder().id("seed").bind("127.0.0.1:0").secret("not a good one");
//! let seed = seed.start().await?;
//! let other = Node::builder().seed(seed.local_addrs()[0]).secret("not a good one").start().await?;
//!
//! # let (said, mut says) = tokio::sync::mpsc::unbounded_channel();
//! let printer = seed.port(move |_: &mut Context<'_>, (text,): (String,)| {
//!     println!("{text}");
//! #   said.send(text).unwrap();
//! });
//! seed.db().register("printers", &printer)?; // everybody can look it up; it leaves with the port
//!
//! let found = other.db().any_of::<(String,)>("printers").await?; // we know what printers take
//! other.send(&found, ("hello from afar",))?;
//! # assert_eq!(says.recv().await.as_deref(), Some("hello from afar"));
//! # other.shutdown().await;
//! # seed.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The [`database`](crate::database) is a directory shared by all nodes: families of keys with
//! values. `watch` tells what comes and goes. What is found there is a port ID, and its type an
//! assumption: [`PortId::assume`](crate::PortId::assume) makes the address.
//!
//! # 6. Virtual connections
//!
//! A server that keeps state for each client needs to know when a client is gone, and the client
//! when the server is. *Spawn* makes a port on another node by running a function that is
//! registered there. The new ID is there at once, so it can be sent to and monitored in the same
//! breath. Two ports that monitor each other are a connection: without a socket of its own, with
//! state at both ends, and over as soon as either end is.
//!
//! ```
//! use aemp::{Addr, Context, Inbox, Message, Node, Reason, pick};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Message)]
//! enum Session {
//!     Add { n: i64 },
//! }
//!
//! #[derive(Serialize, Deserialize, Message)]
//! enum Client {
//!     Begin,
//!     Sum { n: i64 },
//! }
//!
//! /// Runs in the new port, and gives it a receiver.
//! fn session(cx: &mut Context<'_>, (client,): (Addr<Client>,)) -> Result<(), Reason> {
//!     cx.monitor_kill(&client).detach();
//!     // A normal end of the client as well:
//!     cx.monitor(&client, |cx, _| cx.end(Reason::NORMAL)).detach();
//!     let mut sum = 0;
//!     cx.receive(move |cx, Session::Add { n }| {
//!         sum += n;
//!         cx.send(&client, Client::Sum { n: sum });
//!     });
//!     Ok(())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Node::builder()
//!     .id("adder")
//!     .bind("127.0.0.1:0")
//!     .secret("s")
//!     .function("adder::session", session)
//!     .start()
//!     .await?;
//! let node = Node::builder().seed(server.local_addrs()[0]).secret("s").start().await?;
//!
//! # let known = server.port(|_: &mut Context<'_>, (): ()| {});
//! # server.db().register("adders", &known)?;
//! # node.db().any("adders").await?;
//! let adder = server.id().clone();
//! let client = node.port_async_of(async move |mut port: Inbox<Client>| {
//!     port.recv_match(pick!(Client::Begin => ())).await;
//!     let session = port.spawn(&adder, "adder::session", (port.addr(),))?.assume::<Session>();
//!     port.monitor_kill(&session).detach();
//!     for n in [20, 22] {
//!         port.send(&session, Session::Add { n })?;
//!     }
//!     port.recv_match(pick!(Client::Sum { n: 42 } => ())).await;
//!     Ok(()) // the end of this port ends the session
//! });
//! let end = node.exited(&client); // before it can end: of a port that is gone nobody knows how
//! node.send(&client, Client::Begin)?;
//! assert!(end.await.is_normal());
//! # node.shutdown().await;
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Only registered functions can be spawned, no matter what the secret.
//!
//! # 7. Supervision
//!
//! A program that is made of ports can let one of them fail and begin it again in a known state. A
//! [`Supervisor`](crate::supervise::Supervisor) is a port that does so, with limits, here or on
//! other nodes:
//!
//! ```
//! use aemp::supervise::{Child, Strategy, Supervisor};
//! use aemp::{Context, Node};
//! use std::time::Duration;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = Node::builder().start().await?;
//! # let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
//! let worker = Child::new("worker", move |node| {
//!     let port = node.port(|_: &mut Context<'_>, (n,): (u32,)| assert_ne!(n, 13));
//! #   started.send(port.clone()).unwrap();
//!     Ok(port)
//! });
//! let supervisor = Supervisor::new(Strategy::OneForOne).limit(3, Duration::from_secs(5));
//! let supervisor = supervisor.child(worker).start(&node);
//! # let first = starts.recv().await.unwrap();
//! # node.send(&first, (13,))?;
//! # assert_ne!(starts.recv().await.unwrap(), first);
//! # node.kill(&supervisor, aemp::Reason::NORMAL);
//! # Ok(())
//! # }
//! ```
//!
//! Nobody has to know the new port's ID: register it in the database, and let users look it up
//! again when their monitor fires.
//!
//! # 8. Selective receive
//!
//! A callback port takes messages as they come. An *async port* is code that runs from its
//! beginning to its end and asks for what it needs next. The rest stays queued, in order. That is
//! the shorter way to write a protocol of several steps.
//!
//! ```
//! use aemp::{Message, Node, pick};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Debug, Serialize, Deserialize, Message)]
//! enum Kitchen {
//!     Order { dish: String },
//!     Delivery { crates: u32 },
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = Node::builder().start().await?;
//! let cook = node.port_async(async |mut port| {
//!     // In spite of what came before:
//!     let crates = port.recv_match(pick!(Kitchen::Delivery { crates } => crates)).await;
//!     for _ in 0..crates {
//!         let dish = port.recv_match(pick!(Kitchen::Order { dish } => dish)).await;
//!         println!("cooking {dish}");
//!     }
//!     let soon = Duration::from_millis(1);
//!     let more = port.recv_match_timeout(soon, pick!(Kitchen::Order { .. } => ())).await;
//!     assert!(more.is_none());
//!     Ok(())
//! });
//!
//! node.send(&cook, Kitchen::Order { dish: "stew".into() })?;
//! # let death = node.exited(&cook);
//! node.send(&cook, Kitchen::Delivery { crates: 1 })?; // only now the stew can be made
//! # assert!(death.await.is_normal());
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go from here
//!
//! - [`Context`](crate::Context): what code in a port can do. [`Handlers`](crate::Handlers): ports
//!   with tagged handlers that change while they run. [`Actor`](crate::Actor): a port as a type
//!   with state.
//! - `SEMANTICS.md` says on one page what is promised, and what is not.
//! - The `aemp` command runs nodes, talks to networks and edits the configuration that it shares
//!   with the Perl tool.
