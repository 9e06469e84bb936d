//! Values of messages ↔ values of scripts.
//!
//! | message | script |
//! |---|---|
//! | null | `()` |
//! | true, false | the same |
//! | integer | integer; beyond 64 bits a wide one, which can be compared and passed on |
//! | float | float |
//! | text | string |
//! | bytes, all ASCII | string, marked, so that it becomes bytes again: names, tags and most of what Perl sends |
//! | other bytes | blob |
//! | list | array |
//! | map whose keys are distinct texts or bytes | map |
//! | other map, tagged value | a value that can only be passed on |
//!
//! There and back is the identity, except that keys of maps are names to a script: they come back
//! as bytes where these can spell them, in alphabetical order. Functions, ranges and times of
//! scripts have no counterpart in messages.

use aemp::Value;
use rhai::{Array, Dynamic, FnPtr, Map};
use thiserror::Error;

use crate::limits::Limits;

/// Marks a string that came as bytes.
const BYTES: i32 = 1;

/// Values within values: deeper ones are not data but an attack on the stack.
pub(crate) const DEPTH: usize = 64;

/// A value that is in no other. A test compares this and what follows with what the allocator
/// counts.
const EACH: usize = size_of::<Dynamic>();

/// What a string has beside its bytes, if these do not fit into it.
const TEXT: usize = 64;
const TEXT_WITHIN: usize = 24;

/// What an array or blob has beside its place for values.
const ARRAY: usize = 32;

/// What a map has beside its entries, and each of these beside key and value: nodes of a tree that
/// may be half full.
const MAP: usize = 512;
const ENTRY: usize = 72;

/// What a function has beside what it has captured.
const FUNCTION: usize = 100;

/// A value of a message, without its content.
const WIRE: usize = size_of::<Value>();

/// A value that scripts can only pass on.
#[derive(Debug, Clone)]
pub(crate) struct Sealed(Value);

/// Why a value cannot cross.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ValueError {
    /// It has no counterpart.
    #[error("{0} cannot be sent in a message")]
    NotData(String),
    /// It is nested too deeply.
    #[error("a value has more than {DEPTH} values within each other")]
    TooDeep,
    /// It is larger than a value of a script may be.
    #[error("a value has more than {0} (script_limits)")]
    TooLarge(String),
}

/// The value of a script for a value of a message.
pub(crate) fn from_wire(value: &Value, limits: &Limits) -> Result<Dynamic, ValueError> {
    Room { limits, items: limits.items, text: limits.text }.take_in(value, DEPTH)
}

/// What is left of the limits of one value.
struct Room<'a> {
    limits: &'a Limits,
    items: usize,
    text: usize,
}

impl Room<'_> {
    fn take_in(&mut self, value: &Value, depth: usize) -> Result<Dynamic, ValueError> {
        let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
        Ok(match value {
            Value::Null => Dynamic::UNIT,
            Value::Bool(truth) => (*truth).into(),
            Value::Int(number) => match i64::try_from(*number) {
                Ok(number) => number.into(),
                Err(_) => Dynamic::from(*number),
            },
            Value::Float(number) => (*number).into(),
            Value::Text(text) => {
                self.spend_text(text.len())?;
                text.into()
            }
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => {
                    self.spend_text(text.len())?;
                    bytes_text(text)
                }
                _ => {
                    self.spend_items(bytes.len())?;
                    Dynamic::from_blob(bytes.to_vec())
                }
            },
            Value::List(values) => {
                self.spend_items(values.len())?;
                let values: Result<Array, _> =
                    values.iter().map(|value| self.take_in(value, depth)).collect();
                values?.into()
            }
            Value::Map(entries) => match names(entries) {
                Some(keys) => {
                    self.spend_items(keys.len())?;
                    let mut map = Map::new();
                    for (key, (_, value)) in keys.into_iter().zip(entries) {
                        self.spend_text(key.len())?;
                        map.insert(key.into(), self.take_in(value, depth)?);
                    }
                    map.into()
                }
                None => self.seal(value, depth)?,
            },
            Value::Tag(..) => self.seal(value, depth)?,
        })
    }

    fn seal(&mut self, value: &Value, depth: usize) -> Result<Dynamic, ValueError> {
        self.spend_sealed(value, depth)?;
        Ok(Dynamic::from(Sealed(value.clone())))
    }

    fn spend_sealed(&mut self, value: &Value, depth: usize) -> Result<(), ValueError> {
        let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
        self.spend_items(1)?;
        match value {
            Value::Text(text) => self.spend_text(text.len()),
            Value::Bytes(bytes) => self.spend_items(bytes.len()),
            Value::List(values) => values.iter().try_for_each(|value| self.spend_sealed(value, depth)),
            Value::Map(entries) => entries.iter().try_for_each(|(key, value)| {
                self.spend_sealed(key, depth)?;
                self.spend_sealed(value, depth)
            }),
            Value::Tag(_, value) => self.spend_sealed(value, depth),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(()),
        }
    }

    fn spend_items(&mut self, items: usize) -> Result<(), ValueError> {
        let too_large = || ValueError::TooLarge(format!("{} items", self.limits.items));
        self.items = self.items.checked_sub(items).ok_or_else(too_large)?;
        Ok(())
    }

    fn spend_text(&mut self, bytes: usize) -> Result<(), ValueError> {
        let too_large = || ValueError::TooLarge(format!("{} bytes of text", self.limits.text));
        self.text = self.text.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

/// The keys of a map, if all are names and no two the same.
fn names(entries: &[(Value, Value)]) -> Option<Vec<String>> {
    let keys: Option<Vec<String>> = entries.iter().map(|(key, _)| key.to_name()).collect();
    let keys = keys?;
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|two| two[0] != two[1]).then_some(keys)
}

