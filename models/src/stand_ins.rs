//! What the table of ports keeps for others, as small as the models need it; and tasks that wait.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::Notify;
use loom::sync::atomic::{AtomicUsize, Ordering};

/// Where one thread may be interrupted while another one goes on. loom interrupts threads only
/// where they meet at something, and that a mutex is unlocked does not count: without this no
/// thread finds one locked that another one holds.
pub(crate) struct Interruption(AtomicUsize);

impl Interruption {
    pub(crate) fn new() -> Interruption {
        Interruption(AtomicUsize::new(0))
    }

    pub(crate) fn meet(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that waits, as a thread.
pub(crate) struct Bell(Notify);

impl Bell {
    pub(crate) fn new() -> Arc<Bell> {
        Arc::new(Bell(Notify::new()))
    }

    pub(crate) fn ring(&self) {
        self.0.notify();
    }

    /// Waits until it was rung since the last time. If nobody does, loom says that all threads wait
    /// for each other.
    pub(crate) fn wait(&self) {
        self.0.wait();
    }

    pub(crate) fn waker(self: &Arc<Bell>) -> Waker {
        self.clone().into()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.ring();
    }
}

pub(crate) mod host {
    /// What ports belong to: nothing is asked of it here.
    pub(crate) trait Host: 'static {}

    pub(crate) struct Model;

    impl Host for Model {}
}

pub(crate) mod mailbox {
    use std::any::Any;

    use super::host::Host;

    pub(crate) trait Mailbox<H: Host>: Any + Send {
        fn as_any(&mut self) -> &mut dyn Any;
    }
}

pub(crate) mod known {
    use std::any::Any;

    use super::host::Host;
    use super::mailbox::Mailbox;

    pub(crate) struct Known<M: ?Sized>(M);

    pub(crate) type BoxedMailbox<H> = Box<Known<dyn Mailbox<H>>>;

    impl<M> Known<M> {
        pub(crate) fn boxed<H: Host>(mailbox: M) -> BoxedMailbox<H>
        where
            M: Mailbox<H>,
        {
            Box::new(Known(mailbox))
        }
    }

    impl<H: Host> Known<dyn Mailbox<H>> {
        pub(crate) fn downcast_mut<M: Any>(&mut self) -> Option<&mut M> {
            self.0.as_any().downcast_mut()
        }
    }
}

pub(crate) mod actor {
    use super::host::Host;
    use super::known::Known;
    use super::mailbox::Mailbox;

    /// The code of a port.
    pub(crate) trait Actor<H: Host>: Send {
        fn load(&mut self, mailbox: &mut Known<dyn Mailbox<H>>) -> bool;

        /// Handles what was loaded: says which port it is, and gives the messages.
        fn handle(&mut self) -> (char, Vec<u32>);
    }
}

pub(crate) mod extra {
    use std::marker::PhantomData;
    use std::sync::Arc;

    use aemp_proto::PortId;

    use crate::mailbox_limits::MailboxLimits;
    use crate::port_no::PortNo;

    /// No port of the models has any of it.
    pub(crate) struct Extra<H> {
        host: PhantomData<fn() -> H>,
        pub(crate) name: Option<Arc<PortId>>,
        pub(crate) kills: u32,
        pub(crate) mailbox: Option<MailboxLimits>,
    }

    impl<H> Default for Extra<H> {
        fn default() -> Extra<H> {
            Extra { host: PhantomData, name: None, kills: 0, mailbox: None }
        }
    }

    impl<H> Extra<H> {
        pub(crate) fn holds_up(&self) -> bool {
            false
        }

        pub(crate) fn unblock(&mut self) -> Vec<PortNo> {
            Vec::new()
        }
    }
}
