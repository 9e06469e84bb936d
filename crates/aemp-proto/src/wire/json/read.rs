//! A JSON text as CBOR.

use super::boundary::is_space;
use crate::wire::cbor;
use crate::wire::error::{FrameError, Malformed};
use crate::wire::scan::{ARRAY, MAP, NEGATIVE, SIMPLE, TEXT, UNSIGNED};

const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// Turns one JSON text into one CBOR item. `counts` says how many elements its arrays and objects
/// have.
pub(crate) fn read_frame(text: &[u8], counts: &[u32]) -> Result<Vec<u8>, FrameError> {
    let malformed = |at| Malformed { at, what: "text that is not UTF-8" };
    let text = std::str::from_utf8(text).map_err(|error| malformed(error.valid_up_to()))?;
    let mut reader =
        Reader { text, at: 0, counts: counts.iter(), open: Vec::new(), out: Vec::with_capacity(text.len()) };
    reader.run()?;
    Ok(reader.out)
}

/// What is open around the place where the reader is.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Array,
    Object,
}

/// Reads without recursion: `open` is its stack, and the boundary scan has limited it.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    counts: std::slice::Iter<'a, u32>,
    open: Vec<Open>,
    out: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn run(&mut self) -> Result<(), FrameError> {
        loop {
            let opened = self.value()?;
            if !self.go_on(opened)? {
                break;
            }
        }
        if self.peek().is_some() {
            return Err(self.malformed("text behind the end of the array"));
        }
        Ok(())
    }

    /// Reads up to where the next value begins; false if nothing is there.
    fn go_on(&mut self, mut opened: bool) -> Result<bool, FrameError> {
        while let Some(&open) = self.open.last() {
            let end = if open == Open::Array { b']' } else { b'}' };
            if self.skip(end) {
                self.open.pop();
                opened = false;
                continue;
            }
            if !opened && !self.skip(b',') {
                return Err(self.malformed("no comma between two values"));
            }
            if open == Open::Object {
                if self.peek() != Some(b'"') {
                    return Err(self.malformed("a key is not a string"));
                }
                self.string()?;
                if !self.skip(b':') {
                    return Err(self.malformed("no colon behind a key"));
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Reads a value; of an array or object only the beginning, and then true.
    fn value(&mut self) -> Result<bool, FrameError> {
        match self.peek() {
            Some(b'[') => self.enter(Open::Array, ARRAY)?,
            Some(b'{') => self.enter(Open::Object, MAP)?,
            Some(b'"') => {
                self.string()?;
                return Ok(false);
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                return Ok(false);
            }
            _ => {
                self.literal()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn enter(&mut self, open: Open, major: u8) -> Result<(), FrameError> {
        let count = *self.counts.next().ok_or_else(|| self.malformed("unbalanced brackets"))?;
        cbor::write_head(&mut self.out, major, count.into());
        self.open.push(open);
        self.at += 1;
        Ok(())
    }

    fn literal(&mut self) -> Result<(), FrameError> {
        let rest = &self.text[self.at..];
        let known = [("null", NULL), ("true", TRUE), ("false", FALSE)];
        let Some((word, simple)) = known.into_iter().find(|(word, _)| rest.starts_with(word)) else {
            return Err(self.malformed("no value where one is due"));
        };
        cbor::write_head(&mut self.out, SIMPLE, simple);
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), FrameError> {
        let rest = &self.text[self.at..];
        let len =
            rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let number = &rest[..len];
        let integer = is_integer(number).ok_or_else(|| self.malformed("not a number"))?;
        if integer && let Ok(number) = number.parse::<u64>() {
            cbor::write_head(&mut self.out, UNSIGNED, number);
        } else if integer && let Ok(number) = number.parse::<i64>() {
            match number.unsigned_abs().checked_sub(1) {
                Some(argument) => cbor::write_head(&mut self.out, NEGATIVE, argument),
                None => cbor::write_head(&mut self.out, UNSIGNED, 0),
            }
        } else {
            let float = number.parse::<f64>().ok().filter(|float| float.is_finite());
            let float = float.ok_or_else(|| self.malformed("a number beyond the range of floats"))?;
            cbor::write_float(&mut self.out, float).map_err(FrameError::Encode)?;
        }
        self.at += len;
        Ok(())
    }

    /// Reads a string, which is known to begin here.
    fn string(&mut self) -> Result<(), FrameError> {
        let rest = &self.text[self.at + 1..];
        let plain = rest.bytes().position(|b| matches!(b, b'"' | b'\\' | ..0x20));
        match plain.map(|len| (len, rest.as_bytes()[len])) {
            Some((len, b'"')) => {
                cbor::write_string(&mut self.out, TEXT, &rest.as_bytes()[..len]);
                self.at += len + 2;
                Ok(())
            }
            _ => self.escaped_string(),
        }
    }

    /// A string with escapes, or a wrong one.
    fn escaped_string(&mut self) -> Result<(), FrameError> {
        let mut strings = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<String>();
        let Some(Ok(string)) = strings.next() else {
            return Err(self.malformed("not a string of Unicode characters"));
        };
        self.at += strings.byte_offset();
        cbor::write_string(&mut self.out, TEXT, string.as_bytes());
        Ok(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let space = rest.iter().take_while(|&&b| is_space(b)).count();
        self.at += space;
        rest.get(space).copied()
    }

    /// Whether this byte comes next; then it is behind us.
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn malformed(&self, what: &'static str) -> FrameError {
        Malformed { at: self.at, what }.into()
    }
}

/// Whether the text, a number of JSON, has neither fraction nor exponent; `None` if it is not a
/// number of JSON.
fn is_integer(text: &str) -> Option<bool> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return None;
    }
    let mut rest = &unsigned[whole..];
    let integer = rest.is_empty();
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = &fraction[digits(fraction)..];
        if rest.len() == fraction.len() {
            return None;
        }
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        rest = &exponent[digits(exponent)..];
        if rest.len() == exponent.len() {
            return None;
        }
    }
    rest.is_empty().then_some(integer)
}
