//! The processes of the demo: nodes of this very program. Each ends when its stdin does, so none
//! outlives this process, however that ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::failure::Failure;

/// A process that does not listen, or does not end, within this time is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// A node in a process of its own. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    log: PathBuf,
    process: tokio::process::Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a process that logs to a file of its name in the folder `logs`.
    pub(crate) fn spawn(name: &str, logs: &Path, filter: &str) -> Result<Child, Failure> {
        let log = logs.join(format!("{name}.log"));
        let start = || -> io::Result<_> {
            let mut process = Command::new(std::env::current_exe()?)
                .arg("demo-node")
                .env("AEMP_LOG", filter)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::options().create(true).append(true).open(&log)?)
                .kill_on_drop(true)
                .spawn()?;
            let pipes = process.stdin.take().zip(process.stdout.take());
            let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
            Ok((process, stdin, BufReader::new(stdout).lines()))
        };
        let (process, stdin, stdout) =
            start().map_err(|error| blame(name, &log, "cannot be started", error))?;
        Ok(Child { name: name.into(), log, process, stdin, stdout })
    }

    /// Gives it its settings: through stdin, because others can see the command line and the
    /// environment of a process.
    pub(crate) async fn configure(&mut self, settings: &Json) -> Result<(), Failure> {
        let written = self.stdin.write_all(format!("{settings}\n").as_bytes()).await;
        written.map_err(|error| self.blame("does not take its settings", error))
    }

    /// Waits until it listens, and says where.
    pub(crate) async fn listeners(&mut self) -> Result<Vec<String>, Failure> {
        let line = timeout(PATIENCE, self.stdout.next_line()).await;
        let line = line.map_err(|_| self.blame("is not ready", format_args!("after {PATIENCE:?}")))?;
        let line = line.ok().flatten().unwrap_or_default();
        ready(&line).ok_or_else(|| self.blame("is not ready", "it has ended"))
    }

    /// How the process has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Kills it with SIGKILL, so that it can do nothing about it.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.process.kill().await.map_err(|error| blame(&self.name, &self.log, "cannot be killed", error))
    }

    /// Lets it end in order; kills it if that takes too long.
    pub(crate) async fn close(mut self) {
        drop(self.stdin);
        if timeout(PATIENCE, self.process.wait()).await.is_err() {
            tracing::warn!(name = self.name, "the process did not end by itself and is killed");
            // There is nothing else to try.
            let _ = self.process.kill().await;
        }
    }

    /// An error of this process.
    pub(crate) fn blame(&self, what: &str, why: impl std::fmt::Display) -> Failure {
        blame(&self.name, &self.log, what, why)
    }
}

fn blame(name: &str, log: &Path, what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("{name} {what}: {why}. Look at its log: {}", log.display()))
}

/// The addresses in the line `ready NODEID HOST:PORT,…`.
fn ready(line: &str) -> Option<Vec<String>> {
    let mut words = line.split(' ');
    (words.next() == Some("ready")).then_some(())?;
    Some(words.nth(1)?.split(',').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_listeners() {
        let listeners = ready("ready demo/seed 127.0.0.1:1,127.0.0.1:2");
        assert_eq!(listeners, Some(vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()]));
        assert_eq!(ready("ready demo/seed"), None);
        assert_eq!(ready("panic demo/seed 127.0.0.1:1"), None);
    }
}
