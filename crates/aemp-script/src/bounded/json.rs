//! JSON: no text that is too large out of values, and no value that is too large out of a text.
//!
//! The package reads JSON as an expression of the language, which could call functions, itself
//! among them, without any limit.

use std::io::{self, Write};

use rhai::{Dynamic, Engine, FnPtr, Map};
use serde_json::Value as Json;

use super::Room;
use crate::run::Fault;
use crate::values::{DEPTH, ValueError};

pub(super) fn register(engine: &mut Engine, room: Room) {
    engine.register_fn("to_json", move |map: Map| {
        let mut written = Written { room, bytes: Vec::new() };
        written.value(&map.into(), DEPTH)?;
        String::from_utf8(written.bytes).map_err(|error| Fault::from(error.to_string()))
    });
    engine.register_fn("parse_json", move |text: &str| -> Result<Dynamic, Fault> {
        // Each of these begins a value; what stands in texts counts with them.
        let begins = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{'));
        room.items(begins.take(room.items + 1).count())?;
        read(serde_json::from_str(text).map_err(|error| Fault::from(format!("parse_json: {error}")))?, DEPTH)
    });
}

fn read(json: Json, depth: usize) -> Result<Dynamic, Fault> {
    let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
    Ok(match json {
        Json::Null => Dynamic::UNIT,
        Json::Bool(truth) => truth.into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.into(),
        Json::Array(values) => {
            let values: Result<Vec<Dynamic>, Fault> =
                values.into_iter().map(|value| read(value, depth)).collect();
            values?.into()
        }
        Json::Object(entries) => {
            let entries: Result<Map, Fault> =
                entries.into_iter().map(|(key, value)| Ok((key.into(), read(value, depth)?))).collect();
            entries?.into()
        }
    })
}

/// JSON that does not grow beyond what a text may have.
struct Written {
    room: Room,
    bytes: Vec<u8>,
}

impl Written {
    fn value(&mut self, value: &Dynamic, depth: usize) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
        if value.is_unit() {
            self.plain(&Json::Null)
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.text(&text)
        } else if let Ok(values) = value.as_array_ref() {
            self.list(values.iter(), |written, value| written.value(value, depth))
        } else if let Ok(bytes) = value.as_blob_ref() {
            self.list(bytes.iter(), |written, byte| written.plain(&Json::from(*byte)))
        } else if let Ok(entries) = value.as_map_ref() {
            self.all(*b"{}", entries.iter(), |written, (key, value)| {
                written.text(key)?;
                written.add(b":")?;
                written.value(value, depth)
            })
        } else if let Ok(number) = value.as_int() {
            self.plain(&Json::from(number))
        } else if let Ok(number) = value.as_float() {
            self.plain(&Json::from(number))
        } else if let Ok(truth) = value.as_bool() {
            self.plain(&Json::from(truth))
        } else if let Ok(character) = value.as_char() {
            self.text(character.encode_utf8(&mut [0; 4]))
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            self.text(function.fn_name())
        } else {
            Err(format!("to_json: {} has no form in JSON", value.type_name()).into())
        }
    }

    fn list<T>(
        &mut self,
        values: impl Iterator<Item = T>,
        one: impl FnMut(&mut Written, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.all(*b"[]", values, one)
    }

    fn all<T>(
        &mut self,
        [open, close]: [u8; 2],
        values: impl Iterator<Item = T>,
        mut one: impl FnMut(&mut Written, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.add(&[open])?;
        for (index, value) in values.enumerate() {
            self.add(if index == 0 { b"" } else { b"," })?;
            one(self, value)?;
        }
        self.add(&[close])
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        serde_json::to_writer(&mut *self, text).or_else(|_| self.room.text(usize::MAX))
    }

    fn plain(&mut self, value: &Json) -> Result<(), Fault> {
        self.add(value.to_string().as_bytes())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.room.text(self.bytes.len().saturating_add(bytes.len()))?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes).map_err(|_| io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