/// A string that is sent as bytes where these can spell it: a tag, a port ID.
pub(crate) fn bytes_text(text: &str) -> Dynamic {
    let mut text = Dynamic::from(text.to_owned());
    text.set_tag(BYTES);
    text
}

/// The value of a message for a value of a script.
pub(crate) fn to_wire(value: &Dynamic) -> Result<Value, ValueError> {
    to_wire_within(value, DEPTH)
}

fn to_wire_within(value: &Dynamic, depth: usize) -> Result<Value, ValueError> {
    let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(if value.tag() == BYTES { Value::name(&text) } else { Value::Text(text.as_str().into()) });
    }
    if let Ok(number) = value.as_int() {
        return Ok(Value::Int(number.into()));
    }
    if let Ok(truth) = value.as_bool() {
        return Ok(Value::Bool(truth));
    }
    if let Ok(number) = value.as_float() {
        return Ok(Value::Float(number));
    }
    if let Ok(values) = value.as_array_ref() {
        return values
            .iter()
            .map(|value| to_wire_within(value, depth))
            .collect::<Result<_, _>>()
            .map(Value::List);
    }
    if let Ok(entries) = value.as_map_ref() {
        let values = entries.values().map(|value| to_wire_within(value, depth));
        let entries = entries.keys().zip(values).map(|(key, value)| Ok((Value::name(key), value?)));
        return entries.collect::<Result<_, _>>().map(Value::Map);
    }
    if let Ok(bytes) = value.as_blob_ref() {
        return Ok(Value::Bytes(bytes.clone().into()));
    }
    if let Ok(character) = value.as_char() {
        return Ok(Value::Text(character.into()));
    }
    other_to_wire(value)
}

/// Integers of other widths, which scripts get by calculating with wide ones, and what was sealed.
fn other_to_wire(value: &Dynamic) -> Result<Value, ValueError> {
    macro_rules! integers {
        ($($t:ty)*) => {$(
            if let Some(number) = value.read_lock::<$t>() {
                return Ok(Value::Int(i128::from(*number)));
            }
        )*};
    }
    integers!(i128 u64 u32 i32 u16 i16 u8 i8);
    if let Some(number) = value.read_lock::<u128>() {
        return i128::try_from(*number)
            .map(Value::Int)
            .map_err(|_| ValueError::NotData("a number so large".into()));
    }
    if let Some(number) = value.read_lock::<f32>() {
        return Ok(Value::Float(f64::from(*number)));
    }
    match value.read_lock::<Sealed>() {
        Some(sealed) => Ok(sealed.0.clone()),
        None => Err(ValueError::NotData(format!("a value of type {}", value.type_name()))),
    }
}

/// The result of an evaluation: what has no counterpart is described.
pub(crate) fn to_wire_or_text(value: &Dynamic) -> Value {
    to_wire(value).unwrap_or_else(|_| Value::Text(value.to_string()))
}

/// What a value takes in memory, as the limits reckon it, with what functions have captured.
pub(crate) fn weigh(value: &Dynamic) -> Result<usize, ValueError> {
    weigh_within(value, DEPTH)
}

fn weigh_within(value: &Dynamic, depth: usize) -> Result<usize, ValueError> {
    let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
    // There may be room for more than there is.
    let sum = |values: &[Dynamic], room: usize| {
        let rest = (room - values.len()) * EACH;
        values.iter().try_fold(EACH + ARRAY + rest, |sum, value| {
            Ok::<_, ValueError>(sum + weigh_within(value, depth)?)
        })
    };
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(EACH + TEXT + outside(text.len()));
    }
    if let Ok(values) = value.as_array_ref() {
        return sum(&values, values.capacity());
    }
    if let Ok(entries) = value.as_map_ref() {
        return entries.iter().try_fold(EACH + MAP, |sum, (key, value)| {
            Ok(sum + ENTRY + outside(key.len()) + weigh_within(value, depth)?)
        });
    }
    if let Ok(bytes) = value.as_blob_ref() {
        return Ok(EACH + ARRAY + bytes.capacity());
    }
    if let Some(function) = value.read_lock::<FnPtr>() {
        return Ok(FUNCTION + sum(function.curry(), function.curry().len())?);
    }
    Ok(match value.read_lock::<Sealed>() {
        Some(sealed) => EACH + weigh_wire(&sealed.0),
        None => EACH,
    })
}

/// Bytes of a text that do not stand in it.
fn outside(bytes: usize) -> usize {
    if bytes > TEXT_WITHIN { bytes } else { 0 }
}

/// What a value of a message takes in memory. Its depth was limited when it was read.
pub(crate) fn weigh_wire(value: &Value) -> usize {
    WIRE + match value {
        Value::Text(text) => text.capacity(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => {
            (values.capacity() - values.len()) * WIRE + values.iter().map(weigh_wire).sum::<usize>()
        }
        Value::Map(entries) => entries.iter().map(|(key, value)| weigh_wire(key) + weigh_wire(value)).sum(),
        Value::Tag(_, value) => weigh_wire(value),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}

#[cfg(test)]
mod tests;
