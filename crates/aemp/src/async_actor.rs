//! Typed actors whose handlers wait: `async fn handle`.

use std::future::Future;

use aemp_proto::{Addr, Reason};
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::inbox::Inbox;
use crate::message::FromMessage;
use crate::node::Node;
use crate::port::{Context, ExitResult, Mailbox};

/// An actor that handles one message after the other and may wait meanwhile, for a call, a timer or
/// a file: what comes in the meantime stays in the mailbox. [`Actor`](crate::Actor) is the one
/// whose handlers do not wait.
///
/// Each is a task of the runtime with an async port. A small one takes 2 KiB of memory, and 3.5 KiB
/// from its first message on, where an `Actor` takes 1 KiB and a port with a closure a quarter of
/// that. It is killed at its next `await`, and dropped then: one that has something to clean up
/// does so in `Drop`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use aemp::{AsyncActor, Inbox, Message, Node, Reason, ReplyTo};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// enum Fetch {
///     Page { url: String, reply: ReplyTo<String> },
/// }
///
/// struct Fetcher {
///     fetched: u32,
/// }
///
/// impl AsyncActor for Fetcher {
///     type Args = ();
///     type Message = Fetch;
///
///     async fn init(_: &mut Inbox<Fetch>, (): ()) -> Result<Fetcher, Reason> {
///         Ok(Fetcher { fetched: 0 })
///     }
///
///     async fn handle(&mut self, inbox: &mut Inbox<Fetch>, message: Fetch) -> Result<(), Reason> {
///         let Fetch::Page { url, reply } = message;
///         tokio::time::sleep(Duration::from_millis(1)).await; // for the network
///         self.fetched += 1;
///         inbox.reply(reply, format!("{url} is page {}", self.fetched))?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::builder().async_actor::<Fetcher>("example::fetcher").start().await?;
/// let fetcher = node.start_async_actor::<Fetcher>(());
/// let page = |reply| Fetch::Page { url: "/index".to_string(), reply };
/// assert_eq!(node.call(&fetcher, Duration::from_secs(1), page).await?, "/index is page 1");
///
/// // On this node, or on any other one that has the function:
/// let spawned = node.spawn(node.id(), "example::fetcher", ())?.assume::<Fetch>();
/// assert_eq!(node.call(&spawned, Duration::from_secs(1), page).await?, "/index is page 1");
/// # Ok(())
/// # }
/// ```
pub trait AsyncActor: Sized + Send + 'static {
    /// What an actor is started with. To be spawned from other nodes it must be a serde type: a
    /// tuple for several values.
    type Args: Send + 'static;

    /// What an actor takes. A message that does not fit kills it with `bad_message` or
    /// `unhandled_message`.
    type Message: FromMessage;

    /// Makes the actor, in its port: `inbox` has its ID and all that async ports can do, monitors
    /// whose fires are messages included.
    ///
    /// # Errors
    ///
    /// There will be no actor; the port dies of this reason.
    fn init(
        inbox: &mut Inbox<Self::Message>,
        args: Self::Args,
    ) -> impl Future<Output = Result<Self, Reason>> + Send;

    /// Handles one message. It may take more of them out of the inbox meanwhile.
    ///
    /// # Errors
    ///
    /// The actor dies of this reason. Any error with `?` becomes `die, TEXT`; the empty reason is a
    /// normal death.
    fn handle(
        &mut self,
        inbox: &mut Inbox<Self::Message>,
        message: Self::Message,
    ) -> impl Future<Output = Result<(), Reason>> + Send;
}

/// The code of the port of an actor.
async fn live<A: AsyncActor>(mut inbox: Inbox<A::Message>, args: A::Args) -> ExitResult {
    let mut actor = A::init(&mut inbox, args).await?;
    loop {
        let message = inbox.recv().await;
        actor.handle(&mut inbox, message).await?;
    }
}

impl Node {
    /// Starts an actor with async handlers on this node. If its [`AsyncActor::init`] fails,
    /// monitors of the port fire with the reason, or with `no_such_port` if they were set later.
    pub fn start_async_actor<A: AsyncActor>(&self, args: A::Args) -> Addr<A::Message> {
        self.port_async_of(move |inbox| live::<A>(inbox, args))
    }
}

impl Builder {
    /// Registers a function that spawns this actor, as [`Builder::function`] does; the arguments of
    /// the spawn are [`AsyncActor::Args`].
    pub fn async_actor<A: AsyncActor>(self, name: &str) -> Builder
    where
        A::Args: DeserializeOwned,
    {
        self.function(name, |cx: &mut Context<'_>, args: A::Args| {
            cx.receive_async(move |mailbox: Mailbox| live::<A>(Inbox::new(mailbox), args));
            Ok::<(), Reason>(())
        })
    }
}
