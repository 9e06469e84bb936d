//! A Perl node as a child process: lines of Perl in, events out.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use aemp::{NodeId, PortId};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::network::{LIMIT, soon};

/// Requests that a Perl node knows by itself. Every other tag on a node port made it look for a
/// function of that name.
const TAGS: [&str; 28] = [
    "",
    "AnyEvent::MP::DataConn::_connect",
    "AnyEvent::MP::DataConn::_expect",
    "AnyEvent::MP::LogCatcher::connect",
    "AnyEvent::MP::_spawn",
    "can",
    "devnull",
    "eval",
    "g_chg1",
    "g_chg2",
    "g_db_family",
    "g_db_keys",
    "g_db_values",
    "g_find",
    "g_found",
    "g_global",
    "g_mon0",
    "g_mon1",
    "g_reply",
    "g_set",
    "g_slave",
    "g_upd",
    "kil0",
    "kil1",
    "mon0",
    "mon1",
    "snd",
    "time",
];

/// The folder of AnyEvent::MP, if there is one.
pub(crate) fn library() -> Option<PathBuf> {
    std::env::var_os("AEMP_PERL_LIB").map(PathBuf::from)
}

/// A running Perl node.
pub(crate) struct Perl {
    child: Child,
    input: ChildStdin,
    events: mpsc::UnboundedReceiver<Vec<Json>>,
    /// Events that came while another one was waited for.
    waiting: VecDeque<Vec<Json>>,
    complaints: Arc<Mutex<Vec<String>>>,
    asked: u64,
    /// Its node ID.
    pub(crate) node: NodeId,
    /// Where it listens.
    pub(crate) binds: Vec<String>,
}

impl Perl {
    /// Starts a node with this configuration.
    pub(crate) async fn start(config: Json) -> Perl {
        let library = library().expect("checked before the test began");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer.pl");
        let mut child = Command::new("perl")
            .arg(script)
            .arg(config.to_string())
            .env("PERL5LIB", library)
            .env("PERL_ANYEVENT_MP_RC", "/dev/null")
            .env("PERL_ANYEVENT_VERBOSE", "5")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("perl is installed");
        let input = child.stdin.take().unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                let event =
                    serde_json::from_str(&line).unwrap_or_else(|_| vec![json!("garbage"), json!(line)]);
                let _ = sender.send(event);
            }
        });
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let sink = complaints.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                sink.lock().unwrap().push(line);
            }
        });
        let node = NodeId::new("not.known.yet").unwrap();
        let waiting = VecDeque::new();
        let mut perl = Perl { child, input, events, waiting, complaints, asked: 0, node, binds: Vec::new() };
        let ready = perl.event("ready").await;
        perl.node = NodeId::new(ready[0].as_str().unwrap()).unwrap();
        perl.binds = serde_json::from_value(ready[1].clone()).unwrap();
        perl
    }

    /// Runs Perl code there, after what was sent before.
    pub(crate) async fn run(&mut self, code: &str) {
        let line = code.replace('\n', " ") + "\n";
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    /// Waits for the next event with this name; the values behind the name. Others wait until they
    /// are asked for.
    pub(crate) async fn event(&mut self, name: &str) -> Vec<Json> {
        if let Some(at) = self.waiting.iter().position(|event| event[0] == name) {
            return self.waiting.remove(at).unwrap().split_off(1);
        }
        loop {
            let Ok(event) = tokio::time::timeout(LIMIT, self.events.recv()).await else {
                panic!(
                    "{} never said {name:?}, but {:?}; it complains: {:#?}",
                    self.node,
                    self.waiting,
                    self.complaints()
                );
            };
            let mut event = event.unwrap_or_else(|| panic!("perl ended: {:?}", self.complaints()));
            assert!(event[0] != "failed" && event[0] != "garbage", "{event:?}");
            if event[0] == name {
                return event.split_off(1);
            }
            self.waiting.push_back(event);
        }
    }

    /// Runs Perl code and gives the values that it evaluates to.
    pub(crate) async fn ask(&mut self, code: &str) -> Vec<Json> {
        self.asked += 1;
        let name = format!("answer {}", self.asked);
        self.run(&format!("ev ('{name}', do {{ {code} }})")).await;
        self.event(&name).await
    }

    /// The port ID that Perl code evaluates to.
    pub(crate) async fn port(&mut self, code: &str) -> PortId {
        PortId::parse(self.ask(code).await[0].as_str().unwrap()).unwrap()
    }

    /// Waits until it is connected to this node.
    pub(crate) async fn up(&mut self, node: &NodeId) {
        while self.ask(&format!("scalar node_is_up '{node}'")).await[0] != 1 {
            while self.event("up").await[0] != node.as_str() {}
        }
    }

    /// Waits until this node has taken everything that was sent to it before.
    pub(crate) async fn reached(&mut self, node: &NodeId) {
        self.run(&format!("snd '{node}', snd => port {{ ev 'reached'; kil $SELF }}")).await;
        self.event("reached").await;
    }

    /// Waits until it has lost this node.
    pub(crate) async fn down(&mut self, node: &NodeId) -> Vec<Json> {
        loop {
            let event = self.event("down").await;
            if event[0] == node.as_str() {
                return event;
            }
        }
    }

    /// Sends its process a signal.
    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// Kills it as by `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it. Nobody may have asked for what it does not know, or made it complain.
    pub(crate) async fn finish(mut self) {
        let tags = self.ask("sort keys %AnyEvent::MP::Kernel::NODE_REQ").await;
        for tag in tags.iter().map(|tag| tag.as_str().unwrap()) {
            assert!(
                TAGS.contains(&tag) || tag.starts_with("main::"),
                "{} was sent the tag {tag:?}",
                self.node
            );
        }
        let complaints = self.complaints();
        // What a test lets die without a monitor is told, as it should be.
        let unexpected: Vec<_> =
            complaints.iter().filter(|line| !line.contains("unmonitored local port")).collect();
        assert!(unexpected.is_empty(), "{} complains: {unexpected:#?}", self.node);
        drop(self.input);
        assert!(soon("the end of perl", self.child.wait()).await.unwrap().success());
    }

    /// What it knows of the network and complains of, for the message of a test that failed.
    pub(crate) async fn state(&mut self) -> String {
        let known = self.ask("[$NODE, $AnyEvent::MP::Kernel::MASTER], [up_nodes], \\%AnyEvent::MP::Kernel::LOCAL_DB, \\%AnyEvent::MP::Kernel::LOCAL_DBS").await;
        format!("{} it complains: {:?}", json!(known), self.complaints())
    }

    /// What it wrote to standard error.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }
}
