//! What a native frame has between its header and its payload: fields with a type and a length,
//! for what not every peer has to know.
//!
//! ```text
//!  +------+--------+------ … ------+
//!  | type | length | value         |   type u8, length u16
//!  +------+--------+------ … ------+
//! ```
//!
//! Fields of a type that is not known are skipped; so is all from something on that is no field,
//! and a value that cannot be: none of this is worth a connection.

use crate::TraceContext;

/// Bytes of a field before its value.
const HEAD: usize = 3;

/// A [`TraceContext`] in its binary form.
const TRACE_CONTEXT: u8 = 1;

/// Bytes of the field with a trace context.
pub(super) const TRACE_LEN: u16 = (HEAD + TraceContext::BYTES) as u16;

/// Appends a trace context.
pub(super) fn write_trace(out: &mut Vec<u8>, trace: TraceContext) {
    out.push(TRACE_CONTEXT);
    out.extend_from_slice(&(TraceContext::BYTES as u16).to_le_bytes());
    out.extend_from_slice(&trace.to_bytes());
}

/// The trace context in these fields. Of several the first one counts, and one that is not recorded
/// is as good as none.
pub(super) fn read_trace(mut fields: &[u8]) -> Option<TraceContext> {
    while let [kind, low, high, rest @ ..] = fields {
        let (value, next) = rest.split_at_checked(u16::from_le_bytes([*low, *high]).into())?;
        if *kind == TRACE_CONTEXT {
            return TraceContext::from_bytes(value.try_into().ok()?).filter(TraceContext::is_sampled);
        }
        fields = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context() -> TraceContext {
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap()
    }

    fn written() -> Vec<u8> {
        let mut out = Vec::new();
        write_trace(&mut out, context());
        out
    }

    #[test]
    fn a_context_is_the_bytes_that_the_protocol_says() {
        let expected = [
            0x01, 0x19, 0x00, // type 1, 25 bytes
            0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
            0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31, 0x01,
        ];
        assert_eq!(written(), expected);
        assert_eq!(usize::from(TRACE_LEN), expected.len());
        assert_eq!(read_trace(&expected), Some(context()));
    }

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let unknown = [&[9, 2, 0, 1, 2], &written()[..], &[7, 0, 0]].concat();
        assert_eq!(read_trace(&unknown), Some(context()));
    }

    #[test]
    fn what_is_no_context_is_none() {
        let mut zero = written();
        zero[3..19].fill(0);
        let mut not_sampled = written();
        not_sampled[27] = 0;
        let longer = [&[1, 26, 0], &written()[3..], &[0]].concat();
        for fields in [&[][..], &[1], &[1, 25, 0], &written()[..27], &zero, &not_sampled, &longer] {
            assert_eq!(read_trace(fields), None, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(fields in prop::collection::vec(any::<u8>(), 0..64)) {
            let read = read_trace(&fields);
            prop_assert!(read.is_none_or(|context| context.is_sampled()));
        }
    }
}
