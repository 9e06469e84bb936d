//! How much room a value takes, for the limit on database entries.

use crate::Value;

/// About as many octets as the value has on the wire.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 9,
        Value::Text(text) => 5 + text.len(),
        Value::Bytes(octets) => 5 + octets.len(),
        Value::List(values) => 5 + values.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 5 + entries.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>(),
        Value::Tag(_, value) => 9 + size(value),
    }
}
