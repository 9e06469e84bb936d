//! Log records across nodes. Each node here is a program of its own as far as logs are concerned:
//! it has a runtime, and the threads of the runtime have a subscriber.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime};

use aemp::log::{Level, LogCatcher, LogSource, Record};
use aemp::{AnyMessage, Node};
use support::soon;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tracing::Dispatch;
use tracing_subscriber::prelude::*;

const CONNECT: &str = "AnyEvent::MP::LogCatcher::connect";

/// A program with a node.
struct Program {
    runtime: Option<Runtime>,
    log: Dispatch,
    node: Node,
}

impl Program {
    /// A node that listens, and has these seeds.
    fn start(id: &str, seeds: &[String]) -> Program {
        Program::with(id, seeds, |builder| builder.bind("127.0.0.1:0"))
    }

    fn with(id: &str, seeds: &[String], more: impl FnOnce(aemp::Builder) -> aemp::Builder) -> Program {
        let source = LogSource::new();
        let log = Dispatch::new(tracing_subscriber::registry().with(source.layer()));
        let of_threads = log.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            // For as long as the thread lives.
            .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&of_threads)))
            .build()
            .unwrap();
        let builder = Node::builder().id(id).secret("s").logs(&source);
        let builder = seeds.iter().fold(builder, |builder, seed| builder.seed(seed.clone()));
        let node = runtime.block_on(more(builder).start()).unwrap();
        Program { runtime: Some(runtime), log, node }
    }

    fn listeners(&self) -> Vec<String> {
        self.node.local_addrs().iter().map(ToString::to_string).collect()
    }

    /// Runs code whose records are those of this program.
    fn logs(&self, code: impl FnOnce()) {
        tracing::dispatcher::with_default(&self.log, code);
    }

    fn says(&self, text: &str) {
        self.logs(|| tracing::info!(target: "test", "{text}"));
    }

    /// Whether somebody catches records of this level: only then they are formatted.
    fn is_caught(&self) -> bool {
        struct Probe(Cell<bool>);
        impl fmt::Debug for Probe {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.set(true);
                Ok(())
            }
        }
        let probe = Probe(Cell::new(false));
        self.logs(|| tracing::info!(target: "test", ?probe));
        probe.0.get()
    }

    fn block_on<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(soon(what, future))
    }

    /// Waits until a program answers.
    fn reaches(&self, other: &Program) {
        self.block_on("an answer", async {
            let ask = || {
                self.node.call::<_, f64, _>(
                    &other.node.id().control_port(),
                    Duration::from_secs(10),
                    |reply| ("time", reply),
                )
            };
            while ask().await.is_err() {}
        });
    }

    /// Catches until `node` is heard: it says something again and again.
    fn hears(&self, caught: &mut LogCatcher, node: &Program) {
        self.block_on("the first record", async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            loop {
                tokio::select! {
                    _ = ticks.tick() => node.says("can you hear me"),
                    record = caught.next() => if record.unwrap().node == *node.node.id() { return },
                }
            }
        });
        node.says("heard");
        while self.next_of(caught, &node.node).text != "heard" {}
    }

    /// The next record of the test on this node; what the library logs by itself is skipped.
    fn next_of(&self, caught: &mut LogCatcher, node: &Node) -> Record {
        self.block_on("a record", async {
            loop {
                let record = caught.next().await.unwrap();
                if record.node == *node.id() && record.context == "test" {
                    return record;
                }
            }
        })
    }

    fn shutdown(mut self) {
        let runtime = self.runtime.take().unwrap();
        runtime.block_on(self.node.shutdown());
        runtime.shutdown_background();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[test]
fn records_come_with_node_level_and_fields_and_in_order() {
    let seed = Program::start("seed", &[]);
    let catcher = Program::start("catcher", &seed.listeners());
    let mut caught = catcher.node.catch_logs(Level::Info);
    catcher.hears(&mut caught, &seed);

    let before = SystemTime::now();
    seed.logs(|| {
        tracing::debug!(target: "test", "not asked for");
        tracing::error!(target: "test", code = 7, "it broke");
        tracing::warn!(target: "test", "it may break");
    });
    let record = catcher.next_of(&mut caught, &seed.node);
    assert_eq!((record.level, record.text.as_str()), (Level::Error, "it broke code=7"));
    assert_eq!(record.to_string(), "[seed] it broke code=7");
    assert_eq!(record.clock_difference, Some(0.0), "one clock");
    assert!(record.time >= before - Duration::from_millis(1) && record.time <= SystemTime::now());
    let record = catcher.next_of(&mut caught, &seed.node);
    assert_eq!((record.level, record.text.as_str()), (Level::Warn, "it may break"));
    assert_eq!(caught.lost(), 0);
}

#[test]
fn nodes_that_come_later_and_come_back_are_heard() {
    let seed = Program::start("seed", &[]);
    let catcher = Program::start("catcher", &seed.listeners());
    let mut caught = catcher.node.catch_logs(Level::Info);
    for _ in 0..2 {
        let late = Program::start("late", &seed.listeners());
        catcher.hears(&mut caught, &late);
        late.says("once");
        assert_eq!(catcher.next_of(&mut caught, &late.node).text, "once");
        late.shutdown();
    }
    // Without an address, but connected to the catcher.
    let hidden = Program::with("hidden", &catcher.listeners(), |builder| builder);
    catcher.hears(&mut caught, &hidden);
    catcher.hears(&mut caught, &seed);
}

#[test]
fn a_caught_record_never_travels_again() {
    let seed = Program::start("seed", &[]);
    let mut others = [Program::start("a", &seed.listeners()), Program::start("b", &seed.listeners())];
    // Both log what they catch, and catch each other.
    let mut logged = Vec::new();
    for program in &mut others {
        let mut caught = program.node.catch_logs(Level::Trace);
        let (sender, records) = mpsc::unbounded_channel();
        program.runtime.as_ref().unwrap().spawn(async move {
            while let Some(record) = caught.next().await {
                record.log();
                let _ = sender.send(record);
            }
        });
        logged.push(records);
    }
    let until =
        |program: &Program, records: &mut mpsc::UnboundedReceiver<Record>, from: &Program, text: &str| {
            let mut texts = Vec::new();
            program.block_on(text, async {
                let mut ticks = tokio::time::interval(Duration::from_millis(10));
                loop {
                    tokio::select! {
                        biased;
                        record = records.recv() => {
                            let record = record.unwrap();
                            texts.push(record.to_string());
                            if record.node == *from.node.id() && record.text == text {
                                return;
                            }
                        }
                        // Until there is somebody who hears it.
                        _ = ticks.tick(), if text == "hello" => from.says(text),
                    }
                }
            });
            texts
        };
    let [a, b] = &others;
    for (index, program, other) in [(0, a, b), (1, b, a)] {
        until(program, &mut logged[index], other, "hello");
        until(program, &mut logged[index], &seed, "hello");
    }
    seed.says("only once");
    let mut texts = Vec::new();
    for (index, program) in [a, b].into_iter().enumerate() {
        texts.extend(until(program, &mut logged[index], &seed, "only once"));
    }
    // All that the two have forwarded because of that is on its way before this.
    a.says("end of a");
    b.says("end of b");
    texts.extend(until(b, &mut logged[1], a, "end of a"));
    texts.extend(until(a, &mut logged[0], b, "end of b"));
    assert_eq!(texts.iter().filter(|text| text.contains("only once")).count(), 2, "{texts:#?}");
    assert!(texts.iter().all(|text| text.matches('[').count() == 1 || !text.contains("hello")), "{texts:#?}");
}

#[test]
fn a_flood_is_counted_and_never_waited_for() {
    const RECORDS: u64 = 200_000;
    let seed = Program::start("seed", &[]);
    let catcher = Program::start("catcher", &seed.listeners());
    let mut caught = catcher.node.catch_logs(Level::Info);
    catcher.hears(&mut caught, &seed);
    let counting = catcher.runtime.as_ref().unwrap().spawn(async move {
        let (mut seen, mut lost, mut last) = (0, 0, None);
        loop {
            let record = caught.next().await.unwrap();
            if let Some(number) = record.text.strip_prefix("number=") {
                let number: u64 = number.parse().unwrap();
                assert!(last < Some(number), "{last:?} {number}");
                last = Some(number);
                seen += 1;
            } else if record.text.contains("are lost here") {
                lost += record.text.split(' ').next().unwrap().parse::<u64>().unwrap();
                assert_eq!(record.level, Level::Warn);
            } else if record.text == "the end" {
                return (seen, lost, caught);
            }
        }
    });
    for number in 0..RECORDS {
        seed.logs(|| tracing::info!(target: "test", number));
    }
    let mut ends = 0;
    let (seen, lost, mut caught) = catcher.block_on("the end", async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        tokio::pin!(counting);
        loop {
            // Again and again, for this may be lost too.
            tokio::select! {
                _ = ticks.tick() => {
                    seed.says("the end");
                    ends += 1;
                }
                counted = &mut counting => return counted.unwrap(),
            }
        }
    });
    // A record that says what was lost may have been lost by a slow catcher.
    let all = RECORDS..=RECORDS + ends;
    assert!(all.contains(&(seen + lost)) || caught.lost() > 0, "{seen} seen, {lost} lost, {caught:?}");
    assert!(seen > 0);
    // It goes on afterwards.
    catcher.hears(&mut caught, &seed);
}

