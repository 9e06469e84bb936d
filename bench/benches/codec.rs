//! Messages to bytes and back: typed and untyped bodies, and the frames of every framing.

use aemp::{AnyMessage, Body, FromMessage, IntoMessage, Message, PortId, ReplyTo, Value};
use aemp_proto::wire::{FrameReader, Framing, Limits, reframe, write_message};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// Messages in a batch that is read at once.
const BATCH: u64 = 64;

#[derive(Serialize, Deserialize, Message)]
enum Order {
    Book { id: u64, amount: f64, remark: String, reply: ReplyTo<bool> },
}

fn order() -> Order {
    let port: PortId = "shop/1#abcdefgh1".parse().expect("a port ID");
    Order::Book { id: 815, amount: 47.11, remark: "to the back door".into(), reply: ReplyTo::new(port) }
}

fn body() -> Body {
    order().encode().expect("it encodes")
}

fn bodies(c: &mut Criterion) {
    let (typed, body) = (order(), body());
    let untyped = AnyMessage::decode(&body).expect("it decodes");
    let tuple = ("book", 815, 47.11, "to the back door");
    let mut group = c.benchmark_group("body");
    group.bench_function("encode/typed", |b| b.iter(|| black_box(&typed).encode()));
    group.bench_function("encode/tuple", |b| b.iter(|| black_box(&tuple).encode()));
    group.bench_function("encode/untyped", |b| b.iter(|| black_box(&untyped).encode()));
    group.bench_function("decode/typed", |b| b.iter(|| Order::decode(black_box(&body))));
    group.bench_function("decode/untyped", |b| b.iter(|| AnyMessage::decode(black_box(&body))));
    for size in [64, 4096, 65_536] {
        let data = AnyMessage(vec![Value::from("data"), Value::from(bytes::Bytes::from(vec![7; size]))]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("encode/bytes/{size}"), |b| b.iter(|| black_box(&data).encode()));
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    let body = body();
    let mut records = Vec::new();
    for seq in 0..BATCH {
        write_message(&mut records, seq, "abcdefgh1", &body).expect("it fits a frame");
    }
    let mut group = c.benchmark_group("frames");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("append/native", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            for seq in 0..BATCH {
                write_message(&mut out, seq, "abcdefgh1", black_box(&body)).expect("it fits a frame");
            }
        });
    });
    for framing in Framing::ALL {
        let mut bytes = Vec::new();
        reframe(&records, framing, &mut bytes).expect("its own frames");
        group.bench_function(format!("write/{}", framing.as_str()), |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                reframe(black_box(&records), framing, &mut out).expect("its own frames");
            });
        });
        group.bench_function(format!("read/{}", framing.as_str()), |b| {
            let mut reader = FrameReader::new(framing, Limits::DEFAULT);
            b.iter(|| {
                reader.expect(0);
                reader.buffer().extend_from_slice(black_box(&bytes));
                while let Some(frame) = reader.next().expect("a good frame") {
                    black_box(frame);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(codec, bodies, frames);
criterion_main!(codec);
