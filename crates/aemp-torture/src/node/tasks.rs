//! Senders that are no callback ports: async ports, and tasks that wait for a death.

use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;

use aemp::{ExitResult, Mailbox, MonitorGuard, PortId, Reason};
use aemp_sim::history::Event;
use tokio::time::sleep;

use super::history::{hash, texts};
use super::monitors::{born, is_loss};
use super::world::{Letter, Phase, Shared, wish};

/// The least time between two things that an async port or a task does.
const PACE: Duration = Duration::from_millis(5);

/// How long an async port lives, in things that it does.
const LIFE: usize = 300;

/// Begins one of them.
pub(super) fn begin(world: &Shared) {
    match world.percent(50) {
        true => open_async(world),
        false => drop(world.runtime.spawn(wait_and_send(world.clone()))),
    }
}

/// Opens an async port.
pub(super) fn open_async(world: &Shared) {
    let of = world.clone();
    let (ready, begun) = tokio::sync::oneshot::channel::<()>();
    let port = world.node().port_async(move |port| async move {
        // Its birth is to be noted before anything else of it.
        let _ = begun.await;
        live(of, port).await
    });
    born(world, &port, true);
    super::announce(&port);
    let _ = ready.send(());
}

/// The code of an async port: it takes what comes, and sends a stream to a port that it monitors.
async fn live(world: Shared, mut port: Mailbox) -> ExitResult {
    let mut aim = None;
    let mut age = 0;
    while age < LIFE {
        // What is asked last about the database must still be so at the end.
        age += usize::from(world.is_in(Phase::Streams));
        let pause = PACE + world.pause(world.plan.pace * 5);
        let letter = port.recv_timeout::<Letter>(pause).await;
        match letter {
            Some(letter) => take(&world, &port, &mut aim, letter),
            None if world.is_in(Phase::Streams) => stream(&world, &mut port, &mut aim).await,
            None => {}
        }
    }
    // Anyone who watches it must be able to tell it from another one.
    let id = world.history.pen().id();
    Err(Reason::text("old age", id))
}

/// Where the stream of an async port goes, and the monitor there.
struct Aim {
    m: u64,
    target: PortId,
    _guard: MonitorGuard,
}

fn take(world: &Shared, port: &Mailbox, aim: &mut Option<Aim>, letter: Letter) {
    match letter {
        Letter::Say { k, from, payload, wish } => {
            if world.received(port.id(), k, hash(k, &from, &payload, wish)) && wish == wish::ECHO {
                world.send_outside(&port.id().to_string(), port.id(), &from, wish::NOTHING);
            }
        }
        Letter::Ask { k, from, payload, reply } => {
            if world.received(port.id(), k, hash(k, &from, &payload, wish::NOTHING)) {
                let ending = world.ending.read().unwrap_or_else(PoisonError::into_inner);
                if !*ending {
                    let answer = world.answer(port.id(), reply.port());
                    port.reply(reply, answer).expect("numbers have a form everywhere");
                }
            }
        }
        Letter::Told { m, reason } => {
            if !world.fired(m, &reason) {
                return;
            }
            if let Some(old) = aim.take_if(|aim| aim.m == m)
                && is_loss(&reason, &old.target)
                && world.again()
            {
                let target = old.target.clone();
                *aim = Some(watch(world, port, &target));
                world.send_outside(&port.id().to_string(), port.id(), &target, wish::NOTHING);
            }
        }
    }
}

async fn stream(world: &Shared, port: &mut Mailbox, aim: &mut Option<Aim>) {
    let Some(Aim { target, .. }) = aim else {
        *aim = world.some_far_port().map(|target| watch(world, port, &target));
        return;
    };
    let target = target.clone();
    for _ in 0..world.random(|random| random.within(1, 5)) {
        port.ready(&target).await;
        world.send_outside(&port.id().to_string(), port.id(), &target, wish::NOTHING);
    }
}

/// Lets an async port monitor another one; it is told by a message.
fn watch(world: &Shared, port: &Mailbox, target: &PortId) -> Aim {
    let mut pen = world.history.pen();
    let m = pen.id();
    let guard = port.monitor(target, move |reason| Letter::Told { m, reason: texts(&reason) });
    let me = port.id().to_string();
    pen.note(Event::Mon { sid: me.clone(), m, p: target.to_string(), to: Some(me), waits: false });
    Aim { m, target: target.clone(), _guard: guard }
}

/// A task that sends a stream to a port, and waits for its death.
async fn wait_and_send(world: Shared) {
    let Some(target) = world.some_far_port() else { return };
    let Some(me) = world.some_own_port() else { return };
    let sid = format!("{}#task{}", world.node().id(), world.history.pen().id());
    loop {
        let (m, exited) = {
            let mut pen = world.history.pen();
            let m = pen.id();
            let exited = world.node().exited(&target);
            let (sid, p) = (sid.clone(), target.to_string());
            pen.note(Event::Mon { sid, m, p, to: None, waits: false });
            pen.note(Event::Wait { m });
            (m, exited)
        };
        let mut exited = pin!(exited);
        let reason = loop {
            let pause = PACE + world.pause(world.plan.pace * 5);
            tokio::select! {
                biased;
                reason = &mut exited => break texts(&reason),
                () = sleep(pause) => {}
            }
            if world.is_in(Phase::Streams) {
                world.node().ready(&target).await;
                for _ in 0..world.random(|random| random.within(1, 5)) {
                    world.send_outside(&sid, &me, &target, wish::NOTHING);
                }
            }
        };
        if !world.fired(m, &reason) || !is_loss(&reason, &target) || !world.again() {
            return;
        }
        world.send_outside(&sid, &me, &target, wish::NOTHING);
    }
}
