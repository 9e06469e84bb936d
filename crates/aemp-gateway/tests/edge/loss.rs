//! The promise reaches to the client: after a loss nothing more arrives before it knows.

use aemp::{AnyMessage, Node, Value};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::client::{World, soon};

/// Passes connections on; all are cut when the number changes.
async fn relay(target: String) -> (String, watch::Sender<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (cut, cuts) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut cuts, target) = (cuts.clone(), target.clone());
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(target).await else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    (address, cut)
}

#[tokio::test]
async fn what_is_sent_before_the_client_knows_of_a_loss_is_dropped() {
    let world = World::start().await;
    let (address, cut) = relay(world.node.local_addrs()[0].to_string()).await;
    let far =
        Node::builder().id("far").seed(address).secret("secret").bind("127.0.0.1:0").start().await.unwrap();
    let (arrived, mut arriving) = mpsc::unbounded_channel();
    let port = far.port(move |_, AnyMessage(values): AnyMessage| drop(arrived.send(values)));
    far.db().register("things", &port).unwrap();
    let mut client = world.connect().await;
    client.say(json!(["watch", 1, "things"])).await;
    while client.next().await[2].as_object().unwrap().is_empty() {}
    let name = port.to_string();
    client.say(json!(["monitor", 2, name])).await;
    client.say(json!(["send", name, ["before"]])).await;
    assert_eq!(soon(arriving.recv()).await.unwrap(), [Value::Text("before".into())]);

    cut.send_modify(|count| *count += 1);
    loop {
        let event = client.next().await;
        if event[0] == "fired" {
            assert_eq!((&event[1], &event[2][0]), (&json!(2), &json!("transport_error")));
            break;
        }
    }
    // The network is whole again, and the client has read the news; but it has not said that it
    // knows.
    loop {
        let event = client.next().await;
        if event[0] == "changed" && event[2].as_object().unwrap().contains_key(&name) {
            break;
        }
    }
    client.say(json!(["send", name, ["a hole"]])).await;
    // A monitor that is set before that does not hide the hole.
    client.say(json!(["monitor", 3, name])).await;
    client.say(json!(["send", name, ["another"]])).await;
    let fired = client.next().await;
    assert_eq!((&fired[0], &fired[1], &fired[2][0]), (&json!("fired"), &json!(3), &json!("transport_error")));
    client.say(json!(["told", 2])).await;
    client.say(json!(["told", 3])).await;
    client.say(json!(["monitor", 4, name])).await;
    client.say(json!(["send", name, ["after"]])).await;
    assert_eq!(soon(arriving.recv()).await.unwrap(), [Value::Text("after".into())]);
    far.shutdown().await;
    while client.next().await[0] != "fired" {}
    world.serving.abort();
}
