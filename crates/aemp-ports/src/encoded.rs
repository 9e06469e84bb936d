//! Messages in their wire form that wait for a port: the bytes of many of them are shared, and
//! counted once.

use std::collections::VecDeque;

use aemp_proto::Body;
use aemp_proto::wire::Span;
use bytes::Bytes;

/// Encoded messages in their order.
#[derive(Default)]
pub struct Encoded {
    shares: VecDeque<Share>,
    /// The messages of all shares but whole ones.
    spans: VecDeque<Span>,
}

/// Bytes, and how many messages that wait lie in them.
enum Share {
    Whole(Body),
    Parts { bytes: Bytes, left: usize },
}

impl Encoded {
    /// How many messages there are, but for whole ones, and how many there is room for.
    pub fn filling(&self) -> (usize, usize) {
        (self.spans.len().max(self.shares.len()), self.spans.capacity().max(self.shares.capacity()))
    }

    /// Adds a message behind the others.
    pub fn push(&mut self, body: Body) {
        self.shares.push_back(Share::Whole(body));
    }

    /// Adds messages that lie in these bytes, and leaves `spans` empty.
    pub fn push_spans(&mut self, bytes: &Bytes, spans: &mut Vec<Span>) {
        if !spans.is_empty() {
            self.shares.push_back(Share::Parts { bytes: bytes.clone(), left: spans.len() });
            self.spans.extend(spans.drain(..));
        }
    }

    /// Takes the first one out, to be looked at where it lies.
    #[inline]
    pub fn take<T>(
        &mut self,
        whole: impl FnOnce(Body) -> T,
        part: impl FnOnce(&Bytes, Span) -> T,
    ) -> Option<T> {
        let Share::Parts { bytes, left } = self.shares.front_mut()? else {
            return match self.shares.pop_front()? {
                Share::Whole(body) => Some(whole(body)),
                Share::Parts { .. } => None,
            };
        };
        let taken = part(bytes, self.spans.pop_front()?);
        *left -= 1;
        if *left == 0 {
            self.shares.pop_front();
        }
        Some(taken)
    }
}
