//! What must hold for any log records of another node. A fuzz target and the test that replays its
//! corpus call this.

use std::time::{Duration, UNIX_EPOCH};

use aemp::log::{Level, is_plain};
use aemp::{AnyMessage, Context, Node, PortId, Reason, Value};
use aemp_proto::wire::{Body, Frame, FrameReader, Framing, Limits};

const CONNECT: &str = "AnyEvent::MP::LogCatcher::connect";

const LIMITS: Limits = Limits::DEFAULT.frame(1 << 16).depth(64);

/// Longer than two nodes on one busy machine take to connect and to tell each other something.
const SOON: Duration = Duration::from_secs(20);

/// The text of the record behind all others.
const LAST: &str = "the last one";

/// Bytes read as messages that a node sends to a log catcher as its records: each is shown as one
/// line of limited length without characters that steer a terminal, with a time that a calendar
/// has, and the catcher goes on behind each.
pub(crate) fn catch(bytes: &[u8]) {
    let mut reader = FrameReader::new(Framing::Cbor, LIMITS);
    reader.buffer().extend_from_slice(bytes);
    let mut records: Vec<Body> = Vec::new();
    while let Ok(Some(frame)) = reader.next() {
        if let Frame::Message { body, .. } = frame {
            records.push(body);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut catchers) = tokio::sync::mpsc::unbounded_channel();
        let connect = move |cx: &mut Context<'_>, AnyMessage(arguments): AnyMessage| {
            let port = arguments.get(1).and_then(Value::to_name).and_then(|port| PortId::parse(&port).ok());
            cx.receive(|_, _: AnyMessage| {});
            sender.send(port.expect("a catcher names its port")).map_err(Reason::died)
        };
        let logging =
            Node::builder().id("logging").secret("s").bind("127.0.0.1:0").function(CONNECT, connect);
        let logging = logging.start().await.expect("it starts");
        let catching = Node::builder().id("catching").secret("s").seed(logging.local_addrs()[0].to_string());
        let catching = catching.start().await.expect("it starts");
        let mut catcher = catching.catch_logs(Level::Trace);
        let port = tokio::time::timeout(SOON, catchers.recv()).await.expect("it is asked").expect("a port");
        for record in records {
            logging.send(&port, record).expect("it is small");
        }
        let last = (1.0e9, "test", 5, LAST);
        logging.send(&port, last).expect("it is small");
        loop {
            let record =
                tokio::time::timeout(SOON, catcher.next()).await.expect("it comes").expect("a record");
            if record.text == LAST {
                break;
            }
            check(&record);
        }
        catching.shutdown().await;
        logging.shutdown().await;
    });
}

fn check(record: &aemp::log::Record) {
    let shown = record.to_string();
    assert!(shown.chars().all(is_plain), "{shown:?}");
    assert!(shown.len() <= 128 << 10, "{} bytes", shown.len());
    let far = UNIX_EPOCH + Duration::from_secs(8000 * 366 * 24 * 3600);
    for time in [record.time, record.own_time()] {
        assert!((UNIX_EPOCH..far).contains(&time), "{time:?}");
    }
    record.log();
}
