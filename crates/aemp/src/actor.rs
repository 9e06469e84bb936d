//! Typed actors: a port whose state is a value with methods.
//!
//! An [`Actor`] says what it is made of, what it takes and what it does with it.
//! [`Node::start_actor`] starts one here, [`Builder::actor`] lets this and other nodes spawn them
//! by name, [`Context::become_actor`] makes one of the port whose init function runs. All of it is
//! built on what every user of this crate has: a port with a state and one handler.
//!
//! Timers, answers of calls, results of tasks and monitors get at the actor with
//! [`Context::with_actor`].
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use aemp::{Actor, Context, Message, Node, Reason, ReplyTo};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Message)]
//! enum Count {
//!     Add(i64),
//!     Total { reply: ReplyTo<i64> },
//! }
//!
//! struct Counter {
//!     total: i64,
//! }
//!
//! impl Actor for Counter {
//!     type Args = i64;
//!     type Message = Count;
//!
//!     fn init(_: &mut Context<'_>, total: i64) -> Result<Counter, Reason> {
//!         Ok(Counter { total })
//!     }
//!
//!     fn handle(&mut self, cx: &mut Context<'_>, message: Count) -> Result<(), Reason> {
//!         match message {
//!             Count::Add(n) => {
//!                 let total = self.total.checked_add(n);
//!                 self.total = total.ok_or_else(|| Reason::died("overflow"))?;
//!             }
//!             Count::Total { reply } => cx.reply(reply, self.total),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().actor::<Counter>("example::counter").start().await?;
//! let here = node.start_actor::<Counter>(40);
//! node.send(&here, Count::Add(2))?;
//! let total = node.call(&here, Duration::from_secs(1), |reply| Count::Total { reply }).await?;
//! assert_eq!(total, 42);
//!
//! // On this node, or on any other one that has the function:
//! let spawned = node.spawn(node.id(), "example::counter", 7)?.assume::<Count>();
//! let total = node.call(&spawned, Duration::from_secs(1), |reply| Count::Total { reply }).await?;
//! assert_eq!(total, 7);
//! # Ok(())
//! # }
//! ```
//!
//! [`Node::start_actor`] gives an [`Addr`], which knows what may be sent. Something else does not
//! compile:
//!
//! ```compile_fail,E0277
//! # use aemp::{Addr, Message, Node};
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize, Message)]
//! enum Count {
//!     Add(i64),
//! }
//!
//! fn add(node: &Node, counter: &Addr<Count>) {
//!     let _ = node.send(counter, ("add", 1)); // error: a tuple cannot be sent to an `Addr<Count>`
//! }
//! ```
//!
//! The port ID takes anything. The ID of a port that comes from elsewhere, a spawned one or one out
//! of the database, becomes an address by [`PortId::assume`], which nobody checks:
//!
//! ```
//! # use aemp::{Addr, Message, Node, PortId};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, Message)]
//! # enum Count { Add(i64) }
//! fn add(node: &Node, counter: &Addr<Count>, other: PortId) -> Result<(), aemp::SendError> {
//!     node.send(counter, Count::Add(1))?;
//!     node.send(counter.port(), ("add", 1))?; // the same on the wire
//!     node.send(&other.assume::<Count>(), Count::Add(1))
//! }
//! ```

use std::sync::Arc;

use aemp_proto::{Addr, PortId, Reason};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::message::{Envelope, FromMessage};
use crate::node::Node;
use crate::port::Context;

