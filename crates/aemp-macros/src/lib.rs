//! `derive(Message)` for aemp: how the variants of an enum are told apart in messages.
//!
//! Use it through the crate `aemp`, which re-exports it.
//!
//! Reading order: `message` (the expansion), `attributes` (what the attributes say), `fields` (what
//! may stand in a place), `case` (tags out of names).

mod attributes;
mod case;
mod fields;
mod message;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes an enum or a struct a message type. It must implement `Serialize` and `Deserialize` too,
/// usually by deriving them.
///
/// Each variant is one message: its tag, then its fields in order, without their names. A struct is
/// one message in the same way. The tag is the name in snake case:
///
/// ```
/// use aemp::{AnyMessage, IntoMessage, Message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// enum Work {
///     Resize { path: String, width: u32 }, // ["resize", path, width]
///     Add(i64, i64),                       // ["add", a, b]
///     #[message(tag = "halt")]
///     Stop,                                // ["halt"]
///     #[message(other)]
///     Unknown(AnyMessage),                    // any other message, with its tag
/// }
///
/// assert_eq!(Work::Stop.encode(), ("halt",).encode());
/// assert_eq!(Work::Add(20, 22).encode(), ("add", 20, 22).encode());
/// ```
///
/// - `#[message(tag = "…")]` on a variant, or on a struct, sets the tag.
/// - `#[message(other)]` on one variant makes it take the messages whose tag no other variant has,
///   and those without a tag. It holds the whole message: a newtype variant of `AnyMessage` (or
///   another list) all values and one of `String` the tag; a tuple or struct variant the values in
///   order, the tag first; a unit variant nothing.
///
/// `#[serde(rename)]`, `rename_all` and `skip` on variants are understood; the tag does not follow
/// a `rename`. Attributes that change the form as a whole (`tag`, `content`, `untagged`,
/// `transparent`, `from`, `into`) are refused.
///
/// Fields are told apart by their places, so their names and `rename` mean nothing, and what would
/// move a value into another place is refused: `flatten`, `skip_serializing` or
/// `skip_deserializing` alone, and `skip_serializing_if` on a field without a name. With a name and
/// `default`, `skip_serializing_if` leaves null in the place of the field. A field with `skip` is
/// no part of the message: a message that is moved keeps it, one that was encoded has the default.
/// `Option<Option<T>>` and `Option<()>` are refused, for there is one null.
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    message::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
