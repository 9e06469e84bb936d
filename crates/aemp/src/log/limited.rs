//! Texts of records are cut, whether they are made here or come from another node: a record is for
//! reading.

use std::fmt::{self, Write as _};

/// A text is cut here, in bytes.
pub(super) const TEXT_MAX: usize = 16 << 10;

/// A text that does not grow beyond its limit.
#[derive(Default)]
pub(super) struct Limited(pub(super) String);

impl Limited {
    pub(super) fn add(&mut self, text: fmt::Arguments<'_>) {
        // An error says that the limit was reached, or that a value cannot be formatted: what there
        // is stays.
        let _ = self.write_fmt(text);
    }
}

impl fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_MAX.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if room > 0 {
            self.0.push('…');
        }
        Err(fmt::Error)
    }
}
