//! Arrays: what fills up, and what compares a value with all that there is.

use rhai::{Array, Blob, Dynamic, Engine, Map, NativeCallContext};

use super::Room;
use crate::meter;
use crate::run::Fault;

pub(super) fn register(engine: &mut Engine, room: Room) {
    engine
        .register_fn("pad", move |array: &mut Array, len: i64, item: Dynamic| padded(room, array, len, item));
    engine
        .register_fn("contains", |cx: NativeCallContext, array: Array, value: Dynamic| {
            Ok::<_, Fault>(position(&cx, array, &value, 0)? >= 0)
        })
        .register_fn("index_of", |cx: NativeCallContext, array: Array, value: Dynamic| {
            position(&cx, array, &value, 0)
        })
        .register_fn("index_of", |cx: NativeCallContext, array: Array, value: Dynamic, start: i64| {
            position(&cx, array, &value, start)
        });
}

/// Makes an array as long as that. The package computes how much comes with so large numbers that
/// they wrap around.
fn padded(room: Room, array: &mut Array, len: i64, item: Dynamic) -> Result<(), Fault> {
    let len = usize::try_from(len).unwrap_or(0);
    let missing = len.saturating_sub(array.len());
    if missing == 0 {
        return Ok(());
    }
    let (items, text) = size(&item);
    room.items(missing.saturating_mul(items).saturating_add(array.len()))?;
    room.text(missing.saturating_mul(text))?;
    array.resize(len, item);
    Ok(())
}

/// Values in a value, itself included, and bytes of text.
fn size(value: &Dynamic) -> (usize, usize) {
    let sum = |values: &mut dyn Iterator<Item = &Dynamic>| {
        values.map(size).fold((1, 0), |(items, text), (more, longer)| (items + more, text + longer))
    };
    if let Ok(text) = value.as_immutable_string_ref() {
        (1, text.len())
    } else if let Ok(values) = value.as_array_ref() {
        sum(&mut values.iter())
    } else if let Ok(entries) = value.as_map_ref() {
        let (items, text) = sum(&mut entries.values());
        (items, text + entries.keys().map(|key| key.len()).sum::<usize>())
    } else if let Ok(bytes) = value.as_blob_ref() {
        (1 + bytes.len(), 0)
    } else {
        (1, 0)
    }
}

/// Where a value first is, from here on, or -1. Each comparison may go through all of both values,
/// so each counts as a step.
fn position(cx: &NativeCallContext, array: Array, value: &Dynamic, start: i64) -> Result<i64, Fault> {
    let len = array.len();
    let from_end = |back: i64| len.saturating_sub(usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX));
    let start = usize::try_from(start).unwrap_or_else(|_| from_end(start));
    for (index, item) in array.into_iter().enumerate().skip(start) {
        if let Some(why) = meter::must_end() {
            return Err(why.into());
        }
        if are_equal(cx, item, value)? {
            return Ok(i64::try_from(index).unwrap_or(i64::MAX));
        }
    }
    Ok(-1)
}

fn are_equal(cx: &NativeCallContext, mut item: Dynamic, value: &Dynamic) -> Result<bool, Fault> {
    let same_type = item.type_id() == value.type_id();
    if !same_type && (is_large(&item) || is_large(value)) {
        return Ok(false);
    }
    match cx.call_native_fn_raw("==", true, &mut [&mut item, &mut value.clone()]) {
        Ok(equal) => Ok(equal.as_bool().unwrap_or(false)),
        Err(fault) => match *fault {
            rhai::EvalAltResult::ErrorFunctionNotFound(name, _) if name.starts_with("==") && !same_type => {
                Ok(false)
            }
            other => Err(other.into()),
        },
    }
}

/// Whether a copy of it is dear. Such a value equals none of another type.
fn is_large(value: &Dynamic) -> bool {
    value.is::<Array>() || value.is::<Map>() || value.is::<Blob>()
}
