//! Nothing, by way of the kernel: Linux 5.1.

use std::io;

use super::{Completion, Op};
use crate::ring::Sqe;

/// Does nothing; for measuring, and for trying out a ring.
#[derive(Debug)]
pub struct Nop;

impl Op for Nop {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::nop()
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result().map(drop)
    }
}
