//! Requests to the node port: their shapes on the wire, and what is refused.

use aemp_proto::wire::{Body, MeshRequest, Request, RequestError, Tables};
use aemp_proto::{NodeId, PortId, Reason, Value};
use proptest::prelude::*;

fn body(values: &[Value]) -> Body {
    Body::encode(values).expect("plain values")
}

fn decode(values: &[Value]) -> Result<Request, RequestError> {
    Request::decode(&body(values))
}

fn name(text: &str) -> Value {
    Value::name(text)
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| (name(key), value.clone())).collect())
}

/// Each request beside the values that it is on the wire.
fn requests() -> Vec<(Request, Vec<Value>)> {
    let port = PortId::parse("a#p").expect("a port ID");
    let node = NodeId::new("a").expect("a node ID");
    let args = || body(&[1.into(), "x".into()]);
    let reason = || Reason::new([name("bye"), 1.into()]);
    let fam = || "fam".to_string();
    let entry = || [("k".to_string(), Value::Int(1))].into();
    let wire_entry = || map(&[("k", 1.into())]);
    let mesh = |request, values| (Request::Mesh(request), values);
    vec![
        (Request::Monitor("p".into()), vec![name("mon1"), name("p")]),
        (Request::Unmonitor("é€".into()), vec![name("mon0"), "é€".into()]),
        (Request::Died("p".into(), Reason::NORMAL), vec![name("kil0"), name("p")]),
        (Request::Died("p".into(), reason()), vec![name("kil0"), name("p"), name("bye"), 1.into()]),
        (Request::Kill("p".into(), reason()), vec![name("kil1"), name("p"), name("bye"), 1.into()]),
        (Request::Send(port.clone(), args()), vec![name("snd"), name("a#p"), 1.into(), "x".into()]),
        (
            Request::Can("t".into(), port.clone(), args()),
            vec![name("can"), name("t"), name("a#p"), 1.into(), "x".into()],
        ),
        (Request::Time(port.clone(), Body::default()), vec![name("time"), name("a#p")]),
        (Request::Eval("1+1".into(), None), vec![name("eval"), name("1+1")]),
        (
            Request::Eval("1".into(), Some((port.clone(), args()))),
            vec![name("eval"), name("1"), name("a#p"), 1.into(), "x".into()],
        ),
        (Request::Nothing, vec![name("")]),
        (
            Request::Spawn { name: "p".into(), function: "my::f".into(), args: args() },
            vec![name("AnyEvent::MP::_spawn"), name("p"), name("my::f"), 1.into(), "x".into()],
        ),
        (Request::Call("my::f".into(), args()), vec![name("my::f"), 1.into(), "x".into()]),
        mesh(MeshRequest::Slave(None), vec![name("g_slave")]),
        mesh(
            MeshRequest::Slave(Some(Tables::from([(fam(), entry())]))),
            vec![name("g_slave"), map(&[("fam", wire_entry())])],
        ),
        mesh(MeshRequest::Global, vec![name("g_global")]),
        mesh(MeshRequest::Set(Tables::new()), vec![name("g_set"), map(&[])]),
        mesh(
            MeshRequest::Update(fam(), entry(), vec![]),
            vec![name("g_upd"), name("fam"), wire_entry(), Value::List(vec![])],
        ),
        mesh(
            MeshRequest::Changed(fam(), Default::default(), vec!["k".into()]),
            vec![name("g_chg2"), name("fam"), map(&[]), Value::List(vec![name("k")])],
        ),
        mesh(MeshRequest::Find(node.clone()), vec![name("g_find"), name("a")]),
        mesh(MeshRequest::Found(node.clone(), None), vec![name("g_found"), name("a"), Value::Null]),
        mesh(
            MeshRequest::Found(node, Some(vec!["h:1".into()])),
            vec![name("g_found"), name("a"), Value::List(vec![name("h:1")])],
        ),
        mesh(MeshRequest::Family(fam(), 7.into()), vec![name("g_db_family"), name("fam"), 7.into()]),
        mesh(MeshRequest::Keys(fam(), name("q")), vec![name("g_db_keys"), name("fam"), name("q")]),
        mesh(MeshRequest::Values(fam(), 7.into()), vec![name("g_db_values"), name("fam"), 7.into()]),
        mesh(MeshRequest::Reply(7.into(), wire_entry()), vec![name("g_reply"), 7.into(), wire_entry()]),
        mesh(MeshRequest::Watch(fam()), vec![name("g_mon1"), name("fam")]),
        mesh(MeshRequest::Unwatch(fam()), vec![name("g_mon0"), name("fam")]),
        mesh(MeshRequest::Content(fam(), Default::default()), vec![name("g_chg1"), name("fam"), Value::Null]),
        mesh(MeshRequest::Content(fam(), entry()), vec![name("g_chg1"), name("fam"), wire_entry()]),
    ]
}

