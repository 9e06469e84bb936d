//! Nodes with scripts from a folder of their own.
#![allow(dead_code, reason = "every test file uses another part of this")]
#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use aemp::{AnyMessage, Evaluate, Node, PortId, Reason, Value};
use aemp_script::{Limits, Scripts};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::yield_now;
use tokio::time::timeout;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What this thread has allocated and not given back.
pub(crate) fn allocated() -> u64 {
    use tikv_jemalloc_ctl::thread;
    thread_local! {
        /// What the allocator counts for this thread; asking by name each time would be dear.
        static COUNTS: Option<(thread::ThreadLocal<u64>, thread::ThreadLocal<u64>)> =
            thread::allocatedp::read().and_then(|all| Ok((all, thread::deallocatedp::read()?))).ok();
    }
    COUNTS.with(|counts| {
        counts.as_ref().map_or(0, |(all, given_back)| all.get().wrapping_sub(given_back.get()))
    })
}

/// Nothing in these tests takes so long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A node whose scripts are in a folder.
pub(crate) struct Scripted {
    pub(crate) node: Node,
    pub(crate) scripts: Scripts,
    _folder: TempDir,
    names: AtomicUsize,
}

impl Scripted {
    /// With one file, `t.rhai`.
    pub(crate) async fn new(source: &str) -> Scripted {
        Scripted::with(&[("t.rhai", source)], Limits::default()).await
    }

    /// With one file, `t.rhai`, and a port that shows its messages.
    pub(crate) async fn probed(source: &str) -> (Scripted, Probe) {
        let at = Scripted::new(source).await;
        let probe = at.probe();
        (at, probe)
    }

    pub(crate) async fn with(files: &[(&str, &str)], limits: Limits) -> Scripted {
        let folder = tempfile::tempdir().unwrap();
        for (name, source) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, source).unwrap();
        }
        let scripts = Scripts::measured([folder.path().to_owned()], limits, allocated);
        let node = Node::builder().function_resolver(scripts.clone()).evaluate(scripts.clone()).start().await;
        Scripted { node: node.unwrap(), scripts, _folder: folder, names: AtomicUsize::new(0) }
    }

    /// Spawns a function of a script here.
    pub(crate) fn spawn(&self, function: &str, values: impl IntoIterator<Item = Value>) -> PortId {
        self.node.spawn(self.node.id(), function, AnyMessage(values.into_iter().collect())).unwrap()
    }

    /// Spawns as another node does, under a name, so that the reason of the death is remembered;
    /// and waits for it.
    pub(crate) async fn death_of(&self, function: &str) -> Reason {
        let name = format!("t{}", self.names.fetch_add(1, Ordering::Relaxed));
        let port = PortId::parse(&format!("{}#{name}", self.node.id())).unwrap();
        self.node.send(&self.node.id().control_port(), ("AnyEvent::MP::_spawn", name, function)).unwrap();
        let known = async {
            loop {
                let reason = self.node.exited(&port).await;
                // Between the end of a port and the note of why it ended there is a moment in which
                // nothing is known of it.
                if reason != Reason::no_such_port(&port) {
                    return reason;
                }
                yield_now().await;
            }
        };
        timeout(PATIENCE, known).await.expect("a death of which word is left")
    }

    /// A port that shows its messages.
    pub(crate) fn probe(&self) -> Probe {
        probe(&self.node)
    }

    /// Evaluates code as another node would have it evaluated.
    pub(crate) fn eval(&self, code: &str) -> Result<Vec<Value>, String> {
        let (sender, outcome) = mpsc::channel();
        let answer = move |outcome| sender.send(outcome).unwrap();
        self.scripts.evaluate(&self.node, code.into(), Box::new(answer));
        outcome.recv_timeout(PATIENCE).expect("an outcome")
    }
}

/// A port that shows its messages.
pub(crate) struct Probe {
    pub(crate) port: PortId,
    messages: UnboundedReceiver<Vec<Value>>,
}

pub(crate) fn probe(node: &Node) -> Probe {
    let (sender, messages) = tokio::sync::mpsc::unbounded_channel();
    let port = node.port(move |_, AnyMessage(values): AnyMessage| sender.send(values).unwrap());
    Probe { port: port.into(), messages }
}

impl Probe {
    pub(crate) fn id(&self) -> Value {
        Value::from(&self.port)
    }

    pub(crate) async fn next(&mut self) -> Vec<Value> {
        timeout(PATIENCE, self.messages.recv()).await.expect("a message in time").expect("a message")
    }

    /// The next message in its words, for comparison.
    pub(crate) async fn words(&mut self) -> String {
        words(&self.next().await)
    }
}

/// Values as text: names and texts as they are, lists in brackets.
pub(crate) fn words(values: &[Value]) -> String {
    let word = |value: &Value| match value {
        Value::List(values) => format!("[{}]", words(values)),
        Value::Int(number) => number.to_string(),
        Value::Null => "null".into(),
        other => other.to_name().unwrap_or_else(|| format!("{other:?}")),
    };
    values.iter().map(word).collect::<Vec<_>>().join(" ")
}
