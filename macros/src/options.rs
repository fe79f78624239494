//! What stands in the parentheses of the attributes.

use proc_macro2::{Ident, Span};
use syn::{
    Error, LitInt, Path, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

/// The options that were given.
pub(crate) struct Options {
    /// Methods of the builder with their arguments, in the order in which they were written.
    pub(crate) builder: Vec<(Ident, LitInt)>,
    /// Where the crate `uring` is.
    pub(crate) krate: Path,
}

impl Default for Options {
    fn default() -> Options {
        Options { builder: Vec::new(), krate: syn::parse_quote!(::uring) }
    }
}

/// The options that are methods of the builder and take a `u32`.
const COUNTS: [&str; 2] = ["entries", "cq_entries"];

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Options> {
        let mut options = Options::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            // `crate` is a keyword, hence `parse_any`.
            let name = input.call(Ident::parse_any)?;
            if seen.contains(&name) {
                return Err(Error::new(name.span(), format!("option `{name}` is given twice")));
            }
            if name == "crate" {
                input.parse::<Token![=]>().map_err(|_| {
                    Error::new(name.span(), "expected a path: `crate = my_reexports::uring`")
                })?;
                options.krate = parse_path(input)?;
            } else if COUNTS.iter().any(|count| name == count) {
                // At the name: where nothing follows it, there is nothing else to point at.
                input.parse::<Token![=]>().map_err(|_| {
                    Error::new(name.span(), format!("expected a number: `{name} = 256`"))
                })?;
                options.builder.push((name.clone(), parse_count(&name, input)?));
            } else {
                let message = format!(
                    "unknown option `{name}`: there are `entries = N`, `cq_entries = N` and \
                     `crate = path`"
                );
                return Err(Error::new(name.span(), message));
            }
            seen.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>().map_err(|error| {
                    Error::new(error.span(), "expected a comma between two options")
                })?;
            }
        }
        Ok(options)
    }
}

fn parse_path(input: ParseStream<'_>) -> Result<Path> {
    input.call(Path::parse_mod_style).map_err(|error| {
        Error::new(error.span(), "expected a path without quotes: `crate = my_reexports::uring`")
    })
}

fn parse_count(name: &Ident, input: ParseStream<'_>) -> Result<LitInt> {
    let refuse =
        |span: Span| Error::new(span, format!("`{name}` takes a number from 1 to {}", u32::MAX));
    let count: LitInt = input.parse().map_err(|error| refuse(error.span()))?;
    match count.base10_parse::<u32>() {
        Ok(1..) if matches!(count.suffix(), "" | "u32") => Ok(count),
        _ => Err(refuse(count.span())),
    }
}
