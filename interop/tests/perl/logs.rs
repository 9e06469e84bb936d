//! Log records to and from Perl's AnyEvent::MP::LogCatcher.

use std::time::{Duration, UNIX_EPOCH};

use aemp::log::{Level, LogCatcher, LogSource, Record};
use aemp::{Node, NodeId};
use serde_json::{Value as Json, json};
use tracing::Dispatch;
use tracing_subscriber::prelude::*;

use crate::network::{Pair, Setup, addresses, seeds, soon, up};
use crate::peer::Perl;

/// Makes a Perl node say what its log catcher logs: `log`, context, level, text. Where others come
/// from is told by their context.
const LISTEN: &str = r#"
    require AnyEvent::MP::LogCatcher;
    $listener = new AnyEvent::Log::Ctx title => "listener", level => 9,
       fmt_cb => sub { [$_[1]->title, @_[2, 3]] },
       log_cb => sub { ev (log => @{ $_[0] }); 0 };
    $AnyEvent::Log::COLLECT->attach ($listener);
"#;

/// A Rust program of which the log can be caught: what is logged in `logs`, and nothing else.
struct Program {
    node: Node,
    log: Dispatch,
}

impl Program {
    async fn start(setup: Setup, id: &str, to: &[String]) -> Program {
        let source = LogSource::new();
        let log = Dispatch::new(tracing_subscriber::registry().with(source.layer()));
        let node = seeds(setup.rust(id).logs(&source), to).start().await.unwrap();
        Program { node, log }
    }

    fn logs(&self, code: impl FnOnce()) {
        tracing::dispatcher::with_default(&self.log, code);
    }
}

/// The next record of a node with this context; others are skipped.
async fn caught(catcher: &mut LogCatcher, node: &NodeId, context: &str) -> Record {
    soon("a record", async {
        loop {
            let record = catcher.next().await.unwrap();
            if record.node == *node && record.context == context {
                return record;
            }
        }
    })
    .await
}

/// The next record that Perl has logged with this context.
async fn logged(perl: &mut Perl, context: &str) -> (Json, String) {
    loop {
        let event = perl.event("log").await;
        if event[0] == context {
            return (event[1].clone(), event[2].as_str().unwrap().to_owned());
        }
    }
}

pub(crate) async fn of_perl(pair: &mut Pair) {
    let Pair { rust, perl, .. } = pair;
    // What the test logs is no complaint.
    perl.run("require AnyEvent::Log; $AnyEvent::Log::FILTER->level (0)").await;
    // A clock that goes wrong by 100 s, for the request and for the records.
    perl.run("$AnyEvent::MP::Kernel::NODE_REQ{time} = sub { snd @_, AE::now - 100 }").await;
    perl.run("{ no warnings; my $ts = \\&AnyEvent::Log::_ts; *AnyEvent::Log::_ts = sub { $ts->() - 100 } }")
        .await;
    perl.ask("1").await;
    let mut catcher = rust.catch_logs(Level::Info);
    // Perl says that it forwards, but not at this level: ask it.
    perl.run("$asked = AE::timer 0, 0.05, sub { AnyEvent::Log::ctx ('Test')->log (5, 'can you hear me') }")
        .await;
    let node = perl.node.clone();
    caught(&mut catcher, &node, "Test").await;
    perl.run("undef $asked").await;
    perl.run("AnyEvent::Log::ctx ('Test')->log (8, 'not asked for')").await;
    perl.run("AnyEvent::Log::ctx ('Test::Other')->log ($_, qq{level $_ \\xe9\\x{263a}}) for 2, 4, 5, 6, 7")
        .await;
    for level in [Level::Alert, Level::Error, Level::Warn, Level::Note, Level::Info] {
        let record = caught(&mut catcher, &node, "Test::Other").await;
        assert_eq!((record.level, &record.text), (level, &format!("level {} é☺", level.number())));
        let difference = record.clock_difference.expect("Perl answers");
        assert!((99.0..101.0).contains(&difference), "{difference}");
        let off = record.own_time().elapsed().unwrap_or_else(|late| late.duration());
        assert!(off < Duration::from_secs(5), "{off:?}");
        assert!(record.time > UNIX_EPOCH);
    }
    drop(catcher);
    perl.reached(rust.id()).await;
    perl.run("$AnyEvent::Log::FILTER->level (5)").await;
}

