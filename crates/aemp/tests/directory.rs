//! The shared database of one node: whose an entry is, and what cannot be one.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use aemp::{Context, DatabaseError, EntryError, Node, Reason, Value};
use support::{builder, in_both_modes, soon};

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

async fn node() -> Node {
    builder(false).start().await.unwrap()
}

async fn value(node: &Node, key: &str) -> Option<Value> {
    soon("the family", node.db().family("family")).await.unwrap().remove(key)
}

#[test]
fn a_guard_deletes_what_it_has_set_and_nothing_that_was_set_since() {
    run(async {
        let node = node().await;
        let mut guard = node.db().set("family", "key", "starting").unwrap();
        assert_eq!(value(&node, "key").await, Some("starting".into()));
        // The old guard is dropped after the new entry is set.
        drop(std::mem::replace(&mut guard, node.db().set("family", "key", "ready").unwrap()));
        assert_eq!(value(&node, "key").await, Some("ready".into()));
        drop(guard);
        assert_eq!(value(&node, "key").await, None);
    });
}

#[test]
fn an_assignment_over_a_guard_keeps_the_new_entry_even_with_the_same_value() {
    run(async {
        let node = node().await;
        let mut guard = node.db().set("family", "key", 1).unwrap();
        for n in [1, 2, 2] {
            guard = node.db().set("family", "key", n).unwrap();
            assert_eq!(value(&node, "key").await, Some(n.into()));
        }
        drop(guard);
        assert_eq!(value(&node, "key").await, None);
    });
}

#[test]
fn a_guard_leaves_alone_what_was_deleted_and_set_by_somebody_else() {
    run(async {
        let node = node().await;
        let guard = node.db().set("family", "key", 1).unwrap();
        node.db().delete("family", "key").unwrap();
        node.db().set("family", "key", 2).unwrap().detach();
        drop(guard);
        assert_eq!(value(&node, "key").await, Some(2.into()));
    });
}

#[test]
fn a_port_that_dies_leaves_alone_what_was_set_for_its_id_since() {
    run(async {
        let node = node().await;
        let port = node.port(|_: &mut Context<'_>, (): ()| {});
        node.db().register("family", &port).unwrap();
        let guard = node.db().set("family", &port.to_string(), "mine").unwrap();
        let death = node.exited(&port);
        node.kill(&port, Reason::NORMAL);
        soon("the death", death).await;
        assert_eq!(value(&node, &port.to_string()).await, Some("mine".into()));
        drop(guard);
        assert_eq!(value(&node, &port.to_string()).await, None);
    });
}

#[test]
fn a_port_that_was_registered_twice_leaves_once() {
    run(async {
        let node = node().await;
        let port = node.port(|_: &mut Context<'_>, (): ()| {});
        node.db().register("family", &port).unwrap();
        node.db().register("family", &port).unwrap();
        assert_eq!(value(&node, &port.to_string()).await, Some(Value::Null));
        let death = node.exited(&port);
        node.kill(&port, Reason::NORMAL);
        soon("the death", death).await;
        assert_eq!(value(&node, &port.to_string()).await, None);
    });
}

#[test]
fn any_text_is_the_name_of_a_family() {
    run(async {
        let node = node().await;
        let long = "x".repeat(1024);
        for family in ["my-service", "my service", "svc/1.2", "größe", "2", "a#b", long.as_str()] {
            let port = node.port(|_: &mut Context<'_>, (): ()| {});
            node.db().register(family, &port).unwrap();
            assert_eq!(soon("the port", node.db().any(family)).await.unwrap(), port);
        }
    });
}

#[test]
fn what_cannot_be_an_entry_is_an_error_where_it_is_given() {
    run(async {
        let node = node().await;
        let port = node.port(|_: &mut Context<'_>, (): ()| {});
        let long = "x".repeat(1025);
        for (family, expected) in [
            ("", EntryError::FamilyName(0)),
            (long.as_str(), EntryError::FamilyName(1025)),
            ("'l", EntryError::Reserved("'l".into())),
            ("'mine", EntryError::Reserved("'mine".into())),
        ] {
            let expected = DatabaseError::Entry(expected);
            assert_eq!(node.db().set(family, "key", 1).err(), Some(expected.clone()));
            assert_eq!(node.db().register(family, &port), Err(expected.clone()));
            assert_eq!(node.db().delete(family, "key"), Err(expected));
        }
        for family in ["", long.as_str()] {
            let found = soon("an answer", node.db().any(family)).await;
            assert_eq!(found, Err(DatabaseError::Entry(EntryError::FamilyName(family.len()))));
        }
        let large = node.db().set("family", "key", "x".repeat(1 << 20)).err();
        assert!(matches!(large, Some(DatabaseError::Entry(EntryError::TooLarge { .. }))), "{large:?}");
        assert_eq!(value(&node, "key").await, None);
    });
}

#[test]
fn a_node_that_was_shut_down_refuses_to_set_and_to_delete() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let port = node.port(|_: &mut Context<'_>, (): ()| {});
        node.db().set("family", "key", 1).unwrap().detach();
        node.shutdown().await;
        assert_eq!(node.db().set("family", "other", 1).map(drop), Err(DatabaseError::Shutdown));
        assert_eq!(node.db().delete("family", "key"), Err(DatabaseError::Shutdown));
        assert_eq!(node.db().register("family", &port), Err(DatabaseError::Shutdown));
    });
}

/// The next thing of a stream of the `futures` crates.
async fn next<S: futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    let mut stream = std::pin::Pin::new(stream);
    std::future::poll_fn(|task| stream.as_mut().poll_next(task)).await
}

#[test]
fn watches_events_and_log_records_are_streams() {
    in_both_modes(async |mode| {
        let node = builder(mode).start().await.unwrap();
        let mut watch = node.db().watch("family");
        assert!(soon("the content", next(&mut watch)).await.unwrap().content.is_empty());
        node.db().set("family", "key", 1).unwrap().detach();
        assert_eq!(soon("the change", next(&mut watch)).await.unwrap().added, ["key"]);
        let mut events = node.node_events();
        let mut records = node.catch_logs(aemp::log::Level::Info);
        node.shutdown().await;
        soon("the ends", async {
            while next(&mut watch).await.is_some() {}
            assert_eq!(next(&mut events).await, None);
            assert_eq!(next(&mut records).await, None);
        })
        .await;
    });
}
