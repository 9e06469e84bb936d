//! The kernel in the place of a Perl node: told what the recorded peer sent, it says what the
//! recorded node said.

mod support;

use std::path::Path;
use std::time::Duration;

use aemp_proto::kernel::{Action, DbCommand, Input, Kernel, KernelConfig, LinkId, Peer, QueryKind};
use aemp_proto::wire::{Frame, Framing, MeshRequest, Request};
use aemp_proto::{NodeId, Value};
use serde_json::Value as Json;
use support::read_all;

const FAMILY: &str = "fam";

/// One recorded request of the mesh: on which connection, in which direction (`a>b`), what.
struct Recorded {
    conn: u64,
    direction: String,
    request: MeshRequest,
}

fn recording(name: &str) -> Vec<Recorded> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/aemp-2.02").join(name);
    let session: Json = serde_json::from_slice(&std::fs::read(path).expect("a recording")).expect("JSON");
    session["messages"].as_array().expect("messages").iter().filter_map(recorded).collect()
}

fn recorded(part: &Json) -> Option<Recorded> {
    let framing = Framing::from_name(part["framing"].as_str().expect("a name")).expect("a framing of ours");
    let digits = part["hex"].as_str().expect("digits").as_bytes();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect();
    let frames = read_all(framing, &bytes);
    let [Frame::Message { body, .. }] = frames.as_slice() else { panic!("one message is one frame") };
    let Ok(Request::Mesh(request)) = Request::decode(body) else { return None };
    let conn = part["conn"].as_u64().expect("a number");
    let direction = part["dir"].as_str().expect("a direction").into();
    Some(Recorded { conn, direction, request })
}

/// The kernel as one recorded node, and what it has sent to each peer.
struct Player {
    kernel: Kernel,
    sent: Vec<(NodeId, MeshRequest)>,
}

fn node(id: &str) -> NodeId {
    NodeId::new(id).expect("a node ID")
}

fn set(key: &str, value: impl Into<Value>) -> DbCommand {
    DbCommand::Set { family: FAMILY.into(), key: key.into(), value: value.into(), id: 0 }
}

fn delete(key: &str) -> DbCommand {
    DbCommand::Delete { family: FAMILY.into(), key: key.into() }
}

/// A string as Perl writes it.
fn bytes(text: &str) -> Value {
    Value::name(text)
}

impl Player {
    fn new(id: &str, bind: &str, seeds: &[&str], global: bool) -> Player {
        let mut config = KernelConfig::new(node(id));
        config.binds = vec![bind.into()];
        config.seeds = seeds.iter().map(|seed| (*seed).into()).collect();
        config.global = global;
        let mut player = Player { kernel: Kernel::new(config, Duration::ZERO), sent: Vec::new() };
        player.drain();
        player
    }

    fn input(&mut self, input: Input) {
        self.kernel.handle(input, Duration::ZERO);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.kernel.poll() {
            if let Action::Send { to, request } = action {
                self.sent.push((to, request));
            }
        }
    }

    fn connect(&mut self, link: LinkId, peer: &str) {
        let peer = Peer {
            node: node(peer),
            incarnation: None,
            native: false,
            can_relay: false,
            client: false,
            via: None,
        };
        self.input(Input::Greeted { link, peer });
        self.input(Input::Verified { link });
        self.input(Input::Established { link });
    }

    fn hear(&mut self, from: &str, request: MeshRequest) {
        self.input(Input::Request { from: node(from), request });
    }

    fn sent_to(&self, peer: &str) -> Vec<MeshRequest> {
        let sent = self.sent.iter().filter(|(to, _)| to.as_str() == peer);
        sent.map(|(_, request)| comparable(request.clone())).collect()
    }

    /// Plays the node `own`: hears what its peers sent; where the recorded node said something by
    /// itself, the next commands of the program come.
    fn play(&mut self, own: &str, peers: &[&str], recording: &[Recorded], commands: Vec<Vec<DbCommand>>) {
        let mut commands = commands.into_iter();
        let mut heard = vec![0; peers.len()];
        let mut connected = vec![false; peers.len()];
        for recorded in recording {
            let Some(at) =
                peers.iter().position(|peer| recorded.direction.split('>').any(|end| end == *peer))
            else {
                continue;
            };
            let peer = peers[at];
            if !connected[at] {
                connected[at] = true;
                self.connect(LinkId::accepted(recorded.conn), peer);
            }
            if recorded.direction.starts_with(own) {
                if self.sent_to(peer).len() <= heard[at] {
                    for command in commands.next().expect("the recorded node said something unexpected") {
                        self.input(Input::Db(command));
                    }
                }
                let sent = self.sent_to(peer);
                assert_eq!(sent.get(heard[at]), Some(&comparable(recorded.request.clone())), "to {peer}");
                heard[at] += 1;
            } else {
                self.hear(peer, recorded.request.clone());
            }
        }
        for (peer, count) in peers.iter().zip(heard) {
            assert_eq!(self.sent_to(peer).len(), count, "more than was recorded was sent to {peer}");
        }
        assert_eq!(commands.next(), None);
    }
}

