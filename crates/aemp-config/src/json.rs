//! Arguments and configured values as values of a message.

use serde_json::Value as Json;

use super::ConfigError;
use super::address::is_ipv6;
use aemp::Value;

/// Reads one argument of a command as the Perl tool does: JSON where it starts with `[`, `{` or
/// `"`, otherwise the text itself (numbers too: a receiver takes `"5"` where it wants a number). An
/// IPv6 address in brackets is a text.
///
/// # Errors
///
/// It starts like JSON and is not JSON.
pub fn parse_argument(text: &str) -> Result<Json, ConfigError> {
    if !text.starts_with(['[', '{', '"']) || is_address(text) {
        return Ok(Json::String(text.into()));
    }
    serde_json::from_str(text).map_err(|error| {
        let shown: String = text.chars().take(40).collect();
        ConfigError::Arguments(format!(
            "{shown}: an argument that starts with [, {{ or \" must be JSON, and it is not: {error}"
        ))
    })
}

/// Whether it starts with an IPv6 address in brackets, which is never JSON.
fn is_address(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    inside.is_some_and(|(address, _)| is_ipv6(address))
}

/// Reads one argument of a command that can only be a text: as it is, or as a JSON string.
///
/// # Errors
///
/// It starts like JSON and is not JSON, or is JSON of another kind.
pub fn parse_text(text: &str) -> Result<String, ConfigError> {
    match parse_argument(text)? {
        Json::String(text) => Ok(text),
        _ => Err(ConfigError::Arguments("a list or an object stands where a text is expected".into())),
    }
}

/// A JSON value as a value of a message.
pub fn value_from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => number
            .as_i128()
            .map(Value::Int)
            .or_else(|| number.as_f64().map(Value::Float))
            .unwrap_or_else(|| value_from_text(&number.to_string())),
        Json::String(text) => value_from_text(text),
        Json::Array(items) => Value::List(items.iter().map(value_from_json).collect()),
        Json::Object(entries) => {
            Value::Map(entries.iter().map(|(key, item)| (Value::name(key), value_from_json(item))).collect())
        }
    }
}

/// A text as the Perl tool would send it: bytes as long as it is ASCII, so that tags and names look
/// as usual.
pub fn value_from_text(text: &str) -> Value {
    if text.is_ascii() { Value::name(text) } else { Value::Text(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_three_characters_start_json() {
        assert_eq!(parse_argument("5").unwrap(), json!("5"));
        assert_eq!(parse_argument("null").unwrap(), json!("null"));
        assert_eq!(parse_argument("\"5\"").unwrap(), json!("5"));
        assert_eq!(parse_argument("[::1]:4040,[fd00::2]:1").unwrap(), json!("[::1]:4040,[fd00::2]:1"));
        assert_eq!(parse_argument("[fe80::1%eth0]:1").unwrap(), json!("[fe80::1%eth0]:1"));
        assert_eq!(parse_argument("[5, null]").unwrap(), json!([5, null]));
        assert_eq!(parse_argument("{\"a\": 1.5}").unwrap(), json!({"a": 1.5}));
        let error = parse_argument("[5,").unwrap_err().to_string();
        assert!(error.starts_with("[5,: an argument"), "{error}");
    }

    #[test]
    fn a_text_may_be_a_json_string() {
        assert_eq!(parse_text("a").unwrap(), "a");
        assert_eq!(parse_text(r#""[a""#).unwrap(), "[a");
        for bad in ["[1]", "{}", "\"a", "[a"] {
            assert!(parse_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_keep_their_kind() {
        let json =
            json!([null, true, 18446744073709551615u64, -9223372036854775808i64, 0.5, "a", "é", {"k": []}]);
        let expected = Value::List(vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(u64::MAX.into()),
            Value::Int(i64::MIN.into()),
            Value::Float(0.5),
            Value::name("a"),
            Value::Text("é".into()),
            Value::Map(vec![(Value::name("k"), Value::List(vec![]))]),
        ]);
        assert_eq!(value_from_json(&json), expected);
    }
}
