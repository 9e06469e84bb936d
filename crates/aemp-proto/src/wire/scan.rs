//! Where a CBOR item ends, and whether it is well formed.
//!
//! The scanner looks at each byte once, no matter what the pieces in which they arrive: it stops at
//! the head of an item that is not complete and goes on there. Its stack has one entry for each
//! open list, map or tag.

use super::error::{FrameError, Malformed};
use super::limits::Limits;

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;
pub(crate) const SIMPLE: u8 = 7;

const INDEFINITE: u8 = 31;

/// What an item begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// The major type, 0–7.
    pub(crate) major: u8,
    /// The low five bits of the first byte.
    pub(crate) info: u8,
    /// The number that they or the following bytes hold.
    pub(crate) argument: u64,
    /// The bytes of the head.
    pub(crate) len: usize,
}

impl Head {
    pub(crate) fn is_indefinite(&self) -> bool {
        self.info == INDEFINITE
    }

    fn is_break(&self) -> bool {
        self.major == SIMPLE && self.info == INDEFINITE
    }
}

/// Reads the head of an item; `None` if it is not complete.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..24 => return Ok(Some(Head { major, info, argument: u64::from(info), len: 1 })),
        24..=27 => 1 << (info - 24),
        INDEFINITE if matches!(major, BYTES | TEXT | ARRAY | MAP | SIMPLE) => {
            return Ok(Some(Head { major, info, argument: 0, len: 1 }));
        }
        _ => return Err("reserved length of a CBOR item"),
    };
    let Some(bytes) = bytes.get(1..1 + width) else { return Ok(None) };
    let argument = bytes.iter().fold(0u64, |number, &b| number << 8 | u64::from(b));
    if major == SIMPLE && info == 24 && argument < 32 {
        return Err("simple CBOR value in the wrong form");
    }
    Ok(Some(Head { major, info, argument, len: 1 + width }))
}

/// Writes a head in its shortest form, and says how many of the nine bytes it has.
#[inline]
pub(crate) fn shortest_head(major: u8, argument: u64) -> ([u8; 9], usize) {
    let mut bytes = [0u8; 9];
    if argument < 24 {
        bytes[0] = major << 5 | argument as u8;
        return (bytes, 1);
    }
    let (info, width) = match argument {
        0..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    bytes[0] = major << 5 | info;
    bytes[1..=width].copy_from_slice(&argument.to_be_bytes()[8 - width..]);
    (bytes, 1 + width)
}

/// One open item.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// A list, map or tag that needs this many more items.
    Definite(u64),
    /// A list up to the break.
    List,
    /// A map up to the break; whether a key came whose value is due.
    Map { value_due: bool },
    /// Pieces of a string of this major type up to the break.
    Pieces(u8),
}

/// Finds the end of one item after the other.
#[derive(Debug)]
pub(crate) struct Scanner {
    open: Vec<Open>,
    frame_limit: usize,
    depth_limit: usize,
}

impl Scanner {
    pub(crate) fn new(limits: Limits) -> Scanner {
        let frame_limit = if limits.frame == 0 { usize::MAX } else { limits.frame };
        Scanner { open: Vec::new(), frame_limit, depth_limit: limits.depth.min(Limits::DEPTH_MAX) }
    }

    /// Goes on at `*at` with an item that began at `start`. Moves `*at` behind what was understood;
    /// true if that is the end of the item.
    pub(crate) fn advance(&mut self, input: &[u8], start: usize, at: &mut usize) -> Result<bool, FrameError> {
        loop {
            let malformed = |what| Malformed { at: *at - start, what };
            let Some(head) = head(&input[*at..]).map_err(malformed)? else { return Ok(false) };
            let used = *at - start + head.len;
            if let Some(&Open::Pieces(major)) = self.open.last()
                && !head.is_break()
                && (head.major != major || head.is_indefinite())
            {
                return Err(malformed("a string has a piece of another type").into());
            }
            let complete = match head.major {
                UNSIGNED | NEGATIVE => true,
                BYTES | TEXT if head.is_indefinite() => {
                    self.open(Open::Pieces(head.major))?;
                    false
                }
                BYTES | TEXT => {
                    self.check_length(used, head.argument)?;
                    let from = *at + head.len;
                    // The argument is within the limit, and so within usize, only now.
                    let Some(string) = input.get(from..from.saturating_add(head.argument as usize)) else {
                        return Ok(false);
                    };
                    if head.major == TEXT && std::str::from_utf8(string).is_err() {
                        return Err(malformed("text that is not UTF-8").into());
                    }
                    *at += string.len();
                    !matches!(self.open.last(), Some(Open::Pieces(_)))
                }
                ARRAY | MAP | TAG => self.open_items(&head, used)?,
                _ if head.is_break() => {
                    self.close().map_err(malformed)?;
                    true
                }
                _ => true,
            };
            self.check_length(used, 0)?;
            *at += head.len;
            if complete && self.completed() {
                return Ok(true);
            }
        }
    }

