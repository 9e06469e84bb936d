//! What must hold for any text where an ID or an address is expected. A fuzz target and the test
//! that replays its corpus call this.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aemp::{Context, Node, NodeId, PortId, Reason};
use aemp_config::{Host, expand_advertise, expand_bind, expand_seed};
use aemp_proto::address::{Listener, Race, advertised};
use aemp_proto::name::{join_name, split_name};

/// Longer than a port takes to hear of a death on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Bytes read as a text that is an ID, or an address: what is taken says the same when it is
/// written, addresses that it stands for stand for themselves and can be dialled and advertised,
/// and a node takes messages, monitors and kills for the port.
pub(crate) fn name(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    addresses(&text);
    let (head, number) = split_name(&text);
    if number > 0 {
        assert_eq!(join_name(head, number), text);
    }
    if let Ok(node) = NodeId::new(&text) {
        assert_eq!((node.as_str(), node.control_port().node()), (&*text, &node));
        assert!(
            node.control_port().is_node()
                && PortId::parse(&text).is_ok_and(|port| port == node.control_port())
        );
    }
    for text in [text.to_string(), format!("own#{text}")] {
        let Ok(port) = PortId::parse(&text) else { continue };
        let again = PortId::parse(&port.to_string()).expect("what is written can be read");
        assert_eq!((&again, again.node(), again.is_node()), (&port, port.node(), port.is_node()));
        assert_eq!(port.node().named(&port.name().to_string()), port);
        if port.node().as_str() == "own" {
            tell(&port);
        }
    }
}

/// A node is told something for one of its ports, which most likely it does not have.
fn tell(port: &PortId) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let node = Node::builder().id("own").always_encode(true).start().await.expect("it starts");
        let lives = node.port(|_: &mut Context<'_>, (): ()| {});
        let death = node.exited(port);
        node.send(port, ("hello",)).expect("it can be encoded");
        if !port.is_node() {
            node.kill(port, Reason::text("why", "not"));
            tokio::time::timeout(SOON, death).await.expect("there is no such port");
        }
        let death = node.exited(&lives);
        node.kill(&lives, Reason::NORMAL);
        assert!(tokio::time::timeout(SOON, death).await.expect("it goes on").is_normal());
        node.shutdown().await;
    });
}

fn addresses(text: &str) {
    let machine: Vec<IpAddr> = ["192.0.2.2", "2001:db8::2"].map(|ip| ip.parse().expect("an address")).into();
    let host = Host { name: "doomed".into(), addresses: machine.clone() };
    for expand in [expand_bind, expand_seed, expand_advertise] {
        let Ok(all) = expand(text, &host) else { continue };
        for one in &all {
            assert_eq!(
                expand(one, &host).expect("it was written by us"),
                std::slice::from_ref(one),
                "{text:?}"
            );
        }
        let sockets: Vec<SocketAddr> = all.iter().filter_map(|one| one.parse().ok()).collect();
        let mut race = Race::new(sockets.iter().copied(), SocketAddr::is_ipv6);
        let mut now = Duration::ZERO;
        while !race.is_over() {
            if let Some(address) = race.next(now) {
                assert!(sockets.contains(&address));
                race.failed(address, "refused", now);
            }
            now += Duration::from_secs(1);
        }
        let listens = |address| Listener { address, dual_stack: true, follows_machine: false };
        let listeners: Vec<Listener> = sockets.iter().copied().map(listens).collect();
        for configured in [&[][..], &all] {
            let told = advertised(&listeners, &machine, configured);
            assert!(!told.addresses.iter().any(|one| one.starts_with("0.0.0.0:") && configured.is_empty()));
        }
    }
}
