//! What the tests of the wire share: values at random, and reading a stream in pieces.

#![allow(dead_code)] // each test program uses some of it

use aemp_proto::Value;
use aemp_proto::wire::{Frame, FrameError, FrameReader, Framing, Limits};
use proptest::prelude::*;

/// Values of every kind, as deep as four levels.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    values(any::<f64>().boxed(), true)
}

/// Values that JSON carries without change.
pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("finite", |float| float.is_finite());
    values(finite.boxed(), false)
}

fn values(floats: BoxedStrategy<f64>, all: bool) -> impl Strategy<Value = Value> {
    let integers = prop_oneof![
        any::<i8>().prop_map(i128::from),
        any::<i64>().prop_map(i128::from),
        any::<u64>().prop_map(i128::from),
        any::<u64>().prop_map(move |n| if all { -1 - i128::from(n) } else { 0 }),
    ];
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        integers.prop_map(Value::Int),
        floats.prop_map(Value::Float),
        ".{0,20}".prop_map(Value::Text),
        bytes.prop_map(move |o| if all { Value::Bytes(o.into()) } else { Value::Null }),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let key = if all { inner.clone().boxed() } else { ".{0,8}".prop_map(Value::Text).boxed() };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((key, inner.clone()), 0..6).prop_map(Value::Map),
            (any::<u64>(), inner).prop_map(move |(tag, content)| {
                if all { Value::Tag(tag, Box::new(content)) } else { content }
            }),
        ]
    })
}

/// Reads all frames of a stream that arrives in pieces of these lengths, again and again.
pub(crate) fn read_in_pieces(
    framing: Framing,
    limits: Limits,
    stream: &[u8],
    pieces: &[usize],
) -> (Vec<Frame>, Option<FrameError>) {
    let mut reader = FrameReader::new(framing, limits);
    let mut frames = Vec::new();
    let mut left = stream;
    let mut lengths = pieces.iter().cycle();
    while !left.is_empty() {
        let len = lengths.next().map_or(left.len(), |&len| len.clamp(1, left.len()));
        let (piece, rest) = left.split_at(len);
        reader.buffer().extend_from_slice(piece);
        left = rest;
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Reads all frames of a stream, which has to be in order.
pub(crate) fn read_all(framing: Framing, stream: &[u8]) -> Vec<Frame> {
    let (frames, error) = read_in_pieces(framing, Limits::default(), stream, &[]);
    assert_eq!(error, None);
    frames
}

/// The destination and the values of a message.
pub(crate) fn message(frame: &Frame) -> (String, Vec<Value>) {
    match frame {
        Frame::Message { port, body, .. } => {
            (port.to_string(), body.decode().expect("checked by the reader"))
        }
        other => panic!("{other:?} is not a message"),
    }
}
