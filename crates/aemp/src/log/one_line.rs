//! Text that somebody else has chosen, on one line, as a log and a terminal can take it.

use std::fmt::{self, Write};

/// A text on one line that grows to its limit: what would end the line, steer a terminal, turn the
/// direction of writing or not be seen is escaped, as `\n` and `\u{1b}`. It is cut with `…`.
///
/// Everything that shows the text of another node goes through this: its error texts and reasons,
/// log records and results.
///
/// ```
/// use std::fmt::Write as _;
///
/// use aemp::log::OneLine;
///
/// let mut line = OneLine::new(20);
/// // An error says that the limit was reached.
/// let _ = write!(line, "a\nb{}", "\u{202e}c".repeat(9));
/// assert_eq!(line.into_string(), "a\\nb\\u{202e}c\\u{202e…");
/// ```
#[derive(Debug, Clone)]
pub struct OneLine {
    text: String,
    limit: usize,
    is_cut: bool,
}

impl OneLine {
    /// An empty text that may have this many bytes, and the mark where it was cut.
    pub fn new(limit: usize) -> OneLine {
        OneLine { text: String::new(), limit, is_cut: false }
    }

    /// The whole text on one line.
    pub fn escape(text: &str) -> String {
        let mut line = OneLine::new(usize::MAX);
        // There is no limit that could be reached.
        let _ = line.write_str(text);
        line.text
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.text
    }

    fn add(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Err(fmt::Error);
        }
        let room = self.limit.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        self.text.push_str(&text[..text.floor_char_boundary(room)]);
        self.text.push('…');
        self.is_cut = true;
        Err(fmt::Error)
    }
}

impl Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|character| !is_plain(character)) {
            self.add(&rest[..at])?;
            let character = rest[at..].chars().next().unwrap_or_default();
            self.add(&match character {
                '\n' | '\r' | '\0' => character.escape_debug().collect::<String>(),
                _ => character.escape_unicode().collect(),
            })?;
            rest = &rest[at + character.len_utf8()..];
        }
        self.add(rest)
    }
}

/// Whether a character shows as itself and does nothing else: tabs and letters of all scripts do,
/// controls, signs for the direction of writing and what has no width do not.
pub fn is_plain(character: char) -> bool {
    match character {
        '\t' | ' '..='~' => true,
        // Fillers and signs that choose a form: letters and marks by their class, and nothing is
        // seen of them.
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // Blanks between words of some scripts.
        '\u{a0}' | '\u{3000}' => true,
        // Marks belong to the letter before them.
        other => !['a', other].iter().collect::<String>().escape_debug().any(|shown| shown == '\\'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays() {
        for text in ["a\tb 'c' \"d\" \\e", "é☺ 日本\u{3000}語 e\u{301} עברית العربية हिन्दी", ""]
        {
            assert_eq!(OneLine::escape(text), text);
        }
    }

    #[test]
    fn what_does_something_else_is_escaped() {
        for hidden in [
            '\0',
            '\n',
            '\r',
            '\u{7}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            let shown = OneLine::escape(&format!("a{hidden}b"));
            assert!(
                shown.is_ascii() && shown.starts_with("a\\") && shown.ends_with('b'),
                "{hidden:?}: {shown}"
            );
        }
        assert_eq!(OneLine::escape("a\nc\u{1b}[2J"), "a\\nc\\u{1b}[2J");
    }

    #[test]
    fn it_ends_at_its_limit() {
        for limit in 0..40 {
            let mut line = OneLine::new(limit);
            let all = write!(line, "é{}\u{1b}{}", "é".repeat(5), "x".repeat(10)).is_ok();
            assert!(line.write_str("more than there is room for, in any case").is_err());
            let text = line.into_string();
            assert!(text.len() <= limit + "…".len() && text.ends_with('…'), "{limit}: {text}");
            assert_eq!(all, limit >= 12 + 6 + 10, "{limit}: {text}");
        }
    }
}
