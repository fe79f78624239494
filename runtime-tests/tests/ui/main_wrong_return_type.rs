#[uring::main]
async fn main() -> u64 {
    "not a number"
}