#[test]
fn every_request_has_the_shape_of_the_protocol() {
    for (request, values) in requests() {
        assert_eq!(request.encode().unwrap().decode().unwrap(), values);
        assert_eq!(decode(&values), Ok(request));
    }
}

#[test]
fn strings_may_be_text_bytes_or_numbers() {
    assert_eq!(decode(&["mon1".into(), 5.into()]), Ok(Request::Monitor("5".into())));
    let bytes = Value::Bytes(b"\xe9"[..].into());
    assert_eq!(decode(&["mon1".into(), bytes]), Ok(Request::Monitor("é".into())));
    let content = Value::Map(vec![(5.into(), Value::Null)]);
    let watched = decode(&["g_chg1".into(), 1.5.into(), content]);
    let expected = MeshRequest::Content("1.5".into(), [("5".to_string(), Value::Null)].into());
    assert_eq!(watched, Ok(Request::Mesh(expected)));
}

#[test]
fn null_and_nothing_are_empty_maps_and_lists() {
    let update = |family: &str| Ok(Request::Mesh(MeshRequest::Update(family.into(), [].into(), vec![])));
    assert_eq!(decode(&["g_upd".into(), "f".into()]), update("f"));
    assert_eq!(decode(&["g_upd".into(), "f".into(), Value::Null, Value::Null]), update("f"));
    assert_eq!(decode(&["g_slave".into(), Value::Null]), Ok(Request::Mesh(MeshRequest::Slave(None))));
    let reply = MeshRequest::Reply(1.into(), Value::Null);
    assert_eq!(decode(&["g_reply".into(), 1.into()]), Ok(Request::Mesh(reply)));
}

#[test]
fn keep_alives_and_devnull_are_nothing() {
    for values in
        [&[][..], &["".into()], &[Value::Null], &["".into(), 1.into()], &["devnull".into(), 1.into()]]
    {
        assert_eq!(decode(values), Ok(Request::Nothing));
    }
}

#[test]
fn the_kill_of_version_1_is_understood() {
    assert_eq!(decode(&["kil".into(), "p".into()]), Ok(Request::Kill("p".into(), Reason::NORMAL)));
}

#[test]
fn requests_never_mean_the_node_port() {
    for tag in ["mon1", "mon0", "kil0", "kil1", "AnyEvent::MP::_spawn"] {
        assert!(matches!(decode(&[tag.into()]), Err(RequestError::Missing { .. })), "{tag}");
        for empty in [Value::Null, "".into(), Value::Bytes(Default::default())] {
            let refused = decode(&[tag.into(), empty, "f".into()]);
            assert!(matches!(refused, Err(RequestError::Wrong { .. })), "{tag}: {refused:?}");
        }
    }
}

#[test]
fn arguments_of_the_wrong_kind_are_refused_by_name() {
    let list = || Value::List(vec![]);
    let error = |values: &[Value]| decode(values).unwrap_err().to_string();
    assert_eq!(error(&[list()]), "a request whose tag is not a string");
    assert_eq!(error(&["mon1".into(), list()]), "mon1: the port name is not a string");
    assert_eq!(error(&["snd".into()]), "snd: the port ID is missing");
    assert_eq!(error(&["time".into(), "".into()]), "time: a node ID must not be empty");
    assert_eq!(error(&["g_slave".into(), 1.into()]), "g_slave: the database is not a map");
    assert_eq!(error(&["g_found".into(), "a".into(), 1.into()]), "g_found: the list of binds is not a list");
    let keys = Value::List(vec![list()]);
    assert_eq!(
        error(&["g_upd".into(), "f".into(), Value::Null, keys]),
        "g_upd: the list of deleted keys is not a list of strings"
    );
}

#[test]
fn values_of_the_database_count_the_maps_around_them() {
    let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let set = |levels| {
        let family = [("k".to_string(), nested(levels))].into();
        MeshRequest::Set(Tables::from([("f".to_string(), family)])).encode()
    };
    assert!(set(509).is_ok());
    assert!(set(510).is_err(), "a peer would refuse the frame");
}

proptest! {
    #[test]
    fn any_body_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), count in any::<u32>()) {
        let _ = Request::decode(&Body::new(count, bytes.into()));
    }
}
