//! The functions of the standard package that can make far more than they are given, or take far
//! longer: here with a look at the limits first. The package looks afterwards, when the memory is
//! gone already.

mod arrays;
mod json;
mod order;
mod show;
mod strings;

use rhai::Engine;

use crate::limits::Limits;
use crate::run::Fault;

/// Puts these functions before those of the package.
pub(crate) fn register(engine: &mut Engine, limits: &Limits) {
    let room = Room { text: limits.text, items: limits.items };
    strings::register(engine, room);
    arrays::register(engine, room);
    order::register(engine);
    show::register(engine, room);
    json::register(engine, room);
}

/// What one value may have.
#[derive(Debug, Clone, Copy)]
struct Room {
    text: usize,
    items: usize,
}

impl Room {
    /// Whether a text of this many bytes may be made.
    fn text(self, bytes: usize) -> Result<(), Fault> {
        if bytes <= self.text {
            return Ok(());
        }
        Err(format!("a text would be too large: more than {} bytes (script_limits: text)", self.text).into())
    }

    /// Whether an array of this many values may be made.
    fn items(self, items: usize) -> Result<(), Fault> {
        if items <= self.items {
            return Ok(());
        }
        Err(format!("a value would be too large: more than {} items (script_limits: items)", self.items)
            .into())
    }
}

#[cfg(test)]
mod tests;
