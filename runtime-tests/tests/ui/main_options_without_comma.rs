#[uring::main(entries = 8 cq_entries = 16)]
async fn main() {}
