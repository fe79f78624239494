//! From an `async fn` to a function that builds a runtime and blocks on it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, ItemFn, Result, Signature, parse2};

use crate::options::Options;

/// Which of the two attributes was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Attribute::Main => "uring::main",
            Attribute::Test => "uring::test",
        }
    }
}

/// The function to put in the place of `item`, or the errors to report there.
pub(crate) fn expand(attribute: Attribute, options: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match parse2(item) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("#[{}] stands before an `async fn` ({error})", attribute.name());
            return Error::new(error.span(), message).into_compile_error();
        }
    };
    let checked = check(attribute, &function);
    match parse2::<Options>(options) {
        Ok(options) if checked.is_ok() => wrap(attribute, &options, &function),
        parsed => report([checked.err(), parsed.err()], &function),
    }
}

/// The errors, beside a function of the same name, so that its absence is not reported as well.
fn report(errors: [Option<Error>; 2], function: &ItemFn) -> TokenStream {
    let errors = errors.into_iter().flatten().map(Error::into_compile_error);
    let (visibility, name) = (&function.vis, &function.sig.ident);
    quote! {
        #(#errors)*
        #[allow(dead_code)]
        #visibility fn #name() {}
    }
}

/// Says all that is wrong with the function, each where it is wrong.
fn check(attribute: Attribute, function: &ItemFn) -> Result<()> {
    let Signature { constness, asyncness, unsafety, abi, fn_token, generics, inputs, .. } =
        &function.sig;
    let name = attribute.name();
    let mut errors: Option<Error> = None;
    let mut refuse = |at: &dyn ToTokens, message: String| {
        let error = Error::new_spanned(at.to_token_stream(), message);
        match &mut errors {
            Some(errors) => errors.combine(error),
            None => errors = Some(error),
        }
    };

    if asyncness.is_none() {
        let ident = &function.sig.ident;
        refuse(fn_token, format!("#[{name}] needs an `async fn`: write `async fn {ident}`"));
    }
    if let Some(constness) = constness {
        refuse(constness, format!("#[{name}] makes system calls: the function cannot be `const`"));
    }
    if let Some(unsafety) = unsafety {
        refuse(unsafety, format!("#[{name}] is called by nobody who could vouch for `unsafe`"));
    }
    if let Some(abi) = abi {
        refuse(abi, format!("#[{name}] needs a function of Rust's own ABI: leave `extern` out"));
    }
    if !generics.params.is_empty() {
        refuse(generics, format!("#[{name}] has nobody to choose generic parameters: remove them"));
    }
    if let Some(clause) = &generics.where_clause {
        refuse(clause, format!("#[{name}] takes no `where` clause: there are no parameters"));
    }
    if !inputs.is_empty() {
        refuse(inputs, format!("#[{name}] has nobody to pass arguments: remove them"));
    }
    for found in function.attrs.iter().filter(|_| attribute == Attribute::Test) {
        if found.path().is_ident("test") {
            refuse(found, "#[uring::test] makes a test already: remove this attribute".to_owned());
        }
    }
    errors.map_or(Ok(()), Err)
}

