//! The attributes `#[uring::main]` and `#[uring::test]`.
//!
//! Use them through the crate `uring`, which re-exports them.

#![forbid(unsafe_code)]

mod entry;
mod options;

use proc_macro::TokenStream;

use self::entry::Attribute;

/// Runs an `async fn` on a runtime: the function becomes an ordinary one, whose body builds a
/// runtime and blocks on what was written.
///
/// ```ignore
/// #[uring::main]
/// async fn main() -> std::io::Result<()> {
///     let greeting = uring::spawn(async { "hello" }).await?;
///     println!("{greeting}");
///     Ok(())
/// }
/// ```
///
/// Options are those of `uring::Builder`, in parentheses and in any order:
///
/// ```ignore
/// #[uring::main(entries = 256, cq_entries = 4096)]
/// async fn main() {}
/// ```
///
/// - `entries`: how many requests the submission queue holds.
/// - `cq_entries`: how many completions the completion queue holds.
/// - `crate`: the path of the crate `uring`, for those who renamed or re-export it.
///
/// The function keeps its visibility, its attributes and its return type. It takes no arguments.
///
/// # Panics
///
/// The function panics when no runtime can be built, with the likely cause in the message. To
/// handle that, call `uring::Runtime::builder` by hand.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Attribute::Main, options.into(), item.into()).into()
}

/// Makes a test of an `async fn`, which runs on a runtime of its own.
///
/// It takes the options of [`main`](macro@main), and the function may have what tests may have:
/// `#[ignore]`, `#[should_panic]`, a `Result` to return.
///
/// ```ignore
/// #[uring::test]
/// async fn a_task_yields_its_output() {
///     assert_eq!(uring::spawn(async { 1 + 1 }).await.unwrap(), 2);
/// }
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(Attribute::Test, options.into(), item.into()).into()
}
