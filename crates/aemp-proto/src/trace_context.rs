//! The place of a message in a trace, as W3C Trace Context has it: which trace, and what in it sent
//! the message.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use thiserror::Error;

/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// A trace, and something in it that others follow from: what W3C Trace Context writes as
/// `traceparent`. In frames it takes [`TraceContext::BYTES`] bytes.
///
/// # Examples
///
/// ```
/// use aemp_proto::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), aemp_proto::TraceParentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceParentError {
    /// It is not `00-TRACE-SPAN-FLAGS` in lower-case hexadecimal digits.
    #[error("a traceparent is 00-, 32 hexadecimal digits, -, 16 digits, - and 2 digits, in lower case")]
    Form,
    /// Version 255 is not allowed.
    #[error("a traceparent has no version ff")]
    Version,
    /// The ID of the trace or of the span is zero.
    #[error("the ID of the trace or the span in a traceparent is zero")]
    Zero,
}

impl TraceContext {
    /// Bytes of the binary form: trace ID, span ID, flags.
    pub const BYTES: usize = 25;

    /// A place in a trace that is recorded.
    pub fn sampled(trace: NonZeroU128, span: NonZeroU64) -> TraceContext {
        TraceContext { trace, span, flags: SAMPLED }
    }

    /// The ID of the trace: its 16 bytes, the first one being the highest.
    pub fn trace(&self) -> NonZeroU128 {
        self.trace
    }

    /// The ID of what others in the trace follow from: its 8 bytes, the first one being the
    /// highest.
    pub fn span(&self) -> NonZeroU64 {
        self.span
    }

    /// The flags of W3C Trace Context, those included that are not known here.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is recorded. A context that is not is not sent with messages.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The ID of the trace in 32 hexadecimal digits.
    pub fn trace_hex(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The ID of the span in 16 hexadecimal digits.
    pub fn span_hex(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Another place in the same trace.
    #[must_use]
    pub fn at(self, span: NonZeroU64) -> TraceContext {
        TraceContext { span, ..self }
    }

    /// The binary form.
    pub fn to_bytes(self) -> [u8; TraceContext::BYTES] {
        let mut bytes = [0; TraceContext::BYTES];
        bytes[..16].copy_from_slice(&self.trace.get().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span.get().to_be_bytes());
        bytes[24] = self.flags;
        bytes
    }

    /// What the binary form says; `None` if an ID is zero.
    pub fn from_bytes(bytes: &[u8; TraceContext::BYTES]) -> Option<TraceContext> {
        let trace = NonZeroU128::new(u128::from_be_bytes(*bytes.first_chunk()?))?;
        let span = NonZeroU64::new(u64::from_be_bytes(*bytes[16..].first_chunk()?))?;
        Some(TraceContext { trace, span, flags: bytes[24] })
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = TraceParentError;

    /// Reads a `traceparent`. Of a later version than 00 what follows the flags is ignored, as the
    /// standard wants it.
    fn from_str(text: &str) -> Result<TraceContext, TraceParentError> {
        let mut fields = text.splitn(5, '-');
        let mut field = |digits: usize| {
            let field = fields.next().filter(|field| field.len() == digits);
            let is_lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
            field.filter(|field| field.bytes().all(is_lower_hex)).ok_or(TraceParentError::Form)
        };
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        match version {
            "ff" => return Err(TraceParentError::Version),
            "00" if fields.next().is_some() => return Err(TraceParentError::Form),
            _ => {}
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| TraceParentError::Form)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| TraceParentError::Form)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| TraceParentError::Form)?;
        let (trace, span) = (NonZeroU128::new(trace), NonZeroU64::new(span));
        let (trace, span) = trace.zip(span).ok_or(TraceParentError::Zero)?;
        Ok(TraceContext { trace, span, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard, <https://www.w3.org/TR/trace-context/>.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_standard_is_read_and_written() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert_eq!(context.trace().get(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span().get(), 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled() && context.flags() == 1);
        assert_eq!(context.to_string(), EXAMPLE);
        let bytes = context.to_bytes();
        assert_eq!(bytes[..2], [0x0a, 0xf7]);
        assert_eq!(bytes[16..18], [0xb7, 0xad]);
        assert_eq!(bytes[24], 1);
        assert_eq!(TraceContext::from_bytes(&bytes), Some(context));
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let wrong = |text: &str| text.parse::<TraceContext>().unwrap_err();
        assert_eq!(wrong(&EXAMPLE.replacen("00", "ff", 1)), TraceParentError::Version);
        assert_eq!(wrong("00-00000000000000000000000000000000-b7ad6b7169203331-01"), TraceParentError::Zero);
        assert_eq!(wrong("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), TraceParentError::Zero);
        let upper = EXAMPLE.to_uppercase();
        let longer = format!("{EXAMPLE}-00");
        let sign = EXAMPLE.replace("b7ad6b7169203331", "+7ad6b7169203331");
        for text in ["", "00", &EXAMPLE[1..], &EXAMPLE[..54], &upper, &longer, &sign, "é0-0-0-0"] {
            assert_eq!(wrong(text), TraceParentError::Form, "{text}");
        }
    }

    #[test]
    fn of_a_later_version_what_is_known_is_read() {
        let later = format!("{}-more-and-more", EXAMPLE.replacen("00", "cc", 1));
        assert_eq!(later.parse::<TraceContext>(), EXAMPLE.parse());
    }

    #[test]
    fn flags_that_are_not_known_are_kept_and_do_not_sample() {
        let context: TraceContext = EXAMPLE.replace("-01", "-fe").parse().unwrap();
        assert!(!context.is_sampled());
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
    }
}
