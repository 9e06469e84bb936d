//! Async ports that take one message type.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use aemp_proto::Addr;

use crate::message::FromMessage;
use crate::node::Node;
use crate::port::{ExitResult, Mailbox};

/// The code's end of an async port that takes messages of type `M`; see [`Node::port_async_of`].
///
/// It is a [`Mailbox`], with all verbs of that, whose messages have one type.
pub struct Inbox<M> {
    mailbox: Mailbox,
    message: PhantomData<fn() -> M>,
}

impl<M: FromMessage> Inbox<M> {
    /// What takes messages of one type out of this mailbox.
    pub(crate) fn new(mailbox: Mailbox) -> Inbox<M> {
        Inbox { mailbox, message: PhantomData }
    }

    /// The address of the port.
    pub fn addr(&self) -> Addr<M> {
        self.mailbox.id().clone().assume()
    }

    /// The next message. One that does not fit kills the port with `bad_message` or
    /// `unhandled_message`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv(&mut self) -> M {
        self.mailbox.recv().await
    }

    /// As [`Inbox::recv`], or `None` if no message is there within `timeout`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_timeout(&mut self, timeout: Duration) -> Option<M> {
        self.mailbox.recv_timeout(timeout).await
    }

    /// Waits for the first message that `picker` takes, see [`Mailbox::recv_match`].
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_match<T>(&mut self, picker: impl FnMut(M) -> Result<T, M>) -> T {
        self.mailbox.recv_match(picker).await
    }

    /// As [`Inbox::recv_match`], or `None` if no such message is there within `timeout`.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv_match_timeout<T>(
        &mut self,
        timeout: Duration,
        picker: impl FnMut(M) -> Result<T, M>,
    ) -> Option<T> {
        self.mailbox.recv_match_timeout(timeout, picker).await
    }
}

impl<M> Deref for Inbox<M> {
    type Target = Mailbox;

    fn deref(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl<M> DerefMut for Inbox<M> {
    fn deref_mut(&mut self) -> &mut Mailbox {
        &mut self.mailbox
    }
}

impl<M> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mailbox.fmt(f)
    }
}

impl Node {
    /// Opens an async port that takes messages of one type, and gives its address, which takes
    /// nothing else. The mailbox of [`Node::port_async`] gives messages as any type that it is
    /// asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aemp::{Inbox, Message, Node, ReplyTo};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Message)]
    /// enum Count {
    ///     Add(i64),
    ///     Total { reply: ReplyTo<i64> },
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::builder().start().await?;
    /// let counter = node.port_async_of(async |mut inbox: Inbox<Count>| {
    ///     let mut total = 0;
    ///     loop {
    ///         match inbox.recv().await {
    ///             Count::Add(n) => total += n,
    ///             Count::Total { reply } => inbox.reply(reply, total)?,
    ///         }
    ///     }
    /// });
    /// node.send(&counter, Count::Add(2))?;
    /// let limit = Duration::from_secs(1);
    /// assert_eq!(node.call(&counter, limit, |reply| Count::Total { reply }).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn port_async_of<M, F>(&self, code: impl FnOnce(Inbox<M>) -> F + Send + 'static) -> Addr<M>
    where
        M: FromMessage,
        F: Future<Output = ExitResult> + Send + 'static,
    {
        self.port_async(move |mailbox| code(Inbox::new(mailbox))).assume()
    }
}
