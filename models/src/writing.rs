//! An outbox that several threads add to and write from, and the link's writer, which sleeps when
//! nothing is left.

use aemp_proto::kernel::LinkId;
use aemp_proto::outbox::{Outbox, OutboxLimits, Queued};
use aemp_proto::wire::{Frame, FrameReader, Limits, Records};
use aemp_proto::{Body, Framing, NodeId, PortId, Value};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::write_turn::WriteTurn;
use crate::check;
use crate::stand_ins::Interruption;
use crate::sync::{Mutex, MutexGuard};

/// What was written to the socket.
#[derive(Default)]
struct Socket(Vec<u8>);

/// A link, and the outbox that it drains.
struct Link {
    id: LinkId,
    port: PortId,
    outbox: Mutex<Outbox<()>>,
    turn: WriteTurn<Socket>,
    wake: Notify,
    interruption: Interruption,
}

impl Link {
    fn new() -> Link {
        let node = NodeId::new("far").expect("a node ID");
        let id = LinkId::accepted(1);
        let mut outbox = Outbox::new(node.clone(), OutboxLimits::default());
        outbox.attach(id, Framing::Native);
        Link {
            id,
            port: node.named("port"),
            outbox: Mutex::new(outbox),
            turn: WriteTurn::default(),
            wake: Notify::new(),
            interruption: Interruption::new(),
        }
    }

    /// Adds a message, and writes it unless somebody else does.
    fn send(&self, n: i64) {
        let body = Body::encode(&[n.into()]).expect("a number");
        let queued = self.outbox.lock().send(&self.port, &body);
        self.interruption.meet();
        match queued {
            Queued::Behind => {}
            Queued::Wake => self.turn.in_passing(|socket| self.flush(socket), || self.wake.notify()),
            other => panic!("{other:?}"),
        }
    }

    /// Writes what waits, one time as much as there is, and then what has come meanwhile. True if
    /// nothing is left.
    fn flush(&self, mut socket: MutexGuard<'_, Socket>) -> bool {
        for _ in 0..2 {
            let mut records = Records::default();
            assert!(self.outbox.lock().take(self.id, &mut records));
            if records.is_empty() {
                self.interruption.meet();
                return true;
            }
            records.pieces().for_each(|piece| socket.0.extend_from_slice(piece));
            self.outbox.lock().written(self.id, 0);
        }
        false
    }

    /// The numbers of what was written, in order.
    fn written(&self) -> Vec<i128> {
        let mut reader = FrameReader::new(Framing::Native, Limits::DEFAULT);
        reader.buffer().extend_from_slice(&self.turn.wait().0);
        let mut numbers = Vec::new();
        while reader.fill().expect("whole frames") {
            while let Some(frame) = reader.next().expect("frames") {
                if let Frame::Message { body, .. } = frame {
                    match body.decode().expect("a number").as_slice() {
                        [Value::Int(n)] => numbers.push(*n),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        numbers
    }
}

#[test]
pub(crate) fn what_two_threads_add_is_written_once_and_in_order() {
    check(2, || {
        let link = Arc::new(Link::new());
        let senders = [&[1, 2][..], &[11]].map(|numbers| {
            let link = link.clone();
            thread::spawn(move || {
                numbers.iter().for_each(|n| link.send(*n));
                if link.written().len() == 3 {
                    // The writer need not wait for more.
                    link.wake.notify();
                }
            })
        });
        while !(link.flush(link.turn.wait()) && link.written().len() == 3) {
            link.wake.wait();
        }
        for sender in senders {
            sender.join().expect("it ends");
        }
        let written = link.written();
        let place = |n| written.iter().position(|other| *other == n);
        assert!(place(1) < place(2) && place(11).is_some(), "{written:?}");
    });
}
