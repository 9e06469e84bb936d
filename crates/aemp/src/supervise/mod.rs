//! Supervision: a port that starts others, and starts them again when they die.
//!
//! A [`Supervisor`] has children in an order. Each [`Child`] is a function that starts it, here or
//! on another node, and gives its port ID. When one dies, or its node cannot be reached any more,
//! the [`Strategy`] says who is stopped and started again, and the child's [`Restart`] whether
//! anybody is. More restarts than the limit allows end the supervisor.
//!
//! However a supervisor ends, it stops its children in the reverse of their order, each one when
//! the last is dead. Asked with [`Request::Stop`] it first stops them and then dies normally.
//! Killed, it is dead at once, and they are stopped afterwards. That cannot be done when its whole
//! process ends: ports on other nodes that are not to outlive it monitor it.
//!
//! A child whose node is lost may be alive. It is started again all the same, so for a while there
//! may be two of it; the old one is killed if its node can be reached again soon.
//!
//! # Examples
//!
//! ```
//! use aemp::supervise::{Child, Request, Restart, Strategy, Supervisor};
//! use aemp::{AnyMessage, Context, Node};
//! use std::time::Duration;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().start().await?;
//! let echo = Child::new("echo", |node| {
//!     let port = node.port(|_: &mut Context<'_>, message: AnyMessage| println!("{message:?}"));
//!     node.db().register("echo", &port)?;
//!     Ok(port)
//! });
//! let once = Child::new("once", |node| Ok(node.port_async(async |_| Ok(()))));
//! let once = once.restart(Restart::Never);
//!
//! let supervisor = Supervisor::new(Strategy::OneForOne)
//!     .limit(5, Duration::from_secs(10))
//!     .child(echo)
//!     .child(once)
//!     .start(&node);
//!
//! let echo = node.db().any("echo").await?;
//! node.send(&echo, ("hello",))?;
//! # let death = node.exited(&supervisor);
//! node.send(&supervisor, Request::Stop)?;
//! # assert!(death.await.is_normal());
//! # Ok(())
//! # }
//! ```
//!
//! A child on one node after the other:
//!
//! ```
//! use aemp::NodeId;
//! use aemp::supervise::Child;
//!
//! # fn _f() -> Result<(), aemp::NameError> {
//! let mut nodes = [NodeId::new("worker/1")?, NodeId::new("worker/2")?].into_iter().cycle();
//! let pool = Child::new("pool", move |node| {
//!     let chosen = nodes.next().unwrap_or_else(|| node.id().clone());
//!     Ok(node.spawn(&chosen, "worker::pool", (4,))?)
//! });
//! # Ok(())
//! # }
//! ```

mod children;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use aemp_macros::Message;
use aemp_proto::{Addr, PortId, Reason};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::message::ReplyTo;
use crate::node::Node;
use crate::port::{ExitResult, Mailbox};
use crate::send_error::SendError;
use children::Children;

/// Restarts that are allowed unless [`Supervisor::limit`] says otherwise: more than three in five
/// seconds are no accident.
const LIMIT: (usize, Duration) = (3, Duration::from_secs(5));

/// How long a child may take to end unless [`Child::stop_within`] says otherwise.
const STOP_LIMIT: Duration = Duration::from_secs(5);

type Start = Box<dyn FnMut(&Node) -> Result<PortId, Reason> + Send>;
type Stop = Box<dyn Fn(&Node, &PortId) -> Result<(), SendError> + Send>;

/// Who is started again when a child dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child that died.
    OneForOne,
    /// All children: the others are stopped first.
    AllForOne,
    /// The child that died and those after it, which are stopped first.
    RestForOne,
}

/// After which death a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// After any.
    Always,
    /// After an abnormal one; the loss of its node is one.
    Abnormal,
    /// After none. Such a child is not started again either when it was stopped because of another.
    Never,
}

/// One child of a supervisor: how it is started, when it is started again, how it is stopped.
#[must_use = "a child exists only after its supervisor was started"]
pub struct Child {
    name: String,
    start: Start,
    restart: Restart,
    stop: Stop,
    stop_within: Duration,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("stop_within", &self.stop_within)
            .finish_non_exhaustive()
    }
}

impl Child {
    /// A child that is started by this function, and again after any death. The name is for logs
    /// and for [`Request::Children`].
    ///
    /// The function may start the child on another node with [`Node::spawn`]. An error or a panic
    /// ends the supervisor. It must not block.
    pub fn new<P: Into<PortId>>(
        name: impl Into<String>,
        mut start: impl FnMut(&Node) -> Result<P, Reason> + Send + 'static,
    ) -> Child {
        Child {
            name: name.into(),
            start: Box::new(move |node| start(node).map(P::into)),
            restart: Restart::Always,
            stop: Box::new(|node, port| {
                node.kill(port, stopped());
                Ok(())
            }),
            stop_within: STOP_LIMIT,
        }
    }

    /// After which death the child is started again; after any unless set.
    pub fn restart(mut self, restart: Restart) -> Child {
        self.restart = restart;
        self
    }

    /// Asks the child to end, instead of killing it with the reason `shutdown`: for example by the
    /// message that it takes as such. If that cannot be sent, or it is not dead [in
    /// time](Child::stop_within), it is killed.
    ///
    /// A supervisor as a child is best stopped by [`Request::Stop`]: then it is dead only after its
    /// own children.
    ///
    /// # Examples
    ///
    /// ```
    /// use aemp::supervise::{Child, Request, Strategy, Supervisor};
    ///
    /// let inner = || Supervisor::new(Strategy::AllForOne);
    /// let child = Child::new("inner", move |node| Ok(inner().start(node)))
    ///     .stop_by(|node, port| node.send(port, Request::Stop));
    /// ```
    pub fn stop_by(
        mut self,
        stop: impl Fn(&Node, &PortId) -> Result<(), SendError> + Send + 'static,
    ) -> Child {
        self.stop = Box::new(stop);
        self
    }

