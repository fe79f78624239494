//! The attributes `#[uring::main]` and `#[uring::test]`.
