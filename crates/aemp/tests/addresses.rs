//! Where nodes listen, what they advertise, and whom they find at an address. What needs several
//! hosts is tested with the `aemp` command.

#![allow(clippy::unwrap_used)] // these are tests

mod support;

use std::time::Duration;

use aemp::{Node, Value};
use support::reserved::Reserved;
use support::{builder, soon, up};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// What a node advertises, once it is in the shared database.
async fn advertised(node: &Node) -> Vec<String> {
    soon("the addresses", async {
        loop {
            let mut all = node.db().family("'l").await.unwrap();
            match all.remove(node.id().as_str()) {
                Some(Value::List(list)) => return list.iter().filter_map(Value::to_name).collect(),
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// A listener that greets with the ID of this node and says nothing more.
async fn impostor(id: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let greeting = format!("aemp;1;{id};hmac_sha3_512;json;role=s;inc=0\nnonce\n");
            let _ = stream.write_all(greeting.as_bytes()).await;
            kept.push(stream);
        }
    });
    address
}

#[test]
fn a_node_that_listens_on_a_name_listens_on_all_of_its_addresses() {
    run(async {
        let node = builder(false).id("a").bind("localhost:0").secret("s").start().await.unwrap();
        let found = tokio::net::lookup_host("localhost:0").await.unwrap();
        let mut expected: Vec<_> = found.map(|address| address.ip()).collect();
        expected.sort();
        expected.dedup();
        let mut here: Vec<_> = node.local_addrs().iter().map(std::net::SocketAddr::ip).collect();
        here.sort();
        assert_eq!(here, expected);
    });
}

#[test]
fn what_is_advertised_can_be_said() {
    run(async {
        let node = builder(false).id("a").bind("127.0.0.1:0").secret("s").advertise("node.example:0");
        let node = node.advertise("203.0.113.7:14040").start().await.unwrap();
        let port = node.local_addrs()[0].port();
        assert_eq!(advertised(&node).await, [format!("node.example:{port}"), "203.0.113.7:14040".into()]);
    });
}

#[test]
fn what_is_no_address_cannot_be_advertised() {
    run(async {
        for bad in ["node.example", "a:b", ":4040", "2001:db8::1:4040", "*"] {
            let node = builder(false).id("a").bind("127.0.0.1:0").secret("s").advertise(bad);
            let error = node.start().await.err().unwrap().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    });
}

#[test]
fn a_wildcard_is_never_advertised() {
    run(async {
        for bind in ["0.0.0.0:0", "[::]:0", "*:0"] {
            let node = builder(false).id("a").bind(bind).secret("s").start().await.unwrap();
            let addresses = advertised(&node).await;
            assert!(!addresses.is_empty(), "{bind}");
            for address in addresses {
                let address: std::net::SocketAddr = address.parse().unwrap();
                assert!(!address.ip().is_unspecified() && address.port() != 0, "{bind}: {address}");
            }
        }
    });
}

#[test]
fn a_listener_that_greets_with_the_id_of_a_node_and_says_nothing_does_not_keep_that_node_out() {
    run(async {
        let real = builder(false).id("real").bind("127.0.0.1:0").secret("s").start().await.unwrap();
        let silent = impostor("real").await;
        // An attempt to connect may take a third of this, and so long nobody waits here.
        let node = builder(false).id("node").secret("s").monitor_timeout(Duration::from_secs(900));
        let node = node.handshake_timeout(Duration::from_secs(900)).seed(&silent).seed(real.local_addrs()[0]);
        let node = node.start().await.unwrap();
        up(&node, real.id()).await;
    });
}

#[test]
fn a_seed_that_is_not_reached_is_known_with_the_reason_until_it_is() {
    run(async {
        let reserved = Reserved::new();
        let address = reserved.address();
        let node = builder(false).id("node").secret("s").seed(&address).start().await.unwrap();
        soon("the failure", async {
            while !node.unreached_seeds().get(&address).is_some_and(|why| why.contains("refused")) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let _seed = builder(false).id("seed").bind(&address).secret("s").start().await.unwrap();
        soon("the connection", async {
            while !node.unreached_seeds().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}
