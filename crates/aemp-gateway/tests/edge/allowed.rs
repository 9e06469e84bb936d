//! What a client can do.

use aemp::{AnyMessage, Value};
use serde_json::json;

use crate::client::{World, soon};

#[tokio::test]
async fn calls_are_answered_with_every_kind_of_value() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let values = json!([null, true, -1, u64::MAX, 0.5, "é€😀", [[]], {"a": {"b": []}}]);
    client.say(json!(["call", 1, world.echo.to_string(), values, 20_000])).await;
    assert_eq!(client.next().await, json!(["reply", 1, values]));
    client.say(json!(["ping", 7])).await;
    assert_eq!(client.next().await, json!(["pong", 7]));
}

#[tokio::test]
async fn own_ports_get_messages_and_answer_them() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.say(json!(["open", 1])).await;
    let opened = client.next().await;
    let port = opened[2].as_str().unwrap();
    client.say(json!(["send", world.echo.to_string(), ["hello", 1, port]])).await;
    assert_eq!(client.next().await, json!(["message", port, ["hello", 1]]));
    // Somebody of the network calls, and is answered, although no rule names the port for the
    // answer.
    let own = aemp::PortId::parse(port).unwrap();
    let call = world.node.call(&own, std::time::Duration::from_secs(20), |reply| {
        AnyMessage(vec!["add".into(), Value::Int(2), Value::from(reply.port())])
    });
    let call = tokio::spawn(call);
    let asked = client.next().await;
    assert_eq!((&asked[0], &asked[2][0], &asked[2][1]), (&json!("message"), &json!("add"), &json!(2)));
    client.say(json!(["send", asked[2][2], [42]])).await;
    let AnyMessage(answer) = soon(call).await.unwrap().unwrap();
    assert_eq!(answer, [Value::Int(42)]);
    // The port ends with the client's word, and is monitored as any.
    let died = world.node.exited(&own);
    client.say(json!(["close", port, ["enough"]])).await;
    assert_eq!(soon(died).await.values(), [Value::Text("enough".into())]);
    assert_eq!(client.next().await, json!(["closed", port, ["enough"]]));
}

#[tokio::test]
async fn ports_end_with_their_client() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.say(json!(["open", 1])).await;
    let opened = client.next().await;
    let own = aemp::PortId::parse(opened[2].as_str().unwrap()).unwrap();
    let died = world.node.exited(&own);
    drop(client);
    assert!(soon(died).await.is_normal());
}

#[tokio::test]
async fn monitors_fire_and_can_be_withdrawn() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let echo = world.echo.to_string();
    client.say(json!(["monitor", 1, echo])).await;
    client.say(json!(["monitor", 2, echo])).await;
    client.say(json!(["unmonitor", 1])).await;
    client.say(json!(["ping", 3])).await;
    assert_eq!(client.next().await, json!(["pong", 3]));
    world.node.kill(&world.echo, aemp::Reason::text("because", "of it"));
    assert_eq!(client.next().await, json!(["fired", 2, ["because", "of it"]]));
    client.say(json!(["told", 2])).await;
    client.say(json!(["monitor", 1, "far#nothing"])).await;
    assert_eq!(client.next().await[0], "fired");
}

#[tokio::test]
async fn a_watch_tells_the_content_and_then_the_changes() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.say(json!(["watch", 1, "things"])).await;
    assert_eq!(client.next().await, json!(["changed", 1, {}, {}, []]));
    let entry = world.node.db().set("things", "k", 1).unwrap();
    assert_eq!(client.next().await, json!(["changed", 1, {"k": 1}, {}, []]));
    let _again = world.node.db().set("things", "k", 2).unwrap();
    assert_eq!(client.next().await, json!(["changed", 1, {}, {"k": 2}, []]));
    drop(entry);
    world.node.db().delete("things", "k").unwrap();
    assert_eq!(client.next().await, json!(["changed", 1, {}, {}, ["k"]]));
    client.say(json!(["unwatch", 1])).await;
    client.say(json!(["watch", 1, "echo"])).await;
    assert_eq!(client.next().await, json!(["changed", 1, {world.echo.to_string(): null}, {}, []]));
}