#[test]
fn nobody_is_asked_for_more_when_the_catcher_is_gone() {
    let seed = Program::start("seed", &[]);
    let catcher = Program::start("catcher", &seed.listeners());
    let mut caught = catcher.node.catch_logs(Level::Info);
    catcher.hears(&mut caught, &seed);
    assert!(seed.is_caught());
    drop(caught);
    seed.block_on("the end", async {
        while seed.is_caught() {
            tokio::task::yield_now().await;
        }
    });
    let mut caught = catcher.node.catch_logs(Level::Info);
    catcher.hears(&mut caught, &seed);
    catcher.shutdown();
    seed.block_on("the end", async {
        while seed.is_caught() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn requests_that_make_no_sense_catch_nothing() {
    let seed = Program::start("seed", &[]);
    let secure =
        Program::with("secure", &seed.listeners(), |builder| builder.bind("127.0.0.1:0").secure(true));
    let other = Program::with("other", &secure.listeners(), |builder| builder.seed(&seed.listeners()[0]));
    let (sender, mut records) = mpsc::unbounded_channel();
    let port = other.node.port(move |_, message: AnyMessage| {
        let _ = sender.send(message);
    });
    let ask = |program: &Program, port: &str, level: u8| {
        other.reaches(program);
        other.node.send(&program.node.id().control_port(), (CONNECT, 0, port, level)).unwrap();
    };
    for (port, level) in [("no port", 9), ("", 9), (&*port.to_string(), 0), (&*port.to_string(), 10)] {
        ask(&seed, port, level);
    }
    other.node.send(&seed.node.id().control_port(), (CONNECT,)).unwrap();
    ask(&secure, &port.to_string(), 9);
    for program in [&seed, &secure] {
        other.reaches(program);
        program.says("for nobody");
        assert!(!program.is_caught(), "{}", program.node.id());
    }
    // What is sent to a port that does not exist ends by itself.
    ask(&seed, "other#nothing", 9);
    let mut caught = other.node.catch_logs(Level::Error);
    seed.block_on("the end", async {
        while seed.is_caught() {
            tokio::task::yield_now().await;
        }
    });
    drop(caught);
    caught = other.node.catch_logs(Level::Info);
    other.hears(&mut caught, &seed);
    assert!(records.try_recv().is_err(), "the port was sent something");
}

#[test]
fn a_port_that_asks_twice_gets_every_record_once() {
    let seed = Program::start("seed", &[]);
    let other = Program::start("other", &seed.listeners());
    let (sender, mut records) = mpsc::unbounded_channel();
    let port = other.node.port(move |_, message: AnyMessage| {
        let _ = sender.send(message);
    });
    for level in ["trace", "7"] {
        other.node.send(&seed.node.id().control_port(), (CONNECT, 0, port.to_string(), level)).unwrap();
    }
    let mut numbers = Vec::new();
    other.block_on("the records", async {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        let mut number = 0;
        while numbers.len() < 100 {
            tokio::select! {
                _ = ticks.tick() => {
                    seed.logs(|| tracing::info!(target: "test", number));
                    number += 1;
                }
                message = records.recv() => {
                    let AnyMessage(values) = message.unwrap();
                    if let Some(number) = values[3].to_name().unwrap().strip_prefix("number=") {
                        numbers.push(number.parse::<u32>().unwrap());
                    }
                }
            }
        }
    });
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}