    /// Opens a list, map or tag; true if it is empty and so complete.
    fn open_items(&mut self, head: &Head, used: usize) -> Result<bool, FrameError> {
        let open = match (head.major, head.is_indefinite()) {
            (ARRAY, true) => Open::List,
            (_, true) => Open::Map { value_due: false },
            (TAG, false) => Open::Definite(1),
            (major, false) => {
                let items = head.argument.saturating_mul(if major == MAP { 2 } else { 1 });
                // Each item has one byte at least.
                self.check_length(used, items)?;
                if items == 0 {
                    self.check_depth()?;
                    return Ok(true);
                }
                Open::Definite(items)
            }
        };
        self.open(open)?;
        Ok(false)
    }

    fn open(&mut self, open: Open) -> Result<(), FrameError> {
        if !matches!(open, Open::Pieces(_)) {
            self.check_depth()?;
        }
        self.open.push(open);
        Ok(())
    }

    fn check_depth(&self) -> Result<(), FrameError> {
        if self.open.len() >= self.depth_limit {
            return Err(FrameError::TooDeep { limit: self.depth_limit });
        }
        Ok(())
    }

    fn check_length(&self, used: usize, more: u64) -> Result<(), FrameError> {
        match usize::try_from(more).ok().and_then(|more| used.checked_add(more)) {
            Some(len) if len <= self.frame_limit => Ok(()),
            _ => Err(FrameError::TooLong { limit: self.frame_limit }),
        }
    }

    /// A break: ends what is open up to it.
    fn close(&mut self) -> Result<(), &'static str> {
        match self.open.pop() {
            Some(Open::List | Open::Pieces(_) | Open::Map { value_due: false }) => Ok(()),
            Some(Open::Map { value_due: true }) => Err("a map ends after a key"),
            Some(Open::Definite(_)) | None => Err("a break where nothing is open"),
        }
    }

    /// Counts a complete item where it belongs; true if nothing is open any more.
    fn completed(&mut self) -> bool {
        while let Some(open) = self.open.last_mut() {
            match open {
                Open::Definite(left) if *left > 1 => {
                    *left -= 1;
                    return false;
                }
                Open::Definite(_) => {
                    self.open.pop();
                }
                Open::Map { value_due } => {
                    *value_due = !*value_due;
                    return false;
                }
                Open::List | Open::Pieces(_) => return false,
            }
        }
        true
    }
}

/// Where the item ends that begins at `at`, if it is one of those that most values are: a number, a
/// truth value, null or a short byte string, complete. For everything else there is [`Scanner`].
#[inline]
pub(crate) fn end_of_simple(bytes: &[u8], at: usize) -> Option<usize> {
    let len = SIMPLE_LEN[usize::from(*bytes.get(at)?)];
    let end = at + usize::from(len);
    (len > 0 && end <= bytes.len()).then_some(end)
}

/// How long such an item is, by its first byte; 0 for all others.
const SIMPLE_LEN: [u8; 256] = {
    let mut lens = [0; 256];
    let mut first = 0;
    while first < lens.len() {
        lens[first] = match first {
            0x00..=0x17 | 0x20..=0x37 | 0xf4..=0xf7 => 1,
            0x18..=0x1b => 1 + (1 << (first - 0x18)),
            0x38..=0x3b => 1 + (1 << (first - 0x38)),
            0x40..=0x57 => 1 + (first - 0x40) as u8,
            0xfa => 5,
            0xfb => 9,
            _ => 0,
        };
        first += 1;
    }
    lens
};

/// How many complete items `bytes` hold, one after the other with nothing behind.
pub(crate) fn count_items(bytes: &[u8], limits: Limits) -> Result<u64, FrameError> {
    let mut scanner = Scanner::new(limits);
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        if !scanner.advance(bytes, 0, &mut at)? {
            return Err(Malformed { at, what: "the last value is not complete" }.into());
        }
        count += 1;
    }
    Ok(count)
}

/// Where the first item ends; `None` if there is no complete one.
pub(crate) fn item_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let unlimited = Limits { frame: 0, depth: Limits::DEPTH_MAX };
    Scanner::new(unlimited).advance(bytes, 0, &mut at).ok()?.then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_simple_ends_where_the_scanner_says() {
        let mut simple = 0;
        for first in 0..=u8::MAX {
            let mut bytes = [0u8; 64];
            bytes[0] = first;
            for len in 0..bytes.len() {
                let mut at = 0;
                let found = Scanner::new(Limits::DEFAULT).advance(&bytes[..len], 0, &mut at);
                if let Some(end) = end_of_simple(&bytes[..len], 0) {
                    simple += 1;
                    assert_eq!((found, at), (Ok(true), end), "{first:#04x} {len}");
                }
            }
        }
        assert!(simple > 0);
    }
}
