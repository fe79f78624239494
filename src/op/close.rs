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
    /// Whether the submission has the descriptor now, which then is closed by nobody else. Made in `prepare`, and
    /// not when the kernel is done: anybody may ask for the submission, and submit it as an operation of their own.
    given_up: bool,
}

impl Close {
    /// Waits until no operation holds the descriptor any more, then makes the operation.
    ///
    /// Dropped before it resolves, the descriptor is closed as by any drop.
    pub async fn new(fd: Fd) -> Close {
        fd.sole().await;
        Close { fd, shared: false, given_up: false }
    }

    /// Closes a descriptor that operations may still hold, none of which submits anything by its number any
    /// more. Those that were submitted reach the kernel first, as the queue keeps their order, and the kernel
    /// then holds the file itself.
    pub(crate) fn though_shared(fd: Fd) -> Close {
        Close { fd, shared: true, given_up: false }
    }
}

impl Op for Close {
    type Output = io::Result<()>;

    const CANCEL_ON_DROP: bool = false;

    fn prepare(&mut self) -> Sqe<'_> {
        let may = self.shared || self.fd.is_sole();
        self.given_up = may && self.fd.disown();
        if !self.given_up {
            // Somebody has cloned it since: it is closed when that clone goes.
            return Sqe::nop();
        }
        let (opcode, fd) = (Opcode::CLOSE.0, self.fd.as_raw_fd());
        // SAFETY: no memory is lent, and the descriptor is the submission's alone; if it was shared, its other
        // holders do not use its number any more, as `though_shared` has it.
        unsafe { Sqe::raw(RawSqe { opcode, fd, ..RawSqe::default() }) }
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        // close(2): once the kernel has been asked, the descriptor is gone, whatever error it reports.
        if self.given_up && !completion.reached_kernel() {
            // SAFETY: `prepare` gave it up to a submission that was not pushed: the completion is that of this
            // operation, whose `prepare` the driver called last.
            unsafe { self.fd.own_again() }
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
