//! The fields of a message: their places are what travels, not their names, so an attribute of
//! `serde` that would move a value into another place is refused.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, Expr, Field, Fields, GenericArgument, Lit, PathArguments, Result, Type};

use crate::attributes::each_serde;

/// `#[serde(…)]` of a field, as far as it matters for what travels.
#[derive(Default)]
struct SerdeField {
    /// `default`, and whether it names a function.
    default: Option<bool>,
    skip: bool,
    skip_serializing: Option<Span>,
    skip_deserializing: Option<Span>,
    /// The function of `skip_serializing_if`.
    skip_if: Option<(Span, String)>,
    /// Something else writes the field, or reads it.
    with: bool,
}

/// Checks the fields of a variant or struct. Gives the places of those that may be left out. With
/// `defaults` the whole type has a default.
pub(crate) fn optional(fields: &Fields, defaults: bool) -> Result<Vec<usize>> {
    let named = matches!(fields, Fields::Named(_));
    let (mut places, mut place) = (Vec::new(), 0);
    for field in fields {
        refuse_message(field)?;
        let serde = SerdeField::parse(field)?;
        if !serde.travels()? {
            continue;
        }
        if !serde.with {
            refuse_nested_option(&field.ty)?;
        }
        if serde.may_be_left_out(field, named, defaults)? {
            places.push(place);
        }
        place += 1;
    }
    Ok(places)
}

fn refuse_message(field: &Field) -> Result<()> {
    match field.attrs.iter().find(|attribute| attribute.path().is_ident("message")) {
        Some(attribute) => Err(Error::new_spanned(attribute, "fields have no `message` attributes")),
        None => Ok(()),
    }
}

impl SerdeField {
    fn parse(field: &Field) -> Result<SerdeField> {
        let mut found = SerdeField::default();
        each_serde(&field.attrs, |meta| {
            let span = meta.path.span();
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let value: Option<Expr> =
                if meta.input.peek(syn::Token![=]) { Some(meta.value()?.parse()?) } else { None };
            match name.as_str() {
                "default" => found.default = Some(value.is_some()),
                "skip" => found.skip = true,
                "skip_serializing" => found.skip_serializing = Some(span),
                "skip_deserializing" => found.skip_deserializing = Some(span),
                "skip_serializing_if" => found.skip_if = Some((span, text(value.as_ref()))),
                "with" | "serialize_with" | "deserialize_with" => found.with = true,
                "flatten" => {
                    return Err(meta.error(
                        "a flattened field has no place in a message, which has no names: let the field be one value, \
                         without `flatten`, or write its fields here",
                    ));
                }
                _ if meta.input.peek(syn::token::Paren) => crate::attributes::ignore(meta)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Whether the field is a part of the message.
    fn travels(&self) -> Result<bool> {
        match (self.skip_serializing, self.skip_deserializing) {
            _ if self.skip => Ok(false),
            (Some(_), Some(_)) => Ok(false),
            (None, None) => Ok(true),
            (Some(span), None) | (None, Some(span)) => Err(Error::new(
                span,
                "the values behind the field would move, for fields of a message are told apart by their places: \
                 use `skip`, which leaves the field out in both directions",
            )),
        }
    }

    fn may_be_left_out(&self, field: &Field, named: bool, defaults: bool) -> Result<bool> {
        let Some((span, function)) = &self.skip_if else { return Ok(false) };
        let refuse = |text: &str| Err(Error::new(*span, text));
        if !named {
            return refuse(
                "the values behind the field would move, for serde does not tell which one of a tuple is left out: \
                 name the fields, or leave `skip_serializing_if` away",
            );
        }
        if self.default.is_none() && !defaults {
            return refuse(
                "`skip_serializing_if` needs `default` beside it: what is left out has that value",
            );
        }
        let by_none = function.replace(' ', "").ends_with("Option::is_none");
        if (by_none || is_option(&field.ty)) && (!by_none || self.default != Some(false)) {
            return refuse(
                "null stands for what is left out, and for `None`: an option can only be left out by \
                 `skip_serializing_if = \"Option::is_none\"`, with a `default` of its own that names no function",
            );
        }
        Ok(true)
    }
}

fn text(value: Option<&Expr>) -> String {
    match value {
        Some(Expr::Lit(literal)) => match &literal.lit {
            Lit::Str(text) => text.value(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// `Some` of nothing is written as null, which is `None`. What other types do is found out when
/// they are written.
fn refuse_nested_option(ty: &Type) -> Result<()> {
    match inside_option(ty) {
        Some(inner) if inside_option(inner).is_some() || is_unit(inner) => Err(Error::new_spanned(
            ty,
            "there is one null, so Some(None) and Some(()) would be read as None: use an enum, or bool for Option<()>",
        )),
        _ => Ok(()),
    }
}

fn is_option(ty: &Type) -> bool {
    inside_option(ty).is_some()
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// What an `Option` holds, if the type is one, by its name.
fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) => Some(inner),
        _ => None,
    }
}
