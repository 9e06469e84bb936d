//! A node's process, from outside.

use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::node::{Command, Report, Start};

/// The argument after which a process is a node.
pub const NODE: &str = "node";

/// A process that runs one run of a node. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    commands: UnboundedSender<Command>,
    pub(crate) history: PathBuf,
}

impl Process {
    /// Starts this program again as a node; what it reports goes to `reports` with the node's
    /// number.
    pub(crate) fn start(
        start: &Start,
        reports: &UnboundedSender<(usize, Report)>,
    ) -> std::io::Result<Process> {
        let mut child = tokio::process::Command::new(std::env::current_exe()?)
            .arg(NODE)
            .arg(serde_json::to_string(start)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (commands, told) = mpsc::unbounded_channel();
        if let Some(stdin) = child.stdin.take() {
            tokio::spawn(tell(stdin, told));
        }
        if let Some(stdout) = child.stdout.take() {
            let (reports, index) = (reports.clone(), start.index);
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Ok(report) = serde_json::from_str(&line) {
                        let _ = reports.send((index, report));
                    }
                }
            });
        }
        Ok(Process { child, commands, history: start.history.clone() })
    }

    /// Says something to the node. One that has ended does not hear it.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills the process, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// Whether it has ended, and whether as it should.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<bool>> {
        Ok(self.child.try_wait()?.map(|status| status.success()))
    }
}

async fn tell(mut stdin: ChildStdin, mut told: UnboundedReceiver<Command>) {
    while let Some(command) = told.recv().await {
        let Ok(mut line) = serde_json::to_string(&command) else { continue };
        line.push('\n');
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}
