#[uring::test]
async fn it_works(runtime: &uring::Runtime) {}

fn main() {}
