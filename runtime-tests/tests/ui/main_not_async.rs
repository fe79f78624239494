#[uring::main]
fn main() {}