/// Lists in the answer to a query have no order.
fn comparable(request: MeshRequest) -> MeshRequest {
    match request {
        MeshRequest::Reply(id, Value::List(mut values)) => {
            values.sort_by_key(|value| format!("{value:?}"));
            MeshRequest::Reply(id, Value::List(values))
        }
        other => other,
    }
}

#[test]
fn as_master_of_one_slave() {
    let mut player = Player::new("a", "127.0.0.1:15040", &[], false);
    let commands = vec![
        vec![set("a1", bytes("va1"))],
        vec![set("shared", bytes("by a"))],
        // That of the slave shows already, so nobody sees its own one go.
        vec![delete("shared"), delete("a1")],
    ];
    player.play("a", &["b"], &recording("db_slave_cbor.json"), commands);
}

#[test]
fn as_master_of_two_slaves() {
    let mut player = Player::new("a", "127.0.0.1:15040", &[], false);
    player.play("a", &["b", "c"], &recording("db_two_slaves.json"), vec![]);
}

#[test]
fn as_global_node_that_accepts_another_one() {
    let mut player = Player::new("a", "127.0.0.1:15040", &[], true);
    player.play("a", &["b"], &recording("global_pair_cbor.json"), vec![]);
}

#[test]
fn as_global_node_whose_seed_is_another_one() {
    let mut player = Player::new("b", "127.0.0.1:15041", &["127.0.0.1:15140"], true);
    let recording = recording("global_pair_cbor.json");
    player.connect(LinkId::dialled(0), "a");
    for recorded in recording.iter().filter(|recorded| recorded.direction == "a>b") {
        player.hear("a", recorded.request.clone());
    }
    let expected = recording.into_iter().filter(|recorded| recorded.direction == "b>a");
    assert_eq!(player.sent_to("a"), expected.map(|recorded| recorded.request).collect::<Vec<_>>());
}

#[test]
fn as_global_node_that_shares_its_database_with_another_one() {
    let mut player = Player::new("a", "127.0.0.1:15040", &[], true);
    let value = bytes("set before the connection");
    player.input(Input::Db(DbCommand::Set { family: "before".into(), key: "a_key".into(), value, id: 0 }));
    let commands = vec![
        vec![set("a1", 1)],
        vec![set("both", bytes("from a"))],
        vec![delete("both")],
        vec![delete("a1")],
    ];
    player.play("a", &["b"], &recording("db_global_cbor.json"), commands);
}

#[test]
fn as_slave() {
    let mut player = Player::new("b", "127.0.0.1:15041", &["127.0.0.1:15140"], false);
    player.connect(LinkId::dialled(0), "a");
    let nested = Value::List(vec![1.into(), Value::Map(vec![(bytes("x"), Value::Null)])]);
    let watch = |id, family: &str| DbCommand::Watch { id, family: family.into() };
    let query = |id, kind, family: &str| DbCommand::Query { id, kind, family: family.into() };
    let commands = [
        set("k1", bytes("v1")),
        set("k1", bytes("v1")),
        set("k2", nested),
        set("k3", Value::Null),
        set("k1", bytes("v1 changed")),
        delete("k3"),
        delete("k3"),
        watch(1, FAMILY),
        watch(2, FAMILY),
        query(1, QueryKind::Family, FAMILY),
        query(2, QueryKind::Keys, FAMILY),
        query(3, QueryKind::Values, FAMILY),
        query(4, QueryKind::Family, "no_such_family"),
        query(5, QueryKind::Keys, "no_such_family"),
        query(6, QueryKind::Values, "no_such_family"),
        set("k4", 4),
        set("shared", bytes("by b")),
        watch(3, "empty_family"),
        set("b#reg", bytes("registered")),
        delete("b#reg"),
        set("guarded", 1),
        delete("guarded"),
    ];
    for command in commands {
        player.input(Input::Db(command));
    }
    let unnumbered = |request| match request {
        MeshRequest::Family(family, _) => MeshRequest::Family(family, Value::Null),
        MeshRequest::Keys(family, _) => MeshRequest::Keys(family, Value::Null),
        MeshRequest::Values(family, _) => MeshRequest::Values(family, Value::Null),
        other => other,
    };
    // Perl may say `g_slave` twice, and asks for the address of its master.
    let recording =
        recording("db_slave_cbor.json").into_iter().filter(|recorded| recorded.direction == "b>a");
    let mut expected: Vec<MeshRequest> = recording.map(|recorded| unnumbered(recorded.request)).collect();
    expected.dedup();
    expected.retain(|request| *request != MeshRequest::Find(node("a")));
    let sent: Vec<MeshRequest> = player.sent_to("a").into_iter().map(unnumbered).collect();
    assert_eq!(sent, expected[..sent.len()]);
    assert!(sent.len() > 20);
}
