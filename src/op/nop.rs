//! Nothing, by way of the kernel: Linux 5.1.

use std::io;

use super::Op;
use crate::ring::{Cqe, Sqe};

/// Does nothing; for measuring, and for trying out a ring.
#[derive(Debug)]
pub struct Nop;

impl Op for Nop {
    type Output = io::Result<()>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::nop()
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        cqe.result().map(drop)
    }
}
