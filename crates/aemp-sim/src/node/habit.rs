//! What ports are like: how quick, of which type, and their mailbox and code.

use std::time::Duration;

use aemp_ports::actor::{Actor, Callback, Closure};
use aemp_ports::effects::Becomes;
use aemp_ports::known::{BoxedMailbox, Known};
use aemp_ports::mailbox::{Queue, TaskQueue};
use aemp_ports::message::Envelope;
use aemp_proto::AnyMessage;

use super::host::{Code, Notice, Notices, PortHost};
use crate::cx::Cx;

/// What a port is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habit {
    /// How long it takes for one thing.
    pub(super) pace: Duration,
    /// It is an async port.
    pub(super) task: bool,
    /// Its mailbox has a type, so that messages of the own node are moved into it.
    typed: bool,
}

impl Habit {
    pub(super) fn draw(cx: &mut Cx) -> Habit {
        let (slow, tasks) = (cx.options.work.slow_ports, cx.options.work.tasks);
        let pace = if cx.random.percent(slow) { cx.options.work.slow } else { Duration::ZERO };
        let task = cx.random.percent(tasks);
        let typed = cx.random.percent(50) && cx.options.mailbox.most == usize::MAX;
        Habit { pace, task, typed }
    }

    pub(super) fn mailbox(self) -> BoxedMailbox<PortHost> {
        match self {
            Habit { task: true, .. } => Known::boxed(TaskQueue::<PortHost>::default()),
            Habit { typed: true, .. } => Known::boxed(Queue::<PortHost, AnyMessage>::default()),
            _ => Known::boxed(Queue::<PortHost, Envelope>::default()),
        }
    }

    /// The code of a callback port.
    pub(super) fn code(self) -> Box<dyn Actor<PortHost>> {
        if self.typed {
            let code = |code: &mut Code<'_>, message: AnyMessage| {
                code.on_node(|node, number, cx| node.handle(number, &message.0, cx));
            };
            return Box::new(Callback::<PortHost, AnyMessage, _>::new(Closure(code), None));
        }
        let code = |code: &mut Code<'_>, message: Envelope| {
            let Ok(message) = message.open::<AnyMessage>() else { return };
            code.on_node(|node, number, cx| node.handle(number, &message.0, cx));
        };
        Box::new(Callback::<PortHost, Envelope, _>::new(Closure(code), None))
    }

    /// What the init function of such a port makes of it.
    pub(super) fn becomes(self, notices: &Notices) -> Becomes<PortHost> {
        if !self.task {
            return Becomes::Callback(self.mailbox(), self.code());
        }
        let notices = notices.clone();
        Becomes::Task(Box::new(move |_, number, _| notices.add(Notice::BecameTask(number))))
    }
}
