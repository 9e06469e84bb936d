//! CBOR items as JSON.

use std::io::{self, Write};

use bytes::Bytes;
use minicbor::Decoder;

use crate::wire::cbor;
use crate::wire::error::EncodeError;
use crate::wire::framing::Framing;
use crate::wire::scan::{self, ARRAY, BYTES, Head, MAP, NEGATIVE, SIMPLE, TAG, TEXT, UNSIGNED};

const MALFORMED: EncodeError = no_form("a message that is not well formed");

const fn no_form(what: &'static str) -> EncodeError {
    EncodeError::NoForm { what, framing: Framing::Json }
}

/// Appends a message as a JSON array. After an error, `out` is as before.
pub(crate) fn write_frame(out: &mut Vec<u8>, port: &str, items: &[u8]) -> Result<(), EncodeError> {
    let before = out.len();
    write(out, port, items).inspect_err(|_| out.truncate(before))
}

/// Bytes of the message as a JSON array.
pub(crate) fn frame_len(port: &str, items: &[u8]) -> Result<usize, EncodeError> {
    let mut count = Count(0);
    write(&mut count, port, items)?;
    Ok(count.0)
}

fn write(out: &mut impl Write, port: &str, items: &[u8]) -> Result<(), EncodeError> {
    let mut writer = Writer { items, at: 0, out, open: Vec::new() };
    writer.put(b"[")?;
    writer.text(port)?;
    writer.run()?;
    writer.put(b"]")
}

/// Counts what is written, and keeps nothing of it.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A list or map that is being written.
#[derive(Clone, Copy)]
struct Open {
    is_map: bool,
    /// Items that have begun; in a map, keys and values.
    begun: u64,
    /// Items that it has; `None` if a break ends it.
    total: Option<u64>,
}

impl Open {
    fn at_key(&self) -> bool {
        self.is_map && self.begun.is_multiple_of(2)
    }
}

/// Writes without recursion: `open` is its stack.
struct Writer<'a, W> {
    items: &'a [u8],
    at: usize,
    out: &'a mut W,
    open: Vec<Open>,
}

impl<W: Write> Writer<'_, W> {
    fn run(&mut self) -> Result<(), EncodeError> {
        while self.at < self.items.len() {
            let head = scan::head(&self.items[self.at..]).ok().flatten().ok_or(MALFORMED)?;
            if head.major == SIMPLE && head.is_indefinite() {
                self.at += head.len;
                self.close()?;
            } else if self.separate()? {
                self.key(&head)?;
            } else {
                self.value(&head)?;
            }
            while self.open.last().is_some_and(|open| open.total == Some(open.begun)) {
                self.close()?;
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err(MALFORMED) }
    }

    /// Writes what stands between the last item and the next, and says whether the next is the key
    /// of a map.
    fn separate(&mut self) -> Result<bool, EncodeError> {
        let Some(open) = self.open.last_mut() else {
            self.put(b",")?;
            return Ok(false);
        };
        let (key, between) = (open.at_key(), open.begun > 0);
        let colon = open.is_map && !key;
        open.begun += 1;
        if between {
            self.put(if colon { b":" } else { b"," })?;
        }
        Ok(key)
    }

    fn close(&mut self) -> Result<(), EncodeError> {
        let open = self.open.pop().ok_or(MALFORMED)?;
        self.put(if open.is_map { b"}" } else { b"]" })
    }

    fn value(&mut self, head: &Head) -> Result<(), EncodeError> {
        match head.major {
            UNSIGNED | NEGATIVE => self.integer(head)?,
            BYTES | TEXT => return self.string(head),
            ARRAY | MAP => {
                let is_map = head.major == MAP;
                let per_entry = if is_map { 2 } else { 1 };
                let total = (!head.is_indefinite()).then(|| head.argument.saturating_mul(per_entry));
                self.put(if is_map { b"{" } else { b"[" })?;
                self.open.push(Open { is_map, begun: 0, total });
            }
            TAG => return Err(no_form("a tagged value")),
            _ => match head.info {
                20 => self.put(b"false")?,
                21 => self.put(b"true")?,
                25..=27 => return self.float(head),
                _ => self.put(b"null")?,
            },
        }
        self.at += head.len;
        Ok(())
    }

    /// A key is a string in JSON no matter what it was; as in Perl, null and false are the empty
    /// one and true is 1.
    fn key(&mut self, head: &Head) -> Result<(), EncodeError> {
        match (head.major, head.info) {
            (BYTES | TEXT, _) => return self.string(head),
            (UNSIGNED | NEGATIVE, _) | (SIMPLE, 25..=27) => {
                self.put(b"\"")?;
                self.value(head)?;
                return self.put(b"\"");
            }
            (SIMPLE, 21) => self.put(b"\"1\"")?,
            (SIMPLE, _) => self.put(b"\"\"")?,
            _ => return Err(no_form("a map with a key that is a list, a map or tagged")),
        }
        self.at += head.len;
        Ok(())
    }

    fn integer(&mut self, head: &Head) -> Result<(), EncodeError> {
        let number = i128::from(head.argument);
        let number = if head.major == NEGATIVE { -1 - number } else { number };
        self.put(number.to_string().as_bytes())
    }

    fn float(&mut self, head: &Head) -> Result<(), EncodeError> {
        let mut decoder = Decoder::new(&self.items[self.at..]);
        let number = match head.info {
            25 => decoder.f16().map(f64::from),
            26 => decoder.f32().map(f64::from),
            _ => decoder.f64(),
        };
        let number = number.map_err(|_| MALFORMED)?;
        if !number.is_finite() {
            return Err(no_form("a number that is not finite"));
        }
        self.at += head.len;
        serde_json::to_writer(&mut *self.out, &number).map_err(|_| MALFORMED)
    }

    /// Bytes are the code points up to U+00FF.
    fn string(&mut self, head: &Head) -> Result<(), EncodeError> {
        let rest = &self.items[self.at..];
        if head.is_indefinite() {
            let item = Bytes::copy_from_slice(&rest[..scan::item_end(rest).ok_or(MALFORMED)?]);
            let value = cbor::read_value(&mut Decoder::new(&item)).map_err(|_| MALFORMED)?;
            self.at += item.len();
            return self.text(&value.to_name().ok_or(MALFORMED)?);
        }
        let len = usize::try_from(head.argument).map_err(|_| MALFORMED)?;
        let string = rest[head.len..].get(..len).ok_or(MALFORMED)?;
        self.at += head.len + len;
        if head.major == TEXT || string.is_ascii() {
            return self.text(std::str::from_utf8(string).map_err(|_| MALFORMED)?);
        }
        self.text(&crate::value::latin1(string))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.out.write_all(bytes).map_err(|_| MALFORMED)
    }

    fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        serde_json::to_writer(&mut *self.out, text).map_err(|_| MALFORMED)
    }
}
