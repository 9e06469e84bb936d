//! What real Perl nodes sent (`fixtures/README.md`), message by message and as the streams that
//! they were.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use aemp_proto::Value;
use aemp_proto::wire::{
    Body, Frame, Framing, Limits, MeshRequest, Request, RequestError, reframe, write_message,
};
use proptest::prelude::*;
use serde_json::Value as Json;
use support::{message, read_all, read_in_pieces};

/// One recorded message.
struct Recorded {
    /// The file, for messages of failed assertions.
    from: String,
    framing: Framing,
    bytes: Vec<u8>,
    value: Vec<Value>,
    /// Whether our own frame must be the same, byte by byte: Perl writes the port name as we do.
    same_bytes: bool,
}

/// All messages that one side of a connection sent.
struct Stream {
    messages: Vec<Recorded>,
    bytes: Vec<u8>,
}

/// Every stream of messages in the recordings. Those in Perl's own serialisation or inside of TLS
/// have none.
fn streams() -> Vec<Stream> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/aemp-2.02");
    let mut files: Vec<_> =
        folder.read_dir().expect("the recordings").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert_eq!(files.len(), 27);
    files.iter().flat_map(|file| streams_of(file)).collect()
}

fn streams_of(file: &Path) -> Vec<Stream> {
    let text = std::fs::read(file).expect("a recording");
    let session: Json = serde_json::from_slice(&text).expect("a recording is JSON");
    let from = file.file_name().expect("a file").to_string_lossy().into_owned();
    let side = |part: &Json| (part["conn"].to_string(), part["dir"].to_string());
    let mut streams = BTreeMap::new();
    for part in session["messages"].as_array().into_iter().flatten() {
        let stream = streams.entry(side(part)).or_insert_with(|| Stream { messages: vec![], bytes: vec![] });
        stream.messages.push(recorded(&from, part));
    }
    for part in session["chunks"].as_array().into_iter().flatten() {
        if let Some(stream) = streams.get_mut(&side(part)) {
            stream.bytes.extend(hex(&part["hex"]));
        }
    }
    for stream in streams.values_mut() {
        let handshake: usize = stream.bytes.split_inclusive(|&b| b == b'\n').take(3).map(<[u8]>::len).sum();
        stream.bytes.drain(..handshake);
    }
    streams.into_values().collect()
}

fn recorded(from: &str, part: &Json) -> Recorded {
    let framing = Framing::from_name(part["framing"].as_str().expect("a name")).expect("a framing of ours");
    let values = part["value"].as_array().expect("a message is an array");
    Recorded {
        from: from.into(),
        framing,
        bytes: hex(&part["hex"]),
        value: values.iter().map(|value| expected(value, framing)).collect(),
        same_bytes: framing == Framing::Cbor
            && values.first().is_some_and(|name| name["bytes_hex"].is_string()),
    }
}

fn hex(text: &Json) -> Vec<u8> {
    let digits = text.as_str().expect("hexadecimal text").as_bytes();
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.chunks(2).map(|pair| byte(pair).expect("two digits")).collect()
}

/// The value that a recorded one stands for, see "How `value` is written".
fn expected(value: &Json, framing: Framing) -> Value {
    let nested = |value| expected(value, framing);
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::Float(number.as_f64().expect("a float")),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(values) => Value::List(values.iter().map(nested).collect()),
        Json::Object(entries) if framing == Framing::Json => {
            Value::Map(entries.iter().map(|(key, value)| (Value::Text(key.clone()), nested(value))).collect())
        }
        Json::Object(_) if value["bytes_hex"].is_string() => Value::Bytes(hex(&value["bytes_hex"]).into()),
        Json::Object(_) if value["float"].is_string() => {
            Value::Float(value["float"].as_str().and_then(|text| text.parse().ok()).expect("a float"))
        }
        Json::Object(_) if value["tag"].is_u64() => {
            Value::Tag(value["tag"].as_u64().expect("a tag"), Box::new(nested(&value["value"])))
        }
        Json::Object(_) if value["simple"] == "undefined" => Value::Null,
        Json::Object(_) => {
            let entries = value["map"].as_array().expect("a map");
            Value::Map(entries.iter().map(|entry| (nested(&entry[0]), nested(&entry[1]))).collect())
        }
    }
}

/// Whether a frame is this recorded message.
fn assert_is(frame: &Frame, recorded: &Recorded) {
    let Some((port, values)) = recorded.value.split_first() else {
        assert_eq!(*frame, Frame::KeepAlive, "{}", recorded.from);
        return;
    };
    let (name, read) = message(frame);
    assert_eq!(Some(&name), port.to_name().as_ref(), "{}", recorded.from);
    assert_eq!(read, values, "{}", recorded.from);
}

#[test]
fn every_recorded_message_has_its_recorded_value() {
    let mut count = 0;
    for recorded in streams().iter().flat_map(|stream| &stream.messages) {
        let frames = read_all(recorded.framing, &recorded.bytes);
        assert_eq!(frames.len(), 1, "{}", recorded.from);
        assert_is(&frames[0], recorded);
        count += 1;
    }
    assert_eq!(count, 870);
}

#[test]
fn every_recorded_stream_is_read_whole_and_byte_by_byte() {
    for stream in streams() {
        for pieces in [&[][..], &[1]] {
            let framing = stream.messages[0].framing;
            let (frames, error) = read_in_pieces(framing, Limits::default(), &stream.bytes, pieces);
            assert_eq!(error, None);
            assert_eq!(frames.len(), stream.messages.len(), "{}", stream.messages[0].from);
            frames.iter().zip(&stream.messages).for_each(|(frame, recorded)| assert_is(frame, recorded));
        }
    }
}

