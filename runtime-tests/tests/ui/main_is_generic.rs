#[uring::main]
async fn main<T: Default>() {}
