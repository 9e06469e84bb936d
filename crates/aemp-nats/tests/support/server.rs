//! A real nats-server for tests.

#![allow(dead_code)] // each test uses a part
#![allow(clippy::unwrap_used)] // a test may

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A nats-server on the loopback interface.
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

impl Server {
    /// Starts one; says so and gives `None` where there is no nats-server.
    pub(crate) fn start(test: &str, options: &[&str]) -> Option<Server> {
        let found = Command::new("nats-server").arg("-v").stdout(Stdio::null()).status();
        if found.is_err() {
            println!("{test}: skipped, for nats-server is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).into()).collect();
        let child = spawn(-1, folder.path(), &options);
        let port = wait_for_port(folder.path(), child.id());
        Some(Server { child, port, folder, options })
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port.into(), self.folder.path(), &self.options);
        wait_for_port(self.folder.path(), self.child.id());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: i32, folder: &Path, options: &[String]) -> Child {
    Command::new("nats-server")
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "--ports_file_dir"])
        .arg(folder)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The server writes a file when it listens.
fn wait_for_port(folder: &Path, process: u32) -> u16 {
    let file = folder.join(format!("nats-server_{process}.ports"));
    for _ in 0..2000 {
        let port = std::fs::read_to_string(&file).ok().and_then(|text| {
            let (_, rest) = text.split_once("nats://")?;
            let digits = rest.split('"').next()?.rsplit(':').next()?;
            digits.parse().ok()
        });
        if let Some(port) = port {
            return port;
        }
        // sleep: another process writes the file, and nothing tells of it
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nats-server does not say where it listens");
}
