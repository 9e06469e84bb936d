//! Values of messages on the terminal.

use aemp::Value;
use aemp::log::{OneLine, is_plain};
use serde_json::{Map, Number, Value as Json};

/// The values as JSON, separated by commas: a JSON list without its brackets, as the Perl tool
/// prints answers.
pub(crate) fn to_line(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(|value| json_text(&to_json(value))).collect();
    texts.join(",")
}

/// The values as one JSON list.
pub(crate) fn to_list(values: &[Value]) -> String {
    format!("[{}]", to_line(values))
}

/// The values as plain texts, separated by blanks, on one line: Perl ends its errors with a line
/// end.
pub(crate) fn to_words(values: &[Value]) -> String {
    let word = |value: &Value| match to_json(value) {
        Json::String(text) => text,
        other => other.to_string(),
    };
    let words = values.iter().map(word).collect::<Vec<_>>().join(" ");
    escaped(words.trim_end_matches('\n'))
}

/// Text of somebody far away: it must not steer this terminal, and stays on its line.
pub(crate) fn escaped(text: &str) -> String {
    OneLine::escape(text)
}

/// JSON as text. A terminal obeys more characters than JSON has to escape, and does not show
/// others.
pub(crate) fn json_text(json: &Json) -> String {
    let text = json.to_string();
    if text.chars().all(is_plain) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character) {
            escaped.push(character);
        } else {
            // What is left of them stands in strings.
            let units = character
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            escaped.push_str(&units);
        }
    }
    escaped
}

/// A value as JSON.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => {
            Number::from_i128(*number).map_or_else(|| number.to_string().into(), Json::Number)
        }
        Value::Float(number) => {
            Number::from_f64(*number).map_or_else(|| number.to_string().into(), Json::Number)
        }
        Value::Text(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(from_bytes(bytes)),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| (key_text(key), to_json(value));
            Json::Object(entries.iter().map(entry).collect::<Map<_, _>>())
        }
        Value::Tag(_, value) => to_json(value),
    }
}

fn key_text(key: &Value) -> String {
    match to_json(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// Bytes are mostly text that Perl holds encoded.
fn from_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_json_with_commas() {
        let map = Value::Map(vec![(Value::Int(1), Value::Bytes(vec![0xc3, 0xa9].into()))]);
        let values =
            [Value::Int(5), Value::Text("a\"b".into()), Value::Null, Value::List(vec![true.into()]), map];
        assert_eq!(to_line(&values), r#"5,"a\"b",null,[true],{"1":"é"}"#);
        assert_eq!(to_line(&[Value::Bytes(vec![0xe9].into())]), "\"é\"");
        assert_eq!(
            to_line(&[Value::Int(-(1 << 64)), Value::Float(f64::NAN)]),
            "\"-18446744073709551616\",\"NaN\""
        );
        assert_eq!(to_line(&[]), "");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(escaped("a\tb\nc\u{1b}[2Jé☺"), "a\tb\\nc\\u{1b}[2Jé☺");
        let hostile = [Value::Text("a\u{1b}]0;x\u{7}\n└── b\n".into()), Value::Bytes(vec![0x9b].into())];
        assert_eq!(to_words(&hostile), "a\\u{1b}]0;x\\u{7}\\n└── b\\n \\u{9b}");
        assert_eq!(to_line(&hostile), "\"a\\u001b]0;x\\u0007\\n└── b\\n\",\"\\u009b\"");
        assert_eq!(to_line(&["\u{7f}\u{85}".into()]), "\"\\u007f\\u0085\"");
        assert_eq!(to_line(&["\u{202e}\u{e0041}é".into()]), "\"\\u202e\\udb40\\udc41é\"");
        assert_eq!(to_words(&["no at line 1.\n".into()]), "no at line 1.");
    }

    #[test]
    fn reasons_are_words() {
        let values = [
            Value::name("transport_error"),
            Value::name("node"),
            Value::Text("connect timeout".into()),
            5.into(),
        ];
        assert_eq!(to_words(&values), "transport_error node connect timeout 5");
    }
}
