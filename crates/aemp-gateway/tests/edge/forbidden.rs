//! What a client must not do is refused, and counted by what it was.

use futures_util::SinkExt as _;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use crate::client::{Client, OTHER, World};

#[tokio::test]
async fn acts_that_are_forbidden_are_refused_and_counted() {
    let world = World::start().await;
    let mut victim = Client::greet(&world.address, json!(["hello", 1, OTHER])).await;
    victim.next().await;
    victim.say(json!(["open", 1])).await;
    let foreign = victim.next().await[2].as_str().unwrap().to_string();
    let (echo, hidden) = (world.echo.to_string(), world.hidden.to_string());
    let acts: Vec<(&str, Json)> = vec![
        ("send", json!(["send", "gate", ["eval", "1"]])),
        ("send", json!(["send", "gate", ["kil1", world.hidden.name().to_string()]])),
        ("send", json!(["send", "gate", ["AnyEvent::MP::_spawn", "x", "aemp::echo"]])),
        ("send", json!(["send", "gate", ["g_upd", "echo", {"gate#x": null}, []]])),
        ("send", json!(["send", "gate", ["snd", hidden, "x"]])),
        ("send", json!(["send", "gate#", ["eval", "1"]])),
        ("send", json!(["send", "far", ["devnull"]])),
        ("send", json!(["send", hidden, ["x"]])),
        ("send", json!(["send", foreign, ["x"]])),
        ("call", json!(["call", 1, hidden, ["x"], 1000])),
        ("call", json!(["call", 1, "gate", ["time"], 1000])),
        ("call", json!(["call", 1, "far#x", ["may be sent to, not called"], 1000])),
        ("monitor", json!(["monitor", 1, hidden])),
        ("monitor", json!(["monitor", 1, "gate"])),
        ("monitor", json!(["monitor", 1, foreign])),
        ("close", json!(["close", hidden, ["killed"]])),
        ("close", json!(["close", foreign, ["killed"]])),
        ("close", json!(["close", echo, []])),
        ("watch", json!(["watch", 1, "secrets"])),
        ("watch", json!(["watch", 1, "'l"])),
        ("watch", json!(["watch", 1, "'g"])),
        ("watch", json!(["watch", 1, ""])),
        ("unknown", json!(["spawn", "gate", "aemp::echo", []])),
        ("unknown", json!(["eval", "gate", "1"])),
        ("unknown", json!(["kill", hidden, []])),
        ("unknown", json!(["register", "echo", "gate#x"])),
        ("unknown", json!(["set", "echo", "k", 1])),
        ("unknown", json!(["delete", "echo", echo])),
        ("unknown", json!(["mon1", "x"])),
        ("unknown", json!(["g_slave", {}])),
    ];
    assert!(acts.len() >= 25);
    let mut client = world.connect().await;
    for (code, act) in acts {
        let before = world.count(code);
        client.say(act.clone()).await;
        let refused = client.next().await;
        assert_eq!((&refused[0], &refused[2]), (&json!("refused"), &json!(code)), "{act}");
        assert_eq!(world.count(code), before + 1, "{act}");
    }
    // Nothing of it had an effect, and the client goes on.
    client.say(json!(["call", 9, echo, ["still"], 20_000])).await;
    assert_eq!(client.next().await, json!(["reply", 9, ["still"]]));
    victim.say(json!(["ping", 1])).await;
    assert_eq!(victim.next().await, json!(["pong", 1]));
    world.node.send(&aemp::PortId::parse(&foreign).unwrap(), ("alive",)).unwrap();
    assert_eq!(victim.next().await, json!(["message", foreign, ["alive"]]));
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection() {
    let world = World::start().await;
    for text in [
        "",
        "{}",
        "[1",
        r#"["send"]"#,
        r#"["hello",1,"0123456789abcdef"]"#,
        r#"["ping",-1]"#,
        &"[".repeat(10_000),
    ] {
        let (before, mut client) = (world.count("malformed"), world.connect().await);
        client.socket.send(Frame::text(text)).await.unwrap();
        assert_eq!(client.end().await.0, 4000, "{text}");
        assert_eq!(world.count("malformed"), before + 1, "{text}");
    }
    let mut client = world.connect().await;
    client.socket.send(Frame::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.end().await.0, 4000);
    let mut client = world.connect().await;
    client.say(json!(["monitor", 1, world.echo.to_string()])).await;
    client.say(json!(["monitor", 1, world.echo.to_string()])).await;
    assert_eq!(client.end().await, (4000, "the number 1 is in use".into()));
}

#[tokio::test]
async fn without_a_known_token_nobody_is_a_client() {
    let world = World::start().await;
    for hello in [
        json!(["hello", 1, "0123456789abcdeF"]),
        json!(["hello", 1, ""]),
        json!(["hello", 2, "0123456789abcdef"]),
        json!(["ping", 1]),
        json!(["send", world.hidden.to_string(), []]),
        json!("0123456789abcdef"),
    ] {
        let before = world.count("token");
        let mut client = Client::greet(&world.address, hello.clone()).await;
        assert_eq!(client.end().await.0, 4001, "{hello}");
        assert_eq!(world.count("token"), before + 1, "{hello}");
    }
}

#[tokio::test]
async fn pages_and_names_that_are_not_known_are_not_let_in() {
    let world = World::start().await;
    for (path, headers) in [
        ("/", &[("origin", "https://evil.example")][..]),
        ("/", &[("origin", "null")]),
        ("/", &[("origin", "http://page.example")]),
        ("/", &[("origin", "https://page.example.evil.example")]),
        ("/", &[("host", "evil.example")]),
        ("/", &[("host", "localhost")]),
        ("/", &[("host", "127.0.0.1:1")]),
        ("/?token=0123456789abcdef", &[]),
        ("/other", &[]),
    ] {
        let before = world.count("host");
        let refused = Client::upgrade(&world.address, path, headers).await;
        assert!(matches!(refused, Err(Error::Http(_))), "{path} {headers:?}");
        assert_eq!(world.count("host"), before + 1, "{path} {headers:?}");
    }
    for headers in [
        &[("host", "gate.example")][..],
        &[("origin", "https://page.example")],
        &[("host", "gate.example"), ("origin", "https://page.example")],
    ] {
        assert!(Client::upgrade(&world.address, "/", headers).await.is_ok(), "{headers:?}");
    }
}

#[tokio::test]
async fn what_a_client_may_have_is_limited() {
    let builder = aemp::Node::builder().id("gate").bind("127.0.0.1:0").secret("secret");
    let world = World::with(builder, r#"{"calls":2,"monitors":2,"watches":1}"#).await;
    let mut client = world.connect().await;
    let silent = world.node.port(|_, _: aemp::AnyMessage| {});
    world.node.db().register("echo", &silent).unwrap();
    let (echo, silent) = (world.echo.to_string(), silent.to_string());
    // The gateway has heard of the port when the client has.
    client.say(json!(["watch", 1, "echo"])).await;
    while !client.next().await[2].as_object().unwrap().contains_key(&silent) {}
    loop {
        client.say(json!(["call", 2, silent, [], 20_000])).await;
        client.say(json!(["ping", 2])).await;
        if client.next().await[0] == "pong" {
            break;
        }
        client.next().await;
    }
    for (code, allowed, refused) in [
        ("calls", vec![json!(["call", 3, silent, [], 20_000])], json!(["call", 4, silent, [], 20_000])),
        (
            "monitors",
            vec![json!(["monitor", 5, echo]), json!(["monitor", 6, echo])],
            json!(["monitor", 7, echo]),
        ),
        ("watches", vec![], json!(["watch", 8, "things"])),
        ("ports", vec![json!(["open", 9]), json!(["open", 10])], json!(["open", 11])),
    ] {
        for act in allowed {
            client.say(act).await;
        }
        client.say(refused.clone()).await;
        loop {
            let event = client.next().await;
            if event[0] == "refused" {
                assert_eq!((&event[1], &event[2]), (&refused[1], &json!(code)));
                break;
            }
            assert_eq!(event[0], "opened");
        }
        assert_eq!(world.count(code), 1);
    }
}

#[tokio::test]
async fn a_client_that_sends_too_much_is_cut_off() {
    let builder = aemp::Node::builder().id("gate").bind("127.0.0.1:0").secret("secret");
    let world = World::with(builder, r#"{"messages_per_second":100,"message":1000}"#).await;
    let mut client = world.connect().await;
    let flood = async {
        loop {
            if client.socket.send(Frame::text(r#"["told",1]"#)).await.is_err() {
                return;
            }
        }
    };
    crate::client::soon(flood).await;
    assert_eq!(world.count("rate"), 1);
    let mut client = world.connect().await;
    client.say(json!(["send", world.echo.to_string(), ["x".repeat(1001)]])).await;
    assert_eq!(client.end().await.0, 4000);
    let mut client = world.connect().await;
    let _ = client.socket.send(Frame::text("x".repeat(1 << 20))).await;
    client.end().await;
    assert_eq!(world.count("message"), 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_with_a_reason() {
    let builder = aemp::Node::builder().id("gate").bind("127.0.0.1:0").secret("secret");
    let world = World::with(builder, r#"{"unread":1000000}"#).await;
    let mut client = world.connect().await;
    client.say(json!(["open", 1])).await;
    let port = aemp::PortId::parse(client.next().await[2].as_str().unwrap()).unwrap();
    let died = world.node.exited(&port);
    // More than the sockets and the queue hold.
    for _ in 0..400 {
        world.node.send(&port, ("x".repeat(100_000),)).unwrap();
    }
    assert!(crate::client::soon(died).await.is_normal());
    assert_eq!(world.count("unread"), 1);
    assert_eq!(client.end().await, (4008, "the client does not read what it is sent".into()));
}
