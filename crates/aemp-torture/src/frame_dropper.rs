//! Takes one frame out of what a node writes, as a node would that forgets one. It knows only where
//! frames end.

use aemp::Framing;
use minicbor::Decoder;

/// Lines of a handshake: the greeting, the nonce and the proof.
const LINES: usize = 3;

/// Which of the frames is taken: those before it bring the nodes together.
const VICTIM: usize = 40;

/// The kind of a native frame that is a message.
const MESSAGE: u8 = 1;

/// Reads one direction of a connection, and holds back what is not complete.
pub(crate) struct FrameDropper {
    lines: usize,
    messages: usize,
    /// What the frames are; nothing is known before the last line of the handshake.
    framing: Option<Framing>,
    held: Vec<u8>,
}

impl FrameDropper {
    pub(crate) fn new() -> FrameDropper {
        FrameDropper { lines: 0, messages: 0, framing: None, held: Vec::new() }
    }

    /// Takes bytes in, and gives those that may pass. `drops` is asked whether a frame may be
    /// taken now.
    pub(crate) fn pass(&mut self, bytes: &[u8], mut drops: impl FnMut() -> bool) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some(len) = self.next() {
            let unit: Vec<u8> = self.held.drain(..len).collect();
            if self.lines < LINES {
                self.line(&unit);
            } else if self.is_message(&unit) {
                self.messages += 1;
                if self.messages >= VICTIM && drops() {
                    continue;
                }
            }
            passed.extend_from_slice(&unit);
        }
        passed
    }

    /// Notes a line of the handshake; the last one names the framing.
    fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        let name = line.trim_ascii_end().rsplit(|byte| *byte == b';').next();
        self.framing = name.and_then(|name| Framing::from_name(std::str::from_utf8(name).ok()?));
    }

    fn is_message(&self, frame: &[u8]) -> bool {
        self.framing != Some(Framing::Native) || frame.get(4) == Some(&MESSAGE)
    }

    /// How long the next line or frame is, if it is complete.
    fn next(&self) -> Option<usize> {
        if self.lines < LINES {
            return self.held.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        }
        match self.framing {
            Some(Framing::Native) => {
                let len = u32::from_le_bytes(*self.held.first_chunk::<4>()?) as usize + 4;
                (len <= self.held.len()).then_some(len)
            }
            Some(Framing::Cbor) => {
                let mut decoder = Decoder::new(&self.held);
                decoder.skip().ok().map(|()| decoder.position())
            }
            // Where others end is not known here: all of it passes.
            _ => Some(self.held.len()).filter(|len| *len > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaken(framing: &str) -> Vec<u8> {
        format!("aemp;1;a;hmac\nnonce\nhmac;proof;{framing}\n").into_bytes()
    }

    /// Passes all of it in pieces of this size.
    fn pieces(all: &[u8], size: usize) -> Vec<u8> {
        let (mut dropper, mut left, mut passed) = (FrameDropper::new(), 1, Vec::new());
        for piece in all.chunks(size) {
            passed.extend(dropper.pass(piece, || std::mem::take(&mut left) == 1));
        }
        passed
    }

    #[test]
    fn one_frame_of_the_framing_is_missing_whole() {
        let native = |seq: u8| [vec![12, 0, 0, 0, MESSAGE, 0, seq], vec![0; 9]].concat();
        let ping = || [vec![12, 0, 0, 0, 5, 0], vec![0; 10]].concat();
        let cbor = |n: u8| vec![0x82, 0x61, b'p', n];
        for size in [1, 7, 4096] {
            let mut all = shaken("aemp1");
            let mut expected = all.clone();
            for seq in 0..60 {
                for frame in [ping(), native(seq)] {
                    all.extend(&frame);
                    if frame[4] != MESSAGE || usize::from(seq) + 1 != VICTIM {
                        expected.extend(&frame);
                    }
                }
            }
            assert_eq!(pieces(&all, size), expected);
            let (mut all, mut expected) = (shaken("cbor"), shaken("cbor"));
            for n in 0..20 {
                all.extend(cbor(n));
                expected.extend(cbor(n));
            }
            assert_eq!(pieces(&all, size), expected, "too few to take one");
        }
    }
}
