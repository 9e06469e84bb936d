//! The expansion of `derive(Message)`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DataEnum, DeriveInput, Error, Fields, Generics, Ident, Result, Variant};

use crate::attributes::{MessageAttributes, SerdeContainer, SerdeVariant};
use crate::case::snake;
use crate::fields;

/// What the constant lists.
#[derive(Default)]
struct Tags {
    entries: Vec<Entry>,
    /// Variants with fields that may be left out, and their places.
    optional: Vec<(String, Vec<usize>)>,
    other: Option<(String, Span)>,
}

struct Entry {
    variant: String,
    tag: String,
    span: Span,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    refuse_lifetimes(&input.generics)?;
    let tags = match &input.data {
        Data::Enum(data) => of_enum(input, data)?,
        Data::Struct(data) => of_struct(input, &data.fields)?,
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "a union cannot be a message: use an enum or a struct",
            ));
        }
    };
    Ok(implementation(input, &tags))
}

fn refuse_lifetimes(generics: &Generics) -> Result<()> {
    match generics.lifetimes().next() {
        Some(lifetime) => Err(Error::new_spanned(
            lifetime,
            "a message must own what it holds, because it outlives its sender: no lifetimes",
        )),
        None => Ok(()),
    }
}

fn of_struct(input: &DeriveInput, fields: &Fields) -> Result<Tags> {
    let serde = SerdeContainer::parse(&input.attrs)?;
    let attributes = MessageAttributes::parse(&input.attrs)?;
    if let Some(span) = attributes.other {
        return Err(Error::new(span, "`other` belongs to a variant of an enum"));
    }
    let name = input.ident.unraw().to_string();
    let mut tags = Tags::default();
    tags.add_optional(&name, fields::optional(fields, serde.default)?);
    tags.add(&input.ident, name, &attributes)?;
    Ok(tags)
}

fn of_enum(input: &DeriveInput, data: &DataEnum) -> Result<Tags> {
    let serde = SerdeContainer::parse(&input.attrs)?;
    refuse_on_enum(&input.attrs)?;
    let mut tags = Tags::default();
    for variant in &data.variants {
        tags.add_variant(variant, &serde)?;
    }
    if tags.entries.is_empty() && tags.other.is_none() {
        return Err(Error::new_spanned(&input.ident, "an enum without variants is never a message"));
    }
    Ok(tags)
}

fn refuse_on_enum(attributes: &[Attribute]) -> Result<()> {
    match attributes.iter().find(|attribute| attribute.path().is_ident("message")) {
        Some(attribute) => Err(Error::new_spanned(attribute, "`message` belongs to the variants of an enum")),
        None => Ok(()),
    }
}

impl Tags {
    fn add_variant(&mut self, variant: &Variant, container: &SerdeContainer) -> Result<()> {
        let attributes = MessageAttributes::parse(&variant.attrs)?;
        let serde = SerdeVariant::parse(&variant.attrs)?;
        if serde.skip {
            return Ok(());
        }
        let optional = fields::optional(&variant.fields, false)?;
        let name = match serde.rename {
            Some(name) => name,
            None => container.variant_name(&variant.ident.unraw().to_string())?,
        };
        self.add_optional(&name, optional);
        let Some(span) = attributes.other else { return self.add(&variant.ident, name, &attributes) };
        self.add_other(variant, name, span, &attributes)
    }

    fn add_optional(&mut self, variant: &str, places: Vec<usize>) {
        if !places.is_empty() {
            self.optional.push((variant.into(), places));
        }
    }

    fn add_other(
        &mut self,
        variant: &Variant,
        name: String,
        span: Span,
        attributes: &MessageAttributes,
    ) -> Result<()> {
        if let Some((_, first)) = &self.other {
            let mut error = Error::new(span, "only one variant can be `other`");
            error.combine(Error::new(*first, "the first one is here"));
            return Err(error);
        }
        self.other = Some((name.clone(), span));
        match (&variant.fields, &attributes.tag) {
            // It holds nothing of the message, so it needs a tag of its own to be written.
            (Fields::Unit, _) => self.add(&variant.ident, name, attributes),
            (_, None) => Ok(()),
            (_, Some(tag)) => Err(Error::new(
                tag.span(),
                "an `other` variant with fields holds the tag and has none of its own",
            )),
        }
    }

    fn add(&mut self, ident: &Ident, variant: String, attributes: &MessageAttributes) -> Result<()> {
        let (tag, span) = match &attributes.tag {
            Some(tag) => (tag.value(), tag.span()),
            None => (snake(&ident.unraw().to_string()), ident.span()),
        };
        if let Some(first) = self.entries.iter().find(|entry| entry.tag == tag) {
            let mut error = Error::new(span, format_args!("the tag {tag:?} is taken"));
            error.combine(Error::new(first.span, "by this variant"));
            return Err(error);
        }
        self.entries.push(Entry { variant, tag, span });
        Ok(())
    }
}

fn implementation(input: &DeriveInput, tags: &Tags) -> TokenStream {
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let entries = tags.entries.iter().map(|Entry { variant, tag, .. }| quote!((#variant, #tag)));
    let optional = tags.optional.iter().map(|(variant, places)| quote!((#variant, &[#(#places),*])));
    let other = match &tags.other {
        Some((name, _)) => quote!(::core::option::Option::Some(#name)),
        None => quote!(::core::option::Option::None),
    };
    quote! {
        #[automatically_derived]
        impl #generics ::aemp::message::Message for #ident #arguments #bounds {
            const VARIANTS: ::aemp::message::Variants =
                ::aemp::message::Variants {
                    tags: &[#(#entries),*],
                    other: #other,
                    optional: &[#(#optional),*],
                };
        }
    }
}
