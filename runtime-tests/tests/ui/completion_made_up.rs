use uring::op::{Completion, Nop, Op};
use uring::ring::Cqe;

fn main() {
    let made_up: Completion<Nop> = Cqe::new(0, 1 << 20, 0).into();
    let _ = Nop.complete(made_up);
}
