//! Monitors: noted when they are set, when they fire, and when they are withdrawn before that.

use std::sync::{Arc, PoisonError, Weak};

use aemp::{Context, MonitorGuard, PortId, Reason};
use aemp_sim::history::Event;

use super::history::texts;
use super::ports::{Program, keep};
use super::world::{Phase, Shared, World, wish};
use crate::plan::Sabotage;

/// A monitor that is set, and maybe fires.
pub(super) struct Kept {
    m: u64,
    guard: MonitorGuard,
    /// What the monitor does has the other share: the library drops that when it withdraws the
    /// monitor, and keeps it when the monitor has fired and its action is about to run.
    share: Arc<()>,
}

impl Kept {
    /// Withdraws the monitor. If it was too late for that, it fires.
    pub(super) fn withdraw(self, world: &World) {
        let mut pen = world.history.pen();
        drop(self.guard);
        if Arc::strong_count(&self.share) == 1 {
            pen.note(Event::Unmon { m: self.m });
        }
    }
}

/// Whether a reason says that something was lost on the way to the node of this port.
pub(super) fn is_loss(reason: &[String], port: &PortId) -> bool {
    reason.len() > 1 && reason[0] == "transport_error" && reason[1] == port.node().as_str()
}

impl World {
    /// Notes that a monitor fires; false if nobody notices.
    pub(super) fn fired(&self, m: u64, reason: &[String]) -> bool {
        if self.sabotage(Sabotage::ForgetFire, 3) {
            return false;
        }
        self.history.note(Event::Fire { m, reason: reason.to_vec() });
        true
    }

    /// Whether who hears of a loss sets the monitor again at once.
    pub(super) fn again(&self) -> bool {
        self.is_in(Phase::Streams) && self.percent(self.plan.again)
    }
}

/// Lets a port monitor another one; its own code is told.
pub(super) fn monitor(cx: &mut Context<'_>, program: &Weak<Program>, world: &World, port: &PortId) -> Kept {
    let (of, target) = (program.clone(), port.clone());
    let share = Arc::new(());
    let kept = share.clone();
    let mut pen = world.history.pen();
    let m = pen.id();
    let me = cx.me().to_string();
    let guard = cx.monitor(port, move |cx, reason| {
        told(cx, &of, m, &target, &reason);
        drop(kept);
    });
    pen.note(Event::Mon { sid: me.clone(), m, p: port.to_string(), to: Some(me), waits: false });
    Kept { m, guard, share }
}

fn told(cx: &mut Context<'_>, program: &Weak<Program>, m: u64, port: &PortId, reason: &Reason) {
    let Some(known) = program.upgrade() else { return };
    let (world, reason) = (&known.world, texts(reason));
    if world.fired(m, &reason) && is_loss(&reason, port) && world.again() {
        keep(cx, program, port);
        world.send(cx, port, wish::NOTHING);
    }
}

/// Lets a port monitor another one, with a callback.
pub(super) fn call_back(cx: &mut Context<'_>, world: &Shared, port: &PortId) {
    let kept = set_callback(world, &cx.me().to_string(), &cx.me(), port);
    let mut all = world.kept.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(kept);
}

/// Sets a monitor with a callback, in the name of `sid`; a port `me` may be answered.
fn set_callback(world: &Shared, sid: &str, me: &PortId, port: &PortId) -> Kept {
    let (of, target, me) = (world.clone(), port.clone(), me.clone());
    let share = Arc::new(());
    let kept = share.clone();
    let mut pen = world.history.pen();
    let m = pen.id();
    let guard = world.node().monitor(port, move |reason| {
        let _until_it_is_noted = kept;
        let reason = texts(&reason);
        if of.fired(m, &reason) && is_loss(&reason, &target) && of.again() {
            let sid = format!("{}#callback{m}", of.node().id());
            let again = set_callback(&of, &sid, &me, &target);
            if !target.is_node() {
                of.send_outside(&sid, &me, &target, wish::NOTHING);
            }
            of.kept.lock().unwrap_or_else(PoisonError::into_inner).push(again);
        }
    });
    pen.note(Event::Mon { sid: sid.to_owned(), m, p: port.to_string(), to: None, waits: false });
    Kept { m, guard, share }
}

/// Lets a port die with another one.
pub(super) fn link(cx: &mut Context<'_>, world: &Shared, port: &PortId) {
    let mut pen = world.history.pen();
    let m = pen.id();
    let me = cx.me().to_string();
    cx.monitor_kill(port).detach();
    pen.note(Event::Mon { sid: me.clone(), m, p: port.to_string(), to: Some(me), waits: false });
    pen.note(Event::Link { m });
}

/// Notes a port that has come to be, and its death when that comes.
pub(super) fn born(world: &Shared, port: &PortId, task: bool) {
    let p = port.to_string();
    world.history.note(Event::PortNew { p: p.clone(), task });
    let of = world.clone();
    let guard = world.node().monitor(port, move |reason| {
        of.own.lock().unwrap_or_else(PoisonError::into_inner).retain(|port| port.to_string() != p);
        let mut pen = of.history.pen();
        super::directory::leave(&of, &mut pen, &p);
        pen.note(Event::PortDied { p, reason: texts(&reason) });
    });
    guard.detach();
}