/// A Perl catcher hears a Rust node that was there before, one that comes later, and one that does
/// not listen and so cannot be heard; and it does not try that without end.
pub(crate) async fn by_perl(setup: Setup) {
    let seed = Program::start(setup, "seed", &[]).await;
    let mut perl = Perl::start(setup.perl("perl", &addresses(&seed.node))).await;
    up(&seed.node, &perl.node).await;
    let deaf = seeds(Node::builder().id("deaf").secret(crate::network::SECRET), &addresses(&seed.node));
    let deaf = deaf.start().await.unwrap();
    up(&seed.node, deaf.id()).await;
    perl.run(&LISTEN.replace('\n', " ")).await;
    perl.run("AnyEvent::MP::LogCatcher::catch (8)").await;
    let late = Program::start(setup, "late", &addresses(&seed.node)).await;
    for program in [&seed, &late] {
        let heard = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                program.logs(|| tracing::info!(target: "rust::hello", "{}", program.node.id()));
            }
        };
        tokio::select! {
            (level, text) = async {
                loop {
                    let (level, text) = logged(&mut perl, "rust::hello").await;
                    if text.contains(program.node.id().as_str()) {
                        return (level, text);
                    }
                }
            } => {
                assert_eq!(level, 7);
                // Perl shows also how long the record took, as a difference.
                assert!(text.starts_with(&format!("[{}", program.node.id())), "{text}");
                assert!(text.ends_with(&format!("] {}", program.node.id())), "{text}");
            }
            () = heard => {}
        }
        program.logs(|| {
            tracing::trace!(target: "rust::test", "not asked for");
            tracing::debug!(target: "rust::test", "é☺ %s");
            tracing::warn!(target: "rust::test", n = 1, "careful");
            tracing::error!(target: "rust::test", "broken");
        });
        for (number, end) in [(8, "] é☺ %s"), (5, "] careful n=1"), (4, "] broken")] {
            let (level, text) = logged(&mut perl, "rust::test").await;
            assert_eq!(level, number, "{text}");
            assert!(text.ends_with(end), "{text}");
        }
    }
    let complaints = perl.complaints();
    assert!(!complaints.iter().any(|line| line.contains("no known address")), "{complaints:#?}");
    deaf.shutdown().await;
    late.node.shutdown().await;
    perl.kill().await;
    seed.node.shutdown().await;
}

/// A Perl catcher and one of ours catch each other and a third node: everything is heard once by
/// each.
pub(crate) async fn both(setup: Setup) {
    let seed = Program::start(setup, "seed", &[]).await;
    let ours = Program::start(setup, "ours", &addresses(&seed.node)).await;
    let mut perl = Perl::start(setup.perl("perl", &addresses(&seed.node))).await;
    up(&seed.node, &perl.node).await;
    perl.run(&LISTEN.replace('\n', " ")).await;
    perl.run("AnyEvent::MP::LogCatcher::catch (9)").await;
    let mut catcher = ours.node.catch_logs(Level::Trace);
    let node = perl.node.clone();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    // Until all of them hear each other.
    let mut heard = [false; 4];
    while heard != [true; 4] {
        tokio::select! {
            _ = ticks.tick() => {
                seed.logs(|| tracing::info!(target: "hello", "seed"));
                ours.logs(|| tracing::info!(target: "hello", "ours"));
                perl.run("AnyEvent::Log::ctx ('hello')->log (7, 'perl')").await;
            }
            record = catcher.next() => {
                let record = record.unwrap();
                heard[0] |= record.node == *seed.node.id() && record.text == "seed";
                heard[1] |= record.node == node && record.text == "perl";
                ours.logs(|| record.log());
            }
            (_, text) = logged(&mut perl, "hello") => {
                heard[2] |= text.starts_with("[seed");
                heard[3] |= text.starts_with("[ours");
            }
        }
    }
    seed.logs(|| tracing::info!(target: "test", "once"));
    let record = caught(&mut catcher, seed.node.id(), "test").await;
    assert_eq!(record.text, "once");
    ours.logs(|| record.log());
    ours.logs(|| tracing::info!(target: "test", "end of ours"));
    let mut texts = Vec::new();
    while texts.len() < 2 {
        texts.push(logged(&mut perl, "test").await.1);
    }
    texts.sort();
    assert!(texts[0].starts_with("[ours") && texts[0].ends_with("] end of ours"), "{texts:?}");
    assert!(texts[1].starts_with("[seed") && texts[1].ends_with("] once"), "{texts:?}");
    // Perl has logged both before this; if it had sent them on, they would be here first.
    perl.run("AnyEvent::Log::ctx ('test')->log (7, 'end of perl')").await;
    let record = caught(&mut catcher, &node, "test").await;
    assert_eq!(record.text, "end of perl");
    assert_eq!(perl.ask("scalar values %AnyEvent::MP::LogCatcher::LPORT").await, [json!(2)]);
    drop(catcher);
    perl.kill().await;
    ours.node.shutdown().await;
    seed.node.shutdown().await;
}