/// Puts the async fn, as it was written, into a function of the same name and calls it there.
///
/// An inner `async fn`, and not an `async` block, because it states its return type: `?`, `return`
/// and every error message work as in any other function.
fn wrap(attribute: Attribute, options: &Options, function: &ItemFn) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let (name, output) = (&sig.ident, &sig.output);
    let krate = &options.krate;
    let (methods, arguments): (Vec<_>, Vec<_>) =
        options.builder.iter().map(|(method, argument)| (method, argument)).unzip();
    let failed = format!("{}: {{}}", attribute.name());
    let marker = match attribute {
        Attribute::Main => None,
        Attribute::Test => Some(quote!(#[::core::prelude::v1::test])),
    };
    quote! {
        #marker
        #(#attrs)*
        #vis fn #name() #output {
            async fn #name() #output #block

            #krate::Runtime::builder()
                #(.#methods(#arguments))*
                .build()
                .unwrap_or_else(|error| ::core::panic!(#failed, error))
                .block_on(#name())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main(options: &str, item: &str) -> String {
        run(Attribute::Main, options, item)
    }

    /// Expands, and checks that what comes out is Rust.
    fn run(attribute: Attribute, options: &str, item: &str) -> String {
        let expanded = expand(attribute, options.parse().unwrap(), item.parse().unwrap());
        parse2::<syn::File>(expanded.clone()).expect("the expansion does not parse");
        expanded.to_string()
    }

    /// The same tokens, as they are written by hand.
    fn tokens(text: &str) -> String {
        text.parse::<TokenStream>().unwrap().to_string()
    }

    /// The messages, in order, and the source text that each points at.
    #[track_caller]
    fn refused(attribute: Attribute, options: &str, item: &str) -> Vec<(String, String)> {
        let function: ItemFn = syn::parse_str(item).unwrap();
        let errors = [check(attribute, &function).err(), syn::parse_str::<Options>(options).err()];
        let found: Vec<_> = errors
            .into_iter()
            .flatten()
            .flatten()
            .map(|error| (error.to_string(), error.span().source_text().unwrap_or_default()))
            .collect();
        let expanded = run(attribute, options, item);
        assert_eq!(expanded.matches(":: core :: compile_error !").count(), found.len());
        assert!(!expanded.contains("Runtime"));
        found
    }

    #[track_caller]
    fn assert_refused(options: &str, item: &str, at: &str, sentence: &str) {
        let found = refused(Attribute::Main, options, item);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.contains(sentence), "{found:?}");
        assert_eq!(found[0].1, at, "{found:?}");
    }

    #[test]
    fn the_function_builds_a_runtime_and_blocks_on_the_written_one() {
        let expected = tokens(
            r#"fn main() {
                async fn main() { work().await; }
                ::uring::Runtime::builder()
                    .build()
                    .unwrap_or_else(|error| ::core::panic!("uring::main: {}", error))
                    .block_on(main())
            }"#,
        );
        assert_eq!(main("", "async fn main() { work().await; }"), expected);
    }

    #[test]
    fn visibility_attributes_and_return_type_are_kept() {
        let expanded = main(
            "",
            "#[allow(unused)] pub(crate) async fn serve() -> io::Result<u8> { return Ok(1) }",
        );
        let outer = tokens("#[allow(unused)] pub(crate) fn serve() -> io::Result<u8>");
        let inner = tokens("async fn serve() -> io::Result<u8> { return Ok(1) }");
        assert!(expanded.starts_with(&outer), "{expanded}");
        assert!(expanded.contains(&inner), "{expanded}");
    }

    #[test]
    fn options_become_calls_on_the_builder() {
        let expanded = main("cq_entries = 4_096, entries = 256u32,", "async fn main() {}");
        let calls = tokens("::uring::Runtime::builder().cq_entries(4_096).entries(256u32).build()");
        assert!(expanded.contains(&calls), "{expanded}");
    }

    #[test]
    fn the_crate_may_have_another_path() {
        let expanded = main("crate = crate::reexports::uring", "async fn main() {}");
        assert!(expanded.contains(&tokens("crate::reexports::uring::Runtime::builder()")));
        assert!(main("crate = crate", "async fn main() {}").contains("crate :: Runtime"));
    }

    #[test]
    fn a_test_is_marked_as_one_and_keeps_its_attributes() {
        let expanded = run(
            Attribute::Test,
            "entries = 8",
            "#[should_panic(expected = \"x\")] #[ignore] async fn it_works() {}",
        );
        let start = tokens(
            "#[::core::prelude::v1::test] #[should_panic(expected = \"x\")] #[ignore] fn it_works",
        );
        assert!(expanded.starts_with(&start), "{expanded}");
        assert!(expanded.contains("\"uring::test: {}\""), "{expanded}");
    }

    #[test]
    fn unknown_and_repeated_options_are_refused_at_their_names() {
        let item = "async fn main() {}";
        assert_refused("entrys = 1", item, "entrys", "unknown option `entrys`");
        assert_refused("name = \"x\"", item, "name", "there are `entries = N`");
        assert_refused("entries = 1, entries = 2", item, "entries", "given twice");
        assert_refused("crate = a, crate = b", item, "crate", "given twice");
    }

    #[test]
    fn values_that_are_no_counts_are_refused_where_they_stand() {
        let item = "async fn main() {}";
        for value in ["0", "4294967296", "\"8\"", "N", "8u8", "1.5"] {
            assert_refused(&format!("entries = {value}"), item, value, "a number from 1 to");
        }
        assert_refused("crate = \"uring\"", item, "\"uring\"", "a path without quotes");
        assert_refused("entries(8)", item, "entries", "`entries = 256`");
        assert_refused("entries", item, "entries", "`entries = 256`");
        assert_refused("crate", item, "crate", "`crate = my_reexports::uring`");
        assert_refused("entries = 8 cq_entries = 8", item, "cq_entries", "a comma between");
    }

    #[test]
    fn a_function_that_is_not_async_is_refused_at_its_fn() {
        assert_refused("", "fn main() {}", "fn", "write `async fn main`");
    }

    #[test]
    fn what_nobody_could_pass_or_choose_is_refused_where_it_stands() {
        for (item, at, sentence) in [
            ("async fn main(a: u8, b: u8) {}", "a: u8, b: u8", "nobody to pass arguments"),
            ("async fn main<T, U>() {}", "<T, U>", "generic parameters"),
            ("async fn main() where u8: Copy {}", "where u8: Copy", "`where` clause"),
            ("const async fn main() {}", "const", "cannot be `const`"),
            ("async unsafe fn main() {}", "unsafe", "vouch for `unsafe`"),
            ("async extern \"C\" fn main() {}", "extern \"C\"", "leave `extern` out"),
        ] {
            assert_refused("", item, at, sentence);
        }
    }

    #[test]
    fn a_second_test_attribute_is_refused() {
        let found = refused(Attribute::Test, "", "#[test] async fn twice() {}");
        assert_eq!(found[0].1, "#[test]");
        assert!(found[0].0.contains("makes a test already"));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let found = refused(Attribute::Main, "speed = 11", "fn main(args: Args) {}");
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn what_is_no_function_is_refused_with_the_name_of_the_attribute() {
        let expanded = main("", "struct Main;");
        assert!(expanded.contains("#[uring::main] stands before an `async fn`"), "{expanded}");
    }
}
