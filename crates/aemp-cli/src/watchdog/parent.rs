//! The watchdog: starts the child, listens to it and to signals, and does what the machine decides.

use std::ffi::OsString;
use std::future::pending;
use std::io::Read as _;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Caught, SignalKind};
use tokio::time::{Instant, sleep_until};

use super::decide::{Action, Event, Exit, Fault, Limits, Watchdog};
use super::{BEAT, RESTART, Watching};
use crate::failure::Failure;
use crate::run::catch;

/// Runs the node with these arguments behind `aemp`, until it ends in order or is told to.
pub(crate) async fn guard(
    watching: &Watching,
    drain: Duration,
    arguments: Vec<String>,
) -> Result<(), Failure> {
    let limits = Limits { heartbeat: watching.heartbeat, pause: watching.restart_delay, drain };
    let mut signals = Signals {
        interrupt: catch(SignalKind::interrupt())?,
        terminate: catch(SignalKind::terminate())?,
        hangup: catch(SignalKind::hangup())?,
    };
    // It is for the node alone.
    let mut dump = catch(SignalKind::user_defined1())?;
    let started = Instant::now();
    let mut ward = Ward { program: program(), arguments, running: None, ended: None };
    let (mut watchdog, first) = Watchdog::start(limits, Duration::ZERO);
    let mut action = Some(first);
    loop {
        let event = match action.take() {
            Some(Action::Finish(exit)) => return outcome(exit),
            Some(action) => ward.perform(action),
            None => None,
        };
        let event = match event {
            Some(event) => event,
            None => {
                let due = watchdog.next_timeout();
                tokio::select! {
                    // What the child has said counts before what the clock says: this process may
                    // have slept too.
                    biased;
                    event = ward.event() => event,
                    event = signals.event() => event,
                    _ = dump.recv() => {
                        ward.signal(Signal::SIGUSR1);
                        continue;
                    }
                    () = until(due.map(|due| started + due)) => Event::Tick,
                }
            }
        };
        action = watchdog.handle(event, started.elapsed());
    }
}

/// What of this program is to be started: where it was found, so that a new version is picked up;
/// not the file itself, which may be an old one by now.
fn program() -> OsString {
    let given = std::env::args_os().next().unwrap_or_default();
    match given.to_string_lossy().contains('/') {
        // The working directory of a child is that of this process.
        true => given,
        false if given.is_empty() => std::env::current_exe().map_or_else(|_| "aemp".into(), Into::into),
        false => given,
    }
}

fn outcome(exit: Exit) -> Result<(), Failure> {
    match exit {
        Exit::Status(0) => Ok(()),
        Exit::Status(status) => Err(Failure::passed_on(status)),
        // As shells count.
        Exit::Signal(signal) => Err(Failure::passed_on(128 + signal)),
        Exit::NotStarted => Err(Failure::failed("the node cannot be started")),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// The signals that mean something to a watchdog.
struct Signals {
    interrupt: Caught,
    terminate: Caught,
    hangup: Caught,
}

impl Signals {
    async fn event(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::End,
            _ = self.terminate.recv() => Event::End,
            _ = self.hangup.recv() => Event::Restart,
        }
    }
}

/// The child, or what it will be.
struct Ward {
    program: OsString,
    arguments: Vec<String>,
    running: Option<Running>,
    /// It has ended so, and this was not told yet.
    ended: Option<Exit>,
}

struct Running {
    child: Child,
    /// Until the child closes it.
    socket: Option<UnixStream>,
}

impl Ward {
    /// Does what was decided; may be news at once.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Start => match self.start() {
                Ok(running) => {
                    tracing::debug!(process = running.child.id(), "the node is started");
                    self.running = Some(running);
                }
                Err(error) => {
                    tracing::error!(program = %self.program.display(), %error, "the node cannot be started");
                    return Some(Event::Exited(Exit::NotStarted));
                }
            },
            Action::Stop => self.signal(Signal::SIGTERM),
            Action::Kill(fault) => {
                match fault {
                    Fault::Silent => tracing::error!("the node does not respond and is killed"),
                    Fault::Stays => tracing::error!("the node does not end, and is killed"),
                }
                self.signal(Signal::SIGKILL);
            }
            Action::Announce(exit, pause) => {
                tracing::error!(?exit, "the node has crashed; it is started again in {pause:?}");
            }
            Action::Finish(_) => {}
        }
        None
    }

    fn start(&self) -> std::io::Result<Running> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .kill_on_drop(true)
            .spawn()?;
        Ok(Running { child, socket: Some(UnixStream::from_std(ours)?) })
    }

    fn signal(&self, signal: Signal) {
        // Without an ID it has ended, and has been waited for.
        let process = self.running.as_ref().and_then(|running| running.child.id());
        let Some(process) = process.and_then(|process| i32::try_from(process).ok()) else { return };
        if let Err(error) = kill(Pid::from_raw(process), signal) {
            tracing::error!(process, %signal, %error, "the node cannot be sent a signal");
        }
    }

    /// Waits for what the child says or does.
    async fn event(&mut self) -> Event {
        if let Some(exit) = self.ended.take() {
            return Event::Exited(exit);
        }
        let Some(Running { child, socket }) = &mut self.running else { return pending().await };
        loop {
            tokio::select! {
                biased;
                byte = byte(socket.as_mut()) => match byte {
                    Some(BEAT) => return Event::Beat,
                    Some(RESTART) => return Event::WantsRestart,
                    // A word of another version.
                    Some(_) => {}
                    // It has ended, or will.
                    None => *socket = None,
                },
                status = child.wait() => {
                    let exit = status.map_or(Exit::NotStarted, exit);
                    // The news of the end may be here before its last words.
                    let wants_restart = socket.take().is_some_and(|socket| last_words(socket).contains(&RESTART));
                    self.running = None;
                    if wants_restart {
                        self.ended = Some(exit);
                        return Event::WantsRestart;
                    }
                    return Event::Exited(exit);
                }
            }
        }
    }
}

async fn byte(socket: Option<&mut UnixStream>) -> Option<u8> {
    match socket {
        Some(socket) => socket.read_u8().await.ok(),
        None => pending().await,
    }
}

/// What a child that has ended had said.
fn last_words(socket: UnixStream) -> Vec<u8> {
    let mut words = Vec::new();
    if let Ok(mut socket) = socket.into_std() {
        // It does not block: the end is an error if a child of the child still holds the socket.
        let _ = socket.read_to_end(&mut words);
    }
    words
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::NotStarted,
    }
}
