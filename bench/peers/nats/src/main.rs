//! async-nats through the server at `NATS_URL`: every message crosses loopback twice.

use std::time::Instant;

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use peer_harness::{ACK_EVERY, Measured, PAYLOAD, Peer, Task, WINDOW, ready};

/// What a message is: one of many, a question how many have come, one that is sent back, an answer,
/// an acknowledgement.
const COUNT: u8 = 1;
const HOW_MANY: u8 = 2;
const PING: u8 = 3;
const SO_MANY: u8 = 4;
const ACK: u8 = 5;

async fn connect() -> Client {
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:14222".into());
    let options = async_nats::ConnectOptions::new().subscription_capacity(4_000_000);
    options.connect(url).await.expect("the server listens")
}

fn message(tag: u8, number: u64) -> Bytes {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[1..9].try_into().expect("eight bytes"))
}

async fn far_end() {
    let client = connect().await;
    let mut messages = client.subscribe("far").await.expect("it connects");
    client.flush().await.expect("it connects");
    ready("ok");
    let mut seen = 0;
    while let Some(came) = messages.next().await {
        let sent = match came.payload[0] {
            HOW_MANY => client.publish("near", message(SO_MANY, seen)).await,
            PING => client.publish(came.reply.expect("a request"), came.payload).await,
            _ => {
                seen += 1;
                if came.payload.len() < PAYLOAD || seen % ACK_EVERY != 0 {
                    continue;
                }
                client.publish("near", message(ACK, seen)).await
            }
        };
        sent.expect("it is connected");
    }
}

async fn send(client: &Client, bytes: Bytes) {
    client.publish("far", bytes).await.expect("it is connected");
}

async fn all_came(client: &Client, answers: &mut Subscriber, count: u64) {
    send(client, message(HOW_MANY, 0)).await;
    loop {
        let answer = answers.next().await.expect("it is connected").payload;
        if answer[0] == SO_MANY {
            return assert_eq!(number(&answer), count, "nothing is lost");
        }
    }
}

async fn measure(workload: &str, count: u64) -> Option<Measured> {
    let client = connect().await;
    let mut answers = client.subscribe("near").await.expect("it connects");
    client.flush().await.expect("it connects");
    let began = Instant::now();
    Some(match workload {
        "r1" => {
            for n in 0..count {
                send(&client, message(COUNT, n)).await;
            }
            all_came(&client, &mut answers, count).await;
            Measured::since(began, count)
        }
        "r2" => {
            let mut times = Vec::with_capacity(count as usize);
            for n in 0..count {
                let sent = Instant::now();
                let answer = client.request("far", message(PING, n)).await.expect("it is answered");
                assert_eq!(number(&answer.payload), n);
                times.push(sent.elapsed().as_nanos() as u32);
            }
            Measured::since(began, count).with_times(times)
        }
        "r3" => {
            let payload = Bytes::from(vec![7; PAYLOAD]);
            let mut seen = 0;
            for n in 0..count {
                while n - seen >= WINDOW {
                    seen = number(&answers.next().await.expect("it is connected").payload);
                }
                send(&client, payload.clone()).await;
            }
            all_came(&client, &mut answers, count).await;
            Measured::since(began, count).megabytes(count * PAYLOAD as u64)
        }
        _ => return None,
    })
}

fn main() {
    let task = Task::from_arguments();
    let Some(count) = task.count else { return task.on_runtime(far_end()) };
    let peer = Peer::start(&task);
    let workload = task.workload.clone();
    let measured = task.on_runtime(async move { measure(&workload, count).await });
    drop(peer);
    task.report(measured)
}
