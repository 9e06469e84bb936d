//! A process with one global node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aemp::{Context, Limits, Node};

use super::messages::Asked;
use super::{GLOBALS, LATE, MEMBERS, SEEDS};
use crate::process::ready;

/// The first one has no seeds.
pub(crate) async fn serve() {
    let seeds = std::env::var(SEEDS).ok();
    let id = if seeds.is_some() { "global/2" } else { "global/1" };
    let builder = Node::builder()
        .id(id)
        .bind("127.0.0.1:0")
        .secret("bench")
        .limits(Limits::default().connections(1 << 16))
        .global(true);
    let builder = seeds.into_iter().fold(builder, |builder, seed| builder.seed(seed));
    let node = builder.start().await.expect("it starts");
    let known = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    for family in [MEMBERS, LATE] {
        let (mut watch, known) = (node.db().watch(family), known.clone());
        tokio::spawn(async move {
            while let Some(change) = watch.next().await {
                known.lock().expect("nobody panics").insert(family.into(), change.content.len() as u64);
            }
        });
    }
    let port = node.port(move |cx: &mut Context<'_>, asked: Asked| match asked {
        Asked::Entries { family, reply } => {
            let count = known.lock().expect("nobody panics").get(&family).copied();
            cx.reply(reply, count.unwrap_or_default());
        }
        Asked::Connected { reply } => cx.reply(reply, cx.node().connected_nodes().len() as u64),
    });
    node.db().register(GLOBALS, &port).expect("a family");
    ready(&node.local_addrs()[0].to_string()).await;
}