    /// How long the child may take to end when it is stopped: 5 s. Then it is killed, and after the
    /// same time once more the supervisor goes on without knowing.
    pub fn stop_within(mut self, limit: Duration) -> Child {
        self.stop_within = limit;
        self
    }
}

/// The reason with which children are killed when they are stopped.
fn stopped() -> Reason {
    Reason::text("shutdown", "stopped by the supervisor")
}

/// What a supervisor can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
pub enum Request {
    /// Stop the children in order, then die normally. On the wire: `["stop"]`.
    Stop,
    /// Which children live: names and ports, in order. On the wire: `["children", port ID]`.
    Children {
        /// Where the answer goes.
        reply: ReplyTo<Vec<(String, PortId)>>,
    },
}

/// What reaches a supervisor: requests, and the deaths of its children.
#[derive(Serialize, Deserialize, Message)]
enum Event {
    Stop,
    Children {
        reply: ReplyTo<Vec<(String, PortId)>>,
    },
    #[message(tag = "supervised_child_died")]
    Died {
        run: u64,
        reason: Reason,
    },
}

/// A port that starts others, and starts them again when they die. See the [module](self).
#[must_use = "a supervisor does nothing before it was started"]
pub struct Supervisor {
    strategy: Strategy,
    limit: (usize, Duration),
    children: Vec<Child>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("limit", &self.limit)
            .field("children", &self.children)
            .finish()
    }
}

impl Supervisor {
    /// A supervisor without children.
    pub fn new(strategy: Strategy) -> Supervisor {
        Supervisor { strategy, limit: LIMIT, children: Vec::new() }
    }

    /// Ends the supervisor with the reason `restart_limit` when there would be more than this many
    /// restarts within this time: 3 within 5 s unless set. Several children that are started again
    /// because of one death count as one.
    pub fn limit(mut self, restarts: usize, within: Duration) -> Supervisor {
        self.limit = (restarts, within);
        self
    }

    /// Adds a child behind those that are there.
    pub fn child(mut self, child: Child) -> Supervisor {
        self.children.push(child);
        self
    }

    /// Starts the supervisor, which starts its children, in order.
    pub fn start(self, node: &Node) -> Addr<Request> {
        node.port_async(|port| self.run(port)).assume()
    }

    /// The code of a supervisor, for an async port that is made in another way.
    ///
    /// # Errors
    ///
    /// The reason with which the supervisor dies: of a start that failed, or `restart_limit`.
    ///
    /// # Examples
    ///
    /// Spawned by other nodes:
    ///
    /// ```
    /// use aemp::supervise::{Child, Strategy, Supervisor};
    /// use aemp::{Context, Node, Reason};
    ///
    /// let builder = Node::builder();
    /// let builder = builder.function("example::pool", |cx: &mut Context<'_>, (size,): (u32,)| {
    ///     let mut pool = Supervisor::new(Strategy::OneForOne);
    ///     for n in 0..size {
    ///         pool = pool.child(Child::new(format!("worker {n}"), |node| {
    ///             Ok(node.port(|_: &mut Context<'_>, (job,): (String,)| println!("{job}")))
    ///         }));
    ///     }
    ///     cx.receive_async(|port| pool.run(port));
    ///     Ok::<(), Reason>(())
    /// });
    /// ```
    pub async fn run(self, mut port: Mailbox) -> ExitResult {
        let _known = port.node().inner().shared.leaving.supervises(port.id().clone());
        let mut restarts = Restarts { limit: self.limit, times: VecDeque::new() };
        let mut children = Children::new(port.node(), self.children);
        let outcome = match children.start_all(&port) {
            Ok(()) => supervise(self.strategy, &mut restarts, &mut children, &mut port).await,
            Err(reason) => Err(reason),
        };
        let all = 0..children.len();
        children.stop_range(&mut port, all).await;
        outcome
    }
}

/// Handles what comes until the supervisor is to end.
async fn supervise(
    strategy: Strategy,
    restarts: &mut Restarts,
    children: &mut Children,
    port: &mut Mailbox,
) -> ExitResult {
    loop {
        let (run, reason) = match port.recv().await {
            Event::Stop => return Ok(()),
            Event::Children { reply } => {
                port.send(reply.port(), (children.living(),))?;
                continue;
            }
            Event::Died { run, reason } => (run, reason),
        };
        // The death of one that was stopped before it was known, or of an earlier run: nothing new.
        let Some(at) = children.died(run, &reason) else { continue };
        if !children.wants_restart(at, &reason) {
            continue;
        }
        restarts.count(children.name(at), &reason)?;
        let from = match strategy {
            Strategy::OneForOne => at..at + 1,
            Strategy::AllForOne => 0..children.len(),
            Strategy::RestForOne => at..children.len(),
        };
        let stopped = children.stop_range(port, from).await;
        children.start_again(port, at, &stopped)?;
    }
}

/// When children were started again lately.
struct Restarts {
    limit: (usize, Duration),
    times: VecDeque<Instant>,
}

impl Restarts {
    /// Counts one more, unless that is too much.
    fn count(&mut self, child: &str, reason: &Reason) -> Result<(), Reason> {
        let (most, within) = self.limit;
        let now = Instant::now();
        self.times.retain(|time| now.duration_since(*time) < within);
        if self.times.len() >= most {
            let text = format_args!("more than {most} restarts within {within:?}; {child:?} died: {reason}");
            return Err(Reason::text("restart_limit", text));
        }
        self.times.push_back(now);
        Ok(())
    }
}
