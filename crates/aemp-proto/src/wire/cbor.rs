//! Values as CBOR items and back, and the array that is a message in the framing `cbor`.

use std::convert::Infallible;

use bytes::Bytes;
use minicbor::data::{Int, Type};
use minicbor::{Decoder, Encoder, decode, encode};

use super::body::Body;
use super::error::{EncodeError, FrameError, Malformed};
use super::limits::Limits;
use super::scan::{self, ARRAY, BYTES, NEGATIVE, TEXT, UNSIGNED};
use super::text::Str;
use crate::{Value, value};

/// The deepest value in a message: the array around the values is a level too.
const VALUE_DEPTH_MAX: usize = Limits::DEFAULT.depth - 1;

/// Appends a value as one item, which is inside of `outer` lists or maps of the message.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value, outer: usize) -> Result<(), EncodeError> {
    put(&mut Encoder::new(out), value, VALUE_DEPTH_MAX - outer)
}

fn put(out: &mut Encoder<&mut Vec<u8>>, value: &Value, levels: usize) -> Result<(), EncodeError> {
    let deeper = || levels.checked_sub(1).ok_or(EncodeError::TooDeep { limit: Limits::DEFAULT.depth });
    match value {
        Value::Null => out.null()?,
        Value::Bool(truth) => out.bool(*truth)?,
        Value::Int(number) => out.int(Int::try_from(*number).map_err(|_| EncodeError::Integer(*number))?)?,
        Value::Float(number) => put_float(out, *number)?,
        Value::Text(text) => out.str(text)?,
        Value::Bytes(bytes) => out.bytes(bytes)?,
        Value::List(values) => {
            let levels = deeper()?;
            out.array(values.len() as u64)?;
            return values.iter().try_for_each(|value| put(out, value, levels));
        }
        Value::Map(entries) => {
            let levels = deeper()?;
            out.map(entries.len() as u64)?;
            return entries.iter().try_for_each(|(key, value)| {
                put(out, key, levels)?;
                put(out, value, levels)
            });
        }
        Value::Tag(tag, content) => {
            let levels = deeper()?;
            out.tag(minicbor::data::Tag::new(*tag))?;
            return put(out, content, levels);
        }
    };
    Ok(())
}

type Put<'o, 'v> = Result<&'o mut Encoder<&'v mut Vec<u8>>, encode::Error<Infallible>>;

/// A float in 32 bits if they hold it exactly, else in 64.
fn put_float<'o, 'v>(out: &'o mut Encoder<&'v mut Vec<u8>>, number: f64) -> Put<'o, 'v> {
    let short = number as f32;
    if f64::from(short).to_bits() == number.to_bits() { out.f32(short) } else { out.f64(number) }
}

/// Appends a float as one item.
pub(crate) fn write_float(out: &mut Vec<u8>, number: f64) -> Result<(), EncodeError> {
    put_float(&mut Encoder::new(out), number)?;
    Ok(())
}

/// Appends a string as names and tags are written: bytes where all code points are at most U+00FF,
/// else text.
pub(crate) fn write_name(out: &mut Vec<u8>, name: &str) {
    if name.is_ascii() {
        write_string(out, BYTES, name.as_bytes());
        return;
    }
    match value::to_latin1(name) {
        Some(bytes) => write_string(out, BYTES, &bytes),
        None => write_string(out, TEXT, name.as_bytes()),
    }
}

