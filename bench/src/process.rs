//! Other processes: the far end of a workload, and a run of a system with a limit of time.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The other process of a workload, ended with this value.
pub(crate) struct Peer {
    child: Child,
    /// The line with which it said that it is ready.
    pub(crate) line: String,
}

impl Peer {
    /// Starts this binary as the far end and waits until it is ready.
    pub(crate) fn start(system: &str, workload: &str) -> Peer {
        Peer::start_with(system, workload, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(system: &str, workload: &str, environment: &[(&str, &str)]) -> Peer {
        let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["peer", system, workload])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the peer says that it is ready");
        Peer { child, line: line.trim().into() }
    }

    /// The name of its folder under `/proc`.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }
}

impl Peer {
    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // It may have left by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// For the far end: says that it is ready, and waits until the other process is gone.
pub(crate) async fn ready(line: &str) {
    println!("{line}");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    // Either way it is over.
    let _ = ended.await;
}

/// Runs a command and gives what it wrote; `None` if it failed or took longer than the limit. It is
/// ended then.
pub(crate) fn output(mut command: Command, limit: Duration) -> Option<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // Nobody listens any more if it took too long.
        let _ = sender.send(read.ok().map(|_| text));
    });
    let Ok(text) = receiver.recv_timeout(limit) else {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        return None;
    };
    child.wait().ok()?.success().then_some(text).flatten()
}
