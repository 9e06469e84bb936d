//! The other process of a remote workload.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Task;

/// The far end, ended with this value.
pub struct Peer {
    child: Child,
    /// The line with which it said that it is ready.
    pub line: String,
}

impl Peer {
    /// Starts this program as the far end and waits until it is ready.
    pub fn start(task: &Task) -> Peer {
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["peer", &task.system, &task.workload])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the far end starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the far end says that it is ready");
        Peer { child, line: line.trim().into() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have left by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For the far end: says that it is ready; the process ends when the other one is gone.
pub fn ready(line: &str) {
    println!("{line}");
    std::thread::spawn(|| {
        // However it ends, the other process is gone.
        let _ = std::io::stdin().lines().count();
        std::process::exit(0);
    });
}
