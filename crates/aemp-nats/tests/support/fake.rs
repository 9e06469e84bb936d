//! A small broker of our own that speaks as much NATS as nodes need, and does with what it passes
//! on what a test wants: it alters, repeats, swaps and forges.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What becomes of one message: those that are delivered in its place.
pub(crate) type Mischief = Box<dyn FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// The broker. It ends with the runtime.
pub(crate) struct Fake {
    address: SocketAddr,
}

type Out = mpsc::UnboundedSender<Vec<u8>>;

struct Broker {
    next: u64,
    /// By client and number: the subject, and the way to the client.
    subscriptions: HashMap<(u64, String), (String, Out)>,
    mischief: Mischief,
}

impl Fake {
    pub(crate) async fn start(mischief: Mischief) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broker = Broker { next: 0, subscriptions: HashMap::new(), mischief };
        let broker = Arc::new(Mutex::new(broker));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, broker.clone()));
            }
        });
        Fake { address }
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://{}", self.address)
    }
}

const INFO: &str = r#"INFO {"server_id":"F","server_name":"F","version":"2.9.10","proto":1,"host":"127.0.0.1","port":4222,"headers":true,"max_payload":1048576,"client_id":1}"#;

async fn serve(stream: TcpStream, broker: Arc<Mutex<Broker>>) {
    let (reader, mut writer) = stream.into_split();
    let (out, mut messages) = mpsc::unbounded_channel::<Vec<u8>>();
    let client = {
        let mut broker = broker.lock();
        broker.next += 1;
        broker.next
    };
    out.send(format!("{INFO}\r\n").into_bytes()).unwrap();
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if writer.write_all(&message).await.is_err() {
                return;
            }
        }
    });
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while reader.read_line(&mut line).await.is_ok_and(|count| count > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["PING"] => drop(out.send(b"PONG\r\n".to_vec())),
            ["SUB", subject, number] => {
                let subscription = (subject.into(), out.clone());
                broker.lock().subscriptions.insert((client, number.into()), subscription);
            }
            ["PUB", subject, .., len] => {
                let reply = (words.len() == 4).then(|| words[2]);
                let mut payload = vec![0; len.parse::<usize>().unwrap() + 2];
                reader.read_exact(&mut payload).await.unwrap();
                payload.truncate(payload.len() - 2);
                broker.lock().publish(subject, reply, payload, &out);
            }
            _ => {}
        }
        line.clear();
    }
    broker.lock().subscriptions.retain(|(of, _), _| *of != client);
}

impl Broker {
    fn publish(&mut self, subject: &str, reply: Option<&str>, payload: Vec<u8>, from: &Out) {
        let node = subject.rsplit_once('.').map_or(subject, |(node, _)| node);
        let is_for = |to: &str| to == subject || to.strip_suffix(".*") == Some(node);
        let find = |to: &str| self.subscriptions.iter().find(|(_, (subject, _))| subject == to);
        let found = self.subscriptions.iter().find(|(_, (subject, _))| is_for(subject));
        let Some(((_, number), (_, out))) = found else {
            // Nobody is there; who asks is told.
            let own = reply.and_then(|reply| reply.rsplit_once('.')).map(|(own, _)| format!("{own}.*"));
            if let (Some(reply), Some(((_, number), _))) = (reply, own.and_then(|own| find(&own))) {
                let header = "NATS/1.0 503\r\n\r\n";
                let len = header.len();
                let _ = from.send(format!("HMSG {reply} {number} {len} {len}\r\n{header}\r\n").into());
            }
            return;
        };
        for payload in (self.mischief)(payload) {
            let mut message = format!("MSG {subject} {number} {}\r\n", payload.len()).into_bytes();
            message.extend_from_slice(&payload);
            message.extend_from_slice(b"\r\n");
            let _ = out.send(message);
        }
    }
}
