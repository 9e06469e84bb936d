//! Under which addresses Perl nodes find nodes of ours, and ours Perl nodes; and who finds nobody.

use aemp::{Node, PortId, Reason};
use serde_json::{Value as Json, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::network::{LIMIT, Setup, addresses, inbox, listed, next, seeds, soon, up, words};
use crate::peer::Perl;
use crate::reserved::Reserved;

/// Passes connections on to the address that is set later, as address translation does; where it
/// listens.
async fn translation(at: &str) -> (u16, watch::Sender<String>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (set, target) = watch::channel(String::new());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let target = target.borrow().clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    (port, set)
}

/// A Perl node that is told of a Rust node by the database alone dials it where it says that it can
/// be dialled, and calls it.
async fn dials(setup: Setup, listens: &str, advertise: impl Fn(u16) -> String) {
    let hub = Perl::start(setup.perl("hub", &[])).await;
    let (port, target) = translation(listens).await;
    let rust = seeds(setup.rust("rust").advertise(advertise(port)), &hub.binds).start().await.unwrap();
    target.send(addresses(&rust)[0].clone()).unwrap();
    up(&rust, &hub.node).await;
    listed(&rust, "rust").await;
    let mut far = Perl::start(setup.perl("far", &hub.binds)).await;
    far.up(&hub.node).await;
    let (own, mut received) = inbox(&rust);
    far.run(&format!("cal '{own}', 'hello', sub {{ ev (answer => @_) }}")).await;
    let message = next(&mut received).await;
    assert_eq!(words(&message[..1]), ["hello"]);
    rust.send(&message[1].to_name().unwrap().parse::<PortId>().unwrap(), ("heard",)).unwrap();
    assert_eq!(far.event("answer").await, [json!("heard")]);
    far.finish().await;
    hub.finish().await;
    rust.shutdown().await;
}

pub(crate) async fn advertised_address(setup: Setup) {
    dials(setup, "127.0.0.2:0", |port| format!("127.0.0.2:{port}")).await;
}

/// A Perl node says the name that it has dialled.
pub(crate) async fn advertised_name(setup: Setup) {
    dials(setup, "127.0.0.1:0", |port| format!("localhost:{port}")).await;
}

/// A Perl node that listens there, as a global node and as one that only the database knows.
async fn listening(setup: Setup, bind: &str) {
    let mut config = setup.perl("hub", &[]);
    config["binds"] = json!([bind]);
    let hub = Perl::start(config.clone()).await;
    let rust = seeds(setup.rust("rust"), &hub.binds).start().await.unwrap();
    up(&rust, &hub.node).await;
    config["nodeid"] = json!("far");
    config["seeds"] = json!(hub.binds);
    let mut far = Perl::start(config).await;
    listed(&rust, "far").await;
    let echo = far.port("$echo = port; peval $echo, \\&echo; $echo").await;
    assert_eq!(rust.call::<_, (u8,), _>(&echo, LIMIT, |reply| (7, reply)).await.unwrap(), (7,));
    far.finish().await;
    hub.finish().await;
    rust.shutdown().await;
}

pub(crate) async fn wildcard(setup: Setup) {
    listening(setup, "0.0.0.0:*").await;
}

pub(crate) async fn another_loopback_address(setup: Setup) {
    listening(setup, "127.0.0.3:*").await;
}

/// A Perl node dials the wildcard of a bind, as a configuration has it that all nodes of a host
/// share.
pub(crate) async fn wildcard_as_a_seed(setup: Setup) {
    let reserved = Reserved::new();
    let rust = setup.rust_at("rust", &reserved.address()).start().await.unwrap();
    let seed = reserved.address().replace("127.0.0.1", "0.0.0.0");
    let mut perl = Perl::start(setup.perl("perl", &[seed])).await;
    perl.up(rust.id()).await;
    perl.finish().await;
    rust.shutdown().await;
}

fn is_unreachable(reason: &Reason) -> bool {
    reason.identifier().as_deref() == Some("transport_error")
        && reason.to_string().contains("no known address")
}

/// A Perl node that nobody can dial has nobody who carries its connections: that is an error on
/// both sides, which breaks nothing else.
pub(crate) async fn out_of_reach(setup: Setup) {
    let relay = setup.rust("relay").global(true).start().await.unwrap();
    let mut config = setup.perl("hidden/perl", &addresses(&relay));
    config["binds"] = json!([]);
    let mut perl = Perl::start(config).await;
    perl.up(relay.id()).await;
    let hidden = |id: &'static str| {
        let builder = seeds(Node::builder().id(id).secret(crate::network::SECRET), &addresses(&relay));
        async move { builder.start().await.unwrap() }
    };
    let (one, other) = (hidden("hidden/one").await, hidden("hidden/other").await);
    for node in [&one, &other] {
        up(node, relay.id()).await;
    }
    listed(&one, "hidden/perl").await;
    let there = perl.port("$echo = port; peval $echo, \\&echo; $echo").await;
    for _ in 0..2 {
        let reason = soon("the fire", one.exited(&there)).await;
        assert!(is_unreachable(&reason), "{reason}");
        let (own, _received) = inbox(&one);
        perl.run(&format!("mon '{own}', sub {{ ev (fired => @_) }}; snd '{own}', 'lost'")).await;
        assert_eq!(
            perl.event("fired").await,
            ["transport_error", "hidden/one", "no known address"].map(Json::from)
        );
    }
    // The relay talks to it, and carries for those who can.
    assert_eq!(relay.call::<_, (u8,), _>(&there, LIMIT, |reply| (7, reply)).await.unwrap(), (7,));
    let (own, mut received) = inbox(&other);
    one.send(&own, ("carried",)).unwrap();
    assert_eq!(words(&next(&mut received).await), ["carried"]);
    perl.finish().await;
    for node in [one, other, relay] {
        node.shutdown().await;
    }
}
