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
    /// Whether the kernel was asked to close it: only if it is ours alone, or `shared`. From then on its number may
    /// be somebody else's at any time, whatever becomes of this: another operation may be built around this one,
    /// and never call its [`complete`](Op::complete).
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
        let is_closed_once = !self.asked;
        self.asked |= self.shared || self.fd.is_sole();
        if !self.asked || !is_closed_once {
            // Somebody has cloned it since: it is closed when that clone goes. Or it is prepared again, by an
            // operation around it.
            return Sqe::nop();
        }
        let (opcode, fd) = (Opcode::CLOSE.0, self.fd.as_raw_fd());
        // SAFETY: no memory is lent, and the descriptor is ours alone, or its other holders do not use its
        // number any more, as `though_shared` has it. Only the first submission closes it, and no drop does
        // afterwards unless `complete` knows that the kernel never saw that.
        unsafe { Sqe::raw(RawSqe { opcode, fd, ..RawSqe::default() }) }
    }

    fn complete(mut self, completion: Completion<Self>) -> Self::Output {
        // close(2): the descriptor is gone, whatever error it reports.
        self.asked &= completion.reached_kernel();
        completion.result().map(drop)
    }
}

/// Without [`Op::complete`] nobody knows whether the kernel has closed it, and leaving it open is the lesser harm.
impl Drop for Close {
    fn drop(&mut self) {
        if self.asked {
            self.fd.clone().forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Driver, Wait};
    use crate::ring::Setup;
    use crate::sim::Sim;
    use futures::FutureExt;
    use std::rc::Rc;
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
        let result = Rc::clone(&driver).submit(close).now_or_never().expect("done at once");
        assert_eq!(result.expect_err("no ring").raw_os_error(), Some(libc::ECANCELED));
        assert_eq!(sim.open_descriptors(), 1);
        drop(writer);
        assert_eq!(sim.open_descriptors(), 0);
    }

    /// One that is built around a close, and never lets it know what became of it.
    struct Around(Close);

    impl Op for Around {
        type Output = Close;

        fn prepare(&mut self) -> Sqe<'_> {
            self.0.prepare()
        }

        fn complete(self, _: Completion<Self>) -> Close {
            self.0
        }
    }

    #[test]
    fn a_close_inside_another_operation_closes_once_and_spares_who_gets_the_number_next() {
        let sim = Sim::new(0);
        let ring = Setup::new(2).build_on(sim.kernel()).expect("a ring");
        let driver = Driver::new(ring, Duration::ZERO).expect("a driver");
        let pipe = || {
            let (reader, writer) = sim.pipe();
            // SAFETY: the simulation has just made them, for us alone.
            unsafe { (Fd::from_raw(reader), Fd::from_raw(writer)) }
        };
        let (reader, _writer) = pipe();
        let number = reader.as_raw_fd();
        let close = Close::new(reader).now_or_never().expect("ours alone");
        let mut around = Rc::clone(&driver).submit(Around(close));
        let close = loop {
            driver.turn(Wait::No);
            if let Some(close) = (&mut around).now_or_never() {
                break close;
            }
        };
        let (next, _next_writer) = pipe();
        assert_eq!(next.as_raw_fd(), number, "the number is given out again");
        let mut again = Rc::clone(&driver).submit(close);
        let result = loop {
            driver.turn(Wait::No);
            if let Some(result) = (&mut again).now_or_never() {
                break result;
            }
        };
        result.expect("nothing was closed");
        assert_eq!(sim.open_descriptors(), 4 - 1);
        driver.shutdown(Duration::ZERO);
    }
}
