//! Close a descriptor: `close(2)`, Linux 5.6.

use std::io;

use super::Op;
use crate::fd::Fd;
use crate::ring::{Cqe, Sqe};

/// Closes a descriptor and reports the error, which dropping it cannot. Happens even if nobody waits for it.
#[derive(Debug)]
pub struct Close {
    fd: Option<Fd>,
}

impl Close {
    /// Waits until no operation holds the descriptor any more, then makes the operation.
    ///
    /// Dropped before it resolves, the descriptor is closed as by any drop.
    pub async fn new(fd: Fd) -> Close {
        fd.sole().await;
        Close { fd: Some(fd) }
    }
}

impl Op for Close {
    type Output = io::Result<()>;

    const CANCEL_ON_DROP: bool = false;

    fn prepare(&mut self) -> Sqe<'_> {
        match self.fd.take().map(Fd::into_owned) {
            Some(Ok(fd)) => Sqe::close(fd),
            Some(Err(shared)) => {
                // Somebody has cloned it since: it is closed when that clone goes.
                self.fd = Some(shared);
                Sqe::nop()
            }
            None => Sqe::nop(),
        }
    }

    fn complete(self, cqe: Cqe) -> Self::Output {
        cqe.result().map(drop)
    }
}
