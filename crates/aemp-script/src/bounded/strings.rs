//! Strings: what replaces, fills up and splits.

use rhai::{Array, Dynamic, Engine, ImmutableString};

use super::Room;
use crate::run::Fault;

pub(super) fn register(engine: &mut Engine, room: Room) {
    replace(engine, room);
    pad(engine, room);
    split(engine, room);
    split_at_most(engine, room);
    engine.register_fn("to_chars", move |text: &str| -> Result<Array, Fault> {
        room.items(text.chars().take(room.items + 1).count())?;
        Ok(text.chars().map(Dynamic::from).collect())
    });
}

fn replace(engine: &mut Engine, room: Room) {
    type Text = ImmutableString;
    engine
        .register_fn("replace", move |text: &mut Text, find: &str, by: &str| replaced(room, text, find, by))
        .register_fn("replace", move |text: &mut Text, find: &str, by: char| {
            replaced(room, text, find, by.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", move |text: &mut Text, find: char, by: &str| {
            replaced(room, text, find.encode_utf8(&mut [0; 4]), by)
        })
        .register_fn("replace", move |text: &mut Text, find: char, by: char| {
            replaced(room, text, find.encode_utf8(&mut [0; 4]), by.encode_utf8(&mut [0; 4]))
        });
}

fn replaced(room: Room, text: &mut ImmutableString, find: &str, by: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Ok(());
    }
    let places = text.matches(find).count();
    let kept = text.len() - places * find.len();
    room.text(kept.saturating_add(places.saturating_mul(by.len())))?;
    *text = text.replace(find, by).into();
    Ok(())
}

fn pad(engine: &mut Engine, room: Room) {
    engine
        .register_fn("pad", move |text: &mut ImmutableString, len: i64, with: char| {
            padded(room, text, len, with.encode_utf8(&mut [0; 4]))
        })
        .register_fn("pad", move |text: &mut ImmutableString, len: i64, with: &str| {
            padded(room, text, len, with)
        });
}

/// Makes a string as many characters long. The package would go on for ever with nothing to pad
/// with.
fn padded(room: Room, text: &mut ImmutableString, len: i64, with: &str) -> Result<(), Fault> {
    let missing = usize::try_from(len).unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return Ok(());
    }
    if with.is_empty() {
        return Err("pad: there is nothing to pad with".into());
    }
    let width = with.chars().count();
    let last: usize = with.chars().take(missing % width).map(char::len_utf8).sum();
    let size = (missing / width).saturating_mul(with.len()).saturating_add(last).saturating_add(text.len());
    room.text(size)?;
    let mut longer = [text.as_str(), &with.repeat(missing / width)].concat();
    longer.extend(with.chars().take(missing % width));
    *text = longer.into();
    Ok(())
}

fn split(engine: &mut Engine, room: Room) {
    engine
        .register_fn("split", move |text: ImmutableString| match text.is_empty() {
            true => Ok(whole(text)),
            false => pieces(room, text.split_whitespace()),
        })
        .register_fn("split", move |text: ImmutableString, at: &str| match is_within(&text, at) {
            false => Ok(whole(text)),
            true => pieces(room, text.split(at)),
        })
        .register_fn("split", move |text: ImmutableString, at: char| pieces(room, text.split(at)))
        .register_fn("split_rev", move |text: ImmutableString, at: &str| match is_within(&text, at) {
            false => Ok(whole(text)),
            true => pieces(room, text.rsplit(at)),
        })
        .register_fn("split_rev", move |text: ImmutableString, at: char| pieces(room, text.rsplit(at)));
}

/// The same into a number of pieces at most.
fn split_at_most(engine: &mut Engine, room: Room) {
    let many = |most: i64| usize::try_from(most).unwrap_or(0).max(1);
    engine
        .register_fn("split", move |text: ImmutableString, at: &str, most: i64| match is_within(&text, at) {
            false => Ok(whole(text)),
            true => pieces(room, text.splitn(many(most), at)),
        })
        .register_fn("split", move |text: ImmutableString, at: char, most: i64| {
            pieces(room, text.splitn(many(most), at))
        })
        .register_fn("split_rev", move |text: ImmutableString, at: &str, most: i64| {
            match is_within(&text, at) {
                false => Ok(whole(text)),
                true => pieces(room, text.rsplitn(many(most), at)),
            }
        })
        .register_fn("split_rev", move |text: ImmutableString, at: char, most: i64| {
            pieces(room, text.rsplitn(many(most), at))
        });
}

/// Whether there is something to split. Nothing is between any two characters, but not in an empty
/// text.
fn is_within(text: &str, at: &str) -> bool {
    !text.is_empty() && text.contains(at)
}

fn whole(text: ImmutableString) -> Array {
    vec![text.into()]
}

fn pieces<'a>(room: Room, pieces: impl Iterator<Item = &'a str>) -> Result<Array, Fault> {
    let pieces: Array = pieces.take(room.items + 1).map(|piece| piece.into()).collect();
    room.items(pieces.len())?;
    Ok(pieces)
}
