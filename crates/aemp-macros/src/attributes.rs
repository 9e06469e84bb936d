//! What the attributes `message` and `serde` say.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, LitStr, Result, Token};

use crate::case::serde_rename_all;

/// `#[message(…)]` of a variant or a struct.
#[derive(Default)]
pub(crate) struct MessageAttributes {
    pub(crate) tag: Option<LitStr>,
    /// Where `other` stands.
    pub(crate) other: Option<Span>,
}

impl MessageAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<MessageAttributes> {
        let mut found = MessageAttributes::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("message")) {
            attribute.parse_nested_meta(|meta| found.take(&meta))?;
        }
        Ok(found)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("tag") {
            let tag = meta.value()?.parse()?;
            return match self.tag.replace(tag) {
                None => Ok(()),
                Some(_) => Err(meta.error("`tag` is set twice")),
            };
        }
        if meta.path.is_ident("other") {
            self.other = Some(meta.path.span());
            return Ok(());
        }
        Err(meta.error("unknown attribute: `message` takes `tag = \"…\"` and `other`"))
    }
}

/// `#[serde(…)]` of a variant, as far as it matters for its name.
#[derive(Default)]
pub(crate) struct SerdeVariant {
    pub(crate) rename: Option<String>,
    pub(crate) skip: bool,
}

impl SerdeVariant {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<SerdeVariant> {
        let mut found = SerdeVariant::default();
        each_serde(attributes, |meta| {
            if meta.path.is_ident("rename") {
                found.rename = Some(one_name(meta)?.value());
            } else if meta.path.is_ident("skip") {
                found.skip = true;
            } else if meta.path.is_ident("skip_serializing") || meta.path.is_ident("skip_deserializing") {
                return Err(meta.error(
                    "a variant belongs to the messages in both directions or in none: use `skip`, or leave it away",
                ));
            } else if meta.path.is_ident("other") {
                return Err(meta.error(
                    "serde does not see the tags of messages: mark the variant that takes all others with `#[message(other)]`",
                ));
            } else if meta.path.is_ident("untagged") {
                return Err(meta.error("an untagged variant cannot be told apart by its tag"));
            } else {
                ignore(meta)?;
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// `#[serde(…)]` of the type: how its variants are named.
#[derive(Default)]
pub(crate) struct SerdeContainer {
    rename_all: Option<LitStr>,
    /// Fields that are left out are those of the type's default.
    pub(crate) default: bool,
}

/// Attributes after which the type is no longer written as its variants and fields.
const OTHER_FORM: [&str; 7] = ["tag", "content", "untagged", "transparent", "from", "try_from", "into"];

impl SerdeContainer {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<SerdeContainer> {
        let mut found = SerdeContainer::default();
        each_serde(attributes, |meta| {
            if meta.path.is_ident("rename_all") {
                found.rename_all = Some(one_name(meta)?);
                return Ok(());
            }
            found.default |= meta.path.is_ident("default");
            match OTHER_FORM.into_iter().find(|name| meta.path.is_ident(name)) {
                Some(name) => Err(meta.error(format_args!(
                    "a message type must keep serde's own form: `serde({name})` cannot be used with derive(Message)"
                ))),
                None => ignore(meta),
            }
        })?;
        Ok(found)
    }

    /// The name that `serde` gives to a variant without a `rename` of its own.
    pub(crate) fn variant_name(&self, variant: &str) -> Result<String> {
        let Some(rule) = &self.rename_all else { return Ok(variant.into()) };
        serde_rename_all(&rule.value(), variant).ok_or_else(|| Error::new(rule.span(), "not a rule of serde"))
    }
}

pub(crate) fn each_serde(
    attributes: &[Attribute],
    mut take: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes.iter().filter(|a| a.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| take(&meta))?;
    }
    Ok(())
}

/// The name in `rename = "…"`, or in `rename(serialize = "…", deserialize = "…")` if both are the
/// same.
fn one_name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    if meta.input.peek(Token![=]) {
        return meta.value()?.parse();
    }
    let mut names: Vec<LitStr> = Vec::new();
    meta.parse_nested_meta(|side| {
        names.push(side.value()?.parse()?);
        Ok(())
    })?;
    match names.as_slice() {
        [name, other] if name.value() == other.value() => Ok(name.clone()),
        _ => Err(meta.error("a message type must have the same names in both directions")),
    }
}

pub(crate) fn ignore(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>().map(drop)
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| ignore(&inner))
    } else {
        Ok(())
    }
}