/// Appends a string of this major type.
pub(crate) fn write_string(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    write_head(out, major, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the shortest head.
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let (head, len) = scan::shortest_head(major, argument);
    out.extend_from_slice(&head[..len]);
}

/// Decodes all items of `source`.
pub(crate) fn read_values(source: &[u8], count: u32) -> Result<Vec<Value>, Malformed> {
    let mut decoder = Decoder::new(source);
    let mut values = Vec::with_capacity((count as usize).min(source.len()));
    while decoder.position() < source.len() {
        values.push(read_value(&mut decoder)?);
    }
    Ok(values)
}

/// Decodes the next item. The value has memory of its own: one that is kept for long must not keep
/// all that it was read with.
pub(crate) fn read_value(decoder: &mut Decoder<'_>) -> Result<Value, Malformed> {
    get(decoder, Limits::DEPTH_MAX).map_err(|_| Malformed { at: decoder.position(), what: "not a CBOR item" })
}

fn get(from: &mut Decoder<'_>, levels: usize) -> Result<Value, decode::Error> {
    let deeper = || levels.checked_sub(1).ok_or_else(|| decode::Error::message("too deep"));
    Ok(match from.datatype()? {
        Type::Null => from.null().map(|()| Value::Null)?,
        Type::Undefined => from.undefined().map(|()| Value::Null)?,
        // No meaning is assigned to these; what we do not know is nothing.
        Type::Simple => from.simple().map(|_| Value::Null)?,
        Type::Bool => Value::Bool(from.bool()?),
        Type::F16 => Value::Float(from.f16()?.into()),
        Type::F32 => Value::Float(from.f32()?.into()),
        Type::F64 => Value::Float(from.f64()?),
        Type::Bytes => Value::Bytes(Bytes::copy_from_slice(from.bytes()?)),
        Type::BytesIndef => {
            let mut whole = Vec::new();
            from.bytes_iter()?.try_for_each(|piece| piece.map(|piece| whole.extend_from_slice(piece)))?;
            Value::Bytes(whole.into())
        }
        Type::String => Value::Text(from.str()?.into()),
        Type::StringIndef => Value::Text(from.str_iter()?.collect::<Result<String, _>>()?),
        Type::Array | Type::ArrayIndef => {
            let (count, levels) = (from.array()?, deeper()?);
            Value::List(get_many(from, count, |from| get(from, levels))?)
        }
        Type::Map | Type::MapIndef => {
            let (count, levels) = (from.map()?, deeper()?);
            let entry = |from: &mut Decoder<'_>| Ok((get(from, levels)?, get(from, levels)?));
            Value::Map(get_many(from, count, entry)?)
        }
        Type::Tag => {
            let (tag, levels) = (from.tag()?.as_u64(), deeper()?);
            Value::Tag(tag, Box::new(get(from, levels)?))
        }
        Type::Break | Type::Unknown(_) => return Err(decode::Error::message("no value")),
        _ => Value::Int(from.int()?.into()),
    })
}

/// Decodes as many elements as the head says, or up to the break.
fn get_many<T>(
    from: &mut Decoder<'_>,
    count: Option<u64>,
    mut element: impl FnMut(&mut Decoder<'_>) -> Result<T, decode::Error>,
) -> Result<Vec<T>, decode::Error> {
    let Some(count) = count else {
        let mut elements = Vec::new();
        while from.datatype()? != Type::Break {
            elements.push(element(from)?);
        }
        from.set_position(from.position() + 1);
        return Ok(elements);
    };
    let unread = from.input().len() - from.position();
    let mut elements = Vec::with_capacity(usize::try_from(count).unwrap_or(unread).min(unread));
    for _ in 0..count {
        elements.push(element(from)?);
    }
    Ok(elements)
}

/// Takes a frame apart: a well-formed item that has to be an array of a port name and values.
/// `None` for the empty array, which is a keep-alive.
pub(crate) fn read_message(frame: &Bytes) -> Result<Option<(Str, Body)>, FrameError> {
    let malformed = |what| Malformed { at: 0, what };
    let head = scan::head(frame).map_err(malformed)?;
    let head =
        head.filter(|head| head.major == ARRAY).ok_or_else(|| malformed("a message is not an array"))?;
    let end = if head.is_indefinite() { frame.len() - 1 } else { frame.len() };
    if head.len == end {
        return Ok(None);
    }
    let (port, start) = read_port(frame, head.len)?;
    let items = frame.slice(start..end);
    let count = if head.is_indefinite() {
        scan::count_items(&items, Limits { frame: 0, depth: Limits::DEPTH_MAX })?
    } else {
        head.argument - 1
    };
    let count = u32::try_from(count).map_err(|_| malformed("a message has more than 2^32 values"))?;
    Ok(Some((port, Body::new(count, items))))
}

/// The port name at `at`, and where it ends. Perl's null is the node port, and its numbers are
/// strings.
fn read_port(frame: &Bytes, at: usize) -> Result<(Str, usize), FrameError> {
    let not_a_name = || Malformed { at, what: "the port name is not a string" };
    let head = scan::head(&frame[at..]).ok().flatten().ok_or_else(not_a_name)?;
    let from = at + head.len;
    if matches!(head.major, BYTES | TEXT) && !head.is_indefinite() {
        let end = from + usize::try_from(head.argument).map_err(|_| not_a_name())?;
        let bytes = frame.get(from..end).map(|_| frame.slice(from..end)).ok_or_else(not_a_name)?;
        let port = if head.major == TEXT { Str::from_utf8(bytes) } else { Some(Str::from_latin1(bytes)) };
        return Ok((port.ok_or_else(not_a_name)?, end));
    }
    let end = at + scan::item_end(&frame[at..]).ok_or_else(not_a_name)?;
    if matches!(head.major, UNSIGNED | NEGATIVE | BYTES | TEXT) || matches!(frame[at], 0xf6 | 0xf7) {
        let item = frame.slice(at..end);
        let port = read_value(&mut Decoder::new(&item)).map(|value| match value {
            Value::Int(number) => number.to_string(),
            value => value.to_name().unwrap_or_default(),
        });
        return Ok((port?.into(), end));
    }
    Err(not_a_name().into())
}
