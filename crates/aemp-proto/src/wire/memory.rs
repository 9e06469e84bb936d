//! How much memory values take when they are decoded: many times their bytes on the wire, if they
//! are small.

use super::scan::{self, BYTES, TEXT};
use crate::Value;

/// Bytes of memory that the untyped values of one message may take.
pub(crate) const VALUES_MAX: usize = 256 << 20;

/// What a string, list or map takes beside what is in it.
pub(crate) const ALLOCATION: usize = 16;

/// What a CBOR tag takes beside its content.
pub(crate) const TAG: usize = size_of::<Value>() + ALLOCATION;

/// About how many bytes of memory the values of these well-formed items take when they are decoded,
/// and not fewer.
pub(crate) fn decoded(items: &[u8]) -> usize {
    let (mut at, mut bytes) = (0, 0usize);
    while let Ok(Some(head)) = scan::head(&items[at..]) {
        at += head.len;
        bytes += size_of::<Value>();
        if (BYTES..=scan::TAG).contains(&head.major) {
            bytes += ALLOCATION;
        }
        if matches!(head.major, BYTES | TEXT) && !head.is_indefinite() {
            let length = usize::try_from(head.argument).unwrap_or(usize::MAX);
            bytes = bytes.saturating_add(length);
            at = at.saturating_add(length).min(items.len());
        }
    }
    bytes
}

/// Whether the values take no more than `limit` bytes of memory. What is short is not looked at.
pub(crate) fn fits(items: &[u8], limit: usize) -> bool {
    // Each value has one byte at least.
    let most = size_of::<Value>() + ALLOCATION + 1;
    items.len().saturating_mul(most) <= limit || decoded(items) <= limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::db::size::memory;
    use crate::wire::Body;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
                proptest::collection::vec((inner.clone(), inner.clone()), 0..8).prop_map(Value::Map),
                (any::<u64>(), inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_takes_as_much_as_is_said(values in proptest::collection::vec(any_value(), 0..8)) {
            let body = Body::encode(&values).unwrap();
            let taken: usize = values.iter().map(memory).sum();
            let said = decoded(body.items());
            prop_assert_eq!(said, taken);
            prop_assert!(fits(body.items(), said));
        }
    }

    #[test]
    fn garbage_ends_the_count() {
        for items in [&[0xff; 9][..], &[0x5f, 0x41], &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            decoded(items);
        }
    }
}
