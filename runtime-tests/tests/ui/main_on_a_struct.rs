#[uring::main]
struct Main;

fn main() {}
