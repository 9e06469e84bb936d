//! Values as text: in one go, and no further than a text may be.

use std::fmt::{self, Write};

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::Room;
use crate::run::Fault;
use crate::values::{DEPTH, ValueError};

pub(super) fn register(engine: &mut Engine, room: Room) {
    for name in ["print", "debug", "to_string", "to_debug"] {
        engine
            .register_fn(name, move |cx: NativeCallContext, value: Array| show(room, &cx, &value.into()))
            .register_fn(name, move |cx: NativeCallContext, value: Map| show(room, &cx, &value.into()));
    }
    for name in ["debug", "to_debug"] {
        engine.register_fn(name, move |cx: NativeCallContext, text: ImmutableString| {
            show(room, &cx, &text.into())
        });
    }
    append::<Array>(engine, room);
    append::<Map>(engine, room);
}

/// What appends such values to strings, and strings to them.
fn append<T: Into<Dynamic> + Clone + Send + Sync + 'static>(engine: &mut Engine, room: Room) {
    for name in ["+=", "append"] {
        engine.register_fn(name, move |cx: NativeCallContext, text: &mut ImmutableString, value: T| {
            *text = joined(room, [text, &show(room, &cx, &value.into())?])?;
            Ok::<_, Fault>(())
        });
    }
    engine
        .register_fn("+", move |cx: NativeCallContext, text: ImmutableString, value: T| {
            joined(room, [&text, &show(room, &cx, &value.into())?])
        })
        .register_fn("+", move |cx: NativeCallContext, value: T, text: ImmutableString| {
            joined(room, [&show(room, &cx, &value.into())?, &text])
        });
}

fn joined(room: Room, texts: [&str; 2]) -> Result<ImmutableString, Fault> {
    room.text(texts[0].len() + texts[1].len())?;
    Ok(texts.concat().into())
}

/// A value as `to_debug` shows it.
fn show(room: Room, cx: &NativeCallContext, value: &Dynamic) -> Result<ImmutableString, Fault> {
    let mut shown = Shown { room, text: String::new() };
    shown.value(cx, value, DEPTH)?;
    Ok(shown.text.into())
}

/// A text that does not grow beyond what it may have.
struct Shown {
    room: Room,
    text: String,
}

impl Shown {
    fn value(&mut self, cx: &NativeCallContext, value: &Dynamic, depth: usize) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
        if let Ok(values) = value.as_array_ref() {
            self.all('[', values.iter(), ']', |shown, value| shown.value(cx, value, depth))
        } else if let Ok(entries) = value.as_map_ref() {
            self.add("#")?;
            self.all('{', entries.iter(), '}', |shown, (key, value)| {
                shown.format(format_args!("{:?}: ", key.as_str()))?;
                shown.value(cx, value, depth)
            })
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.format(format_args!("{:?}", text.as_str()))
        } else {
            match cx.call_native_fn_raw("to_debug", true, &mut [&mut value.clone()]) {
                Ok(text) => self.format(format_args!("{text}")),
                Err(_) => self.format(format_args!("{value:?}")),
            }
        }
    }

    fn all<T>(
        &mut self,
        open: char,
        values: impl Iterator<Item = T>,
        close: char,
        mut one: impl FnMut(&mut Shown, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.add(open.encode_utf8(&mut [0; 4]))?;
        for (index, value) in values.enumerate() {
            self.add(if index == 0 { "" } else { ", " })?;
            one(self, value)?;
        }
        self.add(close.encode_utf8(&mut [0; 4]))
    }

    fn add(&mut self, text: &str) -> Result<(), Fault> {
        self.format(format_args!("{text}"))
    }

    fn format(&mut self, text: fmt::Arguments<'_>) -> Result<(), Fault> {
        // The only error is that there is no room for more.
        self.write_fmt(text).or_else(|_| self.room.text(usize::MAX))
    }
}

impl Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.room.text(self.text.len().saturating_add(text.len())).map_err(|_| fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}
