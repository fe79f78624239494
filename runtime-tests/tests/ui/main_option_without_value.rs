#[uring::main(entries)]
async fn main() {}
