//! Close a descriptor: `close(2)`, Linux 5.6.

use std::io;
use std::os::fd::AsRawFd;

use super::{Completion, Op};
use crate::fd::Fd;
use crate::ring::{Opcode, RawSqe, Sqe};

/// Closes a descriptor and reports the error, which dropping it cannot. Happens even if nobody waits for it.
///
/// Where the submission does not reach the kernel, dropping the operation closes the descriptor. One that is
/// [cancelled](super::InFlight::cancel) while it waits for a worker thread leaves it open: whether the kernel
/// had begun to close it, nobody can tell.
#[derive(Debug)]
pub struct Close {
    fd: Fd,
    /// Whether it is closed though others still have it.
    shared: bool,
    /// Whether the kernel was asked to close it: only if it is ours alone, or `shared`.
    asked: bool,
}

impl Close {
    /// Waits until no operation holds the descriptor any more, then makes the operation.
    ///
    /// Dropped before it resolves, the descriptor is closed as by any drop.
    pub async fn new(fd: Fd) -> Close {
        fd.sole().await;
        Close { fd, shared: false, asked: false }
    }

    /// Closes a descriptor that operations may still hold, none of which submits anything by its number any
    /// more. Those that were submitted reach the kernel first, as the queue keeps their order, and the kernel
    /// then holds the file itself.
    pub(crate) fn though_shared(fd: Fd) -> Close {
        Close { fd, shared: true, asked: false }
    }
}

impl Op for Close {
    type Output = io::Result<()>;

    const CANCEL_ON_DROP: bool = false;

    fn prepare(&mut self) -> Sqe<'_> {
        self.asked = self.shared || self.fd.is_sole();
        if !self.asked {
            // Somebody has cloned it since: it is closed when that clone goes.
            return Sqe::nop();
        }
        let (opcode, fd) = (Opcode::CLOSE.0, self.fd.as_raw_fd());
        // SAFETY: no memory is lent, and the descriptor is ours alone, or its other holders do not use its
        // number any more, as `though_shared` has it. Whether the kernel has closed it or the operation still
        // has to, `complete` decides.
        unsafe { Sqe::raw(RawSqe { opcode, fd, ..RawSqe::default() }) }
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // close(2): the descriptor is gone, whatever error it reports.
        if self.asked && completion.reached_kernel() {
            self.fd.forget();
        }
        completion.result().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Driver;
    use crate::ring::Setup;
    use crate::sim::Sim;
    use futures::FutureExt;
    use std::time::Duration;

    #[test]
    fn a_close_that_never_reaches_the_kernel_closes_all_the_same() {
        let sim = Sim::new(0);
        let ring = Setup::new(2).build_on(sim.kernel()).expect("a ring");
        let driver = Driver::new(ring, Duration::ZERO).expect("a driver");
        driver.shutdown(Duration::ZERO);
        let (reader, writer) = sim.pipe();
        // SAFETY: the simulation has just made them, for us alone.
        let (reader, writer) = unsafe { (Fd::from_raw(reader), Fd::from_raw(writer)) };
        let close = Close::new(reader).now_or_never().expect("ours alone");
        let result = driver.submit(close).now_or_never().expect("done at once");
        assert_eq!(result.expect_err("no ring").raw_os_error(), Some(libc::ECANCELED));
        assert_eq!(sim.open_descriptors(), 1);
        drop(writer);
        assert_eq!(sim.open_descriptors(), 0);
    }
}
