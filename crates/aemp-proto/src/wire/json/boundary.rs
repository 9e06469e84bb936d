//! Where a JSON text ends.

use bytes::{Buf, BytesMut};

use crate::wire::error::{FrameError, Malformed};
use crate::wire::limits::Limits;

/// Finds the end of an array, byte by byte, and counts the elements of all that is in it on the
/// way: CBOR says them in front. Whether the text is well formed shows when it is read.
#[derive(Debug)]
pub(crate) struct Boundary {
    /// How far the input has been looked at.
    at: usize,
    in_string: bool,
    escaped: bool,
    /// Elements of each array or object, in the order in which they open.
    counts: Vec<u32>,
    /// Of those that are open, the bracket that ends each, and its place in `counts`.
    open: Vec<(u8, usize)>,
    limits: Limits,
}

impl Boundary {
    pub(crate) fn new(limits: Limits) -> Boundary {
        let depth = limits.depth.min(Limits::DEPTH_MAX);
        let frame = if limits.frame == 0 { usize::MAX } else { limits.frame };
        Boundary {
            at: 0,
            in_string: false,
            escaped: false,
            counts: Vec::new(),
            open: Vec::new(),
            limits: Limits { frame, depth },
        }
    }

    /// How many elements the arrays and objects of the frame have, in the order in which they open.
    pub(crate) fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Begins with the next frame.
    pub(crate) fn restart(&mut self) {
        self.at = 0;
        self.counts.clear();
    }

    /// Goes on where it stopped; drops white space in front of the frame. Bytes of the frame, if it
    /// is complete.
    pub(crate) fn find(&mut self, input: &mut BytesMut) -> Result<Option<usize>, FrameError> {
        if self.at == 0 {
            let space = input.iter().take_while(|&&b| is_space(b)).count();
            input.advance(space);
            match input.first() {
                None => return Ok(None),
                Some(b'[') => {}
                Some(_) => return Err(Malformed { at: 0, what: "a message is not an array" }.into()),
            }
        }
        while let Some(&byte) = input.get(self.at) {
            if self.at >= self.limits.frame {
                return Err(FrameError::TooLong { limit: self.limits.frame });
            }
            self.at += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else if self.outside(byte)? {
                return Ok(Some(self.at));
            }
        }
        Ok(None)
    }

    /// A byte that is not inside of a string; true if it ends the frame.
    fn outside(&mut self, byte: u8) -> Result<bool, FrameError> {
        if is_space(byte) {
            return Ok(false);
        }
        if matches!(byte, b']' | b'}') {
            // Noticed here and not when the frame is read, because with a wrong bracket it might
            // never end.
            if self.open.pop().is_none_or(|(end, _)| end != byte) {
                return Err(Malformed { at: self.at - 1, what: "the wrong bracket" }.into());
            }
            return Ok(self.open.is_empty());
        }
        if let Some(&(_, at)) = self.open.last() {
            let count = &mut self.counts[at];
            *count = match byte {
                b',' => count.saturating_add(1),
                _ => (*count).max(1),
            };
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' | b'{' if self.open.len() >= self.limits.depth => {
                return Err(FrameError::TooDeep { limit: self.limits.depth });
            }
            b'[' | b'{' => {
                self.open.push((if byte == b'[' { b']' } else { b'}' }, self.counts.len()));
                self.counts.push(0);
            }
            _ => {}
        }
        Ok(false)
    }
}

/// The white space of JSON.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