/// A port whose state is a value with methods. See the [module](self).
pub trait Actor: Sized + Send + 'static {
    /// What an actor is started with. To be spawned from other nodes it must be a serde type: a
    /// tuple for several values.
    type Args: Send + 'static;

    /// What an actor takes. A message that does not fit kills it with `bad_message` or
    /// `unhandled_message`.
    type Message: FromMessage;

    /// Makes the actor, in its port: [`Context::me`] is its ID, and monitors and timers may be set.
    ///
    /// # Errors
    ///
    /// There will be no actor; the port dies of this reason.
    fn init(cx: &mut Context<'_>, args: Self::Args) -> Result<Self, Reason>;

    /// Handles one message.
    ///
    /// # Errors
    ///
    /// The actor dies of this reason. Any error with `?` becomes `die, TEXT`; the empty reason is a
    /// normal death.
    fn handle(&mut self, cx: &mut Context<'_>, message: Self::Message) -> Result<(), Reason>;

    /// Ends what the actor has begun. The port is dead by now: this runs outside of any port, and
    /// nothing reaches the actor any more. It also runs after a panic in the actor's code, and then
    /// sees what that has left.
    ///
    /// Unless it is overridden it logs an abnormal reason, at most one a second as a warning.
    fn stopped(self, node: &Node, reason: Reason) {
        if reason.is_normal() {
            return;
        }
        let (actor, shared) = (std::any::type_name::<Self>(), &node.inner().shared);
        match shared.actors.take(shared.now()) {
            Some(withheld) => tracing::warn!(actor, %reason, withheld, "an actor died"),
            None => tracing::debug!(actor, %reason, "an actor died"),
        }
    }
}

/// What is left of an actor when its port ends: the actor itself and the reason, in either order.
enum Remains<A> {
    Nothing,
    Actor(Box<A>),
    Reason(Reason),
}

/// An actor as the state of its port. While the actor's code runs it is lent to that.
struct Held<A: Actor> {
    actor: Option<Box<A>>,
    remains: Arc<Mutex<Remains<A>>>,
    node: Node,
}

impl<A: Actor> Held<A> {
    fn actor(&mut self) -> &mut A {
        self.actor.as_mut().expect("only drop takes the actor away")
    }
}

impl<A: Actor> Drop for Held<A> {
    fn drop(&mut self) {
        let Some(actor) = self.actor.take() else { return };
        let mut remains = self.remains.lock();
        match std::mem::replace(&mut *remains, Remains::Nothing) {
            Remains::Reason(reason) => {
                drop(remains);
                self.node.postpone(move |node| actor.stopped(node, reason));
            }
            Remains::Nothing | Remains::Actor(_) => *remains = Remains::Actor(actor),
        }
    }
}

/// Calls [`Actor::stopped`] as soon as the port is dead and the actor is out of it.
fn watch<A: Actor>(node: &Node, port: &PortId, remains: Arc<Mutex<Remains<A>>>) {
    let own = node.clone();
    let dead = move |reason| {
        let mut left = remains.lock();
        match std::mem::replace(&mut *left, Remains::Nothing) {
            Remains::Actor(actor) => {
                drop(left);
                actor.stopped(&own, reason);
            }
            Remains::Nothing | Remains::Reason(_) => *left = Remains::Reason(reason),
        }
    };
    node.monitor(port, dead).detach();
}

impl Context<'_> {
    /// From the next message on the own port is this actor. For the init function of a spawned
    /// port.
    ///
    /// # Errors
    ///
    /// Those of [`Actor::init`], for the init function to return.
    pub fn become_actor<A: Actor>(&mut self, args: A::Args) -> Result<(), Reason> {
        let actor = Some(Box::new(A::init(self, args)?));
        let (node, port) = (self.node().clone(), self.me());
        let remains = Arc::new(Mutex::new(Remains::Nothing));
        watch(&node, &port, remains.clone());
        self.set_state(Some(Held::<A> { actor, remains, node }));
        self.receive(|cx, message: A::Message| {
            if let Err(reason) = cx.with_actor(|actor: &mut A, cx| actor.handle(cx, message)) {
                cx.end(reason);
            }
        });
        Ok(())
    }

    /// Runs code with the actor that the own port is: for timers, monitors, and what comes of calls
    /// and tasks.
    ///
    /// # Panics
    ///
    /// The own port is not this actor, or this runs inside of another call of it or of the actor's
    /// own methods. That kills the port.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aemp::{Actor, Context, Reason};
    ///
    /// struct Clock {
    ///     ticks: u32,
    /// }
    ///
    /// fn tick(cx: &mut Context<'_>) {
    ///     cx.with_actor(|clock: &mut Clock, _| clock.ticks += 1);
    ///     cx.after(Duration::from_secs(1), tick);
    /// }
    ///
    /// impl Actor for Clock {
    ///     type Args = ();
    ///     type Message = (String,);
    ///
    ///     fn init(cx: &mut Context<'_>, (): ()) -> Result<Clock, Reason> {
    ///         cx.after(Duration::from_secs(1), tick);
    ///         Ok(Clock { ticks: 0 })
    ///     }
    ///
    ///     fn handle(&mut self, _: &mut Context<'_>, (word,): (String,)) -> Result<(), Reason> {
    ///         println!("{word} after {} ticks", self.ticks);
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn with_actor<A: Actor, T>(&mut self, code: impl FnOnce(&mut A, &mut Self) -> T) -> T {
        let mut held = self.state::<Option<Held<A>>>().take().expect("the code of this actor runs already");
        let result = code(held.actor(), self);
        *self.state() = Some(held);
        result
    }
}

impl Node {
    /// Starts an actor on this node. If its [`Actor::init`] fails, monitors of the port fire with
    /// the reason, or with `no_such_port` if they were set later.
    pub fn start_actor<A: Actor>(&self, args: A::Args) -> Addr<A::Message> {
        // Replaced before anybody knows the port's ID.
        let port = self.port(|_: &mut Context<'_>, _: Envelope| {});
        self.run_in(&port, move |cx| {
            if let Err(reason) = cx.become_actor::<A>(args) {
                cx.end(reason);
            }
        });
        port.port().clone().assume()
    }
}

impl Builder {
    /// Registers a function that spawns this actor, as [`Builder::function`] does; the arguments of
    /// the spawn are [`Actor::Args`].
    pub fn actor<A: Actor>(self, name: &str) -> Builder
    where
        A::Args: DeserializeOwned,
    {
        self.function(name, |cx: &mut Context<'_>, args: A::Args| cx.become_actor::<A>(args))
    }
}
