//! What waits for a port, in its order.
//!
//! Each place for an item always holds one, if only [`Item::None`]: so an item is written to its
//! place word by word, as it is made, and is never copied as a whole from somewhere else where it
//! was written just before. Such copies had to wait for the words to arrive, which made up a tenth
//! of a local message.

use std::mem;

use aemp_proto::Body;

use super::encoded::Encoded;
use super::host::Host;
use super::mailbox::Signal;
use crate::message::{DecodeError, FromMessage};

/// Room for this many items is kept however few come.
pub const KEPT: usize = 1024;

/// Whether there is room for far more than is needed.
fn is_far_more(room: usize, needed: usize) -> bool {
    room > KEPT && room / 8 > needed
}

/// Places that there are at first.
const FIRST: usize = 4;

/// The place of the first item: there is always one more in front.
const START: usize = 1;

/// One thing that waits in a mailbox.
pub enum Item<H: Host, M> {
    /// Nothing: a place without an item.
    None,
    /// A message of the port's own type, moved.
    Message(M),
    /// This many messages in their wire form; what is taken out is one of them, for
    /// [`Items::decode`] or [`Items::body`].
    Encoded(u32),
    /// Anything rarer.
    Signal(Box<Signal<H>>),
}

/// Items in their order. They are added first, and taken out afterwards. Encoded messages, which
/// are large, stand in a row of their own: a queue of small messages is small.
pub struct Items<H: Host, M> {
    places: Box<[Item<H, M>]>,
    /// The first one that was not taken out.
    next: usize,
    /// Behind the last one.
    end: usize,
    encoded: Option<Box<Encoded>>,
}

impl<H: Host, M> Default for Items<H, M> {
    fn default() -> Items<H, M> {
        Items { places: Box::default(), next: START, end: START, encoded: None }
    }
}

impl<H: Host, M> Items<H, M> {
    /// Adds an item behind the others.
    #[inline(always)]
    pub fn push(&mut self, item: Item<H, M>) {
        match self.places.get_mut(self.end) {
            // What was there needs no drop.
            Some(place) => mem::forget(mem::replace(place, item)),
            None => return self.push_to_more(item),
        }
        self.end += 1;
    }

    #[cold]
    #[inline(never)]
    fn push_to_more(&mut self, item: Item<H, M>) {
        let mut places = mem::take(&mut self.places).into_vec();
        let room = (2 * places.len()).max(FIRST);
        places.reserve_exact(room - places.len());
        places.resize_with(room, || Item::None);
        places[self.end] = item;
        self.places = places.into_boxed_slice();
        self.end += 1;
    }

    /// Takes the first item out.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Item<H, M>> {
        if self.next == self.end {
            return None;
        }
        let place = self.places.get_mut(self.next)?;
        if let Item::Encoded(left @ 2..) = place {
            *left -= 1;
            return Some(Item::Encoded(1));
        }
        self.next += 1;
        Some(mem::replace(place, Item::None))
    }

    /// Puts the item back that was taken out last, or what it has become: it is the first one
    /// again.
    #[inline(always)]
    pub fn put_back(&mut self, item: Item<H, M>) {
        self.next -= 1;
        if let Some(place) = self.places.get_mut(self.next) {
            *place = item;
        }
    }

    /// Whether all were taken out.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.next == self.end
    }

    /// Items that there is room for.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.places.len()
    }

    /// The same for encoded ones.
    #[cfg(test)]
    pub fn encoded_room(&self) -> usize {
        self.encoded.as_ref().map_or(0, |encoded| encoded.filling().1)
    }

    /// Begins anew, when all items were taken out. The memory of a burst is given back, if
    /// `others`, which are what came meanwhile, need far less.
    #[inline]
    pub fn renew(&mut self, others: &Items<H, M>) {
        debug_assert!(self.is_empty());
        (self.next, self.end) = (START, START);
        if self.places.len() > KEPT || self.encoded.is_some() {
            self.give_back(others);
        }
    }

    fn give_back(&mut self, others: &Items<H, M>) {
        if is_far_more(self.places.len(), others.end - others.next) {
            self.places = Box::default();
        }
        let filling =
            |items: &Items<H, M>| items.encoded.as_ref().map_or((0, 0), |encoded| encoded.filling());
        if is_far_more(filling(self).1, filling(others).0) {
            self.encoded = None;
        }
    }

    /// The encoded message whose item was taken out.
    pub fn body(&mut self) -> Option<Body> {
        self.encoded.as_mut()?.take(|body| body, |bytes, span| span.body(bytes))
    }

    /// A place for encoded messages, of which `count` are going to be added.
    pub fn encoded(&mut self, count: u32) -> &mut Encoded {
        let last = self.places.get_mut(self.next..self.end).and_then(<[_]>::last_mut);
        match last {
            Some(Item::Encoded(others)) if count <= u32::MAX - *others => *others += count,
            _ => self.push(Item::Encoded(count)),
        }
        self.encoded.get_or_insert_default()
    }
}

impl<H: Host, M: FromMessage> Items<H, M> {
    /// As [`Items::body`], as the port's own type.
    #[inline]
    pub fn decode(&mut self) -> Option<Result<M, DecodeError>> {
        self.encoded.as_mut()?.take(|body| M::decode(&body), M::decode_at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::test_host::Alone;

    proptest! {
        #[test]
        fn items_come_out_as_they_went_in(turns in prop::collection::vec((0..100usize, 0..100usize), 1..20)) {
            let (mut items, mut expected) = (Items::<Alone, usize>::default(), VecDeque::new());
            let mut next = 0;
            for (add, take) in turns {
                for _ in 0..add {
                    items.push(Item::Message(next));
                    expected.push_back(next);
                    next += 1;
                }
                for _ in 0..take {
                    let item = match items.pop() {
                        Some(Item::Message(n)) => Some(n),
                        _ => None,
                    };
                    prop_assert_eq!(item, expected.pop_front());
                    prop_assert_eq!(items.is_empty(), expected.is_empty());
                }
                if items.is_empty() {
                    items.renew(&Items::default());
                }
            }
        }
    }
}
