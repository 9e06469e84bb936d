//! The relaxed JSON that the Perl tool reads: `#` comments, a comma after the last element, literal
//! tabs in strings.

/// Turns relaxed JSON into plain JSON. Lines keep their numbers, so that an error message still
/// names the right one.
pub(super) fn to_plain(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut state = State::Outside;
    // Where the last comma stands in `out`, as long as only blanks and comments have followed it.
    let mut open_comma = None;
    for &byte in text {
        state = match (state, byte) {
            (State::Comment, b'\n') => State::Outside,
            (State::Comment, _) => {
                out.push(b' ');
                continue;
            }
            (State::Escape, _) => State::Inside,
            (State::Inside, b'\\') => State::Escape,
            (State::Inside, b'"') => State::Outside,
            (State::Inside, b'\t') => {
                out.extend_from_slice(br"\t");
                continue;
            }
            (State::Inside, _) => State::Inside,
            (State::Outside, b'#') => {
                out.push(b' ');
                state = State::Comment;
                continue;
            }
            (State::Outside, _) => {
                match byte {
                    b',' => open_comma = Some(out.len()),
                    b']' | b'}' => {
                        if let Some(at) = open_comma.take() {
                            out[at] = b' ';
                        }
                    }
                    _ if byte.is_ascii_whitespace() => {}
                    _ => open_comma = None,
                }
                if byte == b'"' { State::Inside } else { State::Outside }
            }
        };
        out.push(byte);
    }
    out
}

#[derive(Clone, Copy)]
enum State {
    Outside,
    Inside,
    Escape,
    Comment,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn read(text: &str) -> Result<Json, serde_json::Error> {
        serde_json::from_slice(&to_plain(text.as_bytes()))
    }

    #[test]
    fn comments_and_last_commas_are_taken() {
        let text = "{ # café, \"not a string\n \"a\": [1, 2, # two\n ],\n \"b\": \"x # y,]\", \n}\n";
        assert_eq!(read(text).unwrap(), json!({"a": [1, 2], "b": "x # y,]"}));
    }

    #[test]
    fn strings_stay_as_they_are() {
        assert_eq!(read(r##"["a\"#,]", "\\", "#"]"##).unwrap(), json!(["a\"#,]", "\\", "#"]));
        assert_eq!(read("[\"a\tb\"]").unwrap(), json!(["a\tb"]));
    }

    #[test]
    fn a_lone_comma_is_still_an_error_at_its_line() {
        assert_eq!(read("[1,\n,2]").unwrap_err().line(), 2);
        assert!(read("[1,,]").is_err());
    }
}
