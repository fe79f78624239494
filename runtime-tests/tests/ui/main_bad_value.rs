#[uring::main(entries = "many")]
async fn main() {}
