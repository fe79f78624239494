#[uring::main]
async fn main() {
    let name = String::from("uring");
    uring::spawn(async { println!("{name}") });
}
