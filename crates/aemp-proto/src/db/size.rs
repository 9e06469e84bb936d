//! How much room values take: for the limit on database entries, and so that a database fits into
//! messages.

use crate::Value;
use crate::wire::request::Family;
use crate::wire::{Limits, Tables};

/// At least as many bytes as the value has on the wire.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 9,
        Value::Text(text) => 5 + text.len(),
        Value::Bytes(bytes) => 5 + bytes.len(),
        Value::List(values) => 5 + values.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 5 + entries.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>(),
        Value::Tag(_, value) => 9 + size(value),
    }
}

/// The most lists, maps and tags that the value of an entry may be made of inside of each other: so
/// it also fits into a request with the whole database, where a family and the database are around
/// it, and the message.
pub(crate) const LEVELS_MAX: usize = Limits::DEFAULT.depth - 3;

/// How many lists, maps and tags are inside of each other.
pub(crate) fn levels(value: &Value) -> usize {
    match value {
        Value::List(values) => 1 + values.iter().map(levels).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries.iter().map(|(key, value)| levels(key).max(levels(value))).max().unwrap_or(0)
        }
        Value::Tag(_, value) => 1 + levels(value),
        _ => 0,
    }
}

/// At least as many bytes as a subkey has on the wire.
pub(crate) fn key_size(key: &str) -> usize {
    5 + key.len()
}

/// About how many bytes of memory a value takes.
pub(crate) fn memory(value: &Value) -> usize {
    const ALLOCATION: usize = 16;
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
        Value::Text(text) => ALLOCATION + text.len(),
        Value::Bytes(bytes) => ALLOCATION + bytes.len(),
        Value::List(values) => ALLOCATION + values.iter().map(memory).sum::<usize>(),
        Value::Map(entries) => {
            ALLOCATION + entries.iter().map(|(key, value)| memory(key) + memory(value)).sum::<usize>()
        }
        Value::Tag(_, value) => ALLOCATION + memory(value),
    };
    size_of::<Value>() + inside
}

/// Cuts a change of a family, what is set and what is deleted, into parts of at most `limit` bytes,
/// or one entry; there is at least one part.
pub(crate) fn split_change(set: Family, deleted: Vec<String>, limit: usize) -> Vec<(Family, Vec<String>)> {
    let (mut parts, mut part, mut room) = (Vec::new(), (Family::new(), Vec::new()), limit);
    let set = set.into_iter().map(|(key, value)| (key, Some(value)));
    for (key, value) in set.chain(deleted.into_iter().map(|key| (key, None))) {
        let bytes = 5 + key.len() + value.as_ref().map_or(0, size);
        if bytes > room && room < limit {
            parts.push(std::mem::take(&mut part));
            room = limit;
        }
        room = room.saturating_sub(bytes);
        match value {
            Some(value) => drop(part.0.insert(key, value)),
            None => part.1.push(key),
        }
    }
    parts.push(part);
    parts
}

/// Cuts a database into parts of about `limit` bytes; there is at least one part.
pub(crate) fn split(tables: Tables, limit: usize) -> Vec<Tables> {
    let (mut parts, mut part, mut room) = (Vec::new(), Tables::new(), limit);
    for (family, entries) in tables {
        for (key, value) in entries {
            let bytes = key.len() + size(&value);
            if bytes > room && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                room = limit;
            }
            room = room.saturating_sub(bytes);
            part.entry(family.clone()).or_default().insert(key, value);
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(families: u32, entries: u32) -> Tables {
        let family = |f| (0..entries).map(|n| (format!("key{n}"), Value::from(f))).collect();
        (0..families).map(|f| (format!("family{f}"), family(f))).collect()
    }

    #[test]
    fn a_small_database_is_one_part_even_if_it_is_empty() {
        assert_eq!(split(Tables::new(), 100), [Tables::new()]);
        assert_eq!(split(tables(2, 3), 1000), [tables(2, 3)]);
    }

    #[test]
    fn the_parts_of_a_large_one_are_small_and_make_up_the_whole() {
        let parts = split(tables(3, 20), 100);
        assert!(parts.len() > 5);
        let mut whole = Tables::new();
        for part in parts {
            let bytes: usize = part.values().flatten().map(|(key, value)| key.len() + size(value)).sum();
            assert!(bytes <= 100);
            for (family, entries) in part {
                whole.entry(family).or_default().extend(entries);
            }
        }
        assert_eq!(whole, tables(3, 20));
    }

    #[test]
    fn a_change_is_cut_where_it_has_to_be() {
        assert_eq!(split_change(Family::new(), Vec::new(), 10), [(Family::new(), Vec::new())]);
        let set: Family = (0..20).map(|n| (format!("key{n}"), Value::from(n))).collect();
        let deleted: Vec<String> = (0..20).map(|n| format!("gone{n}")).collect();
        assert_eq!(split_change(set.clone(), deleted.clone(), 1000), [(set.clone(), deleted.clone())]);
        let parts = split_change(set.clone(), deleted.clone(), 100);
        assert!(parts.len() > 4 && parts.iter().all(|(set, deleted)| set.len() + deleted.len() <= 10));
        let (sets, deletes): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        assert_eq!(sets.into_iter().flatten().collect::<Family>(), set);
        assert_eq!(deletes.concat(), deleted);
    }
}
