//! What a node says in its log: once for each thing that nobody else would tell.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use aemp::{Actor, Context, Node, PortId, Reason};
use support::raw::{Raw, SECRET};
use support::{builder, soon};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this process.
fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
        log
    })
    .clone()
}

impl Log {
    /// How many lines have both texts.
    fn count(&self, one: &str, other: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(one) && line.contains(other)).count()
    }
}

fn port(node: &Node) -> PortId {
    node.port(|cx: &mut Context<'_>, (text,): (String,)| match text.as_str() {
        "panic" => panic!("on purpose"),
        _ => cx.end(Reason::NORMAL),
    })
    .into()
}

#[tokio::test]
async fn an_abnormal_death_that_nobody_monitors_is_logged_once() {
    let log = log();
    let node = builder(false).start().await.unwrap();

    let lonely = [port(&node), port(&node)];
    for port in &lonely {
        node.send(port, ("panic",)).unwrap();
    }
    let killed = port(&node);
    node.kill(&killed, Reason::text("by", "hand"));
    let monitored = port(&node);
    let death = node.exited(&monitored);
    node.send(&monitored, ("panic",)).unwrap();
    soon("the death", death).await;
    let normal = port(&node);
    node.send(&normal, ("end",)).unwrap();
    // All of them are dead now.
    for port in lonely.iter().chain([&killed, &normal]) {
        soon("a death", async {
            while node.exited(port).await.identifier().as_deref() != Some("no_such_port") {}
        })
        .await;
    }
    for port in lonely.iter().chain([&killed]) {
        assert_eq!(log.count("nobody monitors", &format!("port={port} ")), 1, "{port}");
    }
    for port in [&monitored, &normal] {
        assert_eq!(log.count("nobody monitors", &format!("port={port} ")), 0, "{port}");
    }
}

#[tokio::test]
async fn one_who_knocks_all_the_time_does_not_fill_the_log() {
    let log = log();
    let node = builder(false).bind("127.0.0.1:0").secret(SECRET).start().await.unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        let mut raw = Raw::connect(&node).await;
        raw.send("GET / HTTP/1.0\r\n\r\n").await;
        assert!(raw.closed().await.is_empty());
    }
    let lines = log.count("no connection", "GET / HTTP/1.0");
    assert!(lines >= 1 && lines as u64 <= 1 + began.elapsed().as_secs(), "{lines} lines");
}

/// Ends with its first message.
struct Short;

impl Actor for Short {
    type Args = ();
    type Message = (u64,);

    fn init(_: &mut Context<'_>, (): ()) -> Result<Short, Reason> {
        Ok(Short)
    }

    fn handle(&mut self, _: &mut Context<'_>, (n,): (u64,)) -> Result<(), Reason> {
        Err(Reason::text("short", n))
    }
}

#[tokio::test]
async fn actors_that_die_one_after_the_other_do_not_fill_the_log() {
    let log = log();
    let node = builder(false).actor::<Short>("test::short").start().await.unwrap();
    let began = Instant::now();
    for n in 0..100u64 {
        let actor = node.spawn(node.id(), "test::short", ()).unwrap();
        let death = node.exited(&actor);
        node.send(&actor, (n,)).unwrap();
        soon("the death", death).await;
    }
    node.shutdown().await;
    let lines = log.count("an actor died", "short");
    assert!(lines >= 1 && lines as u64 <= 1 + began.elapsed().as_secs(), "{lines} lines");
}