#[test]
fn every_recorded_message_survives_our_own_framings() {
    for recorded in streams().iter().flat_map(|stream| &stream.messages) {
        let read = read_all(recorded.framing, &recorded.bytes);
        let Frame::Message { port, body, .. } = &read[0] else { continue };
        let mut native = Vec::new();
        write_message(&mut native, 1, port, body).expect("it was a frame");
        assert_is(&read_all(Framing::Native, &native)[0], recorded);
        let mut ours = Vec::new();
        reframe(&native, recorded.framing, &mut ours).expect("it came in this framing");
        assert_is(&read_all(recorded.framing, &ours)[0], recorded);
        if recorded.same_bytes {
            assert_eq!(ours, recorded.bytes, "{}", recorded.from);
        }
        let values = &recorded.value[1..];
        assert_eq!(Body::encode(values).unwrap().decode().unwrap(), values, "{}", recorded.from);
    }
}

/// The tag that a request has in the protocol.
fn tag(request: &Request) -> String {
    match request {
        Request::Monitor(_) => "mon1",
        Request::Unmonitor(_) => "mon0",
        Request::Died(..) => "kil0",
        Request::Kill(..) => "kil1",
        Request::Send(..) => "snd",
        Request::Can(..) => "can",
        Request::Time(..) => "time",
        Request::Eval(..) => "eval",
        Request::Nothing => "",
        Request::Spawn { .. } => "AnyEvent::MP::_spawn",
        Request::Mesh(request) => match request {
            MeshRequest::Slave(_) => "g_slave",
            MeshRequest::Global => "g_global",
            MeshRequest::Set(_) => "g_set",
            MeshRequest::Update(..) => "g_upd",
            MeshRequest::Find(_) => "g_find",
            MeshRequest::Found(..) => "g_found",
            MeshRequest::Family(..) => "g_db_family",
            MeshRequest::Keys(..) => "g_db_keys",
            MeshRequest::Values(..) => "g_db_values",
            MeshRequest::Reply(..) => "g_reply",
            MeshRequest::Watch(_) => "g_mon1",
            MeshRequest::Unwatch(_) => "g_mon0",
            MeshRequest::Content(..) => "g_chg1",
            MeshRequest::Changed(..) => "g_chg2",
            MeshRequest::FoundRelayed(..) => unreachable!("a Perl node does not know x_found"),
        },
        Request::Relay(_) => unreachable!("a Perl node carries nothing"),
        Request::Call(function, _) => function,
    }
    .into()
}

#[test]
fn every_recorded_request_is_what_its_tag_says() {
    let mut seen = BTreeMap::new();
    for recorded in streams().iter().flat_map(|stream| &stream.messages) {
        let read = read_all(recorded.framing, &recorded.bytes);
        let Some(Frame::Message { port, body, .. }) = read.first() else { continue };
        if !port.is_empty() {
            continue;
        }
        let request: Result<Request, RequestError> = Request::decode(body);
        let request = request.unwrap_or_else(|error| panic!("{}: {error}", recorded.from));
        let expected = recorded.value.get(1).and_then(Value::to_name).unwrap_or_default();
        let expected = if expected == "devnull" { String::new() } else { expected };
        assert_eq!(tag(&request), expected, "{}", recorded.from);
        assert_eq!(Request::decode(&request.encode().unwrap()).as_ref(), Ok(&request), "{}", recorded.from);
        *seen.entry(expected).or_insert(0) += 1;
    }
    let calls: Vec<_> = seen.keys().filter(|tag| tag.contains("::") || tag.contains("no_such")).collect();
    assert_eq!(calls, ["AnyEvent::MP::_spawn", "No::Such::func", "main::callme", "no_such_tag"]);
    assert_eq!(seen.len(), 27, "{seen:?}");
}

#[test]
fn our_requests_are_the_same_values_as_those_of_perl() {
    for recorded in streams().iter().flat_map(|stream| &stream.messages) {
        // A client wrote text there, and Perl sends text back as text.
        if !recorded.same_bytes || recorded.from == "text_strings_cbor.json" {
            continue;
        }
        let read = read_all(recorded.framing, &recorded.bytes);
        let Some(Frame::Message { port, body, .. }) = read.first() else { continue };
        if !port.is_empty() {
            continue;
        }
        let request = Request::decode(body).expect("a request");
        let ours = request.encode().unwrap().decode().unwrap();
        let theirs = body.decode().unwrap();
        match request {
            // Our changes always have a map and a list, devnull is the shorter nothing.
            Request::Mesh(MeshRequest::Update(..)) => assert_eq!(ours[..2], theirs[..2]),
            Request::Nothing => assert_eq!(ours, [Value::name("")]),
            _ => assert_eq!(ours, theirs, "{}", recorded.from),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn recorded_streams_are_read_in_any_pieces(
        which in any::<prop::sample::Index>(), pieces in prop::collection::vec(1usize..60, 1..20),
    ) {
        let streams = streams();
        let stream = &streams[which.index(streams.len())];
        let (frames, error) =
            read_in_pieces(stream.messages[0].framing, Limits::default(), &stream.bytes, &pieces);
        prop_assert_eq!(error, None);
        prop_assert_eq!(frames.len(), stream.messages.len());
        frames.iter().zip(&stream.messages).for_each(|(frame, recorded)| assert_is(frame, recorded));
    }
}
