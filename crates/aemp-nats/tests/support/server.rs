//! A real nats-server for tests.

#![allow(dead_code)] // each test uses a part
#![allow(clippy::unwrap_used)] // a test may

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// What the server logs when it listens, before its address.
const LISTENS: &str = "Listening for client connections on ";

/// A nats-server on the loopback interface.
pub(crate) struct Server {
    child: Child,
    port: u16,
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
        let options: Vec<String> = options.iter().map(|option| (*option).into()).collect();
        let (child, port) = spawn(-1, &options);
        Some(Server { child, port, options })
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
        (self.child, _) = spawn(self.port.into(), &self.options);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server, and waits until it listens; gives the port, too. At -1 it takes a free one.
fn spawn(port: i32, options: &[String]) -> (Child, u16) {
    let mut child = Command::new("nats-server")
        .args(["-a", "127.0.0.1", "-p", &port.to_string()])
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = log.find_map(|line| Some(line.split_once(LISTENS)?.1.to_owned()));
    let port = address.and_then(|address| address.rsplit(':').next()?.parse().ok());
    // It would wait for somebody to read what it logs.
    std::thread::spawn(move || log.for_each(drop));
    (child, port.expect("nats-server listens"))
}
